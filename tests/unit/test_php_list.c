#include "executors/php_list.h"

#include <check.h>
#include <jansson.h>
#include <string.h>

#include "base/log.h"
#include "executors/php_impl.h"
#include "php_peer.h"

Suite *php_list_suite(void);

enum {
	NENTRIES = 3,
	TIMEOUT_MS = 10000,
	/* In which a peer does answer, on a busy machine too. */
	SHORT_MS = 3000,
};

struct scene {
	struct php_peer peer;
	struct err err;
	struct php_executor_opts opts;
	struct php_list list;
	struct buf seen; /* what was taken, in its order */
	size_t taken, over_after;
	unsigned ticks;
};

static void
on_answer(void *arg, size_t i, const json_t *answer)
{
	struct scene *s = arg;
	struct slice code = php_text_of(answer, "code");

	s->taken++;
	buf_printf(&s->seen, "%zu:", i);
	if (json_is_true(json_object_get(answer, "ok")))
		buf_printf(
		    &s->seen, "%.*s ", SLICE_FMT(php_text_of(answer, "email")));
	else
		buf_printf(&s->seen, "%.*s ", SLICE_FMT(code));
}

static void
on_other(void *arg, struct slice frame, const json_t *fields)
{
	struct scene *s = arg;

	buf_printf(&s->seen, "%.*s=%.*s ", SLICE_FMT(frame),
	    SLICE_FMT(php_text_of(fields, "job")));
}

static void
on_begun(void *arg, size_t i)
{
	struct scene *s = arg;

	buf_printf(&s->seen, "(%zu ", i);
}

static bool
is_over(void *arg)
{
	const struct scene *s = arg;

	return s->taken >= s->over_after;
}

static void
on_tick(void *arg)
{
	struct scene *s = arg;

	s->ticks++;
}

static void
scene_open(struct scene *s, const char *scripts)
{
	*s = (struct scene){ .seen = BUF_INIT(10000) };
	log_set_level(LOG_ERR);
	php_peer_open(&s->peer, scripts);
	s->opts = (struct php_executor_opts){ .address = s->peer.address,
		.worker_script = "/w.php",
		.root = "/r",
		.salts = "salts" };
	s->list = (struct php_list){ .what = "messages",
		.op = "send",
		.n = NENTRIES,
		.timeout_ms = TIMEOUT_MS,
		.take = on_answer,
		.arg = s };
}

static void
scene_close(struct scene *s)
{
	php_peer_close(&s->peer);
	buf_clear(&s->seen);
}

static enum rc
scene_run(struct scene *s)
{
	return php_list_run(&s->opts, &s->list, &s->err);
}

static const struct {
	const char *what, *scripts;
	enum rc rc;
	const char *error, *answers, *asked;
} rows[] = {
	{ "all are answered", HELLO DONE("0") DONE("1") DONE("2") END, RC_OK,
	    "", "0:a0 1:a1 2:a2 ", "0,1,2;" },
	{ "the plugin is not there",
	    HELLO ">{\"frame\":\"refused\",\"why\":\"no class X\"}\n" END,
	    RC_REJECT, "no class X", "", "0,1,2;" },
	{ "the site does not boot", "E\n", RC_RETRY,
	    "PHP answered 200 before WordPress was up", "", "0,1,2;" },
	{ "gone before anything was said", "\n", RC_RETRY,
	    "php-fpm closed the connection", "", "0,1,2;" },
	{ "a fatal error is that one's alone",
	    HELLO DONE("0") BROKE("1") END "\f" HELLO DONE("2") END, RC_OK, "",
	    "0:a0 1:php_fatal 2:a2 ", "0,1,2;2;" },
	{ "PHP dies in one, who then succeeds alone",
	    HELLO DONE("0") BEGIN("1") "\f" HELLO DONE("2") END
	    "\f" HELLO DONE("1") END,
	    RC_OK, "", "0:a0 2:a2 1:a1 ", "0,1,2;2;1;" },
	{ "PHP dies in one twice",
	    HELLO BEGIN("0") "\f" HELLO DONE("1") DONE("2") END
	    "\f" HELLO BEGIN("0"),
	    RC_OK, "", "1:a1 2:a2 0:php_died ", "0,1,2;1,2;0;" },
	{ "PHP's own time was over",
	    HELLO DONE("0") END "\f" HELLO DONE("1") DONE("2") END, RC_OK, "",
	    "0:a0 1:a1 2:a2 ", "0,1,2;1,2;" },
	{ "gone between two, then not there",
	    HELLO DONE("0") "\f" HELLO DONE("1") "\f\n", RC_RETRY,
	    "php-fpm closed the connection", "0:a0 1:a1 ", "0,1,2;1,2;2;" },
	{ "PHP answers nothing", HELLO END, RC_RETRY,
	    "PHP ended 0 times before its time, with 3 of 3 left", "",
	    "0,1,2;" },
	{ "numbers that were not asked for, and second answers",
	    HELLO ANSWER("3", ",\"email\":\"x\"") ANSWER(
		"-1", ",\"email\":\"x\"") ANSWER("\"1\"", ",\"email\":\"a0\"")
		ANSWER("0", ",\"email\":\"y\"") ANSWER("18446744073709551615",
		    ",\"email\":\"x\"") DONE("1") BEGIN("99") DONE("2") END,
	    RC_OK, "", "0:a0 1:a1 2:a2 ", "0,1,2;" },
	{ "frames that nobody knows",
	    HELLO ">{\"frame\":\"kick\"}\n" DONE("0") DONE("1")
		DONE("2") ">{\"frame\":\"mail\",\"job\":\"m\"}\n" END,
	    RC_OK, "", "0:a0 1:a1 2:a2 ", "0,1,2;" },
};

