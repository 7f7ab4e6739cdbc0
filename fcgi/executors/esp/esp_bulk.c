#include "executors/esp/esp_bulk.h"

#include <string.h>

#include "executors/esp/esp_values.h"

/* Bulk bodies are read by machines that are busy. */
#define BULK_TIMEOUT_MS 120000

struct run {
	const struct esp_bulk *bulk;
	struct arena *arena;
	struct buf body;
	size_t *singly; /* the front of the caller's members */
	size_t nsingly;
	bool over;
};

/* As many of the members as one request holds. */
static size_t
build(struct run *r, const size_t *members, size_t n)
{
	const struct esp_bulk *b = r->bulk;
	size_t tail = strlen(b->tail);
	size_t taken = 0;

	buf_reset(&r->body);
	buf_put_str(&r->body, b->head);
	while (taken < n && taken < b->most) {
		size_t before = r->body.n;

		if (taken > 0)
			buf_put_char(&r->body, ',');
		b->row(b->arg, &b->contacts[members[taken]], &r->body);
		if (r->body.failed || r->body.n + tail > b->max_bytes) {
			r->body.failed = false;
			r->body.n = before;
			break;
		}
		taken++;
	}
	buf_put_str(&r->body, b->tail);
	return taken;
}

static void
set_all(struct run *r, const size_t *members, size_t n,
    enum esp_outcome outcome, struct slice message, int64_t retry_after_s)
{
	for (size_t i = 0; i < n; i++) {
		struct esp_contact *c = &r->bulk->contacts[members[i]];

		c->outcome = outcome;
		c->message = message;
		c->retry_after_s = retry_after_s;
	}
}

static void
accepted(
    struct run *r, const struct esp_call *call, const size_t *members, size_t n)
{
	const struct esp_bulk *b = r->bulk;
	struct err err = ERR_INIT;
	struct slice token;

	if (!b->token) {
		set_all(r, members, n, ESP_DONE, SLICE_NONE, -1);
		return;
	}
	token = b->token(b->arg, call, r->arena);

	/* Accepted without a name to ask by: every row is an upsert, so that
	 * sending it again harms nobody. */
	if (token.n == 0) {
		set_all(r, members, n, ESP_RETRY,
		    SLICE_LIT("the answer to a bulk call has no id"), -1);
		return;
	}
	if (b->host->on_batch && b->host->on_batch(b->host->arg, token, members,
				     n, b->after_s, &err) == RC_OK)
		set_all(r, members, n, ESP_PENDING, SLICE_NONE, -1);
	else
		set_all(r, members, n, ESP_RETRY,
		    SLICE_LIT("the bulk call could not be stored"), -1);
}

/* Those without an outcome yet to the front of `members`; how many. */
static size_t
still_open(const struct esp_bulk *b, size_t *members, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (b->contacts[members[i]].outcome == ESP_OPEN)
			members[kept++] = members[i];
	return kept;
}

static void send_range(
    struct run *r, size_t *members, size_t n, unsigned depth);

static void
refused(struct run *r, const struct esp_call *call, size_t *members, size_t n,
    unsigned depth)
{
	const struct esp_bulk *b = r->bulk;
	size_t named = b->refused ? b->refused(b->arg, call, b->contacts,
					members, n, r->arena)
				  : 0;

	/* Singles never reach past what was worked off already. */
	if (named == ESP_BULK_NEVER || n == 1) {
		for (size_t i = 0; i < n; i++)
			if (b->contacts[members[i]].outcome == ESP_OPEN)
				r->singly[r->nsingly++] = members[i];
	} else if (named > 0) {
		send_range(r, members, still_open(b, members, n), depth + 1);
	} else {
		size_t half = n / 2;

		send_range(r, members, half, depth + 1);
		send_range(r, members + half, n - half, depth + 1);
	}
}

static void
send_one(struct run *r, size_t *members, size_t n, unsigned depth)
{
	const struct esp_bulk *b = r->bulk;
	struct esp_call call = {
		.method = "POST",
		.url = b->url,
		.body = buf_slice(&r->body),
		.timeout_ms = BULK_TIMEOUT_MS,
		.bulk = true,
	};

	b->run(b->arg, &call, r->arena);
	if (esp_http_over(&call)) {
		r->over = true;
	} else if (call.class == ESP_CLASS_OK) {
		accepted(r, &call, members, n);
	} else if (call.class == ESP_CLASS_TRANSIENT) {
		set_all(
		    r, members, n, ESP_RETRY, call.message, call.retry_after_s);
	} else {
		struct slice words = b->words(b->arg, &call, r->arena);

		/* Halves of a hundred thousand are 17 deep. */
		if (depth > 64)
			set_all(r, members, n, ESP_RETRY, words, -1);
		else
			refused(r, &call, members, n, depth);
	}
}

static void
send_range(struct run *r, size_t *members, size_t n, unsigned depth)
{
	while (n > 0 && !r->over) {
		size_t taken = n < r->bulk->least ? 0 : build(r, members, n);

		if (taken == 0) {
			/* Too few, or larger than a request by itself. */
			r->singly[r->nsingly++] = members[0];
			taken = 1;
		} else {
			send_one(r, members, taken, depth);
		}
		members += taken;
		n -= taken;
	}
}

bool
esp_bulk_run(const struct esp_bulk *b, size_t *members, size_t n, size_t *left,
    struct arena *a)
{
	struct run r = {
		.bulk = b,
		.arena = a,
		.body = BUF_INIT(b->max_bytes + 65536),
		.singly = members,
	};

	send_range(&r, members, n, 0);
	buf_clear(&r.body);
	*left = r.nsingly;
	return !r.over;
}
