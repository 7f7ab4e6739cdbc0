#include "formats/php_query.h"

#include <check.h>

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define ROW(s)                                                                 \
	{                                                                      \
		"" s, sizeof(s) - 1                                            \
	}
#define OUT_MAX 4096
#define ARENA_MAX ((size_t)1 << 20)

/* What http_build_query() of PHP 8.2 wrote. */
static const struct {
	struct slice in;
	const char *want;
} rows[] = {
	{ ROW("a:0:{}"), "" },
	{ ROW("a:5:{s:2:\"id\";i:7;s:1:\"n\";a:2:{s:3:\"a b\";s:3:\"x&y\";"
	      "s:1:\"l\";a:2:{i:0;i:1;i:1;i:2;}}s:1:\"t\";b:1;s:1:\"f\";b:0;"
	      "s:1:\"z\";N;}"),
	    "id=7&n%5Ba+b%5D=x%26y&n%5Bl%5D%5B0%5D=1&n%5Bl%5D%5B1%5D=2&t=1&"
	    "f=0" },
	{ ROW("a:1:{s:9:\"a~b-_.c*/\";s:12:\"x~y-_.z*!'()\";}"),
	    "a%7Eb-_.c%2A%2F=x%7Ey-_.z%2A%21%27%28%29" },
	{ ROW("a:1:{i:0;s:3:\"\0\xff\n\";}"), "0=%00%FF%0A" },
	{ ROW("a:2:{i:-3;a:1:{s:1:\"k\";i:1;}s:0:\"\";s:0:\"\";}"),
	    "-3%5Bk%5D=1&=" },
	{ ROW("a:3:{s:1:\"e\";a:0:{}s:1:\"n\";a:1:{i:0;N;}s:1:\"x\";i:1;}"),
	    "x=1" },
	{ ROW("a:1:{s:1:\"o\";O:8:\"stdClass\":1:{s:1:\"p\";a:1:{i:0;b:1;}}}"),
	    "o%5Bp%5D%5B0%5D=1" },
	{ ROW("a:2:{s:1:\"a\";a:1:{i:0;i:1;}s:1:\"b\";R:2;}"),
	    "a%5B0%5D=1&b%5B0%5D=1" },
	{ ROW("a:1:{s:1:\"a\";O:8:\"stdClass\":2:{s:1:\"p\";i:1;"
	      "s:4:\"self\";r:2;}}"),
	    "a%5Bp%5D=1" },
	{ ROW("a:1:{i:0;d:1.5;}"), "0=1.5" },
	{ ROW("a:1:{i:0;d:2;}"), "0=2" },
	{ ROW("a:1:{i:0;d:-0;}"), "0=-0" },
	{ ROW("a:1:{i:0;d:0.1;}"), "0=0.1" },
	{ ROW("a:1:{i:0;d:0.0001;}"), "0=0.0001" },
	{ ROW("a:1:{i:0;d:0.3333333333333333;}"), "0=0.33333333333333" },
	{ ROW("a:1:{i:0;d:1.0E+25;}"), "0=1.0E%2B25" },
	{ ROW("a:1:{i:0;d:1.0E-7;}"), "0=1.0E-7" },
	{ ROW("a:1:{i:0;d:-1.5E-10;}"), "0=-1.5E-10" },
	{ ROW("a:1:{i:0;d:10000000000000;}"), "0=10000000000000" },
	{ ROW("a:1:{i:0;d:1.0E+14;}"), "0=1.0E%2B14" },
	{ ROW("a:1:{i:0;d:123456789012345680;}"), "0=1.2345678901235E%2B17" },
	{ ROW("a:1:{i:0;d:4.9406564584124654E-324;}"),
	    "0=4.9406564584125E-324" },
	{ ROW("a:3:{i:0;d:INF;i:1;d:-INF;i:2;d:NAN;}"), "0=INF&1=-INF&2=NAN" },
};

static enum rc
query(struct slice in, struct buf *out, struct err *err)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	struct php_serialize_value v;
	enum rc rc =
	    php_serialize_parse(in, &PHP_SERIALIZE_LIMITS, &a, &v, err);

	ck_assert_msg(rc == RC_OK, "%s", err->text);
	rc = php_query_put(&v, out, err);
	arena_clear(&a);
	return rc;
}

START_TEST(a_form_is_what_http_build_query_writes)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct err err = ERR_INIT;

	buf_put_str(&out, "?");
	ck_assert_int_eq(query(rows[_i].in, &out, &err), RC_OK);
	ck_assert_str_eq(buf_str(&out) + 1, rows[_i].want);
	buf_clear(&out);
}
END_TEST

static const struct slice refused[] = {
	ROW("i:1;"),
	ROW("s:1:\"a\";"),
	ROW("O:8:\"stdClass\":0:{}"),
	ROW("a:1:{i:0;O:1:\"A\":0:{}}"),
	ROW("a:1:{i:0;E:6:\"A:Case\";}"),
	ROW("a:1:{i:0;C:1:\"A\":0:{}}"),
};

START_TEST(what_only_php_could_write_is_refused)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct err err = ERR_INIT;

	ck_assert_int_eq(query(refused[_i], &out, &err), RC_REJECT);
	ck_assert(err.text[0] != '\0');
	buf_clear(&out);
}
END_TEST

START_TEST(the_buffers_ceiling_holds)
{
	struct buf out = BUF_INIT(8);
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    query(SLICE_LIT("a:1:{i:0;s:9:\"123456789\";}"), &out, &err),
	    RC_REJECT);
	buf_clear(&out);
}
END_TEST

Suite *
php_query_suite(void)
{
	Suite *s = suite_create("php_query");
	TCase *tc = tcase_create("php_query");

	tcase_add_loop_test(
	    tc, a_form_is_what_http_build_query_writes, 0, NELEMS(rows));
	tcase_add_loop_test(
	    tc, what_only_php_could_write_is_refused, 0, NELEMS(refused));
	tcase_add_test(tc, the_buffers_ceiling_holds);
	suite_add_tcase(s, tc);
	return s;
}
