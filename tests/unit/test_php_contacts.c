#include "executors/php_contacts.h"

#include <check.h>
#include <stdlib.h>

#include "base/log.h"
#include "php_peer.h"

Suite *php_contacts_suite(void);

/* How PHP is asked for a list is tested by test_php_list.c. */

enum {
	NCONTACTS = 3,
	TIMEOUT_MS = 10000,
};

struct scene {
	struct php_peer peer;
	struct arena a;
	struct err err;
	struct php_executor_opts opts;
	struct php_contact contacts[NCONTACTS];
	struct buf seen;
};

/* ---- scenes ------------------------------------------------------------- */

static void
scene_open(struct scene *s, const char *scripts)
{
	*s =
	    (struct scene){ .a = ARENA_INIT(1 << 20), .seen = BUF_INIT(10000) };
	log_set_level(LOG_ERR);
	php_peer_open(&s->peer, scripts);
	s->opts = (struct php_executor_opts){ .address = s->peer.address,
		.worker_script = "/w.php",
		.root = "/r",
		.salts = "salts" };
	for (size_t i = 0; i < NCONTACTS; i++)
		s->contacts[i] = (struct php_contact){ .user_id = i + 7,
			.integration = SLICE_LIT("esp"),
			.context = SLICE_LIT("Test") };
}

static void
scene_close(struct scene *s)
{
	php_peer_close(&s->peer);
	arena_clear(&s->a);
	buf_clear(&s->seen);
}

/* "ok" or its code and message, "-" for one that was not answered. */
static const char *
scene_answers(struct scene *s)
{
	for (size_t i = 0; i < NCONTACTS; i++) {
		const struct php_contact *c = &s->contacts[i];

		if (!c->answered)
			buf_put_str(&s->seen, "- ");
		else if (c->ok)
			buf_printf(&s->seen, "ok:%.*s ", SLICE_FMT(c->email));
		else
			buf_printf(&s->seen, "%.*s:%.*s ", SLICE_FMT(c->code),
			    SLICE_FMT(c->message));
	}
	return buf_str(&s->seen);
}

START_TEST(one_is_held_back_and_the_others_are_not)
{
	struct scene s;

	scene_open(&s,
	    HELLO DONE("0") BEGIN("1") ">{\"frame\":\"answer\",\"i\":1,"
				       "\"ok\":false,\"code\":\"held\","
				       "\"msg\":\"a copy\"}\n" DONE("2") END);
	ck_assert_int_eq(php_contacts_prepare(&s.opts, s.contacts, NCONTACTS,
			     TIMEOUT_MS, &s.a, &s.err),
	    RC_RETRY);
	ck_assert_str_eq(s.err.text, "a copy");
	ck_assert_str_eq(scene_answers(&s), "ok:a0 - ok:a2 ");
	scene_close(&s);
}
END_TEST

START_TEST(who_ended_php_is_answered_in_our_words)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") BROKE("1") END "\f" HELLO DONE("2") END);
	ck_assert_int_eq(php_contacts_prepare(&s.opts, s.contacts, NCONTACTS,
			     TIMEOUT_MS, &s.a, &s.err),
	    RC_OK);
	ck_assert_str_eq(
	    scene_answers(&s), "ok:a0 php_fatal:PHP Fatal error x ok:a2 ");
	scene_close(&s);
}
END_TEST

START_TEST(a_contact_arrives_whole)
{
	struct scene s;
	const struct php_contact *c = &s.contacts[0];

	scene_open(&s,
	    HELLO BEGIN("0") ">{\"frame\":\"answer\",\"i\":0,\"ok\":true,"
			     "\"email\":\"e@x\",\"name\":\"N \\\"\\u00e9\","
			     "\"status\":\"transactional\",\"fields\":"
			     "[[\"NP_A\",\"7\",true],[\"\",\"\",false],"
			     "[1,null],{}]}\n" END);
	ck_assert_int_eq(php_contacts_prepare(
			     &s.opts, s.contacts, 1, TIMEOUT_MS, &s.a, &s.err),
	    RC_OK);
	ck_assert(c->answered && c->ok && !c->gone);
	ck_assert(slice_eq_str(c->email, "e@x"));
	ck_assert(slice_eq_str(c->name, "N \"\xc3\xa9"));
	ck_assert(slice_eq_str(c->status_if_new, "transactional"));
	ck_assert_uint_eq(c->nfields, 4);
	ck_assert(slice_eq_str(c->fields[0].name, "NP_A"));
	ck_assert(slice_eq_str(c->fields[0].value, "7"));
	ck_assert(c->fields[0].number && !c->fields[1].number);
	ck_assert_uint_eq(c->fields[2].name.n, 0);
	scene_close(&s);
}
END_TEST

