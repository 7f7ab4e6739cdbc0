#include "executors/esp/esp_http.h"

#include "base/buf.h"
#include "base/xalloc.h"

#include <ctype.h>
#include <string.h>

#define CONNECT_MS 5000
#define TIMEOUT_MS 30000
#define BULK_TIMEOUT_MS 120000
#define ANSWER_MAX ((size_t)8 << 20)
#define CONNECTIONS 4
/* How long a wait lasts before the host is asked again: it may have stopped,
 * or got budget back from another node. */
#define STEP_MS 100
/* Longer is for the next run. */
#define PATIENCE_MS 60000
/* Connections granted are asked for again after so long. */
#define GRANT_MS 1000
#define RETRY_AFTER_MAX_S 3600
/* A firewall's page instead of the API: no accident any more. */
#define HTML_MAX 5

struct esp_http {
	struct http *http;
	struct esp_host host;
	struct esp_limits limits;
	unsigned html_in_a_row;
	struct esp_run *run; /* under way */
};

/* One esp_http_run(). */
struct esp_run {
	struct esp_http *h;
	struct esp_call *calls;
	size_t n, next;    /* the next to send */
	uint32_t granted;  /* connections */
	mono_ms grant_old; /* when it is to be asked for again */
	unsigned taken;    /* budgets that `next` has, 1 << which */
	mono_ms not_before;
	mono_ms patience; /* when waiting for budget is given up; 0: none */
	bool stop;        /* nothing more is sent */
	struct arena *arena;
};

static mono_ms
now(const struct esp_http *h)
{
	return clock_mono(h->host.clock ? h->host.clock : &clock_system);
}

/* ---- what an answer means --------------------------------------------- */

static bool
is_html(const struct http_response *r)
{
	struct slice type = http_head_find(r->head, "content-type");
	struct slice body = slice_trim(r->body);

	if (type.n >= 9 &&
	    slice_eq_nocase(slice_mem(type.p, 9), SLICE_LIT("text/html")))
		return true;
	return body.n > 0 && body.p[0] == '<';
}

static enum esp_class
status_class(int status)
{
	if (status >= 200 && status < 300)
		return ESP_CLASS_OK;
	if (status < 400 || status == 401 || status == 403)
		return ESP_CLASS_CONFIG;
	if (status == 429)
		return ESP_CLASS_THROTTLED;
	if (status == 408 || status == 425 || status >= 500)
		return ESP_CLASS_TRANSIENT;
	return ESP_CLASS_PERMANENT;
}

static int64_t
wait_of(const struct esp_call *c, const struct http_response *r)
{
	int64_t wait_s = r->retry_after_s;
	uint64_t seconds;

	if (wait_s < 0 && c->reset_header &&
	    (r->status == 429 || r->status == 503) &&
	    slice_u64(http_head_find(r->head, c->reset_header), &seconds) &&
	    seconds <= HTTP_RETRY_AFTER_MAX_S)
		wait_s = (int64_t)seconds;
	if (wait_s == 0)
		wait_s = 1;
	return wait_s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : wait_s;
}

static enum esp_class
answer_class(struct esp_http *h, const struct http_response *r, int64_t wait_s)
{
	enum esp_class class = status_class(r->status);
	bool html = class != ESP_CLASS_OK && is_html(r);

	h->html_in_a_row = html ? h->html_in_a_row + 1 : 0;
	if (html && (r->status == 403 || r->status >= 500))
		return h->html_in_a_row < HTML_MAX ? ESP_CLASS_TRANSIENT
						   : ESP_CLASS_CONFIG;
	if (class == ESP_CLASS_OK && !r->whole)
		return ESP_CLASS_TRANSIENT;
	if (r->status == 503 && wait_s > 0)
		return ESP_CLASS_THROTTLED;
	return class;
}

static struct slice
copy_to(struct arena *a, struct slice s)
{
	char *copy = s.n > 0 ? arena_strdup(a, s) : NULL;

	return copy ? slice_mem(copy, s.n) : SLICE_LIT("");
}

