/*
 * A webhook receiver that records what it gets and misbehaves on request.
 *
 *   receiver [--port N] [--secret whsec_...]
 *
 * Listens on 127.0.0.1, prints its port as the first line, ends on SIGTERM.
 * The path chooses the answer; ?hold=MS delays any of them:
 *
 *   /ok                200
 *   /status/N          N; ?retry-after=TEXT adds the header, ?body=1 words
 *   /flaky/N           500 to the first N requests of a key, then 200
 *   /stall             nothing, ever
 *   /reset-before      RST before the body is read
 *   /reset-after       RST once everything was read
 *   /reset-reused      as /reset-after, but only on a connection that has
 *                      served before; otherwise 200
 *   /close             FIN instead of an answer
 *   /drip              200, then its body byte by byte, one a second
 *   /drip-headers      its status line and headers likewise
 *   /huge              200 and 64 MiB
 *   /endless-headers   200 and header lines without end
 *   /redirect          302 to /ok
 *   /garbage           bytes that are not HTTP
 *
 *   GET /report        counts as JSON; ?keys=1 with every key's
 *   POST /forget       starts counting anew
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "formats/webhook_signature.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX ((size_t)8 * 1024 * 1024)
#define HUGE_BODY ((uint64_t)64 * 1024 * 1024)
#define NBUCKETS 65536

/* How the answer leaves. */
enum manner {
	MANNER_PLAIN,
	MANNER_DRIP,    /* one byte a second */
	MANNER_HUGE,    /* then HUGE_BODY bytes */
	MANNER_ENDLESS, /* then header lines for ever */
	MANNER_RESET,
	MANNER_CLOSE,
	MANNER_STALL,
};

struct conn {
	int fd;
	struct conn *prev, *next; /* all */
	struct buf in, out;
	size_t out_at;
	size_t at_once;  /* of `out`: what MANNER_DRIP does not drip */
	uint64_t filler; /* bytes of filler still to send */
	enum manner manner;
	bool answering;
	bool dead;
	unsigned served;
	mono_ms due; /* the answer, or its next byte; 0: now */
	uint32_t events;
};

struct key {
	struct key *next;
	uint64_t count;
	size_t n;
	char text[];
};

struct counters {
	uint64_t requests, distinct, max, unsigned_, bad_signature, no_key;
	uint64_t connections, bad_body;
	uint64_t peak; /* requests at once */
};

struct receiver {
	int epoll, listener;
	const char *secret;
	struct conn *conns;
	struct key *keys[NBUCKETS];
	struct counters n;
	uint64_t busy; /* connections that are being answered */
};

/* A request that is whole; slices into the connection's input. */
struct request {
	struct slice method, path, query, head, body;
};

static volatile sig_atomic_t stopped;

static void
on_signal(int signo UNUSED)
{
	stopped = 1;
}

static void
die(const char *what)
{
	perror(what);
	exit(71);
}

/* ---- what is recorded ------------------------------------------------- */

static struct key *
find_key(struct receiver *r, struct slice text)
{
	uint32_t hash = 2166136261u;
	struct key **bucket, *k;

	for (size_t i = 0; i < text.n; i++)
		hash = (hash ^ (unsigned char)text.p[i]) * 16777619u;
	bucket = &r->keys[hash % NBUCKETS];
	for (k = *bucket; k; k = k->next)
		if (slice_eq(slice_mem(k->text, k->n), text))
			return k;
	k = xcalloc(1, sizeof *k + text.n + 1);
	memcpy(k->text, text.p, text.n);
	k->n = text.n;
	k->next = *bucket;
	*bucket = k;
	r->n.distinct++;
	return k;
}

static void
forget(struct receiver *r)
{
	struct key *k;

	for (size_t i = 0; i < NBUCKETS; i++)
		while ((k = r->keys[i]) != NULL) {
			r->keys[i] = k->next;
			free(k);
		}
	r->n = (struct counters){ 0 };
}

