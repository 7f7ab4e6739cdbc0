/*
 * Claiming: rows that wait are chosen without locks, then taken by
 * compare-and-swap while the blog's mutex is held, so that no two nodes can
 * each find a hook idle.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "formats/php_serialize_json.h"
#include "queues/cron_events_internal.h"

#define CLAIM_ARENA_MAX (64u << 20)
#define CLAIMING_ARENA_MAX (16u << 20)
/* A PHP batch: as long as the engine lets one start jobs, and some slack. */
#define PHP_BUDGET_MS 60000
#define PHP_SLACK_MS 30000

/* The write that makes the picks of one lane ours. */
struct claiming {
	struct cron_events *q;
	const struct cron_settings *s;
	enum lane lane;
	struct cron_pick *picks; /* lent */
	size_t n;
	uint64_t claim, won;
	int64_t deadline_us; /* 0: none */
	struct arena arena;
	uint64_t *ids;
};

static int
by_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool
id_in(const uint64_t *ids, size_t n, uint64_t id)
{
	return n > 0 && bsearch(&id, ids, n, sizeof *ids, by_id) != NULL;
}

/* The picks for one kind of executor, but those whose hook runs by now. */
static enum rc
claim_kind(struct claiming *c, struct db *db, enum executor_kind kind,
    const struct cron_busy *busy, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(c->claim), V_U64(c->s->node_id),
	    V_STR(executor_name(kind)),
	    c->deadline_us > 0 ? V_I64(c->deadline_us) : V_NULL,
	    V_U64(c->q->blog_id));
	uint64_t won = 0;
	size_t n = 0;
	enum rc rc;

	for (size_t i = 0; i < c->n; i++) {
		const struct cron_pick *p = &c->picks[i];

		if (p->fetched && p->route->kind == kind &&
		    (p->policy->overlap || !cron_busy_has(busy, p->hook)))
			c->ids[n++] = p->id;
	}
	if (n == 0)
		return RC_OK;
	qsort(c->ids, n, sizeof *c->ids, by_id);
	args.ids = c->ids;
	args.nids = n;
	rc = db_exec(db, &c->s->scope, SQL_EVENTS_CLAIM, &args, &won, err);
	c->won += rc == RC_OK ? won : 0;
	return rc;
}

static enum rc
claim_body(struct db *db, void *arg, struct err *err)
{
	struct claiming *c = arg;
	struct cron_busy busy;
	enum rc rc;

	arena_clear(&c->arena);
	c->won = 0;
	rc = cron_events_mutex(c->q, c->s, db, err);
	if (rc == RC_OK)
		rc = cron_busy_read(c->q, c->s, db, &c->arena, &busy, err);
	for (int k = 0; k < EXECUTOR_NKINDS && rc == RC_OK; k++)
		rc = claim_kind(c, db, (enum executor_kind)k, &busy, err);
	return rc == RC_OK && c->won == 0 ? RC_NONE : rc;
}

/* Random, so that nodes need not agree; never 0, and a positive BIGINT. */
static enum rc
random_id(uint64_t *id, struct err *err)
{
	do {
		if (getentropy(id, sizeof *id) != 0)
			return err_set(err, RC_RETRY, "no random bytes");
		*id >>= 1;
	} while (*id == 0);
	return RC_OK;
}

