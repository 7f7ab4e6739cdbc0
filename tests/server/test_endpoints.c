#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static struct rig rig;

static void
setup(void)
{
	rig_init(&rig);
	rig_start(&rig);
}

static void
teardown(void)
{
	rig_clear(&rig);
}

#define FORM "application/x-www-form-urlencoded"
#define MEBIBYTE "1048576"

/* A request, the status it gets, and how often it kicks. */
static const struct {
	const char *what;
	struct client_request q;
	const char *status;
	unsigned kicks;
} rows[] = {
	{ "a GET", { .method = "GET" }, "200 OK", 1 },
	{ "a HEAD", { .method = "HEAD" }, "200 OK", 1 },
	{ "WordPress' own ping",
	    { .method = "POST",
		.query = "doing_wp_cron=1795278775.2576980590820312500000",
		.content_type = FORM,
		.content_length = "0" },
	    "200 OK", 1 },
	{ "a POST with JSON",
	    { .method = "POST",
		.content_type = "application/json",
		.content_length = "2",
		.body = "{}" },
	    "200 OK", 1 },
	{ "Site Health's test",
	    { .method = "POST",
		.content_type = FORM "; charset=UTF-8",
		.content_length = "28",
		.body = "site-health=loopback-test&x=" },
	    "200 OK", 0 },
	{ "a multipart form",
	    { .method = "POST",
		.content_type = "Multipart/Form-Data; boundary=x",
		.content_length = "5",
		.body = "--x--" },
	    "200 OK", 0 },
	{ "PUT", { .method = "PUT" }, "405 Method Not Allowed", 0 },
	{ "OPTIONS", { .method = "OPTIONS" }, "405 Method Not Allowed", 0 },
	{ "a method in small letters", { .method = "get" },
	    "405 Method Not Allowed", 0 },
	{ "no method", { .method = "" }, "405 Method Not Allowed", 0 },
	{ "POST to healthz",
	    { .method = "POST", .path = "/wp-cron-fcgi/healthz" },
	    "405 Method Not Allowed", 0 },
	{ "another path", { .path = "/index.php" }, "404 Not Found", 0 },
	{ "the path as a folder", { .path = "/wp-cron.php/x" }, "404 Not Found",
	    0 },
	{ "an unknown path of ours", { .path = "/wp-cron-fcgi/" },
	    "404 Not Found", 0 },
	{ "a longer name", { .path = "/xwp-cron.php" }, "404 Not Found", 0 },
	{ "a sub-site's path", { .path = "/two/wp-cron.php" }, "200 OK", 1 },
	{ "an unknown root", { .root = "/usr" }, "404 Not Found", 0 },
	{ "a root that is not there", { .root = "/nowhere/at/all" },
	    "404 Not Found", 0 },
	{ "a root that is no path", { .root = "site" }, "404 Not Found", 0 },
	{ "the site's name", { .site = "default" }, "200 OK", 1 },
	{ "another site's name", { .site = "other" }, "404 Not Found", 0 },
	{ "a body of a mebibyte announced",
	    { .method = "POST",
		.content_type = "text/plain",
		.content_length = MEBIBYTE },
	    "200 OK", 1 },
	{ "a longer body", { .method = "POST", .content_length = "1048577" },
	    "413 Content Too Large", 0 },
	{ "a length that is no number",
	    { .method = "POST", .content_length = "-1" },
	    "413 Content Too Large", 0 },
	{ "many params", { .nextra = 3000 }, "200 OK", 1 },
	{ "many params in small records", { .nextra = 200, .chunk = 100 },
	    "200 OK", 1 },
	{ "too many params", { .nextra = 10000 },
	    "431 Request Header Fields Too Large", 0 },
};

START_TEST(requests_get_their_status)
{
	struct client_reply reply;

	rig_ask(&rig, &rows[_i].q, &reply);
	ck_assert_msg(strcmp(rig_status(&reply), rows[_i].status) == 0,
	    "%s: %s", rows[_i].what, reply.text);
	ck_assert_msg(reply.ended, "%s: no end", rows[_i].what);
	ck_assert_uint_eq(fake_engine_kicks(rig.engine), rows[_i].kicks);
}
END_TEST

#define STOCK                                                                  \
	"Status: 200 OK\r\nExpires: Wed, 11 Jan 1984 05:00:00 GMT\r\n"         \
	"Cache-Control: no-cache, must-revalidate, max-age=0\r\n"              \
	"Content-Type: text/html; charset=UTF-8\r\n"

