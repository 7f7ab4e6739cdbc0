#include "queues/missed_posts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/ceilings.h"
#include "formats/cron_array.h"
#include "queues/cron_events_internal.h"

#define HOOK SLICE_LIT("publish_future_post")
/* Core's own runner, and ours, may be that late. */
#define LATE_S 120
/* As many types as a site can mean to have. */
#define TYPES_MAX 500
/* Posts looked at in one go, and repaired. Those that cannot be published
 * stay at the front. */
#define POSTS_MAX 2000
#define REPAIRS_MAX 200
#define ARGS_MAX 64

struct missed_post {
	uint64_t id;
	int64_t due;
	bool known; /* there is an event for it */
	/* Of the arguments [ID], and of ["ID"], which others may have made. */
	char key[CRON_DIGEST_LEN + 1], text_key[CRON_DIGEST_LEN + 1];
	char slot[CRON_SLOT_LEN];
	char args[ARGS_MAX];
};

struct search {
	struct db *db;
	const struct sql_scope *scope;
	uint32_t blog_id;
	struct arena arena;
	struct missed_post *posts;
	size_t n;
	char now[32]; /* the server's, as text */
	unsigned repaired;
};

/* Where a page of posts ended. */
struct cursor {
	char date[32];
	uint64_t id;
};

static void
copy_text(char *to, size_t room, struct slice from)
{
	(void)snprintf(to, room, "%.*s", SLICE_FMT(from));
}

/* The arguments as core serializes them, and by what they are known. */
static void
describe(struct missed_post *p)
{
	char text[ARGS_MAX], digits[24];
	int n = snprintf(digits, sizeof digits, "%" PRIu64, p->id);

	(void)snprintf(p->args, sizeof p->args, "a:1:{i:0;i:%s;}", digits);
	(void)snprintf(text, sizeof text, "a:1:{i:0;s:%d:\"%s\";}", n, digits);
	cron_args_key(slice_str(p->args), p->key);
	cron_args_key(slice_str(text), p->text_key);
	cron_slot(p->due, HOOK, slice_str(p->key), p->slot);
}

/* ---- posts that are late ------------------------------------------------ */

static enum rc
find_page(struct search *s, struct slice type, struct cursor *c, size_t *n,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(s->db, s->scope, SQL_POSTS_MISSED,
	    SQL_ARGS(V_TEXT(type), V_STR(c->date), V_STR(c->date), V_U64(c->id),
		V_U64(LATE_S)),
	    &rows, err);

	*n = 0;
	if (rc != RC_OK)
		return rc;
	*n = db_rows_count(rows);
	while (db_rows_next(rows) && s->n < POSTS_MAX) {
		struct missed_post *p = &s->posts[s->n++];

		p->id = db_u64(rows, 0);
		p->due = db_time(rows, 1);
		copy_text(c->date, sizeof c->date, db_text(rows, 2));
		copy_text(s->now, sizeof s->now, db_text(rows, 3));
		c->id = p->id;
		describe(p);
	}
	db_rows_free(rows);
	return RC_OK;
}

static enum rc
find_of_type(struct search *s, struct slice type, struct err *err)
{
	struct cursor c = { .date = "1971-01-01" };
	size_t n = 0;
	enum rc rc;

	do
		rc = find_page(s, type, &c, &n, err);
	while (rc == RC_OK && n > 0 && s->n < POSTS_MAX);
	return rc;
}

