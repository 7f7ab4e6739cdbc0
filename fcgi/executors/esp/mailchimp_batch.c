#include "executors/esp/mailchimp_private.h"

#include <inttypes.h>

#include "base/xalloc.h"
#include "formats/archive.h"
#include "formats/utf8.h"

#define OPERATION_MAX ((size_t)256 * 1024)
/* The results of 1,000 operations are 3 MB and shrink to a tenth. */
#define RESULTS_MAX ((size_t)64 << 20)
#define RESULTS_TIMEOUT_MS 120000
/* A finished batch whose results cannot be had for so long has none. */
#define RESULTS_PATIENCE_S 3600

/* ---- submitting ------------------------------------------------------- */

struct chunk {
	struct mailchimp *m;
	struct esp_contact *contacts;
	const size_t *members;
	size_t n;
	struct buf body;
	struct arena *arena;
};

/*
 * An operation is named by its user: what is known of a member when the
 * results come, maybe after a restart and under another address.
 */
static void
put_operation(struct mailchimp *m, const struct esp_contact *c, struct buf *out)
{
	struct buf body = BUF_INIT(OPERATION_MAX);
	char hash[MAILCHIMP_HASH_LEN + 1];

	mailchimp_hash(c->email, hash);
	mailchimp_put_member(m, c, NULL, &body);
	buf_printf(out,
	    "{\"method\":\"PUT\",\"path\":\"/lists/%s/members/%s\","
	    "\"params\":{\"skip_merge_validation\":\"true\"},"
	    "\"operation_id\":\"%" PRIu64 "\",\"body\":",
	    m->list, hash, c->user_id);
	utf8_put_json(out, buf_slice(&body));
	buf_put_char(out, '}');
	buf_clear(&body);
}

/* As many of the contacts as one request takes. */
static void
fill(struct chunk *k, size_t left)
{
	struct buf operation = BUF_INIT(2 * OPERATION_MAX);

	k->body = (struct buf)BUF_INIT(MAILCHIMP_BATCH_BYTES);
	buf_put_str(&k->body, "{\"operations\":[");
	while (k->n < left && k->n < MAILCHIMP_BATCH_MOST) {
		buf_reset(&operation);
		put_operation(k->m, &k->contacts[k->members[k->n]], &operation);
		if (k->body.n + operation.n + 3 > MAILCHIMP_BATCH_BYTES)
			break;
		if (k->n > 0)
			buf_put_char(&k->body, ',');
		buf_put_slice(&k->body, buf_slice(&operation));
		k->n++;
	}
	buf_put_str(&k->body, "]}");
	buf_clear(&operation);
}

static void
set_all(struct chunk *k, enum esp_outcome outcome, struct slice words)
{
	for (size_t i = 0; i < k->n; i++) {
		k->contacts[k->members[i]].outcome = outcome;
		k->contacts[k->members[i]].message = words;
	}
}

static void
accepted(struct chunk *k, const struct esp_call *call)
{
	json_t *answer = esp_values_json(call->answer);
	struct slice id =
	    esp_values_scalar(json_object_get(answer, "id"), k->arena);
	struct err err = ERR_INIT;

	json_decref(answer);
	if (id.n == 0) {
		set_all(k, ESP_RETRY, SLICE_LIT("the answer names no batch"));
		return;
	}
	if (k->m->host.on_batch(
		k->m->host.arg, id, k->members, k->n, 1, &err) == RC_OK)
		set_all(k, ESP_PENDING, SLICE_LIT(""));
	else
		set_all(k, ESP_RETRY, esp_words(slice_str(err.text), k->arena));
}

static void
on_answer(void *arg, struct esp_call *call)
{
	struct chunk *k = arg;
	struct mailchimp *m = k->m;
	struct mailchimp_verdict v;

	buf_clear(&k->body);
	if (call->class == ESP_CLASS_OK) {
		accepted(k, call);
		return;
	}
	mailchimp_judge_call(m, call, k->arena, &v);
	/* A refusal is of the batch, not of anybody in it. */
	set_all(k,
	    v.config || call->class == ESP_CLASS_THROTTLED ? ESP_OPEN
							   : ESP_RETRY,
	    v.words);
	if (v.config)
		mailchimp_config(m, call, v.words, k->arena);
}

