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
	const struct php_batch batch = { .token = "t",
		.root = "/var/www",
		.blog_id = 3,
		.context = "C",
		.budget_ms = 7,
		.tcp = true,
		.take = "{\"events\":[]}",
		.jobs = jobs,
		.njobs = 2 };
	struct buf out = BUF_INIT(10000);
	json_t *v, *first;

	php_body_render(&out, &batch);
	ck_assert(!out.failed);
	v = json_loadb(out.p, out.n, JSON_DECODE_INT_AS_REAL, NULL);
	ck_assert_ptr_nonnull(v);
	ck_assert(json_is_object(json_object_get(v, "take")));
	ck_assert(json_is_false(json_object_get(v, "export")));
	ck_assert(json_is_true(json_object_get(v, "tcp")));
	ck_assert_ptr_null(json_object_get(v, "lock"));
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

static const struct {
	struct slice bytes;
	const char *base64;
} bytes64[] = {
	{ { NULL, 0 }, "" },
	{ { "a", 1 }, "YQ==" },
	{ { "ab", 2 }, "YWI=" },
	{ { "\xff\0\"", 3 }, "/wAi" },
	{ { "a:1:{i:0;s:1:\"\xe9\";}", 18 }, "YToxOntpOjA7czoxOiLpIjt9" },
};

START_TEST(an_event_arrives_byte_for_byte_in_base64)
{
	struct claim claim = { .php_lock = SLICE_LIT("{\"value\":\"1.5\"}") };
	struct job job = { .claim = &claim,
		.kind = JOB_EVENT,
		.id = 7,
		.hook = SLICE_LIT("h\xff"),
		.recurrence = SLICE_LIT("hourly"),
		.sql_start = SLICE_LIT("S"),
		.sql_running = SLICE_LIT("R"),
		.sql_done = SLICE_LIT("D"),
		.sql_failed = SLICE_LIT("F'{message}'") };
	struct job *jobs[] = { &job };
	const struct php_batch batch = { .token = "t",
		.root = "/var/www",
		.context = "C",
		.jobs = jobs,
		.njobs = 1 };
	struct buf out = BUF_INIT(10000), want = BUF_INIT(10000);
	struct slice got;

	job.event_args = bytes64[_i].bytes;
	php_body_render(&out, &batch);
	ck_assert(!out.failed);
	buf_printf(&want,
	    "\"lock\":{\"value\":\"1.5\"},\"jobs\":[{\"id\":7,\"event\":true,"
	    "\"hook64\":\"aP8=\",\"args64\":\"%s\","
	    "\"recurrence64\":\"aG91cmx5\",\"start\":\"S\","
	    "\"running\":\"R\",\"done\":\"D\",\"failed\":\"F'{message}'\"}]}",
	    bytes64[_i].base64);
	ck_assert_uint_gt(out.n, want.n);
	got = slice_from(buf_slice(&out), out.n - want.n);
	ck_assert_msg(slice_eq(got, buf_slice(&want)), "%.*s", SLICE_FMT(got));
	buf_clear(&want);
	buf_clear(&out);
}
END_TEST

START_TEST(an_event_over_the_ceiling_is_noticed)
{
	struct job job = { .kind = JOB_EVENT,
		.hook = SLICE_LIT("hook"),
		.event_args = SLICE_LIT("0123456789012345678901234567890123456"
					"789012345678901234567890123456789") };
	struct job *jobs[] = { &job };
	const struct php_batch batch = { .token = "t",
		.root = "/",
		.context = "C",
		.jobs = jobs,
		.njobs = 1 };
	struct buf out = BUF_INIT(200);

	php_body_render(&out, &batch);
	ck_assert(out.failed);
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
	const char *siteurl;
	const char *host, *name, *port, *uri, *https;
} urls[] = {
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

START_TEST(params_are_those_of_a_request_to_the_siteurl)
{
	struct buf o = BUF_INIT(PHP_FPM_PARAMS_MAX);

	php_params_render(&o, "/w.php", "/root", urls[_i].siteurl, "s");
	ck_assert(!o.failed);
	ck_assert(param_is(&o, "HTTP_HOST", urls[_i].host));
	ck_assert(param_is(&o, "SERVER_NAME", urls[_i].name));
	ck_assert(param_is(&o, "SERVER_PORT", urls[_i].port));
	ck_assert(param_is(&o, "REQUEST_URI", urls[_i].uri));
	ck_assert(param_is(&o, "HTTPS", urls[_i].https));
	ck_assert(param_is(&o, "SCRIPT_FILENAME", "/w.php"));
	ck_assert(param_is(&o, "REQUEST_METHOD", "POST"));
	ck_assert(param_is(&o, "WPCRON_SECRET", "s"));
	ck_assert(param_is(&o, "HTTP_PROXY", NULL));
	ck_assert(param_is(&o, "PHP_VALUE", NULL));
	ck_assert(param_is(&o, "CONTENT_LENGTH", NULL));
	buf_clear(&o);
}
END_TEST

static const struct {
	const char *what, *root, *siteurl;
	const char *document_root, *script, *uri;
} paths[] = {
	{ "at the top", "/srv/www/", "https://x", "/srv/www", "/wp-cron.php",
	    "/wp-cron.php" },
	{ "WordPress in its own directory", "/srv/www/wp", "https://x/wp",
	    "/srv/www", "/wp/wp-cron.php", "/wp/wp-cron.php" },
	{ "a blog of a network in directories", "/srv/www", "https://x/two/",
	    "/srv/www", "/wp-cron.php", "/two/wp-cron.php" },
	{ "a directory that only ends alike", "/srv/mywp", "https://x/wp",
	    "/srv/mywp", "/wp-cron.php", "/wp/wp-cron.php" },
	{ "the root itself", "/wp", "https://x/wp", "/wp", "/wp-cron.php",
	    "/wp/wp-cron.php" },
};

START_TEST(paths_say_where_the_script_would_be)
{
	struct buf o = BUF_INIT(PHP_FPM_PARAMS_MAX);

	php_params_render(&o, "/w.php", paths[_i].root, paths[_i].siteurl, "s");
	ck_assert(!o.failed);
	ck_assert(param_is(&o, "DOCUMENT_ROOT", paths[_i].document_root));
	ck_assert(param_is(&o, "SCRIPT_NAME", paths[_i].script));
	ck_assert(param_is(&o, "DOCUMENT_URI", paths[_i].script));
	ck_assert(param_is(&o, "REQUEST_URI", paths[_i].uri));
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
	tcase_add_loop_test(t, an_event_arrives_byte_for_byte_in_base64, 0,
	    (int)NELEMS(bytes64));
	tcase_add_test(t, an_event_over_the_ceiling_is_noticed);
	tcase_add_loop_test(t, params_are_those_of_a_request_to_the_siteurl, 0,
	    (int)NELEMS(urls));
	tcase_add_loop_test(
	    t, paths_say_where_the_script_would_be, 0, (int)NELEMS(paths));
	suite_add_tcase(s, t);
	return s;
}