/* RC_NONE: that was the last. */
static enum rc
next_type(struct search *s, char *type, size_t room, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(s->db, s->scope, SQL_POSTS_NEXT_TYPE,
	    SQL_ARGS(V_STR(type)), &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		copy_text(type, room, db_text(rows, 0));
	else if (rc == RC_OK)
		rc = RC_NONE;
	db_rows_free(rows);
	return rc;
}

static enum rc
find_late(struct search *s, struct err *err)
{
	/* varchar(20) of up to 4 bytes a character */
	char type[96] = "";
	enum rc rc = RC_OK;

	s->posts = arena_array(&s->arena, POSTS_MAX, sizeof *s->posts);
	if (!s->posts)
		return err_set(err, RC_RETRY, "no memory for missed posts");
	for (int i = 0; i < TYPES_MAX && s->n < POSTS_MAX; i++) {
		rc = next_type(s, type, sizeof type, err);
		if (rc == RC_OK)
			rc = find_of_type(s, slice_str(type), err);
		if (rc != RC_OK)
			break;
	}
	return rc == RC_NONE ? RC_OK : rc;
}

/* ---- those that have an event ------------------------------------------- */

static void
mark_key(struct search *s, struct slice key)
{
	for (size_t i = 0; i < s->n; i++)
		if (slice_eq_str(key, s->posts[i].key) ||
		    slice_eq_str(key, s->posts[i].text_key))
			s->posts[i].known = true;
}

/* Locks the option's row, so that no event is on its way into the table. */
static enum rc
mark_in_option(struct search *s, struct err *err)
{
	struct arena a = ARENA_INIT(CEILING_CRON_ARENA);
	struct cron_array array = { 0 };
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    s->db, s->scope, SQL_EVENTS_OPTION_LOCK, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		rc = cron_array_parse(db_text(rows, 0), &a, &array, err);
	if (rc == RC_OK && array.ancient)
		rc = err_set(err, RC_REJECT,
		    "the cron option has no version: WordPress must rewrite "
		    "it");
	for (size_t i = 0; rc == RC_OK && i < array.n; i++)
		if (slice_eq(array.events[i].hook, HOOK))
			mark_key(s, array.events[i].key);
	arena_clear(&a);
	db_rows_free(rows);
	return rc;
}

static enum rc
mark_in_table(struct search *s, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(s->db, s->scope, SQL_POSTS_PUBLISHING,
	    SQL_ARGS(V_U64(s->blog_id)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows))
		mark_key(s, db_text(rows, 0));
	db_rows_free(rows);
	return rc;
}

/* What ended in the last hour is not tried again now. */
static enum rc
mark_in_ledger(struct search *s, struct err *err)
{
	struct sql_value head[] = { V_U64(s->blog_id), V_U64(CRON_LEDGER_S) };
	struct sql_value *slots = arena_array(&s->arena, s->n, sizeof *slots);
	const struct sql_args args = { .values = head,
		.nvalues = NELEMS(head),
		.rows = slots,
		.nrows = s->n };
	struct db_rows *rows = NULL;
	enum rc rc;

	if (!slots)
		return err_set(err, RC_RETRY, "no memory for missed posts");
	for (size_t i = 0; i < s->n; i++)
		slots[i] = V_BYTES(slice_mem(s->posts[i].slot, CRON_SLOT_LEN));
	rc = db_select(s->db, s->scope, SQL_EVENTS_LEDGER, &args, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		for (size_t i = 0; i < s->n; i++)
			if (slice_eq(db_text(rows, 0),
				slice_mem(s->posts[i].slot, CRON_SLOT_LEN)))
				s->posts[i].known = true;
	db_rows_free(rows);
	return rc;
}

/* ---- the repair --------------------------------------------------------- */

static enum rc
insert_event(struct search *s, const struct missed_post *p, struct err *err)
{
	const struct sql_value empty = V_BYTES(SLICE_LIT(""));
	struct buf event = BUF_INIT(1024);
	struct sql_args args = { .nrows = 1 };
	enum rc rc;

	cron_event_render(&event, SLICE_NONE, slice_str(p->args), 0);
	args.rows = (const struct sql_value[CRON_ROW_COLUMNS]){
		V_U64(s->blog_id), V_STR("taken"), V_I64(p->due), V_BYTES(HOOK),
		V_BYTES(slice_str(p->key)),
		V_BYTES(slice_mem(p->slot, CRON_SLOT_LEN)),
		empty,                                /* recurrence */
		V_BYTES(buf_slice(&event)), V_I64(0), /* no next run */
		V_STR(s->now),                        /* not before */
		V_STR("missed"), V_STR(s->now),       /* taken at */
		V_NULL,                               /* ended at */
		empty,                                /* message */
	};
	rc = db_exec(s->db, s->scope, SQL_EVENTS_INSERT, &args, NULL, err);
	buf_clear(&event);
	return rc;
}

static enum rc
repair(struct db *db, void *arg, struct err *err)
{
	struct search *s = arg;
	enum rc rc;

	(void)db;
	s->repaired = 0;
	for (size_t i = 0; i < s->n; i++)
		s->posts[i].known = false;
	rc = mark_in_option(s, err);
	if (rc == RC_OK)
		rc = mark_in_table(s, err);
	if (rc == RC_OK)
		rc = mark_in_ledger(s, err);
	for (size_t i = 0; i < s->n && rc == RC_OK; i++) {
		if (s->posts[i].known || s->repaired == REPAIRS_MAX)
			continue;
		rc = insert_event(s, &s->posts[i], err);
		s->repaired++;
	}
	return rc;
}

enum rc
missed_posts_find(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, unsigned *repaired, struct err *err)
{
	struct search s = {
		.db = db,
		.scope = scope,
		.blog_id = blog_id,
		.arena = ARENA_INIT((size_t)4 << 20),
	};
	enum rc rc = find_late(&s, err);

	if (rc == RC_OK && s.n > 0)
		rc = db_transact(db, repair, &s, err);
	if (rc != RC_OK)
		s.repaired = 0;
	if (repaired)
		*repaired = s.repaired;
	arena_clear(&s.arena);
	return rc;
}
