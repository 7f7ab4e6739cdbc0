#include "sql/nodes.h"

#include "base/xalloc.h"

/* Columns of {base}wpcron_nodes. */
#define NODE_HOST_MAX 64
#define NODE_VERSION_MAX 32

static struct sql_value
cut(const char *text, size_t max)
{
	struct slice s = slice_str(text);

	return V_TEXT(slice_mem(s.p, slice_utf8_cut(s, max)));
}

enum rc
node_register(struct db *db, const struct sql_scope *scope, const char *host,
    uint32_t pid, const char *version, uint64_t *node, struct err *err)
{
	enum rc rc = db_exec(db, scope, SQL_NODES_REGISTER,
	    SQL_ARGS(cut(host, NODE_HOST_MAX), V_U64(pid),
		cut(version, NODE_VERSION_MAX)),
	    NULL, err);

	*node = rc == RC_OK ? db_insert_id(db) : 0;
	return rc;
}

enum rc
node_heartbeat(struct db *db, const struct sql_scope *scope, uint64_t node,
    struct err *err)
{
	uint64_t matched = 0;
	enum rc rc = db_exec(db, scope, SQL_NODES_HEARTBEAT,
	    SQL_ARGS(V_U64(node)), &matched, err);

	if (rc == RC_OK && matched == 0)
		return err_set(err, RC_NONE, "this node was taken for dead");
	return rc;
}

enum rc
nodes_expired(struct db *db, const struct sql_scope *scope, uint32_t expiry_ms,
    uint64_t **ids, size_t *n, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	*ids = NULL;
	*n = 0;
	rc = db_select(db, scope, SQL_NODES_EXPIRED,
	    SQL_ARGS(V_U64((uint64_t)expiry_ms * 1000)), &rows, err);
	if (rc == RC_OK && db_rows_count(rows) > 0)
		*ids = xcalloc(db_rows_count(rows), sizeof **ids);
	while (*ids && db_rows_next(rows))
		(*ids)[(*n)++] = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

enum rc
node_expire(struct db *db, const struct sql_scope *scope, uint64_t node,
    uint32_t expiry_ms, struct err *err)
{
	uint64_t matched = 0;
	enum rc rc = db_exec(db, scope, SQL_NODES_EXPIRE,
	    SQL_ARGS(V_U64(node), V_U64((uint64_t)expiry_ms * 1000)), &matched,
	    err);

	if (rc == RC_OK && matched == 0)
		return err_set(err, RC_NONE, "this node lives, or is gone");
	return rc;
}

enum rc
nodes_others(struct db *db, const struct sql_scope *scope, uint64_t node,
    uint64_t *n, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_NODES_OTHERS, SQL_ARGS(V_U64(node)), &rows, err);

	*n = 0;
	if (rc == RC_OK && db_rows_next(rows))
		*n = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

enum rc
node_remove(struct db *db, const struct sql_scope *scope, uint64_t node,
    struct err *err)
{
	return db_exec(
	    db, scope, SQL_NODES_REMOVE, SQL_ARGS(V_U64(node)), NULL, err);
}
