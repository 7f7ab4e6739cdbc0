/*
 * Retries of contacts as rows of Action Scheduler.
 */
#include <stdio.h>
#include <string.h>

#include "actions_fixture.h"
#include "base/macros.h"
#include "queues/contacts.h"

Suite *contacts_retry_suite(void);

#define NOW INT64_C(1700000000)
#define GROUPS "wp_actionscheduler_groups"
#define PUSH_HOOK "newspack_contact_sync_retry"
#define PULL_HOOK "newspack_contact_pull_retry"

static struct arena arena = ARENA_INIT((size_t)64 << 20);

static struct contact_retry
retry(enum contact_direction d, uint64_t user, const char *integration)
{
	return (struct contact_retry){ .direction = d,
		.user_id = user,
		.integration = slice_str(integration),
		.context = SLICE_LIT("Recurring sync routine"),
		.count = 1,
		.reason = SLICE_LIT("it was away") };
}

static enum rc
add(const struct contact_retry *r)
{
	return contact_retry_add(t.db, fx.q, r, NOW, &t.err);
}

static uint64_t
rows(const char *where)
{
	return db_test_u64("SELECT COUNT(*) FROM " A " WHERE %s", where);
}

static size_t
retries(enum contact_direction d, struct contact_retry **out)
{
	size_t n;

	CK_RC(RC_OK,
	    contact_retries_read(t.db, &t.scope, d, &arena, out, &n, &t.err));
	return n;
}

/* ---- the row ---- */

START_TEST(a_short_row_is_as_php_writes_it)
{
	struct contact_retry r = retry(CONTACT_PULL, 7, "esp");

	fx_open(_i);
	CK_RC(RC_OK, add(&r));
	ck_assert_uint_eq(
	    rows("hook = '" PULL_HOOK "' AND status = 'pending'"
		 " AND scheduled_date_gmt = '2023-11-14 22:13:50'"
		 " AND scheduled_date_local = '2023-11-14 22:13:50'"
		 " AND args = '[{\"integration_id\":\"esp\",\"user_id\":7,"
		 "\"retry_count\":1,\"max_retries\":5,\"reason\":\"it was"
		 " away\"}]' AND extended_args IS NULL"
		 " AND schedule = CONCAT("
		 "'O:30:\"ActionScheduler_SimpleSchedule\":2:{s:22:\"', "
		 "0x002A00,"
		 " 'scheduled_timestamp\";i:1700000030;s:41:\"', 0x00,"
		 " 'ActionScheduler_SimpleSchedule', 0x00,"
		 " 'timestamp\";i:1700000030;}')"
		 " AND group_id = (SELECT group_id FROM " GROUPS
		 " WHERE slug = 'newspack-integration-esp')"
		 " AND attempts = 0 AND claim_id = 0"
		 " AND last_attempt_gmt = 0 AND last_attempt_local = 0"),
	    1);
	ck_assert_uint_eq(rows("1"), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " LOGS " AS l JOIN " A
			" AS a USING (action_id) WHERE l.message ="
			" 'action created' AND log_date_gmt ="
			" '2023-11-14 22:13:20'"),
	    1);
	if (_i >= 7)
		ck_assert_uint_eq(rows("priority = 10"), 1);
	if (_i >= 9)
		ck_assert_uint_eq(rows("unique_key IS NULL"), 1);
}
END_TEST

START_TEST(a_long_row_is_found_by_its_hash)
{
	struct contact_retry r = retry(CONTACT_PUSH, 7, "esp"), *back;
	char reason[400];

	fx_open(_i);
	memset(reason, '/', sizeof reason);
	r.reason = slice_mem(reason, sizeof reason);
	CK_RC(RC_OK, add(&r));
	ck_assert_uint_eq(rows("args = MD5(extended_args)"
			       " AND extended_args LIKE '[{%\\\\\\\\/\\\\\\\\/"
			       "%\"previous_email\":\"\"}]'"),
	    1);
	ck_assert_uint_eq(retries(CONTACT_PUSH, &back), 1);
	ck_assert(slice_eq(back[0].reason, r.reason));
	ck_assert(slice_eq(back[0].context, r.context));
}
END_TEST

