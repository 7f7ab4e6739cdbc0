#include "executors/webhook_body.h"

#include <check.h>
#include <jansson.h>
#include <string.h>

/* SLICE_LIT for static tables. */
#define BYTES(lit)                                                             \
	{                                                                      \
		"" lit, sizeof(lit) - 1                                        \
	}

static const struct webhook_site site = {
	.home = "https://example.com/\"blog\"",
	.identity =
	    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

static enum rc
render(struct slice hook, struct slice args, struct buf *out)
{
	struct job job = { .id = 99,
		.origin_id = 81,
		.blog_id = 2,
		.try = 3,
		.hook = hook,
		.args = args };
	struct err err = ERR_INIT;

	return webhook_body_render(&job, &site, out, &err);
}

START_TEST(the_body_names_the_job_and_holds_its_arguments_byte_for_byte)
{
	struct buf out = BUF_INIT(10000);

	ck_assert_int_eq(render(SLICE_LIT("my_hook"),
			     SLICE_LIT("{\"a\": [1,\"\\u00fc\"] }"), &out),
	    RC_OK);
	ck_assert_str_eq(buf_str(&out),
	    "{\"id\":81,\"hook\":\"my_hook\",\"args\":{\"a\": "
	    "[1,\"\\u00fc\"] },\"attempt\":3,"
	    "\"site\":\"https://example.com/\\\"blog\\\"\"}");
	buf_clear(&out);
}
END_TEST

static const struct {
	struct slice args;
	bool good;
} args_rows[] = {
	{ BYTES("[]"), true },
	{ BYTES("[123456789012345678901234567890]"), true },
	{ BYTES("[\"\\u0000\"]"), true },
	{ BYTES("null"), true },
	{ BYTES(""), false },
	{ BYTES("["), false },
	{ BYTES("[1],\"id\":5"), false },
	{ BYTES("[1]}"), false },
	{ BYTES("a:0:{}"), false },
	{ BYTES("[\"\xFF\"]"), false },
	{ BYTES("[1]\0"), false },
};

START_TEST(arguments_that_are_not_json_never_reach_a_body)
{
	struct buf out = BUF_INIT(10000);

	ck_assert_int_eq(render(SLICE_LIT("h"), args_rows[_i].args, &out),
	    args_rows[_i].good ? RC_OK : RC_REJECT);
	buf_clear(&out);
}
END_TEST

START_TEST(whatever_the_hook_is_called_the_body_is_json)
{
	char hook[3];

	for (int a = 0; a < 256; a++)
		for (int b = 0; b < 256; b += 5) {
			struct buf out = BUF_INIT(10000);
			json_t *v;

			hook[0] = (char)a;
			hook[1] = (char)b;
			hook[2] = '"';
			ck_assert_int_eq(
			    render(slice_mem(hook, 3), SLICE_LIT("[]"), &out),
			    RC_OK);
			v = json_loadb(out.p, out.n, JSON_ALLOW_NUL, NULL);
			ck_assert_ptr_nonnull(v);
			json_decref(v);
			buf_clear(&out);
		}
}
END_TEST

START_TEST(a_body_over_the_ceiling_is_refused)
{
	struct buf out = BUF_INIT(40);

	ck_assert_int_eq(
	    render(SLICE_LIT("my_hook"), SLICE_LIT("[1,2,3]"), &out),
	    RC_REJECT);
	buf_clear(&out);
}
END_TEST

START_TEST(the_key_is_the_same_on_every_try_and_only_there)
{
	struct job job = { .id = 5, .origin_id = 5, .blog_id = 1, .try = 1 };
	char first[WEBHOOK_KEY_MAX], later[WEBHOOK_KEY_MAX];

	webhook_body_key(&job, &site, first);
	ck_assert_str_eq(first, "wpcron_0123456789abcdef0123456789abcdef_1_5");
	job.id = 77;
	job.try = 4;
	webhook_body_key(&job, &site, later);
	ck_assert_str_eq(first, later);
	job.blog_id = 2;
	webhook_body_key(&job, &site, later);
	ck_assert_str_ne(first, later);
	job = (struct job){ .origin_id = UINT64_MAX, .blog_id = UINT32_MAX };
	webhook_body_key(&job, &site, later);
	ck_assert_ptr_nonnull(strstr(later, "_4294967295_1844674407370955161"));
	ck_assert_uint_lt(strlen(later), WEBHOOK_KEY_MAX - 1);
}
END_TEST

Suite *webhook_body_suite(void);
Suite *
webhook_body_suite(void)
{
	Suite *s = suite_create("webhook_body");
	TCase *tc = tcase_create("webhook_body");

	tcase_add_test(
	    tc, the_body_names_the_job_and_holds_its_arguments_byte_for_byte);
	tcase_add_loop_test(tc, arguments_that_are_not_json_never_reach_a_body,
	    0, NELEMS(args_rows));
	tcase_add_test(tc, whatever_the_hook_is_called_the_body_is_json);
	tcase_add_test(tc, a_body_over_the_ceiling_is_refused);
	tcase_add_test(tc, the_key_is_the_same_on_every_try_and_only_there);
	suite_add_tcase(s, tc);
	return s;
}
