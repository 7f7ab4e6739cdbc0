#include "executors/php.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "wire/php_fpm.h"

Suite *php_suite(void);

/*
 * The executor against a peer that says whatever a row tells it to, with a
 * clock that the test turns. The real peers are in the integration tests.
 */

enum {
	NJOBS = 3
};

static mono_ms test_now;

static mono_ms
test_mono(const struct clock *c)
{
	(void)c;
	return test_now;
}

static wall_us
test_wall(const struct clock *c)
{
	(void)c;
	return INT64_C(1700000000000000);
}

static const struct clock test_clock = { .mono = test_mono, .wall = test_wall };

struct scene {
	char dir[32], path[64], address[80];
	int listener, fd;
	struct executor *e;
	struct policy policy;
	struct job jobs[NJOBS], *list[NJOBS];
	struct buf outcomes, exports, takes;
	bool take;
	char token[33];
};

static void
keep_export(void *arg, struct slice json)
{
	struct scene *s = arg;

	buf_put_slice(&s->exports, json);
}

static void
keep_take(void *arg, struct slice json)
{
	struct scene *s = arg;

	buf_put_slice(&s->takes, json);
	buf_put_char(&s->takes, '\n');
}

static char *
want_take(void *arg)
{
	struct scene *s = arg;

	return s->take ? strdup("{\"events\":[]}") : NULL;
}

static void
keep_outcome(void *arg, const struct outcome *o)
{
	struct scene *s = arg;

	buf_printf(&s->outcomes, "%u %s%s%s [%s]\n", (unsigned)o->job->id,
	    outcome_name(o->kind), o->strike ? " strike" : "",
	    o->verbatim ? " verbatim" : "", o->message);
}

static void
scene_listen(struct scene *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memcpy(sun.sun_path, s->path, sizeof(s->path));
	s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(
	    bind(s->listener, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(s->listener, 8), 0);
}

static void
scene_open(struct scene *s)
{
	*s = (struct scene){ .listener = -1,
		.fd = -1,
		.policy = { .timeout_ms = 5000 },
		.outcomes = BUF_INIT(10000),
		.exports = BUF_INIT(10000),
		.takes = BUF_INIT(10000) };
	test_now = 1000;
	log_set_level(LOG_ERR);
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/php-exec-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(s->dir));
	(void)snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	(void)snprintf(s->address, sizeof(s->address), "unix:%s", s->path);
	for (size_t i = 0; i < NJOBS; i++) {
		s->jobs[i] = (struct job){ .id = i + 1,
			.hook = SLICE_LIT("hook"),
			.args = SLICE_LIT("[]"),
			.policy = &s->policy };
		s->list[i] = &s->jobs[i];
	}
	ck_assert_int_eq(
	    php_executor_new(
		&(const struct php_executor_opts){ .address = s->address,
		    .worker_script = "/w.php",
		    .root = "/r",
		    .salts = "salts",
		    .clock = &test_clock,
		    .on_export = keep_export,
		    .on_take = keep_take,
		    .want_take = want_take,
		    .arg = s,
		    .batch = NJOBS },
		&s->e, NULL),
	    RC_OK);
}

static void
scene_close(struct scene *s)
{
	s->e->ops->free(s->e);
	if (s->fd >= 0)
		(void)close(s->fd);
	if (s->listener >= 0)
		(void)close(s->listener);
	(void)unlink(s->path);
	(void)rmdir(s->dir);
	buf_clear(&s->outcomes);
	buf_clear(&s->exports);
	buf_clear(&s->takes);
}

static void
scene_poll(struct scene *s)
{
	s->e->ops->poll(s->e, 0, keep_outcome, s);
}

/* Send the jobs, and read the token of this request from them: one write of
 * a few hundred bytes to a socket comes in one piece. */
static void
scene_begin(struct scene *s)
{
	static const struct slice key = { "\"token\":\"", 9 };
	char text[65536];
	struct slice at;
	ssize_t n;

	s->e->ops->begin(s->e, s->list, NJOBS);
	scene_poll(s);
	s->fd = accept(s->listener, NULL, NULL);
	ck_assert_int_ge(s->fd, 0);
	n = read(s->fd, text, sizeof(text));
	ck_assert_int_gt(n, 0);
	at = slice_mem(text, (size_t)n);
	while (at.n > 0 && !slice_starts(at, key))
		at = slice_from(at, 1);
	ck_assert_uint_gt(at.n, key.n + 32);
	memcpy(s->token, at.p + key.n, 32);
}

