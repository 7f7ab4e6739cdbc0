/*
 * What is done to Event Espresso's rows by verdicts, retries and hands, and
 * the lists of Message Activity.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "messages_fixture.h"
#include "queues/messages.h"

Suite *messages_rows_suite(void);

#define CLAIM 5

static struct arena arena = ARENA_INIT((size_t)64 << 20);

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

#define STATUS_IS(id, want) ck_assert_str_eq(messages_fixture_status(id), want)
#define STATE_IS(id, want)                                                     \
	ck_assert_str_eq(messages_fixture_journal(id, "send", "state"), want)

static uint64_t
letters(void)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters");
}

/* Sent by us, which PHP makes `sts` of, and settled so. */
static void
sent_as(uint64_t id, const char *sts, enum messages_end end, int64_t wait_ms)
{
	const struct messages_result r = { .id = id,
		.end = end,
		.wait_ms = wait_ms,
		.reason = SLICE_LIT("no") };
	struct messages_claim *c;
	size_t n;

	CK_RC(RC_OK, messages_claim(t.db, &t.scope, 1, MESSAGES_SEND, CLAIM,
			 &id, 1, 60000, &arena, &c, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	db_test_sql("UPDATE wp_esp_message SET STS_ID = '%s' WHERE MSG_ID ="
		    " %" PRIu64,
	    sts, id);
	CK_RC(RC_OK, messages_settle(t.db, &t.scope, 1, MESSAGES_SEND, CLAIM,
			 &r, 1, &t.err));
}

static void
sent(uint64_t id, enum messages_end end, int64_t wait_ms)
{
	sent_as(id, "MID", end, wait_ms);
}

/* ---- verdicts and retries ---- */

START_TEST(a_relay_s_refusal_moves_a_sent_row)
{
	uint64_t id = messages_fixture_add("MID", 20, 900, "payment"), n;
	char text[70000];

	memset(text, 'x', sizeof text);
	sent(id, MESSAGES_DONE, 0);
	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MSN'");
	CK_RC(RC_OK, messages_refused(t.db, &t.scope, 1, id,
			 slice_mem(text, sizeof text), &t.err));
	STATUS_IS(id, "MRT");
	STATE_IS(id, "refused");
	ck_assert_uint_eq(letters(), 1);
	ck_assert_uint_eq(db_test_u64("SELECT LENGTH(EXM_value) FROM"
				      " wp_esp_extra_meta WHERE EXM_key ="
				      " 'MSG_error'"),
	    65535);
	ck_assert_uint_eq(db_test_u64("SELECT MSG_modified > UTC_TIMESTAMP()"
				      " - INTERVAL 60 SECOND FROM"
				      " wp_esp_message"),
	    1);
	/* The second time it is known already, and it stays refused. */
	CK_RC(RC_NONE, messages_refused(
			   t.db, &t.scope, 1, id, SLICE_LIT("again"), &t.err));
	CK_RC(RC_OK, messages_retry(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	STATUS_IS(id, "MRT");
}
END_TEST

static void
dead_mail(const char *job)
{
	db_test_sql("INSERT INTO wp_wpcron_outbox (blog_id, state, job,"
		    " ordinal, digest, sender, recipients, created_at,"
		    " not_before, told, reply) VALUES (1, 'dead', '%s', 1,"
		    " REPEAT('x', 32), '', '[]', UTC_TIMESTAMP(6),"
		    " UTC_TIMESTAMP(6), 1, '550 no')",
	    job);
}

START_TEST(a_refusal_that_came_before_the_row_was_sent_is_heeded)
{
	uint64_t id = messages_fixture_add("MID", 20, 900, "payment");
	uint64_t old = messages_fixture_add("MID", 20, 900, "payment");
	char job[64];

	(void)snprintf(job, sizeof job, "message:%" PRIu64 ":1", id);
	dead_mail(job);
	/* Of another sending. */
	(void)snprintf(job, sizeof job, "message:%" PRIu64 ":2", old);
	dead_mail(job);
	sent_as(old, "MSN", MESSAGES_DONE, 0);
	sent_as(id, "MSN", MESSAGES_DONE, 0);
	STATUS_IS(id, "MRT");
	STATE_IS(id, "refused");
	ck_assert_uint_eq(letters(), 1);
	STATUS_IS(old, "MSN");
	STATE_IS(old, "done");
}
END_TEST

START_TEST(a_verdict_on_a_row_that_is_no_more_sent_changes_nothing)
{
	uint64_t id = messages_fixture_add("MRS", 20, 900, "payment");

	CK_RC(RC_NONE,
	    messages_refused(t.db, &t.scope, 1, id, SLICE_LIT("no"), &t.err));
	CK_RC(RC_NONE, messages_refused(
			   t.db, &t.scope, 1, id + 1, SLICE_LIT("no"), &t.err));
	STATUS_IS(id, "MRS");
	ck_assert_uint_eq(letters(), 0);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_esp_extra_meta"), 0);
}
END_TEST

START_TEST(only_what_failed_here_is_retried_when_its_time_comes)
{
	uint64_t ours = messages_fixture_add("MID", 20, 900, "payment");
	uint64_t later = messages_fixture_add("MID", 20, 900, "payment");
	uint64_t history = messages_fixture_add("MRT", 20, 900, "payment");
	uint64_t by_hand = messages_fixture_add("MID", 20, 900, "payment"), n;

	sent(ours, MESSAGES_FAILED, 0);
	sent(later, MESSAGES_FAILED, 60000);
	sent(by_hand, MESSAGES_FAILED, 0);
	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MRT'");
	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MSN' WHERE MSG_ID ="
		    " %" PRIu64,
	    by_hand);
	CK_RC(RC_OK, messages_retry(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	STATUS_IS(ours, "MRS");
	STATUS_IS(later, "MRT");
	STATUS_IS(history, "MRT");
	STATUS_IS(by_hand, "MSN");
	CK_RC(RC_OK, messages_retry(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	/* Another sending, and the try counts. */
	sent(ours, MESSAGES_FAILED, 0);
	ck_assert_str_eq(
	    messages_fixture_journal(ours, "send", "sending"), "2");
	ck_assert_str_eq(messages_fixture_journal(ours, "send", "tries"), "2");
}
END_TEST

START_TEST(failures_of_others_become_letters_from_now_on)
{
	uint64_t n;

	messages_fixture_add("MFL", 20, 900, "payment");
	CK_RC(RC_OK, messages_failures(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	messages_fixture_add("MFL", 20, -1, "payment");
	db_test_sql("INSERT INTO wp_esp_extra_meta (OBJ_ID, EXM_type,"
		    " EXM_key, EXM_value) VALUES (LAST_INSERT_ID(), 'Message',"
		    " 'MSG_error', 'No template for guest@example.test')");
	CK_RC(RC_OK, messages_failures(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(letters(), 1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM"
				      " wp_wpcron_dead_letters WHERE reason"
				      " LIKE 'No template for %%' AND reason"
				      " NOT LIKE '%%guest@%%'"),
	    1);
}
END_TEST

START_TEST(a_failure_that_is_saved_late_becomes_one_letter)
{
	uint64_t n;

	CK_RC(RC_OK, messages_failures(t.db, &t.scope, 1, &n, &t.err));
	db_test_sql("UPDATE wp_wpcron_meta SET value = value - 3600 WHERE name"
		    " LIKE 'messages/%%/failures'");
	CK_RC(RC_OK, messages_failures(t.db, &t.scope, 1, &n, &t.err));
	messages_fixture_add("MFL", 20, 600, "payment");
	CK_RC(RC_OK, messages_failures(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	CK_RC(RC_OK, messages_failures(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(letters(), 1);
}
END_TEST

START_TEST(many_failures_at_once_are_as_many_letters)
{
	uint64_t n;

	CK_RC(RC_OK, messages_failures(t.db, &t.scope, 1, &n, &t.err));
	messages_fixture_add("MFL", 20, -1, "newsletter");
	db_test_sql("INSERT INTO wp_esp_message (MSG_messenger,"
		    " MSG_message_type, MSG_priority, STS_ID, MSG_created,"
		    " MSG_modified) SELECT 'email', 'newsletter', 30, 'MFL',"
		    " UTC_TIMESTAMP(), UTC_TIMESTAMP() + INTERVAL 1 SECOND"
		    " FROM seq_1_to_1200");
	CK_RC(RC_OK, messages_failures(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 1201);
	ck_assert_uint_eq(letters(), 1201);
}
END_TEST

/* ---- by hand ---- */

START_TEST(only_sent_and_refused_ones_are_resent)
{
	static const char *const stati[] = { "MSN", "MRT", "MFL", "MIC", "MID",
		"MEX", "MDO", "MRS" };
	uint64_t ids[NELEMS(stati)], n, modified;

	for (size_t i = 0; i < NELEMS(stati); i++)
		ids[i] = messages_fixture_add(stati[i], 20, 900, "payment");
	modified = db_test_u64("SELECT SUM(CRC32(MSG_modified)) FROM"
			       " wp_esp_message");
	CK_RC(RC_OK,
	    messages_resend(t.db, &t.scope, 1, ids, NELEMS(ids), &n, &t.err));
	ck_assert_uint_eq(n, 2);
	STATUS_IS(ids[0], "MRS");
	STATUS_IS(ids[1], "MRS");
	for (size_t i = 2; i < NELEMS(stati); i++)
		STATUS_IS(ids[i], stati[i]);
	ck_assert_uint_eq(db_test_u64("SELECT SUM(CRC32(MSG_modified)) FROM"
				      " wp_esp_message"),
	    modified);
}
END_TEST

START_TEST(what_is_resent_by_hand_has_all_its_tries_again)
{
	uint64_t id = messages_fixture_add("MID", 20, 900, "payment"), n;

	sent(id, MESSAGES_REFUSED, 0);
	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MRT'");
	CK_RC(RC_OK, messages_resend(t.db, &t.scope, 1, &id, 1, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	sent(id, MESSAGES_FAILED, 0);
	ck_assert_str_eq(messages_fixture_journal(id, "send", "tries"), "1");
	ck_assert_str_eq(messages_fixture_journal(id, "send", "sending"), "2");
}
END_TEST

START_TEST(a_deletion_takes_the_meta_along_and_nothing_in_hand)
{
	uint64_t ids[2] = { messages_fixture_add("MIC", 20, 900, "payment"),
		messages_fixture_add("MIC", 20, 900, "payment") };
	struct messages_claim *c;
	uint64_t n;
	size_t got;

	db_test_sql("INSERT INTO wp_esp_extra_meta (OBJ_ID, EXM_type,"
		    " EXM_key, EXM_value) VALUES (%" PRIu64
		    ", 'Message_Template_Group', 'k', 'v')",
	    ids[0]);
	CK_RC(RC_OK, messages_claim(t.db, &t.scope, 1, MESSAGES_GENERATE, CLAIM,
			 &ids[1], 1, 60000, &arena, &c, &got, &t.err));
	CK_RC(RC_OK, messages_delete(t.db, &t.scope, 1, ids, 2, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	STATUS_IS(ids[0], "");
	STATUS_IS(ids[1], "MIC");
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_esp_extra_meta"), 3);
}
END_TEST

/* ---- lists ---- */

static const struct {
	const char *what;
	struct messages_filter f;
	size_t n;
} filters[] = {
	{ "all", { .max = 100 }, 6 },
	{ "status", { .status = { "mid", 3 } }, 3 },
	{ "messenger", { .messenger = { "pdf", 3 } }, 1 },
	{ "type", { .type = { "newsletter", 10 } }, 2 },
	{ "contexts", { .context = { "admin,purchaser", 15 } }, 2 },
	{ "registration", { .registration = 2 }, 3 },
	{ "transaction", { .transaction = 100 }, 3 },
	{ "event", { .event = 9 }, 2 },
	{ "no event", { .event = 10 }, 0 },
	{ "registration of another transaction",
	    { .registration = 2, .transaction = 200 }, 0 },
	{ "contact", { .contact = 31 }, 1 },
	{ "user", { .user = 1 }, 1 },
	{ "search", { .search = { "50%", 3 } }, 1 },
	{ "search in content", { .search = { "kept", 4 } }, 6 },
	{ "page", { .skip = 4, .max = 10 }, 2 },
	{ "status and type",
	    { .status = { "MID", 3 }, .type = { "newsletter", 10 } }, 1 },
};

static void
fill(void)
{
	uint64_t id[6];

	id[0] = messages_fixture_add("MID", 10, 600, "payment");
	id[1] = messages_fixture_add("MSN", 10, 500, "payment");
	id[2] = messages_fixture_add("MID", 30, 400, "newsletter");
	id[3] = messages_fixture_add("MFL", 30, 300, "newsletter");
	id[4] = messages_fixture_add("MID", 10, 200, "invoice");
	id[5] = messages_fixture_add("MRT", 10, 100, "payment");
	db_test_sql("UPDATE wp_esp_message SET TXN_ID ="
		    " IF(MSG_ID <= %" PRIu64 ", 100, 200)",
	    id[2]);
	db_test_sql("UPDATE wp_esp_message SET TXN_ID = NULL WHERE MSG_ID ="
		    " %" PRIu64,
	    id[5]);
	db_test_sql("UPDATE wp_esp_message SET MSG_messenger = 'pdf',"
		    " MSG_context = 'purchaser' WHERE MSG_ID = %" PRIu64,
	    id[4]);
	db_test_sql("UPDATE wp_esp_message SET MSG_context = 'admin',"
		    " MSG_recipient_type = 'WP_User', MSG_recipient_ID = 1"
		    " WHERE MSG_ID = %" PRIu64,
	    id[0]);
	db_test_sql("UPDATE wp_esp_message SET MSG_recipient_type ="
		    " 'Attendee', MSG_recipient_ID = 31, MSG_subject ="
		    " '50%% off' WHERE MSG_ID = %" PRIu64,
	    id[1]);
	db_test_sql("INSERT INTO wp_esp_registration (REG_ID, EVT_ID, ATT_ID,"
		    " TXN_ID) VALUES (1, 8, 31, 100), (2, 8, 32, 100),"
		    " (3, 9, 33, 200)");
}

START_TEST(rows_are_found_as_message_activity_finds_them)
{
	struct messages_shown *found;
	size_t n;

	fill();
	CK_RC(RC_OK, messages_list(t.db, &t.scope, 1, &filters[_i].f, &arena,
			 &found, &n, &t.err));
	ck_assert_msg(n == filters[_i].n, "%s: %zu, not %zu", filters[_i].what,
	    n, filters[_i].n);
	for (size_t i = 1; i < n; i++)
		ck_assert(found[i - 1].modified >= found[i].modified);
}
END_TEST

START_TEST(dates_are_a_filter_too)
{
	int64_t now = (int64_t)db_test_u64("SELECT TIMESTAMPDIFF(SECOND,"
					   " '1970-01-01', UTC_TIMESTAMP())");
	struct messages_filter f = { .since = now - 450, .until = now - 250 };
	struct messages_shown *found;
	size_t n;

	fill();
	CK_RC(RC_OK,
	    messages_list(t.db, &t.scope, 1, &f, &arena, &found, &n, &t.err));
	ck_assert_uint_eq(n, 2);
}
END_TEST

START_TEST(a_message_is_shown_with_what_is_known_of_it)
{
	uint64_t id = messages_fixture_add("MID", 10, 600, "payment");
	struct messages_shown m;

	sent(id, MESSAGES_FAILED, 60000);
	db_test_sql("INSERT INTO wp_esp_extra_meta (OBJ_ID, EXM_type,"
		    " EXM_key, EXM_value) VALUES (%" PRIu64
		    ", 'Message', 'MSG_error', 'It did not send')",
	    id);
	CK_RC(RC_OK, messages_get(t.db, &t.scope, 1, id, &arena, &m, &t.err));
	ck_assert(slice_eq_str(m.to, "guest@example.test"));
	ck_assert(slice_eq_str(m.content, "<p>It's kept</p>"));
	ck_assert(slice_eq_str(m.state, "failed"));
	ck_assert(slice_eq_str(m.error, "It did not send"));
	ck_assert(slice_eq_str(m.reason, "no"));
	ck_assert_str_eq(m.sts, "MID");
	ck_assert_uint_eq(m.tries, 1);
	ck_assert_int_gt(m.not_before, 1700000000);
	CK_RC(RC_NONE,
	    messages_get(t.db, &t.scope, 1, id + 1, &arena, &m, &t.err));
}
END_TEST

START_TEST(rows_are_counted_by_status)
{
	struct messages_counts c;
	uint64_t mid = 0;

	fill();
	CK_RC(RC_OK, messages_count(t.db, &t.scope, 1, &c, &t.err));
	ck_assert_uint_eq(c.n, 4);
	for (size_t i = 0; i < c.n; i++)
		if (strcmp(c.of[i].sts, "MID") == 0)
			mid = c.of[i].n;
	ck_assert_uint_eq(mid, 3);
	ck_assert_uint_eq(c.foreign_mex, 0);
	ck_assert_int_gt(c.oldest, 1700000000);
}
END_TEST

static TCase *
tables(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, messages_fixture_open, close_tables);
	tcase_set_timeout(tc, 60);
	return tc;
}

Suite *
messages_rows_suite(void)
{
	Suite *s = suite_create("messages_rows");
	TCase *v = tables("verdicts"), *h = tables("by_hand");
	TCase *l = tables("lists");

	tcase_add_test(v, a_relay_s_refusal_moves_a_sent_row);
	tcase_add_test(
	    v, a_refusal_that_came_before_the_row_was_sent_is_heeded);
	tcase_add_test(
	    v, a_verdict_on_a_row_that_is_no_more_sent_changes_nothing);
	tcase_add_test(v, only_what_failed_here_is_retried_when_its_time_comes);
	tcase_add_test(v, failures_of_others_become_letters_from_now_on);
	tcase_add_test(v, a_failure_that_is_saved_late_becomes_one_letter);
	tcase_add_test(v, many_failures_at_once_are_as_many_letters);
	suite_add_tcase(s, v);
	tcase_add_test(h, only_sent_and_refused_ones_are_resent);
	tcase_add_test(h, what_is_resent_by_hand_has_all_its_tries_again);
	tcase_add_test(h, a_deletion_takes_the_meta_along_and_nothing_in_hand);
	suite_add_tcase(s, h);
	tcase_add_loop_test(l, rows_are_found_as_message_activity_finds_them, 0,
	    (int)NELEMS(filters));
	tcase_add_test(l, dates_are_a_filter_too);
	tcase_add_test(l, a_message_is_shown_with_what_is_known_of_it);
	tcase_add_test(l, rows_are_counted_by_status);
	suite_add_tcase(s, l);
	return s;
}
