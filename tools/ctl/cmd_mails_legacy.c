/* mails legacy list, mails legacy drain: what WooCommerce before 10.8 left. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/config_options.h"
#include "blogs.h"
#include "queues/legacy_mails.h"

const char *const legacy_list_columns[] = { "batch", "items", "oldest",
	"newest", "age", "mails", "problem", "", "name", "url", NULL };
const char *const legacy_drain_columns[] = { "batch", "items", "queued", "left",
	"why", "", "name", "url", NULL };

#define ARENA_MAX ((size_t)1 << 30)
#define DAY_S INT64_C(86400)
/* What a duration of the configuration can say. */
#define AGE_MAX_MS INT64_C(3888000000)

/* ---- list --------------------------------------------------------------- */

static void
put_mails(json_t *row, const struct legacy_batch *b)
{
	struct buf text = BUF_INIT(4096);

	for (size_t i = 0; i < b->n; i++)
		buf_printf(&text, "%s%.*s", i > 0 ? ", " : "",
		    SLICE_FMT(b->items[i].filter));
	row_slice(row, "mails", slice_mem(buf_str(&text), text.n));
	buf_clear(&text);
}

/* Of the items whose time is known. */
static void
put_age(json_t *row, const struct legacy_batch *b, int64_t now)
{
	int64_t oldest = INT64_MAX, newest = INT64_MIN;

	for (size_t i = 0; i < b->n; i++) {
		int64_t t = b->items[i].since;

		if (t == INT64_MIN)
			continue;
		oldest = t < oldest ? t : oldest;
		newest = t > newest ? t : newest;
	}
	row_time(row, "oldest", oldest);
	row_time(row, "newest", newest);
	if (oldest != INT64_MAX) {
		char age[32];

		(void)snprintf(age, sizeof age, "%" PRId64 "d %" PRId64 "h",
		    (now - oldest) / DAY_S, (now - oldest) % DAY_S / 3600);
		row_text(row, "age", age);
	}
}

static const char *
problem_of(const struct legacy_batch *b)
{
	if (b->unreadable)
		return "the batch cannot be read";
	for (size_t i = 0; i < b->n; i++)
		if (b->items[i].why)
			return b->items[i].why;
	for (size_t i = 0; i < b->n; i++)
		if (b->items[i].since == INT64_MIN)
			return "how old a mail is, is not known";
	return NULL;
}

static enum rc
read_batches(struct place *p, struct arena *a, struct legacy_batch **b,
    size_t *n, struct err *err)
{
	return legacy_mails_read(
	    p->db, &p->scope, p->blog_id, p->site->multisite, a, b, n, err);
}

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	struct legacy_batch *b = NULL;
	struct err err = ERR_INIT;
	size_t n = 0;
	enum rc rc = read_batches(p, &a, &b, &n, &err);

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		json_t *row = json_object();

		row_int(row, "batch", (int64_t)b[i].id);
		row_int(row, "items", (int64_t)b[i].n);
		put_age(row, &b[i], clock_unix(&clock_system));
		put_mails(row, &b[i]);
		row_text(row, "problem", problem_of(&b[i]));
		row_slice(row, "name", b[i].name);
		row_text(row, "url", p->facts.home);
		(void)json_array_append_new(arg, row);
	}
	arena_clear(&a);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

int
cmd_mails_legacy_list(struct ctl *c)
{
	json_t *rows = json_array();
	int status = blogs_each(c, 0, list, rows);

	if (status == EXIT_DONE)
		return ctl_print_rows(c, rows, EXIT_DONE);
	json_decref(rows);
	return status;
}

/* ---- drain -------------------------------------------------------------- */

struct draining {
	int64_t since, now;
	json_t *rows;
	bool left;
};

static enum rc
drain_batch(struct draining *d, struct place *p, const struct legacy_batch *b,
    struct err *err)
{
	json_t *row = json_object();
	size_t moved = 0;
	enum rc rc = legacy_mails_drain(
	    p->queue, p->db, b, d->since, d->now, &moved, err);

	row_int(row, "batch", (int64_t)b->id);
	row_int(row, "items", (int64_t)b->n);
	row_int(row, "queued", (int64_t)moved);
	row_int(row, "left", (int64_t)(b->n - moved));
	if (rc == RC_NONE || b->unreadable)
		row_text(row, "why", err->text);
	else if (moved < b->n)
		row_text(row, "why",
		    problem_of(b) ? problem_of(b) : "older than --newer-than");
	row_slice(row, "name", b->name);
	row_text(row, "url", p->facts.home);
	(void)json_array_append_new(d->rows, row);
	d->left = d->left || moved < b->n;
	return rc == RC_NONE || b->unreadable ? RC_OK : rc;
}

static int
drain_blog(const struct ctl *c, struct place *p, struct draining *d)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	struct legacy_batch *b = NULL;
	struct err err = ERR_INIT;
	size_t n = 0;
	enum rc rc = legacy_mails_ready(p->db, &p->scope, &err);

	if (rc == RC_OK)
		rc = read_batches(p, &a, &b, &n, &err);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = drain_batch(d, p, &b[i], &err);
	arena_clear(&a);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

static int
read_age(const struct ctl *c, struct draining *d)
{
	const struct option o = { .name = "--newer-than",
		.type = OPTION_DURATION,
		.min = 1000,
		.max = AGE_MAX_MS };
	struct arena a = ARENA_INIT(4096);
	struct err err = ERR_INIT;
	uint32_t ms = 0;
	enum rc rc =
	    config_option_set(&o, &ms, slice_str(c->opts.newer_than), &a, &err);

	arena_clear(&a);
	d->now = clock_unix(&clock_system);
	d->since = d->now - (int64_t)(ms / 1000);
	return rc == RC_OK
		   ? EXIT_DONE
		   : ctl_fail(c, EXIT_USAGE, "--newer-than: %s", err.text);
}

int
cmd_mails_legacy_drain(struct ctl *c)
{
	struct draining d = { .left = false };
	struct place p;
	int status;

	if (!c->opts.confirm || !c->opts.newer_than)
		return ctl_fail(c, EXIT_USAGE,
		    "customers get these mails late, perhaps years late: look "
		    "at `wp-cronctl mails legacy list`, then say --confirm "
		    "--newer-than AGE");
	status = read_age(c, &d);
	if (status != EXIT_DONE)
		return status;
	status = place_open_actions(&p, c);
	d.rows = json_array();
	if (status == EXIT_DONE)
		status = drain_blog(c, &p, &d);
	place_close(&p);
	if (status == EXIT_DONE)
		return ctl_print_rows(
		    c, d.rows, d.left ? EXIT_SOME_FAILED : EXIT_DONE);
	json_decref(d.rows);
	return status;
}