static void
scene_say(struct scene *s, struct slice body)
{
	const unsigned char head[8] = { 1, 6, 0, 1,
		(unsigned char)(body.n >> 8), (unsigned char)(body.n & 0xff) };

	ck_assert_int_eq(write(s->fd, head, 8), 8);
	ck_assert_int_eq(write(s->fd, body.p, body.n), (ssize_t)body.n);
}

/* `script`: lines; '>' begins a frame, 'E' is END_REQUEST, '=' noise. */
static void
scene_play(struct scene *s, const char *script)
{
	static const char end[16] = "\1\3\0\1\0\10\0\0";
	struct slice rest = slice_str(script);
	struct buf out = BUF_INIT(10000);

	scene_say(s, SLICE_LIT("\r\n"));
	while (rest.n > 0) {
		struct slice line = slice_mem(rest.p, slice_find(rest, '\n'));

		rest = slice_from(rest, line.n + 1);
		buf_reset(&out);
		if (line.p[0] == 'E') {
			ck_assert_int_eq(write(s->fd, end, 16), 16);
			continue;
		}
		if (line.p[0] == '>')
			buf_printf(&out, "\n%s", s->token);
		buf_put_slice(&out, slice_from(line, 1));
		buf_put_char(&out, '\n');
		scene_say(s, buf_slice(&out));
	}
	buf_clear(&out);
	(void)close(s->fd);
	s->fd = -1;
	for (int i = 0; i < 10; i++)
		scene_poll(s);
}

#define HELLO(mode) ">{\"frame\":\"hello\",\"mode\":\"" mode "\"}\n"
#define FRAME(name, id) ">{\"frame\":\"" name "\",\"id\":" id "}\n"
#define RUN(id) FRAME("take", id) FRAME("start", id)

