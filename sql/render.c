#include "sql/render.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"

/* How deep {?a {!b ...}} may nest; the deepest in use is 1. */
#define RENDER_NESTING_MAX 8

/* The renderer's place in a statement. */
struct render {
	const struct sql_statement *st;
	const struct sql_scope *scope;
	struct sql_blog blog; /* whose text this is */
	const struct sql_args *args;
	struct buf *out;
	struct err *err;
	size_t next_value;
	/* Open {? and {!: is the text inside dropped? */
	bool dropped[RENDER_NESTING_MAX + 1];
	unsigned depth;
	bool in_literal;
	bool prepared; /* `?` stays */
};

static const struct {
	const char *name;
	unsigned bit;
} features[] = {
	{ "priority", DB_COLUMN_PRIORITY },
	{ "extended_args", DB_COLUMN_EXTENDED_ARGS },
	{ "unique_key", DB_COLUMN_UNIQUE_KEY },
	{ "priority_index", DB_INDEX_PRIORITY },
	{ "hook_index", DB_INDEX_HOOK },
	{ "attempt_index", DB_INDEX_ATTEMPT },
};

struct sql_value
sql_text_or_null(struct slice s)
{
	return s.p ? V_TEXT(s) : V_NULL;
}

/*
 * All bytes that end a literal or start an escape are ASCII, and no byte of
 * a UTF-8 sequence is, so escaping byte by byte is right even for text that
 * is not valid UTF-8. It would not be in GBK or Shift JIS, whose second bytes
 * may be a backslash: db_open() refuses those.
 */
static void
put_text(struct buf *out, struct slice s)
{
	size_t from = 0;

	buf_put_char(out, '\'');
	for (size_t i = 0; i < s.n; i++) {
		char escaped;

		switch (s.p[i]) {
		case '\0':
			escaped = '0';
			break;
		case '\n':
			escaped = 'n';
			break;
		case '\r':
			escaped = 'r';
			break;
		case '\032':
			escaped = 'Z';
			break;
		case '\\':
		case '\'':
		case '"':
			escaped = s.p[i];
			break;
		default:
			continue;
		}
		buf_put(out, s.p + from, i - from);
		buf_put_char(out, '\\');
		buf_put_char(out, escaped);
		from = i + 1;
	}
	if (s.n > from)
		buf_put(out, s.p + from, s.n - from);
	buf_put_char(out, '\'');
}

/*
 * A server refuses or warns about a literal that is no text of the connection,
 * whatever the column: what is not plain goes in hexadecimal, so that a
 * statement is always ASCII as far as bytes go, and can be said in JSON.
 */
static void
put_bytes(struct buf *out, struct slice s)
{
	bool plain = true;

	for (size_t i = 0; i < s.n && plain; i++)
		plain = s.p[i] >= ' ' && s.p[i] <= '~';
	buf_put_str(out, plain ? "_binary" : "x'");
	if (plain) {
		put_text(out, s);
		return;
	}
	buf_put_hex(out, s.p, s.n);
	buf_put_char(out, '\'');
}

static void
put_time(struct buf *out, int64_t t)
{
	char text[DATETIME_LEN + 1];

	if (t == INT64_MIN) {
		buf_put_str(out, "'0000-00-00 00:00:00'");
		return;
	}
	datetime_render(t, text);
	buf_put_char(out, '\'');
	buf_put_str(out, text);
	buf_put_char(out, '\'');
}

void
sql_put_value(struct buf *out, const struct sql_value *v)
{
	switch (v->type) {
	case SQL_NULL:
		buf_put_str(out, "NULL");
		break;
	case SQL_I64:
		/* `a - -1` must not become a comment. */
		if (v->i64 < 0)
			buf_put_char(out, '(');
		buf_put_i64(out, v->i64);
		if (v->i64 < 0)
			buf_put_char(out, ')');
		break;
	case SQL_U64:
		buf_put_u64(out, v->u64);
		break;
	case SQL_BYTES:
		put_bytes(out, v->text);
		break;
	case SQL_TEXT:
		put_text(out, v->text);
		break;
	case SQL_TIME:
		put_time(out, v->i64);
		break;
	}
}

static bool
type_fits(const struct sql_value *v, enum sql_type type)
{
	if (v->type == SQL_NULL || v->type == type)
		return true;
	if (type == SQL_U64)
		return v->type == SQL_I64 && v->i64 >= 0;
	if (type == SQL_I64)
		return v->type == SQL_U64 && v->u64 <= INT64_MAX;
	return false;
}

