/* What a relay and domains of recipients take in a time, over all nodes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "engine/outbox_run_internal.h"
#include "formats/mail_address.h"
#include "sql/buckets.h"

/* Of the rate, kept for urgent mail. */
#define KEPT_DIVISOR 5
/* A slice is so much of the rate, and no more than that. */
#define SLICE_DIVISOR 20
#define SLICE_MAX 10

/* ---- opening ------------------------------------------------------------- */

static void
set_up(struct outbox_bucket *b, const struct config_smtp *smtp,
    const char *what, struct slice domain, struct rate rate)
{
	*b = (struct outbox_bucket){ .domain = domain, .rate = rate };
	b->slice = rate.count / SLICE_DIVISOR;
	if (b->slice > SLICE_MAX)
		b->slice = SLICE_MAX;
	if (b->slice == 0)
		b->slice = 1;
	(void)snprintf(b->name, sizeof b->name, "smtp/%.80s/%s%.*s", smtp->name,
	    what, (int)(domain.n > 90 ? 90 : domain.n),
	    domain.p ? domain.p : "");
}

/* "gmail.com 100/h"; config_load() has looked at it. */
static bool
parse_domain_rate(const char *item, struct slice *domain, struct rate *rate)
{
	struct slice s = slice_trim(slice_str(item)), per;
	size_t blank = slice_find(s, ' ');
	uint64_t n;

	if (blank == s.n)
		return false;
	*domain = slice_mem(s.p, blank);
	s = slice_trim(slice_from(s, blank));
	per = slice_from(s, slice_find(s, '/') + 1);
	if (!slice_u64(slice_mem(s.p, slice_find(s, '/')), &n) || n == 0 ||
	    n > UINT32_MAX)
		return false;
	rate->count = (uint32_t)n;
	rate->per_s = slice_eq_str(per, "s")   ? 1
		      : slice_eq_str(per, "m") ? 60
		      : slice_eq_str(per, "h") ? 3600
		      : slice_eq_str(per, "d") ? 86400
					       : 0;
	return rate->per_s > 0;
}

enum rc
outbox_rates_open(struct outbox_sender *s, struct err *err)
{
	const struct config_smtp *smtp = s->smtp;
	struct outbox_rates *r = &s->rates;
	struct db_rows *rows = NULL;
	enum rc rc;

	set_up(&r->all[0], smtp, "rate", SLICE_NONE, smtp->rate);
	set_up(&r->all[1], smtp, "pace", SLICE_NONE, smtp->pace);
	for (size_t i = 0; i < smtp->domain_rates.n; i++) {
		struct slice domain;
		struct rate rate;

		if (r->ndomains == NELEMS(r->domains) ||
		    !parse_domain_rate(
			smtp->domain_rates.items[i], &domain, &rate))
			return err_set(err, RC_REJECT,
			    "[smtp %s] domain_rates: \"%s\" is not like "
			    "\"example.org 100/h\"",
			    smtp->name, smtp->domain_rates.items[i]);
		set_up(&r->domains[r->ndomains++], smtp, "to/", domain, rate);
	}
	rc = db_select(s->env->db, &s->env->scope, SQL_OUTBOX_NOW, SQL_NO_ARGS,
	    &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		r->ahead_us =
		    db_i64(rows, 0) - clock_mono(s->env->clock) * 1000;
	db_rows_free(rows);
	return rc;
}

/* ---- tokens -------------------------------------------------------------- */

static int64_t
server_us(const struct outbox_sender *s)
{
	return clock_mono(s->env->clock) * 1000 + s->rates.ahead_us;
}

static int64_t
window_of(const struct outbox_sender *s, const struct outbox_bucket *b)
{
	return server_us(s) / ((int64_t)b->rate.per_s * 1000000);
}

/* Until the next window. */
static int64_t
left_ms(const struct outbox_sender *s, const struct outbox_bucket *b)
{
	int64_t per = (int64_t)b->rate.per_s * 1000000;

	return (per - server_us(s) % per) / 1000 + 1;
}

static enum rc
take(struct outbox_sender *s, struct outbox_bucket *b, uint32_t cap,
    uint32_t want, struct err *err)
{
	int64_t window = window_of(s, b);
	uint32_t got = 0;
	enum rc rc = bucket_take(s->env->db, &s->env->scope, b->name, cap,
	    b->rate.per_s, want, &got, err);

	/* Of which window they are is not known if it changed meanwhile. */
	if (rc == RC_OK && window == window_of(s, b)) {
		b->held = window == b->window ? b->held + got : got;
		b->window = window;
	}
	return rc;
}

/* Hold at least `want` if they can be had. */
static enum rc
hold(struct outbox_sender *s, struct outbox_bucket *b, uint32_t want,
    enum outbox_priority priority, struct err *err)
{
	uint32_t kept = b->rate.count / KEPT_DIVISOR;
	enum rc rc = RC_OK;

	if (b->window != window_of(s, b))
		b->held = 0;
	if (b->held < want)
		rc = take(s, b, b->rate.count - kept,
		    want - b->held > b->slice ? want - b->held : b->slice, err);
	if (rc == RC_OK && b->held < want && priority <= OUTBOX_HIGH)
		rc = take(s, b, b->rate.count, want - b->held, err);
	return rc;
}

static struct outbox_bucket *
bucket_of(struct outbox_sender *s, struct slice recipient)
{
	struct slice domain = mail_address_domain(recipient);

	for (size_t i = 0; i < s->rates.ndomains; i++) {
		struct outbox_bucket *b = &s->rates.domains[i];

		if (slice_glob_nocase(domain, b->domain))
			return b;
	}
	return NULL;
}

/* How many may be asked for by the relay's own limits. */
static enum rc
by_relay(struct outbox_sender *s, enum outbox_priority priority, size_t *n,
    int64_t *wait_ms, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < NELEMS(s->rates.all) && rc == RC_OK; i++) {
		struct outbox_bucket *b = &s->rates.all[i];

		if (b->rate.count == 0 || *n == 0)
			continue;
		rc = hold(s, b, (uint32_t)*n, priority, err);
		if (*n > b->held) {
			*n = b->held;
			*wait_ms = left_ms(s, b);
		}
	}
	return rc;
}

