/*
 * Finding candidates: windows read by keyset, without locks, along the index
 * that exists. A cursor a stream moves past the rows at its head that nobody
 * may run, so that they cost their reads once and not at every look.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "queues/actions_internal.h"

#define WINDOW_ROWS 500
/* The first window of a walk: enough to choose from, not more than it needs. */
#define FIRST_WINDOW_MIN 100
#define FIRST_WINDOW_SHARE 8
/* Urgent rows behind a full window surface by a wide one every few seconds. */
#define SWEEP_ROWS 5000
#define SWEEP_EVERY_MS 5000
/* Behind rows that may run but for want of room, work for others may wait: a
 * walk goes on past them this often. */
#define DEEP_EVERY_MS 1000
/* One call walks so many windows at most, so that heartbeats stay punctual. */
#define WINDOWS_MAX 20
/* The cursor starts again at the head this often, or ten times as rarely as
 * the walk takes. */
#define REWIND_EVERY_MS 5000
#define REWIND_SHARE 10

struct window_row {
	struct candidate c;
	const struct route *route;
	const struct policy *policy;
	enum admit verdict;
	bool judged;
};

/*
 * One ordered run of candidates for one lane: all by date, or those of one
 * priority. Each lane has its own cursor, because the rows of the other one
 * are nothing to it: a long queue for PHP never hides native work.
 */
struct stream {
	enum lane lane;
	struct cursor *cursor;
	bool of_priority;
	unsigned priority;
};

static bool
bad_has(const struct actions *q, uint64_t id)
{
	if (q->bad_cap == 0)
		return false;
	for (size_t i = id % q->bad_cap;; i = (i + 1) % q->bad_cap) {
		if (q->bad[i] == id)
			return true;
		if (q->bad[i] == 0)
			return false;
	}
}

static void
bad_put(uint64_t *set, size_t cap, uint64_t id)
{
	size_t i = id % cap;

	while (set[i] != 0)
		i = (i + 1) % cap;
	set[i] = id;
}

void
actions_refuse(struct actions *q, uint64_t id)
{
	if (q->nbad * 2 >= q->bad_cap) {
		size_t cap = q->bad_cap ? q->bad_cap * 2 : 256;
		bool forget = cap / 2 > BAD_IDS_MAX;
		uint64_t *set;

		cap = forget ? 256 : cap;
		set = xcalloc(cap, sizeof *set);
		for (size_t i = 0; !forget && i < q->bad_cap; i++)
			if (q->bad[i] != 0)
				bad_put(set, cap, q->bad[i]);
		if (forget)
			q->nbad = 0;
		free(q->bad);
		q->bad = set;
		q->bad_cap = cap;
	}
	bad_put(q->bad, q->bad_cap, id);
	q->nbad++;
}

static uint64_t
random_next(struct actions *q)
{
	/* xorshift64: spreads nodes over a window, nothing secret */
	q->random ^= q->random << 13;
	q->random ^= q->random >> 7;
	q->random ^= q->random << 17;
	return q->random;
}

void
actions_cursors_reset(struct actions *q)
{
	for (size_t l = 0; l < LANE_COUNT; l++) {
		q->by_date[l] = CURSOR_HEAD;
		for (size_t i = 0; i < NELEMS(q->by_priority[l]); i++)
			q->by_priority[l][i] = CURSOR_HEAD;
	}
}

static void
rewind_when_due(struct actions *q)
{
	mono_ms now = clock_mono(q->clock), pause;
	bool asked;

	pthread_mutex_lock(&q->lock);
	asked = q->rewind;
	q->rewind = false;
	q->peeking = q->peeking || q->peek;
	q->peek = false;
	pthread_mutex_unlock(&q->lock);
	if (asked && q->bad) {
		memset(q->bad, 0, q->bad_cap * sizeof *q->bad);
		q->nbad = 0;
	}
	if (!asked && now < q->rewind_at)
		return;
	actions_cursors_reset(q);
	pause = q->walked_ms * REWIND_SHARE;
	q->rewind_at =
	    now + (pause > REWIND_EVERY_MS ? pause : REWIND_EVERY_MS);
	q->walked_ms = 0;
}

static enum rc
window_read(const struct actions_settings *s, struct db *db,
    const struct stream *st, const struct cursor *from, int64_t now, size_t max,
    struct db_rows **rows, struct err *err)
{
	const struct sql_value v[] = { V_U64(st->priority), V_TIME(from->date),
		V_TIME(from->date), V_U64(from->id), V_TIME(now), V_U64(max) };
	const struct sql_args args = {
		.values = st->of_priority ? v : v + 1,
		.nvalues = st->of_priority ? 6 : 5,
	};