START_TEST(a_row_is_due_after_its_delay)
{
	struct contact_retry r = retry(CONTACT_PULL, 7, "esp");

	fx_open(FX_LAST_SCHEMA);
	for (r.count = 1; r.count <= CONTACT_MAX_RETRIES; r.count++) {
		r.user_id = r.count;
		CK_RC(RC_OK, add(&r));
		ck_assert_uint_eq(
		    db_test_u64("SELECT COUNT(*) FROM " A
				" WHERE scheduled_date_gmt ="
				" '2023-11-14 22:13:20' + INTERVAL %lld SECOND"
				" AND args LIKE '%%\"retry_count\":%u,%%'",
			(long long)contact_retry_delay_s(r.count), r.count),
		    1);
	}
}
END_TEST

START_TEST(a_retry_that_cannot_be_is_refused)
{
	struct contact_retry r = retry(CONTACT_PULL, 7, "esp");

	fx_open(FX_LAST_SCHEMA);
	r.count = 6;
	CK_RC(RC_REJECT, add(&r));
	r.count = 0;
	CK_RC(RC_REJECT, add(&r));
	r = retry(CONTACT_PULL, 0, "esp");
	CK_RC(RC_REJECT, add(&r));
	r = retry(CONTACT_PULL, 7, "");
	CK_RC(RC_REJECT, add(&r));
	ck_assert_uint_eq(rows("1"), 0);
}
END_TEST

START_TEST(a_group_that_is_there_is_used)
{
	struct contact_retry r = retry(CONTACT_PULL, 7, "esp");

	fx_open(FX_LAST_SCHEMA);
	/* Two, as PHP makes them when two processes are at it. */
	db_test_sql("INSERT INTO " GROUPS " (group_id, slug) VALUES"
		    " (40, 'newspack-integration-other'),"
		    " (41, 'newspack-integration-esp'),"
		    " (42, 'newspack-integration-esp')");
	CK_RC(RC_OK, add(&r));
	ck_assert_uint_eq(rows("group_id = 41"), 1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " GROUPS), 3);
	r = retry(CONTACT_PUSH, 7, "mailer");
	CK_RC(RC_OK, add(&r));
	ck_assert_uint_eq(rows("group_id > 42"), 1);
}
END_TEST

START_TEST(a_line_goes_into_the_log)
{
	char longest[9000];
	uint64_t id;

	fx_open(FX_LAST_SCHEMA);
	id = fx_row("h", 10, "[]", SIMPLE);
	CK_RC(RC_OK,
	    contact_action_log(t.db, fx.q, id,
		SLICE_LIT("Max retries exhausted. 100% 'so'"), NOW, &t.err));
	ck_assert_uint_eq(
	    fx_logged(id, "Max retries exhausted. 100\\\\% ''so''"), 1);
	for (size_t i = 0; i < sizeof longest; i += 2)
		memcpy(longest + i, "\xC3\xA9", 2);
	CK_RC(RC_OK, contact_action_log(t.db, fx.q, id,
			 slice_mem(longest, sizeof longest), NOW, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT LENGTH(message) FROM " LOGS
				      " ORDER BY log_id DESC LIMIT 1"),
	    4000);
}
END_TEST

/* ---- once only ---- */

START_TEST(one_that_waits_or_runs_is_enough)
{
	struct contact_retry r = retry(CONTACT_PUSH, 7, "esp"), other;

	fx_open(_i);
	CK_RC(RC_OK, add(&r));
	CK_RC(RC_NONE, add(&r));
	r.count = 2;
	CK_RC(RC_NONE, add(&r));
	db_test_sql("UPDATE " A " SET status = 'in-progress', claim_id = 5");
	CK_RC(RC_NONE, add(&r));
	/* The chain itself goes on: the row that runs is its own. */
	r.action_id = db_test_u64("SELECT MAX(action_id) FROM " A);
	CK_RC(RC_OK, add(&r));
	CK_RC(RC_NONE, add(&r));
	ck_assert_uint_eq(rows("1"), 2);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " LOGS), 2);
	/* Others are others. */
	other = retry(CONTACT_PUSH, 77, "esp");
	CK_RC(RC_OK, add(&other));
	other = retry(CONTACT_PUSH, 7, "mailer");
	CK_RC(RC_OK, add(&other));
	other = retry(CONTACT_PULL, 7, "esp");
	CK_RC(RC_OK, add(&other));
}
END_TEST

START_TEST(one_that_is_over_is_none)
{
	static const char *const over[] = { "complete", "failed", "canceled" };
	struct contact_retry r = retry(CONTACT_PUSH, 7, "esp");

	fx_open(FX_LAST_SCHEMA);
	for (size_t i = 0; i < NELEMS(over); i++) {
		CK_RC(RC_OK, add(&r));
		db_test_sql("UPDATE " A " SET status = '%s'", over[i]);
	}
	ck_assert_uint_eq(rows("1"), NELEMS(over));
}
END_TEST

START_TEST(many_are_added_with_one_look)
{
	struct contact_retry r[1201];
	bool added[NELEMS(r)];
	size_t n = 0;

	fx_open(FX_LAST_SCHEMA);
	for (size_t i = 0; i < NELEMS(r); i++)
		r[i] = retry(
		    i % 2 ? CONTACT_PULL : CONTACT_PUSH, 1 + i / 2, "esp");
	r[9] = r[7]; /* the same twice */
	CK_RC(RC_OK, add(&r[3]));
	CK_RC(RC_OK,
	    contact_retries_add(t.db, fx.q, r, NELEMS(r), NOW, added, &t.err));
	for (size_t i = 0; i < NELEMS(r); i++) {
		n += added[i];
		ck_assert(added[i] == (i != 3 && i != 9));
	}
	ck_assert_uint_eq(n, 1199);
	ck_assert_uint_eq(rows("1"), 1200);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " LOGS), 1200);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " GROUPS), 1);
	CK_RC(RC_OK,
	    contact_retries_add(t.db, fx.q, r, NELEMS(r), NOW, added, &t.err));
	for (size_t i = 0; i < NELEMS(r); i++)
		ck_assert(!added[i]);
	CK_RC(RC_OK, contact_retries_add(t.db, fx.q, r, 0, NOW, added, &t.err));
}
END_TEST

