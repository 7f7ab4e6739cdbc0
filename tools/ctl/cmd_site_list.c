/* site list: the blogs of a network, and when something of theirs is due. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "blogs.h"
#include "formats/cron_array.h"

const char *const site_list_columns[] = { "blog_id", "url", "last_updated",
	"registered", "next_due", "", "site_id", "domain", "path", "public",
	"archived", "mature", "spam", "deleted", "served", NULL };

/* So many blogs in one UNION ALL. */
#define HEADS_AT_ONCE 500

struct listing {
	json_t *rows;
	struct sql_blog *blogs; /* that are served */
	size_t n;
	int64_t *due; /* INT64_MAX: nothing */
};

static void
add_blog(struct listing *l, const struct place *p, uint32_t id)
{
	char prefix[SITE_PREFIX_MAX];

	site_blog_prefix(p->site, id, prefix);
	l->blogs = xrealloc(l->blogs, l->n + 1, sizeof *l->blogs);
	l->due = xrealloc(l->due, l->n + 1, sizeof *l->due);
	l->due[l->n] = INT64_MAX;
	l->blogs[l->n++] = (struct sql_blog){
		.id = id,
		.prefix = xstrdup(prefix),
	};
}

static void
listing_clear(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((void *)(uintptr_t)l->blogs[i].prefix);
	free(l->blogs);
	free(l->due);
}

static void
put_url(
    const struct place *p, json_t *row, struct slice domain, struct slice path)
{
	const char *scheme =
	    strncmp(p->facts.home, "https:", 6) == 0 ? "https" : "http";
	char url[512];

	(void)snprintf(url, sizeof url, "%s://%.*s%.*s", scheme,
	    SLICE_FMT(domain), SLICE_FMT(path));
	row_text(row, "url", url);
}

static void
put_site(struct listing *l, const struct place *p, const struct db_rows *r)
{
	static const char *const flags[] = { "public", "archived", "mature",
		"spam", "deleted" };
	json_t *row = json_object();
	bool served;

	row_int(row, "blog_id", db_i64(r, 0));
	row_int(row, "site_id", db_i64(r, 1));
	row_slice(row, "domain", db_text(r, 2));
	row_slice(row, "path", db_text(r, 3));
	put_url(p, row, db_text(r, 2), db_text(r, 3));
	row_time(row, "registered", db_time(r, 4));
	row_time(row, "last_updated", db_time(r, 5));
	for (size_t i = 0; i < NELEMS(flags); i++)
		row_int(row, flags[i], db_i64(r, (unsigned)(6 + i)));
	served = !db_i64(r, 7) && !db_i64(r, 9) && !db_i64(r, 10);
	row_bool(row, "served", served);
	(void)json_array_append_new(l->rows, row);
	if (served)
		add_blog(l, p, (uint32_t)db_u64(r, 0));
}

static enum rc
read_sites(struct place *p, struct listing *l, struct err *err)
{
	struct db_rows *rows = NULL;
	json_t *row;
	enum rc rc;

	if (!p->site->multisite) {
		row = json_object();
		row_int(row, "blog_id", PLACE_BLOG);
		row_text(row, "url", p->facts.home);
		row_bool(row, "served", true);
		(void)json_array_append_new(l->rows, row);
		add_blog(l, p, PLACE_BLOG);
		return RC_OK;
	}
	rc = db_select(
	    p->db, &p->scope, SQL_EVENTS_CTL_SITES, SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		put_site(l, p, rows);
	db_rows_free(rows);
	return rc;
}

static void
note_due(struct listing *l, uint64_t blog, int64_t when)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->blogs[i].id == blog && when < l->due[i])
			l->due[i] = when;
}

static enum rc
read_heads(struct place *p, struct listing *l, size_t from, struct err *err)
{
	struct sql_scope scope = p->scope;
	struct db_rows *rows = NULL;
	int64_t when;
	enum rc rc;

	scope.blogs = l->blogs + from;
	scope.nblogs =
	    l->n - from < HEADS_AT_ONCE ? l->n - from : HEADS_AT_ONCE;
	rc = db_select(
	    p->db, &scope, SQL_NETWORK_CRON_HEADS, SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		if (cron_array_first(db_text(rows, 1), &when))
			note_due(l, db_u64(rows, 0), when);
	db_rows_free(rows);
	return rc;
}

static enum rc
read_waiting(struct place *p, struct listing *l, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = RC_OK;

	if (p->own)
		rc = db_select(p->db, &p->scope, SQL_NETWORK_EVENTS_DUE,
		    SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && rows && db_rows_next(rows))
		note_due(l, db_u64(rows, 0), db_time(rows, 1));
	db_rows_free(rows);
	return rc;
}

static void
put_due(struct listing *l)
{
	for (size_t i = 0; i < json_array_size(l->rows); i++) {
		json_t *row = json_array_get(l->rows, i);
		json_int_t id =
		    json_integer_value(json_object_get(row, "blog_id"));

		for (size_t k = 0; k < l->n; k++)
			if ((json_int_t)l->blogs[k].id == id)
				row_time(row, "next_due", l->due[k]);
	}
}

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	struct listing l = { .rows = arg };
	struct err err = ERR_INIT;
	enum rc rc = read_sites(p, &l, &err);

	for (size_t i = 0; i < l.n && rc == RC_OK; i += HEADS_AT_ONCE)
		rc = read_heads(p, &l, i, &err);
	if (rc == RC_OK)
		rc = read_waiting(p, &l, &err);
	put_due(&l);
	listing_clear(&l);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

int
cmd_site_list(struct ctl *c)
{
	json_t *rows = json_array();
	int status = blogs_each(c, 0, list, rows);

	if (status == EXIT_DONE)
		return ctl_print_rows(c, rows, EXIT_DONE);
	json_decref(rows);
	return status;
}
