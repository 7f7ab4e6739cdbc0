#ifndef SQL_RENDER_H
#define SQL_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "sql/statements.h" /* generated: enum sql_id, SQL_... */

/* What only some versions of the schema have; {?priority ...}. */
enum db_column {
	DB_COLUMN_PRIORITY = 1u << 0,      /* priority */
	DB_COLUMN_EXTENDED_ARGS = 1u << 1, /* extended_args */
	DB_COLUMN_UNIQUE_KEY = 1u << 2,    /* unique_key */
	DB_INDEX_PRIORITY = 1u << 3,       /* priority_index */
	DB_INDEX_HOOK = 1u << 4,           /* hook_index */
	DB_INDEX_ATTEMPT = 1u << 5,        /* attempt_index */
};

/* A blog of a network. */
struct sql_blog {
	uint32_t id;
	const char *prefix; /* {p} */
};

/* For whom a statement is rendered: table prefixes and what is present. */
struct sql_scope {
	const char *prefix;    /* {p}, blog's, e.g. "wp_2_" */
	const char *base;      /* {base}, network's, e.g. "wp_" */
	unsigned columns;      /* enum db_column bits, from db_probe() */
	const char *due_index; /* {due_index}: index for the due read by date */
	const char *retention_index; /* {retention_index}: index for finished
					rows by (status,) last_attempt_gmt */
	/* Statements with `each`: a text a blog; none: the scope's own as
	 * blog 1. */
	const struct sql_blog *blogs;
	size_t nblogs;
};

/* One bound value. */
struct sql_value {
	enum sql_type {
		SQL_NULL,
		SQL_I64,
		SQL_U64,
		SQL_TEXT,  /* escaped, quoted, in the connection's charset */
		SQL_BYTES, /* of no character set */
		SQL_TIME,  /* i64 is Unix time, rendered as 'Y-m-d H:i:s' UTC;
			      INT64_MIN is the zero date */
	} type;
	int64_t i64;
	uint64_t u64;
	struct slice text;
};
#define V_NULL ((struct sql_value){ .type = SQL_NULL })
#define V_I64(v) ((struct sql_value){ .type = SQL_I64, .i64 = (v) })
#define V_U64(v) ((struct sql_value){ .type = SQL_U64, .u64 = (v) })
#define V_TEXT(v) ((struct sql_value){ .type = SQL_TEXT, .text = (v) })
#define V_STR(v) ((struct sql_value){ .type = SQL_TEXT, .text = slice_str(v) })
#define V_BYTES(v) ((struct sql_value){ .type = SQL_BYTES, .text = (v) })
#define V_TIME(v) ((struct sql_value){ .type = SQL_TIME, .i64 = (v) })
/* A nullable text: p == NULL becomes NULL. */
struct sql_value sql_text_or_null(struct slice s);

/* What goes into a statement, in the order its head names it. */
struct sql_args {
	const struct sql_value *values; /* the `?` */
	size_t nvalues;
	const uint64_t *ids; /* {ids}; never empty */
	size_t nids;
	const struct sql_value *rows; /* {rows n}: nrows tuples of n values */
	size_t nrows;
};
/* SQL_ARGS(V_U64(1), V_STR("x")) */
#define SQL_ARGS(...)                                                          \
	(&(const struct sql_args){                                             \
	    .values = (const struct sql_value[]){ __VA_ARGS__ },               \
	    .nvalues = sizeof((const struct sql_value[]){ __VA_ARGS__ }) /     \
		       sizeof(struct sql_value) })
#define SQL_NO_ARGS (&(const struct sql_args){ 0 })

/* What the head of a statement says (sql/statements.awk has the grammar). */
struct sql_param {
	const char *name;
	enum sql_type type; /* SQL_I64, SQL_U64, SQL_TEXT, ... */
	const char *sample; /* for the test of plans; NULL: by name and type */
};
struct sql_statement {
	const char *name;    /* "leases.take" */
	const char *file;    /* "sql/leases.sql" */
	const char *text;    /* without comments, with placeholders */
	const char *rows;    /* what comes back */
	const char *explain; /* "exempt ...", "rows ..." or NULL */
	unsigned needs;      /* enum db_column bits without which it fails */
	const struct sql_param *params; /* the `?` in order */
	size_t nparams;
	const struct sql_param *tuple; /* {rows n}: the n columns */
	size_t ntuple;
	bool ids;         /* takes {ids} */
	const char *each; /* stands between the texts of blogs; or NULL */
};
/* Generated; indexed by enum sql_id. */
extern const struct sql_statement sql_statements[SQL_NSTATEMENTS];

/*
 * sql_render - the text of statement `id`, appended to `out`.
 *
 *   ?               the next value
 *   {p} {base}      prefix of the blog's and of the network's tables; also
 *                   inside a '...' literal, where everything else is literal
 *   {due_index}, {retention_index}  index names of the scope
 *   {blog}          id of the blog whose text this is (`each`)
 *   {ids}           1,2,3
 *   {rows n}        (a,b),(c,d) for n = 2
 *   {?col ...}      the text when `col` is present, nothing when not
 *   {!col ...}      the other way round; both nest. A `?` inside always
 *                   stands for one value: it is passed, and skipped when the
 *                   text is, so that callers do not count columns.
 *
 * A negative number is written in parentheses: `x - ?` never becomes `--`.
 * NULL goes where any type is expected; else a value has the type of the head
 * (a number may be signed or not as long as it fits).
 *
 * RC_REJECT: a value, id or row is missing, over or of another type, a prefix
 * or index name has a byte outside [A-Za-z0-9_] or is not there, the scope has
 * not what the statement `needs`, or the text is over the buffer's ceiling;
 * `out` is then not to be used. Escaping is by the rules of a connection in
 * utf8mb4 or a single-byte character set, without NO_BACKSLASH_ESCAPES, which
 * db_open() makes sure of. Pure; any thread.
 */
MUSTUSE enum rc sql_render(enum sql_id id, const struct sql_scope *scope,
    const struct sql_args *args, struct buf *out, struct err *err);

/* sql_render() of a statement that is not in the table; for tests. */
MUSTUSE enum rc sql_render_statement(const struct sql_statement *st,
    const struct sql_scope *scope, const struct sql_args *args, struct buf *out,
    struct err *err);

/*
 * sql_render_prepared - the text for a client that prepares it itself (php/):
 * every `?` stays, and its head says what goes in. Only of statements without
 * {ids}, {rows n} and `each`; else, and with a bad prefix, RC_REJECT.
 */
MUSTUSE enum rc sql_render_prepared(enum sql_id id,
    const struct sql_scope *scope, struct buf *out, struct err *err);

/* One value as it stands in a statement: 12, 'it\'s', NULL. */
void sql_put_value(struct buf *out, const struct sql_value *v);

#endif
