#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sql/render.h"

Suite *render_suite(void);

#define TEXT_MAX 4096

static const struct sql_param two_u64[] = { { "a", SQL_U64, NULL },
	{ "b", SQL_U64, NULL } };
static const struct sql_param mixed[] = { { "n", SQL_I64, NULL },
	{ "s", SQL_TEXT, NULL }, { "at", SQL_TIME, NULL } };
static const struct sql_scope everything = { .prefix = "wp_2_",
	.base = "wp_",
	.columns = ~0u,
	.due_index = "due",
	.retention_index = "old" };
static const struct sql_scope nothing = { .prefix = "wp_2_",
	.base = "wp_",
	.due_index = "due",
	.retention_index = "old" };

static enum rc
render(const char *text, const struct sql_scope *scope,
    const struct sql_param *params, size_t nparams, const struct sql_args *args,
    struct buf *out, struct err *err)
{
	const struct sql_statement st = { .name = "test.one",
		.text = text,
		.params = params,
		.nparams = nparams };

	return sql_render_statement(&st, scope, args, out, err);
}

/* ---- placeholders ---- */

static const struct {
	const char *text;
	const char *present; /* all columns there */
	const char *absent;  /* none */
} placeholders[] = {
	{ "SELECT ?, ?", "SELECT 7, 8", "SELECT 7, 8" },
	{ "{p}t JOIN {base}t ON ? = ?", "wp_2_t JOIN wp_t ON 7 = 8",
	    "wp_2_t JOIN wp_t ON 7 = 8" },
	{ "i ({due_index}) ({retention_index}) ? ?", "i (due) (old) 7 8",
	    "i (due) (old) 7 8" },
	{ "a {?priority , b} ? ?", "a  , b 7 8", "a  7 8" },
	{ "a{!priority  10}? ?", "a7 8", "a  107 8" },
	/* A value inside is passed whether it is used or not. */
	{ "{?priority a = ?,} b = ?", " a = 7, b = 8", " b = 8" },
	{ "{!priority a = ?,} b = ?", " b = 8", " a = 7, b = 8" },
	{ "{?priority x {?unique_key y ?} {!unique_key z ?} w}v",
	    " x  y 7  w"
	    "v",
	    "v" },
	{ "{!priority {!extended_args ? {p}} {base}} ?", " 8",
	    "  7 wp_2_ wp_ 8" },
	{ "{?priority {p} {due_index} ?}?", " wp_2_ due 78", "8" },
	/* In a literal only prefixes are filled in. */
	{ "'?{ids}{due_index}{?priority }' '{p}x{base}' ? ?",
	    "'?{ids}{due_index}{?priority }' 'wp_2_xwp_' 7 8",
	    "'?{ids}{due_index}{?priority }' 'wp_2_xwp_' 7 8" },
	{ "{?priority 'a{b}c}?' ?}?", " 'a{b}c}?' 78", "8" },
	{ "'it''s ?' ? ?", "'it''s ?' 7 8", "'it''s ?' 7 8" },
	{ "{?priority_index a}{?hook_index b}{?attempt_index c}"
	  "{?extended_args d}??",
	    " a b c d78", "78" },
};

START_TEST(placeholder_is_filled_in)
{
	const struct sql_args *args = SQL_ARGS(V_U64(7), V_U64(8));
	struct buf out = BUF_INIT(TEXT_MAX);
	struct err err = ERR_INIT;

	ck_assert_msg(render(placeholders[_i].text, &everything, two_u64, 2,
			  args, &out, &err) == RC_OK,
	    "%s", err.text);
	ck_assert_str_eq(buf_str(&out), placeholders[_i].present);
	buf_reset(&out);
	ck_assert_msg(render(placeholders[_i].text, &nothing, two_u64, 2, args,
			  &out, &err) == RC_OK,
	    "%s", err.text);
	ck_assert_str_eq(buf_str(&out), placeholders[_i].absent);
	buf_clear(&out);
}
END_TEST

START_TEST(ids_and_rows_are_lists)
{
	static const uint64_t ids[] = { 1, UINT64_MAX, 3 };
	const struct sql_value rows[] = { V_I64(-1), V_STR("a'b"), V_TIME(0),
		V_I64(2), V_NULL, V_TIME(INT64_MIN) };
	const struct sql_statement st = { .name = "test.lists",
		.text = "IN ({ids}) VALUES {rows 3}",
		.ids = true,
		.tuple = mixed,
		.ntuple = 3 };
	const struct sql_args args = {
		.ids = ids, .nids = 3, .rows = rows, .nrows = 2
	};
	struct buf out = BUF_INIT(TEXT_MAX);

	ck_assert_int_eq(
	    sql_render_statement(&st, &nothing, &args, &out, NULL), RC_OK);
	ck_assert_str_eq(buf_str(&out),
	    "IN (1,18446744073709551615,3) VALUES "
	    "((-1),'a\\'b','1970-01-01 00:00:00'),\n"
	    "(2,NULL,'0000-00-00 00:00:00')");
	buf_clear(&out);
}
END_TEST