static void
put_keys(const struct receiver *r, struct buf *out)
{
	const char *comma = "";

	buf_put_str(out, ",\"keys\":{");
	for (size_t i = 0; i < NBUCKETS; i++)
		for (const struct key *k = r->keys[i]; k; k = k->next) {
			buf_printf(
			    out, "%s\"%s\":%" PRIu64, comma, k->text, k->count);
			comma = ",";
		}
	buf_put_char(out, '}');
}

static void
put_report(const struct receiver *r, bool keys, struct buf *out)
{
	buf_printf(out,
	    "{\"requests\":%" PRIu64 ",\"distinct\":%" PRIu64
	    ",\"max\":%" PRIu64 ",\"unsigned\":%" PRIu64
	    ",\"bad_signature\":%" PRIu64 ",\"no_key\":%" PRIu64
	    ",\"bad_body\":%" PRIu64 ",\"connections\":%" PRIu64
	    ",\"peak\":%" PRIu64,
	    r->n.requests, r->n.distinct, r->n.max, r->n.unsigned_,
	    r->n.bad_signature, r->n.no_key, r->n.bad_body, r->n.connections,
	    r->n.peak);
	if (keys)
		put_keys(r, out);
	buf_put_char(out, '}');
}

/* ---- requests --------------------------------------------------------- */

static struct slice
header(struct slice head, const char *name)
{
	struct slice want = slice_str(name);

	while (head.n > 0) {
		size_t end = slice_find(head, '\n');
		struct slice line = slice_mem(head.p, end);
		size_t colon = slice_find(line, ':');

		if (slice_eq_nocase(slice_mem(line.p, colon), want))
			return slice_trim(slice_from(line, colon + 1));
		head = slice_from(head, end + 1);
	}
	return SLICE_NONE;
}

static struct slice
query_value(struct slice query, const char *name)
{
	struct slice want = slice_str(name);

	while (query.n > 0) {
		size_t end = slice_find(query, '&');
		struct slice pair = slice_mem(query.p, end);
		size_t eq = slice_find(pair, '=');

		if (slice_eq(slice_mem(pair.p, eq), want))
			return slice_from(pair, eq + 1);
		query = slice_from(query, end + 1);
	}
	return SLICE_NONE;
}

static uint64_t
number_or(struct slice s, uint64_t otherwise)
{
	uint64_t v;

	return slice_u64(s, &v) ? v : otherwise;
}

/* /name/N: N; 0 when there is none. */
static bool
path_number(struct slice path, const char *name, uint64_t *out)
{
	struct slice prefix = slice_str(name);

	return slice_starts(path, prefix) &&
	       slice_u64(slice_from(path, prefix.n), out);
}

static void
check_signature(struct receiver *r, const struct request *q)
{
	char want[WEBHOOK_SIGNATURE_LEN + 1];
	struct slice got = header(q->head, "webhook-signature");
	int64_t timestamp = 0;

	if (!r->secret)
		return;
	if (got.n == 0) {
		r->n.unsigned_++;
		return;
	}
	if (!slice_i64(header(q->head, "webhook-timestamp"), &timestamp) ||
	    webhook_signature_sign(slice_str(r->secret),
		header(q->head, "webhook-id"), timestamp, q->body, want,
		NULL) != RC_OK ||
	    !slice_eq_str(got, want))
		r->n.bad_signature++;
}

/* How often its key has been seen, this time included. */
static uint64_t
record(struct receiver *r, const struct request *q)
{
	struct slice name = header(q->head, "idempotency-key");
	struct key *k;

	r->n.requests++;
	check_signature(r, q);
	if (!slice_starts(q->body, SLICE_LIT("{\"id\":")) ||
	    q->body.p[q->body.n - 1] != '}')
		r->n.bad_body++;
	if (name.n == 0) {
		r->n.no_key++;
		return 1;
	}
	k = find_key(r, name);
	if (++k->count > r->n.max)
		r->n.max = k->count;
	return k->count;
}

/* ---- answers ---------------------------------------------------------- */

