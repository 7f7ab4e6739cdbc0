/*
 * Reader data: what was pulled of a reader, as rows of usermeta that Newspack's
 * PHP reads. First a look without locks, which is all there is to it when
 * nothing has changed since the last pull.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/macros.h"
#include "formats/php_serialize.h"
#include "queues/contacts_internal.h"
#include "sql/db_errors.h"

#define LIST_KEY SLICE_LIT("newspack_reader_data_keys")
#define ITEM_PREFIX "newspack_reader_data_item_"
#define META_KEY_MAX 255
/* A list of 100 keys is 30 KB at most. */
#define LIST_BYTES_MAX ((size_t)1 << 20)
#define DATA_ARENA_MAX ((size_t)64 << 20)

struct data_row {
	uint64_t umeta_id;
	struct slice key, value;
};

/* A value to be written: over a row that is there, or as a new one. */
struct data_write {
	uint64_t umeta_id; /* 0: new */
	struct slice key, value;
};

struct store {
	const struct sql_scope *scope;
	uint64_t user_id;
	const struct contact_item *items;
	size_t nitems;
	bool escape; /* the table cannot hold all characters */

	/* Made anew by each look. */
	struct arena arena;
	struct slice *meta_keys; /* of the items; p NULL: it cannot be stored */
	struct data_row *rows;   /* by umeta_id */
	size_t nrows;
	struct php_serialize_member *list;
	size_t nlist;
	bool list_grew;
	struct data_write *writes;
	size_t nwrites, refused;
};

/* ---- the list of keys ---------------------------------------------------- */

static bool
entry_is(const struct php_serialize_value *v, struct slice key)
{
	int64_t index;

	if (v->type == PHP_SERIALIZE_STRING)
		return slice_eq(v->text, key);
	return v->type == PHP_SERIALIZE_INT &&
	       php_serialize_index(key, &index) && index == v->integer;
}

static bool
list_has(const struct store *st, struct slice key)
{
	for (size_t i = 0; i < st->nlist; i++)
		if (entry_is(&st->list[i].value, key))
			return true;
	return false;
}

/* Where PHP's `$list[] =` puts the next one; false: nowhere. */
static bool
next_index(const struct store *st, int64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < st->nlist; i++) {
		if (!st->list[i].int_key || st->list[i].index < *out)
			continue;
		if (st->list[i].index == INT64_MAX)
			return false;
		*out = st->list[i].index + 1;
	}
	return true;
}

static bool
list_append(struct store *st, const struct php_serialize_value *v)
{
	struct php_serialize_member *m = &st->list[st->nlist];

	*m = (struct php_serialize_member){ .int_key = true, .value = *v };
	if (!next_index(st, &m->index))
		return false;
	st->nlist++;
	st->list_grew = true;
	return true;
}

/* A key that is a number in PHP's eyes was an array's index before it came to
 * be in the list, and so is an integer. */
static bool
list_add(struct store *st, struct slice key)
{
	struct php_serialize_value v = { .type = PHP_SERIALIZE_STRING,
		.text = key };

	if (list_has(st, key))
		return true;
	if (st->nlist >= CONTACT_DATA_MAX)
		return false;
	if (php_serialize_index(key, &v.integer))
		v.type = PHP_SERIALIZE_INT;
	return list_append(st, &v);
}

static bool
is_list(const struct data_row *r)
{
	return slice_eq(r->key, LIST_KEY);
}

/* The entries of one row's list; what PHP cannot read is an empty one. */
static enum rc
list_parse(struct store *st, struct slice text, struct php_serialize_value *out,
    struct err *err)
{
	const struct php_serialize_limits limits = { LIST_BYTES_MAX, 10000, 8 };
	enum rc rc;

