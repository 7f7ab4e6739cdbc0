#include <check.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "server/reader_ping.h"

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

#define COOKIE "a=b; wordpress_logged_in_0=jane%7C1%7C2%7C3"
#define ANSWER                                                                 \
	"Status: 204 No Content\r\n"                                           \
	"Cache-Control: private, no-store\r\n\r\n"

static const struct {
	const char *what;
	struct client_request q;
	const char *host, *path;
	bool wait;
} rows[] = {
	{ "nobody", { .host = "a.test" }, "a.test", "", false },
	{ "a beacon",
	    { .method = "POST",
		.cookie = COOKIE,
		.host = "a.test:8080",
		.uri = "/wp-cron-fcgi/ping",
		.content_type = "text/plain",
		.content_length = "0" },
	    "a.test", "", false },
	{ "a beacon of a blog in a sub-directory",
	    { .path = "/two/wp-cron-fcgi/ping",
		.cookie = COOKIE,
		.host = "a.test",
		.uri = "/two/wp-cron-fcgi/ping" },
	    "a.test", "/two", false },
	{ "a mirrored page",
	    { .cookie = COOKIE,
		.host = "a.test",
		.uri = "/two/2024/a-post/?utm_source=x" },
	    "a.test", "/two/2024/a-post", false },
	{ "a page that waits",
	    { .cookie = COOKIE,
		.host = "a.test",
		.query = "sync=1",
		.uri = "/" },
	    "a.test", "", true },
	{ "one among other values",
	    { .cookie = COOKIE, .host = "[::1]:80", .query = "a=1&sync=1" },
	    "[::1]", "", true },
	{ "another value", { .query = "sync=10&async=1", .server_name = "b" },
	    "b", "", false },
	{ "HEAD", { .method = "HEAD", .host = "a.test" }, "a.test", "", false },
	{ "an endless cookie", { .cookie = "wordpress_logged_in_;;;==;%;" }, "",
	    "", false },
};

START_TEST(every_ping_gets_the_same_answer)
{
	struct client_request q = rows[_i].q;
	struct client_reply reply;
	struct fake_reader reader;

	if (!q.path)
		q.path = READER_PING_PATH;
	rig_ask(&rig, &q, &reply);
	ck_assert_str_eq(reply.text, ANSWER);
	ck_assert(reply.ended);
	fake_engine_reader(rig.engine, &reader);
	ck_assert_uint_eq(reader.n, 1);
	ck_assert_str_eq(reader.cookies, q.cookie ? q.cookie : "");
	ck_assert_str_eq(reader.host, rows[_i].host);
	ck_assert_str_eq(reader.path, rows[_i].path);
	ck_assert(reader.wait == rows[_i].wait);
	ck_assert_uint_eq(fake_engine_kicks(rig.engine), 0);
}
END_TEST

static const struct client_request sync_page = {
	.path = READER_PING_PATH, .query = "sync=1", .cookie = COOKIE
};

/* By which no second is ever over. */
static mono_ms
stopped_mono(const struct clock *c)
{
	(void)c;
	return 1000;
}

START_TEST(a_page_that_waits_goes_on_when_the_pull_is_over)
{
	static const struct clock stopped = { .mono = stopped_mono };
	struct client_reply reply;
	struct buf b = BUF_INIT(65536);
	struct client_request q = sync_page;
	int fd;

	rig_stop(&rig);
	rig.clock = &stopped;
	rig_start(&rig);
	fd = client_connect(rig.socket);
	fake_engine_give_tickets(rig.engine, 7);
	q.root = rig.root;
	client_build(&b, &q);
	ck_assert(client_send(fd, b.p, b.n));
	client_read(fd, 200, &reply);
	ck_assert(reply.timed_out);
	/* Others are served meanwhile. */
	rig_ask(
	    &rig, &(struct client_request){ .path = READER_PING_PATH }, &reply);
	ck_assert_str_eq(reply.text, ANSWER);
	fake_engine_reader_over(rig.engine);
	client_read(fd, PATIENCE_MS, &reply);
	ck_assert_str_eq(reply.text, ANSWER);
	close(fd);
	buf_clear(&b);
}
END_TEST

START_TEST(a_page_waits_for_a_second_at_most)
{
	struct client_reply reply;
	mono_ms begun = clock_mono(&clock_system), took;

	fake_engine_give_tickets(rig.engine, 7);
	rig_ask(&rig, &sync_page, &reply);
	took = clock_mono(&clock_system) - begun;
	ck_assert_str_eq(reply.text, ANSWER);
	ck_assert_int_ge(took, 990);
	ck_assert_int_le(took, 5000);
}
END_TEST

START_TEST(where_too_many_wait_a_page_goes_on)
{
	struct client_reply reply;

	rig.config.daemon.max_waiters = 0;
	server_reload(rig.server, &rig.config);
	fake_engine_give_tickets(rig.engine, 7);
	rig_ask(&rig, &sync_page, &reply);
	ck_assert_str_eq(reply.text, ANSWER);
}
END_TEST

START_TEST(a_stop_lets_a_page_go_on)
{
	struct client_reply reply;
	struct buf b = BUF_INIT(65536);
	struct client_request q = sync_page;
	struct fake_reader reader = { .n = 0 };
	int fd = client_connect(rig.socket);

	fake_engine_give_tickets(rig.engine, 7);
	q.root = rig.root;
	client_build(&b, &q);
	ck_assert(client_send(fd, b.p, b.n));
	for (int i = 0; i < 1500 && reader.n == 0; i++) {
		usleep(10000);
		fake_engine_reader(rig.engine, &reader);
	}
	rig_stop(&rig);
	client_read(fd, PATIENCE_MS, &reply);
	ck_assert_str_eq(reply.text, ANSWER);
	close(fd);
	buf_clear(&b);
}
END_TEST

START_TEST(other_methods_and_sites_are_refused)
{
	struct client_reply reply;

	rig_ask(&rig,
	    &(struct client_request){
		.method = "PUT", .path = READER_PING_PATH },
	    &reply);
	ck_assert_str_eq(rig_status(&reply), "405 Method Not Allowed");
	rig_ask(&rig,
	    &(struct client_request){
		.root = "/usr", .path = READER_PING_PATH },
	    &reply);
	ck_assert_str_eq(rig_status(&reply), "404 Not Found");
}
END_TEST

Suite *
reader_ping_suite(void)
{
	Suite *s = suite_create("reader_ping");
	TCase *t = tcase_create("reader_ping");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(
	    t, every_ping_gets_the_same_answer, 0, (int)NELEMS(rows));
	tcase_add_test(t, a_page_that_waits_goes_on_when_the_pull_is_over);
	tcase_add_test(t, a_page_waits_for_a_second_at_most);
	tcase_add_test(t, where_too_many_wait_a_page_goes_on);
	tcase_add_test(t, a_stop_lets_a_page_go_on);
	tcase_add_test(t, other_methods_and_sites_are_refused);
	suite_add_tcase(s, t);
	return s;
}
