/*
 * The flags: usermeta rows that Newspack writes at page loads, too. A value is
 * a time in seconds, so one that is written again within its second is not told
 * from the one that was read. Removing it loses nothing: the reader's data are
 * read after the flag.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "queues/contacts_internal.h"

static int
by_reader(const void *a, const void *b)
{
	const struct contact_flag *x = a, *y = b;

	if (x->user_id != y->user_id)
		return x->user_id < y->user_id ? -1 : 1;
	return x->umeta_id < y->umeta_id ? -1 : x->umeta_id > y->umeta_id;
}

/* Rows of contacts.flags or contacts.flags_of, as many as `max`. */
static enum rc
flags_take(struct db_rows *rows, size_t max, struct arena *a,
    struct contact_flags *out, struct err *err)
{
	size_t n = db_rows_count(rows);

	out->more = n > max;
	if (n > max)
		n = max;
	if (n == 0)
		return RC_OK;
	out->rows = arena_array(a, n, sizeof *out->rows);
	if (!out->rows)
		return err_set(
		    err, RC_RETRY, "no memory for %zu waiting readers", n);
	while (out->n < n && db_rows_next(rows)) {
		struct slice value = arena_slice(a, db_text(rows, 2));

		if (!value.p)
			return err_set(
			    err, RC_RETRY, "no memory for waiting readers");
		out->rows[out->n++] = (struct contact_flag){
			.umeta_id = db_u64(rows, 0),
			.user_id = db_u64(rows, 1),
			.value = value,
		};
	}
	if (out->n > 0)
		qsort(out->rows, out->n, sizeof *out->rows, by_reader);
	return RC_OK;
}

enum rc
contact_flags_read(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, size_t max, struct arena *a,
    struct contact_flags *out, struct err *err)
{
	struct slice key = contact_flag_key(d);
	struct db_rows *rows = NULL;
	enum rc rc;

	*out = (struct contact_flags){ 0 };
	rc = db_select(db, scope, SQL_CONTACTS_FLAGS,
	    SQL_ARGS(V_TEXT(key), V_BYTES(key), V_U64((uint64_t)max + 1)),
	    &rows, err);
	if (rc == RC_OK)
		rc = flags_take(rows, max, a, out, err);
	db_rows_free(rows);
	return rc;
}

enum rc
contact_flags_of(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, uint64_t user_id, struct arena *a,
    struct contact_flags *out, struct err *err)
{
	struct slice key = contact_flag_key(d);
	struct db_rows *rows = NULL;
	enum rc rc;

	*out = (struct contact_flags){ 0 };
	rc = db_select(db, scope, SQL_CONTACTS_FLAGS_OF,
	    SQL_ARGS(V_U64(user_id), V_TEXT(key), V_BYTES(key)), &rows, err);
	if (rc == RC_OK)
		rc = flags_take(rows, SIZE_MAX, a, out, err);
	db_rows_free(rows);
	return rc;
}

/* ---- removing ------------------------------------------------------------ */

static int
by_row(const void *a, const void *b)
{
	const struct contact_flag *const *x = a, *const *y = b;

	return contact_by_u64(&(*x)->umeta_id, &(*y)->umeta_id);
}

static enum rc
remove_chunk(struct db *db, const struct sql_scope *scope,
    const struct contact_flag *const *flags, size_t n, uint64_t *removed,
    struct err *err)
{
	struct sql_value values[CONTACT_CHUNK * 3];
	uint64_t ids[CONTACT_CHUNK], affected = 0;
	const struct sql_args args = {
		.ids = ids, .nids = n, .rows = values, .nrows = n
	};
	enum rc rc;

	for (size_t i = 0; i < n; i++) {
		ids[i] = flags[i]->umeta_id;
		values[3 * i] = V_U64(flags[i]->umeta_id);
		values[3 * i + 1] = V_U64(flags[i]->user_id);
		values[3 * i + 2] = V_BYTES(flags[i]->value);
	}
	rc = db_exec(
	    db, scope, SQL_CONTACTS_FLAGS_REMOVE, &args, &affected, err);
	*removed += affected;
	return rc;
}

enum rc
contact_flags_remove(struct db *db, const struct sql_scope *scope,
    const struct contact_flag *rows, size_t n, uint64_t *removed,
    struct err *err)
{
	const struct contact_flag **order;
	uint64_t count = 0;
	enum rc rc = RC_OK;

	if (removed)
		*removed = 0;
	if (n == 0)
		return RC_OK;
	/* Always in the order of the primary key, so that two who remove do not
	 * lock each other's rows crosswise. */
	order = calloc(n, sizeof(const struct contact_flag *));
	if (!order)
		return err_set(err, RC_RETRY, "no memory for %zu flags", n);
	for (size_t i = 0; i < n; i++)
		order[i] = &rows[i];
	qsort(order, n, sizeof(const struct contact_flag *), by_row);
	for (size_t i = 0; i < n && rc == RC_OK; i += CONTACT_CHUNK)
		rc = remove_chunk(db, scope, order + i,
		    n - i < CONTACT_CHUNK ? n - i : CONTACT_CHUNK, &count, err);
	free(order);
	if (removed)
		*removed = count;
	return rc;
}

/* ---- staging ------------------------------------------------------------- */

/* How many flags of one reader are written over; more are a broken site's. */
#define FLAGS_OF_MAX 64

enum rc
contact_flag_write(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, uint64_t user_id, int64_t now, struct err *err)
{
	struct slice key = contact_flag_key(d);
	uint64_t ids[FLAGS_OF_MAX], matched = 0;
	struct sql_args args;
	struct db_rows *rows = NULL;
	struct sql_value insert[3];
	char text[24];
	enum rc rc;

	(void)snprintf(text, sizeof text, "%" PRId64, now);
	insert[0] = V_U64(user_id);
	insert[1] = V_TEXT(key);
	insert[2] = V_STR(text);
	rc = db_select(db, scope, SQL_CONTACTS_FLAGS_OF,
	    SQL_ARGS(V_U64(user_id), V_TEXT(key), V_BYTES(key)), &rows, err);
	args = (struct sql_args){ .values = &insert[2], .nvalues = 1 };
	args.ids = ids;
	while (rc == RC_OK && args.nids < NELEMS(ids) && db_rows_next(rows))
		ids[args.nids++] = db_u64(rows, 0);
	db_rows_free(rows);
	if (rc != RC_OK)
		return rc;
	if (args.nids > 0)
		rc = db_exec(
		    db, scope, SQL_CONTACTS_META_UPDATE, &args, &matched, err);
	/* None there, or removed since. */
	if (rc == RC_OK && matched == 0) {
		args = (struct sql_args){ .rows = insert, .nrows = 1 };
		rc = db_exec(
		    db, scope, SQL_CONTACTS_META_INSERT, &args, NULL, err);
	}
	return rc;
}
