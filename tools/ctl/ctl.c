#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "blogs.h"
#include "sql/schema.h"

#define WORDS_MAX ((size_t)64 << 10)

/* ---- words -------------------------------------------------------------- */

static void say(const char *prefix, const char *fmt, va_list ap)
    PRINTF_LIKE(2, 0);

static void
say(const char *prefix, const char *fmt, va_list ap)
{
	struct buf text = BUF_INIT(WORDS_MAX);

	buf_vprintf(&text, fmt, ap);
	(void)fprintf(stderr, "%s%s\n", prefix, buf_str(&text));
	buf_clear(&text);
}

int
ctl_fail(const struct ctl *c, enum ctl_exit status, const char *fmt, ...)
{
	va_list ap;

	(void)c;
	va_start(ap, fmt);
	say("wp-cronctl: ", fmt, ap);
	va_end(ap);
	return (int)status;
}

int
ctl_error(const struct ctl *c, const struct err *err)
{
	enum ctl_exit status = EXIT_BUG;

	switch (err->rc) {
	case RC_RETRY:
	case RC_AGAIN:
		status = EXIT_UNAVAILABLE;
		break;
	case RC_REJECT:
	case RC_NONE:
		status = EXIT_CONFIG;
		break;
	case RC_OK:
	case RC_FATAL:
		break;
	}
	return ctl_fail(c, status, "%s", err->text);
}

void
ctl_notice(const struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	if (c->opts.quiet)
		return;
	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

int
ctl_print_rows(const struct ctl *c, json_t *rows, enum ctl_exit status)
{
	struct err err = ERR_INIT;

	if (output_rows(&c->out, rows, &err) == RC_OK)
		return (int)status;
	return ctl_error(c, &err);
}

int
ctl_print_record(const struct ctl *c, json_t *row, enum ctl_exit status)
{
	struct err err = ERR_INIT;

	if (output_record(&c->out, row, &err) == RC_OK)
		return (int)status;
	return ctl_error(c, &err);
}

bool
ctl_number(const struct ctl *c, const char *what, const char *text,
    uint64_t least, uint64_t most, uint64_t *out)
{
	if (slice_u64(slice_str(text), out) && *out >= least && *out <= most)
		return true;
	ctl_fail(c, EXIT_USAGE, "%s is a number, not \"%s\"", what, text);
	return false;
}

/* ---- rows --------------------------------------------------------------- */

void
row_text(json_t *row, const char *name, const char *text)
{
	row_slice(row, name, text ? slice_str(text) : SLICE_NONE);
}

void
row_slice(json_t *row, const char *name, struct slice text)
{
	(void)json_object_set_new(row, name, output_text(text));
}

void
row_int(json_t *row, const char *name, int64_t v)
{
	(void)json_object_set_new(row, name, json_integer(v));
}

void
row_bool(json_t *row, const char *name, bool v)
{
	(void)json_object_set_new(row, name, json_boolean(v));
}

void
row_time(json_t *row, const char *name, int64_t unix_time)
{
	(void)json_object_set_new(row, name, output_time(unix_time));
}

void
row_seconds(json_t *row, const char *name, int64_t us)
{
	const int64_t ms = us / 1000;

	(void)json_object_set_new(row, name, json_real((double)ms / 1000));
}

/* ---- a site's database -------------------------------------------------- */

/* RC_NONE of a look for tables is an answer here. */
static enum rc
probe(struct place *p, struct err *err)
{
	enum rc rc = db_probe(p->db, &p->scope, &p->schema, err);

	p->actions = rc == RC_OK;
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	actions_set_schema(p->queue, &p->schema);
	actions_scope(p->queue, &p->scope);
	return RC_OK;
}

static enum rc
look_for_own(struct place *p, struct err *err)
{
	enum rc rc = schema_is_installed(p->db, &p->scope, err);

	p->own = rc == RC_OK;
	return rc == RC_NONE ? RC_OK : rc;
}

/* What is known of a blog's tables and options. */
static enum rc
look_at(struct place *p, uint32_t blog_id, struct err *err)
{
	char prefix[SITE_PREFIX_MAX];
	enum rc rc;

	site_blog_prefix(p->site, blog_id, prefix);
	actions_free(p->queue);
	site_facts_clear(&p->facts);
	p->blog_id = blog_id;
	p->queue = actions_new(&(const struct actions_opts){
	    .prefix = prefix,
	    .base = p->site->prefix,
	    .blog_id = blog_id,
	});
	actions_scope(p->queue, &p->scope);
	rc = site_facts_read(p->site, p->db, &p->scope, &p->facts, err);
	if (rc != RC_OK)
		return rc;
	actions_set_facts(p->queue, &p->facts);
	return probe(p, err);
}

enum rc
place_open(struct place *p, const struct site *site, struct err *err)
{
	enum rc rc;

	*p = (struct place){ .site = site };
	rc = db_open(&site->db, &p->db, err);
	if (rc == RC_OK)
		rc = look_at(p, PLACE_BLOG, err);
	return rc == RC_OK ? look_for_own(p, err) : rc;
}

enum rc
place_turn(struct place *p, uint32_t blog_id, struct err *err)
{
	return p->blog_id == blog_id ? RC_OK : look_at(p, blog_id, err);
}

void
place_close(struct place *p)
{
	actions_free(p->queue);
	site_facts_clear(&p->facts);
	db_close(p->db);
	*p = (struct place){ .site = NULL };
}

static int
open_blog(struct place *p, const struct ctl *c)
{
	struct err err = ERR_INIT;

	if (place_open(p, c->sites[0], &err) != RC_OK)
		return ctl_error(c, &err);
	return blogs_choose(p, c);
}

int
place_open_actions(struct place *p, const struct ctl *c)
{
	int status = open_blog(p, c);

	if (status != EXIT_DONE)
		return status;
	if (!p->actions)
		return ctl_fail(c, EXIT_CONFIG,
		    "there are no Action Scheduler tables %sactionscheduler_* "
		    "in database %s; is a plugin that has it active?",
		    p->scope.prefix, p->site->db.name);
	if (!p->own)
		return ctl_fail(c, EXIT_CONFIG,
		    "the tables %swpcron_* are not there; `wp-cronctl install` "
		    "creates them",
		    p->scope.base);
	return EXIT_DONE;
}

int
place_open_run(struct place *p, const struct ctl *c)
{
	struct err err = ERR_INIT;
	int status = open_blog(p, c);

	/* Who runs work makes them, as the daemon does at its start. */
	if (status == EXIT_DONE && !p->own) {
		if (schema_install(p->db, &p->scope, &err) != RC_OK)
			return ctl_error(c, &err);
		p->own = true;
	}
	return status;
}

enum rc
place_skew(struct place *p, int64_t *skew_us, struct err *err)
{
	wall_us before = clock_wall(&clock_system);
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(p->db, &p->scope, SQL_CTL_CLOCK, SQL_NO_ARGS, &rows, err);
	wall_us after = clock_wall(&clock_system);

	/* Read somewhere between the two. */
	if (rc == RC_OK && db_rows_next(rows))
		*skew_us = db_i64(rows, 0) - (before + after) / 2;
	db_rows_free(rows);
	return rc;
}
