/*
 * The journal of Event Espresso's messages: claims, what becomes of them, and
 * what is put back when PHP or this program died.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "messages_fixture.h"
#include "queues/messages_internal.h"

Suite *messages_journal_suite(void);

#define CLAIM 77
#define TERM_MS 60000

static struct arena arena = ARENA_INIT((size_t)64 << 20);
static const struct messages_policy boxed = {
	.retries = 2,
	.backoff_min_ms = 1000,
	.backoff_max_ms = 3000,
	.outbox = true,
};
static const struct messages_policy plain = {
	.retries = 2,
	.backoff_min_ms = 1000,
	.backoff_max_ms = 3000,
};

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

static size_t
claim(enum messages_lane lane, uint64_t by, const uint64_t *ids, size_t n,
    struct messages_claim **out)
{
	size_t got;

	CK_RC(RC_OK, messages_claim(t.db, &t.scope, 1, lane, by, ids, n,
			 TERM_MS, &arena, out, &got, &t.err));
	return got;
}

static void
claim_begun(enum messages_lane lane, uint64_t id)
{
	struct messages_claim *c;

	ck_assert_uint_eq(claim(lane, CLAIM, &id, 1, &c), 1);
	CK_RC(RC_OK, messages_begun(t.db, &t.scope, 1, lane, CLAIM, &t.err));
}

static void
settle(enum messages_lane lane, uint64_t id, enum messages_end end,
    const char *reason)
{
	const struct messages_result r = {
		.id = id, .end = end, .reason = slice_str(reason), .tries = 1
	};

	CK_RC(RC_OK,
	    messages_settle(t.db, &t.scope, 1, lane, CLAIM, &r, 1, &t.err));
}

static struct messages_recovered
resolve(
    enum messages_lane lane, uint64_t id, const struct messages_policy *policy)
{
	struct messages_recovered got;

	CK_RC(RC_OK, messages_resolve(t.db, &t.scope, 1, lane, CLAIM, &id, 1,
			 policy, &got, &t.err));
	return got;
}

static uint64_t
letters(uint64_t id)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters WHERE"
			   " kind = 'message' AND source = %" PRIu64,
	    id);
}

#define STATE_IS(id, lane, want)                                               \
	ck_assert_str_eq(messages_fixture_journal(id, lane, "state"), want)
#define STATUS_IS(id, want) ck_assert_str_eq(messages_fixture_status(id), want)

/* ---- claims ---- */

START_TEST(a_row_is_claimed_once)
{
	uint64_t ids[3] = { messages_fixture_add("MID", 10, 9, "payment"),
		messages_fixture_add("MSN", 10, 9, "payment"),
		messages_fixture_add("MRS", 10, 9, "payment") };
	struct messages_claim *c;

	ck_assert_uint_eq(claim(MESSAGES_SEND, CLAIM, ids, 3, &c), 2);
	ck_assert_uint_eq(c[0].id, ids[0]);
	ck_assert_str_eq(c[0].was, "MID");
	ck_assert_uint_eq(c[0].sending, 1);
	ck_assert_uint_eq(c[1].id, ids[2]);
	ck_assert_str_eq(c[1].was, "MRS");
	ck_assert_uint_eq(claim(MESSAGES_SEND, CLAIM + 1, ids, 3, &c), 0);
	STATE_IS(ids[0], "send", "claimed");
	ck_assert_str_eq(
	    messages_fixture_journal(ids[0], "send", "claim_id"), "77");
	CK_RC(RC_OK,
	    messages_begun(t.db, &t.scope, 1, MESSAGES_SEND, CLAIM, &t.err));
	ck_assert_uint_eq(claim(MESSAGES_SEND, CLAIM + 1, ids, 3, &c), 0);
	STATE_IS(ids[0], "send", "running");
}
END_TEST

