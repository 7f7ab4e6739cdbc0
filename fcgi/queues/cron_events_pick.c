/*
 * Which of the waiting rows may be claimed: read without locks, in the order
 * in which core would run them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "queues/cron_events_internal.h"

#define PICKS_ARENA_MAX (16u << 20)
/* Rows that nobody may run are looked at again; sooner where it is another
 * row's end that they wait for. */
#define BARRED_MS 2000
#define BLOCKED_MS 1000

/* ---- hooks that run ------------------------------------------------------ */

enum rc
cron_busy_read(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, struct arena *a, struct cron_busy *out, struct err *err)
{
	struct db_rows *rows = NULL;
	size_t max;
	enum rc rc = db_select(db, &s->scope, SQL_EVENTS_BUSY,
	    SQL_ARGS(V_U64(q->blog_id)), &rows, err);

	*out = (struct cron_busy){ 0 };
	if (rc != RC_OK)
		return rc;
	max = db_rows_count(rows);
	out->hooks = arena_array(a, max ? max : 1, sizeof *out->hooks);
	while (out->hooks && out->n < max && db_rows_next(rows)) {
		struct slice hook = db_text(rows, 0);
		const char *copy = arena_strdup(a, hook);

		if (!copy)
			out->hooks = NULL;
		else
			out->hooks[out->n++] = slice_mem(copy, hook.n);
	}
	db_rows_free(rows);
	return out->hooks ? RC_OK
			  : err_set(err, RC_RETRY, "no memory for busy hooks");
}

bool
cron_busy_has(const struct cron_busy *h, struct slice hook)
{
	for (size_t i = 0; i < h->n; i++)
		if (slice_eq(h->hooks[i], hook))
			return true;
	return false;
}

/* ---- picking ------------------------------------------------------------- */

void
cron_picks_init(struct cron_picks *p, const struct claim_request *req)
{
	*p = (struct cron_picks){ .arena = ARENA_INIT(PICKS_ARENA_MAX) };
	for (size_t l = 0; l < LANE_COUNT; l++) {
		size_t room = req->room[l] ? req->room[l] : req->ask[l];

		if (req->share[l] > 1)
			room *= req->share[l];
		p->lane[l].looked = room > 0;
		p->lane[l].room = room;
		p->lane[l].picks = xcalloc(room + 1, sizeof(struct cron_pick));
	}
}

void
cron_picks_clear(struct cron_picks *p)
{
	for (size_t l = 0; l < LANE_COUNT; l++)
		free(p->lane[l].picks);
	arena_clear(&p->arena);
}

bool
cron_lane_open(const struct cron_picks *p, enum lane lane)
{
	return p->lane[lane].n < p->lane[lane].room && !p->lane[lane].alone;
}

/* One after another within a PHP claim; natively side by side. */
static bool
is_beside(const struct cron_picks *p, enum lane lane, struct slice hook)
{
	for (size_t i = 0; lane == LANE_NATIVE && i < p->lane[lane].n; i++)
		if (slice_eq(p->lane[lane].picks[i].hook, hook))
			return true;
	return false;
}

static void
pick(struct cron_picks *p, enum lane lane, const struct cron_pick *found,
    enum admit verdict)
{
	size_t n = p->lane[lane].n;

	if (verdict == ADMIT_ALONE && n > 0) {
		p->more = true;
		return;
	}
	p->lane[lane].picks[n] = *found;
	p->lane[lane].picks[n].hook.p = arena_strdup(&p->arena, found->hook);
	if (!p->lane[lane].picks[n].hook.p) {
		p->more = true;
		return;
	}
	p->lane[lane].n++;
	p->lane[lane].alone = verdict == ADMIT_ALONE;
}

/*
 * Does it wait for an event of its own hook? Asked without its id, so that
 * nothing is counted as admitted for what is then not picked.
 */
static bool
is_blocked(const struct claim_request *req, enum lane lane,
    const struct candidate *c, const struct cron_busy *busy,
    const struct cron_picks *p)
{
	struct candidate any = *c;
	const struct policy *policy;
	const struct route *route;

	any.id = 0;
	return (cron_busy_has(busy, c->hook) || is_beside(p, lane, c->hook)) &&
	       req->admit(req->arg, lane, &any, &route, &policy) != ADMIT_BAR &&
	       !policy->overlap;
}

