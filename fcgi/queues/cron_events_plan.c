/*
 * What becomes of an event that is due: whether it runs, as how many rows, and
 * when it runs next (wp_reschedule_event(), and the policy for what nobody ran
 * in time).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "formats/md5.h"
#include "queues/cron_events_internal.h"

/* policy.max_age_ms when it is not set */
#define SKIP_AGE_S 3600
#define ALL_AGE_S 86400
#define ALL_ROWS 100
#define INSERT_ROWS 500
/* Bytes of a row beside its texts, as a statement says it. */
#define ROW_OVERHEAD 256

static const char skipped_words[] = "too late by its policy; not run";
static const char resurrected_words[] =
    "was done already; removed from the option again";
static const char vanished_words[] =
    "its recurrence is not known any more; runs this once";

void
cron_slot(int64_t timestamp, struct slice hook, struct slice key,
    char out[CRON_SLOT_LEN])
{
	unsigned char digest[MD5_LEN];
	char digits[24];
	struct md5 md5;

	(void)snprintf(digits, sizeof digits, "%" PRId64, timestamp);
	md5_init(&md5);
	/* Each with the NUL behind it. */
	md5_put(&md5, slice_mem(digits, strlen(digits) + 1));
	md5_put(&md5, hook);
	md5_put(&md5, SLICE_LIT("\0"));
	md5_put(&md5, key);
	md5_end(&md5, digest);
	memcpy(out, digest, sizeof digest);
}

void
cron_args_key(struct slice args, char out[CRON_DIGEST_LEN + 1])
{
	struct buf hex = BUF_INIT(CRON_DIGEST_LEN + 1);
	unsigned char digest[MD5_LEN];
	struct md5 md5;

	md5_init(&md5);
	md5_put(&md5, args);
	md5_end(&md5, digest);
	buf_put_hex(&hex, digest, sizeof digest);
	(void)snprintf(out, CRON_DIGEST_LEN + 1, "%s", buf_str(&hex));
	buf_clear(&hex);
}

bool
cron_export_is_known(const struct cron_settings *s, int64_t now)
{
	const struct cron_export *x = s->export;

	return x->exported_at > 0 && now - x->exported_at < CRON_EXPORT_S;
}

enum rc
cron_interval(const struct cron_settings *s, const struct cron_event *e,
    int64_t now, int64_t *interval)
{
	const struct cron_export *x = s->export;
	bool known = cron_export_is_known(s, now);

	*interval = 0;
	if (e->recurrence.n == 0)
		return RC_OK;
	if (!known && s->site.php)
		return RC_AGAIN;
	if (!known) {
		*interval = e->interval > 0 ? e->interval : 0;
		return RC_OK;
	}
	for (size_t i = 0; i < x->n; i++) {
		if (!slice_eq(x->recurrences[i].name, e->recurrence))
			continue;
		*interval = x->recurrences[i].interval > 0
				? x->recurrences[i].interval
			    : e->interval > 0 ? e->interval
					      : 0;
		break;
	}
	return RC_OK;
}

/* ---- the ledger ---------------------------------------------------------- */

static int
by_slot(const void *a, const void *b)
{
	return memcmp(a, b, CRON_SLOT_LEN);
}

struct ledger {
	char (*slots)[CRON_SLOT_LEN]; /* sorted */
	size_t n;
};

/* Which of these slots were taken already; what the companion merges never
 * comes back, and the same slot is a new event there. */
static enum rc
ledger_read(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, struct arena *a, const struct cron_step *steps, size_t n,
    struct ledger *out, struct err *err)
{
	struct sql_value *slots = arena_array(a, n ? n : 1, sizeof *slots);
	struct sql_args args =
	    *SQL_ARGS(V_U64(q->blog_id), V_U64(CRON_LEDGER_S));
	struct db_rows *rows = NULL;
	enum rc rc;

	out->n = 0;
	out->slots = arena_array(a, n ? n : 1, sizeof *out->slots);
	if (!slots || !out->slots)
		return err_set(err, RC_RETRY, "no memory for the ledger");
	if (n == 0 || s->site.companion)
		return RC_OK;
	for (size_t i = 0; i < n; i++)
		slots[i] =
		    V_BYTES(slice_mem(steps[i].rows[0].slot, CRON_SLOT_LEN));
	args.rows = slots;
	args.nrows = n;
	rc = db_select(db, &s->scope, SQL_EVENTS_LEDGER, &args, &rows, err);
	while (rc == RC_OK && out->n < n && db_rows_next(rows)) {
		struct slice slot = db_text(rows, 0);

		if (slot.n == CRON_SLOT_LEN)
			memcpy(out->slots[out->n++], slot.p, CRON_SLOT_LEN);
	}
	db_rows_free(rows);
	qsort(out->slots, out->n, CRON_SLOT_LEN, by_slot);
	return rc;
}