/* ---- nodes at once ---- */

#define NODES 4
#define READERS 60

struct node {
	struct actions *q;
	uint64_t first, added;
	bool many;
};

static void
add_one_by_one(struct node *n, struct db *db)
{
	for (uint64_t i = 0; i < READERS; i++) {
		struct contact_retry r =
		    retry(CONTACT_PUSH, 1 + (n->first + i) % READERS, "esp");
		struct err err = ERR_INIT;
		enum rc rc = contact_retry_add(db, n->q, &r, NOW, &err);

		ck_assert_msg(rc == RC_OK || rc == RC_NONE, "%s", err.text);
		n->added += rc == RC_OK;
	}
}

static void
add_together(struct node *n, struct db *db)
{
	struct contact_retry r[READERS];
	struct err err = ERR_INIT;
	bool added[READERS];
	enum rc rc;

	for (uint64_t i = 0; i < READERS; i++)
		r[i] = retry(CONTACT_PUSH, 1 + (n->first + i) % READERS, "esp");
	rc = contact_retries_add(db, n->q, r, READERS, NOW, added, &err);
	ck_assert_msg(rc == RC_OK, "%s", err.text);
	for (size_t i = 0; i < READERS; i++)
		n->added += added[i];
}

static void *
node_main(void *arg)
{
	struct node *n = arg;
	struct db *db;

	db_thread_begin();
	db = db_test_connect();
	if (n->many)
		add_together(n, db);
	else
		add_one_by_one(n, db);
	db_close(db);
	db_thread_end();
	return NULL;
}