static const struct {
	const char *what, *script, *outcomes;
} replies[] = {
	{ "all done",
	    HELLO("hook") RUN("1") FRAME("done", "1") RUN("2")
		FRAME("done", "2") RUN("3") FRAME("done", "3") "E",
	    "1 done []\n2 done []\n3 done []\n" },
	{ "nothing at all", "",
	    "1 released [php-fpm closed the connection]\n"
	    "2 released [php-fpm closed the connection]\n"
	    "3 released [php-fpm closed the connection]\n" },
	{ "an END without hello", "E",
	    "1 released [PHP answered 200 before WordPress was up]\n"
	    "2 released [PHP answered 200 before WordPress was up]\n"
	    "3 released [PHP answered 200 before WordPress was up]\n" },
	{ "gone between jobs", HELLO("hook") RUN("1") FRAME("done", "1"),
	    "1 done []\n2 released []\n3 released []\n" },
	{ "gone in a job", HELLO("hook") RUN("1"),
	    "1 died strike [PHP ended without an answer]\n"
	    "2 released []\n3 released []\n" },
	{ "END in a job", HELLO("plugin") RUN("1") "E",
	    "1 died strike [PHP ended without an answer]\n"
	    "2 released []\n3 released []\n" },
	{ "gone while it wrote our row", HELLO("hook") FRAME("take", "1"),
	    "1 died [PHP ended while it took the job]\n"
	    "2 released []\n3 released []\n" },
	{ "gone before the plugin's row", HELLO("plugin") FRAME("take", "1"),
	    "1 released []\n2 released []\n3 released []\n" },
	{ "a frame twice",
	    HELLO("hook") RUN("1") FRAME("done", "1") FRAME("fail", "1")
		FRAME("start", "1") "E",
	    "1 done []\n2 released []\n3 released []\n" },
	{ "a frame of another job", HELLO("hook") FRAME("done", "99") "E",
	    "1 released []\n2 released []\n3 released []\n" },
	{ "noise",
	    HELLO(
		"hook") "={\"frame\":\"done\",\"id\":1}\n"
			"=00000000000000000000000000000000{\"frame\":\"done\"}"
			"\n"
			">not json\n>[]\n>{\"frame\":\"nobody\",\"id\":1}\n>\n"
			">{\"id\":1}\n>{\"frame\":\"done\",\"id\":\"1\"}\nE",
	    "1 released []\n2 released []\n3 released []\n" },
	{ "an exception",
	    HELLO("hook") RUN(
		"1") ">{\"frame\":\"fail\",\"id\":1,\"class\":\"C\",\"msg\":"
		     "\"two\\nlines \\u0007\"}\n" RUN(
			 "2") ">{\"frame\":\"fail\",\"id\":2,\"class\":\"C\","
			      "\"msg\":\"\"}\n"
			      "E",
	    "1 failed [two lines]\n2 failed [C]\n3 released []\n" },
	{ "a fatal error",
	    HELLO("hook") RUN(
		"1") ">{\"frame\":\"fatal\",\"id\":1,\"type\":1,\"msg\":\"M\","
		     "\"file\":\"/f.php\",\"line\":7}\nE",
	    "1 failed verbatim [unexpected shutdown: PHP Fatal error M in "
	    "/f.php on line 7]\n2 released []\n3 released []\n" },
	{ "exit",
	    HELLO("hook") RUN("1") ">{\"frame\":\"fatal\",\"id\":1,"
				   "\"type\":null,\"msg\":\"exit\"}\nE",
	    "1 failed [exit]\n2 released []\n3 released []\n" },
	{ "a NUL in a message",
	    HELLO("hook") RUN("1") ">{\"frame\":\"fail\",\"id\":1,"
				   "\"msg\":\"class@anonymous\\u0000/f\"}\nE",
	    "1 failed [class@anonymous /f]\n2 released []\n3 released []\n" },
	{ "rows of others",
	    HELLO("hook") ">{\"frame\":\"skip\",\"id\":1,\"why\":\"w\","
			  "\"lost\":true}\n"
			  ">{\"frame\":\"skip\",\"id\":2,\"why\":\"w\","
			  "\"lost\":false}\n"
			  "E",
	    "1 lost [w]\n2 released [w]\n3 released []\n" },
	{ "the plugin's outcomes",
	    HELLO("plugin")
		RUN("1") ">{\"frame\":\"settled\",\"id\":1,\"status\":"
			 "\"complete\"}\n" RUN(
			     "2") ">{\"frame\":\"settled\",\"id\":2,\"status\":"
				  "\"failed\",\"msg\":\"m\"}\n" RUN(
				      "3") ">{\"frame\":\"settled\",\"id\":3,"
					   "\"status\":\"ignored\"}\nE",
	    "1 settled []\n2 settled [m]\n3 lost []\n" },
};

START_TEST(every_job_is_reported_once_whatever_php_says)
{
	struct scene s;

	scene_open(&s);
	scene_listen(&s);
	scene_begin(&s);
	ck_assert_uint_eq(s.e->ops->running(s.e), NJOBS);
	scene_play(&s, replies[_i].script);
	ck_assert_msg(strcmp(buf_str(&s.outcomes), replies[_i].outcomes) == 0,
	    "%s:\n%s", replies[_i].what, buf_str(&s.outcomes));
	ck_assert_uint_eq(s.e->ops->running(s.e), 0);
	scene_close(&s);
}
END_TEST