	if (text.n > LIST_BYTES_MAX)
		return err_set(err, RC_REJECT,
		    "the list of reader data keys has %zu bytes", text.n);
	rc = php_serialize_parse(text, &limits, &st->arena, out, err);
	if (rc == RC_REJECT ||
	    (rc == RC_OK && out->type != PHP_SERIALIZE_ARRAY))
		*out =
		    (struct php_serialize_value){ .type = PHP_SERIALIZE_ARRAY };
	return rc == RC_REJECT ? RC_OK : rc;
}

/* Two first writers may have left two rows: what all of them list, in the order
 * and with the indexes of the first, which is the one that PHP reads. */
static enum rc
list_read(struct store *st, struct err *err)
{
	struct php_serialize_value *lists =
	    arena_array(&st->arena, st->nrows + 1, sizeof *lists);
	size_t room = st->nitems + 1, n = 0;
	enum rc rc = RC_OK;

	st->list = NULL;
	st->nlist = 0;
	st->list_grew = false;
	for (size_t i = 0; i < st->nrows && lists && rc == RC_OK; i++) {
		if (!is_list(&st->rows[i]))
			continue;
		rc = list_parse(st, st->rows[i].value, &lists[n], err);
		room += lists[n++].nmembers;
	}
	if (rc != RC_OK)
		return rc;
	st->list = arena_array(&st->arena, room, sizeof *st->list);
	if (!lists || !st->list)
		return err_set(err, RC_RETRY, "no memory for reader data");
	if (n > 0 && lists[0].nmembers > 0) {
		st->nlist = lists[0].nmembers;
		memcpy(
		    st->list, lists[0].members, st->nlist * sizeof *st->list);
	}
	for (size_t i = 1; i < n; i++)
		for (size_t k = 0; k < lists[i].nmembers; k++) {
			const struct php_serialize_value *v =
			    &lists[i].members[k].value;

			if (v->type == PHP_SERIALIZE_STRING &&
			    !list_has(st, v->text))
				(void)list_append(st, v);
		}
	return RC_OK;
}

/* ---- what there is to write ---------------------------------------------- */

static void
write_add(
    struct store *st, uint64_t umeta_id, struct slice key, struct slice value)
{
	st->writes[st->nwrites++] = (struct data_write){
		.umeta_id = umeta_id, .key = key, .value = value
	};
}

static struct slice
escaped(struct store *st, struct slice json)
{
	struct buf text = BUF_INIT(3 * CEILING_CONTACT_VALUE_BYTES);
	struct slice out;

	contact_json_put_ascii(&text, json);
	out = arena_slice(&st->arena, buf_slice(&text));
	if (text.failed || !out.p)
		st->arena.failed = true;
	buf_clear(&text);
	return out;
}

static void
plan_item(struct store *st, size_t i)
{
	const struct contact_item *item = &st->items[i];
	struct slice plain = item->json, ascii = escaped(st, plain);
	bool there = false;

	if (!list_add(st, item->key)) {
		st->refused++;
		return;
	}
	for (size_t k = 0; k < st->nrows; k++) {
		const struct data_row *r = &st->rows[k];

		if (!slice_eq(r->key, st->meta_keys[i]))
			continue;
		there = true;
		if (!slice_eq(r->value, plain) && !slice_eq(r->value, ascii))
			write_add(st, r->umeta_id, r->key,
			    st->escape ? ascii : plain);
	}
	if (!there)
		write_add(st, 0, st->meta_keys[i], st->escape ? ascii : plain);
}

static bool
is_repeated(const struct store *st, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (slice_eq(st->items[k].key, st->items[i].key))
			return true;
	return false;
}