START_TEST(nodes_that_add_the_same_at_once_add_one)
{
	struct node nodes[NODES];
	pthread_t thread[NODES];
	uint64_t added = 0, id;

	fx_open(FX_LAST_SCHEMA);
	for (size_t i = 0; i < NODES; i++) {
		nodes[i] = (struct node){ .q = fx_queue(t.db, &id),
			.first = i * 7,
			.many = _i == 2 || (_i == 1 && i % 2) };
		ck_assert_int_eq(
		    pthread_create(&thread[i], NULL, node_main, &nodes[i]), 0);
	}
	for (size_t i = 0; i < NODES; i++) {
		pthread_join(thread[i], NULL);
		added += nodes[i].added;
		actions_free(nodes[i].q);
	}
	ck_assert_uint_eq(added, READERS);
	ck_assert_uint_eq(rows("1"), READERS);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(DISTINCT args) FROM " A), READERS);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " GROUPS), 1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " LOGS), READERS);
}
END_TEST

START_TEST(after_a_lost_connection_the_row_is_there_once)
{
	struct contact_retry r = retry(CONTACT_PUSH, 7, "esp");
	struct db *db;

	fx_open(FX_LAST_SCHEMA);
	CK_RC(RC_OK, add(&r));
	db_test_sql("DELETE FROM " A);
	db = db_test_connect();
	db_test_sql("KILL %llu", (unsigned long long)db_connection_id(db));
	CK_RC(RC_RETRY, contact_retry_add(db, fx.q, &r, NOW, &t.err));
	ck_assert(db_is_lost(db));
	db_close(db);
	ck_assert_uint_eq(rows("1"), 0);
	CK_RC(RC_OK, add(&r));
	CK_RC(RC_NONE, add(&r));
	ck_assert_uint_eq(rows("1"), 1);
}
END_TEST

START_TEST(a_server_that_refuses_a_row_leaves_nothing_half_done)
{
	struct contact_retry r = retry(CONTACT_PUSH, 7, "esp");

	fx_open(FX_LAST_SCHEMA);
	db_test_sql("RENAME TABLE " LOGS " TO other_logs");
	CK_RC(RC_REJECT, add(&r));
	ck_assert_uint_eq(rows("1"), 0);
	db_test_sql("RENAME TABLE other_logs TO " LOGS);
	CK_RC(RC_OK, add(&r));
}
END_TEST

/* ---- reading ---- */

static void
row(const char *hook, const char *status, const char *args,
    const char *extended)
{
	db_test_sql("INSERT INTO " A " (hook, status, args, extended_args)"
		    " VALUES ('%s', '%s', '%s', %s)",
	    hook, status, args, extended);
}

START_TEST(what_waits_and_runs_is_read_by_reader)
{
	struct contact_retry *r;

	fx_open(_i);
	row(PUSH_HOOK, "pending", "hash",
	    "'[{\"integration_id\":\"esp\",\"user_id\":9,\"retry_count\":2}]'");
	row(PUSH_HOOK, "in-progress",
	    "[{\"integration_id\":\"mailer\",\"user_id\":\"3\"}]", "''");
	row(PUSH_HOOK, "pending",
	    "[{\"integration_id\":\"esp\",\"user_id\":3}]", "NULL");
	/* None of these. */
	row(PUSH_HOOK, "complete",
	    "[{\"integration_id\":\"esp\",\"user_id\":4}]", "NULL");
	row(PULL_HOOK, "pending",
	    "[{\"integration_id\":\"esp\",\"user_id\":5}]", "NULL");
	row("Newspack_Contact_Sync_Retry", "pending",
	    "[{\"integration_id\":\"esp\",\"user_id\":6}]", "NULL");
	row(PUSH_HOOK, "pending",
	    "[{\"integration_id\":\"esp\",\"contact\":{\"email\":\"a@b.c\"}}]",
	    "NULL");
	row(PUSH_HOOK, "pending", "[\"no object\"]", "NULL");
	row(PUSH_HOOK, "pending", "no JSON", "NULL");
	db_test_sql("INSERT INTO " A " (hook, status, args) VALUES ('" PUSH_HOOK
		    "', 'pending', NULL)");
	ck_assert_uint_eq(retries(CONTACT_PUSH, &r), 3);
	ck_assert_uint_eq(r[0].user_id, 3);
	ck_assert(slice_eq_str(r[0].integration, "esp"));
	ck_assert(!r[0].running);
	ck_assert(slice_eq_str(r[1].integration, "mailer"));
	ck_assert(r[1].running);
	ck_assert_uint_eq(r[2].user_id, 9);
	ck_assert_uint_eq(r[2].count, 2);
	ck_assert(contact_retries_has(r, 3, 3, SLICE_LIT("esp")));
	ck_assert(contact_retries_has(r, 3, 3, SLICE_LIT("mailer")));
	ck_assert(contact_retries_has(r, 3, 9, SLICE_LIT("esp")));
	ck_assert(!contact_retries_has(r, 3, 9, SLICE_LIT("mailer")));
	ck_assert(!contact_retries_has(r, 3, 9, SLICE_LIT("es")));
	ck_assert(!contact_retries_has(r, 3, 4, SLICE_LIT("esp")));
	ck_assert(!contact_retries_has(NULL, 0, 3, SLICE_LIT("esp")));
}
END_TEST

