#include "executors/esp/constant_contact_private.h"

#include <check.h>
#include <string.h>

Suite *constant_contact_token_suite(void);

static const struct {
	const char *token;
	int64_t expiry;
} rows[] = {
	/* {"exp":1700000000} */
	{ "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDAwMDAwMDB9.c2ln", 1700000000 },
	/* padded, and with more in it */
	{ "e30.eyJpc3MiOiJ4IiwiZXhwIjoxNzAwMDAwMDAxLCJzY3AiOlsiYSJdfQ==.x",
	    1700000001 },
	/* {"n":"???>>>","exp":5}: digits 62 and 63 of the URL alphabet */
	{ "x.eyJuIjoiPz8_Pj4-IiwiZXhwIjo1fQ.y", 5 },
	{ "x.e30.y", INT64_MAX },             /* {} */
	{ "x.eyJleHAiOiI1In0.y", INT64_MAX }, /* a text */
	{ "x.bm9uc2Vuc2U.y", INT64_MAX },     /* no JSON */
	{ "x.!!!.y", INT64_MAX },
	{ "opaque", INT64_MAX },
	{ "", INT64_MAX },
	{ "..", INT64_MAX },
};

START_TEST(a_jwt_says_when_it_expires)
{
	ck_assert_int_eq(
	    constant_contact_token_expiry(slice_str(rows[_i].token)),
	    rows[_i].expiry);
}
END_TEST

Suite *
constant_contact_token_suite(void)
{
	Suite *s = suite_create("constant_contact_token");
	TCase *tc = tcase_create("tokens");

	tcase_add_loop_test(tc, a_jwt_says_when_it_expires, 0, NELEMS(rows));
	suite_add_tcase(s, tc);
	return s;
}
