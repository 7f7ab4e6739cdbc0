/* One mail: to whom it goes now, its bytes, and what the relay made of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "engine/outbox_run_internal.h"
#include "formats/mail_address.h"

/* A rate that frees something so soon is waited for. */
#define SHORT_WAIT_MS 1500
/* Where a rate is used up but for urgent mail, that is looked for so often. */
#define URGENT_LOOK_MS 2000

struct reading {
	struct outbox_sender *s;
	const struct outbox_mail *m;
	struct buf bytes; /* of a chunk */
	size_t at;
	uint32_t chunk; /* the next one */
	uint64_t read;
	enum rc rc; /* why it was broken off */
	struct err err;
};

/* What is to be written down of the mail in hand. */
static void
say(struct outbox_sender *s, const struct outbox_mail *m, enum outbox_end end,
    int64_t wait_ms, int code, struct slice words)
{
	struct outbox_said *x = &s->fresh;

	if (code != 0)
		(void)snprintf(x->reply, sizeof x->reply, "%d %.*s", code,
		    SLICE_FMT(words));
	else
		(void)snprintf(
		    x->reply, sizeof x->reply, "%.*s", SLICE_FMT(words));
	x->result = (struct outbox_result){
		.mail = m, .end = end, .wait_s = (wait_ms + 999) / 1000
	};
	x->is_there = true;
}

/* ---- the bytes ----------------------------------------------------------- */

static enum rc
next_chunk(struct reading *r)
{
	buf_reset(&r->bytes);
	r->at = 0;
	r->rc = outbox_chunk(r->s->env->db, &r->s->env->scope, r->m, r->chunk,
	    r->s->has_key ? r->s->key : NULL, &r->bytes, &r->err);
	r->chunk++;
	r->read += r->bytes.n;
	return r->rc;
}

/* At a stop a mail that is on the way has shutdown_grace. */
static bool
is_to_be_given_up(void *arg)
{
	struct reading *r = arg;

	return work_overdue(r->s->env, &r->s->stop_at);
}

static enum rc
read_bytes(void *arg, char *p, size_t n, size_t *done)
{
	struct reading *r = arg;

	*done = 0;
	if (r->at == r->bytes.n && r->read < r->m->size &&
	    next_chunk(r) != RC_OK)
		return r->rc;
	if (n > r->bytes.n - r->at)
		n = r->bytes.n - r->at;
	if (n > 0)
		memcpy(p, r->bytes.p + r->at, n);
	r->at += n;
	*done = n;
	return RC_OK;
}

/* Bytes that cannot be had are known before the relay hears of the mail. */
static enum rc
open_bytes(struct outbox_sender *s, struct reading *r, struct err *err)
{
	enum rc rc = next_chunk(r);

	if (rc == RC_RETRY)
		return err_set(err, rc, "%s", r->err.text);
	if (rc == RC_NONE || (rc == RC_OK && r->m->size == 0))
		say(s, r->m, OUTBOX_DEAD, 0, 0,
		    SLICE_LIT("its bytes are gone"));
	else if (rc != RC_OK)
		say(s, r->m, OUTBOX_HELD, 0, 0, slice_str(r->err.text));
	return s->fresh.is_there ? RC_NONE : RC_OK;
}

/* ---- the recipients ------------------------------------------------------ */

static bool
is_allowed(const struct config_smtp *smtp, struct slice to)
{
	for (size_t i = 0; i < smtp->allow_recipients.n; i++)
		if (slice_glob_nocase(
			to, slice_str(smtp->allow_recipients.items[i])))
			return true;
	return smtp->allow_recipients.n == 0;
}

static void
drop_others(const struct config_smtp *smtp, struct outbox_mail *m)
{
	if (smtp->redirect_to)
		return;
	for (size_t i = 0; i < m->nrecipients; i++) {
		struct outbox_recipient *r = &m->recipients[i];

		if (r->state != OUTBOX_OPEN || is_allowed(smtp, r->to))
			continue;
		r->state = OUTBOX_REFUSED;
		r->code = 0;
		r->words = SLICE_LIT(OUTBOX_DROPPED_WORDS);
	}
}

struct tally {
	size_t open, accepted;
	const struct outbox_recipient *refused; /* the first, but for dropped */
};