/* Choose a row for a lane, or count why not. */
void
cron_picks_judge(const struct claim_request *req, const struct candidate *c,
    const struct cron_busy *busy, struct cron_picks *p, struct cron_look *look)
{
	struct cron_pick found = { .id = c->id, .hook = c->hook };
	bool full = false;

	for (int l = 0; l < LANE_COUNT; l++) {
		enum lane lane = (enum lane)l;
		enum admit verdict;

		if (!cron_lane_open(p, lane)) {
			full = true;
			continue;
		}
		if (is_blocked(req, lane, c, busy, p)) {
			look->blocked++;
			return;
		}
		verdict =
		    req->admit(req->arg, lane, c, &found.route, &found.policy);
		if (verdict == ADMIT_BAR)
			continue;
		if (verdict == ADMIT_FULL)
			look->full++;
		else
			pick(p, lane, &found, verdict);
		return;
	}
	look->unseen += full;
	look->barred += !full;
}

static size_t
not_runnable(const struct cron_look *l)
{
	return l->blocked + l->full + l->barred;
}

enum rc
cron_picks_waiting(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, const struct claim_request *req, struct cron_picks *p,
    struct cron_look *look, struct err *err)
{
	uint64_t seen = p->max_id;
	struct db_rows *rows = NULL;
	struct cron_busy busy = { 0 };
	enum rc rc = db_select(db, &s->scope, SQL_EVENTS_WAITING,
	    SQL_ARGS(V_U64(q->blog_id), V_U64(CRON_WAITING_ROWS)), &rows, err);

	if (rc == RC_OK && db_rows_count(rows) > 0)
		rc = cron_busy_read(q, s, db, &p->arena, &busy, err);
	if (rc == RC_OK && !p->hooks.slots &&
	    !cron_hooks_init(&p->hooks, &p->arena,
		db_rows_count(rows) + 2 * (size_t)CRON_TAKE_MAX))
		rc = err_set(err, RC_RETRY, "no memory for waiting events");
	while (rc == RC_OK && db_rows_next(rows)) {
		const struct candidate c = {
			.kind = JOB_EVENT,
			.id = db_u64(rows, 0),
			.hook = db_text(rows, 1),
			.due = db_i64(rows, 2),
		};
		size_t before = not_runnable(look);
		struct cron_hook *hook;

		if (c.id <= seen)
			continue;
		if (c.id > p->max_id)
			p->max_id = c.id;
		p->waiting++;
		cron_picks_judge(req, &c, &busy, p, look);
		hook = cron_hooks_get(&p->hooks, c.hook);
		if (!hook)
			continue;
		hook->waiting++;
		if (not_runnable(look) > before)
			hook->stuck = true;
	}
	db_rows_free(rows);
	return rc;
}

/* What of the waiting rows was not picked: when is the next look? */
void
cron_picks_remember(struct cron_events *q, const struct cron_picks *p,
    const struct cron_look *look)
{
	size_t picked = p->lane[LANE_NATIVE].n + p->lane[LANE_PHP].n;
	mono_ms wait = look->blocked + look->full > 0 ? BLOCKED_MS : BARRED_MS;

	q->waiting_barred =
	    picked + look->blocked + look->full + look->unseen == 0;
	q->waiting_quiet_until =
	    p->max_id == 0 || picked > 0 || look->unseen > 0
		? 0
		: clock_mono(q->clock) + wait;
}

/* Is the hook of a pick among the first n? */
static bool
is_among(const struct cron_pick *picks, size_t n, const struct cron_pick *p)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(picks[i].hook, p->hook))
			return true;
	return false;
}

/* One worker's part of what was found, with all events of its hooks that may
 * not run beside it. */
void
cron_picks_share(
    struct cron_picks *p, const struct claim_request *req, size_t l)
{
	struct cron_pick *picks = p->lane[l].picks;
	size_t share = req->share[l] > 1 ? req->share[l] : 1;
	size_t all = p->lane[l].n, part = (all + share - 1) / share, n;

	if (part > req->room[l])
		part = req->room[l];
	n = part;
	for (size_t i = part; i < all && n < req->room[l]; i++)
		if (!picks[i].policy->overlap &&
		    is_among(picks, part, &picks[i]))
			picks[n++] = picks[i];
	if (n < all)
		p->more = true;
	p->lane[l].n = n;
}