static const struct {
	const char *what, *script, *outcomes;
} event_replies[] = {
	{ "done, where the plugin runs actions",
	    HELLO("plugin") RUN("1") FRAME("done", "1") "E",
	    "1 done []\n2 released []\n3 released []\n" },
	{ "gone while it wrote the row, where the plugin writes actions' rows",
	    HELLO("plugin") FRAME("take", "1"),
	    "1 died [PHP ended while it took the job]\n"
	    "2 released []\n3 released []\n" },
	{ "an exception",
	    HELLO("hook") RUN(
		"1") ">{\"frame\":\"fail\",\"id\":1,\"class\":\"C\",\"msg\":"
		     "\"m\",\"file\":\"/f.php\",\"line\":7}\n" RUN(
			 "2") ">{\"frame\":\"fail\",\"id\":2,\"class\":\"C\","
			      "\"msg\":\"\",\"file\":\"/f\",\"line\":8}\nE",
	    "1 failed [m in /f.php on line 7]\n2 failed [C in /f on line 8]\n"
	    "3 released []\n" },
	{ "a fatal error",
	    HELLO("hook") RUN(
		"1") ">{\"frame\":\"fatal\",\"id\":1,\"type\":1,\"msg\":\"M\","
		     "\"file\":\"/f.php\",\"line\":7}\nE",
	    "1 failed verbatim [PHP Fatal error M in /f.php on line 7]\n"
	    "2 released []\n3 released []\n" },
	{ "exit",
	    HELLO("hook") RUN("1") ">{\"frame\":\"fatal\",\"id\":1,"
				   "\"type\":null,\"msg\":\"exit\"}\nE",
	    "1 failed [exit]\n2 released []\n3 released []\n" },
};

START_TEST(an_event_s_end_is_told_with_its_place)
{
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < NJOBS; i++)
		s.jobs[i].kind = JOB_EVENT;
	scene_listen(&s);
	scene_begin(&s);
	scene_play(&s, event_replies[_i].script);
	ck_assert_msg(
	    strcmp(buf_str(&s.outcomes), event_replies[_i].outcomes) == 0,
	    "%s:\n%s", event_replies[_i].what, buf_str(&s.outcomes));
	scene_close(&s);
}
END_TEST

#define NO_ANSWER                                                              \
	"{\"taken\":0,\"dropped\":0,\"gone\":0,\"held\":false,\"why\":"

static const struct {
	const char *what, *script, *takes;
} takes[] = {
	{ "taken",
	    HELLO("hook") ">{\"frame\":\"took\",\"taken\":2}\n"
			  "E",
	    "{\"frame\":\"took\",\"taken\":2}\n" },
	{ "never booted", "E",
	    NO_ANSWER "\"PHP answered 200 before WordPress was up\"}\n" },
	{ "gone meanwhile", HELLO("hook"),
	    NO_ANSWER "\"PHP ended without an answer\"}\n" },
};

START_TEST(every_take_is_answered_once)
{
	struct scene s;

	scene_open(&s);
	scene_listen(&s);
	s.take = true;
	scene_begin(&s);
	scene_play(&s, takes[_i].script);
	ck_assert_msg(strcmp(buf_str(&s.takes), takes[_i].takes) == 0,
	    "%s:\n%s", takes[_i].what, buf_str(&s.takes));
	scene_close(&s);
}
END_TEST

START_TEST(a_take_that_could_not_be_sent_is_answered_too)
{
	struct scene s;

	scene_open(&s);
	s.take = true;
	s.e->ops->begin(s.e, NULL, 0);
	ck_assert_uint_eq(s.takes.n, 0);
	scene_poll(&s);
	ck_assert_ptr_nonnull(strstr(buf_str(&s.takes), "not running"));
	scene_close(&s);
}
END_TEST

START_TEST(maintenance_is_waited_out_without_alarm)
{
	static const mono_ms waits[] = { 1000, 2000, 4000, 5000, 5000 };
	struct php_executor_state state;
	struct scene s;

	scene_open(&s);
	scene_listen(&s);
	for (size_t i = 0; i < NELEMS(waits); i++) {
		buf_reset(&s.outcomes);
		scene_begin(&s);
		scene_play(&s, "=<html>\n>{\"frame\":\"maintenance\"}\nE");
		ck_assert_ptr_nonnull(
		    strstr(buf_str(&s.outcomes), "1 released [WordPress is in "
						 "maintenance mode"));
		php_executor_state(s.e, &state);
		ck_assert(!state.ok && state.maintenance);
		ck_assert_uint_eq(state.failures, 0);
		ck_assert_ptr_nonnull(strstr(state.error, "maintenance"));
		test_now += waits[i] - 1;
		ck_assert_uint_eq(s.e->ops->room(s.e), 0);
		test_now += 1;
		ck_assert_uint_eq(s.e->ops->room(s.e), NJOBS);
	}
	scene_begin(&s);
	scene_play(&s, HELLO("hook") "E");
	php_executor_state(s.e, &state);
	ck_assert(state.ok && !state.maintenance);
	scene_close(&s);
}
END_TEST

