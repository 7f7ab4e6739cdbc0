#include "wire/http.h"

#include "base/buf.h"
#include "base/xalloc.h"
#include "formats/retry_after.h"
#include "wire/curl_begin.h"
#include "wire/public_address.h"

#include <curl/curl.h>
#include <errno.h>
#include <strings.h>
#include <sys/socket.h>

#define HEADERS_MAX ((size_t)64 * 1024)
/*
 * Idle connections older than this are not used again. Node and Apache close
 * after 5 s, and a request that meets the closing is lost without anyone
 * knowing whether it was acted on.
 */
#define IDLE_MAX_S 4L
/* Spare easy handles; a handle is 5 KiB and its set-up 30 options. */
#define SPARE_MAX 64

struct http_call {
	struct http *http;
	struct http_call *next;
	struct http_call **at; /* what points here */
	void *tag;
	CURL *easy;
	struct curl_slist *headers;
	struct buf body;
	size_t body_at;
	bool repeatable;
	bool sent;
	bool answered; /* all headers of a final answer are there */
	int status;
	int64_t retry_after_s;
	char *keep_header;
	struct buf header;
	bool has_header;
	bool keep_head, whole, not_public;
	struct buf head;
	size_t header_bytes, answer_bytes, answer_max;
	struct buf answer;
	char error[CURL_ERROR_SIZE];
};

struct http {
	CURLM *multi;
	const struct clock *clock;
	char *user_agent, *proxy, *ca_file;
	bool public_only;
	struct http_call *calls; /* under way */
	size_t ncalls;
	struct http_call *spare;
	size_t nspare;
};

/* ---- what curl calls -------------------------------------------------- */

/* The connection stands, TLS included, and the request is written next. */
static int
on_prereq(void *arg, char *remote UNUSED, char *local UNUSED,
    int remote_port UNUSED, int local_port UNUSED)
{
	struct http_call *c = arg;

	c->sent = true;
	return CURL_PREREQFUNC_OK;
}

static size_t
on_read(char *to, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	struct slice left = slice_from(buf_slice(&c->body), c->body_at);
	size_t take = left.n < size * n ? left.n : size * n;

	if (take > 0)
		memcpy(to, left.p, take);
	c->body_at += take;
	return take;
}

/*
 * curl sends a POST again by itself when a kept connection dies before the
 * first byte of an answer, whether or not the other side has read it
 * (Curl_retry_request). It must rewind the body for that: refusing is the
 * one way to be asked. Before any of the body was read nothing is rewound,
 * and half a request is never acted on.
 */
static int
on_seek(void *arg, curl_off_t offset, int origin)
{
	struct http_call *c = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > c->body.n ||
	    !c->repeatable)
		return CURL_SEEKFUNC_FAIL;
	c->body_at = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static void
on_status_line(struct http_call *c, struct slice line)
{
	struct slice code = slice_from(line, slice_find(line, ' ') + 1);
	uint64_t status;

	code.n = slice_find(code, ' ');
	c->status = slice_u64(code, &status) && status < 1000 ? (int)status : 0;
	c->answered = false;
	c->retry_after_s = -1;
	c->has_header = false;
	buf_reset(&c->head);
}

static void
on_header_line(struct http_call *c, struct slice line)
{
	static const struct slice retry_after = { "retry-after", 11 };
	size_t colon = slice_find(line, ':');

	if (c->keep_head && c->head.n + line.n + 1 <= HTTP_KEEP_HEAD) {
		buf_put_slice(&c->head, line);
		buf_put_char(&c->head, '\n');
	}
	if (c->keep_header && slice_eq_nocase(slice_mem(line.p, colon),
				  slice_str(c->keep_header))) {
		buf_reset(&c->header);
		buf_put_slice(
		    &c->header, slice_trim(slice_from(line, colon + 1)));
		c->has_header = true;
	}
	if (!slice_eq_nocase(slice_mem(line.p, colon), retry_after))
		return;
	if (!retry_after_parse(slice_from(line, colon + 1),
		clock_unix(c->http->clock), HTTP_RETRY_AFTER_MAX_S,
		&c->retry_after_s))
		c->retry_after_s = -1;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	struct slice line = slice_trim(slice_mem(p, size * n));

	c->header_bytes += size * n;
	if (c->header_bytes > HEADERS_MAX)
		return 0;
	if (slice_starts(line, SLICE_LIT("HTTP/")))
		on_status_line(c, line);
	else if (line.n == 0)
		c->answered = c->status >= 200;
	else if (!c->answered) /* after it: trailers */
		on_header_line(c, line);
	return size * n;
}

