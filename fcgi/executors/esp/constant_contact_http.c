#include "executors/esp/constant_contact_private.h"

#include <string.h>

/* ---- refusals ----------------------------------------------------------- */

/* The first of a list, or the object itself. */
static const json_t *
first_error(const json_t *v)
{
	return json_is_array(v) ? json_array_get(v, 0) : v;
}

struct slice
constant_contact_words(const struct esp_call *call, struct arena *a)
{
	json_t *v = esp_values_json(call->answer);
	const json_t *error = first_error(v);
	struct slice message = esp_values_text(error, "error_message");
	struct slice key = esp_values_text(error, "error_key");
	struct slice out = esp_words(
	    slice_str(message.n > 0
			  ? esp_printf(a, "%.*s (%.*s)", SLICE_FMT(message),
				SLICE_FMT(key))
			  : esp_printf(a, "HTTP status %d", call->status)),
	    a);

	json_decref(v);
	return out;
}

enum rc
constant_contact_failed(const struct esp_call *call, struct arena *a,
    const char *what, struct err *err)
{
	struct slice words = call->class == ESP_CLASS_PERMANENT
				 ? constant_contact_words(call, a)
				 : call->message;

	return err_set(err,
	    call->class == ESP_CLASS_PERMANENT ? RC_REJECT : RC_RETRY,
	    "Constant Contact: %s: %.*s", what, SLICE_FMT(words));
}

/* The old gateway says "too many" by 403. */
static bool
is_over_limit(const struct esp_call *call)
{
	json_t *v = esp_values_json(call->answer);
	const char *key =
	    json_string_value(json_object_get(first_error(v), "error_key"));
	bool over =
	    key && (strstr(key, "over.ratelimit") || strstr(key, "over.qps"));

	json_decref(v);
	return over;
}

static void
on_answer(void *arg, struct esp_call *call)
{
	struct constant_contact *cc = arg;

	if (call->status != 0 && call->status != 401)
		cc->proven = true;
	/* 401: after the run, with another token. */
	if (call->class != ESP_CLASS_CONFIG || call->status == 401)
		return;
	if (call->status == 403 && is_over_limit(call)) {
		call->class = ESP_CLASS_THROTTLED;
		call->message = SLICE_LIT("over the limit of requests");
		esp_http_rest(
		    cc->http, false, call->retry_after_s, call->message.p);
		return;
	}
	esp_http_rest(cc->http, true, -1, call->message.p);
}

const char *
constant_contact_next(
    const struct constant_contact *cc, const json_t *page, struct arena *a)
{
	struct slice href = esp_values_text(
	    json_object_get(json_object_get(page, "_links"), "next"), "href");

	/* A path: the token goes nowhere else. */
	if (!slice_starts(href, SLICE_LIT("/v3/")))
		return NULL;
	return esp_printf(a, "%s%.*s", cc->origin, SLICE_FMT(href));
}

/* ---- requests ----------------------------------------------------------- */

static void
run_with_token(struct constant_contact *cc, struct esp_call *calls, size_t n,
    struct arena *a)
{
	const char *headers[] = { cc->bearer,
		"Content-Type: application/json" };

	for (size_t i = 0; i < n; i++) {
		calls[i].headers = headers;
		calls[i].nheaders = calls[i].body.n > 0 ? 2 : 1;
		calls[i].statuses_mine = true;
		calls[i].done = on_answer;
		calls[i].arg = cc;
	}
	esp_http_run(cc->http, calls, n, a);
}

static void
not_sent(
    struct esp_call *calls, size_t n, const struct err *err, struct arena *a)
{
	for (size_t i = 0; i < n; i++) {
		calls[i].class = ESP_CLASS_NONE;
		calls[i].status = 0;
		calls[i].message = esp_words(slice_str(err->text), a);
	}
}

/* Those answered by 401, once more with a new token. */
static void
run_refused(struct constant_contact *cc, struct esp_call *calls, size_t n,
    struct arena *a)
{
	struct esp_call *again = arena_array(a, n, sizeof again[0]);
	size_t *places = arena_array(a, n, sizeof places[0]);
	struct err err = ERR_INIT;
	size_t many = 0;

	for (size_t i = 0; again && places && i < n; i++) {
		if (calls[i].status != 401)
			continue;
		places[many] = i;
		again[many++] = calls[i];
	}
	if (many == 0)
		return;
	if (constant_contact_token(cc, true, a, &err) == RC_OK)
		run_with_token(cc, again, many, a);
	else
		not_sent(again, many, &err, a);
	for (size_t i = 0; i < many; i++) {
		calls[places[i]] = again[i];
		if (again[i].status == 401)
			esp_http_rest(cc->http, true, -1,
			    "Constant Contact: a new access token is refused");
	}
}

void
constant_contact_run(struct constant_contact *cc, struct esp_call *calls,
    size_t n, struct arena *a)
{
	struct err err = ERR_INIT;
	/* One request shows whether the token holds, before hundreds. */
	size_t first = n > 1 && !cc->proven ? 1 : n;

	if (n == 0)
		return;
	if (constant_contact_token(cc, false, a, &err) != RC_OK) {
		not_sent(calls, n, &err, a);
		return;
	}
	run_with_token(cc, calls, first, a);
	run_refused(cc, calls, first, a);
	if (first == n)
		return;
	run_with_token(cc, calls + first, n - first, a);
	run_refused(cc, calls + first, n - first, a);
}