START_TEST(without_the_tables_there_are_none)
{
	struct contact_retry *r;

	ck_assert_uint_eq(retries(CONTACT_PUSH, &r), 0);
	/* As old as no version that runs here. */
	db_test_actions(2);
	db_test_sql("INSERT INTO " A " (hook, status, args) VALUES ('" PUSH_HOOK
		    "', 'pending',"
		    " '[{\"integration_id\":\"esp\",\"user_id\":5}]')");
	ck_assert_uint_eq(retries(CONTACT_PUSH, &r), 1);
}
END_TEST

START_TEST(no_number_of_retries_is_a_page)
{
	struct contact_retry *r;
	size_t n;

	fx_open(FX_LAST_SCHEMA);
	db_test_sql("INSERT INTO " A " (hook, status, args, extended_args)"
		    " SELECT '" PUSH_HOOK "', 'pending', MD5(seq), CONCAT("
		    "'[{\"integration_id\":\"esp\",\"user_id\":', seq, '}]')"
		    " FROM seq_1_to_20000");
	n = retries(CONTACT_PUSH, &r);
	ck_assert_uint_eq(n, 20000);
	for (uint64_t user = 1; user <= 20000; user++)
		ck_assert(contact_retries_has(r, n, user, SLICE_LIT("esp")));
}
END_TEST

static void
forget(void)
{
	arena_clear(&arena);
}

Suite *
contacts_retry_suite(void)
{
	Suite *s = suite_create("contacts_retry");
	TCase *tc = fx_case();

	tcase_add_checked_fixture(tc, NULL, forget);
	tcase_add_loop_test(tc, a_short_row_is_as_php_writes_it,
	    FX_FIRST_SCHEMA, FX_LAST_SCHEMA + 1);
	tcase_add_loop_test(tc, a_long_row_is_found_by_its_hash,
	    FX_FIRST_SCHEMA, FX_LAST_SCHEMA + 1);
	tcase_add_test(tc, a_row_is_due_after_its_delay);
	tcase_add_test(tc, a_retry_that_cannot_be_is_refused);
	tcase_add_test(tc, a_group_that_is_there_is_used);
	tcase_add_test(tc, a_line_goes_into_the_log);
	tcase_add_loop_test(tc, one_that_waits_or_runs_is_enough,
	    FX_FIRST_SCHEMA, FX_LAST_SCHEMA + 1);
	tcase_add_test(tc, one_that_is_over_is_none);
	tcase_add_test(tc, many_are_added_with_one_look);
	tcase_add_loop_test(tc, nodes_that_add_the_same_at_once_add_one, 0, 3);
	tcase_add_test(tc, after_a_lost_connection_the_row_is_there_once);
	tcase_add_test(
	    tc, a_server_that_refuses_a_row_leaves_nothing_half_done);
	tcase_add_loop_test(tc, what_waits_and_runs_is_read_by_reader,
	    FX_FIRST_SCHEMA, FX_LAST_SCHEMA + 1);
	tcase_add_test(tc, without_the_tables_there_are_none);
	tcase_add_test(tc, no_number_of_retries_is_a_page);
	suite_add_tcase(s, tc);
	return s;
}
