#include <mysql.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "sql/db.h"
#include "sql/db_impl.h"

struct db_rows {
	MYSQL_RES *result;
	MYSQL_ROW row; /* NULL before the first and after the last */
	unsigned long *lengths;
	unsigned columns;
};

struct db_rows *
db_rows_new(MYSQL_RES *result)
{
	struct db_rows *rows = xcalloc(1, sizeof *rows);

	rows->result = result;
	rows->columns = mysql_num_fields(result);
	return rows;
}

size_t
db_rows_count(const struct db_rows *rows)
{
	return (size_t)mysql_num_rows(rows->result);
}

bool
db_rows_next(struct db_rows *rows)
{
	rows->row = mysql_fetch_row(rows->result);
	rows->lengths = rows->row ? mysql_fetch_lengths(rows->result) : NULL;
	return rows->row != NULL;
}

void
db_rows_free(struct db_rows *rows)
{
	if (!rows)
		return;
	mysql_free_result(rows->result);
	free(rows);
}

struct slice
db_text(const struct db_rows *rows, unsigned col)
{
	if (!rows->row || col >= rows->columns || !rows->row[col])
		return SLICE_NONE;
	return slice_mem(rows->row[col], rows->lengths[col]);
}

bool
db_is_null(const struct db_rows *rows, unsigned col)
{
	return !db_text(rows, col).p;
}

uint64_t
db_u64(const struct db_rows *rows, unsigned col)
{
	uint64_t v = 0;

	return slice_u64(db_text(rows, col), &v) ? v : 0;
}

int64_t
db_i64(const struct db_rows *rows, unsigned col)
{
	int64_t v = 0;

	return slice_i64(db_text(rows, col), &v) ? v : 0;
}

int64_t
db_time(const struct db_rows *rows, unsigned col)
{
	struct slice s = db_text(rows, col);

	return datetime_parse(s.p, s.n);
}