void
mailchimp_batch_push(struct mailchimp *m, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a)
{
	struct chunk *chunks = xcalloc(n + 1, sizeof(struct chunk));
	struct esp_call *calls = xcalloc(n + 1, sizeof(struct esp_call));
	size_t nchunks = 0;

	while (n > 0) {
		struct chunk *k = &chunks[nchunks];

		*k = (struct chunk){ .m = m,
			.contacts = contacts,
			.members = members,
			.arena = a };
		fill(k, n);
		if (k->n == 0) { /* nothing that could be said is so long */
			buf_clear(&k->body);
			contacts[*members].outcome = ESP_REFUSED;
			contacts[*members].message =
			    SLICE_LIT("too large for a request");
			members++;
			n--;
			continue;
		}
		calls[nchunks] = mailchimp_call(
		    m, "POST", esp_printf(a, "%s/batches", m->base));
		calls[nchunks].body = buf_slice(&k->body);
		calls[nchunks].bulk = true;
		calls[nchunks].done = on_answer;
		calls[nchunks].arg = k;
		nchunks++;
		members += k->n;
		n -= k->n;
	}
	esp_http_run(m->http, calls, nchunks, a);
	for (size_t i = 0; i < nchunks; i++)
		buf_clear(&chunks[i].body);
	free(calls);
	free(chunks);
}

/* ---- results ---------------------------------------------------------- */

struct results {
	struct mailchimp *m;
	struct esp_contact *members;
	size_t n;
	struct arena *arena;
};

static struct esp_contact *
find_member(const struct results *r, struct slice operation_id)
{
	uint64_t user_id;

	if (!slice_u64(operation_id, &user_id))
		return NULL;
	for (size_t i = 0; i < r->n; i++)
		if (r->members[i].user_id == user_id)
			return &r->members[i];
	return NULL;
}

/* Sent singly it will be judged again, and may be changed between tries. */
static void
send_singly(struct esp_contact *c)
{
	c->outcome = ESP_RETRY;
	c->message = SLICE_LIT("");
}

static void
take_result(struct results *r, const json_t *row)
{
	struct esp_contact *c =
	    find_member(r, esp_values_text(row, "operation_id"));
	json_int_t status =
	    json_integer_value(json_object_get(row, "status_code"));
	struct mailchimp_verdict v;

	if (!c || c->outcome != ESP_PENDING)
		return;
	mailchimp_judge(status > 0 && status < 1000 ? (int)status : 0,
	    esp_values_text(row, "response"), &r->m->fields, r->arena, &v);
	c->outcome = v.outcome;
	c->message = v.words;
	c->retry_after_s = v.retry_after_s;
	if (v.refused.n > 0)
		send_singly(c);
	if (v.config)
		mailchimp_config(r->m, NULL, v.words, r->arena);
}

static enum rc
take_file(
    void *arg, const char *name UNUSED, struct slice content, struct err *err)
{
	struct results *r = arg;
	json_t *rows = esp_values_json(content);

	if (!json_is_array(rows)) {
		json_decref(rows);
		return err_set(err, RC_REJECT, "a file is no JSON array");
	}
	for (size_t i = 0; i < json_array_size(rows); i++)
		take_result(r, json_array_get(rows, i));
	json_decref(rows);
	return RC_OK;
}

/* ---- asking ----------------------------------------------------------- */

/* What a batch says about itself. */
struct state {
	bool finished;
	json_int_t errors;
	int64_t age_s, finished_s; /* since; 0: unknown */
	const char *results;       /* URL; "" */
};

/* Seconds since "2026-11-21T16:00:00+00:00", which is always UTC. */
static int64_t
since(const struct mailchimp *m, struct slice iso)
{
	char text[DATETIME_LEN + 1];
	int64_t at, now = clock_unix(m->host.clock);

	if (iso.n < DATETIME_LEN)
		return 0;
	memcpy(text, iso.p, DATETIME_LEN);
	text[DATETIME_LEN] = '\0';
	text[10] = ' ';
	at = datetime_parse(text, DATETIME_LEN);
	return at == INT64_MIN || at > now ? 0 : now - at;
}

static enum rc
read_state(struct mailchimp *m, struct slice token, struct state *s,
    struct arena *a, struct err *err)
{
	struct esp_call call = mailchimp_call(m, "GET",
	    esp_printf(a, "%s/batches/%.*s", m->base,
		SLICE_FMT(esp_urlencode(token, a))));
	struct slice url;
	json_t *answer;

