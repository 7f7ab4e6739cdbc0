/*
 * What providers have of readers, and bulk calls they have not finished.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "queues/contacts.h"
#include "sql/schema.h"
#include "users_fixture.h"

Suite *contacts_rows_suite(void);

#define ESP SLICE_LIT("esp")
#define F "wp_wpcron_fingerprints"
#define B "wp_wpcron_batches"

static struct arena arena = ARENA_INIT((size_t)64 << 20);

static void
open_tables(void)
{
	db_test_open();
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	users_fixture_tables();
}

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

static int64_t
now(void)
{
	return clock_unix(&clock_system);
}

/* ---- fingerprints ---- */

static struct contact_fingerprint
fingerprint(uint64_t user, unsigned char fill)
{
	struct contact_fingerprint f = {
		.user_id = user, .accepted_at = now(), .reason = SLICE_LIT("")
	};

	memset(f.payload, fill, sizeof f.payload);
	memset(f.address, 255 - fill, sizeof f.address);
	return f;
}

static void
store(struct slice integration, const struct contact_fingerprint *f, size_t n)
{
	CK_RC(RC_OK, contact_fingerprints_write(
			 t.db, &t.scope, 1, integration, f, n, &t.err));
}

static size_t
stored(uint32_t blog, struct slice integration, const uint64_t *ids, size_t n,
    struct contact_fingerprint **out)
{
	size_t found;

	CK_RC(RC_OK, contact_fingerprints_read(t.db, &t.scope, blog,
			 integration, ids, n, &arena, out, &found, &t.err));
	return found;
}

START_TEST(what_was_accepted_is_read_back)
{
	const uint64_t ids[] = { 3, 4, 5, 9 };
	/* Bytes of all kinds: quotes, backslashes, NUL. */
	struct contact_fingerprint f[3] = { fingerprint(9, '\''),
		fingerprint(3, '\\'), fingerprint(5, 0) };
	struct contact_fingerprint *back;

	f[2].barred = true;
	f[2].reason = SLICE_LIT("unsubscribed \xF0\x9F\x98\x80 \xFF.");
	store(ESP, f, 3);
	ck_assert_uint_eq(stored(1, ESP, ids, 4, &back), 3);
	ck_assert_uint_eq(back[0].user_id, 3);
	ck_assert_mem_eq(back[0].payload, f[1].payload, 32);
	ck_assert_mem_eq(back[0].address, f[1].address, 32);
	ck_assert(!back[0].barred);
	ck_assert_int_eq(back[0].accepted_at, f[1].accepted_at);
	ck_assert(back[1].barred);
	ck_assert(slice_eq(back[1].reason, f[2].reason));
	ck_assert_mem_eq(back[1].payload, f[2].payload, 32);
	ck_assert_mem_eq(back[2].payload, f[0].payload, 32);
	ck_assert_uint_eq(stored(2, ESP, ids, 4, &back), 0);
	ck_assert_uint_eq(stored(1, SLICE_LIT("ESP"), ids, 4, &back), 0);
	ck_assert_uint_eq(stored(1, ESP, ids, 0, &back), 0);
}
END_TEST

START_TEST(a_newer_one_takes_the_place_of_the_older)
{
	const uint64_t user = 3;
	struct contact_fingerprint f = fingerprint(3, 1), *back;

	f.barred = true;
	f.reason = SLICE_LIT("bounced");
	store(ESP, &f, 1);
	f = fingerprint(3, 2);
	store(ESP, &f, 1);
	ck_assert_uint_eq(stored(1, ESP, &user, 1, &back), 1);
	ck_assert_uint_eq(back[0].payload[0], 2);
	ck_assert(!back[0].barred);
	ck_assert_uint_eq(back[0].reason.n, 0);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " F), 1);
}
END_TEST