static void
read_answer(
    struct esp_run *run, struct esp_call *c, const struct http_response *r)
{
	c->status = r->status;
	c->retry_after_s = wait_of(c, r);
	c->class = answer_class(run->h, r, c->retry_after_s);
	c->answer = copy_to(run->arena, r->body);
	c->head = copy_to(run->arena, r->head);
	if (r->body.n > 0 && c->answer.n == 0) {
		c->class = ESP_CLASS_TRANSIENT;
		c->message = SLICE_LIT("no room for the answer");
	} else if (c->class == ESP_CLASS_TRANSIENT && r->status < 300) {
		c->message = SLICE_LIT("the answer was cut off");
	} else if (c->class != ESP_CLASS_OK) {
		c->message =
		    slice_str(esp_printf(run->arena, "HTTP %d%s", r->status,
			r->status < 400 ? ": redirects are not followed"
			: is_html(r)    ? " with a page instead of an answer"
					: ""));
	}
}

static void
on_done(void *arg, void *tag, const struct http_response *r)
{
	struct esp_run *run = arg;
	struct esp_call *c = tag;

	c->status = 0;
	c->retry_after_s = -1;
	switch (r->end) {
	case HTTP_ANSWERED:
		read_answer(run, c, r);
		break;
	case HTTP_TIMEOUT:
	case HTTP_BROKEN:
	case HTTP_ABANDONED:
		c->class = ESP_CLASS_TRANSIENT;
		c->message = esp_words(slice_str(r->error), run->arena);
		break;
	case HTTP_UNUSABLE:
		c->class = ESP_CLASS_CONFIG;
		c->message = esp_words(slice_str(r->error), run->arena);
		break;
	}
	if (c->class == ESP_CLASS_THROTTLED ||
	    (c->class == ESP_CLASS_CONFIG && !c->statuses_mine))
		esp_http_rest(run->h, c->class == ESP_CLASS_CONFIG,
		    c->retry_after_s,
		    esp_printf(run->arena, "%.*s", SLICE_FMT(c->message)));
	if (c->done)
		c->done(c->arg, c);
}

void
esp_http_rest(struct esp_http *h, bool config, int64_t after_s, const char *why)
{
	/* Many connections say it at once; once is enough. */
	if (h->run && h->run->stop)
		return;
	if (h->run)
		h->run->stop = true;
	if (h->host.rest)
		h->host.rest(h->host.arg, config, after_s, why);
}

/* ---- sending ---------------------------------------------------------- */

/* All budgets that the next call uses; those it got stay its own. */
static enum rc
take_budgets(struct esp_run *run, int64_t *wait_ms)
{
	const struct esp_host *host = &run->h->host;
	const struct esp_call *c = &run->calls[run->next];
	const bool wanted[ESP_NBUDGETS] = {
		/* Asked for without a limit too: the program may stop. */
		[ESP_BUDGET_CALL] = true,
		[ESP_BUDGET_BULK] = c->bulk,
		[ESP_BUDGET_DAILY] =
		    run->h->limits.budget[ESP_BUDGET_DAILY].count > 0,
	};

	if (!host->take)
		return RC_OK;
	for (unsigned i = 0; i < ESP_NBUDGETS; i++) {
		enum rc rc;

		if (!wanted[i] || (run->taken & 1u << i))
			continue;
		rc = host->take(host->arg, (enum esp_budget)i, wait_ms);
		if (rc != RC_OK)
			return rc;
		run->taken |= 1u << i;
	}
	return RC_OK;
}

/* May the next call be sent now? */
static bool
may_send(struct esp_run *run)
{
	int64_t wait_ms = STEP_MS;
	mono_ms at = now(run->h);

	if (run->not_before > at)
		return false;
	switch (take_budgets(run, &wait_ms)) {
	case RC_OK:
		run->taken = 0;
		run->patience = 0;
		return true;
	case RC_RETRY:
		if (run->patience == 0)
			run->patience = at + PATIENCE_MS;
		if (wait_ms > PATIENCE_MS || at >= run->patience)
			break;
		if (wait_ms > STEP_MS)
			wait_ms = STEP_MS;
		run->not_before = at + (wait_ms > 0 ? wait_ms : 1);
		return false;
	default:
		break;
	}
	run->stop = true;
	return false;
}