/* Of those who have (not) been asked before, as many as `most` in all. */
static enum rc
by_domain(struct outbox_sender *s, const struct outbox_mail *m, bool asked,
    size_t most, size_t out[OUTBOX_RECIPIENTS_MAX], size_t *n, int64_t *wait_ms,
    struct err *err)
{
	uint32_t wanted[OUTBOX_DOMAINS_MAX] = { 0 };
	enum rc rc = RC_OK;

	for (size_t i = 0; i < m->nrecipients && *n < most && rc == RC_OK;
	     i++) {
		const struct outbox_recipient *r = &m->recipients[i];
		struct outbox_bucket *b = bucket_of(s, r->to);
		size_t k = b ? (size_t)(b - s->rates.domains) : 0;

		if (r->state != OUTBOX_OPEN || asked != (r->code != 0))
			continue;
		if (b) {
			rc = hold(s, b, wanted[k] + 1, m->priority, err);
			if (rc == RC_OK && b->held <= wanted[k]) {
				*wait_ms = left_ms(s, b);
				continue;
			}
			wanted[k]++;
		}
		out[(*n)++] = i;
	}
	return rc;
}

enum rc
outbox_rates_choose(struct outbox_sender *s, const struct outbox_mail *m,
    size_t out[OUTBOX_RECIPIENTS_MAX], size_t *chosen, int64_t *wait_ms,
    bool *relay, struct err *err)
{
	size_t open = 0;
	enum rc rc;

	*chosen = 0;
	*wait_ms = 0;
	for (size_t i = 0; i < m->nrecipients; i++)
		if (m->recipients[i].state == OUTBOX_OPEN)
			open++;
	if (open > OUTBOX_RECIPIENTS_MAX)
		open = OUTBOX_RECIPIENTS_MAX;
	rc = by_relay(s, m->priority, &open, wait_ms, err);
	*relay = *wait_ms > 0 && open == 0;
	/* A hundred who put us off must not keep the others from being asked
	 * at all. */
	if (rc == RC_OK)
		rc = by_domain(s, m, false, open, out, chosen, wait_ms, err);
	if (rc == RC_OK && *chosen == 0)
		rc = by_domain(s, m, true, open, out, chosen, wait_ms, err);
	return rc;
}

void
outbox_rates_spend(struct outbox_sender *s, struct slice recipient)
{
	struct outbox_bucket *b = bucket_of(s, recipient);

	for (size_t i = 0; i < NELEMS(s->rates.all); i++)
		if (s->rates.all[i].held > 0)
			s->rates.all[i].held--;
	if (b && b->held > 0)
		b->held--;
}

static void
give(struct outbox_sender *s, struct outbox_bucket *b)
{
	struct err ignored = ERR_INIT;

	if (b->held > 0 && b->window == window_of(s, b) &&
	    bucket_give(s->env->db, &s->env->scope, b->name, b->rate.per_s,
		b->held, &ignored) != RC_OK)
		return; /* fewer are sent in this window, and no harm done */
	b->held = 0;
}

void
outbox_rates_close(struct outbox_sender *s)
{
	for (size_t i = 0; i < NELEMS(s->rates.all); i++)
		give(s, &s->rates.all[i]);
	for (size_t i = 0; i < s->rates.ndomains; i++)
		give(s, &s->rates.domains[i]);
}