START_TEST(away_backs_off_from_200_ms_to_10_s)
{
	static const mono_ms waits[] = { 200, 400, 800, 1600, 3200, 6400, 10000,
		10000 };
	struct php_executor_state state;
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < NELEMS(waits); i++) {
		ck_assert_uint_eq(s.e->ops->room(s.e), NJOBS);
		s.e->ops->begin(s.e, s.list, NJOBS);
		ck_assert_uint_eq(s.e->ops->running(s.e), NJOBS);
		scene_poll(&s);
		ck_assert_uint_eq(s.e->ops->running(s.e), 0);
		test_now += waits[i] - 1;
		ck_assert_uint_eq(s.e->ops->room(s.e), 0);
		test_now += 1;
	}
	php_executor_state(s.e, &state);
	ck_assert(!state.ok);
	ck_assert_uint_eq(state.failures, NELEMS(waits));
	ck_assert_ptr_nonnull(strstr(state.error, "not running"));
	scene_close(&s);
}
END_TEST

START_TEST(a_site_that_does_not_boot_backs_off_and_recovers)
{
	struct php_executor_state state;
	struct scene s;

	scene_open(&s);
	scene_listen(&s);
	scene_begin(&s);
	scene_play(&s, "E");
	test_now += 999;
	ck_assert_uint_eq(s.e->ops->room(s.e), 0);
	test_now += 1;
	scene_begin(&s);
	scene_play(&s, "E");
	test_now += 1999;
	ck_assert_uint_eq(s.e->ops->room(s.e), 0);
	test_now += 1;
	scene_begin(&s);
	scene_play(&s, HELLO("hook") "E");
	ck_assert_uint_eq(s.e->ops->room(s.e), NJOBS);
	php_executor_state(s.e, &state);
	ck_assert(state.ok);
	ck_assert_uint_eq(state.failures, 0);
	ck_assert_uint_eq(state.requests, 3);
	scene_close(&s);
}
END_TEST

/* Frames of a child that is not ours to end, as its number shows. */
static void
scene_say_untouchable(struct scene *s, const char *mode, const char *frame)
{
	struct buf text = BUF_INIT(1000);

	buf_printf(&text,
	    "\r\n\n%s{\"frame\":\"hello\",\"mode\":\"%s\",\"pid\":1}\n"
	    "\n%s{\"frame\":\"%s\",\"id\":1}\n",
	    s->token, mode, s->token, frame);
	scene_say(s, buf_slice(&text));
	buf_clear(&text);
	scene_poll(s);
}

START_TEST(a_child_that_cannot_be_ended_keeps_its_job)
{
	struct php_executor_state state;
	struct scene s;

	scene_open(&s);
	scene_listen(&s);
	scene_begin(&s);
	scene_say_untouchable(&s, "hook", "start");
	php_executor_state(s.e, &state);
	ck_assert_int_eq(state.limit, PHP_LIMIT_POOL_ONLY);
	ck_assert(s.jobs[0].started);
	ck_assert(!s.jobs[1].started);
	test_now += 5000;
	scene_poll(&s);
	test_now += 500000;
	scene_poll(&s);
	ck_assert_uint_eq(s.outcomes.n, 0);
	ck_assert_uint_eq(s.e->ops->room(s.e), 0);
	ck_assert_uint_eq(s.e->ops->running(s.e), NJOBS);
	(void)close(s.fd);
	s.fd = -1;
	scene_poll(&s);
	ck_assert_str_eq(buf_str(&s.outcomes),
	    "1 failed strike [timed out after 5 s]\n"
	    "2 released []\n3 released []\n");
	scene_close(&s);
}
END_TEST

START_TEST(stopping_reports_what_is_true_of_each_job)
{
	struct scene s;

	scene_open(&s);
	scene_listen(&s);
	scene_begin(&s);
	s.e->ops->abandon(s.e, keep_outcome, &s);
	ck_assert_str_eq(buf_str(&s.outcomes),
	    "1 released []\n2 released []\n3 released []\n");
	ck_assert_uint_eq(s.e->ops->running(s.e), 0);
	scene_close(&s);
}
END_TEST