START_TEST(what_has_no_room_is_not_answered)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") DONE("1") DONE("2") END);
	s.a.max = 1;
	ck_assert_int_eq(php_contacts_pull(&s.opts, s.contacts, NCONTACTS,
			     TIMEOUT_MS, &s.a, &s.err),
	    RC_RETRY);
	ck_assert_str_eq(s.err.text, "PHP's answers do not fit into memory");
	ck_assert_str_eq(scene_answers(&s), "- - - ");
	scene_close(&s);
}
END_TEST

START_TEST(an_alert_is_fired_once)
{
	const struct php_contact_alert alerts[] = {
		{ .action = SLICE_LIT("a"), .user_id = 1 },
		{ .action = SLICE_LIT("b"), .user_id = 2 },
	};
	struct scene s;

	scene_open(&s, HELLO BEGIN("0") "\f" HELLO DONE("1") END);
	ck_assert_int_eq(
	    php_contacts_alert(&s.opts, alerts, 2, TIMEOUT_MS, &s.err),
	    RC_REJECT);
	ck_assert_str_eq(s.err.text, "PHP ended without an answer");
	/* Its death settled the first; what is wrong is said at once. */
	ck_assert_str_eq(php_peer_asked(&s.peer), "0,1;");
	scene_close(&s);
}
END_TEST

START_TEST(an_option_that_was_not_written_is_no_success)
{
	const struct php_option options[] = {
		{ SLICE_LIT("a"), SLICE_LIT("1") },
		{ SLICE_LIT("b"), SLICE_LIT("2") },
	};
	struct scene s;

	scene_open(&s,
	    HELLO BEGIN("0") ">{\"frame\":\"answer\",\"i\":0,\"ok\":false,"
			     "\"msg\":\"no\"}\n" DONE("1") END);
	ck_assert_int_eq(
	    php_contacts_options(&s.opts, options, 2, TIMEOUT_MS, &s.err),
	    RC_RETRY);
	ck_assert_str_eq(s.err.text, "no");
	scene_close(&s);
}
END_TEST

START_TEST(readers_and_descriptions_are_answered_too)
{
	const struct esp_field items[] = {
		{ .name = SLICE_LIT("k"), .value = SLICE_LIT("\"v\"") },
		{ .name = SLICE_LIT("l"), .value = SLICE_LIT("2") },
	};
	struct php_reader_data r = {
		.user_id = 7, .items = items, .nitems = 2
	};
	struct scene s;
	char *json = NULL;

	scene_open(&s,
	    HELLO BEGIN("0") ">{\"frame\":\"answer\",\"i\":0,\"ok\":true,"
			     "\"refused\":1,\"msg\":\"full\"}\n" END
			     "\f" HELLO BEGIN(
				 "0") ">{\"frame\":\"answer\",\"i\":0,"
				      "\"ok\":true,\"told\":{\"a\":[]}}\n" END);
	ck_assert_int_eq(
	    php_contacts_store(&s.opts, &r, 1, TIMEOUT_MS, &s.a, &s.err),
	    RC_OK);
	ck_assert(r.ok && r.refused == 1);
	ck_assert(slice_eq_str(r.message, "full"));
	ck_assert_int_eq(
	    php_contacts_describe(&s.opts, TIMEOUT_MS, &json, &s.err), RC_OK);
	ck_assert_str_eq(json, "{\"a\":[]}");
	free(json);
	scene_close(&s);
}
END_TEST

START_TEST(nothing_to_ask_asks_nobody)
{
	struct php_executor_opts opts = { .address = NULL };
	struct err err = ERR_INIT;
	struct arena a = ARENA_INIT(1000);

	ck_assert_int_eq(
	    php_contacts_prepare(&opts, NULL, 0, 1000, &a, &err), RC_OK);
	ck_assert_int_eq(
	    php_contacts_options(&opts, NULL, 0, 1000, &err), RC_OK);
}
END_TEST

Suite *
php_contacts_suite(void)
{
	Suite *s = suite_create("php_contacts");
	TCase *t = tcase_create("php_contacts");

	tcase_set_timeout(t, 20);
	tcase_add_test(t, one_is_held_back_and_the_others_are_not);
	tcase_add_test(t, who_ended_php_is_answered_in_our_words);
	tcase_add_test(t, a_contact_arrives_whole);
	tcase_add_test(t, what_has_no_room_is_not_answered);
	tcase_add_test(t, an_alert_is_fired_once);
	tcase_add_test(t, an_option_that_was_not_written_is_no_success);
	tcase_add_test(t, readers_and_descriptions_are_answered_too);
	tcase_add_test(t, nothing_to_ask_asks_nobody);
	suite_add_tcase(s, t);
	return s;
}