START_TEST(the_number_of_a_sending_grows_only_with_a_new_one)
{
	uint64_t id = messages_fixture_add("MID", 10, 9, "payment");
	struct messages_claim *c;

	claim_begun(MESSAGES_SEND, id);
	settle(MESSAGES_SEND, id, MESSAGES_BACK, "");
	ck_assert_uint_eq(claim(MESSAGES_SEND, CLAIM, &id, 1, &c), 1);
	ck_assert_uint_eq(c->sending, 1);
	settle(MESSAGES_SEND, id, MESSAGES_PASSED, "not installed");
	ck_assert_uint_eq(claim(MESSAGES_SEND, CLAIM, &id, 1, &c), 1);
	ck_assert_uint_eq(c->sending, 1);
	settle(MESSAGES_SEND, id, MESSAGES_FAILED, "no");
	ck_assert_uint_eq(claim(MESSAGES_SEND, CLAIM, &id, 1, &c), 1);
	ck_assert_uint_eq(c->sending, 2);
	ck_assert_uint_eq(c->tries, 1);
	settle(MESSAGES_SEND, id, MESSAGES_DONE, "");
	ck_assert_uint_eq(claim(MESSAGES_SEND, CLAIM, &id, 1, &c), 1);
	ck_assert_uint_eq(c->sending, 3);
	ck_assert_uint_eq(c->tries, 0);
}
END_TEST

START_TEST(what_is_still_being_written_is_left_alone)
{
	uint64_t id = messages_fixture_add("MIC", 10, 9, "payment");
	uint64_t old = messages_fixture_add("MIC", 10, 9000, "payment");
	struct messages_claim *c;

	db_test_sql("DELETE FROM wp_esp_extra_meta");
	ck_assert_uint_eq(claim(MESSAGES_GENERATE, CLAIM, &id, 1, &c), 0);
	STATE_IS(id, "generate", "passed");
	/* Nobody writes it any more: PHP is to fail it. */
	ck_assert_uint_eq(claim(MESSAGES_GENERATE, CLAIM, &old, 1, &c), 1);
}
END_TEST

START_TEST(another_s_claim_is_not_settled)
{
	uint64_t id = messages_fixture_add("MID", 10, 9, "payment");
	const struct messages_result r = { .id = id, .end = MESSAGES_DONE };

	claim_begun(MESSAGES_SEND, id);
	CK_RC(RC_OK, messages_settle(t.db, &t.scope, 1, MESSAGES_SEND,
			 CLAIM + 1, &r, 1, &t.err));
	STATE_IS(id, "send", "running");
}
END_TEST

START_TEST(what_is_refused_for_good_has_a_letter_without_addresses)
{
	uint64_t id = messages_fixture_add("MRT", 10, 9, "payment");

	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MID'");
	claim_begun(MESSAGES_SEND, id);
	settle(MESSAGES_SEND, id, MESSAGES_REFUSED,
	    "could not send to guest@example.test");
	STATE_IS(id, "send", "refused");
	ck_assert_uint_eq(letters(id), 1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM"
				      " wp_wpcron_dead_letters WHERE"
				      " reason LIKE '%%guest@%%'"),
	    0);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM"
				      " wp_wpcron_dead_letters WHERE title ="
				      " 'email payment (attendee)'"),
	    1);
}
END_TEST

/* ---- copies ---- */

START_TEST(a_copy_of_any_bytes_is_read_back)
{
	char bytes[256];
	struct messages_copy c = { .nmeta = 2 }, back;
	struct messages_meta meta[2];
	struct buf json = BUF_INIT(1 << 16);

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)i;
	for (size_t i = 0; i < MESSAGES_COLUMNS; i++)
		c.columns[i] = slice_mem(bytes, i * 17);
	c.columns[3] = SLICE_NONE;
	meta[0] = (struct messages_meta){ SLICE_LIT("k"),
		slice_mem(bytes, sizeof bytes) };
	meta[1] = (struct messages_meta){ SLICE_LIT(""), SLICE_NONE };
	c.meta = meta;
	messages_copy_put(&json, &c);
	ck_assert(!json.failed);
	CK_RC(RC_OK,
	    messages_copy_parse(buf_slice(&json), &arena, &back, &t.err));
	for (size_t i = 0; i < MESSAGES_COLUMNS; i++) {
		ck_assert(slice_eq(back.columns[i], c.columns[i]));
		ck_assert(!back.columns[i].p == !c.columns[i].p);
	}
	ck_assert_uint_eq(back.nmeta, 2);
	ck_assert(slice_eq(back.meta[0].value, meta[0].value));
	ck_assert_ptr_null(back.meta[1].value.p);
	buf_clear(&json);
}
END_TEST

START_TEST(a_broken_copy_is_refused)
{
	static const char *const broken[] = { "", "{", "[]", "{\"row\":[]}",
		"{\"row\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15],\"meta\":[]}" };
	struct messages_copy c;

	for (size_t i = 0; i < NELEMS(broken); i++)
		CK_RC(RC_REJECT, messages_copy_parse(
				     slice_str(broken[i]), &arena, &c, &t.err));
}
END_TEST