static bool
ledger_has(const struct ledger *l, const char slot[CRON_SLOT_LEN])
{
	return l->n > 0 &&
	       bsearch(slot, l->slots, l->n, CRON_SLOT_LEN, by_slot) != NULL;
}

/* ---- one event ----------------------------------------------------------- */

static struct cron_row
row_of(const struct cron_step *step, int64_t at, const char *state,
    const char *message)
{
	struct cron_row row = {
		.state = state,
		.message = message,
		.scheduled_at = at,
		.next_at = step->next_at,
		.event = step->event,
		.ended = strcmp(state, "taken") != 0,
	};

	cron_slot(at, step->event->hook, step->event->key, row.slot);
	return row;
}

static int64_t
max_age_s(const struct policy *p, int64_t otherwise)
{
	return p->max_age_ms > 0 ? p->max_age_ms / 1000 : otherwise;
}

/*
 * A row for every period that was missed, the newest ones if there are many.
 * The event's own slot is always among the rows: it is what a stale writer
 * would bring back.
 */
static enum rc
rows_of_all(struct cron_step *step, const struct policy *p, int64_t now,
    struct arena *a, struct err *err)
{
	int64_t at = step->event->timestamp, first = at, n;
	int64_t oldest = now - max_age_s(p, ALL_AGE_S);
	/* Any text may stand in the option: one past all time misses none. */
	int64_t period = step->interval < now ? step->interval : now;

	if (at < oldest)
		first = at + (oldest - at + period - 1) / period * period;
	n = first > now ? 0 : (now - first) / period + 1;
	if (n > ALL_ROWS) {
		first += (n - ALL_ROWS) * period;
		n = ALL_ROWS;
	}
	step->rows = arena_array(a, (size_t)n + 1, sizeof *step->rows);
	if (!step->rows)
		return err_set(err, RC_RETRY, "no memory for missed periods");
	if (first > at)
		step->rows[step->nrows++] =
		    row_of(step, at, "skipped", skipped_words);
	for (int64_t i = 0; i < n; i++)
		step->rows[step->nrows++] =
		    row_of(step, first + i * period, "taken", "");
	return RC_OK;
}

static enum rc
step_make(const struct cron_settings *s, const struct cron_choice *choice,
    int64_t now, struct arena *a, struct cron_step *step, struct err *err)
{
	const struct cron_event *e = choice->event;
	const struct policy *p = choice->policy;
	bool late =
	    e->timestamp < 0 || now - e->timestamp > max_age_s(p, SKIP_AGE_S);

	*step = (struct cron_step){ .event = e };
	/* With an object cache PHP reschedules: as far as we know. */
	if (cron_interval(s, e, now, &step->interval) == RC_AGAIN)
		step->interval = e->interval;
	if (step->interval > 0)
		step->next_at =
		    cron_next_run(e->timestamp, step->interval, now);
	step->vanished = e->recurrence.n > 0 && step->interval <= 0;
	step->readd = step->next_at > 0;
	if (p->catch_up == CATCH_UP_ALL && step->interval > 0 &&
	    e->timestamp > 0)
		return rows_of_all(step, p, now, a, err);
	step->rows = arena_array(a, 1, sizeof *step->rows);
	if (!step->rows)
		return err_set(err, RC_RETRY, "no memory for an event");
	step->nrows = 1;
	if (p->catch_up == CATCH_UP_SKIP && late)
		step->rows[0] =
		    row_of(step, e->timestamp, "skipped", skipped_words);
	else
		step->rows[0] = row_of(step, e->timestamp, "taken",
		    step->vanished ? vanished_words : "");
	return RC_OK;
}

/* It was done: only the slot goes, and a recurring one that has no later slot
 * gets its next. */
static void
step_resurrected(struct cron_step *step, const struct cron_array *c)
{
	const struct cron_event *e = step->event;
	char key[CRON_DIGEST_LEN + 1];

	cron_args_key(e->args, key);
	step->resurrected = true;
	step->vanished = false;
	step->readd =
	    step->next_at > 0 &&
	    !cron_array_has_after(c, e->hook, e->key, e->timestamp) &&
	    !cron_array_has_after(c, e->hook, slice_str(key), e->timestamp);
	if (!step->readd)
		step->next_at = 0;
	step->nrows = 1;
	step->rows[0] =
	    row_of(step, e->timestamp, "resurrected", resurrected_words);
}

enum rc
cron_plan_make(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, struct arena *a, const struct cron_array *c,
    const struct cron_choice *choices, size_t n, struct cron_plan *out,
    struct err *err)
{
	int64_t now = clock_unix(q->clock);
	struct ledger ledger;
	enum rc rc = RC_OK;

