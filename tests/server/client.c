#include "client.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define REQUEST_ID 1
#define BUILD_MAX ((size_t)8 << 20)

static void
put_record(struct buf *b, unsigned type, uint16_t id, const char *p, size_t n)
{
	buf_put_char(b, 1);
	buf_put_char(b, (char)type);
	buf_put_char(b, (char)(id >> 8));
	buf_put_char(b, (char)(id & 0xff));
	buf_put_char(b, (char)(n >> 8));
	buf_put_char(b, (char)(n & 0xff));
	buf_put(b, "\0\0", 2);
	buf_put(b, p, n);
}

void
client_put_begin(struct buf *b, uint16_t id)
{
	put_record(b, 1, id, "\0\1\0\0\0\0\0\0", 8);
}

static void
put_len(struct buf *b, size_t n)
{
	if (n > 127) {
		buf_put_char(b, (char)(n >> 24 | 0x80));
		buf_put_char(b, (char)(n >> 16 & 0xff));
		buf_put_char(b, (char)(n >> 8 & 0xff));
	}
	buf_put_char(b, (char)(n & 0xff));
}

void
client_put_pair(struct buf *pairs, const char *name, const char *value)
{
	put_len(pairs, strlen(name));
	put_len(pairs, strlen(value));
	buf_put_str(pairs, name);
	buf_put_str(pairs, value);
}

void
client_put_params(
    struct buf *b, uint16_t id, const struct buf *pairs, size_t chunk)
{
	size_t n;

	for (size_t at = 0; at < pairs->n; at += n) {
		n = pairs->n - at < chunk ? pairs->n - at : chunk;
		put_record(b, 4, id, pairs->p + at, n);
	}
	put_record(b, 4, id, "", 0);
}

void
client_put_stdin(
    struct buf *b, uint16_t id, const char *body, size_t n, bool end)
{
	size_t step;

	for (; n > 0; n -= step, body += step) {
		step = n < 65528 ? n : 65528;
		put_record(b, 5, id, body, step);
	}
	if (end)
		put_record(b, 5, id, "", 0);
}

static void
put_if(struct buf *pairs, const char *name, const char *value)
{
	if (value)
		client_put_pair(pairs, name, value);
}

void
client_build(struct buf *b, const struct client_request *q)
{
	struct buf pairs = BUF_INIT(BUILD_MAX);
	char name[32];

	put_if(&pairs, "REQUEST_METHOD", q->method ? q->method : "GET");
	put_if(&pairs, "SCRIPT_NAME", q->path ? q->path : "/wp-cron.php");
	put_if(&pairs, "QUERY_STRING", q->query ? q->query : "");
	put_if(&pairs, "DOCUMENT_ROOT", q->root);
	put_if(&pairs, "WP_CRON_SITE", q->site);
	put_if(&pairs, "HTTP_AUTHORIZATION", q->authorization);
	put_if(&pairs, "CONTENT_TYPE", q->content_type);
	put_if(&pairs, "CONTENT_LENGTH", q->content_length);
	put_if(&pairs, "REQUEST_URI", q->uri);
	put_if(&pairs, "HTTP_HOST", q->host);
	put_if(&pairs, "SERVER_NAME", q->server_name);
	put_if(&pairs, "HTTP_COOKIE", q->cookie);
	for (size_t i = 0; i < q->nextra; i++) {
		snprintf(name, sizeof(name), "X_%zu", i);
		client_put_pair(&pairs, name, "value");
	}
	client_put_begin(b, REQUEST_ID);
	client_put_params(b, REQUEST_ID, &pairs, q->chunk ? q->chunk : 65528);
	client_put_stdin(b, REQUEST_ID, q->body ? q->body : "",
	    q->body ? strlen(q->body) : 0, true);
	ck_assert(!pairs.failed && !b->failed);
	buf_clear(&pairs);
}

int
client_try_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

int
client_connect(const char *path)
{
	int fd = client_try_connect(path);

	ck_assert_msg(fd >= 0, "connect: %s", strerror(errno));
	return fd;
}

bool
client_send(int fd, const void *p, size_t n)
{
	const char *at = p;
	ssize_t sent;

	while (n > 0) {
		sent = send(fd, at, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		at += sent;
		n -= (size_t)sent;
	}
	return true;
}

static void
take_records(struct buf *b, struct client_reply *out)
{
	const unsigned char *p;
	size_t len, total;

	while (b->n >= 8) {
		p = (const unsigned char *)b->p;
		len = (size_t)p[4] << 8 | p[5];
		total = 8 + len + p[6];
		if (b->n < total)
			return;
		if (p[1] == 3)
			out->ended = true;
		if (p[1] == 6 && out->n + len < sizeof(out->text)) {
			memcpy(out->text + out->n, p + 8, len);
			out->n += len;
		}
		buf_drop(b, total);
	}
}

void
client_read(int fd, int timeout_ms, struct client_reply *out)
{
	const mono_ms end = clock_mono(&clock_system) + timeout_ms;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct buf b = BUF_INIT(BUILD_MAX);
	char room[4096];
	ssize_t n = 1;
	mono_ms left;

	*out = (struct client_reply){ .n = 0 };
	while (n > 0 && !out->timed_out) {
		left = end - clock_mono(&clock_system);
		if (left <= 0 || poll(&pfd, 1, (int)left) == 0) {
			out->timed_out = true;
			break;
		}
		n = recv(fd, room, sizeof(room), 0);
		if (n > 0)
			buf_put(&b, room, (size_t)n);
		take_records(&b, out);
	}
	out->text[out->n] = '\0';
	buf_clear(&b);
}

void
client_ask(const char *path, const struct client_request *q, int timeout_ms,
    struct client_reply *out)
{
	struct buf b = BUF_INIT(BUILD_MAX);
	int fd = client_connect(path);

	client_build(&b, q);
	(void)client_send(fd, b.p, b.n);
	client_read(fd, timeout_ms, out);
	close(fd);
	buf_clear(&b);
}