static struct tally
count(const struct outbox_mail *m)
{
	struct tally t = { .open = 0 };

	for (size_t i = 0; i < m->nrecipients; i++) {
		const struct outbox_recipient *r = &m->recipients[i];

		if (r->state == OUTBOX_OPEN)
			t.open++;
		else if (r->state == OUTBOX_ACCEPTED)
			t.accepted++;
		else if (!t.refused &&
			 !slice_eq_str(r->words, OUTBOX_DROPPED_WORDS))
			t.refused = r;
	}
	return t;
}

/* Nobody is open any more. */
static void
say_over(struct outbox_sender *s, const struct outbox_mail *m, int code,
    struct slice words)
{
	struct tally t = count(m);

	if (t.accepted > 0)
		say(s, m, OUTBOX_SENT, 0, code, words);
	else if (t.refused)
		say(s, m, OUTBOX_DEAD, 0, t.refused->code, t.refused->words);
	else
		say(s, m, OUTBOX_DROPPED, 0, 0,
		    SLICE_LIT(OUTBOX_DROPPED_WORDS));
}

/* ---- giving up ----------------------------------------------------------- */

static bool
is_too_old(
    const struct outbox_sender *s, const struct outbox_mail *m, int64_t in_ms)
{
	int64_t now = clock_unix(s->env->clock);

	return (now - m->created_at) * 1000 + in_ms >
	       (int64_t)s->smtp->max_age_ms;
}

static void
give_up(struct outbox_sender *s, struct outbox_mail *m, unsigned tries)
{
	char text[560];

	for (size_t i = 0; i < m->nrecipients; i++) {
		struct outbox_recipient *r = &m->recipients[i];

		if (r->state != OUTBOX_OPEN)
			continue;
		(void)snprintf(text, sizeof text,
		    "given up after %u tries: %.*s", tries,
		    SLICE_FMT(r->words));
		r->state = OUTBOX_REFUSED;
		r->words = arena_slice(&s->arena, slice_str(text));
		if (!r->words.p)
			r->words = SLICE_LIT("given up");
	}
	say_over(s, m, 0, SLICE_LIT("accepted by some, given up for others"));
}

/* min * 2^tries, +- 20 %, at most max. */
static int64_t
backoff_ms(const struct config_smtp *smtp, unsigned tries)
{
	int64_t ms = smtp->backoff_min_ms;

	while (tries-- > 0 && ms < smtp->backoff_max_ms)
		ms *= 2;
	if (ms > smtp->backoff_max_ms)
		ms = smtp->backoff_max_ms;
	return ms * 4 / 5 +
	       (int64_t)(outbox_random() % (uint64_t)(ms / 5 * 2 + 1));
}

/* ---- what came of it ----------------------------------------------------- */

struct attempt {
	struct slice to[OUTBOX_RECIPIENTS_MAX];
	size_t chosen[OUTBOX_RECIPIENTS_MAX], n; /* indexes of recipients */
	size_t nto;                              /* redirected: 1 */
	int64_t wait_ms; /* for the rate of those left out */
	struct smtp_answer each[OUTBOX_RECIPIENTS_MAX];
	struct smtp_result result;
};

static void
note(struct outbox_sender *s, struct outbox_recipient *r,
    const struct smtp_answer *answer)
{
	r->code = answer->code;
	r->words = arena_slice(&s->arena, slice_str(answer->words));
	if (!r->words.p)
		r->words = SLICE_LIT("");
	if (answer->verdict == SMTP_ACCEPTED)
		r->state = OUTBOX_ACCEPTED;
	else if (answer->verdict == SMTP_PERMANENT)
		r->state = OUTBOX_REFUSED;
}

/* The relay counts those for whom it took the text, or may have. */
static bool
is_counted(const struct smtp_result *result, const struct smtp_answer *each)
{
	if (result->whole.verdict == SMTP_ACCEPTED)
		return each->verdict == SMTP_ACCEPTED;
	return result->stage == SMTP_AT_END;
}

static void
take_answers(
    struct outbox_sender *s, struct outbox_mail *m, const struct attempt *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct outbox_recipient *r = &m->recipients[t->chosen[i]];
		const struct smtp_answer *answer =
		    &t->each[t->nto == 1 && t->n > 1 ? 0 : i];

		if (is_counted(&t->result, answer))
			outbox_rates_spend(s, r->to);
		note(s, r, answer);
	}
}