/* RC_REJECT: the row is nothing that can run. */
static enum rc
job_of_row(const struct cron_events *q, struct claim *claim,
    const struct db_rows *r, struct job **out, struct err *err)
{
	struct arena *a = &claim->arena;
	struct buf json = BUF_INIT(CRON_EVENT_BYTES * 2);
	struct job *j = arena_alloc(a, sizeof *j);
	struct cron_event e = { 0 };
	struct slice event = arena_slice(a, db_text(r, 4));
	enum rc rc;

	*out = j;
	if (!j || !event.p)
		return err_set(err, RC_RETRY, "no memory for a claim");
	rc = cron_event_parse(event, a, &e, err);
	if (rc != RC_OK)
		return rc;
	j->claim = claim;
	j->kind = JOB_EVENT;
	j->blog_id = q->blog_id;
	j->id = j->origin_id = db_u64(r, 0);
	j->hook = arena_slice(a, db_text(r, 1));
	j->due = db_i64(r, 2);
	j->recurrence = arena_slice(a, db_text(r, 3));
	j->try = (uint32_t)db_u64(r, 5);
	j->strikes = (uint32_t)db_u64(r, 6);
	j->event_args = e.args;
	j->args = SLICE_LIT("");
	rc = php_serialize_json(e.args, &json, err);
	if (rc == RC_OK)
		j->args = arena_slice(a, buf_slice(&json));
	buf_clear(&json);
	if (!j->hook.p || !j->recurrence.p || !j->args.p)
		return err_set(err, RC_RETRY, "no memory for a claim");
	return rc == RC_RETRY ? rc : RC_OK;
}

/* Somebody wrote it by hand: it would be met for ever. */
static enum rc
row_broken(const struct claiming *c, struct db *db, const struct db_rows *r,
    const struct err *why, struct err *err)
{
	log_event(LOG_WARN, "event.unreadable", LOG_U("event", db_u64(r, 0)),
	    LOG_SLICE("hook", db_text(r, 1)), LOG_S("why", why->text));
	return db_exec(db, &c->s->scope, SQL_EVENTS_END,
	    SQL_ARGS(V_STR("failed"), V_NULL, V_U64(0),
		V_BYTES(slice_str(why->text)), V_U64(c->q->blog_id),
		V_U64(db_u64(r, 0))),
	    NULL, err);
}

static enum rc
fetch(const struct claiming *c, struct db *db, struct claim *claim,
    struct job **jobs, size_t *n, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(c->q->blog_id));
	struct db_rows *rows = NULL;
	enum rc rc;

	for (size_t i = 0; i < c->n; i++)
		c->ids[i] = c->picks[i].id;
	args.ids = c->ids;
	args.nids = c->n;
	rc = db_select(db, &c->s->scope, SQL_EVENTS_FETCH, &args, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		struct err why = ERR_INIT;
		struct job *j = NULL;
		size_t i = 0;

		while (i < c->n && c->picks[i].id != db_u64(rows, 0))
			i++;
		if (i == c->n)
			continue;
		rc = job_of_row(c->q, claim, rows, &j, &why);
		/* Past the arena's ceiling: the rest waits for the next. */
		if (rc == RC_RETRY && *n > 0)
			break;
		if (rc == RC_REJECT) {
			rc = row_broken(c, db, rows, &why, err);
			continue;
		}
		if (rc != RC_OK) {
			err_set(err, rc, "%s", why.text);
			continue;
		}
		c->picks[i].fetched = true;
		j->route = c->picks[i].route;
		j->policy = c->picks[i].policy;
		j->next = *jobs;
		*jobs = j;
		(*n)++;
	}
	db_rows_free(rows);
	return rc == RC_RETRY && *n > 0 ? RC_OK : rc;
}

static int
by_order(const void *a, const void *b)
{
	const struct job *x = *(struct job *const *)a;
	const struct job *y = *(struct job *const *)b;

	if (x->due != y->due)
		return x->due < y->due ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* As core runs them: by timestamp, and as they stood in the option. */
static void
jobs_sort(struct job **list, size_t n)
{
	struct job **sorted = xcalloc(n, sizeof(struct job *));
	size_t i = 0;

	for (struct job *j = *list; j; j = j->next)
		sorted[i++] = j;
	qsort(sorted, n, sizeof(struct job *), by_order);
	for (i = 0; i < n; i++)
		sorted[i]->next = i + 1 < n ? sorted[i + 1] : NULL;
	*list = sorted[0];
	free(sorted);
}

/* Which of the rows were won, when it was not all of them. */
static enum rc
drop_lost(const struct claiming *c, struct db *db, struct job **jobs, size_t *n,
    struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(c->q->blog_id), V_U64(c->claim));
	struct db_rows *rows = NULL;
	struct job **at = jobs;
	size_t won = 0;
	enum rc rc;

	for (size_t i = 0; i < c->n; i++)
		c->ids[i] = c->picks[i].id;
	args.ids = c->ids;
	args.nids = c->n;
	rc =
	    db_select(db, &c->s->scope, SQL_EVENTS_OF_CLAIM, &args, &rows, err);
	while (rc == RC_OK && won < c->n && db_rows_next(rows))
		c->ids[won++] = db_u64(rows, 0);
	db_rows_free(rows);
	if (rc != RC_OK)
		return rc;
	qsort(c->ids, won, sizeof *c->ids, by_id);
	while (*at) {
		if (id_in(c->ids, won, (*at)->id)) {
			at = &(*at)->next;
			continue;
		}
		*at = (*at)->next;
		(*n)--;
	}
	return *n > 0 ? RC_OK : RC_NONE;
}