static void
put_answer(
    struct conn *c, unsigned status, const char *extra, struct slice body)
{
	buf_printf(&c->out,
	    "HTTP/1.1 %u Answer\r\nContent-Type: text/plain\r\n"
	    "Content-Length: %zu\r\n%s\r\n",
	    status, body.n, extra);
	buf_put_slice(&c->out, body);
}

static void
answer_status(struct conn *c, const struct request *q, uint64_t status)
{
	struct slice retry = query_value(q->query, "retry-after");
	struct slice words =
	    query_value(q->query, "body").n
		? SLICE_LIT(
		      "no such \x01\tcustomer:\r\n \"M\xC3\xBCller\" \xFF")
		: SLICE_NONE;
	char extra[128] = "";

	if (retry.n > 0)
		(void)snprintf(extra, sizeof extra, "Retry-After: %.*s\r\n",
		    SLICE_FMT(retry));
	for (char *p = extra + (retry.n > 0 ? 12 : 0); *p; p++)
		if (*p == '+')
			*p = ' ';
	put_answer(c, (unsigned)status, extra, words);
}

static const struct mode {
	const char *path;
	enum manner manner;
	const char *bytes; /* NULL: an ordinary 200 */
} modes[] = {
	{ "/stall", MANNER_STALL, "" },
	{ "/reset-after", MANNER_RESET, "" },
	{ "/close", MANNER_CLOSE, "" },
	{ "/drip", MANNER_DRIP, NULL },
	{ "/drip-headers", MANNER_DRIP, NULL },
	{ "/garbage", MANNER_CLOSE, "220 not what you think\r\n\r\n" },
	{ "/redirect", MANNER_PLAIN,
	    "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: "
	    "0\r\n\r\n" },
	{ "/huge", MANNER_HUGE,
	    "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n" },
	{ "/endless-headers", MANNER_ENDLESS, "HTTP/1.1 200 OK\r\n" },
};

static void
answer_mode(struct conn *c, const struct request *q)
{
	const struct mode *m = NULL;

	for (size_t i = 0; i < NELEMS(modes); i++)
		if (slice_eq_str(q->path, modes[i].path))
			m = &modes[i];
	if (!m) {
		put_answer(c, 404, "", SLICE_LIT("no such mode"));
		return;
	}
	c->manner = m->manner;
	c->at_once = 0;
	if (m->bytes)
		buf_put_str(&c->out, m->bytes);
	else
		put_answer(c, 200, "", SLICE_LIT("0123456789"));
	if (slice_eq_str(q->path, "/drip"))
		c->at_once = c->out.n - 10;
	if (m->manner == MANNER_HUGE)
		c->filler = HUGE_BODY;
	else if (m->manner == MANNER_ENDLESS)
		c->filler = UINT64_MAX;
}

static void
answer_post(struct receiver *r, struct conn *c, const struct request *q)
{
	uint64_t seen = record(r, q), n;

	if (slice_eq_str(q->path, "/ok")) {
		put_answer(c, 200, "", SLICE_LIT("ok"));
	} else if (path_number(q->path, "/status/", &n)) {
		answer_status(c, q, n);
	} else if (path_number(q->path, "/flaky/", &n)) {
		answer_status(c, q, seen <= n ? 500 : 200);
	} else if (slice_eq_str(q->path, "/reset-reused")) {
		put_answer(c, 200, "", SLICE_NONE);
		if (c->served > 0)
			c->manner = MANNER_RESET;
	} else {
		answer_mode(c, q);
	}
}

static void
answer(struct receiver *r, struct conn *c, const struct request *q)
{
	struct buf text = BUF_INIT(REQUEST_MAX * 8);

	c->manner = MANNER_PLAIN;
	c->answering = true;
	c->due = 0;
	if (++r->busy > r->n.peak)
		r->n.peak = r->busy;
	if (slice_eq_str(q->path, "/report")) {
		put_report(r, query_value(q->query, "keys").n > 0, &text);
		put_answer(c, 200, "", buf_slice(&text));
	} else if (slice_eq_str(q->path, "/forget")) {
		forget(r);
		put_answer(c, 200, "", SLICE_NONE);
	} else {
		uint64_t hold = number_or(query_value(q->query, "hold"), 0);

		answer_post(r, c, q);
		if (hold > 0)
			c->due = clock_mono(&clock_system) + (mono_ms)hold;
	}
	c->served++;
	buf_clear(&text);
}

