#include <mysql.h>
#include <string.h>

#include "base/ceilings.h"
#include "sql/db_impl.h"

/* By name: MySQL has two more columns than MariaDB. */
static const char *
column(MYSQL_RES *result, MYSQL_ROW row, const char *name)
{
	const MYSQL_FIELD *fields = mysql_fetch_fields(result);

	for (unsigned i = 0; i < mysql_num_fields(result); i++)
		if (strcmp(fields[i].name, name) == 0)
			return row[i] ? row[i] : "";
	return "";
}

static void
read_plan(MYSQL_RES *result, struct db_plan *out)
{
	MYSQL_ROW row = mysql_fetch_row(result);

	if (!row)
		return;
	(void)snprintf(
	    out->how, sizeof out->how, "%s", column(result, row, "type"));
	(void)snprintf(
	    out->index, sizeof out->index, "%s", column(result, row, "key"));
	if (!slice_u64(slice_str(column(result, row, "rows")), &out->rows))
		out->rows = 0;
	out->sorts = strstr(column(result, row, "Extra"), "filesort") != NULL;
}

enum rc
db_explain(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const struct sql_args *args, struct db_plan *out, struct err *err)
{
	struct buf text = BUF_INIT(CEILING_STATEMENT_BYTES);
	MYSQL_RES *result = NULL;
	enum rc rc;

	*out = (struct db_plan){ .rows = 0 };
	buf_put_str(&text, "EXPLAIN ");
	rc = sql_render(id, scope, args, &text, err);
	if (rc != RC_OK)
		goto out;
	db->code = 0;
	if (mysql_real_query(
		db->mysql, buf_str(&text), (unsigned long)text.n) == 0)
		result = mysql_store_result(db->mysql);
	if (result)
		read_plan(result, out);
	else
		rc = db_failed(db, sql_statements[id].name, err);
	mysql_free_result(result);
out:
	buf_clear(&text);
	return rc;
}