START_TEST(a_list_is_asked_for_until_all_have_their_answer)
{
	struct scene s;
	enum rc rc;

	scene_open(&s, rows[_i].scripts);
	rc = scene_run(&s);
	ck_assert_msg(rc == rows[_i].rc, "%s: %s %s", rows[_i].what,
	    rc_name(rc), s.err.text);
	ck_assert_msg(strcmp(s.err.text, rows[_i].error) == 0, "%s: %s",
	    rows[_i].what, s.err.text);
	ck_assert_str_eq(buf_str(&s.seen), rows[_i].answers);
	ck_assert_str_eq(php_peer_asked(&s.peer), rows[_i].asked);
	scene_close(&s);
}
END_TEST

START_TEST(time_that_is_over_ends_the_call_and_keeps_what_was_said)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") BEGIN("1") "Z\n");
	s.list.timeout_ms = SHORT_MS;
	ck_assert_int_eq(scene_run(&s), RC_RETRY);
	ck_assert_str_eq(s.err.text, "PHP's time was over with 2 of 3 left");
	ck_assert_str_eq(buf_str(&s.seen), "0:a0 ");
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1,2;");
	scene_close(&s);
}
END_TEST

START_TEST(what_may_have_been_done_is_not_asked_for_again)
{
	struct scene s;

	scene_open(&s, HELLO BEGIN("0") "\f" HELLO DONE("1") BROKE("2") END);
	s.list.once = true;
	ck_assert_int_eq(scene_run(&s), RC_OK);
	ck_assert_str_eq(buf_str(&s.seen), "0:php_died 1:a1 2:php_fatal ");
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1,2;1,2;");
	scene_close(&s);
}
END_TEST

START_TEST(php_gets_no_more_than_so_many_in_a_boot)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") DONE("1") END "\f" HELLO DONE("2") END);
	s.list.at_once = 2;
	ck_assert_int_eq(scene_run(&s), RC_OK);
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1;2;");
	scene_close(&s);
}
END_TEST

/* The first two are too much for one request. */
static void
render_large(struct buf *out, void *arg, size_t i)
{
	static const size_t sizes[NENTRIES] = { (size_t)3 << 20,
		(size_t)6 << 20, (size_t)1 << 20 };

	(void)arg;
	buf_put_str(out, ",\"p\":\"");
	if (!buf_reserve(out, sizes[i]))
		return;
	memset(out->p + out->n, 'x', sizes[i]);
	out->n += sizes[i];
	buf_put_char(out, '"');
}