/* ---- connections ------------------------------------------------------ */

static void
conn_watch(struct receiver *r, struct conn *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (events == c->events)
		return;
	if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0)
		die("epoll_ctl");
	c->events = events;
}

static void
conn_reset(struct conn *c)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	c->dead = true;
}

static void
conn_free(struct receiver *r, struct conn *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		r->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	r->busy -= c->answering;
	close(c->fd);
	buf_clear(&c->in);
	buf_clear(&c->out);
	free(c);
}

static void
send_filler(struct conn *c)
{
	static char lines[16384];

	if (!lines[0])
		for (size_t i = 0; i < sizeof lines; i++)
			lines[i] = "X-Filler: 12\r\n12"[i % 16];
	while (c->filler > 0) {
		size_t n =
		    c->filler < sizeof lines ? (size_t)c->filler : sizeof lines;
		ssize_t sent = send(c->fd, lines, n, MSG_NOSIGNAL);

		if (sent < 0) {
			c->dead = errno != EAGAIN;
			return;
		}
		if (c->filler != UINT64_MAX)
			c->filler -= (uint64_t)sent;
	}
}

static void
send_answer(struct receiver *r, struct conn *c)
{
	struct slice left = slice_from(buf_slice(&c->out), c->out_at);
	ssize_t sent;

	if (c->manner == MANNER_DRIP && left.n > 1)
		left.n = c->at_once > c->out_at ? c->at_once - c->out_at : 1;
	if (left.n > 0) {
		sent = send(c->fd, left.p, left.n, MSG_NOSIGNAL);
		if (sent < 0) {
			c->dead = errno != EAGAIN;
			return;
		}
		c->out_at += (size_t)sent;
		if (c->manner == MANNER_DRIP)
			c->due = clock_mono(&clock_system) + 1000;
	}
	if (c->out_at < c->out.n)
		return;
	send_filler(c);
	if (c->filler == 0) {
		c->answering = false;
		r->busy--;
		c->dead = c->dead || c->manner == MANNER_CLOSE;
		buf_reset(&c->out);
		c->out_at = 0;
	}
}

/* Move the answer on as far as its time and the socket allow. */
static void
conn_answer(struct receiver *r, struct conn *c, mono_ms now)
{
	if (!c->answering || c->dead)
		return;
	if (c->due > now || c->manner == MANNER_STALL) {
		conn_watch(r, c, EPOLLIN);
		return;
	}
	if (c->manner == MANNER_RESET)
		conn_reset(c);
	else
		send_answer(r, c);
	if (!c->dead)
		conn_watch(r, c,
		    c->answering && c->manner != MANNER_DRIP ? EPOLLOUT
							     : EPOLLIN);
}

/* True with a whole request in `q`; *used is its length. */
static bool
parse_request(struct conn *c, struct request *q, size_t *used)
{
	struct slice in = buf_slice(&c->in), line;
	const char *end = c->in.p ? strstr(c->in.p, "\r\n\r\n") : NULL;
	size_t head_n, question;
	uint64_t length;

	if (!end)
		return false;
	head_n = (size_t)(end - in.p) + 4;
	line = slice_mem(in.p, slice_find(in, '\r'));
	q->method = slice_mem(line.p, slice_find(line, ' '));
	line = slice_from(line, q->method.n + 1);
	line.n = slice_find(line, ' ');
	question = slice_find(line, '?');
	q->path = slice_mem(line.p, question);
	q->query = slice_from(line, question + 1);
	q->head = slice_mem(in.p, head_n);
	length = number_or(header(q->head, "content-length"), 0);
	if (slice_eq_str(q->path, "/reset-before")) {
		conn_reset(c);
		return false;
	}
	if (in.n - head_n < length)
		return false;
	q->body = slice_mem(in.p + head_n, (size_t)length);
	*used = head_n + (size_t)length;
	return true;
}