/* How long PHP may be at it after its owner died. */
static int64_t
php_deadline_us(const struct job *jobs)
{
	int64_t requests = 1, longest = 0;

	for (const struct job *j = jobs; j; j = j->next) {
		if (j->policy->timeout_ms > longest)
			longest = j->policy->timeout_ms;
		/* A suspect runs alone, between the others. */
		if (j->strikes > 0)
			requests += 2;
	}
	return requests * (PHP_BUDGET_MS + longest + PHP_SLACK_MS) * 1000;
}

static enum rc
for_php(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, struct claim *claim, struct job *jobs, struct err *err)
{
	enum rc rc = RC_OK;

	for (struct job *j = jobs; j && rc == RC_OK; j = j->next)
		rc = cron_php_statements(s, j, err);
	if (rc == RC_OK && s->site.object_cache)
		rc = cron_php_lock(q, s, db, claim, err);
	return rc;
}

/*
 * The claim of one lane. What fails after its commit is taken back by rescue,
 * as a claim of ours that is in nobody's hands.
 */
static enum rc
lane_claim(struct cron_events *q, const struct cron_settings *s, struct db *db,
    const struct cron_picks *p, enum lane lane, struct claim_result *res,
    struct err *err)
{
	struct claim *claim = xcalloc(1, sizeof *claim);
	struct claiming c = { .q = q,
		.s = s,
		.lane = lane,
		.picks = p->lane[lane].picks,
		.n = p->lane[lane].n,
		.arena = ARENA_INIT(CLAIMING_ARENA_MAX),
		.ids = xcalloc(p->lane[lane].n, sizeof(uint64_t)) };
	struct job *jobs = NULL;
	size_t n = 0;
	enum rc rc = random_id(&c.claim, err);

	claim->id = c.claim;
	claim->lane = lane;
	claim->queue = &q->queue;
	claim->arena = (struct arena)ARENA_INIT(CLAIM_ARENA_MAX);
	if (rc == RC_OK)
		rc = fetch(&c, db, claim, &jobs, &n, err);
	if (rc == RC_OK && n == 0)
		rc = RC_NONE;
	if (rc == RC_OK && lane == LANE_PHP)
		c.deadline_us = php_deadline_us(jobs);
	if (rc == RC_OK)
		rc = db_transact(db, claim_body, &c, err);
	if (rc == RC_OK && (c.won < c.n || n < c.n))
		rc = drop_lost(&c, db, &jobs, &n, err);
	if (rc == RC_OK && lane == LANE_PHP)
		rc = for_php(q, s, db, claim, jobs, err);
	if (rc == RC_OK) {
		jobs_sort(&jobs, n);
		claim->left = n;
		res->claims[lane] = claim;
		res->jobs[lane] = jobs;
		res->njobs[lane] = n;
	} else {
		arena_clear(&claim->arena);
		free(claim);
	}
	arena_clear(&c.arena);
	free(c.ids);
	return rc;
}

static enum rc
claim_picks(struct cron_events *q, const struct cron_settings *s, struct db *db,
    struct cron_picks *p, const struct claim_request *req,
    struct claim_result *res, struct err *err)
{
	bool claimed = false;
	enum rc rc = RC_OK;

