/*
 * Claiming: what was found is taken by compare-and-swap on the primary key
 * (sql-concurrency: about 22,000 rows/s where PHP's ordered UPDATE reads and
 * locks every due row).
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "formats/action_args.h"
#include "formats/action_schedule.h"
#include "queues/actions_internal.h"

/* Claimed jobs' text: extended_args up to 8,000 bytes and a schedule each. */
#define CLAIM_ARENA_MAX (64u << 20)
#define PHP_SQL_MAX 2048
#define SCHEDULE_ARENA_MAX (1u << 20)
/* After losing rows to another node, that many claims start at random rows. */
#define CONTENDED_CLAIMS 16
#define PHP_DEADLINE_SLACK_MS 30000

static void
row_refused(struct actions *q, uint64_t id, struct slice hook, const char *why)
{
	actions_refuse(q, id);
	log_event(LOG_WARN, "action.left_to_php", LOG_U("action", id),
	    LOG_SLICE("hook", hook), LOG_S("why", why));
}

/* May this row run here? Rows that may not are left to PHP, said once. */
static bool
row_usable(struct actions *q, const struct actions_settings *s,
    const struct db_rows *r, enum lane lane)
{
	struct slice args = db_text(r, 5), extended = db_text(r, 6);
	struct arena arena = ARENA_INIT(SCHEDULE_ARENA_MAX);
	struct action_schedule schedule;
	struct slice class_name = SLICE_NONE;
	struct err why = ERR_INIT;
	uint64_t id = db_u64(r, 0);
	enum rc rc;

	if (extended.n > 0)
		args = extended;
	rc = action_args_check(args, NULL, &why);
	if (rc == RC_OK)
		rc = action_schedule_parse(
		    db_text(r, 7), &arena, &schedule, &class_name, &why);
	/* A plugin's own schedule class: the plugin's runner knows it. */
	if (rc == RC_NONE && lane == LANE_PHP && s->export.plugin)
		rc = RC_OK;
	if (rc == RC_NONE)
		err_set(&why, rc, "schedule class %.*s is only known to PHP",
		    SLICE_FMT(class_name));
	arena_clear(&arena);
	if (rc != RC_OK)
		row_refused(q, id, db_text(r, 1), why.text);
	return rc == RC_OK;
}

static struct job *
job_of_row(struct actions *q, struct claim *claim, const struct db_rows *r)
{
	struct job *j = arena_alloc(&claim->arena, sizeof *j);

	if (!j)
		return NULL;
	j->claim = claim;
	j->blog_id = q->blog_id;
	j->id = db_u64(r, 0);
	j->hook = arena_slice(&claim->arena, db_text(r, 1));
	j->group_id = db_u64(r, 2);
	j->priority = (unsigned)db_u64(r, 3);
	j->due = db_time(r, 4);
	j->stored_args = arena_slice(&claim->arena, db_text(r, 5));
	j->extended_args = arena_slice(&claim->arena, db_text(r, 6));
	j->args = j->extended_args.n > 0 ? j->extended_args : j->stored_args;
	j->schedule = arena_slice(&claim->arena, db_text(r, 7));
	j->origin_id = db_is_null(r, 8) ? j->id : db_u64(r, 8);
	j->try = db_is_null(r, 9) ? 1 : (uint32_t)db_u64(r, 9);
	j->strikes = (uint32_t)db_u64(r, 10);
	return j;
}

static enum rc
php_statement(const struct actions_settings *s, enum sql_id id,
    const struct sql_args *args, struct arena *a, struct slice *out,
    struct err *err)
{
	struct buf text = BUF_INIT(PHP_SQL_MAX);
	enum rc rc = sql_render(id, &s->scope, args, &text, err);

	if (rc == RC_OK)
		*out = arena_slice(a, buf_slice(&text));
	buf_clear(&text);
	return rc;
}

static enum rc
php_statements(const struct actions_settings *s, struct job *j, int64_t now,
    struct err *err)
{
	struct arena *a = &j->claim->arena;
	int64_t attempt = actions_local_attempt(s, now) - now;
	int64_t local = actions_local(s, now) - now;
	uint64_t claim = j->claim->id;
	enum rc rc;

	rc = php_statement(s, SQL_ACTIONS_PHP_OWN,
	    SQL_ARGS(V_I64(attempt), V_U64(j->id), V_U64(claim)), a,
	    &j->sql_own, err);
	if (rc == RC_OK)
		rc = php_statement(s, SQL_ACTIONS_PHP_START,
		    SQL_ARGS(V_I64(attempt), V_U64(j->id), V_U64(claim)), a,
		    &j->sql_start, err);
	if (rc == RC_OK)
		rc = php_statement(s, SQL_ACTIONS_PHP_RUNNING,
		    SQL_ARGS(V_U64(j->id), V_U64(claim)), a, &j->sql_running,
		    err);
	if (rc == RC_OK)
		rc = php_statement(s, SQL_ACTIONS_PHP_STARTED_LOG,
		    SQL_ARGS(V_U64(j->id),
			V_STR("action started via " ACTIONS_CONTEXT),
			V_I64(local)),
		    a, &j->sql_started_log, err);
	return rc;
}

