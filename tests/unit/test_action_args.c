#include "formats/action_args.h"

#include <check.h>

#include "base/buf.h"
#include "base/ceilings.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define ROW(s)                                                                 \
	{                                                                      \
		"" s, sizeof(s) - 1                                            \
	}

static const struct {
	struct slice json;
	size_t count;
} accepted[] = {
	{ ROW("[]"), 0 },
	{ ROW("{}"), 0 },
	{ ROW("[1,\"two\",3.5,null,true,{\"k\":\"v\",\"n\":[1,2]}]"), 6 },
	{ ROW("{\"named\":\"x\",\"user_id\":7}"), 2 },
	{ ROW("{\"order_id\":42}"), 1 },
	{ ROW("[\"Zo\\u00eb \\/ \\\"q\\\" \\\\ <b> \\ud83d\\ude00\"]"), 1 },
	{ ROW(" [ 1 , 2 ]\r\n\t"), 2 },
	{ ROW("{\"a\":1,\"a\":2}"), 1 },
	{ ROW("{\"\":1}"), 1 },
	{ ROW("[\"\\u0000\"]"), 1 },
	{ ROW("[12345678901234567890123]"), 1 },
	{ ROW("[-0,1e5,1.5E-3]"), 3 },
	{ ROW("[\"\xc3\xab\"]"), 1 },
	{ ROW("[\"[[[[{{{{\"]"), 1 },
};

START_TEST(a_json_array_or_object_is_accepted_and_counted)
{
	struct err err = ERR_INIT;
	size_t count = 99;

	ck_assert_msg(
	    action_args_check(accepted[_i].json, &count, &err) == RC_OK,
	    "%s: %.*s", err.text, SLICE_FMT(accepted[_i].json));
	ck_assert_uint_eq(count, accepted[_i].count);
	ck_assert_int_eq(
	    action_args_check(accepted[_i].json, NULL, NULL), RC_OK);
}
END_TEST

static const struct slice refused[] = {
	ROW(""),
	ROW(" "),
	ROW("null"),
	ROW("42"),
	ROW("\"text\""),
	ROW("true"),
	ROW("9ae63bbba67ce02cf7ca599fcc8d26a7"),
	ROW("[1,]"),
	ROW("[1"),
	ROW("[1]]"),
	ROW("[1] x"),
	ROW("[01]"),
	ROW("[+1]"),
	ROW("[.5]"),
	ROW("['a']"),
	ROW("[NaN]"),
	ROW("{a:1}"),
	ROW("{\"a\"}"),
	ROW("[\"\xff\"]"),
	ROW("[\"\xc0\xaf\"]"),
	ROW("[\"\xed\xa0\x80\"]"),
	ROW("[\"\\ud800\"]"),
	ROW("[\"\\udc00\"]"),
	ROW("[\"\\x\"]"),
	ROW("[\"a\nb\"]"),
	ROW("[\"a\0b\"]"),
	ROW("[1]\0"),
	ROW("[1\0]"),
	ROW("[true\0,1]"),
	ROW("a:0:{}"),
};

START_TEST(anything_else_is_rejected_with_words)
{
	struct err err = ERR_INIT;

	ck_assert_msg(action_args_check(refused[_i], NULL, &err) == RC_REJECT,
	    "accepted %.*s", SLICE_FMT(refused[_i]));
	ck_assert_str_ne(err.text, "");
}
END_TEST

static enum rc
check_nested(int depth)
{
	struct buf b = BUF_INIT(4096);
	enum rc rc;

	for (int i = 0; i < depth; i++)
		buf_put_char(&b, '[');
	for (int i = 0; i < depth; i++)
		buf_put_char(&b, ']');
	rc = action_args_check(buf_slice(&b), NULL, NULL);
	buf_clear(&b);
	return rc;
}

START_TEST(nesting_ends_where_php_ends_it)
{
	ck_assert_int_eq(check_nested(511), RC_OK);
	ck_assert_int_eq(check_nested(512), RC_REJECT);
	ck_assert_int_eq(check_nested(2000), RC_REJECT);
}
END_TEST

START_TEST(arguments_over_the_ceiling_are_not_parsed)
{
	struct buf b = BUF_INIT(CEILING_ARGS_BYTES + 10);

	buf_put_str(&b, "[1]");
	while (b.n <= CEILING_ARGS_BYTES)
		buf_put_char(&b, ' ');
	ck_assert_int_eq(
	    action_args_check(buf_slice(&b), NULL, NULL), RC_REJECT);
	buf_clear(&b);
}
END_TEST

Suite *
action_args_suite(void)
{
	Suite *s = suite_create("action_args");
	TCase *tc = tcase_create("check");

	tcase_add_loop_test(tc, a_json_array_or_object_is_accepted_and_counted,
	    0, (int)NELEMS(accepted));
	tcase_add_loop_test(
	    tc, anything_else_is_rejected_with_words, 0, (int)NELEMS(refused));
	tcase_add_test(tc, nesting_ends_where_php_ends_it);
	tcase_add_test(tc, arguments_over_the_ceiling_are_not_parsed);
	suite_add_tcase(s, tc);
	return s;
}
