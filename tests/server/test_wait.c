#include <check.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static struct rig rig;
static const struct client_request nothing;

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

#define BEARER "Bearer " RIG_TOKEN

static int
begin_wait(const char *query)
{
	struct buf b = BUF_INIT(65536);
	int fd = client_connect(rig.socket);

	client_build(&b,
	    &(struct client_request){
		.root = rig.root, .query = query, .authorization = BEARER });
	ck_assert(client_send(fd, b.p, b.n));
	buf_clear(&b);
	return fd;
}

/* Until so many are parked; a kick alone comes before that. */
static void
await_waiters(unsigned n)
{
	for (int i = 0; i < 1500 && fake_engine_checked(rig.engine) < n; i++)
		usleep(10000);
	ck_assert_uint_eq(fake_engine_checked(rig.engine), n);
	ck_assert_uint_eq(fake_engine_kicks(rig.engine), n);
}

/* What the engine says, and what the one who waits is told. */
static const struct {
	enum rc rc;
	struct engine_counts counts;
	uint64_t remaining;
	const char *query, *status, *body;
} rows[] = {
	{ RC_OK, { .done = 7, .retried = 1 }, 0, "wait=30", "200 OK",
	    "{\"queues\":{\"actions\":{\"done\":7,\"failed\":0,\"retried\":1,"
	    "\"released\":0}},\"remaining\":0}\n" },
	{ RC_OK, { .done = 7, .failed = 2 }, 0, "doing_wp_cron&wait=30",
	    "207 Multi-Status", "\"failed\":2" },
	{ RC_AGAIN, { .done = 3 }, 40, "wait=0", "202 Accepted",
	    "\"remaining\":40}" },
	{ RC_AGAIN, { .done = 3 }, 40, "wait=1", "202 Accepted", "\"done\":3" },
	{ RC_RETRY, { 0 }, 0, "wait=30", "503 Service Unavailable",
	    "database away" },
};

START_TEST(one_who_waits_is_told_what_became_of_the_work)
{
	struct client_reply reply;

	fake_engine_say(
	    rig.engine, rows[_i].rc, &rows[_i].counts, rows[_i].remaining);
	rig_ask(&rig,
	    &(struct client_request){
		.query = rows[_i].query, .authorization = BEARER },
	    &reply);
	ck_assert_str_eq(rig_status(&reply), rows[_i].status);
	ck_assert_msg(
	    strstr(reply.text, rows[_i].body) != NULL, "%s", reply.text);
	ck_assert_uint_eq(fake_engine_kicks(rig.engine), 1);
}
END_TEST

/* Without the right token, or without a number, it is a ping like any other. */
static const struct client_request pings[] = {
	{ .query = "wait=30" },
	{ .query = "wait=30", .authorization = "" },
	{ .query = "wait=30", .authorization = "Bearer" },
	{ .query = "wait=30", .authorization = "Bearer " },
	{ .query = "wait=30", .authorization = "Bearer a-toke" },
	{ .query = "wait=30", .authorization = "Bearer a-tokens" },
	{ .query = "wait=30", .authorization = "Basic YS10b2tlbg==" },
	{ .query = "wait=30", .authorization = RIG_TOKEN },
	{ .query = "wait=", .authorization = BEARER },
	{ .query = "wait=x", .authorization = BEARER },
	{ .query = "wait=-1", .authorization = BEARER },
	{ .query = "await=30", .authorization = BEARER },
	{ .query = "", .authorization = BEARER },
};

