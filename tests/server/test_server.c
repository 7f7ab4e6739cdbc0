#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define SILENT 200
#define CYCLES 500
#define LOADERS 4

static struct rig rig;
static const struct client_request nothing;

static void
setup(void)
{
	rig_init(&rig);
}

static void
teardown(void)
{
	rig_clear(&rig);
}

static void
build_ping(struct buf *b)
{
	client_build(b, &(struct client_request){ .root = rig.root });
}

static void
assert_ping_works(void)
{
	struct client_reply reply;

	rig_ask(&rig, &nothing, &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
}

/* Longer than twenty pings take on a busy machine. */
#define SILENCE_MS 8000

/* How many bytes of a ping the silent ones send before they fall silent. */
static const size_t silences[] = { 0, 1, 8, 20, 60 };

START_TEST(silent_clients_delay_nobody_and_are_cut)
{
	struct buf b = BUF_INIT(65536);
	struct client_reply reply;
	int fds[SILENT];

	rig.config.daemon.request_timeout_ms = SILENCE_MS;
	rig_start(&rig);
	build_ping(&b);
	for (int i = 0; i < SILENT; i++) {
		fds[i] = client_connect(rig.socket);
		ck_assert(client_send(
		    fds[i], b.p, silences[(size_t)i % NELEMS(silences)]));
	}
	/* Two threads: were one held, this would last as long as the time-out,
	 * by which the silent are cut. */
	for (int i = 0; i < 20; i++)
		assert_ping_works();
	for (size_t i = 0; i < NELEMS(silences); i++)
		ck_assert_int_eq(recv(fds[i], reply.text, 1, MSG_DONTWAIT), -1);
	for (int i = 0; i < SILENT; i++) {
		client_read(fds[i], PATIENCE_MS, &reply);
		ck_assert(!reply.timed_out);
		ck_assert_uint_eq(reply.n, 0);
		close(fds[i]);
	}
	buf_clear(&b);
}
END_TEST

START_TEST(a_request_may_come_in_pieces)
{
	struct buf b = BUF_INIT(65536);
	struct client_reply reply;
	int fd;

	rig.config.daemon.request_timeout_ms = 60000;
	rig_start(&rig);
	build_ping(&b);
	fd = client_connect(rig.socket);
	for (size_t at = 0; at < b.n; at += 3) {
		ck_assert(
		    client_send(fd, b.p + at, b.n - at < 3 ? b.n - at : 3));
		usleep(500);
	}
	client_read(fd, PATIENCE_MS, &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	close(fd);
	buf_clear(&b);
}
END_TEST

START_TEST(a_client_may_end_its_side_after_asking)
{
	struct buf b = BUF_INIT(65536);
	struct client_reply reply;
	int fd;

	rig_start(&rig);
	build_ping(&b);
	fd = client_connect(rig.socket);
	ck_assert(client_send(fd, b.p, b.n));
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	client_read(fd, PATIENCE_MS, &reply);
	ck_assert_str_eq(rig_status(&reply), "200 OK");
	close(fd);
	buf_clear(&b);
}
END_TEST

START_TEST(a_half_sent_request_ends_when_its_client_leaves)
{
	struct buf b = BUF_INIT(65536);
	unsigned fds;
	int fd;

	rig.config.daemon.request_timeout_ms = 60000;
	rig_start(&rig);
	build_ping(&b);
	assert_ping_works();
	fds = rig_count_fds();
	for (int i = 0; i < 50; i++) {
		fd = client_connect(rig.socket);
		ck_assert(client_send(fd, b.p, b.n / 2));
		close(fd);
	}
	for (int i = 0; i < 1500 && rig_count_fds() > fds; i++)
		usleep(10000);
	ck_assert_uint_le(rig_count_fds(), fds);
	buf_clear(&b);
}
END_TEST

START_TEST(an_answer_overtakes_a_body_that_is_still_being_sent)
{
	struct buf b = BUF_INIT((size_t)1 << 20);
	struct client_reply reply;
	char body[65528];
	int fd;

	rig_start(&rig);
	memset(body, 'x', sizeof(body));
	client_build(&b, &(struct client_request){ .method = "POST",
			     .root = rig.root,
			     .content_type = "text/plain",
			     .content_length = "5000000",
			     .body = "x" });
	/* Without the record that ends the body. */
	b.n -= 8;
	fd = client_connect(rig.socket);
	ck_assert(client_send(fd, b.p, b.n));
	buf_reset(&b);
	client_put_stdin(&b, 1, body, sizeof(body), false);
	for (int i = 0; i < 10; i++)
		ck_assert(client_send(fd, b.p, b.n));
	client_read(fd, PATIENCE_MS, &reply);
	ck_assert_str_eq(rig_status(&reply), "413 Content Too Large");
	ck_assert(reply.ended);
	close(fd);
	buf_clear(&b);
}
END_TEST

START_TEST(a_client_that_never_reads_holds_no_thread)
{
	struct buf b = BUF_INIT(65536);
	int fds[20];

	rig_start(&rig);
	client_build(&b, &(struct client_request){ .root = rig.root,
			     .path = "/wp-cron-fcgi/healthz" });
	for (size_t i = 0; i < NELEMS(fds); i++) {
		fds[i] = client_connect(rig.socket);
		ck_assert(client_send(fds[i], b.p, b.n));
	}
	for (int i = 0; i < 20; i++)
		assert_ping_works();
	for (size_t i = 0; i < NELEMS(fds); i++)
		close(fds[i]);
	buf_clear(&b);
}
END_TEST

static const struct {
	const char *p;
	size_t n;
} garbage[] = {
	{ "GET / HTTP/1.1\r\n\r\n", 18 },
	{ "\1\1\0\1\0\10\0\0\0\2\0\0\0\0\0\0", 16 },
	{ "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0\1\2\0\1\0\0\0\0", 24 },
};

START_TEST(garbage_is_hung_up_on)
{
	struct client_reply reply;
	int fd;

	rig.config.daemon.request_timeout_ms = 60000;
	rig_start(&rig);
	fd = client_connect(rig.socket);
	ck_assert(client_send(fd, garbage[_i].p, garbage[_i].n));
	client_read(fd, PATIENCE_MS, &reply);
	ck_assert(!reply.timed_out);
	ck_assert_uint_eq(reply.n, 0);
	close(fd);
	assert_ping_works();
}
END_TEST

/* A thread that was joined is in /proc for another moment. */
static unsigned
count_threads_left(void)
{
	unsigned n, least = rig_count_threads();

	for (int i = 0; i < 20; i++) {
		usleep(10000);
		n = rig_count_threads();
		least = n < least ? n : least;
	}
	return least;
}

START_TEST(starting_and_stopping_leaks_nothing)
{
	struct client_reply reply;
	unsigned fds, threads;
	int silent;

	rig_start(&rig);
	assert_ping_works();
	rig_stop(&rig);
	fds = rig_count_fds();
	threads = count_threads_left();
	for (int i = 0; i < CYCLES; i++) {
		rig_start(&rig);
		silent = client_connect(rig.socket);
		client_ask(rig.socket,
		    &(struct client_request){ .root = rig.root }, PATIENCE_MS,
		    &reply);
		ck_assert_str_eq(rig_status(&reply), "200 OK");
		rig_stop(&rig);
		close(silent);
	}
	ck_assert_uint_eq(rig_count_fds(), fds);
	ck_assert_uint_eq(count_threads_left(), threads);
}
END_TEST

/* Clients that ask until they are told to end, or nobody listens. */
struct loader {
	pthread_t thread;
	struct rig *rig;
	atomic_bool *end;
	unsigned whole, broken;
};

static void *
loader_main(void *arg)
{
	struct loader *l = arg;
	struct buf b = BUF_INIT(65536);
	struct client_reply reply;
	int fd;

	build_ping(&b);
	while (!atomic_load(l->end)) {
		fd = client_try_connect(l->rig->socket);
		if (fd < 0)
			break;
		(void)client_send(fd, b.p, b.n);
		client_read(fd, PATIENCE_MS, &reply);
		if (reply.ended)
			l->whole++;
		else if (reply.n > 0 || reply.timed_out)
			l->broken++;
		close(fd);
	}
	buf_clear(&b);
	return NULL;
}

START_TEST(a_stop_under_load_cuts_no_answer_short)
{
	struct loader loaders[LOADERS];
	atomic_bool end = false;
	unsigned whole = 0;
	int keep;

	rig.max_leaders = (unsigned)_i;
	rig.config.daemon.server_threads = 4;
	rig_start(&rig);
	/* The socket lives on, as systemd's does, so that clients connect. */
	keep = dup(rig.listener.fd);
	for (int i = 0; i < LOADERS; i++) {
		loaders[i] = (struct loader){ .rig = &rig, .end = &end };
		ck_assert_int_eq(pthread_create(&loaders[i].thread, NULL,
				     loader_main, &loaders[i]),
		    0);
	}
	for (int i = 0; i < 1500 && fake_engine_kicks(rig.engine) < 500; i++)
		usleep(10000);
	server_stop(rig.server);
	atomic_store(&end, true);
	/* What waits in the backlog is refused only now. */
	close(keep);
	rig_stop(&rig);
	for (int i = 0; i < LOADERS; i++) {
		pthread_join(loaders[i].thread, NULL);
		ck_assert_uint_eq(loaders[i].broken, 0);
		whole += loaders[i].whole;
	}
	/* What was not whole when the stop came has had no effect either. */
	ck_assert_uint_eq(whole, fake_engine_kicks(rig.engine));
}
END_TEST

Suite *
server_suite(void)
{
	Suite *s = suite_create("server");
	TCase *t = tcase_create("server");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, silent_clients_delay_nobody_and_are_cut);
	tcase_add_test(t, a_request_may_come_in_pieces);
	tcase_add_test(t, a_client_may_end_its_side_after_asking);
	tcase_add_test(t, a_half_sent_request_ends_when_its_client_leaves);
	tcase_add_test(t, an_answer_overtakes_a_body_that_is_still_being_sent);
	tcase_add_test(t, a_client_that_never_reads_holds_no_thread);
	tcase_add_loop_test(t, garbage_is_hung_up_on, 0, (int)NELEMS(garbage));
	tcase_add_test(t, starting_and_stopping_leaks_nothing);
	tcase_add_loop_test(t, a_stop_under_load_cuts_no_answer_short, 1, 5);
	suite_add_tcase(s, t);
	return s;
}
