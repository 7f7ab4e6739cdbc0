#include "executors/task_webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/xalloc.h"
#include "formats/php_query.h"
#include "formats/utf8.h"
#include "wire/http.h"

enum {
	TIMEOUT_MS = 15000, /* wp_remote_post()'s in the pattern */
	CONNECT_MS = 10000,
	TICK_MS = 500,
	REDIRECTS_MAX = 5, /* WordPress' default */
	HEADERS_MAX = 64,
	WORDS_MAX = 200,
};
#define BODY_MAX ((size_t)16 << 20)
#define URL_MAX ((size_t)8192)
#define ARENA_MAX ((size_t)64 << 20)
#define CONTENT_TYPE "Content-Type: application/x-www-form-urlencoded"

struct task_webhook {
	struct task_webhook_opts opts;
	struct http *open, *guarded; /* made when needed */
};

struct sending {
	struct task_webhook *w;
	const struct task_call *call;
	struct arena arena;
	char method[8];
	struct buf url, body;
	const char *headers[HEADERS_MAX + 2];
	size_t nheaders;
	bool has_type, has_key;
	mono_ms until;

	/* The answer to the last request. */
	bool ended;
	enum http_end end;
	int status;
	char *location; /* NULL: none; the arena's */
	struct buf words;
};

struct task_webhook *
task_webhook_new(const struct task_webhook_opts *opts)
{
	struct task_webhook *w = xcalloc(1, sizeof *w);

	w->opts = *opts;
	if (!w->opts.clock)
		w->opts.clock = &clock_system;
	return w;
}

void
task_webhook_free(struct task_webhook *w)
{
	if (!w)
		return;
	http_free(w->open);
	http_free(w->guarded);
	free(w);
}

/* ---- the payload -------------------------------------------------------- */

static enum rc
read_url(
    struct sending *s, const struct php_serialize_value *p, struct err *err)
{
	const struct php_serialize_value *v = php_serialize_at(p, "url");
	char origin[HTTP_ORIGIN_MAX];
	struct slice url;

	if (!v || v->type != PHP_SERIALIZE_STRING)
		return err_set(err, RC_REJECT, "the payload has no url");
	url = slice_trim(v->text);
	if (slice_find(url, '\0') < url.n)
		return err_set(err, RC_REJECT, "not a URL");
	/* What a browser keeps to itself. */
	buf_put(&s->url, url.p, slice_find(url, '#'));
	if (s->url.failed)
		return err_set(
		    err, RC_REJECT, "the url is over %zu bytes", URL_MAX);
	return http_origin(buf_str(&s->url), origin, err);
}

static enum rc
read_method(
    struct sending *s, const struct php_serialize_value *p, struct err *err)
{
	static const char *const methods[] = { "POST", "GET", "PUT", "PATCH",
		"DELETE" };
	const struct php_serialize_value *v = php_serialize_at(p, "method");
	struct slice name = SLICE_LIT("POST");

	if (v && v->type == PHP_SERIALIZE_STRING && v->text.n > 0)
		name = slice_trim(v->text);
	for (size_t i = 0; i < NELEMS(methods); i++)
		if (slice_eq_nocase(name, slice_str(methods[i]))) {
			(void)snprintf(
			    s->method, sizeof s->method, "%s", methods[i]);
			return RC_OK;
		}
	return err_set(err, RC_REJECT,
	    "a method other than POST, GET, PUT, PATCH, DELETE");
}

static enum rc
read_body(
    struct sending *s, const struct php_serialize_value *p, struct err *err)
{
	const struct php_serialize_value *v = php_serialize_at(p, "body");
	struct err why = ERR_INIT;

	if (!v)
		return RC_OK;
	if (v->type == PHP_SERIALIZE_STRING)
		buf_put_slice(&s->body, v->text);
	else if (v->type == PHP_SERIALIZE_INT)
		buf_put_i64(&s->body, v->integer);
	else if (v->type == PHP_SERIALIZE_FLOAT)
		php_query_put_float(&s->body, v->text);
	else if (php_query_put(v, &s->body, &why) != RC_OK)
		return err_set(err, RC_REJECT, "the body: %.400s", why.text);
	if (s->body.failed)
		return err_set(
		    err, RC_REJECT, "the body is over %zu bytes", BODY_MAX);
	return RC_OK;
}