/* ---- values ---- */

static const struct {
	const char *what;
	struct sql_value value;
	const char *text;
} values[] = {
	{ "NULL", { .type = SQL_NULL }, "NULL" },
	{ "zero", { .type = SQL_U64 }, "0" },
	{ "the greatest number", { .type = SQL_U64, .u64 = UINT64_MAX },
	    "18446744073709551615" },
	{ "the least number", { .type = SQL_I64, .i64 = INT64_MIN },
	    "(-9223372036854775808)" },
	{ "a time", { .type = SQL_TIME, .i64 = 1767323045 },
	    "'2026-01-02 03:04:05'" },
	{ "no time", { .type = SQL_TIME, .i64 = INT64_MIN },
	    "'0000-00-00 00:00:00'" },
	{ "a time past all dates", { .type = SQL_TIME, .i64 = INT64_MAX },
	    "'9999-12-31 23:59:59'" },
	{ "no text", { .type = SQL_TEXT }, "''" },
	{ "plain bytes", { .type = SQL_BYTES, .text = { "a'\"b", 4 } },
	    "_binary'a\\'\\\"b'" },
	{ "other bytes", { .type = SQL_BYTES, .text = { "\xff'\0", 3 } },
	    "x'ff2700'" },
	{ "no bytes", { .type = SQL_BYTES }, "_binary''" },
	{ "quotes", { .type = SQL_TEXT, .text = { "'\"`", 3 } }, "'\\'\\\"`'" },
	{ "a backslash at the end", { .type = SQL_TEXT, .text = { "\\", 1 } },
	    "'\\\\'" },
	{ "a backslash before a quote",
	    { .type = SQL_TEXT, .text = { "\\' OR 1 -- ", 11 } },
	    "'\\\\\\' OR 1 -- '" },
	{ "control bytes", { .type = SQL_TEXT, .text = { "\0\n\r\032\t", 5 } },
	    "'\\0\\n\\r\\Z\t'" },
	{ "UTF-8 of four bytes",
	    { .type = SQL_TEXT, .text = { "\xf0\x9f\x98\x80'", 5 } },
	    "'\xf0\x9f\x98\x80\\''" },
	{ "half a sequence before a quote",
	    { .type = SQL_TEXT, .text = { "\xf0\x9f'x", 4 } },
	    "'\xf0\x9f\\'x'" },
	{ "the lead byte that GBK would pair with a backslash",
	    { .type = SQL_TEXT, .text = { "\xbf'", 2 } }, "'\xbf\\''" },
	{ "marks of the renderer",
	    { .type = SQL_TEXT, .text = { "?{p}{ids}", 9 } }, "'?{p}{ids}'" },
};

START_TEST(value_is_quoted)
{
	struct buf out = BUF_INIT(TEXT_MAX);

	sql_put_value(&out, &values[_i].value);
	ck_assert_msg(slice_eq_str(buf_slice(&out), values[_i].text), "%s: %s",
	    values[_i].what, buf_str(&out));
	buf_clear(&out);
}
END_TEST

/* What a server does with a literal; every byte and every pair of them. */
static bool
unquote(struct slice s, struct buf *out)
{
	if (s.n < 2 || s.p[0] != '\'' || s.p[s.n - 1] != '\'')
		return false;
	for (size_t i = 1; i < s.n - 1; i++) {
		char c = s.p[i];

		if (c == '\'')
			return false; /* the literal would end here */
		if (c == '\\') {
			if (++i == s.n - 1)
				return false;
			c = s.p[i];
			c = (char)(c == '0'   ? '\0'
				   : c == 'n' ? '\n'
				   : c == 'r' ? '\r'
				   : c == 'Z' ? '\032'
					      : c);
		}
		buf_put_char(out, c);
	}
	return true;
}

START_TEST(every_pair_of_bytes_survives_quoting)
{
	struct buf sql = BUF_INIT(64), back = BUF_INIT(64);

	for (unsigned pair = 0; pair < 65536; pair++) {
		const char bytes[2] = { (char)(pair >> 8), (char)(pair & 255) };
		struct sql_value v = V_TEXT(slice_mem(bytes, 2));

		buf_reset(&sql);
		buf_reset(&back);
		sql_put_value(&sql, &v);
		ck_assert(unquote(buf_slice(&sql), &back));
		ck_assert(slice_eq(buf_slice(&back), v.text));
	}
	buf_clear(&sql);
	buf_clear(&back);
}
END_TEST

