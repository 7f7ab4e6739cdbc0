#include <check.h>
#include <string.h>

#include "base/macros.h"
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

#define KEY "1795278775.2576980590820312500000"
#define DIGITS_64                                                              \
	"1234567890123456789012345678901234567890123456789012345678901234"

/* A query string and the key in it. */
static const struct {
	const char *query, *key;
} keys[] = {
	{ "", "" },
	{ "doing_wp_cron=" KEY, KEY },
	{ "a=1&doing_wp_cron=" KEY "&b=2", KEY },
	{ "doing_wp_cron=1795278775%2E25%376", "1795278775.2576" },
	{ "doing_wp_cron=1795278775%2e5", "1795278775.5" },
	/* What a crontab's curl asks for. */
	{ "doing_wp_cron", "" },
	{ "doing_wp_cron=", "" },
	{ "doing_wp_cron=0", "" },
	{ "doing_wp_cron=00", "00" },
	{ "doing_wp_cron=1&doing_wp_cron=2", "2" },
	{ "doing_wp_cron=1&doing_wp_cron", "" },
	{ "&&doing_wp_cron=1&", "1" },
	{ "doing_wp_cronx=1", "" },
	{ "xdoing_wp_cron=1", "" },
	{ "doing_wp_cron[]=1", "" },
	/* No key of WordPress'. */
	{ "doing_wp_cron=1x", "" },
	{ "doing_wp_cron=1.2.3", "" },
	{ "doing_wp_cron=-1", "" },
	{ "doing_wp_cron=1+1", "" },
	{ "doing_wp_cron=1=1", "" },
	{ "doing_wp_cron=1%", "" },
	{ "doing_wp_cron=1%2", "" },
	{ "doing_wp_cron=1%2g", "" },
	{ "doing_wp_cron=1%00", "" },
	{ "doing_wp_cron=" DIGITS_64, DIGITS_64 },
	{ "doing_wp_cron=" DIGITS_64 "5", "" },
	{ "doing_wp_cron=" DIGITS_64 "%35", "" },
};

START_TEST(key_is_what_page_loads_send)
{
	struct fake_ping kick, watch;
	struct client_reply reply;

	rig_ask(
	    &rig, &(struct client_request){ .query = keys[_i].query }, &reply);
	fake_engine_pings(rig.engine, &kick, &watch);
	ck_assert(kick.given);
	ck_assert_msg(strcmp(kick.key, keys[_i].key) == 0, "%s: \"%s\"",
	    keys[_i].query, kick.key);
}
END_TEST

/* What the client wrote, and where it leads. */
static const struct {
	struct client_request q;
	const char *host, *path;
} places[] = {
	{ { .host = "example.test", .uri = "/wp-cron.php" }, "example.test",
	    "" },
	{ { .host = "Example.test:8080", .uri = "/wp-cron.php?doing_wp_cron" },
	    "Example.test", "" },
	{ { .host = "[2001:db8::1]:8080" }, "[2001:db8::1]", "" },
	{ { .host = "[2001:db8::1]" }, "[2001:db8::1]", "" },
	{ { .host = "[" }, "[", "" },
	{ { .server_name = "example.test" }, "example.test", "" },
	{ { .host = "", .server_name = "example.test" }, "example.test", "" },
	{ { .host = NULL }, "", "" },
	/* A network's blog, rewritten to the one file there is. */
	{ { .host = "h", .uri = "/two/wp-cron.php" }, "h", "/two" },
	{ { .host = "h", .uri = "/two/wp-cron.php?a=/wp-cron.php" }, "h",
	    "/two" },
	{ { .host = "h", .uri = "/a/b/wp-cron.php" }, "h", "/a/b" },
	{ { .host = "h", .uri = "/two//wp-cron.php" }, "h", "/two" },
	{ { .host = "h", .uri = "//wp-cron.php" }, "h", "" },
	/* Not rewritten: the path of the script says the same. */
	{ { .host = "h", .path = "/two/wp-cron.php" }, "h", "/two" },
	{ { .host = "h", .path = "/two/wp-cron.php", .uri = "" }, "h", "/two" },
	/* Something else was asked for, and led here. */
	{ { .host = "h", .path = "/two/wp-cron.php", .uri = "/cron" }, "h",
	    "/two" },
	{ { .host = "h", .uri = "/cron?x=/two/wp-cron.php" }, "h", "" },
};

START_TEST(place_is_host_and_path_as_the_client_wrote_them)
{
	struct fake_ping kick, watch;
	struct client_reply reply;

	rig_ask(&rig, &places[_i].q, &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	fake_engine_pings(rig.engine, &kick, &watch);
	ck_assert_str_eq(kick.host, places[_i].host);
	ck_assert_str_eq(kick.path, places[_i].path);
}
END_TEST

START_TEST(waiter_watches_the_place_it_asked_about)
{
	struct fake_ping kick, watch;
	struct client_reply reply;

	fake_engine_say(rig.engine, RC_OK, NULL, 0);
	rig_ask(&rig,
	    &(struct client_request){ .query = "wait=5&doing_wp_cron=7",
		.authorization = "Bearer " RIG_TOKEN,
		.host = "h:81",
		.uri = "/two/wp-cron.php?wait=5&doing_wp_cron=7" },
	    &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	fake_engine_pings(rig.engine, &kick, &watch);
	ck_assert(kick.given && watch.given);
	ck_assert_str_eq(watch.key, "7");
	ck_assert_str_eq(watch.host, "h");
	ck_assert_str_eq(watch.path, "/two");
	ck_assert_int_eq(memcmp(&kick, &watch, sizeof(kick)), 0);
}
END_TEST

START_TEST(form_says_nothing_to_the_engine)
{
	struct fake_ping kick, watch;
	struct client_reply reply;

	rig_ask(&rig,
	    &(struct client_request){ .method = "POST",
		.query = "doing_wp_cron=" KEY,
		.content_type = "application/x-www-form-urlencoded",
		.content_length = "3",
		.body = "a=b" },
	    &reply);
	fake_engine_pings(rig.engine, &kick, &watch);
	ck_assert(!kick.given && !watch.given);
}
END_TEST

Suite *
ping_suite(void)
{
	Suite *s = suite_create("ping");
	TCase *t = tcase_create("ping");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
	    t, key_is_what_page_loads_send, 0, (int)NELEMS(keys));
	tcase_add_loop_test(t, place_is_host_and_path_as_the_client_wrote_them,
	    0, (int)NELEMS(places));
	tcase_add_test(t, waiter_watches_the_place_it_asked_about);
	tcase_add_test(t, form_says_nothing_to_the_engine);
	suite_add_tcase(s, t);
	return s;
}
