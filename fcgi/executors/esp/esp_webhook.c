/*
 * Contacts as JSON to any receiver: up to a hundred in one POST, signed as
 * Standard Webhooks has it where a secret is set.
 *
 *   {"type":"contacts.updated","id":"...","timestamp":"...","data":[
 *    {"id":"...","user_id":7,"email":"...","previous_email":"...",
 *     "name":"...","fields":{"NP_Account":"7"}}]}
 *
 * Any 2xx accepts all of them, unless the answer says otherwise of single
 * ones: {"results":[{"index":0,"ok":false,"message":"...","retry":true}]},
 * by their place ("index") or address ("email").
 */
#include "executors/esp/esp_http.h"
#include "executors/esp/esp_values.h"

#include <inttypes.h>
#include <string.h>

#include "base/xalloc.h"
#include "formats/md5.h"
#include "formats/utf8.h"
#include "formats/webhook_signature.h"

enum {
	CONTACTS_MOST = 100,
	BODY_MOST = 1024 * 1024,
	HEADER_MAX = 160,
	NHEADERS = 6,
	/* Requests that look for whom a refusal means, a push. */
	SPLITS_MOST = 64,
};

struct esp_webhook {
	struct esp esp;
	struct esp_account account;
	struct esp_host host;
	struct esp_http *http;
	char *auth; /* NULL: none */
	bool stopped_by_config;
};

/* Some of the contacts on their way. */
struct post {
	struct esp_webhook *w;
	struct esp_contact *contacts;
	const size_t *members;
	size_t n;
	char id[MD5_LEN * 2 + 16];
	char lines[NHEADERS][HEADER_MAX];
	const char *headers[NHEADERS + 1];
	size_t nheaders;
	struct buf body;
};

static struct esp_webhook *
of(struct esp *esp)
{
	return (struct esp_webhook *)(void *)esp;
}

/* ---- bodies ----------------------------------------------------------- */

static void
put_field(const struct esp_field *f, bool first, struct buf *out)
{
	if (!first)
		buf_put_char(out, ',');
	utf8_put_json(out, f->name);
	buf_put_char(out, ':');
	if (f->number)
		buf_put_slice(out, f->value);
	else
		utf8_put_json(out, f->value);
}

static void
put_contact(const struct esp_contact *c, struct buf *out)
{
	buf_printf(out, "{\"user_id\":%" PRIu64, c->user_id);
	if (c->id.n > 0)
		esp_values_put(out, "id", c->id);
	esp_values_put(out, "email", c->email);
	if (c->previous_email.n > 0)
		esp_values_put(out, "previous_email", c->previous_email);
	esp_values_put(out, "name", c->name);
	buf_put_str(out, ",\"fields\":{");
	for (size_t i = 0; i < c->nfields; i++)
		put_field(&c->fields[i], i == 0, out);
	buf_put_str(out, "}}");
}

/* "2026-11-21T16:00:00.123Z" */
static void
put_timestamp(const struct clock *clock, struct buf *out)
{
	wall_us now = clock_wall(clock);
	char text[DATETIME_LEN + 1];

	datetime_render(now / 1000000, text);
	text[10] = 'T';
	buf_printf(out, "\"%s.%03dZ\"", text, (int)(now / 1000 % 1000));
}

/*
 * The same contacts with the same changes have the same id, however often they
 * are sent.
 */
static void
make_id(struct post *p)
{
	struct buf text = BUF_INIT(sizeof p->id - 1);
	unsigned char digest[MD5_LEN];
	struct md5 m;

	md5_init(&m);
	for (size_t i = 0; i < p->n; i++) {
		const struct esp_contact *c = &p->contacts[p->members[i]];
		struct slice end = slice_mem("\n", 1);

		md5_put(&m, c->id);
		md5_put(&m, end);
		md5_put(&m, c->email);
		for (size_t k = 0; c->id.n == 0 && k < c->nfields; k++) {
			md5_put(&m, end);
			md5_put(&m, c->fields[k].name);
			md5_put(&m, c->fields[k].value);
		}
		md5_put(&m, end);
	}
	md5_end(&m, digest);
	buf_put_str(&text, "contacts_");
	buf_put_hex(&text, digest, sizeof digest);
	(void)snprintf(p->id, sizeof p->id, "%s", buf_str(&text));
	buf_clear(&text);
}

static void
put_head(struct post *p, const char *type)
{
	buf_printf(&p->body,
	    "{\"type\":\"%s\",\"id\":\"%s\",\"timestamp\":", type, p->id);
	put_timestamp(p->w->host.clock, &p->body);
	buf_put_str(&p->body, ",\"data\":[");
}