static void
say_unknown(struct outbox_sender *s, const struct outbox_mail *m,
    const struct smtp_result *result)
{
	struct slice words = slice_str(result->whole.words);
	bool hold = s->smtp->on_unknown == ON_UNKNOWN_HOLD || m->unknown > 0;

	say(s, m, hold ? OUTBOX_HELD : OUTBOX_UNKNOWN,
	    s->smtp->unknown_retry_ms, result->whole.code, words);
}

static bool
has_unasked(const struct outbox_mail *m)
{
	for (size_t i = 0; i < m->nrecipients; i++)
		if (m->recipients[i].state == OUTBOX_OPEN &&
		    m->recipients[i].code == 0)
			return true;
	return false;
}

static void
conclude(
    struct outbox_sender *s, struct outbox_mail *m, const struct attempt *t)
{
	const struct smtp_answer *whole = &t->result.whole;
	struct slice words = slice_str(whole->words);
	bool waits = false;
	int64_t wait;

	for (size_t i = 0; i < t->n; i++)
		if (m->recipients[t->chosen[i]].state == OUTBOX_OPEN)
			waits = true;
	if (count(m).open == 0) {
		say_over(s, m, whole->code, words);
		return;
	}
	/* Others were not asked yet, and those who were have answered, or it
	 * is they who are to be asked again later, not the mail. */
	if (!waits || (t->wait_ms == 0 && has_unasked(m) &&
			  (whole->verdict == SMTP_ACCEPTED ||
			      t->result.stage == SMTP_AT_RCPT))) {
		say(s, m, OUTBOX_BACK, t->wait_ms, whole->code, words);
		return;
	}
	wait = backoff_ms(s->smtp, m->tries);
	if (is_too_old(s, m, wait))
		give_up(s, m, m->tries + 1);
	else
		say(s, m, OUTBOX_LATER, wait, whole->code, words);
}

/* ---- sending ------------------------------------------------------------- */

static void
transmit(struct outbox_sender *s, struct outbox_mail *m, struct attempt *t,
    struct reading *r)
{
	const char *sender = s->smtp->envelope_from;
	const struct smtp_mail mail = {
		.sender = sender ? slice_str(sender) : m->sender,
		.recipients = t->to,
		.nrecipients = t->nto,
		.size = m->size,
		.read = read_bytes,
		.give_up = is_to_be_given_up,
		.arg = r,
	};

	smtp_send(s->smtp_conn, &mail, t->each, &t->result);
}

/* Nothing was said of the mail itself. */
static bool
is_unheard(enum smtp_verdict verdict)
{
	return verdict == SMTP_AWAY || verdict == SMTP_CONFIG;
}

static void
ended(struct outbox_sender *s, struct outbox_mail *m, const struct attempt *t,
    const struct reading *r)
{
	enum smtp_verdict verdict = t->result.whole.verdict;

	/* Ours, not the relay's: it has not got the mail. */
	if (r->rc != RC_OK) {
		s->stop = r->rc == RC_RETRY;
		say(s, m,
		    r->rc == RC_REJECT ? OUTBOX_HELD
		    : r->rc == RC_NONE ? OUTBOX_DEAD
				       : OUTBOX_BACK,
		    0, 0, slice_str(r->err.text));
		return;
	}
	s->stop |= t->result.given_up;
	if (t->result.given_up && is_unheard(verdict)) {
		say(s, m, OUTBOX_BACK, 0, 0, SLICE_LIT("the program stops"));
		return;
	}
	if (is_unheard(verdict)) {
		/* It may be this mail that makes the relay hang up: the next
		 * probe is another one. */
		bool charged =
		    t->result.stage >= SMTP_AT_MAIL && !t->result.rate_limited;

		say(s, m, charged ? OUTBOX_LATER : OUTBOX_BACK,
		    charged ? backoff_ms(s->smtp, m->tries) : 0,
		    t->result.whole.code, slice_str(t->result.whole.words));
		outbox_rest_begin(s, &t->result);
		return;
	}
	outbox_rest_end(s);
	take_answers(s, m, t);
	if (verdict == SMTP_UNKNOWN)
		say_unknown(s, m, &t->result);
	else
		conclude(s, m, t);
	if (t->result.rate_limited && verdict != SMTP_ACCEPTED) {
		s->stop = true;
		s->report->wait_ms = s->smtp->backoff_min_ms < 60000
					 ? s->smtp->backoff_min_ms
					 : 60000;
		(void)snprintf(s->report->why, sizeof s->report->why,
		    "relay %.64s asks for less: %d %.300s", s->smtp->name,
		    t->result.whole.code, t->result.whole.words);
	}
}