/* ---- generation ---- */

START_TEST(a_row_that_php_deleted_and_died_is_put_back_whole)
{
	uint64_t id = messages_fixture_add("MIC", 20, 900, "registration");
	struct messages_recovered got;
	uint64_t before, after;

	db_test_sql("UPDATE wp_esp_message SET GRP_ID = NULL, MSG_subject ="
		    " _utf8mb4 x'F09F98802720225C', MSG_content = REPEAT("
		    "'x', 100000)");
	before = db_test_u64(
	    "SELECT CRC32(CONCAT_WS('|', MSG_token, TXN_ID, MSG_subject,"
	    " MSG_content, MSG_modified, MSG_created, MSG_priority, STS_ID,"
	    " IFNULL(GRP_ID, 'null'))) FROM wp_esp_message");
	claim_begun(MESSAGES_GENERATE, id);
	db_test_sql("DELETE FROM wp_esp_message");
	db_test_sql("DELETE FROM wp_esp_extra_meta WHERE EXM_key ="
		    " 'MSG_generation_data'");
	got = resolve(MESSAGES_GENERATE, id, &boxed);
	ck_assert_uint_eq(got.restored, 1);
	STATUS_IS(id, "MIC");
	after = db_test_u64(
	    "SELECT CRC32(CONCAT_WS('|', MSG_token, TXN_ID, MSG_subject,"
	    " MSG_content, MSG_modified, MSG_created, MSG_priority, STS_ID,"
	    " IFNULL(GRP_ID, 'null'))) FROM wp_esp_message");
	ck_assert_uint_eq(before, after);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_esp_extra_meta"
				      " WHERE EXM_type = 'Message' AND OBJ_ID"
				      " = %" PRIu64,
			      id),
	    2);
	STATE_IS(id, "generate", "passed");
	ck_assert_str_eq(
	    messages_fixture_journal(id, "generate", "tries"), "1");
	/* Once more: there is nothing to do. */
	got = resolve(MESSAGES_GENERATE, id, &boxed);
	ck_assert_uint_eq(got.restored, 0);
}
END_TEST

START_TEST(a_row_that_is_there_is_not_put_back)
{
	uint64_t id = messages_fixture_add("MIC", 20, 900, "registration");

	claim_begun(MESSAGES_GENERATE, id);
	ck_assert_uint_eq(resolve(MESSAGES_GENERATE, id, &boxed).restored, 0);
	STATUS_IS(id, "MIC");
	STATE_IS(id, "generate", "passed");
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM"
				      " wp_esp_extra_meta"),
	    2);
}
END_TEST

START_TEST(a_row_that_was_never_begun_is_not_put_back)
{
	uint64_t id = messages_fixture_add("MIC", 20, 900, "registration");
	struct messages_claim *c;

	ck_assert_uint_eq(claim(MESSAGES_GENERATE, CLAIM, &id, 1, &c), 1);
	db_test_sql("DELETE FROM wp_esp_message");
	ck_assert_uint_eq(resolve(MESSAGES_GENERATE, id, &boxed).restored, 0);
	STATUS_IS(id, "");
}
END_TEST

START_TEST(a_known_end_is_not_taken_back)
{
	uint64_t id = messages_fixture_add("MIC", 20, 900, "registration");

	claim_begun(MESSAGES_GENERATE, id);
	settle(MESSAGES_GENERATE, id, MESSAGES_DONE, "");
	db_test_sql("DELETE FROM wp_esp_message");
	ck_assert_uint_eq(resolve(MESSAGES_GENERATE, id, &boxed).restored, 0);
	STATUS_IS(id, "");
	ck_assert_str_eq(messages_fixture_journal(id, "generate", "copy"), "");
}
END_TEST

START_TEST(one_that_kills_php_again_and_again_makes_room)
{
	uint64_t id = messages_fixture_add("MIC", 20, 900, "registration");

	for (int i = 0; i < 5; i++) {
		db_test_sql("UPDATE wp_wpcron_messages SET not_before ="
			    " UTC_TIMESTAMP(6)");
		claim_begun(MESSAGES_GENERATE, id);
		ck_assert_uint_eq(letters(id), 0);
		resolve(MESSAGES_GENERATE, id, &boxed);
	}
	ck_assert_uint_eq(letters(id), 1);
	ck_assert_uint_eq(db_test_u64("SELECT not_before > UTC_TIMESTAMP()"
				      " + INTERVAL 23 HOUR FROM"
				      " wp_wpcron_messages"),
	    1);
}
END_TEST

