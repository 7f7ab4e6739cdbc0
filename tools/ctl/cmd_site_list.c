/* site list: the blogs of a network, and when something of theirs is due. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "blogs.h"

const char *const site_list_columns[] = { "blog_id", "url", "last_updated",
	"registered", "next_due", "", "site_id", "domain", "path", "public",
	"archived", "mature", "spam", "deleted", "served", NULL };

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
put_site(json_t *rows, const struct place *p, const struct db_rows *r)
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
	(void)json_array_append_new(rows, row);
}

static enum rc
read_sites(struct place *p, json_t *out, struct err *err)
{
	struct db_rows *rows = NULL;
	json_t *row;
	enum rc rc;

	if (!p->site->multisite) {
		row = json_object();
		row_int(row, "blog_id", PLACE_BLOG);
		row_text(row, "url", p->facts.home);
		row_bool(row, "served", true);
		(void)json_array_append_new(out, row);
		return RC_OK;
	}
	rc = db_select(
	    p->db, &p->scope, SQL_EVENTS_CTL_SITES, SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		put_site(out, p, rows);
	db_rows_free(rows);
	return rc;
}

static void
put_due(json_t *rows, const struct blogs *blogs, const int64_t *due)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);
		json_int_t id =
		    json_integer_value(json_object_get(row, "blog_id"));

		for (size_t k = 0; k < blogs->n; k++)
			if ((json_int_t)blogs->items[k].id == id)
				row_time(row, "next_due", due[k]);
	}
}

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	struct blogs blogs = { .n = 0 };
	int64_t *due = NULL;
	struct err err = ERR_INIT;
	enum rc rc = read_sites(p, arg, &err);

	if (rc == RC_OK)
		rc = blogs_read(p, &blogs, &err);
	if (rc == RC_OK) {
		due = xcalloc(blogs.n + 1, sizeof *due);
		rc = blogs_next_due(p, &blogs, due, &err);
	}
	if (rc == RC_OK)
		put_due(arg, &blogs, due);
	blogs_clear(&blogs);
	free(due);
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