START_TEST(what_does_not_fit_into_a_request_is_in_the_next)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") END "\f" HELLO DONE("1") END
	    "\f" HELLO DONE("2") END);
	s.list.render = render_large;
	s.list.timeout_ms = 5 * TIMEOUT_MS;
	ck_assert_msg(scene_run(&s) == RC_OK, "%s", s.err.text);
	ck_assert_str_eq(php_peer_asked(&s.peer), "0;1;2;");
	scene_close(&s);
}
END_TEST

START_TEST(what_begins_and_other_frames_are_handed_on_in_their_order)
{
	struct scene s;

	scene_open(&s, HELLO BEGIN("0") ANSWER("0",
			   "") ">{\"frame\":\"mail\",\"job\":"
			       "\"message:5:1\"}\n" BEGIN("1") "\f" HELLO END);
	s.list.begun = on_begun;
	s.list.other = on_other;
	s.list.once = true;
	ck_assert_int_eq(scene_run(&s), RC_RETRY);
	ck_assert_str_eq(
	    buf_str(&s.seen), "(0 0: mail=message:5:1 (1 1:php_died ");
	scene_close(&s);
}
END_TEST

START_TEST(who_sees_no_use_in_it_is_not_asked_for_the_rest)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") BROKE("1") END "\f" HELLO DONE("2") END);
	s.list.over = is_over;
	s.over_after = 2;
	ck_assert_int_eq(scene_run(&s), RC_RETRY);
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1,2;");
	scene_close(&s);
}
END_TEST

START_TEST(an_entry_that_takes_too_long_costs_that_one)
{
	struct scene s;

	/* The peer is no child that could be ended: it is given up. */
	scene_open(&s, HELLO DONE("0") BEGIN("1") "Z\n");
	s.list.limit_ms = SHORT_MS;
	s.list.timeout_ms = 2 * SHORT_MS;
	s.list.tick = on_tick;
	ck_assert_int_eq(scene_run(&s), RC_RETRY);
	ck_assert_str_eq(buf_str(&s.seen), "0:a0 ");
	ck_assert_uint_gt(s.ticks, 0);
	scene_close(&s);
}
END_TEST

static bool
is_given_up(void *arg)
{
	const struct scene *s = arg;

	return s->taken > 0;
}

START_TEST(who_is_given_up_is_waited_for_no_longer)
{
	struct scene s;
	bool goes_on = false;

	scene_open(&s, HELLO DONE("0") BEGIN("1") "Z\n");
	s.list.give_up = is_given_up;
	s.list.goes_on = &goes_on;
	s.list.timeout_ms = 10 * TIMEOUT_MS;
	ck_assert_int_eq(scene_run(&s), RC_RETRY);
	ck_assert_str_eq(s.err.text, "PHP was given up with 2 of 3 left");
	ck_assert_str_eq(buf_str(&s.seen), "0:a0 ");
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1,2;");
	/* The peer is no child of php-fpm's. */
	ck_assert(goes_on);
	scene_close(&s);
}
END_TEST

START_TEST(nothing_to_ask_asks_nobody)
{
	struct php_executor_opts opts = { .address = NULL };
	struct php_list none = { .what = "messages", .op = "send" };
	struct err err = ERR_INIT;

	ck_assert_int_eq(php_list_run(&opts, &none, &err), RC_OK);
}
END_TEST

Suite *
php_list_suite(void)
{
	Suite *s = suite_create("php_list");
	TCase *t = tcase_create("php_list");

	tcase_set_timeout(t, 20);
	tcase_add_loop_test(t, a_list_is_asked_for_until_all_have_their_answer,
	    0, (int)NELEMS(rows));
	tcase_add_test(
	    t, time_that_is_over_ends_the_call_and_keeps_what_was_said);
	tcase_add_test(t, what_may_have_been_done_is_not_asked_for_again);
	tcase_add_test(t, php_gets_no_more_than_so_many_in_a_boot);
	tcase_add_test(t, what_does_not_fit_into_a_request_is_in_the_next);
	tcase_add_test(
	    t, what_begins_and_other_frames_are_handed_on_in_their_order);
	tcase_add_test(t, who_sees_no_use_in_it_is_not_asked_for_the_rest);
	tcase_add_test(t, an_entry_that_takes_too_long_costs_that_one);
	tcase_add_test(t, who_is_given_up_is_waited_for_no_longer);
	tcase_add_test(t, nothing_to_ask_asks_nobody);
	suite_add_tcase(s, t);
	return s;
}