static void
send_call(struct esp_run *run, struct esp_call *c)
{
	const char *lines[16] = { "Accept: application/json" };
	struct err err = ERR_INIT;
	size_t n = 1;

	for (size_t i = 0; i < c->nheaders && n < NELEMS(lines); i++)
		lines[n++] = c->headers[i];
	if (http_add(run->h->http,
		&(struct http_request){
		    .method = c->method ? c->method : "GET",
		    .url = c->url,
		    .headers = lines,
		    .nheaders = n,
		    .body = c->body,
		    .keep = c->answer_max > 0 ? c->answer_max : ANSWER_MAX,
		    .keep_head = true,
		    .gzip = true,
		    .connect_timeout_ms = CONNECT_MS,
		    .timeout_ms = c->timeout_ms ? c->timeout_ms
				  : c->bulk     ? BULK_TIMEOUT_MS
						: TIMEOUT_MS,
		    .repeatable = !c->bulk && !c->once,
		},
		c, &err) == RC_OK)
		return;
	c->class = ESP_CLASS_TRANSIENT;
	c->message = SLICE_LIT("no memory for a request");
	if (c->done)
		c->done(c->arg, c);
}

static uint32_t
connections(struct esp_run *run)
{
	const struct esp_host *host = &run->h->host;
	uint32_t most = run->h->limits.connections;
	size_t left = run->n - run->next + http_running(run->h->http);
	mono_ms at = now(run->h);

	if (run->granted > 0 && at < run->grant_old)
		return run->granted;
	most = most > 0 ? most : CONNECTIONS;
	if (most > left)
		most = (uint32_t)left;
	run->granted =
	    host->connections ? host->connections(host->arg, most) : most;
	if (run->granted > most)
		run->granted = most;
	if (run->granted == 0)
		run->granted = 1;
	run->grant_old = at + GRANT_MS;
	return run->granted;
}

static bool
send_more(struct esp_run *run)
{
	struct http *http = run->h->http;

	while (!run->stop && run->next < run->n &&
	       http_running(http) < connections(run) && may_send(run))
		send_call(run, &run->calls[run->next++]);
	return http_running(http) > 0 || (run->next < run->n && !run->stop);
}

void
esp_http_run(
    struct esp_http *h, struct esp_call *calls, size_t n, struct arena *a)
{
	struct esp_run run = { .h = h, .calls = calls, .n = n, .arena = a };

	for (size_t i = 0; i < n; i++) {
		calls[i].class = ESP_CLASS_NONE;
		calls[i].status = 0;
		calls[i].retry_after_s = -1;
		calls[i].answer = calls[i].head = SLICE_LIT("");
		calls[i].message = SLICE_LIT("not sent: the account rests");
	}
	h->run = &run;
	while (send_more(&run))
		http_poll(h->http, STEP_MS, on_done, &run);
	h->run = NULL;
}

void
esp_http_one(struct esp_http *h, struct esp_call *call, struct arena *a)
{
	esp_http_run(h, call, 1, a);
}

void
esp_http_settle(struct esp_contact *c, const struct esp_call *call,
    struct slice words, struct arena *a)
{
	c->retry_after_s = call->retry_after_s;
	switch (call->class) {
	case ESP_CLASS_OK:
		c->outcome = ESP_DONE;
		return;
	case ESP_CLASS_TRANSIENT:
		c->outcome = ESP_RETRY;
		break;
	case ESP_CLASS_PERMANENT:
		c->outcome = ESP_REFUSED;
		break;
	case ESP_CLASS_NONE:
	case ESP_CLASS_THROTTLED:
	case ESP_CLASS_CONFIG:
		c->outcome = ESP_OPEN;
		break;
	}
	c->message = words.n > 0 ? esp_words(words, a) : call->message;
}

/* ---- life ------------------------------------------------------------- */

enum rc
esp_http_new(
    const struct esp_http_opts *opts, struct esp_http **out, struct err *err)
{
	struct esp_http *h = xcalloc(1, sizeof(struct esp_http));
	enum rc rc;

	h->host = *opts->host;
	h->limits = *opts->limits;
	rc = http_new(
	    &(struct http_opts){
		.clock = h->host.clock,
		.user_agent = "wp-cron-fcgi/" VERSION,
		.ca_file = opts->ca_file,
		.public_only = opts->public_only,
	    },
	    &h->http, err);
	if (rc != RC_OK) {
		free(h);
		return rc;
	}
	*out = h;
	return RC_OK;
}

void
esp_http_free(struct esp_http *h)
{
	if (!h)
		return;
	http_free(h->http);
	free(h);
}