/* As many of p->n as one request takes; p->n is those. */
static void
fill(struct post *p)
{
	struct buf one = BUF_INIT(BODY_MOST);
	size_t n = 0;

	p->body = (struct buf)BUF_INIT(BODY_MOST);
	/* The id names those that are in it. */
	for (size_t room = BODY_MOST - 512; n < p->n && n < CONTACTS_MOST;
	     n++) {
		buf_reset(&one);
		put_contact(&p->contacts[p->members[n]], &one);
		if (one.failed || one.n + 1 > room)
			break;
		room -= one.n + 1;
	}
	p->n = n;
	make_id(p);
	put_head(p, "contacts.updated");
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_put_char(&p->body, ',');
		put_contact(&p->contacts[p->members[i]], &p->body);
	}
	buf_put_str(&p->body, "]}");
	buf_clear(&one);
}

/* ---- requests --------------------------------------------------------- */

static void PRINTF_LIKE(2, 3) add_header(struct post *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(p->lines[p->nheaders], HEADER_MAX, fmt, ap);
	va_end(ap);
	p->headers[p->nheaders] = p->lines[p->nheaders];
	p->nheaders++;
}

static struct esp_call
make_call(struct post *p)
{
	const struct esp_webhook *w = p->w;
	char signature[WEBHOOK_SIGNATURE_LEN + 1];
	int64_t now = clock_unix(w->host.clock);

	p->nheaders = 0;
	add_header(p, "Content-Type: application/json; charset=utf-8");
	add_header(p, "Idempotency-Key: %s", p->id);
	/* The secret was tried when the instance was made. */
	if (w->account.secret &&
	    webhook_signature_sign(slice_str(w->account.secret),
		slice_str(p->id), now, buf_slice(&p->body), signature,
		NULL) == RC_OK) {
		add_header(p, "webhook-id: %s", p->id);
		add_header(p, "webhook-timestamp: %" PRId64, now);
		add_header(p, "webhook-signature: %s", signature);
	}
	if (w->auth)
		p->headers[p->nheaders++] = w->auth;
	return (struct esp_call){
		.method = "POST",
		.url = w->account.api,
		.headers = p->headers,
		.nheaders = p->nheaders,
		.body = buf_slice(&p->body),
	};
}

/* ---- answers ---------------------------------------------------------- */

static struct esp_contact *
find_contact(const struct post *p, const json_t *row)
{
	const json_t *index = json_object_get(row, "index");
	struct slice email = esp_values_text(row, "email");

	if (json_is_integer(index)) {
		json_int_t at = json_integer_value(index);

		return at >= 0 && (uint64_t)at < p->n
			   ? &p->contacts[p->members[at]]
			   : NULL;
	}
	for (size_t i = 0; email.n > 0 && i < p->n; i++)
		if (slice_eq_nocase(p->contacts[p->members[i]].email, email))
			return &p->contacts[p->members[i]];
	return NULL;
}

static void
settle_each(struct post *p, struct slice body, struct arena *a)
{
	json_t *answer = esp_values_json(body);
	const json_t *rows = json_object_get(answer, "results");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		struct esp_contact *c = find_contact(p, row);

		if (!c || !json_is_false(json_object_get(row, "ok")))
			continue;
		c->outcome = json_is_true(json_object_get(row, "retry"))
				 ? ESP_RETRY
				 : ESP_REFUSED;
		c->message = esp_words(esp_values_text(row, "message"), a);
		if (c->message.n == 0)
			c->message = SLICE_LIT("the receiver refused it");
	}
	json_decref(answer);
}

static void
set_all(struct post *p, enum esp_outcome outcome, struct slice words,
    int64_t retry_after_s)
{
	for (size_t i = 0; i < p->n; i++) {
		struct esp_contact *c = &p->contacts[p->members[i]];

		c->outcome = outcome;
		c->message = words;
		c->retry_after_s = retry_after_s;
	}
}

/* A full queue of Make's is 400 too. */
static bool
is_busy(struct slice words)
{
	static const char text[] = "queue is full";

	for (size_t i = 0; i + sizeof text - 1 <= words.n; i++)
		if (slice_eq_nocase(slice_mem(words.p + i, sizeof text - 1),
			slice_str(text)))
			return true;
	return false;
}