/* RC_NONE: not now, and what is to be done with it is said. */
static enum rc
choose(struct outbox_sender *s, struct outbox_mail *m, struct attempt *t,
    struct err *err)
{
	bool relay = false;
	enum rc rc = outbox_rates_choose(
	    s, m, t->chosen, &t->n, &t->wait_ms, &relay, err);

	while (rc == RC_OK && t->n == 0 && relay &&
	       t->wait_ms <= SHORT_WAIT_MS && !work_stopping(s->env) &&
	       clock_mono(s->env->clock) + t->wait_ms < s->deadline) {
		rc = outbox_flush(s, NULL, err);
		clock_sleep_ms(t->wait_ms);
		if (rc == RC_OK)
			rc = outbox_rates_choose(
			    s, m, t->chosen, &t->n, &t->wait_ms, &relay, err);
	}
	if (rc != RC_OK || t->n > 0)
		return rc;
	if (!relay) {
		say(s, m, OUTBOX_BACK, t->wait_ms, 0,
		    SLICE_LIT("the rate of its recipients' domain is used up"));
		return RC_NONE;
	}
	/* It stays claimed; all go back together. Urgent mail that comes in
	 * meanwhile does not wait for the window's end. */
	s->report->wait_ms = t->wait_ms;
	if (m->priority > OUTBOX_HIGH && s->lowest > OUTBOX_HIGH) {
		s->lowest = OUTBOX_HIGH;
		if (t->wait_ms > URGENT_LOOK_MS)
			s->report->wait_ms = URGENT_LOOK_MS;
	} else {
		s->stop = true;
	}
	(void)snprintf(s->report->why, sizeof s->report->why,
	    "the rate of relay %.64s is used up", s->smtp->name);
	return RC_NONE;
}

static void
address(const struct outbox_sender *s, const struct outbox_mail *m,
    struct attempt *t)
{
	t->nto = t->n;
	for (size_t i = 0; i < t->n; i++)
		t->to[i] = m->recipients[t->chosen[i]].to;
	if (s->smtp->redirect_to) {
		t->to[0] = slice_str(s->smtp->redirect_to);
		t->nto = 1;
	}
}

/* What needs no relay to be known. */
static bool
is_over(struct outbox_sender *s, struct outbox_mail *m)
{
	if (m->broken) {
		say(s, m, OUTBOX_HELD, 0, 0,
		    SLICE_LIT("its recipients cannot be read"));
		return true;
	}
	drop_others(s->smtp, m);
	if (count(m).open == 0) {
		say_over(s, m, 0, SLICE_LIT("every recipient has an answer"));
		return true;
	}
	if (m->tries > 0 && is_too_old(s, m, 0)) {
		give_up(s, m, m->tries);
		return true;
	}
	return false;
}

/* RC_NONE: not now, or never; what is to be written down is said, if it is. */
static enum rc
try(struct outbox_sender *s, struct outbox_mail *m, struct attempt *t,
    struct reading *r, struct err *err)
{
	enum rc rc;

	if (is_over(s, m))
		return RC_NONE;
	rc = choose(s, m, t, err);
	if (rc == RC_OK)
		rc = open_bytes(s, r, err);
	if (rc != RC_OK)
		return rc;
	address(s, m, t);
	rc = outbox_flush(s, m, err);
	if (rc != RC_OK)
		return rc;
	transmit(s, m, t, r);
	ended(s, m, t, r);
	return RC_OK;
}

enum rc
outbox_send_one(struct outbox_sender *s, struct outbox_mail *m, struct err *err)
{
	struct reading r = { .s = s, .m = m, .bytes = BUF_INIT(OUTBOX_CHUNK) };
	struct attempt *t = arena_alloc(&s->arena, sizeof(struct attempt));
	enum rc rc;

	if (!t)
		return err_set(err, RC_RETRY, "no memory for a mail");
	s->fresh.is_there = false;
	rc = try(s, m, t, &r, err);
	buf_clear(&r.bytes);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	if (!s->fresh.is_there)
		return RC_OK;
	/* One that was not begun leaves the former unsettled. */
	rc = outbox_flush(s, NULL, err);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	s->done = s->fresh;
	s->done.result.reply = slice_str(s->done.reply);
	return rc;
}
