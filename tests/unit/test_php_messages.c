#include "executors/php_messages.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "php_peer.h"

Suite *php_messages_suite(void);

enum {
	NMESSAGES = 3,
	TIMEOUT_MS = 10000,
};

struct scene {
	struct php_peer peer;
	struct arena a;
	struct err err;
	struct php_executor_opts opts;
	struct php_messages_opts o;
	struct php_message m[NMESSAGES];
};

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
	s->o = (struct php_messages_opts){ .timeout_ms = TIMEOUT_MS };
	for (size_t i = 0; i < NMESSAGES; i++)
		s->m[i] = (struct php_message){ .id = i + 5,
			.mail = SLICE_LIT("message:5:1"),
			.answered = true,
			.begun = true,
			.locked = true };
}

static void
scene_close(struct scene *s)
{
	php_peer_close(&s->peer);
	arena_clear(&s->a);
}

START_TEST(a_message_is_answered_by_what_became_of_its_row)
{
	struct scene s;

	scene_open(&s,
	    HELLO BEGIN("0")
		ANSWER("0", ",\"status\":\"MSN\",\"mails\":1,\"kick\":\"send\"")
		    BEGIN("1") ">{\"frame\":\"answer\",\"i\":1,\"ok\":false,"
			       "\"status\":\"MID\",\"locked\":true,"
			       "\"msg\":\"held\"}\n" BEGIN("2")
				   ANSWER("2", ",\"status\":\"\"") END);
	ck_assert_int_eq(
	    php_messages_send(&s.opts, &s.o, s.m, NMESSAGES, &s.a, &s.err),
	    RC_OK);
	ck_assert(s.m[0].answered && s.m[0].ok && s.m[0].begun);
	ck_assert(!s.m[0].locked && s.m[0].kick);
	ck_assert_uint_eq(s.m[0].mails, 1);
	ck_assert(slice_eq_str(s.m[0].status, "MSN"));
	ck_assert(s.m[1].answered && !s.m[1].ok && s.m[1].locked);
	ck_assert(slice_eq_str(s.m[1].message, "held"));
	ck_assert(s.m[2].answered && s.m[2].ok);
	ck_assert_uint_eq(s.m[2].status.n, 0);
	scene_close(&s);
}
END_TEST

START_TEST(who_php_ended_under_has_begun_and_no_answer)
{
	struct scene s;

	scene_open(&s, HELLO BEGIN("0") "\f" HELLO BROKE("1") END "\f\n");
	ck_assert_int_eq(
	    php_messages_generate(&s.opts, &s.o, s.m, NMESSAGES, &s.a, &s.err),
	    RC_RETRY);
	ck_assert(s.m[0].begun && !s.m[0].answered);
	ck_assert(slice_eq_str(s.m[0].message, "PHP ended without an answer"));
	ck_assert(s.m[1].begun && !s.m[1].answered);
	ck_assert(slice_eq_str(s.m[1].message, "PHP Fatal error x"));
	ck_assert(!s.m[2].begun && !s.m[2].answered && !s.m[2].locked);
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1,2;1,2;2;");
	scene_close(&s);
}
END_TEST

START_TEST(what_has_no_room_is_not_answered)
{
	struct scene s;

	scene_open(&s, HELLO BEGIN("0") ANSWER("0", ",\"status\":\"MSN\"") END);
	s.a.max = 1;
	ck_assert_int_eq(
	    php_messages_send(&s.opts, &s.o, s.m, 1, &s.a, &s.err), RC_RETRY);
	ck_assert_str_eq(s.err.text, "PHP's answers do not fit into memory");
	ck_assert(!s.m[0].answered && s.m[0].begun);
	scene_close(&s);
}
END_TEST

START_TEST(an_option_that_was_not_written_is_no_success)
{
	const struct php_plain_option options[] = {
		{ .name = SLICE_LIT("a"), .value = SLICE_LIT("1") },
		{ .name = SLICE_LIT("b"), .remove = true },
	};
	struct scene s;

	scene_open(&s,
	    HELLO BEGIN("0") ">{\"frame\":\"answer\",\"i\":0,\"ok\":false,"
			     "\"msg\":\"no\"}\n" DONE("1") END);
	ck_assert_int_eq(
	    php_messages_options(&s.opts, options, 2, TIMEOUT_MS, &s.err),
	    RC_RETRY);
	ck_assert_str_eq(s.err.text, "no");
	scene_close(&s);
}
END_TEST

START_TEST(a_failure_is_told_once_and_its_addressees_are_a_list)
{
	struct php_mail_failure f[] = {
		{ .job = SLICE_LIT("action:1"), .to = SLICE_LIT("[\"a\"]") },
		{ .job = SLICE_LIT("action:2"), .to = SLICE_LIT("\",x") },
	};
	struct scene s;

	scene_open(&s, HELLO DONE("0") BEGIN("1"));
	ck_assert_int_eq(
	    php_messages_failed(&s.opts, f, 2, TIMEOUT_MS, &s.err), RC_REJECT);
	ck_assert_str_eq(s.err.text, "PHP ended without an answer");
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1;");
	scene_close(&s);
}
END_TEST

#define DIES(i) BEGIN(i) "\f" HELLO

/* A listener that ends PHP each time is not let in for ever. */
START_TEST(who_was_told_of_is_known_though_others_were_not)
{
	struct php_mail_failure f[9] = { { .begun = false } };
	struct scene s;

	scene_open(&s, HELLO DIES("0") DIES("1") DIES("2") DIES("3") DIES("4")
			   DIES("5") DIES("6") DIES("7") DIES("8"));
	ck_assert_int_eq(
	    php_messages_failed(&s.opts, f, 9, TIMEOUT_MS, &s.err), RC_RETRY);
	for (size_t i = 0; i < 9; i++)
		ck_assert_int_eq(f[i].begun, i < 8);
	scene_close(&s);
}
END_TEST

START_TEST(a_description_is_the_callers)
{
	struct scene s;
	char *json = NULL;

	scene_open(&s, HELLO BEGIN("0") ANSWER("0", ",\"told\":{\"a\":1}") END
	    "\f" HELLO ">{\"frame\":\"refused\",\"why\":\"no plugin\"}\n" END);
	ck_assert_int_eq(
	    php_messages_describe(&s.opts, TIMEOUT_MS, &json, &s.err), RC_OK);
	ck_assert_str_eq(json, "{\"a\":1}");
	free(json);
	ck_assert_int_eq(
	    php_messages_describe(&s.opts, TIMEOUT_MS, &json, &s.err),
	    RC_REJECT);
	ck_assert_str_eq(s.err.text, "no plugin");
	ck_assert_ptr_null(json);
	scene_close(&s);
}
END_TEST

Suite *
php_messages_suite(void)
{
	Suite *s = suite_create("php_messages");
	TCase *t = tcase_create("php_messages");

	tcase_set_timeout(t, 20);
	tcase_add_test(t, a_message_is_answered_by_what_became_of_its_row);
	tcase_add_test(t, who_php_ended_under_has_begun_and_no_answer);
	tcase_add_test(t, what_has_no_room_is_not_answered);
	tcase_add_test(t, an_option_that_was_not_written_is_no_success);
	tcase_add_test(t, a_failure_is_told_once_and_its_addressees_are_a_list);
	tcase_add_test(t, who_was_told_of_is_known_though_others_were_not);
	tcase_add_test(t, a_description_is_the_callers);
	suite_add_tcase(s, t);
	return s;
}
