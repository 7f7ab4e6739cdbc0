#include "wire/php_fpm.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "base/macros.h"
#include "base/xalloc.h"

enum {
	CONNECT_MS = 2000,
	FIRST_BYTE_MS = 15000,
	READ_CHUNK = 16384,
};

struct php_fpm_request {
	int fd;
	bool connecting;
	bool got_bytes;
	bool write_failed; /* the peer stopped reading; its answer may follow */
	enum php_fpm_end end;
	const struct clock *clock;
	mono_ms connect_by, first_byte_by;
	uint32_t first_byte_ms;
	struct buf out;
	size_t sent;
	struct php_fpm_reader reader;
};

enum rc
php_fpm_addr_parse(const char *text, struct php_fpm_addr *out, struct err *err)
{
	static const struct slice unix_prefix = { "unix:", 5 };
	struct slice s = slice_trim(slice_str(text)), host;
	size_t colon;
	uint64_t port;

	*out = (struct php_fpm_addr){ .tcp = false };
	if (slice_starts(s, unix_prefix))
		s = slice_from(s, unix_prefix.n);
	if (s.n > 0 && s.p[0] == '/') {
		if (s.n >= sizeof(out->path))
			return err_set(err, RC_REJECT,
			    "socket path over %zu bytes: %.*s",
			    sizeof(out->path) - 1, SLICE_FMT(s));
		memcpy(out->path, s.p, s.n);
		return RC_OK;
	}
	for (colon = s.n; colon > 0 && s.p[colon - 1] != ':';)
		colon--;
	if (colon < 2 || !slice_u64(slice_from(s, colon), &port) || port < 1 ||
	    port > 65535)
		return err_set(err, RC_REJECT,
		    "\"%.*s\" is neither unix:PATH nor HOST:PORT",
		    SLICE_FMT(s));
	host = slice_mem(s.p, colon - 1);
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = slice_mem(host.p + 1, host.n - 2);
	if (host.n >= sizeof(out->host))
		return err_set(err, RC_REJECT, "host name is too long");
	out->tcp = true;
	memcpy(out->host, host.p, host.n);
	(void)snprintf(out->port, sizeof(out->port), "%u", (unsigned)port);
	return RC_OK;
}

/* ---- connecting --------------------------------------------------------- */

static enum rc
connect_failed(int error, const struct php_fpm_addr *addr, struct err *err)
{
	const char *hint = ERRNO_TEXT(error);

	switch (error) {
	case EAGAIN: /* a unix socket says so at once, never EINPROGRESS */
		hint = "its backlog is full";
		break;
	case ENOENT:
		hint = "it is not running, or listens elsewhere";
		break;
	case ECONNREFUSED:
		hint = "nobody listens";
		break;
	case EACCES:
		hint = "listen.owner, listen.group or listen.mode shut us out";
		break;
	default:
		break;
	}
	if (addr->tcp)
		return err_set_code(err, RC_RETRY, error,
		    "php-fpm at %s:%s: %s", addr->host, addr->port, hint);
	return err_set_code(
	    err, RC_RETRY, error, "php-fpm at %s: %s", addr->path, hint);
}

/* A connected or connecting descriptor, or -1 with errno. */
static int
start_connect(
    const struct sockaddr *sa, socklen_t len, int family, bool *connecting)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int saved;

	if (fd < 0)
		return -1;
	*connecting = false;
	if (connect(fd, sa, len) == 0)
		return fd;
	if (errno == EINPROGRESS) {
		*connecting = true;
		return fd;
	}
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

static int
connect_unix(const struct php_fpm_addr *addr, bool *connecting)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memcpy(sun.sun_path, addr->path, sizeof(sun.sun_path));
	return start_connect(
	    (const struct sockaddr *)&sun, sizeof(sun), AF_UNIX, connecting);
}

static int
connect_tcp(const struct php_fpm_addr *addr, bool *connecting)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int fd = -1;

	if (getaddrinfo(addr->host, addr->port, &hints, &list) != 0) {
		errno = EHOSTUNREACH;
		return -1;
	}
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = start_connect(
		    a->ai_addr, a->ai_addrlen, a->ai_family, connecting);
	freeaddrinfo(list);
	return fd;
}

enum rc
php_fpm_open(const struct php_fpm_opts *opts, struct php_fpm_request **out,
    struct err *err)
{
	struct php_fpm_request *r = xcalloc(1, sizeof(*r));
	mono_ms now = clock_mono(opts->clock);
	enum rc rc;