/* The write that makes rows ours. */
struct taking {
	struct actions *q;
	const struct actions_settings *s;
	enum lane lane;
	uint64_t *ids; /* ascending */
	size_t n;
	int64_t deadline_ms; /* php: from now; 0: none */
	int64_t now;
	uint64_t claim, won;
};

static enum rc
take_body(struct db *db, void *arg, struct err *err)
{
	struct taking *t = arg;
	const struct sql_scope *sc = &t->s->scope;
	struct sql_args args;
	enum rc rc;

	rc = db_exec(
	    db, sc, SQL_ACTIONS_CLAIM_NEW, SQL_ARGS(V_TIME(t->now)), NULL, err);
	if (rc != RC_OK)
		return rc;
	t->claim = db_insert_id(db);
	if (t->claim == 0)
		return err_set(err, RC_REJECT,
		    "the claims table gave no id; its AUTO_INCREMENT is gone");
	rc = db_exec(db, sc, SQL_ACTIONS_CLAIM_OWN,
	    SQL_ARGS(V_U64(t->q->blog_id), V_U64(t->claim),
		V_U64(t->s->node_id),
		V_STR(t->lane == LANE_PHP ? "php" : "native")),
	    NULL, err);
	if (rc == RC_OK && t->deadline_ms > 0)
		rc = db_exec(db, sc, SQL_ACTIONS_CLAIM_DEADLINE,
		    SQL_ARGS(V_I64(t->deadline_ms * 1000), V_U64(t->q->blog_id),
			V_U64(t->claim)),
		    NULL, err);
	if (rc != RC_OK)
		return rc;
	args = *SQL_ARGS(V_U64(t->claim), V_TIME(t->now),
	    V_TIME(actions_local_attempt(t->s, t->now)));
	args.ids = t->ids;
	args.nids = t->n;
	rc = db_exec(db, sc, SQL_ACTIONS_TAKE, &args, &t->won, err);
	return rc == RC_OK && t->won == 0 ? RC_NONE : rc;
}

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

/* Which rows were won, when it was not all of them. */
static enum rc
won_ids(const struct taking *t, struct db *db, uint64_t *ids, size_t *n,
    struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(t->claim));
	struct db_rows *rows = NULL;
	enum rc rc;

	args.ids = t->ids;
	args.nids = t->n;
	rc = db_select(db, &t->s->scope, SQL_ACTIONS_TAKEN, &args, &rows, err);
	if (rc != RC_OK)
		return rc;
	for (*n = 0; *n < t->n && db_rows_next(rows);)
		ids[(*n)++] = db_u64(rows, 0);
	db_rows_free(rows);
	qsort(ids, *n, sizeof *ids, by_id);
	return RC_OK;
}

static int
by_urgency(const void *a, const void *b)
{
	const struct job *x = *(struct job *const *)a;
	const struct job *y = *(struct job *const *)b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->due != y->due)
		return x->due < y->due ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void
jobs_sort(struct job **list, size_t n)
{
	struct job **sorted = xcalloc(n, sizeof(struct job *));
	size_t i = 0;

	for (struct job *j = *list; j; j = j->next)
		sorted[i++] = j;
	qsort(sorted, n, sizeof(struct job *), by_urgency);
	for (i = 0; i < n; i++)
		sorted[i]->next = i + 1 < n ? sorted[i + 1] : NULL;
	*list = sorted[0];
	free(sorted);
}

static size_t
pick_of(const struct picks *p, enum lane lane, uint64_t id)
{
	size_t i = 0;

	while (i < p->lane[lane].n && p->lane[lane].ids[i] != id)
		i++;
	return i;
}

/* The picks of a lane that can be used, as jobs of a claim without an id. */
static enum rc
lane_fetch(struct actions *q, const struct actions_settings *s, struct db *db,
    const struct picks *p, enum lane lane, struct claim *claim,
    struct job **jobs, size_t *n, bool *refused, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(q->blog_id));
	struct db_rows *rows = NULL;
	enum rc rc;

	args.ids = p->lane[lane].ids;
	args.nids = p->lane[lane].n;
	rc = db_select(db, &s->scope, SQL_ACTIONS_FETCH, &args, &rows, err);
	if (rc != RC_OK)
		return rc;
	while (db_rows_next(rows)) {
		size_t i = pick_of(p, lane, db_u64(rows, 0));
		struct job *j;

		if (i == p->lane[lane].n)
			continue;
		if (!row_usable(q, s, rows, lane)) {
			*refused = true;
			continue;
		}
		j = job_of_row(q, claim, rows);
		if (!j)
			break; /* the rest waits for the next claim */
		j->route = p->lane[lane].routes[i];
		j->policy = p->lane[lane].policies[i];
		j->next = *jobs;
		*jobs = j;
		(*n)++;
	}
	db_rows_free(rows);
	return RC_OK;
}