	return db_select(db, &s->scope,
	    st->of_priority ? SQL_ACTIONS_WINDOW_OF_PRIORITY
			    : SQL_ACTIONS_WINDOW,
	    &args, rows, err);
}

/* The streams of a lane in the order of claiming, from *priority -1 on;
 * RC_NONE after the last. */
static enum rc
stream_next(struct actions *q, const struct actions_settings *s, struct db *db,
    enum lane lane, int *priority, struct stream *st, struct err *err)
{
	struct db_rows *rows = NULL;
	bool found;
	enum rc rc;

	*st = (struct stream){ .lane = lane, .cursor = &q->by_date[lane] };
	if (!s->schema.has_priority_index) {
		bool first = *priority < 0;

		*priority = 0;
		return first ? RC_OK : RC_NONE;
	}
	if (*priority >= PRIORITY_MAX)
		return RC_NONE;
	rc = db_select(db, &s->scope, SQL_ACTIONS_PRIORITY_FROM,
	    SQL_ARGS(V_U64((uint64_t)(*priority + 1))), &rows, err);
	if (rc != RC_OK)
		return rc;
	found = db_rows_next(rows) && !db_is_null(rows, 0);
	if (found)
		*priority = (int)(db_u64(rows, 0) & PRIORITY_MAX);
	db_rows_free(rows);
	if (!found)
		return RC_NONE;
	st->of_priority = true;
	st->priority = (unsigned)*priority;
	st->cursor = &q->by_priority[lane][st->priority];
	return RC_OK;
}

static enum rc
stream_next_due(const struct actions_settings *s, struct db *db,
    const struct stream *st, const struct cursor *c, int64_t *when,
    struct err *err)
{
	const int64_t ever = INT64_C(253402300799); /* 9999-12-31 23:59:59 */
	struct db_rows *rows = NULL;
	enum rc rc;

	if (st->of_priority)
		rc = window_read(s, db, st, c, ever, 1, &rows, err);
	else
		rc = db_select(db, &s->scope, SQL_ACTIONS_NEXT_DUE,
		    SQL_ARGS(V_TIME(c->date), V_TIME(c->date), V_U64(c->id)),
		    &rows, err);
	if (rc != RC_OK)
		return rc;
	rc = db_rows_next(rows) ? RC_OK : RC_NONE;
	if (rc == RC_OK)
		*when = db_time(rows, st->of_priority ? 4 : 0);
	db_rows_free(rows);
	return rc;
}

static bool
cursor_eq(const struct cursor *a, const struct cursor *b)
{
	return a->date == b->date && a->id == b->id;
}

enum rc
actions_next_due(
    struct queue *queue, struct db *db, int64_t *when, struct err *err)
{
	struct actions *q = actions_of(queue);
	const struct cursor head = CURSOR_HEAD;
	struct actions_settings s;
	bool found = false;
	enum rc rc = RC_NONE;

	actions_settings_get(q, &s);
	rewind_when_due(q);
	for (size_t l = 0; l < LANE_COUNT; l++) {
		struct stream st;
		int priority = -1;
		int64_t due;

		while ((rc = stream_next(q, &s, db, (enum lane)l, &priority,
			    &st, err)) == RC_OK) {
			const struct cursor *other =
			    st.of_priority ? &q->by_priority[0][st.priority]
					   : &q->by_date[0];

			if (l > 0 && cursor_eq(st.cursor, other))
				continue;
			rc = stream_next_due(&s, db, &st,
			    q->peeking ? &head : st.cursor, &due, err);
			if (rc == RC_OK) {
				*when = found && *when < due ? *when : due;
				found = true;
			} else if (rc != RC_NONE) {
				return rc;
			}
		}
		if (rc != RC_NONE)
			return rc;
	}
	return found ? RC_OK : RC_NONE;
}

static int
by_priority_then_order(const void *a, const void *b)
{
	const struct window_row *const *x = a, *const *y = b;

	if ((*x)->c.priority != (*y)->c.priority)
		return (*x)->c.priority < (*y)->c.priority ? -1 : 1;
	return *x < *y ? -1 : *x > *y; /* the window came by date, id */
}

static bool
lane_full(const struct picks *p, enum lane lane)
{
	return p->lane[lane].n >= p->lane[lane].room;
}

static void
judge(struct actions *q, const struct claim_request *req, enum lane lane,
    struct picks *p, struct window_row *r)
{
	size_t n = p->lane[lane].n;

