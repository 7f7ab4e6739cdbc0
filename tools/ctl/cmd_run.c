/* run: what is due, in this process. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/xalloc.h"
#include "blogs.h"
#include "drive.h"
#include "events.h"
#include "sql/leases.h"

const char *const run_columns[] = { "site", "done", "failed", "retried",
	"released", "native", "php", "left", "seconds", NULL };

/* A run that died is followed by the next after this long. */
#define LEASE_MS 30000
#define LEASE_NAME_MAX 64
#define LIST_MAX 256
#define BATCH_MAX 1000

struct running {
	const struct ctl *c;
	struct place place;
	struct config_list hooks, groups;
	uint64_t limit;
	char lease[LEASE_NAME_MAX];
	uint64_t token;
	mono_ms renew_at;
	struct drive_result result;
	int64_t begun; /* what is due by then is run */
	int64_t left;  /* due rows that were not run */
};

/* ---- arguments ---------------------------------------------------------- */

static void
list_read(struct config_list *list, const char *text)
{
	for (struct slice rest = slice_str(text); rest.n > 0;) {
		size_t end = slice_find(rest, ',');
		struct slice item = slice_trim(slice_mem(rest.p, end));

		if (item.n > 0 && list->n < LIST_MAX) {
			list->items = xrealloc(
			    list->items, list->n + 1, sizeof *list->items);
			list->items[list->n++] = xstrndup(item);
		}
		rest = slice_from(rest, end + 1);
	}
}

static void
list_clear(struct config_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free((void *)(uintptr_t)list->items[i]);
	free(list->items);
	*list = (struct config_list){ .n = 0 };
}

static bool
read_options(struct running *r)
{
	const struct ctl_options *o = &r->c->opts;
	struct config_daemon *d = &r->c->config->daemon;
	uint64_t batch;

	if (o->limit &&
	    !ctl_number(r->c, "--limit", o->limit, 1, SIZE_MAX, &r->limit))
		return false;
	list_read(&r->hooks, o->hooks);
	list_read(&r->groups, o->group);
	if (!o->batch_size)
		return true;
	if (!ctl_number(
		r->c, "--batch-size", o->batch_size, 1, BATCH_MAX, &batch))
		return false;
	d->native_batch = d->php_batch = (uint32_t)batch;
	return true;
}

/* ---- one run at a time -------------------------------------------------- */

/* Runs with other filters do other work; FNV-1a tells them apart. */
static void
name_lease(struct running *r)
{
	const char *parts[] = { r->c->opts.hooks, r->c->opts.group };
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < NELEMS(parts); i++) {
		for (const char *p = parts[i]; p && *p; p++)
			h = (h ^ (unsigned char)*p) * 1099511628211u;
		h = (h ^ ',') * 1099511628211u;
	}
	(void)snprintf(r->lease, sizeof r->lease,
	    "ctl.run.%" PRIu32 ".%016" PRIx64,
	    r->c->opts.url ? r->place.blog_id : 0, h);
}

static int
take_lease(struct running *r)
{
	struct place *p = &r->place;
	struct err err = ERR_INIT;
	uint64_t self = 0;
	enum rc rc;

	name_lease(r);
	/* Nobody else's number: the same holder would be let in again. */
	if (getrandom(&self, sizeof self, 0) != sizeof self)
		return ctl_fail(r->c, EXIT_BUG, "the kernel has no randomness");
	rc = lease_take(
	    p->db, &p->scope, r->lease, self | 1, LEASE_MS, &r->token, &err);
	r->renew_at = clock_mono(&clock_system) + LEASE_MS / 3;
	if (rc == RC_NONE)
		return ctl_fail(
		    r->c, EXIT_AGAIN, "another `wp-cronctl run` is under way");
	return rc == RC_OK ? EXIT_DONE : ctl_error(r->c, &err);
}

static bool
renew_lease(void *arg)
{
	struct running *r = arg;
	struct err err = ERR_INIT;

	if (clock_mono(&clock_system) < r->renew_at)
		return true;
	r->renew_at = clock_mono(&clock_system) + LEASE_MS / 3;
	/* A database that is away is the engine's to notice. */
	return lease_renew(r->place.db, &r->place.scope, r->lease, r->token,
		   LEASE_MS, &err) != RC_NONE;
}

/* ---- the run ------------------------------------------------------------ */

static enum rc
count_events(struct place *p, int64_t by, int64_t *n, struct err *err)
{
	struct events e;
	enum rc rc = events_load(p, &e, err);

	for (size_t i = 0; rc == RC_OK && i < e.n; i++)
		*n += e.items[i].timestamp <= by &&
		      e.items[i].state != EVENT_RUNNING;
	events_clear(&e);
	return rc;
}

/* Of the one blog, or the main one. */
static enum rc
count_due(struct running *r, int64_t by, int64_t *n, struct err *err)
{
	struct place *p = &r->place;
	struct db_rows *rows = NULL;
	enum rc rc = RC_OK;

	*n = 0;
	if (p->actions)
		rc = db_select(p->db, &p->scope, SQL_CTL_COUNT_DUE,
		    SQL_ARGS(V_TIME(by)), &rows, err);
	if (rc == RC_OK && p->actions && db_rows_next(rows))
		*n = db_i64(rows, 0);
	db_rows_free(rows);
	if (rc == RC_OK && r->c->sites[0]->config->cron && r->groups.n == 0)
		rc = count_events(p, by, n, err);
	return rc;
}