static enum rc
plan_list(struct store *st, struct err *err)
{
	const struct php_serialize_value v = { .type = PHP_SERIALIZE_ARRAY,
		.members = st->list,
		.nmembers = st->nlist };
	struct buf text = BUF_INIT(2 * LIST_BYTES_MAX);
	struct slice value;
	bool there = false;

	if (!st->list_grew)
		return RC_OK;
	php_serialize_write(&v, &text);
	value = arena_slice(&st->arena, buf_slice(&text));
	if (text.failed || !value.p)
		st->arena.failed = true;
	buf_clear(&text);
	for (size_t i = 0; i < st->nrows; i++) {
		if (!is_list(&st->rows[i]))
			continue;
		there = true;
		if (!slice_eq(st->rows[i].value, value))
			write_add(st, st->rows[i].umeta_id, LIST_KEY, value);
	}
	if (!there)
		write_add(st, 0, LIST_KEY, value);
	return st->arena.failed
		   ? err_set(err, RC_RETRY, "no memory for reader data")
		   : RC_OK;
}

static enum rc
plan(struct store *st, struct err *err)
{
	enum rc rc = list_read(st, err);

	st->nwrites = st->refused = 0;
	if (rc != RC_OK)
		return rc;
	st->writes = arena_array(
	    &st->arena, st->nrows + st->nitems + 1, sizeof *st->writes);
	if (!st->writes)
		return err_set(err, RC_RETRY, "no memory for reader data");
	for (size_t i = 0; i < st->nitems; i++) {
		if (is_repeated(st, i))
			continue;
		if (!st->meta_keys[i].p)
			st->refused++;
		else
			plan_item(st, i);
	}
	return plan_list(st, err);
}

/* ---- the rows ------------------------------------------------------------ */

/* The keys of usermeta, and their values for the statement after that of the
 * list. */
static enum rc
name_items(
    struct store *st, struct sql_value **values, size_t *n, struct err *err)
{
	struct sql_value *v =
	    arena_array(&st->arena, st->nitems + 1, sizeof *v);
	size_t nv = 0;

	st->meta_keys =
	    arena_array(&st->arena, st->nitems + 1, sizeof *st->meta_keys);
	if (!v || !st->meta_keys)
		return err_set(err, RC_RETRY, "no memory for reader data");
	v[nv++] = V_TEXT(LIST_KEY);
	for (size_t i = 0; i < st->nitems; i++) {
		const struct contact_item *item = &st->items[i];
		struct buf key = BUF_INIT(META_KEY_MAX);

		buf_put_str(&key, ITEM_PREFIX);
		buf_put_slice(&key, item->key);
		if (!key.failed && item->key.n > 0 && item->json.n > 0 &&
		    item->json.n <= CEILING_CONTACT_VALUE_BYTES) {
			st->meta_keys[i] =
			    arena_slice(&st->arena, buf_slice(&key));
			v[nv++] = V_TEXT(st->meta_keys[i]);
		}
		buf_clear(&key);
	}
	*values = v;
	*n = nv;
	return RC_OK;
}

static int
by_row(const void *a, const void *b)
{
	const struct data_row *x = a, *y = b;

	return contact_by_u64(&x->umeta_id, &y->umeta_id);
}

/* Read what there is, and see what is to be written. */
static enum rc
look(struct store *st, struct db *db, enum sql_id how, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(st->user_id));
	struct sql_value *values = NULL;
	struct db_rows *rows = NULL;
	enum rc rc;

	arena_clear(&st->arena);
	st->nrows = 0;
	rc = name_items(st, &values, &args.nrows, err);
	if (rc != RC_OK)
		return rc;
	args.rows = values;
	rc = db_select(db, st->scope, how, &args, &rows, err);
	if (rc == RC_OK)
		st->rows = arena_array(
		    &st->arena, db_rows_count(rows) + 1, sizeof *st->rows);
	while (rc == RC_OK && st->rows && db_rows_next(rows))
		st->rows[st->nrows++] = (struct data_row){
			.umeta_id = db_u64(rows, 0),
			.key = arena_slice(&st->arena, db_text(rows, 1)),
			.value = arena_slice(&st->arena, db_text(rows, 2)),
		};
	db_rows_free(rows);
	if (rc != RC_OK)
		return rc;
	if (!st->rows || st->arena.failed)
		return err_set(err, RC_RETRY, "no memory for reader data");
	if (st->nrows > 0)
		qsort(st->rows, st->nrows, sizeof *st->rows, by_row);
	return plan(st, err);
}