START_TEST(an_old_one_counts_only_while_it_bars)
{
	const uint64_t ids[] = { 1, 2, 3 };
	struct contact_fingerprint f[3] = { fingerprint(1, 1),
		fingerprint(2, 1), fingerprint(3, 1) };
	struct contact_fingerprint *back;

	f[0].accepted_at -= 7 * 86400 + 1;
	f[1].accepted_at -= 7 * 86400 + 1;
	f[1].barred = true;
	f[2].accepted_at -= 7 * 86400 - 60;
	store(ESP, f, 3);
	ck_assert_uint_eq(stored(1, ESP, ids, 3, &back), 2);
	ck_assert_uint_eq(back[0].user_id, 2);
	ck_assert_uint_eq(back[1].user_id, 3);
}
END_TEST

START_TEST(a_long_reason_is_cut)
{
	const uint64_t user = 1;
	struct contact_fingerprint f = fingerprint(1, 1), *back;
	char text[999];

	for (size_t i = 0; i < sizeof text; i += 3)
		memcpy(text + i, "\xE2\x82\xAC", 3);
	f.reason = slice_mem(text, sizeof text);
	store(ESP, &f, 1);
	ck_assert_uint_eq(stored(1, ESP, &user, 1, &back), 1);
	ck_assert_uint_eq(back[0].reason.n, 498);
}
END_TEST