static size_t
on_write(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	size_t bytes = size * n;
	size_t room = c->answer.max - c->answer.n;

	buf_put(&c->answer, p, bytes < room ? bytes : room);
	c->answer_bytes += bytes;
	return c->answer.failed || c->answer_bytes > c->answer_max ? 0 : bytes;
}

/* The address is the one that is connected to next: no name server can
 * say another between the look and the connection. */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose UNUSED, struct curl_sockaddr *to)
{
	struct http_call *c = arg;

	c->not_public = !public_address(&to->addr);
	if (c->not_public) {
		errno = EACCES;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* ---- calls ------------------------------------------------------------ */

static void
call_free(struct http_call *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	free(c->keep_header);
	buf_clear(&c->header);
	buf_clear(&c->head);
	buf_clear(&c->body);
	buf_clear(&c->answer);
	free(c);
}

/* Forget the request, keep the handle. */
static void
call_recycle(struct http *h, struct http_call *c)
{
	if (h->nspare >= SPARE_MAX) {
		call_free(c);
		return;
	}
	curl_slist_free_all(c->headers);
	c->headers = NULL;
	free(c->keep_header);
	c->keep_header = NULL;
	buf_clear(&c->header);
	buf_clear(&c->head);
	buf_clear(&c->body);
	buf_clear(&c->answer);
	c->next = h->spare;
	h->spare = c;
	h->nspare++;
}

#define SET(option, value)                                                     \
	(ok = ok && curl_easy_setopt(c->easy, (option), (value)) == CURLE_OK)

static bool
set_callbacks(struct http_call *c)
{
	bool ok = true;

	SET(CURLOPT_PRIVATE, (void *)c);
	SET(CURLOPT_ERRORBUFFER, c->error);
	SET(CURLOPT_PREREQFUNCTION, on_prereq);
	SET(CURLOPT_PREREQDATA, (void *)c);
	SET(CURLOPT_READFUNCTION, on_read);
	SET(CURLOPT_READDATA, (void *)c);
	SET(CURLOPT_SEEKFUNCTION, on_seek);
	SET(CURLOPT_SEEKDATA, (void *)c);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, (void *)c);
	SET(CURLOPT_WRITEFUNCTION, on_write);
	SET(CURLOPT_WRITEDATA, (void *)c);
	return ok;
}

/* What holds for every request; false without memory. */
static bool
set_options(const struct http *h, struct http_call *c)
{
	bool ok = true;

	if (h->public_only) {
		SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
		SET(CURLOPT_OPENSOCKETDATA, (void *)c);
	}
	/* No signals in a program with threads; a name that takes long to
	 * resolve must not hold up the end of its request (getaddrinfo
	 * cannot be cut short, curl would join its thread). */
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	/* "" and not NULL: that would be the environment's. */
	SET(CURLOPT_PROXY, h->proxy ? h->proxy : "");
	/* One request a connection at a time keeps "sent or not" plain. */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_USERAGENT, h->user_agent);
	/* NULL would be no authorities at all. */
	if (h->ca_file)
		SET(CURLOPT_CAINFO, h->ca_file);
	return ok;
}

static bool
has_no_body(const struct http_request *r)
{
	return r->method &&
	       (strcmp(r->method, "GET") == 0 ||
		   (strcmp(r->method, "DELETE") == 0 && r->body.n == 0));
}

/* What a handle must forget of its last request, or learn for this one. */
static bool
set_request(struct http_call *c, const struct http_request *r)
{
	bool ok = true;

	if (has_no_body(r))
		SET(CURLOPT_HTTPGET, 1L);
	else
		SET(CURLOPT_POST, 1L);
	SET(CURLOPT_CUSTOMREQUEST, r->method);
	/* "gzip" and not "": that would be all this libcurl can unpack. */
	SET(CURLOPT_ACCEPT_ENCODING, r->gzip ? "gzip" : NULL);
	SET(CURLOPT_URL, r->url);
	SET(CURLOPT_HTTPHEADER, c->headers);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	return ok;
}
#undef SET