/* A GET's goes to the end of the query. */
static enum rc
move_body(struct sending *s, struct err *err)
{
	struct slice url = buf_slice(&s->url);

	if (strcmp(s->method, "GET") != 0 || s->body.n == 0)
		return RC_OK;
	buf_put_char(&s->url, slice_find(url, '?') < url.n ? '&' : '?');
	buf_put_slice(&s->url, buf_slice(&s->body));
	buf_reset(&s->body);
	if (s->url.failed)
		return err_set(
		    err, RC_REJECT, "the url is over %zu bytes", URL_MAX);
	return RC_OK;
}

static void
read_timeout(struct sending *s, const struct php_serialize_value *p)
{
	const struct php_serialize_value *v = php_serialize_at(p, "timeout");
	struct buf text = BUF_INIT(32);
	double seconds = 0;

	if (v && v->type == PHP_SERIALIZE_INT)
		seconds = (double)v->integer;
	else if (v && (v->type == PHP_SERIALIZE_FLOAT ||
			  v->type == PHP_SERIALIZE_STRING)) {
		buf_put_slice(&text, v->text);
		seconds = strtod(buf_str(&text), NULL);
	}
	buf_clear(&text);
	if (!(seconds > 0))
		seconds = TIMEOUT_MS / 1000.0;
	if (seconds > s->call->timeout_ms / 1000.0)
		seconds = s->call->timeout_ms / 1000.0;
	s->until =
	    clock_mono(s->w->opts.clock) + (mono_ms)(seconds * 1000.0) + 1;
}

/* ---- headers ------------------------------------------------------------ */

static bool
is_token(struct slice name)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			(c >= 'a' && c <= 'z') || (c && strchr(others, c))))
			return false;
	}
	return name.n > 0;
}

static bool
is_one_line(struct slice value)
{
	return slice_find(value, '\r') == value.n &&
	       slice_find(value, '\n') == value.n &&
	       slice_find(value, '\0') == value.n;
}

/* They are the connection's, not the payload's. */
static bool
is_ours(struct slice name)
{
	static const char *const names[] = { "Host", "Content-Length",
		"Transfer-Encoding", "Connection", "Expect" };

	for (size_t i = 0; i < NELEMS(names); i++)
		if (slice_eq_nocase(name, slice_str(names[i])))
			return true;
	return false;
}

static void
note_header(struct sending *s, struct slice name)
{
	s->has_type |= slice_eq_nocase(name, SLICE_LIT("Content-Type"));
	s->has_key |= slice_eq_nocase(name, SLICE_LIT("Idempotency-Key"));
}

static enum rc
add_header(
    struct sending *s, struct slice name, struct slice value, struct err *err)
{
	struct buf line = BUF_INIT(URL_MAX);

	value = slice_trim(value);
	if (is_ours(name))
		return RC_OK;
	if (s->nheaders >= HEADERS_MAX || !is_token(name) ||
	    !is_one_line(value))
		return err_set(err, RC_REJECT, "a header that cannot be sent");
	note_header(s, name);
	buf_put_slice(&line, name);
	/* curl's way to send one without a value. */
	buf_put_str(&line, value.n > 0 ? ": " : ";");
	buf_put_slice(&line, value);
	s->headers[s->nheaders] = arena_strdup(&s->arena, buf_slice(&line));
	if (line.failed || !s->headers[s->nheaders]) {
		buf_clear(&line);
		return err_set(
		    err, RC_REJECT, "a header is over %zu bytes", URL_MAX);
	}
	s->nheaders++;
	buf_clear(&line);
	return RC_OK;
}

static enum rc
add_header_line(struct sending *s, struct slice line, struct err *err)
{
	size_t colon = slice_find(line, ':');

	if (slice_trim(line).n == 0)
		return RC_OK;
	return add_header(s, slice_trim(slice_mem(line.p, colon)),
	    slice_from(line, colon + 1), err);
}

static enum rc
add_header_member(
    struct sending *s, const struct php_serialize_member *m, struct err *err)
{
	const struct php_serialize_value *v = php_serialize_deref(&m->value);
	struct buf number = BUF_INIT(64);
	struct slice value;
	enum rc rc;

	if (v->type == PHP_SERIALIZE_INT)
		buf_put_i64(&number, v->integer);
	else if (v->type == PHP_SERIALIZE_FLOAT)
		php_query_put_float(&number, v->text);
	value = v->type == PHP_SERIALIZE_STRING ? v->text : buf_slice(&number);
	rc = m->int_key ? add_header_line(s, value, err)
			: add_header(s, slice_trim(m->key), value, err);
	buf_clear(&number);
	return rc;
}