static enum rc
count_in_hand(struct place *p, uint64_t *n, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    p->db, &p->scope, SQL_EVENTS_CTL_IN_HAND, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		*n += db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

/* Blogs with something due, and events under way; on a network the engine
 * tells of the main blog alone. */
static uint64_t
network_left(struct place *p)
{
	struct blogs blogs = { .n = 0 };
	int64_t *due = NULL, now = clock_unix(&clock_system);
	uint64_t n = 0;
	enum rc rc = blogs_read(p, &blogs, NULL);

	if (rc == RC_OK) {
		due = xcalloc(blogs.n + 1, sizeof *due);
		rc = blogs_next_due(p, &blogs, due, NULL);
	}
	for (size_t i = 0; rc == RC_OK && i < blogs.n; i++)
		n += due[i] <= now;
	if (rc == RC_OK)
		rc = count_in_hand(p, &n, NULL);
	blogs_clear(&blogs);
	free(due);
	return rc == RC_OK ? n : UINT64_MAX;
}

static uint64_t
due_left(void *arg)
{
	struct running *r = arg;
	int64_t n = 0;

	if (r->place.site->multisite && !r->c->opts.url)
		return network_left(&r->place);
	if (!r->c->sites[0]->config->cron || r->groups.n > 0)
		return 0;
	return count_events(&r->place, r->begun, &n, NULL) == RC_OK
		   ? (uint64_t)n
		   : UINT64_MAX;
}

static enum rc
run_due(struct running *r, struct err *err)
{
	struct drive_opts o = {
		.site = r->c->sites[0],
		.blog_id = r->c->opts.url ? r->place.blog_id : 0,
		.limit = (size_t)r->limit,
		.hooks = &r->hooks,
		.groups = &r->groups,
		/* Cron events have no groups. */
		.queues = r->groups.n > 0 ? 1u << JOB_ACTION : 0,
		.tick = renew_lease,
		.left = due_left,
		.arg = r,
	};
	int64_t due = 0;
	struct err why = ERR_INIT;
	enum rc rc;

	r->begun = clock_unix(&clock_system);
	rc = count_due(r, r->begun, &due, err);

	if (rc != RC_OK)
		return rc;
	o.total =
	    r->limit > 0 && r->limit < (uint64_t)due ? r->limit : (uint64_t)due;
	rc = drive(r->c, &o, &r->result, err);
	if (rc == RC_OK && count_due(r, r->begun, &r->left, &why) != RC_OK)
		r->left = -1; /* the database went away meanwhile */
	return rc;
}

static int
report(const struct running *r)
{
	const struct engine_counts *n = &r->result.counts;
	json_t *row = json_object();
	enum ctl_exit status = EXIT_DONE;

	row_text(row, "site", r->c->sites[0]->name);
	row_int(row, "done", (int64_t)n->done);
	row_int(row, "failed", (int64_t)n->failed);
	row_int(row, "retried", (int64_t)n->retried);
	row_int(row, "released", (int64_t)n->released);
	row_int(row, "native", (int64_t)n->done_native);
	row_int(row, "php", (int64_t)n->done_php);
	(void)json_object_set_new(
	    row, "left", r->left < 0 ? json_null() : json_integer(r->left));
	(void)json_object_set_new(
	    row, "seconds", json_real((double)r->result.ms / 1000));
	if (n->failed + n->retried > 0)
		status = EXIT_SOME_FAILED;
	if (r->result.end == DRIVE_STOPPED)
		status = EXIT_AGAIN;
	if (r->result.end == DRIVE_UNAVAILABLE)
		status = EXIT_UNAVAILABLE;
	return ctl_print_record(r->c, row, status);
}

static int
run_and_report(struct running *r)
{
	struct err err = ERR_INIT;
	enum rc rc = run_due(r, &err);

	if (rc != RC_OK)
		return ctl_error(r->c, &err);
	if (r->result.end == DRIVE_UNAVAILABLE)
		ctl_fail(r->c, EXIT_UNAVAILABLE, "%s", r->result.why);
	if (r->result.end == DRIVE_STOPPED)
		ctl_notice(r->c, "stopped; what was not begun is due still");
	if (r->result.end == DRIVE_SETTLED && r->left > 0 && r->limit == 0)
		ctl_notice(r->c,
		    "%" PRId64 " due jobs were left: filtered, paused, "
		    "limited, held, or only PHP can run them",
		    r->left);
	return report(r);
}

int
cmd_run(struct ctl *c)
{
	struct running r = { .c = c };
	struct err err = ERR_INIT;
	int status = EXIT_USAGE;

	if (read_options(&r))
		status = place_open_run(&r.place, c);
	if (status == EXIT_DONE)
		status = take_lease(&r);
	if (status == EXIT_DONE) {
		status = run_and_report(&r);
		(void)!lease_give(
		    r.place.db, &r.place.scope, r.lease, r.token, &err);
	}
	place_close(&r.place);
	list_clear(&r.hooks);
	list_clear(&r.groups);
	return status;
}