	r->fd = -1;
	r->clock = opts->clock;
	r->out = (struct buf)BUF_INIT(PHP_FPM_BODY_MAX + PHP_FPM_BODY_MAX / 8);
	php_fpm_reader_init(&r->reader, opts->on_line, opts->arg);
	php_fpm_put_request(&r->out, opts->params, opts->body);
	if (r->out.failed) {
		rc = err_set(
		    err, RC_REJECT, "the FastCGI request is over its ceiling");
		goto out;
	}
	r->fd = opts->addr->tcp ? connect_tcp(opts->addr, &r->connecting)
				: connect_unix(opts->addr, &r->connecting);
	if (r->fd < 0) {
		rc = connect_failed(errno, opts->addr, err);
		goto out;
	}
	r->connect_by =
	    now + (opts->connect_ms ? opts->connect_ms : CONNECT_MS);
	r->first_byte_ms =
	    opts->first_byte_ms ? opts->first_byte_ms : FIRST_BYTE_MS;
	r->first_byte_by = now + r->first_byte_ms;
	*out = r;
	r = NULL;
	rc = RC_OK;
out:
	php_fpm_close(r);
	return rc;
}

void
php_fpm_close(struct php_fpm_request *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		(void)close(r->fd);
	php_fpm_reader_clear(&r->reader);
	buf_clear(&r->out);
	free(r);
}

/* ---- moving on ---------------------------------------------------------- */

static enum php_fpm_end
end_with(struct php_fpm_request *r, enum php_fpm_end end)
{
	r->end = end;
	if (end != PHP_FPM_END)
		php_fpm_reader_finish(&r->reader);
	(void)close(r->fd);
	r->fd = -1;
	return end;
}

static enum php_fpm_end
finish_connect(struct php_fpm_request *r, struct err *err)
{
	struct pollfd p = { .fd = r->fd, .events = POLLOUT };
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&p, 1, 0) <= 0) {
		if (clock_mono(r->clock) < r->connect_by)
			return PHP_FPM_RUNNING;
		(void)err_set_code(err, RC_RETRY, ETIMEDOUT,
		    "php-fpm does not accept the connection");
		return end_with(r, PHP_FPM_REFUSED);
	}
	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0) {
		(void)err_set_code(
		    err, RC_RETRY, error, "php-fpm: %s", ERRNO_TEXT(error));
		return end_with(r, PHP_FPM_REFUSED);
	}
	r->connecting = false;
	r->first_byte_by = clock_mono(r->clock) + r->first_byte_ms;
	return PHP_FPM_RUNNING;
}

static void
write_some(struct php_fpm_request *r)
{
	while (r->sent < r->out.n && !r->write_failed) {
		ssize_t n = send(r->fd, r->out.p + r->sent, r->out.n - r->sent,
		    MSG_NOSIGNAL);

		if (n > 0)
			r->sent += (size_t)n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		else if (errno != EINTR)
			r->write_failed = true;
	}
}

static enum php_fpm_end
read_some(struct php_fpm_request *r, struct err *err)
{
	char chunk[READ_CHUNK];

	for (;;) {
		ssize_t n = recv(r->fd, chunk, sizeof(chunk), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return PHP_FPM_RUNNING;
		if (n <= 0) {
			(void)err_set_code(err, RC_RETRY, n < 0 ? errno : 0,
			    "php-fpm closed the connection");
			return end_with(r, PHP_FPM_EOF);
		}
		r->got_bytes = true;
		switch (php_fpm_feed(
		    &r->reader, slice_mem(chunk, (size_t)n), err)) {
		case RC_AGAIN:
			break;
		case RC_OK:
			return end_with(r, PHP_FPM_END);
		case RC_NONE:
		case RC_RETRY:
		case RC_REJECT:
		case RC_FATAL:
			return end_with(r, PHP_FPM_BROKEN);
		}
	}
}

enum php_fpm_end
php_fpm_step(struct php_fpm_request *r, struct err *err)
{
	if (r->end != PHP_FPM_RUNNING)
		return r->end;
	if (r->connecting) {
		enum php_fpm_end end = finish_connect(r, err);

		if (end != PHP_FPM_RUNNING || r->connecting)
			return end;
	}
	write_some(r);
	if (read_some(r, err) != PHP_FPM_RUNNING)
		return r->end;
	if (!r->got_bytes && clock_mono(r->clock) >= r->first_byte_by) {
		(void)err_set_code(err, RC_RETRY, ETIMEDOUT,
		    "php-fpm took the connection and is silent: no free child");
		return end_with(r, PHP_FPM_SILENT);
	}
	return PHP_FPM_RUNNING;
}

int
php_fpm_fd(const struct php_fpm_request *r)
{
	return r->fd;
}

short
php_fpm_events(const struct php_fpm_request *r)
{
	if (r->fd < 0)
		return 0;
	if (r->connecting)
		return POLLOUT;
	if (r->sent < r->out.n && !r->write_failed)
		return POLLIN | POLLOUT;
	return POLLIN;
}

mono_ms
php_fpm_deadline(const struct php_fpm_request *r)
{
	if (r->end != PHP_FPM_RUNNING || r->got_bytes)
		return INT64_MAX;
	return r->connecting ? r->connect_by : r->first_byte_by;
}

const struct php_fpm_reader *
php_fpm_answer(const struct php_fpm_request *r)
{
	return &r->reader;
}

bool
php_fpm_sent(const struct php_fpm_request *r)
{
	return r->sent == r->out.n;
}