static enum rc
read_headers(
    struct sending *s, const struct php_serialize_value *p, struct err *err)
{
	const struct php_serialize_value *v = php_serialize_at(p, "headers");
	struct slice rest;
	enum rc rc = RC_OK;

	if (v && v->type == PHP_SERIALIZE_ARRAY)
		for (size_t i = 0; i < v->nmembers && rc == RC_OK; i++)
			rc = add_header_member(s, &v->members[i], err);
	rest = v && v->type == PHP_SERIALIZE_STRING ? v->text : SLICE_NONE;
	while (rest.n > 0 && rc == RC_OK) {
		struct slice line = slice_mem(rest.p, slice_find(rest, '\n'));

		rc = add_header_line(s, slice_trim(line), err);
		rest = slice_from(rest, line.n + 1);
	}
	if (rc == RC_OK && !s->has_key && s->call->key.n > 0)
		rc = add_header(
		    s, SLICE_LIT("Idempotency-Key"), s->call->key, err);
	return rc;
}

static enum rc
read_payload(struct sending *s, struct err *err)
{
	struct php_serialize_value v;
	enum rc rc = php_serialize_parse(
	    s->call->payload, &PHP_SERIALIZE_LIMITS, &s->arena, &v, err);

	if (rc != RC_OK)
		return err_wrap(err, "the payload");
	if (v.type != PHP_SERIALIZE_ARRAY)
		return err_set(err, RC_REJECT, "the payload is not an array");
	rc = read_url(s, &v, err);
	if (rc == RC_OK)
		rc = read_method(s, &v, err);
	if (rc == RC_OK)
		rc = read_body(s, &v, err);
	if (rc == RC_OK)
		rc = move_body(s, err);
	if (rc == RC_OK)
		rc = read_headers(s, &v, err);
	read_timeout(s, &v);
	return rc;
}

/* ---- one request -------------------------------------------------------- */

/* Does the list have the host of an origin, with or without its port? */
static bool
is_allowed(const struct task_webhook *w, struct slice origin)
{
	const struct config_list *list = w->opts.allow_hosts;
	struct slice host = slice_from(origin, slice_find(origin, ':') + 3);
	size_t colon = host.n;

	while (colon > 0 && host.p[colon - 1] != ':')
		colon--;
	for (size_t i = 0; list && i < list->n; i++) {
		struct slice item = slice_str(list->items[i]);
		struct slice bare =
		    slice_mem(host.p, colon > 0 ? colon - 1 : 0);

		if (bare.n > 2 && bare.p[0] == '[' && item.n > 0 &&
		    item.p[0] != '[')
			bare = slice_mem(bare.p + 1, bare.n - 2);
		if (slice_eq_nocase(item, bare) || slice_eq_nocase(item, host))
			return true;
	}
	return false;
}

static enum rc
choose_http(
    struct task_webhook *w, bool open, struct http **out, struct err *err)
{
	struct http **h = open ? &w->open : &w->guarded;
	enum rc rc = RC_OK;

	if (!*h)
		rc = http_new(&(const struct http_opts){ .clock = w->opts.clock,
				  .user_agent = "wp-cron-fcgi/" VERSION,
				  .ca_file = w->opts.ca_file,
				  .public_only = !open },
		    h, err);
	*out = *h;
	return rc;
}

/* An http_done_fn. */
static void
on_done(void *arg, void *tag, const struct http_response *r)
{
	struct sending *s = arg;
	struct slice location = http_head_find(r->head, "Location");

	(void)tag;
	s->ended = true;
	s->end = r->end;
	s->status = r->status;
	s->location = location.n > 0 ? arena_strdup(&s->arena, location) : NULL;
	buf_reset(&s->words);
	utf8_put_line(&s->words,
	    r->end == HTTP_ANSWERED ? r->body : slice_str(r->error), WORDS_MAX);
}

static enum rc
send_once(struct sending *s, struct err *err)
{
	struct http_request request = { .method = s->method,
		.url = buf_str(&s->url),
		.headers = s->headers,
		.nheaders = s->nheaders,
		.body = buf_slice(&s->body),
		.keep_head = true,
		.connect_timeout_ms = CONNECT_MS,
		.repeatable = strcmp(s->method, "GET") == 0 };
	mono_ms left = s->until - clock_mono(s->w->opts.clock);
	char origin[HTTP_ORIGIN_MAX];
	struct http *h = NULL;
	enum rc rc = http_origin(request.url, origin, err);

	if (rc == RC_OK)
		rc = choose_http(
		    s->w, is_allowed(s->w, slice_str(origin)), &h, err);
	if (rc != RC_OK)
		return rc;
	/* An array with any other body would be PHP's form. */
	if (!s->has_type && strcmp(s->method, "GET") != 0)
		s->headers[request.nheaders++] = CONTENT_TYPE;
	request.timeout_ms = left > 1 ? (uint32_t)left : 1;
	s->ended = false;
	rc = http_add(h, &request, s, err);
	while (rc == RC_OK && !s->ended) {
		http_poll(h, TICK_MS, on_done, s);
		if (s->call->tick)
			s->call->tick(s->call->arg);
		if (s->call->give_up && s->call->give_up(s->call->arg))
			http_abandon(h, on_done, s);
	}
	return rc;
}

