#include "executors/webhook.h"

#include "base/buf.h"
#include "base/xalloc.h"
#include "formats/utf8.h"
#include "formats/webhook_signature.h"
#include "wire/http.h"

#include <inttypes.h>

#define MAX_CONCURRENCY 25
#define CONNECT_TIMEOUT_MS 5000
/* For a policy without one: curl takes 0 for "never". */
#define TIMEOUT_MS 60000
/* Action Scheduler keeps arguments in a longtext; beyond this a POST is not
 * what carries them. */
#define BODY_MAX ((size_t)4 * 1024 * 1024)
/* Of the receiver's words in a message. */
#define WORDS_MAX 500
/* How often a job that waits for a place at its host asks again: places are
 * freed by other threads. */
#define WAIT_POLL_MS 20

struct webhook_call {
	struct webhook *owner;
	struct webhook_call *next; /* free, waiting or ended */
	struct job *job;
	struct webhook_host *host;
	bool probe;
	struct outcome outcome; /* on the list of ended ones */
};

/* A list that keeps its order. */
struct call_list {
	struct webhook_call *first, **end;
};

struct webhook {
	struct executor base; /* first */
	struct webhook_opts opts;
	struct http *http;
	size_t max, running;
	struct webhook_call *calls; /* `max` of them */
	struct webhook_call *free;
	struct call_list waiting; /* for a place at their host */
	struct call_list ended;   /* to be reported by the next poll */
	outcome_fn *report;       /* during poll() and abandon() */
	void *report_arg;
};