/* Take the fetched jobs; those another node was faster with are dropped. */
static enum rc
lane_take(struct actions *q, const struct actions_settings *s, struct db *db,
    enum lane lane, struct claim *claim, struct job **jobs, size_t *njobs,
    struct err *err)
{
	struct taking t = { .q = q, .s = s, .lane = lane };
	uint64_t *won = xcalloc(*njobs, sizeof *won);
	struct job **at = jobs;
	uint32_t longest = 0;
	size_t nwon, requests = 1;
	enum rc rc;

	t.now = clock_unix(q->clock);
	t.ids = xcalloc(*njobs, sizeof *t.ids);
	for (struct job *j = *jobs; j; j = j->next) {
		t.ids[t.n++] = j->id;
		if (j->policy->timeout_ms > longest)
			longest = j->policy->timeout_ms;
		/* A suspect runs alone, between the others. */
		if (j->strikes > 0)
			requests += 2;
	}
	if (lane == LANE_PHP)
		t.deadline_ms =
		    (int64_t)requests * ((int64_t)ACTIONS_PHP_BUDGET_MS +
					    longest + PHP_DEADLINE_SLACK_MS);
	qsort(t.ids, t.n, sizeof *t.ids, by_id);
	rc = db_transact(db, take_body, &t, err);
	if (t.won < t.n)
		q->contended = CONTENDED_CLAIMS;
	else if (q->contended > 0)
		q->contended--;
	if (rc != RC_OK)
		goto out;
	claim->id = t.claim;
	nwon = t.n;
	memcpy(won, t.ids, t.n * sizeof *won);
	if (t.won < t.n)
		rc = won_ids(&t, db, won, &nwon, err);
	while (rc == RC_OK && *at) {
		if (!id_in(won, nwon, (*at)->id)) {
			*at = (*at)->next;
			(*njobs)--;
			continue;
		}
		if (lane == LANE_PHP)
			rc = php_statements(s, *at, t.now, err);
		at = &(*at)->next;
	}
out:
	free(t.ids);
	free(won);
	return rc;
}

static enum rc
lane_claim(struct actions *q, const struct actions_settings *s, struct db *db,
    const struct picks *p, enum lane lane, struct claim_result *res,
    struct err *err)
{
	struct claim *claim = xcalloc(1, sizeof *claim);
	struct job *jobs = NULL;
	bool refused = false;
	size_t n = 0;
	enum rc rc;

	claim->arena = (struct arena)ARENA_INIT(CLAIM_ARENA_MAX);
	claim->lane = lane;
	claim->queue = &q->queue;
	rc = lane_fetch(q, s, db, p, lane, claim, &jobs, &n, &refused, err);
	if (refused)
		res->unfinished = true;
	if (rc == RC_OK && n == 0)
		rc = RC_NONE;
	if (rc == RC_OK)
		rc = lane_take(q, s, db, lane, claim, &jobs, &n, err);
	if (rc != RC_OK || n == 0) {
		arena_clear(&claim->arena);
		free(claim);
		return rc == RC_OK ? RC_NONE : rc;
	}
	jobs_sort(&jobs, n);
	claim->left = n;
	res->claims[lane] = claim;
	res->jobs[lane] = jobs;
	res->njobs[lane] = n;
	return RC_OK;
}

enum rc
actions_claim_picks(struct actions *q, const struct actions_settings *s,
    struct db *db, const struct picks *p, struct claim_result *res,
    struct err *err)
{
	bool claimed = false;
	enum rc rc = RC_OK;

	for (size_t l = 0; l < LANE_COUNT && rc == RC_OK; l++) {
		if (p->lane[l].n == 0)
			continue;
		rc = lane_claim(q, s, db, p, (enum lane)l, res, err);
		claimed = claimed || rc == RC_OK;
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	if (claimed)
		return RC_OK; /* an error of the other lane will be back */
	return rc == RC_OK ? RC_NONE : rc;
}

enum rc
actions_claim(struct queue *queue, struct db *db,
    const struct claim_request *req, struct claim_result *res, struct err *err)
{
	struct actions *q = actions_of(queue);
	struct actions_settings s;
	struct picks p;
	enum rc rc;

	*res = (struct claim_result){ 0 };
	actions_settings_get(q, &s);
	picks_init(&p, req);
	rc = actions_walk(q, &s, db, req, &p, err);
	res->more = p.more;
	res->unfinished = p.unfinished;
	if (rc == RC_OK)
		rc = actions_claim_picks(q, &s, db, &p, res, err);
	picks_clear(&p);
	return rc;
}