static struct http_call *
call_new(struct http *h)
{
	struct http_call *c = h->spare;

	if (c) {
		h->spare = c->next;
		h->nspare--;
		return c;
	}
	c = xcalloc(1, sizeof *c);
	c->http = h;
	c->body = (struct buf)BUF_INIT(SIZE_MAX / 4);
	c->head = (struct buf)BUF_INIT(HTTP_KEEP_HEAD);
	c->header = (struct buf)BUF_INIT(HTTP_KEEP_HEADER);
	c->easy = curl_easy_init();
	if (!c->easy || !set_callbacks(c) || !set_options(h, c)) {
		call_free(c);
		return NULL;
	}
	return c;
}

static bool
call_add_header(struct http_call *c, const char *line)
{
	struct curl_slist *longer = curl_slist_append(c->headers, line);

	if (longer)
		c->headers = longer;
	return longer;
}

static bool
call_fill(struct http_call *c, const struct http_request *r)
{
	c->repeatable = r->repeatable;
	c->body_at = c->header_bytes = c->answer_bytes = 0;
	c->sent = c->answered = c->whole = c->not_public = false;
	c->status = 0;
	c->retry_after_s = -1;
	c->has_header = false;
	c->keep_head = r->keep_head;
	c->answer = (struct buf)BUF_INIT(r->keep > 0 ? r->keep : HTTP_KEEP);
	c->answer_max = r->keep > 0 ? r->keep : HTTP_READ_MAX;
	if (r->keep_header)
		c->keep_header = xstrdup(r->keep_header);
	c->error[0] = '\0';
	buf_put_slice(&c->body, r->body);
	for (size_t i = 0; i < r->nheaders; i++)
		if (!call_add_header(c, r->headers[i]))
			return false;
	/* No wait for "100 Continue" before larger bodies. */
	return call_add_header(c, "Expect:") && !c->body.failed &&
	       set_request(c, r);
}

enum rc
http_add(struct http *h, const struct http_request *request, void *tag,
    struct err *err)
{
	struct http_call *c = call_new(h);

	if (!c)
		return err_set(err, RC_RETRY, "no memory for a request");
	c->tag = tag;
	if (!call_fill(c, request) ||
	    curl_multi_add_handle(h->multi, c->easy)) {
		call_free(c);
		return err_set(err, RC_RETRY, "no memory for a request");
	}
	c->at = &h->calls;
	c->next = h->calls;
	if (h->calls)
		h->calls->at = &c->next;
	h->calls = c;
	h->ncalls++;
	return RC_OK;
}

static void
unlink_call(struct http *h, struct http_call *c)
{
	curl_multi_remove_handle(h->multi, c->easy);
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	h->ncalls--;
}

/*
 * An answer whose headers are whole counts as one, however its body ended:
 * the other side has decided, and asking again could only do harm.
 * "Unsupported protocol" is curl's code for a bad scheme, and, once sent, for
 * an answer that is not HTTP.
 */
static enum http_end
sort_end(const struct http_call *c, CURLcode code)
{
	if (c->answered)
		return HTTP_ANSWERED;
	if (code == CURLE_OPERATION_TIMEDOUT)
		return HTTP_TIMEOUT;
	if (!c->sent && c->not_public)
		return HTTP_UNUSABLE;
	if (!c->sent &&
	    (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL))
		return HTTP_UNUSABLE;
	return HTTP_BROKEN;
}

static const char *
error_text(const struct http_call *c, CURLcode code)
{
	if (c->answered || code == CURLE_OK)
		return "";
	if (code == CURLE_SEND_FAIL_REWIND)
		return "the connection was lost, the request may have arrived";
	if (c->not_public)
		return "the address is not one of the Internet";
	return c->error[0] ? c->error : curl_easy_strerror(code);
}

static void
finish(struct http *h, struct http_call *c, enum http_end end,
    const char *error, http_done_fn *done, void *arg)
{
	struct http_response r = {
		.end = end,
		.status = end == HTTP_ANSWERED ? c->status : 0,
		.sent = c->sent,
		.retry_after_s = c->retry_after_s,
		.body = buf_slice(&c->answer),
		.whole = c->whole && c->answer_bytes == c->answer.n,
		.head = buf_slice(&c->head),
		.header =
		    c->has_header ? slice_str(buf_str(&c->header)) : SLICE_NONE,
		.error = error,
	};

	unlink_call(h, c);
	done(arg, c->tag, &r);
	call_recycle(h, c);
}

