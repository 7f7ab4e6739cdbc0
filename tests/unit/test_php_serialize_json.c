#include "formats/php_serialize_json.h"

#include <check.h>

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define ROW(s)                                                                 \
	{                                                                      \
		"" s, sizeof(s) - 1                                            \
	}
#define OUT_MAX 4096

/* What json_encode() of PHP 8.2 wrote. */
static const struct {
	struct slice in;
	const char *want;
} rows[] = {
	{ ROW("N;"), "null" },
	{ ROW("b:0;"), "false" },
	{ ROW("b:1;"), "true" },
	{ ROW("i:-9223372036854775808;"), "-9223372036854775808" },
	{ ROW("d:5;"), "5" },
	{ ROW("d:-0;"), "-0" },
	{ ROW("d:0.1;"), "0.1" },
	{ ROW("d:0.10000000000000001;"), "0.1" },
	{ ROW("d:0.30000000000000004;"), "0.30000000000000004" },
	{ ROW("d:-1.5;"), "-1.5" },
	{ ROW("d:0.0001;"), "0.0001" },
	{ ROW("d:1.0E-5;"), "1.0e-5" },
	{ ROW("d:1.5E-7;"), "1.5e-7" },
	{ ROW("d:10000000000000000;"), "10000000000000000" },
	{ ROW("d:1.0E+17;"), "1.0e+17" },
	{ ROW("d:1.2345678901234568E+17;"), "1.2345678901234568e+17" },
	{ ROW("d:1000000000000000.5;"), "1000000000000000.5" },
	{ ROW("d:1.7976931348623157E+308;"), "1.7976931348623157e+308" },
	{ ROW("d:4.9406564584124654E-324;"), "5.0e-324" },
	{ ROW("s:0:\"\";"), "\"\"" },
	{ ROW("s:8:\"\"\\/\b\f\n\r\t\";"), "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"" },
	{ ROW("s:5:\"\0\x01\x1f\x7f<\";"), "\"\\u0000\\u0001\\u001f\x7f<\"" },
	{ ROW("s:9:\"\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80\";"),
	    "\"\\u00e9\\u2028\\ud83d\\ude00\"" },
	{ ROW("a:0:{}"), "[]" },
	{ ROW("a:2:{i:0;i:1;i:1;s:1:\"a\";}"), "[1,\"a\"]" },
	{ ROW("a:2:{i:1;i:1;i:0;i:2;}"), "{\"1\":1,\"0\":2}" },
	{ ROW("a:1:{i:1;i:1;}"), "{\"1\":1}" },
	{ ROW("a:1:{s:1:\"0\";i:1;}"), "[1]" },
	{ ROW("a:2:{s:0:\"\";a:0:{}s:2:\"05\";N;}"), "{\"\":[],\"05\":null}" },
	{ ROW("a:1:{i:0;a:1:{s:1:\"x\";a:1:{i:0;i:1;}}}"), "[{\"x\":[1]}]" },
	{ ROW("a:1:{i:-1;i:1;}"), "{\"-1\":1}" },
};

START_TEST(what_json_can_say_is_as_json_encode_writes_it)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct err err = ERR_INIT;
	enum rc rc;

	buf_put_str(&out, "x");
	rc = php_serialize_json(rows[_i].in, &out, &err);
	ck_assert_msg(
	    rc == RC_OK, "%s: %.*s", err.text, SLICE_FMT(rows[_i].in));
	ck_assert_str_eq(buf_str(&out) + 1, rows[_i].want);
	buf_clear(&out);
}
END_TEST

static const struct {
	struct slice in;
	enum rc want;
} refused[] = {
	{ ROW("a:1:{i:0;O:8:\"stdClass\":0:{}}"), RC_NONE },
	{ ROW("C:1:\"A\":0:{}"), RC_NONE },
	{ ROW("E:6:\"A:Case\";"), RC_NONE },
	{ ROW("a:2:{i:0;i:1;i:1;R:2;}"), RC_NONE },
	{ ROW("a:2:{i:0;O:1:\"A\":0:{}i:1;r:2;}"), RC_NONE },
	{ ROW("s:1:\"\xff\";"), RC_NONE },
	{ ROW("a:1:{s:2:\"\xc0\x80\";i:1;}"), RC_NONE },
	{ ROW("s:3:\"\xed\xa0\x80\";"), RC_NONE },
	{ ROW("d:INF;"), RC_NONE },
	{ ROW("d:-INF;"), RC_NONE },
	{ ROW("d:NAN;"), RC_NONE },
	{ ROW("d:1E+999;"), RC_NONE },
	{ ROW("a:2:{i:5;i:1;s:1:\"5\";i:2;}"), RC_NONE },
	{ ROW("a:3:{s:1:\"a\";i:1;i:0;N;s:1:\"a\";i:2;}"), RC_NONE },
	{ ROW("a:1:{i:0;}"), RC_REJECT },
	{ ROW(""), RC_REJECT },
	{ ROW("i:5;i:6;"), RC_REJECT },
};

START_TEST(what_json_cannot_say_is_not_said_in_part)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct err err = ERR_INIT;

	buf_put_str(&out, "x");
	ck_assert_int_eq(
	    php_serialize_json(refused[_i].in, &out, &err), refused[_i].want);
	ck_assert_str_eq(buf_str(&out), "x");
	ck_assert(err.text[0] != '\0');
	buf_clear(&out);
}
END_TEST

START_TEST(the_buffers_ceiling_holds)
{
	struct buf out = BUF_INIT(8);
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    php_serialize_json(SLICE_LIT("s:9:\"123456789\";"), &out, &err),
	    RC_REJECT);
	ck_assert(out.failed);
	buf_clear(&out);
}
END_TEST

Suite *
php_serialize_json_suite(void)
{
	Suite *s = suite_create("php_serialize_json");
	TCase *tc = tcase_create("php_serialize_json");

	tcase_add_loop_test(
	    tc, what_json_can_say_is_as_json_encode_writes_it, 0, NELEMS(rows));
	tcase_add_loop_test(
	    tc, what_json_cannot_say_is_not_said_in_part, 0, NELEMS(refused));
	tcase_add_test(tc, the_buffers_ceiling_holds);
	suite_add_tcase(s, tc);
	return s;
}