START_TEST(nullable_text_is_null_only_without_bytes)
{
	ck_assert_int_eq(sql_text_or_null(SLICE_NONE).type, SQL_NULL);
	ck_assert_int_eq(sql_text_or_null(SLICE_LIT("")).type, SQL_TEXT);
}
END_TEST

START_TEST(number_may_be_signed_or_not_as_long_as_it_fits)
{
	static const struct sql_param i64[] = { { "n", SQL_I64, NULL } };
	struct buf out = BUF_INIT(TEXT_MAX);

	ck_assert_int_eq(
	    render("?", &nothing, i64, 1, SQL_ARGS(V_U64(5)), &out, NULL),
	    RC_OK);
	ck_assert_int_eq(render("?", &nothing, i64, 1,
			     SQL_ARGS(V_U64(UINT64_MAX)), &out, NULL),
	    RC_REJECT);
	ck_assert_int_eq(render("? ?", &nothing, two_u64, 2,
			     SQL_ARGS(V_I64(5), V_I64(0)), &out, NULL),
	    RC_OK);
	ck_assert_int_eq(render("? ?", &nothing, two_u64, 2,
			     SQL_ARGS(V_I64(5), V_I64(-1)), &out, NULL),
	    RC_REJECT);
	buf_clear(&out);
}
END_TEST

/* ---- refusals ---- */

static const uint64_t one_id[] = { 1 };
static const struct sql_value three[] = { { .type = SQL_U64 },
	{ .type = SQL_U64 }, { .type = SQL_U64 } };
static const struct sql_value a_text[] = { { .type = SQL_TEXT },
	{ .type = SQL_U64 } };
static const struct {
	const char *what;
	struct sql_args args;
	bool ids;
	size_t ntuple;
} wrong[] = {
	{ "a value too few", { .values = three, .nvalues = 1 }, false, 0 },
	{ "a value too many", { .values = three, .nvalues = 3 }, false, 0 },
	{ "none at all", { 0 }, false, 0 },
	{ "text for a number", { .values = a_text, .nvalues = 2 }, false, 0 },
	{ "ids missing", { .values = three, .nvalues = 2 }, true, 0 },
	{ "ids over",
	    { .values = three, .nvalues = 2, .ids = one_id, .nids = 1 }, false,
	    0 },
	{ "rows missing", { .values = three, .nvalues = 2 }, false, 2 },
	{ "rows over",
	    { .values = three, .nvalues = 2, .rows = three, .nrows = 1 }, false,
	    0 },
	{ "text in a row of numbers",
	    { .values = three, .nvalues = 2, .rows = a_text, .nrows = 1 },
	    false, 2 },
};

START_TEST(arguments_that_do_not_fit_the_head_are_refused)
{
	const struct sql_statement st = { .name = "test.wrong",
		.text = wrong[_i].ids      ? "? ? {ids}"
			: wrong[_i].ntuple ? "? ? {rows 2}"
					   : "? ?",
		.params = two_u64,
		.nparams = 2,
		.ids = wrong[_i].ids,
		.tuple = two_u64,
		.ntuple = wrong[_i].ntuple };
	struct buf out = BUF_INIT(TEXT_MAX);
	struct err err = ERR_INIT;

	ck_assert_msg(sql_render_statement(&st, &everything, &wrong[_i].args,
			  &out, &err) == RC_REJECT,
	    "%s gave %s", wrong[_i].what, buf_str(&out));
	ck_assert(strstr(err.text, "test.wrong"));
	buf_clear(&out);
}
END_TEST

static const char *const bad_names[] = { NULL, "", "wp_; DROP", "wp`", "wp-",
	"w p", "wp'", "wp\n", "w\xc3\xa9" };

START_TEST(prefix_with_another_byte_is_refused)
{
	const struct sql_scope p = { .prefix = bad_names[_i], .base = "b" };
	const struct sql_scope base = { .prefix = "p", .base = bad_names[_i] };
	const struct sql_scope due = { .due_index = bad_names[_i] };
	struct buf out = BUF_INIT(TEXT_MAX);

	ck_assert_int_eq(
	    render("{p}", &p, NULL, 0, SQL_NO_ARGS, &out, NULL), RC_REJECT);
	ck_assert_int_eq(
	    render("'{p}'", &p, NULL, 0, SQL_NO_ARGS, &out, NULL), RC_REJECT);
	ck_assert_int_eq(
	    render("{base}", &base, NULL, 0, SQL_NO_ARGS, &out, NULL),
	    RC_REJECT);
	ck_assert_int_eq(
	    render("{due_index}", &due, NULL, 0, SQL_NO_ARGS, &out, NULL),
	    RC_REJECT);
	buf_clear(&out);
}
END_TEST