static enum esp_outcome
outcome_of(const struct esp_call *call, struct slice words)
{
	switch (call->class) {
	case ESP_CLASS_OK:
		return ESP_DONE;
	case ESP_CLASS_TRANSIENT:
		return ESP_RETRY;
	case ESP_CLASS_NONE:
	case ESP_CLASS_THROTTLED:
	case ESP_CLASS_CONFIG:
		return ESP_OPEN;
	case ESP_CLASS_PERMANENT:
		break;
	}
	switch (call->status) {
	case 404:
	case 405:
	case 410:
	case 415: /* of the endpoint, not of anybody in it */
		return ESP_OPEN;
	case 409: /* the first of two is on its way still */
		return ESP_RETRY;
	default:
		return is_busy(words) ? ESP_RETRY : ESP_REFUSED;
	}
}

/* False: refused as a whole, though not necessarily each of them. */
static bool
settle_post(struct post *p, const struct esp_call *call, struct arena *a)
{
	struct slice words = esp_words(
	    call->status > 0
		? slice_str(esp_printf(a, "HTTP %d: %.*s", call->status,
		      (int)(call->answer.n < 1024 ? call->answer.n : 1024),
		      call->answer.p))
		: call->message,
	    a);
	enum esp_outcome outcome = outcome_of(call, words);

	if (outcome == ESP_REFUSED && p->n > 1)
		return false;
	if (outcome == ESP_OPEN && call->class != ESP_CLASS_NONE &&
	    call->class != ESP_CLASS_THROTTLED) {
		p->w->stopped_by_config = true;
		if (call->class == ESP_CLASS_PERMANENT)
			esp_http_rest(p->w->http, true, -1,
			    esp_printf(a, "%.*s", SLICE_FMT(words)));
	}
	if (outcome == ESP_DONE)
		words = SLICE_LIT("");
	set_all(p, outcome, words, call->retry_after_s);
	if (outcome == ESP_DONE)
		settle_each(p, call->answer, a);
	return true;
}

/* ---- push ------------------------------------------------------------- */

/* Runs of members that are to be sent. */
struct queue {
	struct {
		const size_t *members;
		size_t n;
	} * runs;
	size_t n, cap;
};

static void
queue_add(struct queue *q, const size_t *members, size_t n)
{
	if (n == 0)
		return;
	if (q->n == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 16;
		q->runs = xrealloc(q->runs, q->cap, sizeof q->runs[0]);
	}
	q->runs[q->n].members = members;
	q->runs[q->n++].n = n;
}

/* Whom one refusal hides is found by halves. */
static void
split(struct queue *q, struct post *p, size_t *splits)
{
	size_t half = p->n / 2;

	if (*splits == 0) {
		set_all(p, ESP_RETRY, SLICE_LIT("refused together with others"),
		    -1);
		return;
	}
	--*splits;
	queue_add(q, p->members, half);
	queue_add(q, p->members + half, p->n - half);
}

/* The next request of a run; what does not fit it is for later. False: not
 * even one contact does. */
static bool
begin_post(struct esp_webhook *w, struct esp_contact *contacts,
    const size_t *members, size_t n, struct queue *later, struct post *p)
{
	*p = (struct post){
		.w = w, .contacts = contacts, .members = members, .n = n
	};
	fill(p);
	if (p->n > 0) {
		queue_add(later, members + p->n, n - p->n);
		return true;
	}
	buf_clear(&p->body);
	contacts[*members].outcome = ESP_REFUSED;
	contacts[*members].message = SLICE_LIT("too large for a request");
	queue_add(later, members + 1, n - 1);
	return false;
}

/* Send what is in the queue; it holds what is to be sent again then. */
static void
run_queue(struct esp_webhook *w, struct queue *q, struct esp_contact *contacts,
    size_t *splits, struct arena *a)
{
	struct queue later = { 0 };
	struct post *posts = xcalloc(q->n + 1, sizeof(struct post));
	struct esp_call *calls = xcalloc(q->n + 1, sizeof(struct esp_call));
	size_t n = 0;

	for (size_t i = 0; i < q->n; i++) {
		if (!begin_post(w, contacts, q->runs[i].members, q->runs[i].n,
			&later, &posts[n]))
			continue;
		calls[n] = make_call(&posts[n]);
		n++;
	}
	esp_http_run(w->http, calls, n, a);
	for (size_t i = 0; i < n; i++) {
		if (!settle_post(&posts[i], &calls[i], a))
			split(&later, &posts[i], splits);
		buf_clear(&posts[i].body);
	}
	free(posts);
	free(calls);
	free(q->runs);
	*q = later;
}

static enum rc
push_end(const struct esp_webhook *w, const struct esp_contact *contacts,
    size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (contacts[i].outcome == ESP_OPEN)
			return err_set(err,
			    w->stopped_by_config ? RC_REJECT : RC_RETRY,
			    "webhook: %.*s", SLICE_FMT(contacts[i].message));
	return RC_OK;
}

