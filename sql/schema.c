#include "sql/schema.h"

#include <inttypes.h>

/* meta last: its version row says that the others are whole. */
static const enum sql_id create[] = {
	SQL_SCHEMA_CREATE_NODES,
	SQL_SCHEMA_CREATE_CLAIMS,
	SQL_SCHEMA_CREATE_TRIES,
	SQL_SCHEMA_CREATE_LEASES,
	SQL_SCHEMA_CREATE_BUCKETS,
	SQL_SCHEMA_CREATE_SITE,
	SQL_SCHEMA_CREATE_EVENTS,
	SQL_SCHEMA_CREATE_POLICIES,
	SQL_SCHEMA_CREATE_BATCHES,
	SQL_SCHEMA_CREATE_FINGERPRINTS,
	SQL_SCHEMA_CREATE_OUTBOX,
	SQL_SCHEMA_CREATE_OUTBOX_CHUNKS,
	SQL_SCHEMA_CREATE_MESSAGES,
	SQL_SCHEMA_CREATE_TASKS,
	SQL_SCHEMA_CREATE_TASK_SNAPSHOTS,
	SQL_SCHEMA_CREATE_DEAD_LETTERS,
	SQL_SCHEMA_CREATE_META,
};

#define ER_DBACCESS_DENIED 1044
#define ER_TABLEACCESS_DENIED 1142

static enum rc
read_u64(struct db *db, const struct sql_scope *scope, enum sql_id id,
    uint64_t *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, id, SQL_NO_ARGS, &rows, err);

	*out = 0;
	if (rc == RC_OK && db_rows_next(rows))
		*out = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

enum rc
schema_is_installed(
    struct db *db, const struct sql_scope *scope, struct err *err)
{
	uint64_t tables, version;
	enum rc rc;

	rc = read_u64(db, scope, SQL_SCHEMA_COUNT, &tables, err);
	if (rc != RC_OK)
		return rc;
	if (tables < NELEMS(create))
		return err_set(err, RC_NONE,
		    "%" PRIu64 " of %zu tables %swpcron_* are there", tables,
		    NELEMS(create), scope->base);
	rc = read_u64(db, scope, SQL_SCHEMA_VERSION, &version, err);
	if (rc != RC_OK)
		return rc;
	if (version > SCHEMA_VERSION)
		return err_set(err, RC_REJECT,
		    "tables %swpcron_* are of version %" PRIu64
		    ", this program knows %d: use the newer program",
		    scope->base, version, SCHEMA_VERSION);
	if (version < SCHEMA_VERSION)
		return err_set(err, RC_NONE,
		    "tables %swpcron_* are of version %" PRIu64 ", not %d",
		    scope->base, version, SCHEMA_VERSION);
	return RC_OK;
}

enum rc
schema_install(struct db *db, const struct sql_scope *scope, struct err *err)
{
	enum rc rc = schema_is_installed(db, scope, err);

	if (rc != RC_NONE)
		return rc;
	rc = RC_OK;
	for (size_t i = 0; i < NELEMS(create) && rc == RC_OK; i++)
		rc = db_exec(db, scope, create[i], SQL_NO_ARGS, NULL, err);
	if (rc == RC_OK)
		rc = db_exec(db, scope, SQL_SCHEMA_SET_VERSION,
		    SQL_ARGS(V_U64(SCHEMA_VERSION)), NULL, err);
	if (rc == RC_REJECT && (db_errno(db) == ER_TABLEACCESS_DENIED ||
				   db_errno(db) == ER_DBACCESS_DENIED))
		err_wrap(err,
		    "this database user may not create the tables %swpcron_*; "
		    "have them created by one who may (wp-cronctl install "
		    "prints the statements)",
		    scope->base);
	return rc;
}

enum rc
schema_uninstall(struct db *db, const struct sql_scope *scope, struct err *err)
{
	return db_exec(db, scope, SQL_SCHEMA_DROP, SQL_NO_ARGS, NULL, err);
}

static enum rc
print_one(enum sql_id id, const struct sql_scope *scope,
    const struct sql_args *args, struct buf *out, struct err *err)
{
	enum rc rc = sql_render(id, scope, args, out, err);

	buf_put_str(out, ";\n");
	return rc;
}

enum rc
schema_print(const struct sql_scope *scope, struct buf *out, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < NELEMS(create) && rc == RC_OK; i++)
		rc = print_one(create[i], scope, SQL_NO_ARGS, out, err);
	if (rc == RC_OK)
		rc = print_one(SQL_SCHEMA_SET_VERSION, scope,
		    SQL_ARGS(V_U64(SCHEMA_VERSION)), out, err);
	if (rc == RC_OK && out->failed)
		rc = err_set(err, RC_REJECT, "no room for the statements");
	return rc;
}