START_TEST(text_over_the_ceiling_is_refused)
{
	struct buf out = BUF_INIT(16);
	struct err err = ERR_INIT;

	ck_assert_int_eq(render("? ?", &nothing, two_u64, 2,
			     SQL_ARGS(V_U64(UINT64_MAX), V_U64(1)), &out, &err),
	    RC_REJECT);
	ck_assert(strstr(err.text, "over 16 bytes"));
	buf_clear(&out);
}
END_TEST

START_TEST(statement_that_needs_an_index_is_refused_without_it)
{
	const struct sql_statement st = {
		.name = "test.needs", .text = "x", .needs = DB_INDEX_PRIORITY
	};
	struct buf out = BUF_INIT(TEXT_MAX);

	ck_assert_int_eq(
	    sql_render_statement(&st, &nothing, SQL_NO_ARGS, &out, NULL),
	    RC_REJECT);
	ck_assert_int_eq(
	    sql_render_statement(&st, &everything, SQL_NO_ARGS, &out, NULL),
	    RC_OK);
	buf_clear(&out);
}
END_TEST

/* ---- the table ---- */

/* Arguments of the right types for a statement, whatever it is. */
START_TEST(prepared_text_keeps_its_values_for_the_client)
{
	struct buf out = BUF_INIT(TEXT_MAX);
	struct err err = ERR_INIT;

	ck_assert_msg(sql_render_prepared(
			  SQL_OUTBOX_READY, &everything, &out, &err) == RC_OK,
	    "%s", err.text);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "wp_wpcron_outbox"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "size = ?,"));
	buf_reset(&out);
	/* What is no single value cannot be prepared. */
	ck_assert_int_eq(
	    sql_render_prepared(SQL_STAGING_LOCK, &everything, &out, &err),
	    RC_REJECT);
	buf_clear(&out);
}
END_TEST

START_TEST(every_statement_of_the_table_renders_in_every_variant)
{
	const struct sql_statement *st = &sql_statements[_i];
	struct sql_value *v = calloc(st->nparams + 1, sizeof *v);
	struct sql_value *row = calloc(st->ntuple + 1, sizeof *row);
	const struct sql_args args = { .values = v,
		.nvalues = st->nparams,
		.ids = one_id,
		.nids = st->ids ? 1 : 0,
		.rows = row,
		.nrows = st->ntuple > 0 ? 1 : 0 };
	struct buf out = BUF_INIT(TEXT_MAX * 4);
	struct err err = ERR_INIT;

	for (size_t i = 0; i < st->nparams; i++)
		v[i].type = st->params[i].type;
	for (size_t i = 0; i < st->ntuple; i++)
		row[i].type = st->tuple[i].type;
	for (unsigned columns = 0; columns < 64; columns++) {
		struct sql_scope scope = everything;

		scope.columns = columns | st->needs;
		buf_reset(&out);
		ck_assert_msg(sql_render_statement(
				  st, &scope, &args, &out, &err) == RC_OK,
		    "%s", err.text);
		ck_assert_msg(!strpbrk(buf_str(&out), "{}?;"), "%s: %s",
		    st->name, buf_str(&out));
	}
	ck_assert(st->rows && st->rows[0]);
	buf_clear(&out);
	free(v);
	free(row);
}
END_TEST

Suite *
render_suite(void)
{
	Suite *s = suite_create("render");
	TCase *tc = tcase_create("text");

	tcase_add_loop_test(
	    tc, placeholder_is_filled_in, 0, NELEMS(placeholders));
	tcase_add_test(tc, ids_and_rows_are_lists);
	suite_add_tcase(s, tc);
	tc = tcase_create("values");
	tcase_add_loop_test(tc, value_is_quoted, 0, NELEMS(values));
	tcase_add_test(tc, every_pair_of_bytes_survives_quoting);
	tcase_add_test(tc, nullable_text_is_null_only_without_bytes);
	tcase_add_test(tc, number_may_be_signed_or_not_as_long_as_it_fits);
	suite_add_tcase(s, tc);
	tc = tcase_create("refusals");
	tcase_add_loop_test(tc, arguments_that_do_not_fit_the_head_are_refused,
	    0, NELEMS(wrong));
	tcase_add_loop_test(
	    tc, prefix_with_another_byte_is_refused, 0, NELEMS(bad_names));
	tcase_add_test(tc, text_over_the_ceiling_is_refused);
	tcase_add_test(tc, statement_that_needs_an_index_is_refused_without_it);
	tcase_add_test(tc, prepared_text_keeps_its_values_for_the_client);
	suite_add_tcase(s, tc);
	tc = tcase_create("table");
	tcase_add_loop_test(tc,
	    every_statement_of_the_table_renders_in_every_variant, 0,
	    SQL_NSTATEMENTS);
	suite_add_tcase(s, tc);
	return s;
}