	r->judged = true;
	r->verdict = bad_has(q, r->c.id) ? ADMIT_BAR
					 : req->admit(req->arg, lane, &r->c,
					       &r->route, &r->policy);
	if (r->verdict == ADMIT_FULL)
		p->more = true;
	if (r->verdict != ADMIT_TAKE)
		return;
	p->lane[lane].ids[n] = r->c.id;
	p->lane[lane].routes[n] = r->route;
	p->lane[lane].policies[n] = r->policy;
	p->lane[lane].n++;
}

/*
 * Where to begin among the rows of the most urgent priority: at the head, or,
 * while other nodes take the same rows, at a random one.
 */
static size_t
first_pick(struct actions *q, struct window_row *const *sorted, size_t n)
{
	size_t same = 0;

	if (q->contended == 0)
		return 0;
	while (same < n && sorted[same]->c.priority == sorted[0]->c.priority)
		same++;
	return same ? random_next(q) % same : 0;
}

static void
window_judge(struct actions *q, const struct claim_request *req, enum lane lane,
    struct picks *p, struct window_row *rows, struct window_row **sorted,
    size_t n)
{
	size_t first;

	for (size_t i = 0; i < n; i++)
		sorted[i] = &rows[i];
	qsort(sorted, n, sizeof(struct window_row *), by_priority_then_order);
	first = first_pick(q, sorted, n);
	for (size_t i = 0; i < n && !lane_full(p, lane); i++)
		judge(q, req, lane, p, sorted[(first + i) % n]);
	for (size_t i = 0; i < n; i++)
		if (!rows[i].judged)
			p->more = true;
}

/* Read the rows of a window; text is lent by `rows`. */
static size_t
window_take(struct db_rows *rows, struct window_row *out, size_t max)
{
	size_t n = 0;

	while (n < max && db_rows_next(rows)) {
		out[n++] = (struct window_row) {
			.c = {
				.id = db_u64(rows, 0),
				.hook = db_text(rows, 1),
				.group_id = db_u64(rows, 2),
				.priority = (unsigned)db_u64(rows, 3),
				.due = db_time(rows, 4),
			},
		};
	}
	return n;
}

static bool
is_behind(const struct window_row *r, const struct cursor *c)
{
	return r->c.due < c->date || (r->c.due == c->date && r->c.id <= c->id);
}

/*
 * A hook that was barred may run again: look at the rows the cursor has
 * passed, one window of them, and leave the cursor where it is.
 */
static enum rc
stream_peek(struct actions *q, const struct actions_settings *s, struct db *db,
    const struct stream *st, const struct claim_request *req, int64_t now,
    struct picks *p, struct err *err)
{
	const struct cursor head = CURSOR_HEAD;
	struct window_row *w = xcalloc(WINDOW_ROWS, sizeof *w);
	struct db_rows *rows = NULL;
	size_t n;
	enum rc rc =
	    window_read(s, db, st, &head, now, WINDOW_ROWS, &rows, err);

	if (rc == RC_OK) {
		n = window_take(rows, w, WINDOW_ROWS);
		for (size_t i = 0; i < n && is_behind(&w[i], st->cursor) &&
				   !lane_full(p, st->lane);
		     i++)
			judge(q, req, st->lane, p, &w[i]);
		db_rows_free(rows);
	}
	free(w);
	return rc;
}

/* Move the cursor over the rows at the window's head that nobody may run. */
static bool
cursor_follow(
    struct cursor *c, const struct window_row *w, size_t n, bool at_head)
{
	for (size_t i = 0; i < n && at_head; i++) {
		at_head = w[i].judged && w[i].verdict == ADMIT_BAR;
		if (at_head)
			*c = (struct cursor){ w[i].c.due, w[i].c.id };
	}
	return at_head;
}

/* Does a walk end with this window, because its rows wait for room? */
static bool
stalled(struct actions *q, enum lane lane, const struct window_row *w, size_t n)
{
	bool full = false;

	for (size_t i = 0; i < n && !full; i++)
		full = w[i].judged && w[i].verdict == ADMIT_FULL;
	if (!full || clock_mono(q->clock) < q->deep_at[lane])
		return full;
	q->deep_at[lane] = clock_mono(q->clock) + DEEP_EVERY_MS;
	q->deep = true;
	return false;
}

static size_t
first_window(size_t room)
{
	size_t rows = room * FIRST_WINDOW_SHARE;

	return rows < FIRST_WINDOW_MIN ? FIRST_WINDOW_MIN
	       : rows > WINDOW_ROWS    ? WINDOW_ROWS
				       : rows;
}

/*
 * Walk one stream from its cursor until its lane is full or nothing is left.
 * RC_AGAIN: stopped early.
 */