START_TEST(without_the_right_token_a_wait_is_a_ping)
{
	struct client_reply reply;

	rig_ask(&rig, &pings[_i], &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	ck_assert_ptr_nonnull(strstr(reply.text, "X-WP-Cron: started"));
}
END_TEST

START_TEST(without_a_token_of_the_site_nobody_waits)
{
	struct client_reply reply;

	rig.config_site.cron_token = NULL;
	server_reload(rig.server, &rig.config);
	rig_ask(&rig,
	    &(struct client_request){
		.query = "wait=30", .authorization = BEARER },
	    &reply);
	ck_assert_ptr_nonnull(strstr(reply.text, "X-WP-Cron: started"));
}
END_TEST

START_TEST(a_reload_changes_the_token)
{
	struct client_reply reply;

	rig.config_site.cron_token = "new";
	server_reload(rig.server, &rig.config);
	fake_engine_say(rig.engine, RC_OK, NULL, 0);
	rig_ask(&rig,
	    &(struct client_request){
		.query = "wait=30", .authorization = "bearer new" },
	    &reply);
	ck_assert_ptr_nonnull(strstr(reply.text, "\"remaining\":0"));
}
END_TEST

START_TEST(a_reload_changes_how_many_may_wait)
{
	struct client_reply reply;

	rig.config.daemon.max_waiters = 0;
	server_reload(rig.server, &rig.config);
	rig_ask(&rig,
	    &(struct client_request){
		.query = "wait=30", .authorization = BEARER },
	    &reply);
	ck_assert_str_eq(rig_status(&reply), "503 Service Unavailable");
}
END_TEST

START_TEST(progress_wakes_those_who_wait)
{
	struct client_reply reply;
	int fds[3];

	for (size_t i = 0; i < NELEMS(fds); i++)
		fds[i] = begin_wait("wait=50");
	await_waiters(3);
	/* More of them than server threads: pings still get through. */
	rig_ask(&rig, &nothing, &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	fake_engine_say(rig.engine, RC_AGAIN, NULL, 1);
	client_read(fds[0], 200, &reply);
	ck_assert(reply.timed_out);
	fake_engine_say(rig.engine, RC_OK, NULL, 0);
	for (size_t i = 0; i < NELEMS(fds); i++) {
		client_read(fds[i], PATIENCE_MS, &reply);
		ck_assert_str_eq(rig_status(&reply), "200 OK");
		ck_assert(reply.ended);
		close(fds[i]);
	}
}
END_TEST

START_TEST(one_too_many_is_refused_and_pings_go_on)
{
	struct client_reply reply;
	int fds[4];

	for (size_t i = 0; i < NELEMS(fds); i++)
		fds[i] = begin_wait("wait=50");
	await_waiters(4);
	rig_ask(&rig,
	    &(struct client_request){
		.query = "wait=50", .authorization = BEARER },
	    &reply);
	ck_assert_str_eq(rig_status(&reply), "503 Service Unavailable");
	ck_assert_ptr_nonnull(strstr(reply.text, "Retry-After:"));
	rig_ask(&rig, &nothing, &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	for (size_t i = 0; i < NELEMS(fds); i++)
		close(fds[i]);
}
END_TEST

START_TEST(a_stop_lets_those_who_wait_go_with_what_is_known)
{
	struct client_reply reply;
	int fd = begin_wait("wait=50");

	await_waiters(1);
	fake_engine_say(rig.engine, RC_AGAIN, NULL, 9);
	rig_stop(&rig);
	client_read(fd, PATIENCE_MS, &reply);
	ck_assert_str_eq(rig_status(&reply), "202 Accepted");
	ck_assert_ptr_nonnull(strstr(reply.text, "\"remaining\":9"));
	close(fd);
}
END_TEST

START_TEST(a_client_that_leaves_while_it_waits_does_no_harm)
{
	struct client_reply reply;

	close(begin_wait("wait=50"));
	await_waiters(1);
	fake_engine_say(rig.engine, RC_OK, NULL, 0);
	rig_ask(&rig, &nothing, &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
}
END_TEST

Suite *
wait_suite(void)
{
	Suite *s = suite_create("wait");
	TCase *t = tcase_create("wait");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, one_who_waits_is_told_what_became_of_the_work, 0,
	    (int)NELEMS(rows));
	tcase_add_loop_test(
	    t, without_the_right_token_a_wait_is_a_ping, 0, (int)NELEMS(pings));
	tcase_add_test(t, without_a_token_of_the_site_nobody_waits);
	tcase_add_test(t, a_reload_changes_the_token);
	tcase_add_test(t, a_reload_changes_how_many_may_wait);
	tcase_add_test(t, progress_wakes_those_who_wait);
	tcase_add_test(t, one_too_many_is_refused_and_pings_go_on);
	tcase_add_test(t, a_stop_lets_those_who_wait_go_with_what_is_known);
	tcase_add_test(t, a_client_that_leaves_while_it_waits_does_no_harm);
	suite_add_tcase(s, t);
	return s;
}