/* ---- sending ---- */

static const struct {
	const char *was, *found;
	bool outbox;
	const char *status, *state;
	unsigned letters;
} ends[] = {
	{ "MID", "MEX", true, "MID", "passed", 0 },
	{ "MRS", "MEX", true, "MRS", "passed", 0 },
	{ "MID", "MEX", false, "MRT", "refused", 1 },
	{ "MID", "MSN", true, "MSN", "done", 0 },
	{ "MID", "MRT", true, "MRT", "failed", 0 },
	{ "MID", "MFL", true, "MFL", "refused", 1 },
	{ "MID", "MID", true, "MID", "passed", 0 },
	{ "MID", "", true, "", "done", 0 },
};

START_TEST(the_row_tells_what_became_of_a_sending)
{
	uint64_t id = messages_fixture_add(ends[_i].was, 20, 900, "payment");

	claim_begun(MESSAGES_SEND, id);
	if (*ends[_i].found)
		db_test_sql(
		    "UPDATE wp_esp_message SET STS_ID = '%s'", ends[_i].found);
	else
		db_test_sql("DELETE FROM wp_esp_message");
	resolve(MESSAGES_SEND, id, ends[_i].outbox ? &boxed : &plain);
	STATUS_IS(id, ends[_i].status);
	STATE_IS(id, "send", ends[_i].state);
	ck_assert_uint_eq(letters(id), ends[_i].letters);
}
END_TEST

START_TEST(one_that_kills_php_at_each_sending_ends_as_a_letter)
{
	uint64_t id = messages_fixture_add("MID", 20, 900, "payment");

	claim_begun(MESSAGES_SEND, id);
	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MEX'");
	db_test_sql("UPDATE wp_wpcron_messages SET tries = %u",
	    (unsigned)boxed.retries);
	resolve(MESSAGES_SEND, id, &boxed);
	STATUS_IS(id, "MRT");
	STATE_IS(id, "send", "refused");
	ck_assert_uint_eq(letters(id), 1);
}
END_TEST

START_TEST(what_php_executes_by_itself_is_not_put_back)
{
	uint64_t id = messages_fixture_add("MID", 20, 900, "payment");
	struct messages_recovered got;

	claim_begun(MESSAGES_SEND, id);
	db_test_sql("UPDATE wp_wpcron_messages SET state = 'claimed',"
		    " deadline = UTC_TIMESTAMP(6)");
	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MEX'");
	CK_RC(RC_OK, messages_recover(t.db, &t.scope, 1, &boxed, &got, &t.err));
	ck_assert_uint_eq(got.reset + got.unknown, 0);
	STATUS_IS(id, "MEX");
	STATE_IS(id, "send", "done");
}
END_TEST