static enum rc
put_checked(struct render *r, const struct sql_value *v,
    const struct sql_param *param, bool drop)
{
	if (!type_fits(v, param->type))
		return err_set(r->err, RC_REJECT,
		    "%s: the value for %s is of another type", r->st->name,
		    param->name);
	if (!drop)
		sql_put_value(r->out, v);
	return RC_OK;
}

/* A prefix or an index name: what could end an identifier never gets in. */
static enum rc
put_name(struct render *r, const char *what, const char *name)
{
	static const char fine[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	if (!name || name[0] == '\0' || name[strspn(name, fine)] != '\0')
		return err_set(r->err, RC_REJECT,
		    "%s: {%s} is \"%s\", not letters, digits and _",
		    r->st->name, what, name ? name : "");
	buf_put_str(r->out, name);
	return RC_OK;
}

static enum rc
put_ids(struct render *r)
{
	const struct sql_args *args = r->args;

	for (size_t i = 0; i < args->nids; i++) {
		if (i > 0)
			buf_put_char(r->out, ',');
		buf_put_u64(r->out, args->ids[i]);
	}
	return RC_OK;
}

static enum rc
put_rows(struct render *r)
{
	const struct sql_value *v = r->args->rows;
	size_t width = r->st->ntuple;
	enum rc rc;

	for (size_t row = 0; row < r->args->nrows; row++) {
		buf_put_str(r->out, row > 0 ? ",\n(" : "(");
		for (size_t col = 0; col < width; col++) {
			if (col > 0)
				buf_put_char(r->out, ',');
			rc = put_checked(r, v++, &r->st->tuple[col], false);
			if (rc != RC_OK)
				return rc;
		}
		buf_put_char(r->out, ')');
	}
	return RC_OK;
}

/* `{?name` or `{!name` opens; the text up to its `}` is kept or dropped. */
static enum rc
open_condition(struct render *r, struct slice name, bool want)
{
	unsigned bit = 0;

	for (size_t i = 0; i < NELEMS(features); i++)
		if (slice_eq_str(name, features[i].name))
			bit = features[i].bit;
	if (bit == 0 || r->depth == RENDER_NESTING_MAX)
		return err_set(r->err, RC_REJECT,
		    "%s: {?%.*s cannot stand here", r->st->name,
		    SLICE_FMT(name));
	r->depth++;
	r->dropped[r->depth] = r->dropped[r->depth - 1] ||
			       ((r->scope->columns & bit) != 0) != want;
	return RC_OK;
}

/* One that cannot stand inside a literal. */
static bool
put_bare_placeholder(struct render *r, struct slice name, enum rc *rc)
{
	if (slice_eq_str(name, "ids"))
		*rc = put_ids(r);
	else if (slice_eq_str(name, "blog"))
		buf_put_u64(r->out, r->blog.id);
	else if (slice_eq_str(name, "due_index"))
		*rc = put_name(r, "due_index", r->scope->due_index);
	else if (slice_eq_str(name, "retention_index"))
		*rc = put_name(r, "retention_index", r->scope->retention_index);
	else if (slice_starts(name, SLICE_LIT("rows ")))
		*rc = put_rows(r);
	else
		return false;
	return true;
}

/* The placeholder whose name is `name`; false when there is none such. */
static bool
put_placeholder(struct render *r, struct slice name, enum rc *rc)
{
	if (slice_eq_str(name, "p"))
		*rc = put_name(r, "p", r->blog.prefix);
	else if (slice_eq_str(name, "base"))
		*rc = put_name(r, "base", r->scope->base);
	else
		return !r->in_literal && put_bare_placeholder(r, name, rc);
	return true;
}

/* At `{`: render what it opens; `*text` moves past it. */
static enum rc
brace(struct render *r, struct slice *text)
{
	struct slice rest = slice_from(*text, 1), name;
	enum rc rc = RC_OK;
	bool want;

	if (!r->in_literal && rest.n > 0 &&
	    (rest.p[0] == '?' || rest.p[0] == '!')) {
		want = rest.p[0] == '?';
		rest = slice_from(rest, 1);
		name = rest;
		for (name.n = 0; name.n < rest.n; name.n++)
			if (strchr(" \t\n}", rest.p[name.n]))
				break;
		*text = slice_from(rest, name.n);
		return open_condition(r, name, want);
	}
	name = slice_mem(rest.p, slice_find(rest, '}'));
	if (r->dropped[r->depth]) {
		*text = r->in_literal ? rest : slice_from(rest, name.n + 1);
		return RC_OK;
	}
	if (put_placeholder(r, name, &rc)) {
		*text = slice_from(rest, name.n + 1);
		return rc;
	}
	if (!r->in_literal)
		return err_set(r->err, RC_REJECT, "%s: unknown {%.*s}",
		    r->st->name, SLICE_FMT(name));
	buf_put_char(r->out, '{');
	*text = rest;
	return RC_OK;
}

/* A `?`, a quote or a closing brace. */
static enum rc
mark(struct render *r, char c)
{
	bool drop = r->dropped[r->depth];
	size_t i;

	if (c == '}' && !r->in_literal && r->depth > 0) {
		r->depth--;
		return RC_OK;
	}
	if (c == '?' && !r->in_literal && !r->prepared) {
		i = r->next_value++;
		return put_checked(
		    r, &r->args->values[i], &r->st->params[i], drop);
	}
	if (c == '\'')
		r->in_literal = !r->in_literal;
	if (!drop)
		buf_put_char(r->out, c);
	return RC_OK;
}

static enum rc
render_text(struct render *r)
{
	struct slice text = slice_str(r->st->text);
	enum rc rc = RC_OK;

	while (text.n > 0 && rc == RC_OK) {
		size_t plain = strcspn(text.p, "{}?'");

		if (!r->dropped[r->depth])
			buf_put(r->out, text.p, plain);
		text = slice_from(text, plain);
		if (text.n == 0)
			break;
		if (text.p[0] == '{') {
			rc = brace(r, &text);
			continue;
		}
		rc = mark(r, text.p[0]);
		text = slice_from(text, 1);
	}
	return rc;
}

/* The counts that the head promised; after this no index runs over. */
static enum rc
check_args(const struct sql_statement *st, const struct sql_scope *scope,
    const struct sql_args *args, struct err *err)
{
	if ((scope->columns & st->needs) != st->needs)
		return err_set(err, RC_REJECT,
		    "%s: this schema lacks what it needs", st->name);
	if (args->nvalues != st->nparams)
		return err_set(err, RC_REJECT,
		    "%s: %zu values given, %zu taken", st->name, args->nvalues,
		    st->nparams);
	if (st->ids != (args->nids > 0))
		return err_set(err, RC_REJECT, "%s: %s", st->name,
		    st->ids ? "no ids given" : "takes no ids");
	if ((st->ntuple > 0) != (args->nrows > 0))
		return err_set(err, RC_REJECT, "%s: %s", st->name,
		    st->ntuple > 0 ? "no rows given" : "takes no rows");
	return RC_OK;
}

enum rc
sql_render_statement(const struct sql_statement *st,
    const struct sql_scope *scope, const struct sql_args *args, struct buf *out,
    struct err *err)
{
	const struct sql_blog own = { 1, scope->prefix };
	bool each = st->each && scope->nblogs > 0;
	const struct sql_blog *blogs = each ? scope->blogs : &own;
	size_t nblogs = each ? scope->nblogs : 1;
	struct render r = {
		.st = st, .scope = scope, .args = args, .out = out, .err = err
	};
	enum rc rc = check_args(st, scope, args, err);

	for (size_t i = 0; i < nblogs && rc == RC_OK; i++) {
		if (i > 0)
			buf_printf(out, "\n%s\n", st->each);
		r.blog = blogs[i];
		rc = render_text(&r);
	}
	if (rc != RC_OK)
		return rc;
	if (out->failed)
		rc = err_set(err, RC_REJECT, "%s: the text is over %zu bytes",
		    st->name, out->max);
	return rc;
}

enum rc
sql_render(enum sql_id id, const struct sql_scope *scope,
    const struct sql_args *args, struct buf *out, struct err *err)
{
	assert((size_t)id < SQL_NSTATEMENTS);
	return sql_render_statement(&sql_statements[id], scope, args, out, err);
}

enum rc
sql_render_prepared(enum sql_id id, const struct sql_scope *scope,
    struct buf *out, struct err *err)
{
	const struct sql_statement *st = &sql_statements[id];
	struct render r = {
		.st = st,
		.scope = scope,
		.blog = { 1, scope->prefix },
		.args = SQL_NO_ARGS,
		.out = out,
		.err = err,
		.prepared = true,
	};
	enum rc rc;

	if (st->ids || st->ntuple > 0 || st->each)
		return err_set(
		    err, RC_REJECT, "%s cannot be prepared", st->name);
	rc = render_text(&r);
	if (rc == RC_OK && out->failed)
		rc = err_set(err, RC_REJECT, "%s: the text is over %zu bytes",
		    st->name, out->max);
	return rc;
}