#define LEFT "lost [the program stopped; PHP goes on with it]"

/* Of the job that was begun; the others are released. */
static const struct {
	enum job_kind kind;
	const char *mode, *frame, *outcome;
} left_to_php[] = {
	{ JOB_EVENT, "hook", "start", LEFT },
	{ JOB_EVENT, "plugin", "start", LEFT },
	{ JOB_EVENT, "none", "take", "lost []" },
	{ JOB_ACTION, "plugin", "start", LEFT },
	{ JOB_ACTION, "plugin", "take", "lost []" },
	{ JOB_ACTION, "hook", "start",
	    "died [the program stopped while PHP ran it]" },
};

START_TEST(stopping_leaves_to_php_what_it_goes_on_with_and_writes)
{
	struct buf want = BUF_INIT(1000);
	struct scene s;

	scene_open(&s);
	scene_listen(&s);
	s.jobs[0].kind = left_to_php[_i].kind;
	scene_begin(&s);
	scene_say_untouchable(&s, left_to_php[_i].mode, left_to_php[_i].frame);
	s.e->ops->abandon(s.e, keep_outcome, &s);
	buf_printf(&want, "1 %s\n2 released []\n3 released []\n",
	    left_to_php[_i].outcome);
	ck_assert_str_eq(buf_str(&s.outcomes), buf_str(&want));
	buf_clear(&want);
	scene_close(&s);
}
END_TEST

START_TEST(an_export_is_handed_on_as_it_came)
{
	struct scene s;

	scene_open(&s);
	scene_listen(&s);
	scene_begin(&s);
	scene_play(&s, ">{\"frame\":\"hello\",\"mode\":\"hook\","
		       "\"export\":{\"a\":[1,2]}}\nE");
	ck_assert_str_eq(buf_str(&s.exports), "{\"a\":[1,2]}");
	scene_close(&s);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
	struct php_executor_opts o = { .address = "unix:/s",
		.worker_script = "/w",
		.root = "/r",
		.salts = "s" };
	struct executor *e = NULL;
	struct err err = ERR_INIT;

	o.salts = "";
	ck_assert_int_eq(php_executor_new(&o, &e, &err), RC_REJECT);
	ck_assert_ptr_nonnull(strstr(err.text, "salts"));
	o.salts = "s";
	o.worker_script = NULL;
	ck_assert_int_eq(php_executor_new(&o, &e, &err), RC_REJECT);
	ck_assert_ptr_nonnull(strstr(err.text, "worker_script"));
	o.worker_script = "/w";
	o.address = "nowhere";
	ck_assert_int_eq(php_executor_new(&o, &e, &err), RC_REJECT);
	ck_assert_ptr_nonnull(strstr(err.text, "nowhere"));
}
END_TEST

Suite *
php_suite(void)
{
	Suite *s = suite_create("php");
	TCase *t = tcase_create("php");

	tcase_add_loop_test(t, every_job_is_reported_once_whatever_php_says, 0,
	    (int)NELEMS(replies));
	tcase_add_loop_test(t, an_event_s_end_is_told_with_its_place, 0,
	    (int)NELEMS(event_replies));
	tcase_add_loop_test(
	    t, every_take_is_answered_once, 0, (int)NELEMS(takes));
	tcase_add_test(t, a_take_that_could_not_be_sent_is_answered_too);
	tcase_add_test(t, maintenance_is_waited_out_without_alarm);
	tcase_add_test(t, away_backs_off_from_200_ms_to_10_s);
	tcase_add_test(t, a_site_that_does_not_boot_backs_off_and_recovers);
	tcase_add_test(t, a_child_that_cannot_be_ended_keeps_its_job);
	tcase_add_test(t, stopping_reports_what_is_true_of_each_job);
	tcase_add_loop_test(t,
	    stopping_leaves_to_php_what_it_goes_on_with_and_writes, 0,
	    (int)NELEMS(left_to_php));
	tcase_add_test(t, an_export_is_handed_on_as_it_came);
	tcase_add_test(t, what_is_missing_is_named);
	suite_add_tcase(s, t);
	return s;
}