	*out = (struct cron_plan){ 0 };
	out->steps = arena_array(a, n ? n : 1, sizeof *out->steps);
	if (!out->steps)
		return err_set(err, RC_RETRY, "no memory for a plan");
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		if (choices[i].event)
			rc = step_make(
			    s, &choices[i], now, a, &out->steps[out->n++], err);
	if (rc == RC_OK)
		rc = ledger_read(q, s, db, a, out->steps, out->n, &ledger, err);
	for (size_t i = 0; i < out->n && rc == RC_OK; i++) {
		struct cron_step *step = &out->steps[i];

		if (ledger_has(&ledger, step->rows[0].slot))
			step_resurrected(step, c);
		for (size_t k = 0; k < step->nrows; k++)
			out->waiting += !step->rows[k].ended;
	}
	return rc;
}

/* ---- writing it ---------------------------------------------------------- */

void
cron_row_values(const struct cron_events *q, const struct cron_row *r,
    struct slice not_before, struct slice now, const char *woken_by,
    struct sql_value *v)
{
	const struct cron_event *e = r->event;
	const struct sql_value values[CRON_ROW_COLUMNS] = {
		V_U64(q->blog_id),
		V_STR(r->state),
		V_I64(r->scheduled_at),
		V_BYTES(e->hook),
		V_BYTES(e->key),
		V_BYTES(slice_mem(r->slot, CRON_SLOT_LEN)),
		V_BYTES(e->recurrence),
		V_BYTES(e->span),
		V_I64(r->next_at),
		V_TEXT(not_before),
		V_STR(woken_by),
		V_TEXT(now),
		r->ended ? V_TEXT(now) : V_NULL,
		V_BYTES(slice_str(r->message)),
	};

	memcpy(v, values, sizeof values);
}

/* Rows gathered for one statement. */
struct inserting {
	const struct cron_settings *s;
	struct db *db;
	struct sql_value values[INSERT_ROWS * CRON_ROW_COLUMNS];
	size_t n, bytes;
};

static enum rc
insert_flush(struct inserting *in, struct err *err)
{
	const struct sql_args args = { .rows = in->values, .nrows = in->n };
	enum rc rc = RC_OK;

	if (in->n > 0)
		rc = db_exec(
		    in->db, &in->s->scope, SQL_EVENTS_INSERT, &args, NULL, err);
	in->n = in->bytes = 0;
	return rc;
}

enum rc
cron_plan_insert(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, const struct cron_plan *plan, struct slice now,
    const char *woken_by, struct err *err)
{
	struct inserting *in = calloc(1, sizeof *in);
	enum rc rc = RC_OK;

	if (!in)
		return err_set(err, RC_RETRY, "no memory to insert events");
	in->s = s;
	in->db = db;
	for (size_t i = 0; i < plan->n && rc == RC_OK; i++) {
		const struct cron_step *step = &plan->steps[i];
		const struct cron_event *e = step->event;
		/* Bytes that are no ASCII take two digits each. */
		size_t bytes =
		    ROW_OVERHEAD + 2 * (e->span.n + e->hook.n + e->key.n);

		for (size_t k = 0; k < step->nrows && rc == RC_OK; k++) {
			if (in->n == INSERT_ROWS ||
			    in->bytes + bytes > CEILING_ROWS_BYTES)
				rc = insert_flush(in, err);
			cron_row_values(q, &step->rows[k], now, now, woken_by,
			    &in->values[in->n++ * CRON_ROW_COLUMNS]);
			in->bytes += bytes;
		}
	}
	if (rc == RC_OK)
		rc = insert_flush(in, err);
	free(in);
	return rc;
}

void
cron_plan_log(const struct cron_plan *plan, uint32_t blog_id)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct cron_step *step = &plan->steps[i];
		const struct cron_event *e = step->event;

		if (step->resurrected)
			log_event(LOG_WARN, "event.resurrected",
			    LOG_U("blog", blog_id), LOG_SLICE("hook", e->hook),
			    LOG_I("at", e->timestamp),
			    LOG_S("why", "done already, and brought back by a "
					 "stale writer;"
					 " removed again"));
		/* As core's cron_reschedule_event_error says it. */
		else if (step->vanished)
			log_event(LOG_WARN, "event.vanished",
			    LOG_U("blog", blog_id), LOG_SLICE("hook", e->hook),
			    LOG_I("at", e->timestamp),
			    LOG_SLICE("recurrence", e->recurrence),
			    LOG_S("code", "invalid_schedule"),
			    LOG_S("why", "its recurrence is not known any more;"
					 " it runs this once and is gone"));
	}
}