START_TEST(a_ping_gets_the_headers_of_core_and_no_body)
{
	struct client_reply reply;

	rig_ask(&rig, &(struct client_request){ 0 }, &reply);
	ck_assert_str_eq(reply.text, STOCK "X-WP-Cron: started\r\n\r\n");
	fake_engine_be_busy(rig.engine, true);
	rig_ask(&rig, &(struct client_request){ 0 }, &reply);
	ck_assert_str_eq(reply.text, STOCK "X-WP-Cron: queued\r\n\r\n");
}
END_TEST

START_TEST(a_refused_method_names_the_allowed_ones)
{
	struct client_reply reply;

	rig_ask(&rig, &(struct client_request){ .method = "PUT" }, &reply);
	ck_assert_ptr_nonnull(
	    strstr(reply.text, "\r\nAllow: GET, HEAD, POST\r\n"));
}
END_TEST

START_TEST(no_answer_repeats_what_was_asked)
{
	struct client_reply reply;

	rig_ask(&rig,
	    &(struct client_request){ .path = "/<script>marker",
		.query = "marker=1",
		.method = "marker" },
	    &reply);
	ck_assert_ptr_null(strstr(reply.text, "marker"));
}
END_TEST

START_TEST(a_linked_root_is_the_same_site)
{
	struct client_reply reply;
	char link[96];

	snprintf(link, sizeof(link), "%s/link", rig.dir);
	ck_assert_int_eq(symlink(rig.root, link), 0);
	rig_ask(&rig, &(struct client_request){ .root = link }, &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	(void)unlink(link);
}
END_TEST

START_TEST(a_site_in_a_folder_of_the_root_is_reached_by_its_path)
{
	struct client_reply reply;

	rig_ask(&rig,
	    &(struct client_request){
		.root = rig.dir, .path = "/site/wp-cron.php" },
	    &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	rig_ask(&rig, &(struct client_request){ .root = rig.dir }, &reply);
	ck_assert_str_eq(rig_status(&reply), "404 Not Found");
	rig_ask(&rig,
	    &(struct client_request){
		.root = rig.dir, .path = "/sitemap/wp-cron.php" },
	    &reply);
	ck_assert_str_eq(rig_status(&reply), "404 Not Found");
}
END_TEST

static const struct {
	struct engine_health health;
	const char *status, *word;
} healths[] = {
	{ { .database_ok = true,
	      .ready = true,
	      .standing_ok = true,
	      .next_due = INT64_MAX },
	    "200 OK", "\"status\":\"ok\",\"database\":true" },
	{ { .database_ok = true, .ready = true, .next_due = 12, .running = 3 },
	    "200 OK", "\"outbound\":\"held\",\"running\":3,\"next_due\":12}" },
	{ { .database_ok = true, .ready = false }, "503 Service Unavailable",
	    "\"ready\":false" },
	{ { .database_ok = false, .ready = true, .last_error = "secret words" },
	    "503 Service Unavailable", "\"database\":false" },
};

START_TEST(healthz_tells_how_the_engine_is)
{
	struct client_reply reply;
	struct client_request q = { .path = "/wp-cron-fcgi/healthz" };

	fake_engine_set_health(rig.engine, &healths[_i].health);
	rig_ask(&rig, &q, &reply);
	ck_assert_str_eq(rig_status(&reply), healths[_i].status);
	ck_assert_msg(
	    strstr(reply.text, healths[_i].word) != NULL, "%s", reply.text);
	ck_assert_ptr_null(strstr(reply.text, "secret"));
	ck_assert_uint_eq(fake_engine_kicks(rig.engine), 0);
	q.method = "HEAD";
	rig_ask(&rig, &q, &reply);
	ck_assert_str_eq(rig_status(&reply), healths[_i].status);
	ck_assert_ptr_null(strchr(reply.text, '{'));
}
END_TEST

Suite *
endpoints_suite(void)
{
	Suite *s = suite_create("endpoints");
	TCase *t = tcase_create("endpoints");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, requests_get_their_status, 0, (int)NELEMS(rows));
	tcase_add_test(t, a_ping_gets_the_headers_of_core_and_no_body);
	tcase_add_test(t, a_refused_method_names_the_allowed_ones);
	tcase_add_test(t, no_answer_repeats_what_was_asked);
	tcase_add_test(t, a_linked_root_is_the_same_site);
	tcase_add_test(
	    t, a_site_in_a_folder_of_the_root_is_reached_by_its_path);
	tcase_add_loop_test(
	    t, healthz_tells_how_the_engine_is, 0, (int)NELEMS(healths));
	suite_add_tcase(s, t);
	return s;
}