START_TEST(a_message_that_may_have_left_says_so)
{
	uint64_t id = messages_fixture_add("MID", 20, 900, "payment"), n;

	db_test_sql("INSERT INTO wp_esp_extra_meta (OBJ_ID, EXM_type,"
		    " EXM_key, EXM_value) VALUES (%" PRIu64
		    ", 'Message', 'MSG_error', 'a'), (%" PRIu64
		    ", 'Message', 'MSG_error', 'b')",
	    id, id);
	claim_begun(MESSAGES_SEND, id);
	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MEX'");
	ck_assert_uint_eq(resolve(MESSAGES_SEND, id, &plain).unknown, 1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_esp_extra_meta"
				      " WHERE EXM_value LIKE '%%Nobody knows"
				      "%%'"),
	    2);
	CK_RC(RC_OK, messages_retry(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	STATUS_IS(id, "MRT");
}
END_TEST

START_TEST(claims_of_the_dead_are_found_when_their_term_is_over)
{
	uint64_t mic = messages_fixture_add("MIC", 20, 900, "registration");
	uint64_t mid = messages_fixture_add("MID", 20, 900, "payment");
	uint64_t foreign = messages_fixture_add("MEX", 20, 900, "payment");
	struct messages_recovered got;
	struct messages_counts counts;

	claim_begun(MESSAGES_GENERATE, mic);
	claim_begun(MESSAGES_SEND, mid);
	db_test_sql("DELETE FROM wp_esp_message WHERE STS_ID = 'MIC'");
	db_test_sql("UPDATE wp_esp_message SET STS_ID = 'MEX'");
	CK_RC(RC_OK, messages_recover(t.db, &t.scope, 1, &boxed, &got, &t.err));
	ck_assert_uint_eq(got.restored + got.reset, 0);
	CK_RC(RC_OK, messages_count(t.db, &t.scope, 1, &counts, &t.err));
	ck_assert_uint_eq(counts.foreign_mex, 1);
	db_test_sql("UPDATE wp_wpcron_messages SET deadline ="
		    " UTC_TIMESTAMP(6)");
	CK_RC(RC_OK, messages_recover(t.db, &t.scope, 1, &boxed, &got, &t.err));
	ck_assert_uint_eq(got.restored, 1);
	ck_assert_uint_eq(got.reset, 1);
	STATUS_IS(mic, "MIC");
	STATUS_IS(mid, "MID");
	STATUS_IS(foreign, "MEX");
}
END_TEST

START_TEST(the_backoff_doubles_up_to_its_end)
{
	ck_assert_int_eq(messages_backoff_ms(&boxed, 0), 1000);
	ck_assert_int_eq(messages_backoff_ms(&boxed, 1), 2000);
	ck_assert_int_eq(messages_backoff_ms(&boxed, 2), 3000);
	ck_assert_int_eq(messages_backoff_ms(&boxed, 40), 3000);
}
END_TEST

START_TEST(old_entries_are_forgotten)
{
	uint64_t id = messages_fixture_add("MID", 20, 900, "payment");
	uint64_t held = messages_fixture_add("MID", 20, 900, "payment");

	claim_begun(MESSAGES_SEND, id);
	settle(MESSAGES_SEND, id, MESSAGES_DONE, "");
	claim_begun(MESSAGES_SEND, held);
	CK_RC(RC_OK, messages_expire(t.db, &t.scope, 1, 90, &t.err));
	STATE_IS(id, "send", "done");
	db_test_sql("UPDATE wp_wpcron_messages SET ended_at ="
		    " UTC_TIMESTAMP(6) - INTERVAL 91 DAY");
	CK_RC(RC_OK, messages_expire(t.db, &t.scope, 1, 90, &t.err));
	STATE_IS(id, "send", "");
	STATE_IS(held, "send", "running");
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
messages_journal_suite(void)
{
	Suite *s = suite_create("messages_journal");
	TCase *c = tables("claims"), *g = tables("generation");
	TCase *o = tables("sending");

	tcase_add_test(c, a_row_is_claimed_once);
	tcase_add_test(c, the_number_of_a_sending_grows_only_with_a_new_one);
	tcase_add_test(c, what_is_still_being_written_is_left_alone);
	tcase_add_test(c, another_s_claim_is_not_settled);
	tcase_add_test(
	    c, what_is_refused_for_good_has_a_letter_without_addresses);
	suite_add_tcase(s, c);
	tcase_add_test(g, a_copy_of_any_bytes_is_read_back);
	tcase_add_test(g, a_broken_copy_is_refused);
	tcase_add_test(g, a_row_that_php_deleted_and_died_is_put_back_whole);
	tcase_add_test(g, a_row_that_is_there_is_not_put_back);
	tcase_add_test(g, a_row_that_was_never_begun_is_not_put_back);
	tcase_add_test(g, a_known_end_is_not_taken_back);
	tcase_add_test(g, one_that_kills_php_again_and_again_makes_room);
	suite_add_tcase(s, g);
	tcase_add_loop_test(
	    o, the_row_tells_what_became_of_a_sending, 0, (int)NELEMS(ends));
	tcase_add_test(o, one_that_kills_php_at_each_sending_ends_as_a_letter);
	tcase_add_test(o, what_php_executes_by_itself_is_not_put_back);
	tcase_add_test(o, a_message_that_may_have_left_says_so);
	tcase_add_test(o, claims_of_the_dead_are_found_when_their_term_is_over);
	tcase_add_test(o, the_backoff_doubles_up_to_its_end);
	tcase_add_test(o, old_entries_are_forgotten);
	suite_add_tcase(s, o);
	return s;
}