/* ---- writing ------------------------------------------------------------- */

static enum rc
insert_some(struct store *st, struct db *db, struct sql_value *values,
    size_t *n, struct err *err)
{
	const struct sql_args args = { .rows = values, .nrows = *n };

	*n = 0;
	if (args.nrows == 0)
		return RC_OK;
	return db_exec(
	    db, st->scope, SQL_CONTACTS_META_INSERT, &args, NULL, err);
}

/* New rows together, as many as fit into a statement. */
static enum rc
insert_new(struct store *st, struct db *db, struct err *err)
{
	struct sql_value *values =
	    arena_array(&st->arena, 3 * st->nwrites + 1, sizeof *values);
	size_t n = 0, bytes = 0;
	enum rc rc = RC_OK;

	if (!values)
		return err_set(err, RC_RETRY, "no memory for reader data");
	for (size_t i = 0; i < st->nwrites && rc == RC_OK; i++) {
		const struct data_write *w = &st->writes[i];
		/* An escaped byte takes two. */
		size_t size = 2 * (w->key.n + w->value.n) + 64;

		if (w->umeta_id != 0)
			continue;
		if (bytes + size > CEILING_ROWS_BYTES) {
			rc = insert_some(st, db, values, &n, err);
			bytes = 0;
		}
		values[3 * n] = V_U64(st->user_id);
		values[3 * n + 1] = V_TEXT(w->key);
		values[3 * n + 2] = V_TEXT(w->value);
		n++;
		bytes += size;
	}
	return rc == RC_OK ? insert_some(st, db, values, &n, err) : rc;
}

static enum rc
write_all(struct store *st, struct db *db, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < st->nwrites && rc == RC_OK; i++) {
		const struct data_write *w = &st->writes[i];
		struct sql_args args = *SQL_ARGS(V_TEXT(w->value));

		args.ids = &w->umeta_id;
		args.nids = 1;
		if (w->umeta_id != 0)
			rc = db_exec(db, st->scope, SQL_CONTACTS_META_UPDATE,
			    &args, NULL, err);
	}
	return rc == RC_OK ? insert_new(st, db, err) : rc;
}

static enum rc
store_body(struct db *db, void *arg, struct err *err)
{
	struct store *st = arg;
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, st->scope, SQL_CONTACTS_USER_LOCK,
	    SQL_ARGS(V_U64(st->user_id)), &rows, err);

	if (rc == RC_OK && !db_rows_next(rows))
		rc = err_set(err, RC_NONE, "there is no such user");
	db_rows_free(rows);
	if (rc == RC_OK)
		rc = look(st, db, SQL_CONTACTS_DATA_LOCK, err);
	return rc == RC_OK ? write_all(st, db, err) : rc;
}

enum rc
contact_data_store(struct db *db, const struct sql_scope *scope,
    uint64_t user_id, const struct contact_item *items, size_t n,
    size_t *written, size_t *refused, struct err *err)
{
	struct store st = { .scope = scope,
		.user_id = user_id,
		.items = items,
		.nitems = n,
		.arena = ARENA_INIT(DATA_ARENA_MAX) };
	enum rc rc = look(&st, db, SQL_CONTACTS_DATA, err);

	if (rc == RC_OK && st.nwrites > 0) {
		rc = db_transact(db, store_body, &st, err);
		/* A column of utf8mb3 or latin1 has no emoji. */
		if (rc == RC_REJECT && db_errno(db) == DB_ER_WRONG_VALUE) {
			st.escape = true;
			rc = db_transact(db, store_body, &st, err);
		}
	}
	if (written)
		*written = rc == RC_OK ? st.nwrites : 0;
	if (refused)
		*refused = rc == RC_OK ? st.refused : 0;
	arena_clear(&st.arena);
	return rc;
}