START_TEST(thousands_are_written_and_read_in_chunks)
{
	static struct contact_fingerprint f[1700];
	static uint64_t ids[NELEMS(f)];
	struct contact_fingerprint *back;

	for (size_t i = 0; i < NELEMS(f); i++) {
		ids[i] = i + 1;
		f[i] = fingerprint(NELEMS(f) - i, (unsigned char)i);
	}
	store(ESP, f, NELEMS(f));
	ck_assert_uint_eq(stored(1, ESP, ids, NELEMS(f), &back), NELEMS(f));
	for (size_t i = 0; i < NELEMS(f); i++)
		ck_assert_uint_eq(
		    back[i].payload[0], (unsigned char)(NELEMS(f) - 1 - i));
	CK_RC(RC_OK, contact_fingerprints_drop(
			 t.db, &t.scope, 1, ESP, ids, 1600, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " F), 100);
}
END_TEST

START_TEST(readers_are_dropped_of_one_or_all_integrations)
{
	const uint64_t ids[] = { 1, 2 };
	struct contact_fingerprint f[3] = { fingerprint(1, 1),
		fingerprint(2, 1), fingerprint(3, 1) };

	store(ESP, f, 3);
	store(SLICE_LIT("mailer"), f, 3);
	CK_RC(RC_OK,
	    contact_fingerprints_drop(t.db, &t.scope, 1, ESP, ids, 2, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " F), 4);
	CK_RC(RC_OK, contact_fingerprints_drop(
			 t.db, &t.scope, 2, SLICE_LIT(""), ids, 2, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " F), 4);
	CK_RC(RC_OK, contact_fingerprints_drop(
			 t.db, &t.scope, 1, SLICE_LIT(""), ids, 2, &t.err));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " F " WHERE user_id = 3"), 2);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " F), 2);
	CK_RC(RC_OK,
	    contact_fingerprints_drop(t.db, &t.scope, 1, ESP, NULL, 0, &t.err));
}
END_TEST

static uint64_t
clean(uint32_t blog)
{
	uint64_t removed;

	CK_RC(RC_OK,
	    contact_fingerprints_clean(t.db, &t.scope, blog, &removed, &t.err));
	return removed;
}

START_TEST(old_ones_end_and_barred_ones_stay)
{
	const uint64_t user = users_fixture_add("ann");
	struct contact_fingerprint f = fingerprint(user, 1);

	store(ESP, &f, 1);
	f.accepted_at -= 8 * 86400;
	store(SLICE_LIT("old"), &f, 1);
	f.barred = true;
	store(SLICE_LIT("barred"), &f, 1);
	ck_assert_uint_eq(clean(1), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " F
			" WHERE integration IN ('esp', 'barred')"),
	    2);
	ck_assert_uint_eq(clean(1), 0);
}
END_TEST

START_TEST(those_of_users_that_are_gone_end)
{
	static struct contact_fingerprint f[2600];
	uint64_t first = 0, removed = 0, left;

	for (size_t i = 0; i < NELEMS(f); i++)
		f[i] = fingerprint(i + 1, 1);
	db_test_sql("DROP TABLE wp_users, wp_usermeta");
	users_fixture_many(NELEMS(f));
	store(ESP, f, NELEMS(f));
	for (size_t i = 0; i < NELEMS(f); i++)
		f[i].barred = true;
	store(SLICE_LIT("mailer"), f, NELEMS(f));
	db_test_sql("DELETE FROM wp_users WHERE ID %% 10 = 3");
	/* Bounded: a step at a time, from where the last one was. */
	first = clean(1);
	ck_assert_uint_eq(first, 100);
	for (int i = 0; i < 5; i++)
		removed += clean(1);
	ck_assert_uint_eq(first + removed, 520);
	left = db_test_u64("SELECT COUNT(*) FROM " F);
	ck_assert_uint_eq(left, 2 * NELEMS(f) - 520);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " F " WHERE user_id %% 10 = 3"),
	    0);
	/* And from the beginning again. */
	db_test_sql("DELETE FROM wp_users WHERE ID = 1");
	removed = 0;
	for (int i = 0; i < 7; i++)
		removed += clean(1);
	ck_assert_uint_eq(removed, 2);
	/* Another blog has a walk of its own. */
	ck_assert_uint_eq(clean(2), 0);
}
END_TEST

/* Two nodes that write the same readers the other way round. */
struct writer {
	struct contact_fingerprint f[300];
};

static void *
write_often(void *arg)
{
	struct writer *w = arg;
	struct db_params params = t.params;
	struct db *db = NULL;

	db_thread_begin();
	/* A wait ends in this time alone where it would never end; the usual
	 * 3 s may go by on a busy machine. */
	params.lock_wait_timeout_s = 20;
	ck_assert(db_open(&params, &db, NULL) == RC_OK);
	for (int i = 0; i < 20; i++) {
		struct err err = ERR_INIT;
		enum rc rc = contact_fingerprints_write(
		    db, &t.scope, 1, ESP, w->f, NELEMS(w->f), &err);

		ck_assert_msg(rc == RC_OK, "%s", err.text);
	}
	db_close(db);
	db_thread_end();
	return NULL;
}

START_TEST(nodes_that_write_the_same_do_not_lock_each_other_out)
{
	static struct writer w[2];
	struct db_counters before, after;
	pthread_t thread[2];

	db_counters_get(&before);
	for (size_t i = 0; i < NELEMS(w[0].f); i++) {
		w[0].f[i] = fingerprint(i + 1, 1);
		w[1].f[NELEMS(w[0].f) - 1 - i] = fingerprint(i + 1, 2);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
		    pthread_create(&thread[i], NULL, write_often, &w[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	db_counters_get(&after);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " F), 300);
	ck_assert_uint_eq(after.retries_lock_wait, before.retries_lock_wait);
}
END_TEST

/* ---- bulk calls ---- */

static struct contact_flag one_flag[2] = {
	{ 11, 5, { "1700000000", 10 } },
	{ 12, 5, { "1700000000", 10 } },
};
static struct contact_member two_members[2] = {
	{ .user_id = 5, .flags = one_flag, .nflags = 2, .payload = { 1, 2 } },
	{ .user_id = 6, .retry = 3, .address = { 255 } },
};

static struct contact_batch
batch(const char *token)
{
	return (struct contact_batch){ .integration = ESP,
		.provider = SLICE_LIT("mailchimp"),
		.token = slice_str(token),
		.submitted_at = 1700000000,
		.ask_at = 1700000010,
		.members = two_members,
		.n = 2 };
}

static void
put(uint32_t blog, struct contact_batch *b)
{
	CK_RC(RC_OK, contact_batch_store(t.db, &t.scope, blog, b, &t.err));
	ck_assert_uint_gt(b->batch_id, 0);
}

static size_t
batches(uint32_t blog, struct contact_batch **out)
{
	size_t n;

	CK_RC(RC_OK, contact_batches_read(
			 t.db, &t.scope, blog, &arena, out, &n, &t.err));
	return n;
}

START_TEST(a_bulk_call_is_read_back)
{
	struct contact_batch first = batch("abc'\\\"\x01\xFF"),
			     second = batch("def"), other = batch("ghi");
	struct contact_batch *b;

	ck_assert_uint_eq(batches(1, &b), 0);
	put(1, &first);
	put(1, &second);
	put(2, &other);
	ck_assert_uint_eq(batches(1, &b), 2);
	ck_assert_uint_eq(b[0].batch_id, first.batch_id);
	ck_assert_uint_eq(b[1].batch_id, second.batch_id);
	ck_assert(slice_eq(b[0].token, first.token));
	ck_assert(slice_eq(b[0].integration, ESP));
	ck_assert(slice_eq_str(b[0].provider, "mailchimp"));
	ck_assert_int_eq(b[0].submitted_at, 1700000000);
	ck_assert_int_eq(b[0].ask_at, 1700000010);
	ck_assert_uint_eq(b[0].asked, 0);
	ck_assert(!b[0].broken);
	ck_assert_uint_eq(b[0].n, 2);
	ck_assert_uint_eq(b[0].members[0].user_id, 5);
	ck_assert_uint_eq(b[0].members[0].nflags, 2);
	ck_assert_uint_eq(b[0].members[0].flags[1].umeta_id, 12);
	ck_assert_uint_eq(b[0].members[0].flags[1].user_id, 5);
	ck_assert(slice_eq_str(b[0].members[0].flags[1].value, "1700000000"));
	ck_assert_mem_eq(b[0].members[0].payload, two_members[0].payload, 32);
	ck_assert_uint_eq(b[0].members[1].retry, 3);
	ck_assert_mem_eq(b[0].members[1].address, two_members[1].address, 32);
}
END_TEST

START_TEST(a_bulk_call_is_asked_again_with_fewer_members)
{
	struct contact_batch b = batch("abc"), *back;

	put(1, &b);
	b.ask_at += 60;
	b.asked = 4;
	b.members = two_members + 1;
	b.n = 1;
	CK_RC(RC_OK, contact_batch_update(t.db, &t.scope, 1, &b, &t.err));
	ck_assert_uint_eq(batches(1, &back), 1);
	ck_assert_int_eq(back[0].ask_at, 1700000070);
	ck_assert_uint_eq(back[0].asked, 4);
	ck_assert_uint_eq(back[0].n, 1);
	ck_assert_uint_eq(back[0].members[0].user_id, 6);
	b.n = 0;
	CK_RC(RC_OK, contact_batch_update(t.db, &t.scope, 1, &b, &t.err));
	ck_assert_uint_eq(batches(1, &back), 1);
	ck_assert_uint_eq(back[0].n, 0);
	ck_assert(!back[0].broken);
	CK_RC(RC_NONE, contact_batch_update(t.db, &t.scope, 2, &b, &t.err));
	CK_RC(RC_OK, contact_batch_end(t.db, &t.scope, 2, b.batch_id, &t.err));
	ck_assert_uint_eq(batches(1, &back), 1);
	CK_RC(RC_OK, contact_batch_end(t.db, &t.scope, 1, b.batch_id, &t.err));
	ck_assert_uint_eq(batches(1, &back), 0);
	CK_RC(RC_NONE, contact_batch_update(t.db, &t.scope, 1, &b, &t.err));
	CK_RC(RC_OK, contact_batch_end(t.db, &t.scope, 1, b.batch_id, &t.err));
}
END_TEST

START_TEST(broken_members_cost_their_bulk_call_alone)
{
	static const char *const wrong[] = { "''", "'no JSON'",
		"'[{\"user\":1}]'", "0xFF00FF", "REPEAT('[', 100000)" };
	struct contact_batch b = batch("abc"), *back;

	for (size_t i = 0; i < NELEMS(wrong); i++) {
		put(1, &b);
		db_test_sql("UPDATE " B " SET members = %s"
			    " WHERE batch_id = %llu",
		    wrong[i], (unsigned long long)b.batch_id);
	}
	put(1, &b);
	ck_assert_uint_eq(batches(1, &back), NELEMS(wrong) + 1);
	for (size_t i = 0; i < NELEMS(wrong); i++) {
		ck_assert(back[i].broken);
		ck_assert_uint_eq(back[i].n, 0);
		ck_assert(slice_eq_str(back[i].token, "abc"));
	}
	ck_assert(!back[NELEMS(wrong)].broken);
	ck_assert_uint_eq(back[NELEMS(wrong)].n, 2);
}
END_TEST

START_TEST(a_bulk_call_may_have_many_members_but_not_any_number)
{
	const size_t n = 40000;
	struct contact_member *m = calloc(2 * n, sizeof *m);
	struct contact_flag *f = calloc(2 * n, sizeof *f);
	struct contact_batch b = batch("abc"), *back;

	ck_assert(m && f);
	for (size_t i = 0; i < 2 * n; i++) {
		f[i] = (struct contact_flag){ 1000000 + i, 2000000 + i,
			SLICE_LIT("1700000000") };
		m[i] = (struct contact_member){
			.user_id = 2000000 + i, .flags = &f[i], .nflags = 1
		};
	}
	b.members = m;
	b.n = n;
	put(1, &b);
	ck_assert_uint_eq(batches(1, &back), 1);
	ck_assert_uint_eq(back[0].n, n);
	ck_assert_uint_eq(back[0].members[n - 1].flags[0].umeta_id, 1039999);
	b.n = 2 * n;
	CK_RC(RC_REJECT, contact_batch_store(t.db, &t.scope, 1, &b, &t.err));
	CK_RC(RC_REJECT, contact_batch_update(t.db, &t.scope, 1, &b, &t.err));
	free(m);
	free(f);
}
END_TEST

START_TEST(an_arena_that_is_too_small_is_no_crash)
{
	struct arena small = ARENA_INIT(1000);
	struct contact_batch b = batch("abc"), *back;
	size_t n;

	for (int i = 0; i < 20; i++)
		put(1, &b);
	CK_RC(RC_RETRY,
	    contact_batches_read(t.db, &t.scope, 1, &small, &back, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	arena_clear(&small);
}
END_TEST

static void
add_batch_tests(Suite *s)
{
	TCase *tc = tcase_create("bulk calls");

	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a_bulk_call_is_read_back);
	tcase_add_test(tc, a_bulk_call_is_asked_again_with_fewer_members);
	tcase_add_test(tc, broken_members_cost_their_bulk_call_alone);
	tcase_add_test(
	    tc, a_bulk_call_may_have_many_members_but_not_any_number);
	tcase_add_test(tc, an_arena_that_is_too_small_is_no_crash);
	suite_add_tcase(s, tc);
}

Suite *
contacts_rows_suite(void)
{
	Suite *s = suite_create("contacts_rows");
	TCase *tc = tcase_create("fingerprints");

	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, what_was_accepted_is_read_back);
	tcase_add_test(tc, a_newer_one_takes_the_place_of_the_older);
	tcase_add_test(tc, an_old_one_counts_only_while_it_bars);
	tcase_add_test(tc, a_long_reason_is_cut);
	tcase_add_test(tc, thousands_are_written_and_read_in_chunks);
	tcase_add_test(tc, readers_are_dropped_of_one_or_all_integrations);
	tcase_add_test(tc, old_ones_end_and_barred_ones_stay);
	tcase_add_test(tc, those_of_users_that_are_gone_end);
	tcase_add_test(
	    tc, nodes_that_write_the_same_do_not_lock_each_other_out);
	suite_add_tcase(s, tc);
	add_batch_tests(s);
	return s;
}
