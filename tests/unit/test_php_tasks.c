#include "executors/php_tasks.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "php_peer.h"

Suite *php_tasks_suite(void);

enum {
	NTASKS = 3,
	TIMEOUT_MS = 10000,
};

struct scene {
	struct php_peer peer;
	struct arena a;
	struct err err;
	struct php_executor_opts opts;
	struct php_tasks_opts o;
	struct php_task t[NTASKS];
	char told[100]; /* "b0 e0 ": begun, ended, in their order */
	bool over;
};

static void
tell(struct scene *s, char what, size_t i)
{
	size_t n = strlen(s->told);

	(void)snprintf(s->told + n, sizeof s->told - n, "%c%zu ", what, i);
}

static void
on_begun(void *arg, size_t i)
{
	tell(arg, 'b', i);
}

static void
on_ended(void *arg, size_t i)
{
	tell(arg, 'e', i);
}

static bool
is_over(void *arg)
{
	return ((const struct scene *)arg)->over;
}

static void
scene_open(struct scene *s, const char *scripts)
{
	*s = (struct scene){ .a = ARENA_INIT(1 << 20) };
	log_set_level(LOG_ERR);
	php_peer_open(&s->peer, scripts);
	s->opts = (struct php_executor_opts){ .address = s->peer.address,
		.worker_script = "/w.php",
		.root = "/r",
		.salts = "salts" };
	s->o = (struct php_tasks_opts){ .timeout_ms = TIMEOUT_MS,
		.budget_ms = TIMEOUT_MS,
		.begun = on_begun,
		.ended = on_ended,
		.over = is_over,
		.arg = s };
	for (size_t i = 0; i < NTASKS; i++)
		s->t[i] = (struct php_task){ .function = SLICE_LIT("f"),
			.payload = SLICE_LIT("N;"),
			.answered = true };
}

static void
scene_close(struct scene *s)
{
	php_peer_close(&s->peer);
	arena_clear(&s->a);
}

static enum rc
run(struct scene *s)
{
	return php_tasks_run(&s->opts, &s->o, s->t, NTASKS, &s->a, &s->err);
}

START_TEST(each_task_is_told_as_it_begins_and_ends)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") BEGIN(
			   "1") ">{\"frame\":\"answer\",\"i\":1,"
				"\"ok\":false,\"msg\":\"no\"}\n" DONE("2") END);
	ck_assert_int_eq(run(&s), RC_OK);
	ck_assert_str_eq(s.told, "b0 e0 b1 e1 b2 e2 ");
	ck_assert(s.t[0].ok && !s.t[1].ok && s.t[1].answered && s.t[2].ok);
	ck_assert(slice_eq_str(s.t[1].message, "no"));
	scene_close(&s);
}
END_TEST

START_TEST(one_in_which_php_ends_is_not_asked_for_again)
{
	struct scene s;

	scene_open(&s, HELLO BEGIN("0") "\f" HELLO BROKE("1") END
	    "\f" HELLO DONE("2") END);
	ck_assert_int_eq(run(&s), RC_OK);
	ck_assert_str_eq(s.told, "b0 e0 b1 e1 b2 e2 ");
	ck_assert(!s.t[0].ok && !s.t[1].ok && s.t[2].ok);
	ck_assert(slice_eq_str(s.t[0].message, "PHP ended without an answer"));
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1,2;1,2;2;");
	scene_close(&s);
}
END_TEST

START_TEST(what_is_over_is_asked_for_no_more)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") END "\f" HELLO DONE("1") END);
	s.over = true;
	ck_assert_int_eq(run(&s), RC_RETRY);
	ck_assert(s.t[0].ok && !s.t[1].begun && !s.t[1].answered);
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1,2;");
	scene_close(&s);
}
END_TEST

static enum rc
inbox(struct scene *s, struct php_inbox *in)
{
	const struct slice types[] = { SLICE_LIT("a") };

	return php_tasks_inbox(&s->opts, SLICE_LIT("q"), SLICE_LIT("q_lock"),
	    60, types, NELEMS(types), TIMEOUT_MS, &s->a, in, &s->err);
}

#define PART(base64) ">{\"frame\":\"part\",\"i\":0,\"data\":\"" base64 "\"}\n"

START_TEST(a_list_that_was_taken_comes_in_parts)
{
	struct php_inbox in;
	struct scene s;

	scene_open(
	    &s, HELLO BEGIN("0") PART("YTowOg==") PART("e30A") ANSWER(
		    "0", ",\"taken\":true,\"size\":7,\"types\":[\"a\"]") END);
	ck_assert_int_eq(inbox(&s, &in), RC_OK);
	ck_assert(in.taken && !in.gone && !in.locked);
	ck_assert(slice_eq(in.value, SLICE_LIT("a:0:{}\0")));
	ck_assert_uint_eq(in.ntypes, 1);
	ck_assert_str_eq(in.types[0], "a");
	scene_close(&s);
}
END_TEST

START_TEST(a_list_that_lacks_a_part_is_no_success)
{
	struct php_inbox in;
	struct scene s;

	scene_open(&s, HELLO BEGIN("0") PART("YTowOg==")
			   ANSWER("0", ",\"taken\":true,\"size\":7") END);
	ck_assert_int_eq(inbox(&s, &in), RC_RETRY);
	scene_close(&s);
}
END_TEST

START_TEST(what_php_says_no_to_is_refused_in_its_words)
{
	struct scene s;

	scene_open(&s,
	    HELLO BEGIN("0") ">{\"frame\":\"answer\",\"i\":0,\"ok\":false,"
			     "\"msg\":\"nobody\"}\n" END);
	ck_assert_int_eq(
	    php_tasks_process(&s.opts, &s.o, SLICE_LIT("h"), &s.err),
	    RC_REJECT);
	ck_assert_str_eq(s.err.text, "nobody");
	scene_close(&s);
}
END_TEST

START_TEST(a_transient_is_written_or_deleted)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") END "\f" HELLO DONE("0") END);
	ck_assert_int_eq(php_tasks_transient(&s.opts, SLICE_LIT("t"),
			     SLICE_LIT("a:0:{}"), 60, TIMEOUT_MS, &s.err),
	    RC_OK);
	ck_assert_int_eq(php_tasks_transient(&s.opts, SLICE_LIT("t"),
			     SLICE_NONE, 0, TIMEOUT_MS, &s.err),
	    RC_OK);
	scene_close(&s);
}
END_TEST

Suite *
php_tasks_suite(void)
{
	Suite *s = suite_create("php_tasks");
	TCase *tc = tcase_create("php_tasks");

	tcase_add_test(tc, each_task_is_told_as_it_begins_and_ends);
	tcase_add_test(tc, one_in_which_php_ends_is_not_asked_for_again);
	tcase_add_test(tc, what_is_over_is_asked_for_no_more);
	tcase_add_test(tc, a_list_that_was_taken_comes_in_parts);
	tcase_add_test(tc, a_list_that_lacks_a_part_is_no_success);
	tcase_add_test(tc, what_php_says_no_to_is_refused_in_its_words);
	tcase_add_test(tc, a_transient_is_written_or_deleted);
	suite_add_tcase(s, tc);
	return s;
}