	for (size_t l = 0; l < LANE_COUNT && rc == RC_OK; l++) {
		cron_picks_share(p, req, l);
		if (p->lane[l].n == 0)
			continue;
		rc = lane_claim(q, s, db, p, (enum lane)l, res, err);
		claimed = claimed || rc == RC_OK;
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	q->lock_held = q->lock_held || claimed;
	if (claimed)
		return RC_OK; /* an error of the other lane will be back */
	return rc == RC_OK ? RC_NONE : rc;
}

enum rc
cron_events_claim(struct queue *queue, struct db *db,
    const struct claim_request *req, struct claim_result *res, struct err *err)
{
	struct cron_events *q = cron_events_of(queue);
	struct cron_settings s;
	struct cron_picks p;
	struct cron_look look = { 0 };
	struct err why = ERR_INIT;
	size_t taken = 0;
	enum rc rc, take = RC_NONE;

	*res = (struct claim_result){ 0 };
	cron_rewind_when_asked(q);
	cron_settings_get(q, &s);
	cron_picks_init(&p, req);
	/* What was taken before waits until this ends, or is given back. */
	rc = s.site.observe
		 ? RC_OK
		 : cron_picks_waiting(q, &s, db, req, &p, &look, err);
	if (rc == RC_OK) {
		take = cron_events_take(q, &s, db, req, &p, res, &taken, &why);
	}
	if (rc == RC_OK && taken > 0)
		rc = cron_picks_waiting(q, &s, db, req, &p, &look, err);
	if (rc == RC_OK)
		cron_picks_remember(q, &p, &look);
	if (look.full + look.unseen > 0)
		p.more = true;
	if (rc == RC_OK)
		rc = claim_picks(q, &s, db, &p, req, res, err);
	/* What waits runs, though nothing can be taken. */
	if (rc == RC_NONE && take != RC_OK && take != RC_NONE)
		rc = err_set_code(err, take, why.code, "%s", why.text);
	res->more = p.more;
	cron_picks_clear(&p);
	cron_settings_put(q, &s);
	return rc;
}

enum rc
cron_events_claim_one(struct cron_events *q, struct db *db, uint64_t event_id,
    const struct claim_request *req, struct claim_result *res, struct err *err)
{
	struct cron_settings s;
	struct cron_picks p;
	struct cron_busy busy = { 0 };
	struct cron_look look = { 0 };
	struct db_rows *rows = NULL;
	enum rc rc;

	*res = (struct claim_result){ 0 };
	cron_settings_get(q, &s);
	cron_picks_init(&p, req);
	rc = db_select(db, &s.scope, SQL_EVENTS_WAITING_ONE,
	    SQL_ARGS(V_U64(q->blog_id), V_U64(event_id)), &rows, err);
	if (rc == RC_OK && s.site.observe)
		rc = err_set(err, RC_NONE, "the site is only observed");
	if (rc == RC_OK && !db_rows_next(rows))
		rc = err_set(err, RC_NONE, "the event does not wait");
	if (rc == RC_OK)
		rc = cron_busy_read(q, &s, db, &p.arena, &busy, err);
	if (rc == RC_OK) {
		const struct candidate c = {
			.kind = JOB_EVENT,
			.id = event_id,
			.hook = db_text(rows, 0),
			.due = db_i64(rows, 1),
		};

		cron_picks_judge(req, &c, &busy, &p, &look);
		if (look.blocked > 0)
			err_set(err, RC_NONE,
			    "another run of its hook is not "
			    "over");
		rc = claim_picks(q, &s, db, &p, req, res, err);
	}
	if (rc == RC_OK)
		rc = db_exec(db, &s.scope, SQL_EVENTS_WOKEN_BY,
		    SQL_ARGS(V_STR("ctl"), V_U64(q->blog_id), V_U64(event_id)),
		    NULL, err);
	db_rows_free(rows);
	cron_picks_clear(&p);
	cron_settings_put(q, &s);
	return rc;
}