/* ---- redirects ---------------------------------------------------------- */

static bool
is_redirect(const struct sending *s)
{
	return s->end == HTTP_ANSWERED && s->location &&
	       (s->status == 301 || s->status == 302 || s->status == 303 ||
		   s->status == 307 || s->status == 308);
}

static void
drop_header(struct sending *s, const char *name)
{
	struct slice want = slice_str(name);

	for (size_t i = 0; i < s->nheaders;) {
		struct slice line = slice_str(s->headers[i]);

		line.n = strcspn(s->headers[i], ":;");
		if (slice_eq_nocase(line, want))
			s->headers[i] = s->headers[--s->nheaders];
		else
			i++;
	}
}

/* What it says there is not for somebody else. */
static enum rc
drop_credentials(struct sending *s, const char *next, struct err *err)
{
	char from[HTTP_ORIGIN_MAX], to[HTTP_ORIGIN_MAX];
	enum rc rc = http_origin(buf_str(&s->url), from, err);

	if (rc == RC_OK)
		rc = http_origin(next, to, err);
	if (rc == RC_OK && strcmp(from, to) != 0) {
		drop_header(s, "Authorization");
		drop_header(s, "Cookie");
	}
	return rc;
}

static enum rc
follow(struct sending *s, struct err *err)
{
	struct buf next = BUF_INIT(URL_MAX);
	enum rc rc = http_resolve(buf_str(&s->url), s->location, &next, err);

	if (rc == RC_OK)
		rc = drop_credentials(s, buf_str(&next), err);
	if (rc != RC_OK) {
		buf_clear(&next);
		return err_wrap(err, "a redirect");
	}
	buf_clear(&s->url);
	s->url = next;
	if (s->status == 302 || s->status == 303) {
		(void)snprintf(s->method, sizeof s->method, "GET");
		buf_reset(&s->body);
		drop_header(s, "Content-Type");
		s->has_type = false;
	}
	return RC_OK;
}

/* ---- the whole ---------------------------------------------------------- */

static enum rc
judge(struct sending *s, struct err *err)
{
	const char *words = buf_str(&s->words);
	char origin[HTTP_ORIGIN_MAX] = "";

	if (s->end == HTTP_ANSWERED && s->status >= 200 && s->status < 300)
		return RC_OK;
	if (is_redirect(s))
		return err_set(err, RC_RETRY, "more than %d redirects",
		    (int)REDIRECTS_MAX);
	if (s->end == HTTP_ANSWERED)
		return err_set(err, RC_RETRY, "HTTP status %d%s%s", s->status,
		    *words ? ": " : "", words);
	if (http_origin(buf_str(&s->url), origin, NULL) != RC_OK)
		*origin = '\0';
	return err_set(err, s->end == HTTP_UNUSABLE ? RC_REJECT : RC_RETRY,
	    "%s: %s", origin, words);
}

enum rc
task_webhook_send(
    struct task_webhook *w, const struct task_call *c, struct err *err)
{
	struct sending s = { .w = w,
		.call = c,
		.arena = ARENA_INIT(ARENA_MAX),
		.url = BUF_INIT(URL_MAX),
		.body = BUF_INIT(BODY_MAX),
		.words = BUF_INIT((size_t)4 * WORDS_MAX) };
	enum rc rc = read_payload(&s, err);

	for (int hops = 0; rc == RC_OK; hops++) {
		rc = send_once(&s, err);
		if (rc != RC_OK || !is_redirect(&s) || hops == REDIRECTS_MAX)
			break;
		rc = follow(&s, err);
	}
	if (rc == RC_OK)
		rc = judge(&s, err);
	buf_clear(&s.url);
	buf_clear(&s.body);
	buf_clear(&s.words);
	arena_clear(&s.arena);
	return rc == RC_FATAL ? RC_RETRY : rc;
}
