#include "executors/php_body.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "wire/php_fpm.h"

Suite *php_body_suite(void);

START_TEST(the_body_is_json_whatever_the_job_holds)
{
	struct job job = { .id = UINT64_C(18446744073709551615),
		.hook = SLICE_LIT("h\"ook\\"),
		.args = SLICE_LIT("[\"\xff\xfe\"]"),
		.sql_own = SLICE_LIT("UPDATE 'x'\n"),
		.sql_start = SLICE_LIT("S"),
		.sql_running = SLICE_LIT("R") };
	struct job *jobs[] = { &job, &job };
	const char *const native[] = { "a", "b" };
	const struct php_batch batch = { .token = "t",
		.root = "/var/www",
		.blog_id = 3,
		.context = "C",
		.budget_ms = 7,
		.take = "{\"events\":[]}",
		.jobs = jobs,
		.njobs = 2 };
	struct buf out = BUF_INIT(10000);
	json_t *v, *first;

	php_body_render(&out, &batch);
	ck_assert(!out.failed);
	v = json_loadb(out.p, out.n, JSON_DECODE_INT_AS_REAL, NULL);
	ck_assert_ptr_nonnull(v);
	ck_assert(json_is_true(json_object_get(v, "cron")));
	ck_assert(json_is_false(json_object_get(v, "export")));
	ck_assert_str_eq(json_string_value(json_object_get(v, "cron_key")), "");
	ck_assert_uint_eq(
	    json_array_size(json_object_get(v, "cron_native")), 2);
	ck_assert_uint_eq(json_array_size(json_object_get(v, "jobs")), 2);
	first = json_array_get(json_object_get(v, "jobs"), 0);
	ck_assert_str_eq(
	    json_string_value(json_object_get(first, "hook")), "h\"ook\\");
	ck_assert_str_eq(
	    json_string_value(json_object_get(first, "own")), "UPDATE 'x'\n");
	ck_assert_str_eq(
	    json_string_value(json_object_get(first, "running")), "R");
	ck_assert_ptr_nonnull(strstr(out.p, "\"id\":18446744073709551615,"));
	json_decref(v);
	buf_clear(&out);
}
END_TEST

START_TEST(a_secret_expires_and_never_repeats)
{
	char a[PHP_SECRET_MAX], b[PHP_SECRET_MAX];
	struct slice body = SLICE_LIT("{}");

	ck_assert_int_eq(
	    php_secret_render(a, "salts", 1000, body, NULL), RC_OK);
	ck_assert_int_eq(
	    php_secret_render(b, "salts", 1000, body, NULL), RC_OK);
	ck_assert_str_ne(a, b);
	ck_assert_int_eq(strncmp(a, "1030.", 5), 0);
	ck_assert_uint_eq(strlen(a), 5 + 32 + 1 + 64);
	ck_assert_ptr_null(strstr(a, "salts"));
}
END_TEST

START_TEST(without_salts_there_is_no_secret)
{
	char out[PHP_SECRET_MAX];
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    php_secret_render(out, "", 1, SLICE_NONE, &err), RC_REJECT);
	ck_assert_ptr_nonnull(strstr(err.text, "salts"));
	ck_assert_int_eq(
	    php_secret_render(out, NULL, 1, SLICE_NONE, NULL), RC_REJECT);
}
END_TEST

static const struct {
	const char *home;
	const char *host, *name, *port, *uri, *https;
} homes[] = {
	{ "https://example.com", "example.com", "example.com", "443",
	    "/wp-cron.php", "on" },
	{ "http://example.com/blog/", "example.com", "example.com", "80",
	    "/blog/wp-cron.php", NULL },
	{ "http://127.0.0.1:8080/a/b", "127.0.0.1:8080", "127.0.0.1", "8080",
	    "/a/b/wp-cron.php", NULL },
	{ "https://[::1]:8443", "[::1]:8443", "[::1]", "8443", "/wp-cron.php",
	    "on" },
	{ "https://[::1]", "[::1]", "[::1]", "443", "/wp-cron.php", "on" },
	{ "example.com", "example.com", "example.com", "80", "/wp-cron.php",
	    NULL },
	{ "", "localhost", "localhost", "80", "/wp-cron.php", NULL },
};

static bool
param_is(const struct buf *params, const char *key, const char *value)
{
	struct slice in = buf_slice(params), name, v;

	while (php_fpm_get_param(&in, &name, &v) == RC_OK && name.n > 0)
		if (slice_eq_str(name, key))
			return value && slice_eq_str(v, value);
	return !value;
}

START_TEST(params_are_those_of_a_request_to_the_home_url)
{
	struct buf o = BUF_INIT(PHP_FPM_PARAMS_MAX);

	php_params_render(&o, "/w.php", "/root", homes[_i].home, "s");
	ck_assert(!o.failed);
	ck_assert(param_is(&o, "HTTP_HOST", homes[_i].host));
	ck_assert(param_is(&o, "SERVER_NAME", homes[_i].name));
	ck_assert(param_is(&o, "SERVER_PORT", homes[_i].port));
	ck_assert(param_is(&o, "REQUEST_URI", homes[_i].uri));
	ck_assert(param_is(&o, "HTTPS", homes[_i].https));
	ck_assert(param_is(&o, "SCRIPT_FILENAME", "/w.php"));
	ck_assert(param_is(&o, "REQUEST_METHOD", "POST"));
	ck_assert(param_is(&o, "WPCRON_SECRET", "s"));
	ck_assert(param_is(&o, "HTTP_PROXY", NULL));
	ck_assert(param_is(&o, "PHP_VALUE", NULL));
	ck_assert(param_is(&o, "CONTENT_LENGTH", NULL));
	buf_clear(&o);
}
END_TEST

Suite *
php_body_suite(void)
{
	Suite *s = suite_create("php_body");
	TCase *t = tcase_create("php_body");

	tcase_add_test(t, the_body_is_json_whatever_the_job_holds);
	tcase_add_test(t, a_secret_expires_and_never_repeats);
	tcase_add_test(t, without_salts_there_is_no_secret);
	tcase_add_loop_test(t, params_are_those_of_a_request_to_the_home_url, 0,
	    (int)NELEMS(homes));
	suite_add_tcase(s, t);
	return s;
}