static enum rc
stream_walk(struct actions *q, const struct actions_settings *s, struct db *db,
    const struct stream *st, const struct claim_request *req, int64_t now,
    struct picks *p, struct err *err)
{
	struct cursor at = *st->cursor;
	size_t max = first_window(p->lane[st->lane].room);
	size_t cap = WINDOW_ROWS, windows = 0, n;
	struct window_row *w = NULL, **sorted = NULL;
	bool at_head = true, full;
	enum rc rc = RC_OK;

	q->deep = false;
	if (!st->of_priority && req->room[st->lane] > 0 &&
	    clock_mono(q->clock) >= q->sweep_at[st->lane]) {
		max = cap = SWEEP_ROWS;
		q->sweep_at[st->lane] = clock_mono(q->clock) + SWEEP_EVERY_MS;
	}
	w = xcalloc(cap, sizeof *w);
	sorted = xcalloc(cap, sizeof(struct window_row *));
	do {
		struct db_rows *rows = NULL;

		rc = window_read(s, db, st, &at, now, max, &rows, err);
		if (rc != RC_OK)
			goto out;
		n = window_take(rows, w, max);
		window_judge(q, req, st->lane, p, w, sorted, n);
		at_head = cursor_follow(st->cursor, w, n, at_head);
		if (n > 0)
			at = (struct cursor){ w[n - 1].c.due, w[n - 1].c.id };
		db_rows_free(rows);
		full = n == max;
		max = cap;
		if (!q->deep && stalled(q, st->lane, w, n)) {
			full = false;
			break;
		}
	} while (full && !lane_full(p, st->lane) && ++windows < WINDOWS_MAX);
	if (full)
		p->more = true;
	rc = full && !lane_full(p, st->lane) ? RC_AGAIN : RC_OK;
out:
	free(w);
	free(sorted);
	return rc;
}

static enum rc
lane_walk(struct actions *q, const struct actions_settings *s, struct db *db,
    enum lane lane, const struct claim_request *req, struct picks *p,
    struct err *err)
{
	const struct cursor head = CURSOR_HEAD;
	int64_t now = clock_unix(q->clock);
	struct stream st;
	int priority = -1;
	enum rc rc;

	while (
	    (rc = stream_next(q, s, db, lane, &priority, &st, err)) == RC_OK) {
		if (lane_full(p, lane)) {
			p->more = true;
			return RC_OK;
		}
		if (q->peeking && !cursor_eq(st.cursor, &head))
			rc = stream_peek(q, s, db, &st, req, now, p, err);
		if (rc == RC_OK)
			rc = stream_walk(q, s, db, &st, req, now, p, err);
		if (rc == RC_AGAIN)
			p->unfinished = true;
		else if (rc != RC_OK)
			return rc;
	}
	return rc == RC_NONE ? RC_OK : rc;
}

void
picks_init(struct picks *p, const struct claim_request *req)
{
	*p = (struct picks){ 0 };
	for (size_t l = 0; l < LANE_COUNT; l++) {
		/* To learn whether work waits, one row is looked for. */
		size_t room = req->room[l] ? req->room[l] : req->ask[l];

		if (req->share[l] > 1)
			room *= req->share[l];

		p->lane[l].room = room;
		p->lane[l].ids = xcalloc(room, sizeof(uint64_t));
		p->lane[l].routes = xcalloc(room, sizeof(struct route *));
		p->lane[l].policies = xcalloc(room, sizeof(struct policy *));
	}
}

void
picks_clear(struct picks *p)
{
	for (size_t l = 0; l < LANE_COUNT; l++) {
		free(p->lane[l].ids);
		free(p->lane[l].routes);
		free(p->lane[l].policies);
	}
}

/* Of what was found, one worker's part; without room, only that it is there. */
static void
picks_share(struct picks *p, const struct claim_request *req, size_t l)
{
	size_t share = req->share[l] > 1 ? req->share[l] : 1;
	size_t part = (p->lane[l].n + share - 1) / share;

	if (part > req->room[l])
		part = req->room[l];
	if (part < p->lane[l].n)
		p->more = true;
	p->lane[l].n = part;
}

enum rc
actions_walk(struct actions *q, const struct actions_settings *s, struct db *db,
    const struct claim_request *req, struct picks *p, struct err *err)
{
	mono_ms begun = clock_mono(q->clock);
	enum rc rc = RC_OK;

	rewind_when_due(q);
	for (size_t l = 0; l < LANE_COUNT && rc == RC_OK; l++) {
		if (p->lane[l].room > 0)
			rc = lane_walk(q, s, db, (enum lane)l, req, p, err);
		picks_share(p, req, l);
	}
	q->peeking = false;
	q->walked_ms += clock_mono(q->clock) - begun;
	return rc;
}