static void
list_init(struct call_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void
list_add(struct call_list *l, struct webhook_call *c)
{
	c->next = NULL;
	*l->end = c;
	l->end = &c->next;
}

/* Everything of the list; it is empty then. */
static struct webhook_call *
list_take(struct call_list *l)
{
	struct webhook_call *first = l->first;

	list_init(l);
	return first;
}

static const struct webhook *
of(const struct executor *e)
{
	return (const struct webhook *)(const void *)e;
}

/* ---- outcomes --------------------------------------------------------- */

static struct outcome
outcome_of(const struct webhook_call *c, enum outcome_kind kind)
{
	return (struct outcome){
		.job = c->job,
		.kind = kind,
		.ended_at = clock_wall(c->owner->opts.clock),
	};
}

/* Ends before anything was sent; the next poll reports it. */
static void
end_early(struct webhook_call *c, enum outcome_kind kind,
    int64_t retry_after_ms, const char *message)
{
	c->outcome = outcome_of(c, kind);
	c->outcome.retry_after_ms = retry_after_ms;
	c->outcome.unsent = true;
	(void)snprintf(
	    c->outcome.message, sizeof c->outcome.message, "%s", message);
	list_add(&c->owner->ended, c);
}

static void
report_and_free(
    struct webhook *w, struct webhook_call *c, const struct outcome *o)
{
	w->running--;
	c->next = w->free;
	w->free = c;
	w->report(w->report_arg, o);
}

static void
report_ended(struct webhook *w)
{
	struct webhook_call *c = list_take(&w->ended), *next;

	for (; c; c = next) {
		struct outcome o = c->outcome;

		next = c->next;
		report_and_free(w, c, &o);
	}
}

static enum outcome_kind
status_outcome(int status)
{
	if (status >= 200 && status < 300)
		return OUTCOME_DONE;
	if (status == 408 || status == 425 || status == 429 || status >= 500)
		return OUTCOME_RETRY;
	return OUTCOME_FAILED;
}

static enum breaker_result
breaker_result(const struct http_response *r)
{
	switch (r->end) {
	case HTTP_ANSWERED:
		return r->status == 429 || r->status >= 500 ? BREAKER_FAILED
							    : BREAKER_OK;
	case HTTP_TIMEOUT:
	case HTTP_BROKEN:
		return BREAKER_FAILED;
	case HTTP_UNUSABLE:
	case HTTP_ABANDONED:
		break;
	}
	return BREAKER_UNKNOWN;
}

static void
answer_message(const struct http_response *r, char *out, size_t size)
{
	struct buf text = BUF_INIT(size - 1), words = BUF_INIT(WORDS_MAX);

	buf_printf(&text, "HTTP %d", r->status);
	utf8_put_line(&words, r->body, WORDS_MAX);
	if (r->status < 400)
		buf_put_str(&text, ": redirects are not followed");
	else if (words.n > 0)
		buf_printf(&text, ": %s", buf_str(&words));
	(void)snprintf(out, size, "%s", buf_str(&text));
	buf_clear(&words);
	buf_clear(&text);
}

static void
fill_outcome(struct outcome *o, const struct http_response *r)
{
	switch (r->end) {
	case HTTP_ANSWERED:
		o->kind = status_outcome(r->status);
		if (o->kind == OUTCOME_RETRY && r->retry_after_s > 0)
			o->retry_after_ms = r->retry_after_s * 1000;
		if (o->kind != OUTCOME_DONE)
			answer_message(r, o->message, sizeof o->message);
		return;
	case HTTP_UNUSABLE:
		o->kind = OUTCOME_FAILED;
		break;
	case HTTP_TIMEOUT:
		o->strike = r->sent;
		break;
	case HTTP_BROKEN:
	case HTTP_ABANDONED:
		break;
	}
	o->unsent = !r->sent;
	(void)snprintf(o->message, sizeof o->message, "%s%s",
	    r->sent ? "no answer: " : "not sent: ", r->error);
}

static void
on_http_done(void *arg, void *tag, const struct http_response *r)
{
	struct webhook *w = arg;
	struct webhook_call *c = tag;
	struct outcome o = outcome_of(c, OUTCOME_RETRY);

	fill_outcome(&o, r);
	webhook_hosts_end(w->opts.hosts, c->host, c->probe, breaker_result(r));
	report_and_free(w, c, &o);
}

/* ---- sending ---------------------------------------------------------- */

#define HEADER_MAX (WEBHOOK_KEY_MAX + 32)
struct headers {
	char text[6][HEADER_MAX];
	const char *lines[6];
	size_t n;
};

static void PRINTF_LIKE(2, 3)
    add_header(struct headers *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(h->text[h->n], HEADER_MAX, fmt, ap);
	va_end(ap);
	h->lines[h->n] = h->text[h->n];
	h->n++;
}

static enum rc
put_headers(const struct webhook *w, const struct job *job,
    const struct webhook_site *site, struct slice body, struct headers *h,
    struct err *err)
{
	char key[WEBHOOK_KEY_MAX], signature[WEBHOOK_SIGNATURE_LEN + 1];
	int64_t now = clock_unix(w->opts.clock);
	enum rc rc;

	webhook_body_key(job, site, key);
	add_header(h, "Content-Type: application/json");
	add_header(h, "Idempotency-Key: %s", key);
	if (!job->policy->secret)
		return RC_OK;
	rc = webhook_signature_sign(slice_str(job->policy->secret),
	    slice_str(key), now, body, signature, err);
	if (rc != RC_OK)
		return rc;
	add_header(h, "webhook-id: %s", key);
	add_header(h, "webhook-timestamp: %" PRId64, now);
	add_header(h, "webhook-signature: %s", signature);
	return RC_OK;
}

static enum rc
send_call(struct webhook *w, struct webhook_call *c, struct err *err)
{
	const struct job *job = c->job;
	const struct webhook_site *site = w->opts.site(w->opts.arg, job);
	struct headers headers = { .n = 0 };
	struct buf body = BUF_INIT(BODY_MAX);
	struct http_request request = {
		.url = job->route->target,
		.timeout_ms = job->policy->timeout_ms ? job->policy->timeout_ms
						      : TIMEOUT_MS,
		.connect_timeout_ms = w->opts.connect_timeout_ms,
		.repeatable = job->policy->idempotent,
	};
	enum rc rc;

	rc = webhook_body_render(job, site, &body, err);
	if (rc != RC_OK)
		goto out;
	request.body = buf_slice(&body);
	rc = put_headers(w, job, site, request.body, &headers, err);
	if (rc != RC_OK)
		goto out;
	request.headers = headers.lines;
	request.nheaders = headers.n;
	rc = http_add(w->http, &request, c, err);
out:
	buf_clear(&body);
	return rc;
}

/* Send, wait, or end: whatever the host's state says. */
static void
try_call(struct webhook *w, struct webhook_call *c)
{
	struct err err = ERR_INIT;
	int64_t retry_after_ms;

	switch (webhook_hosts_begin(
	    w->opts.hosts, c->host, &c->probe, &retry_after_ms)) {
	case WEBHOOK_FULL:
		list_add(&w->waiting, c);
		return;
	case WEBHOOK_SHUT:
		end_early(c, OUTCOME_RETRY, retry_after_ms,
		    "not sent: the receiver kept failing and is left alone "
		    "for a while");
		return;
	case WEBHOOK_ADMIT:
		break;
	}
	if (send_call(w, c, &err) == RC_OK)
		return;
	webhook_hosts_end(w->opts.hosts, c->host, c->probe, BREAKER_UNKNOWN);
	end_early(c, err.rc == RC_REJECT ? OUTCOME_FAILED : OUTCOME_RETRY, 0,
	    err.text);
}

static void
try_waiting(struct webhook *w)
{
	struct webhook_call *c = list_take(&w->waiting), *next;

	for (; c; c = next) {
		next = c->next;
		try_call(w, c);
	}
}

/* ---- the executor's operations ---------------------------------------- */

static size_t
webhook_room(const struct executor *e)
{
	return of(e)->max - of(e)->running;
}

static size_t
webhook_places(const struct executor *e, const struct job *job, bool *shut)
{
	return webhook_hosts_places(
	    of(e)->opts.hosts, job->route->target, shut);
}

static size_t
webhook_running(const struct executor *e)
{
	return of(e)->running;
}

static void
begin_one(struct webhook *w, struct job *job)
{
	struct webhook_call *c = w->free;
	struct err err = ERR_INIT;

	w->free = c->next;
	w->running++;
	*c = (struct webhook_call){ .owner = w, .job = job };
	if (webhook_hosts_find(
		w->opts.hosts, job->route->target, &c->host, &err) != RC_OK)
		end_early(c, OUTCOME_FAILED, 0, err.text);
	else
		try_call(w, c);
}

static void
webhook_begin(struct executor *e, struct job *const *jobs, size_t n)
{
	struct webhook *w = (struct webhook *)e;

	for (size_t i = 0; i < n; i++)
		begin_one(w, jobs[i]);
}

static void
webhook_poll(struct executor *e, int timeout_ms, outcome_fn *report, void *arg)
{
	struct webhook *w = (struct webhook *)e;

	if (w->running == 0)
		return;
	w->report = report;
	w->report_arg = arg;
	try_waiting(w);
	if (w->ended.first)
		timeout_ms = 0;
	else if (w->waiting.first && timeout_ms > WAIT_POLL_MS)
		timeout_ms = WAIT_POLL_MS;
	http_poll(w->http, timeout_ms, on_http_done, w);
	try_waiting(w);
	report_ended(w);
}

static void
webhook_abandon(struct executor *e, outcome_fn *report, void *arg)
{
	struct webhook *w = (struct webhook *)e;
	struct webhook_call *c, *next;

	w->report = report;
	w->report_arg = arg;
	for (c = list_take(&w->waiting); c; c = next) {
		next = c->next;
		end_early(c, OUTCOME_RETRY, 0, "not sent: stopped");
	}
	http_abandon(w->http, on_http_done, w);
	report_ended(w);
}

static void
webhook_free(struct executor *e)
{
	struct webhook *w = (struct webhook *)e;

	if (!w)
		return;
	http_free(w->http);
	free(w->calls);
	free(w);
}

static const struct executor_ops webhook_ops = {
	.name = "webhook",
	.room = webhook_room,
	.places = webhook_places,
	.begin = webhook_begin,
	.poll = webhook_poll,
	.running = webhook_running,
	.abandon = webhook_abandon,
	.free = webhook_free,
};

enum rc
webhook_new(
    const struct webhook_opts *opts, struct executor **out, struct err *err)
{
	struct webhook *w = xcalloc(1, sizeof *w);
	struct http_opts http_opts = {
		.clock = opts->clock,
		.user_agent = "wp-cron-fcgi/" VERSION,
		.proxy = opts->proxy,
		.ca_file = opts->ca_file,
	};
	enum rc rc = http_new(&http_opts, &w->http, err);

	if (rc != RC_OK) {
		free(w);
		return rc;
	}
	w->base.ops = &webhook_ops;
	w->opts = *opts;
	if (!w->opts.clock)
		w->opts.clock = &clock_system;
	if (w->opts.connect_timeout_ms == 0)
		w->opts.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	w->max =
	    opts->max_concurrency ? opts->max_concurrency : MAX_CONCURRENCY;
	w->calls = xcalloc(w->max, sizeof *w->calls);
	for (size_t i = 0; i < w->max; i++) {
		w->calls[i].next = w->free;
		w->free = &w->calls[i];
	}
	list_init(&w->waiting);
	list_init(&w->ended);
	*out = &w->base;
	return RC_OK;
}