static void
conn_requests(struct receiver *r, struct conn *c, mono_ms now)
{
	struct request q;
	size_t used;

	while (!c->dead && !c->answering && parse_request(c, &q, &used)) {
		answer(r, c, &q);
		buf_drop(&c->in, used);
		conn_answer(r, c, now);
	}
}

static void
conn_read(struct receiver *r, struct conn *c, mono_ms now)
{
	char chunk[65536];
	ssize_t got = recv(c->fd, chunk, sizeof chunk, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		c->dead = true;
		return;
	}
	buf_put(&c->in, chunk, (size_t)got);
	if (c->in.failed)
		c->dead = true;
	conn_requests(r, c, now);
}

static void
accept_all(struct receiver *r)
{
	int fd;

	while ((fd = accept(r->listener, NULL, NULL)) >= 0) {
		struct conn *c = xcalloc(1, sizeof *c);
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

		fcntl(fd, F_SETFL, O_NONBLOCK);
		c->fd = fd;
		c->events = EPOLLIN;
		c->in = (struct buf)BUF_INIT(REQUEST_MAX);
		c->out = (struct buf)BUF_INIT(REQUEST_MAX * 8);
		c->next = r->conns;
		if (r->conns)
			r->conns->prev = c;
		r->conns = c;
		r->n.connections++;
		if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("epoll_ctl");
	}
}

/* Serve what is due by time; the milliseconds until the next, -1 for never. */
static int
serve_due(struct receiver *r, mono_ms now)
{
	mono_ms next = INT64_MAX;
	struct conn *c, *after;

	for (c = r->conns; c; c = after) {
		after = c->next;
		if (c->answering && c->due > 0 && c->due <= now) {
			conn_answer(r, c, now);
			conn_requests(r, c, now);
		}
		if (c->dead)
			conn_free(r, c);
		else if (c->answering && c->due > now && c->due < next)
			next = c->due;
	}
	return next == INT64_MAX ? -1 : (int)(next - now);
}

static void
serve(struct receiver *r)
{
	struct epoll_event events[256];
	int wait = -1;

	while (!stopped) {
		int n = epoll_wait(r->epoll, events, NELEMS(events), wait);
		mono_ms now = clock_mono(&clock_system);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!c)
				accept_all(r);
			else if (events[i].events & EPOLLOUT)
				conn_answer(r, c, now);
			else
				conn_read(r, c, now);
		}
		wait = serve_due(r, now);
	}
}

/* ---- life ------------------------------------------------------------- */

static uint16_t
open_listener(struct receiver *r, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof at;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	int on = 1;

	r->listener =
	    socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (r->listener < 0 ||
	    bind(r->listener, (struct sockaddr *)&at, sizeof at) < 0 ||
	    listen(r->listener, 1024) < 0 ||
	    getsockname(r->listener, (struct sockaddr *)&at, &n) < 0)
		die("listen");
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->listener, &ev) < 0)
		die("epoll_ctl");
	return ntohs(at.sin_port);
}

int
main(int argc, char **argv)
{
	struct sigaction stop = { .sa_handler = on_signal };
	struct receiver *r = xcalloc(1, sizeof *r);
	struct rlimit files;
	uint64_t port = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--port") == 0)
			port = number_or(slice_str(argv[i + 1]), 0);
		else if (strcmp(argv[i], "--secret") == 0)
			r->secret = argv[i + 1];
	}
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)printf("%d\n", open_listener(r, (uint16_t)port));
	(void)fflush(stdout);
	serve(r);
	for (struct conn *c = r->conns, *next; c; c = next) {
		next = c->next;
		conn_free(r, c);
	}
	forget(r);
	close(r->listener);
	close(r->epoll);
	free(r);
	return 0;
}
