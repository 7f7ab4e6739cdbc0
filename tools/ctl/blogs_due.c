/* When the blogs of a network have next something due. */
#include <stdio.h>
#include <stdlib.h>

#include "base/xalloc.h"
#include "blogs.h"
#include "formats/cron_array.h"

/* So many blogs in one UNION ALL. */
#define BLOGS_AT_ONCE 500
#define TABLE_NAME_MAX (SITE_PREFIX_MAX + 32)

struct asking {
	struct place *p;
	const struct blogs *blogs;
	struct sql_blog *all, *acting; /* acting: with the actions' tables */
	size_t nacting;
	char (*prefixes)[SITE_PREFIX_MAX];
	int64_t *due;
};

static void
note(struct asking *a, uint64_t blog, int64_t when)
{
	for (size_t i = 0; i < a->blogs->n; i++)
		if (a->blogs->items[i].id == blog && when < a->due[i])
			a->due[i] = when;
}

static enum rc
read_some(struct asking *a, enum sql_id id, const struct sql_blog *blogs,
    size_t n, struct err *err)
{
	struct sql_scope scope = a->p->scope;
	struct db_rows *rows = NULL;
	int64_t when;
	enum rc rc;

	scope.blogs = blogs;
	scope.nblogs = n;
	rc = db_select(a->p->db, &scope, id, SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		if (id == SQL_NETWORK_ACTIONS_DUE && !db_is_null(rows, 1))
			note(a, db_u64(rows, 0), db_time(rows, 1));
		else if (id == SQL_NETWORK_CRON_HEADS &&
			 cron_array_first(db_text(rows, 1), &when))
			note(a, db_u64(rows, 0), when);
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
read_all(struct asking *a, enum sql_id id, const struct sql_blog *blogs,
    size_t n, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n && rc == RC_OK; i += BLOGS_AT_ONCE)
		rc = read_some(a, id, blogs + i,
		    n - i < BLOGS_AT_ONCE ? n - i : BLOGS_AT_ONCE, err);
	return rc;
}

/* Which blogs have the tables, by their names. */
static enum rc
find_acting(struct asking *a, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(a->p->db, &a->p->scope,
	    SQL_NETWORK_ACTION_TABLES, SQL_NO_ARGS, &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		char name[TABLE_NAME_MAX];

		for (size_t i = 0; i < a->blogs->n; i++) {
			(void)snprintf(name, sizeof name,
			    "%sactionscheduler_actions", a->prefixes[i]);
			if (slice_eq_str(db_text(rows, 0), name) &&
			    a->nacting < a->blogs->n)
				a->acting[a->nacting++] = a->all[i];
		}
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
read_waiting(struct asking *a, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	if (!a->p->own)
		return RC_OK;
	rc = db_select(a->p->db, &a->p->scope, SQL_NETWORK_EVENTS_DUE,
	    SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		note(a, db_u64(rows, 0), db_time(rows, 1));
	db_rows_free(rows);
	return rc;
}

enum rc
blogs_next_due(
    struct place *p, const struct blogs *b, int64_t *due, struct err *err)
{
	struct asking a = { .p = p, .blogs = b, .due = due };
	enum rc rc;

	a.all = xcalloc(b->n + 1, sizeof *a.all);
	a.acting = xcalloc(b->n + 1, sizeof *a.acting);
	a.prefixes = xcalloc(b->n + 1, sizeof *a.prefixes);
	for (size_t i = 0; i < b->n; i++) {
		due[i] = INT64_MAX;
		site_blog_prefix(p->site, b->items[i].id, a.prefixes[i]);
		a.all[i] = (struct sql_blog){ .id = b->items[i].id,
			.prefix = a.prefixes[i] };
	}
	rc = read_all(&a, SQL_NETWORK_CRON_HEADS, a.all, b->n, err);
	if (rc == RC_OK)
		rc = read_waiting(&a, err);
	if (rc == RC_OK)
		rc = find_acting(&a, err);
	if (rc == RC_OK)
		rc = read_all(
		    &a, SQL_NETWORK_ACTIONS_DUE, a.acting, a.nacting, err);
	free(a.all);
	free(a.acting);
	free(a.prefixes);
	return rc;
}