	esp_http_one(m->http, &call, a);
	if (call.status == 404)
		return RC_NONE;
	if (call.class != ESP_CLASS_OK)
		return mailchimp_failed(m, &call, a, "a batch", err);
	answer = esp_values_json(call.answer);
	if (!answer)
		return err_set(err, RC_RETRY, "the answer is not JSON");
	url = esp_values_text(answer, "response_body_url");
	*s = (struct state){
		.finished =
		    slice_eq_str(esp_values_text(answer, "status"), "finished"),
		.errors = json_integer_value(
		    json_object_get(answer, "errored_operations")),
		.age_s = since(m, esp_values_text(answer, "submitted_at")),
		.finished_s = since(m, esp_values_text(answer, "completed_at")),
		.results = esp_printf(a, "%.*s", SLICE_FMT(url)),
	};
	json_decref(answer);
	return RC_OK;
}

/* A tenth of a batch's age, so that short ones are settled soon and long ones
 * cost no more than a request a minute. */
static int64_t
again_after(const struct state *s)
{
	int64_t after_s = s->age_s / 10;

	return after_s < 1 ? 1 : after_s > 60 ? 60 : after_s;
}

/* Only where the API itself is: https, or as the account's own URL says. */
static bool
may_fetch(const struct mailchimp *m, const char *url)
{
	return slice_starts(slice_str(url), SLICE_LIT("https://")) ||
	       (slice_starts(slice_str(m->base), SLICE_LIT("http://")) &&
		   slice_starts(slice_str(url), SLICE_LIT("http://")));
}

/*
 * The results lie elsewhere, behind a link that is good for ten minutes.
 * RC_NONE: this link is not good any more. RC_RETRY: ask later. RC_REJECT:
 * they cannot be read.
 */
static enum rc
read_results(
    struct results *r, const struct state *s, struct arena *a, struct err *err)
{
	struct esp_call call = { .url = s->results,
		.timeout_ms = RESULTS_TIMEOUT_MS,
		.statuses_mine = true };

	if (!may_fetch(r->m, s->results))
		return err_set(err, RC_REJECT, "no link to the results");
	esp_http_one(r->m->http, &call, a);
	if (call.class == ESP_CLASS_OK)
		return archive_each(
		    call.answer, RESULTS_MAX, take_file, r, err);
	/* Said in XML, which for an API would be a firewall's page. */
	if (call.status >= 300 && call.status < 500 && call.status != 429)
		return err_set(err, RC_NONE, "the link is not good any more");
	return err_set(err, RC_RETRY, "results: %.*s", SLICE_FMT(call.message));
}

/* Whose result could not be read. */
static void
settle_rest(struct esp_contact *members, size_t n, const struct state *s)
{
	for (size_t i = 0; i < n; i++) {
		if (members[i].outcome != ESP_PENDING)
			continue;
		if (s->errors == 0)
			members[i].outcome = ESP_DONE;
		else
			send_singly(&members[i]);
	}
}

enum rc
mailchimp_poll(struct esp *esp, struct slice token, struct esp_contact *members,
    size_t n, int64_t *again_s, struct arena *a, struct err *err)
{
	struct mailchimp *m = (struct mailchimp *)(void *)esp;
	struct results r = { .m = m, .members = members, .n = n, .arena = a };
	struct state s = { 0 };
	enum rc rc;

	m->stopped_by_config = false;
	*again_s = 60;
	for (size_t i = 0; i < n; i++) {
		members[i].outcome = ESP_PENDING;
		members[i].message = SLICE_LIT("");
		members[i].retry_after_s = -1;
	}
	rc = read_state(m, token, &s, a, err);
	if (rc != RC_OK)
		return rc;
	*again_s = again_after(&s);
	if (!s.finished)
		return RC_OK;
	rc = read_results(&r, &s, a, err);
	if (rc == RC_NONE) {
		rc = read_state(m, token, &s, a, err);
		if (rc == RC_OK)
			rc = read_results(&r, &s, a, err);
	}
	if (rc == RC_RETRY && s.finished_s < RESULTS_PATIENCE_S) {
		*again_s = 15;
		return rc;
	}
	settle_rest(members, n, &s);
	return RC_OK;
}