static enum rc
push(struct esp *esp, struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err)
{
	struct esp_webhook *w = of(esp);
	size_t *members = arena_array(a, n + 1, sizeof(size_t));
	size_t nmembers = 0, splits = SPLITS_MOST;
	struct queue q = { 0 };

	w->stopped_by_config = false;
	esp_contacts_begin(contacts, n);
	if (!members)
		return err_set(err, RC_RETRY, "no room for %zu contacts", n);
	for (size_t i = 0; i < n; i++)
		if (contacts[i].outcome == ESP_OPEN)
			members[nmembers++] = i;
	for (size_t i = 0; i < nmembers; i += CONTACTS_MOST)
		queue_add(&q, members + i,
		    nmembers - i < CONTACTS_MOST ? nmembers - i
						 : CONTACTS_MOST);
	while (q.n > 0)
		run_queue(w, &q, contacts, &splits, a);
	free(q.runs);
	return push_end(w, contacts, n, err);
}

/* A message about nobody: receivers that mind the type pass it over. */
static enum rc
test(struct esp *esp, struct arena *a, struct slice *words, struct err *err)
{
	struct post p = { .w = of(esp) };
	struct esp_call call;

	p.body = (struct buf)BUF_INIT(BODY_MOST);
	make_id(&p);
	put_head(&p, "contacts.test");
	buf_put_str(&p.body, "]}");
	call = make_call(&p);
	esp_http_one(p.w->http, &call, a);
	buf_clear(&p.body);
	if (call.class == ESP_CLASS_OK) {
		*words = slice_str(
		    esp_printf(a, "the receiver answers %d", call.status));
		return RC_OK;
	}
	if (call.status > 0)
		call.message = slice_str(esp_printf(a, "HTTP %d", call.status));
	return err_set(err,
	    call.class == ESP_CLASS_CONFIG || call.class == ESP_CLASS_PERMANENT
		? RC_REJECT
		: RC_RETRY,
	    "webhook: %.*s", SLICE_FMT(call.message));
}

/* ---- life ------------------------------------------------------------- */

static void
webhook_free(struct esp *esp)
{
	struct esp_webhook *w = of(esp);

	if (!w)
		return;
	esp_http_free(w->http);
	free(w->auth);
	free(w);
}

static const struct esp_ops webhook_ops = {
	.name = "webhook",
	.limits = { .connections = 4 },
	.push = push,
	.test = test,
	.free = webhook_free,
};

static enum rc
check_account(const struct esp_account *account, struct err *err)
{
	char origin[HTTP_ORIGIN_MAX], signature[WEBHOOK_SIGNATURE_LEN + 1];
	enum rc rc;

	if (!account->api || !account->api[0])
		return err_set(err, RC_REJECT, "api is not set");
	rc = http_origin(account->api, origin, err);
	if (rc != RC_OK)
		return err_wrap(err, "api");
	if (!account->loopback &&
	    !slice_starts(slice_str(origin), SLICE_LIT("https://")))
		return err_set(err, RC_REJECT,
		    "api is no https URL: contacts are not sent in the clear");
	if (!account->secret)
		return RC_OK;
	rc = webhook_signature_sign(slice_str(account->secret), SLICE_LIT("id"),
	    0, SLICE_LIT(""), signature, err);
	return rc == RC_OK ? RC_OK : err_wrap(err, "secret");
}

static char *
bearer(const char *key)
{
	struct buf header = BUF_INIT(4096);

	if (!key || !key[0])
		return NULL;
	buf_printf(&header, "Authorization: Bearer %s", key);
	return buf_take(&header);
}

enum rc
esp_webhook_new(const struct esp_account *account, const struct esp_host *host,
    struct esp **out, struct err *err)
{
	struct esp_webhook *w;
	enum rc rc = check_account(account, err);

	if (rc != RC_OK)
		return rc;
	w = xcalloc(1, sizeof(struct esp_webhook));
	w->esp.ops = &webhook_ops;
	w->account = *account;
	w->host = *host;
	if (!w->host.clock)
		w->host.clock = &clock_system;
	w->auth = bearer(account->key);
	rc = esp_http_new(
	    &(struct esp_http_opts){
		.host = &w->host,
		.limits = &webhook_ops.limits,
		.ca_file = account->ca_file,
		.public_only = !account->loopback,
	    },
	    &w->http, err);
	if (rc != RC_OK) {
		webhook_free(&w->esp);
		return rc;
	}
	*out = &w->esp;
	return RC_OK;
}