static size_t
report_ended(struct http *h, http_done_fn *done, void *arg)
{
	struct http_call *c;
	CURLMsg *msg;
	CURLcode code;
	size_t ended = 0;
	int left;

	while ((msg = curl_multi_info_read(h->multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		code = msg->data.result;
		c = NULL;
		if (curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &c) ||
		    !c)
			continue;
		c->whole = code == CURLE_OK;
		finish(h, c, sort_end(c, code), error_text(c, code), done, arg);
		ended++;
	}
	return ended;
}

void
http_poll(struct http *h, int timeout_ms, http_done_fn *done, void *arg)
{
	int running;

	curl_multi_perform(h->multi, &running);
	if (report_ended(h, done, arg) > 0 || timeout_ms <= 0)
		return;
	curl_multi_poll(h->multi, NULL, 0, timeout_ms, NULL);
	curl_multi_perform(h->multi, &running);
	report_ended(h, done, arg);
}

void
http_abandon(struct http *h, http_done_fn *done, void *arg)
{
	struct http_call *c, *next;

	/* What ended by itself is reported as it ended. */
	report_ended(h, done, arg);
	for (c = h->calls; c; c = next) {
		next = c->next;
		finish(h, c, c->answered ? HTTP_ANSWERED : HTTP_ABANDONED,
		    c->answered ? "" : "given up", done, arg);
	}
}

size_t
http_running(const struct http *h)
{
	return h->ncalls;
}

struct slice
http_head_find(struct slice head, const char *name)
{
	struct slice found = SLICE_NONE, want = slice_str(name);

	while (head.n > 0) {
		struct slice line = slice_mem(head.p, slice_find(head, '\n'));
		size_t colon = slice_find(line, ':');

		if (slice_eq_nocase(slice_mem(line.p, colon), want))
			found = slice_trim(slice_from(line, colon + 1));
		head = slice_from(head, line.n + 1);
	}
	return found;
}

/* ---- life ------------------------------------------------------------- */

static char *
copy_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

enum rc
http_new(const struct http_opts *opts, struct http **out, struct err *err)
{
	struct http *h;
	enum rc rc = curl_begin(err);

	if (rc != RC_OK)
		return rc;
	h = xcalloc(1, sizeof *h);
	h->multi = curl_multi_init();
	if (!h->multi) {
		free(h);
		return err_set(err, RC_FATAL, "no memory for libcurl");
	}
	h->clock = opts->clock ? opts->clock : &clock_system;
	h->user_agent = copy_or_null(opts->user_agent);
	h->proxy = copy_or_null(opts->proxy);
	h->ca_file = copy_or_null(opts->ca_file);
	h->public_only = opts->public_only;
	*out = h;
	return RC_OK;
}

void
http_free(struct http *h)
{
	struct http_call *c, *next;

	if (!h)
		return;
	for (c = h->calls; c; c = next) {
		next = c->next;
		curl_multi_remove_handle(h->multi, c->easy);
		call_free(c);
	}
	for (c = h->spare; c; c = next) {
		next = c->next;
		call_free(c);
	}
	curl_multi_cleanup(h->multi);
	free(h->user_agent);
	free(h->proxy);
	free(h->ca_file);
	free(h);
}

enum rc
http_origin(const char *url, char out[HTTP_ORIGIN_MAX], struct err *err)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	CURLU *u = curl_url();
	enum rc rc = RC_OK;
	int n;

	if (!u || curl_url_set(u, CURLUPART_URL, url, 0) ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
		rc = err_set(err, RC_REJECT, "not a URL");
		goto out;
	}
	if (strcasecmp(scheme, "http") != 0 &&
	    strcasecmp(scheme, "https") != 0) {
		rc = err_set(err, RC_REJECT, "not an http or https URL");
		goto out;
	}
	n = snprintf(out, HTTP_ORIGIN_MAX, "%s://%s:%s", scheme, host, port);
	if (n < 0 || n >= HTTP_ORIGIN_MAX) {
		rc = err_set(err, RC_REJECT, "the URL's host is too long");
		goto out;
	}
	for (char *p = out; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
out:
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return rc;
}
