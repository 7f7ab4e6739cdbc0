/*
 * Mails in the outbox: stored once, claimed once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "outbox_fixture.h"

Suite *outbox_suite(void);

static const unsigned char key[32] = "0123456789abcdef0123456789ABCDE";

/* ---- storing ------------------------------------------------------------- */

START_TEST(stored_mail_is_claimed_as_it_was)
{
	uint64_t id = ox_add("action:12", 2, OUTBOX_HIGH);
	struct outbox_mail *m = ox_claim_one(5);

	ck_assert_uint_eq(m->mail_id, id);
	ck_assert_uint_eq(m->blog_id, 1);
	ck_assert_int_eq(m->priority, OUTBOX_HIGH);
	ck_assert(slice_eq_str(m->job, "action:12"));
	ck_assert_uint_eq(m->ordinal, 2);
	ck_assert(slice_eq_str(m->message_id, "<1@example.test>"));
	ck_assert(slice_eq_str(m->sender, "shop@example.test"));
	ck_assert(slice_eq_str(m->subject, "Your order for a@example.test"));
	ck_assert_uint_eq(m->nrecipients, 3);
	for (size_t i = 0; i < 3; i++) {
		ck_assert(slice_eq(m->recipients[i].to, ox_three[i]));
		ck_assert_int_eq(m->recipients[i].state, OUTBOX_OPEN);
	}
	ck_assert_uint_eq(m->size, 31);
	ck_assert(!m->sealed && !m->broken);
	ck_assert_int_le(llabs(m->created_at - clock_unix(&clock_system)), 60);
	ck_assert_uint_eq(m->tries, 0);
}
END_TEST

START_TEST(the_same_mail_is_stored_once)
{
	struct outbox_new m = ox_mail("event:1", 1, OUTBOX_MEDIUM);
	uint64_t first = ox_add("event:1", 1, OUTBOX_MEDIUM), again = 0;

	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &again, &t.err));
	ck_assert_uint_eq(again, first);
	ck_assert_uint_eq(ox_chunks(), 1);
	/* Sent already: not stored again either. */
	ox_end(5, ox_claim_one(5), OUTBOX_SENT, 0, "250 ok");
	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &again, &t.err));
	ck_assert_uint_eq(again, first);
	ck_assert_uint_eq(ox_chunks(), 0);
	/* Another text of the same job is another mail. */
	m.digest[0] ^= 1;
	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &again, &t.err));
	ck_assert_uint_ne(again, first);
}
END_TEST

START_TEST(half_a_mail_is_written_anew_once_its_writer_is_dead)
{
	struct outbox_new m = ox_mail("event:1", 1, OUTBOX_MEDIUM);
	struct outbox_mail *found;
	uint64_t first = ox_add("event:1", 1, OUTBOX_MEDIUM), again = 0;

	db_test_sql("UPDATE wp_wpcron_outbox SET state = 'writing', size = 0");
	CK_RC(RC_RETRY, outbox_add(t.db, &t.scope, &m, NULL, NULL, &t.err));
	ck_assert_uint_eq(ox_claim(5, OUTBOX_LOW, 9, &found), 0);
	db_test_sql("UPDATE wp_wpcron_outbox SET created_at ="
		    " UTC_TIMESTAMP(6) - INTERVAL 121 SECOND");
	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &again, &t.err));
	ck_assert_uint_ne(again, first);
	ck_assert_uint_eq(ox_chunks(), 1);
	ck_assert(ox_is(again, "ready"));
}
END_TEST

static const size_t sizes[] = { 1, 393215, 393216, 393217, 1200000 };

/* Sealed and not; read chunk by chunk. */
static void
goes_there_and_back(size_t size, const unsigned char *with)
{
	struct outbox_new m = ox_mail("task:1", 1, OUTBOX_LOW);
	struct buf all = BUF_INIT((size_t)4 << 20),
		   part = BUF_INIT(OUTBOX_CHUNK);
	struct outbox_mail *found;
	char *bytes = malloc(size);
	enum rc rc = RC_OK;

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 31 >> 3);
	m.bytes = slice_mem(bytes, size);
	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, with, NULL, &t.err));
	found = ox_claim_one(5);
	ck_assert_uint_eq(found->size, size);
	ck_assert_int_eq(found->sealed, with != NULL);
	for (uint32_t i = 0; rc == RC_OK; i++) {
		buf_reset(&part);
		rc =
		    outbox_chunk(t.db, &t.scope, found, i, with, &part, &t.err);
		buf_put_slice(&all, buf_slice(&part));
	}
	ck_assert_int_eq(rc, RC_NONE);
	ck_assert(slice_eq(buf_slice(&all), m.bytes));
	buf_clear(&all);
	buf_clear(&part);
	free(bytes);
}

START_TEST(bytes_come_back_in_chunks)
{
	goes_there_and_back(sizes[_i], NULL);
}
END_TEST

START_TEST(sealed_bytes_come_back_in_chunks)
{
	goes_there_and_back(sizes[_i], key);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_outbox_chunks"
			" WHERE bytes LIKE '%%Thanks%%'"),
	    0);
}
END_TEST

START_TEST(sealed_mail_without_its_key_is_refused)
{
	struct outbox_new m = ox_mail("task:1", 1, OUTBOX_LOW);
	struct buf part = BUF_INIT(OUTBOX_CHUNK);
	unsigned char other[32] = "x";
	struct outbox_mail *found;

	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, key, NULL, &t.err));
	found = ox_claim_one(5);
	CK_RC(RC_REJECT,
	    outbox_chunk(t.db, &t.scope, found, 0, NULL, &part, &t.err));
	CK_RC(RC_REJECT,
	    outbox_chunk(t.db, &t.scope, found, 0, other, &part, &t.err));
	buf_clear(&part);
}
END_TEST

START_TEST(mail_to_nobody_or_without_bytes_is_refused)
{
	struct outbox_new m = ox_mail("task:1", 1, OUTBOX_LOW);

	m.nrecipients = 0;
	CK_RC(RC_REJECT, outbox_add(t.db, &t.scope, &m, NULL, NULL, &t.err));
	m.nrecipients = 3;
	m.bytes.n = 0;
	CK_RC(RC_REJECT, outbox_add(t.db, &t.scope, &m, NULL, NULL, &t.err));
}
END_TEST

/* ---- claiming ------------------------------------------------------------ */

START_TEST(urgent_ones_come_first_then_the_oldest)
{
	static const enum outbox_priority order[] = { OUTBOX_LOW, OUTBOX_HIGH,
		OUTBOX_MEDIUM, OUTBOX_LOW, OUTBOX_HIGH, OUTBOX_MEDIUM };
	uint64_t ids[NELEMS(order)];
	static const size_t want[] = { 1, 4, 2, 5, 0, 3 };
	struct outbox_mail *m;

	for (unsigned i = 0; i < NELEMS(order); i++)
		ids[i] = ox_add("event:1", i + 1, order[i]);
	ck_assert_uint_eq(ox_claim(7, OUTBOX_LOW, 100, &m), NELEMS(order));
	for (size_t i = 0; i < NELEMS(order); i++)
		ck_assert_uint_eq(m[i].mail_id, ids[want[i]]);
}
END_TEST

START_TEST(only_as_urgent_ones_as_asked_for_are_claimed)
{
	struct outbox_mail *m;
	uint64_t high;

	ox_add("event:1", 1, OUTBOX_LOW);
	ox_add("event:1", 2, OUTBOX_MEDIUM);
	high = ox_add("event:1", 3, OUTBOX_HIGH);
	ck_assert_uint_eq(ox_claim(7, OUTBOX_HIGH, 100, &m), 1);
	ck_assert_uint_eq(m->mail_id, high);
	ck_assert_uint_eq(ox_claim(8, OUTBOX_MEDIUM, 100, &m), 1);
	ck_assert_uint_eq(ox_claim(9, OUTBOX_MEDIUM, 100, &m), 0);
	ck_assert_uint_eq(ox_claim(9, OUTBOX_LOW, 100, &m), 1);
}
END_TEST

START_TEST(released_mails_are_ready_but_not_begun_ones)
{
	struct outbox_mail *m;
	bool due;

	for (unsigned i = 1; i <= 3; i++)
		ox_add("event:1", i, OUTBOX_LOW);
	ck_assert_uint_eq(ox_claim(7, OUTBOX_LOW, 9, &m), 3);
	CK_RC(RC_OK, outbox_due(t.db, &t.scope, &due, &t.err));
	ck_assert(!due);
	CK_RC(RC_OK, ox_step(7, NULL, &m[0]));
	CK_RC(RC_OK, outbox_release(t.db, &t.scope, 7, &t.err));
	CK_RC(RC_OK, outbox_due(t.db, &t.scope, &due, &t.err));
	ck_assert(due);
	ck_assert_uint_eq(ox_claim(8, OUTBOX_LOW, 9, &m), 2);
	CK_RC(RC_OK, outbox_release(t.db, &t.scope, 99, &t.err));
}
END_TEST

#define CLAIMERS 4
#define MAILS 300

struct claimer {
	pthread_t thread;
	struct db *db;
	uint64_t claim_id;
	size_t won;
};

static void *
claim_all(void *arg)
{
	struct claimer *c = arg;
	struct arena a = ARENA_INIT((size_t)32 << 20);
	struct outbox_mail *m;
	struct err err = ERR_INIT;
	size_t n = 0, empty = 0;

	db_thread_begin();
	while (empty < 20) {
		if (outbox_claim(c->db, &t.scope, c->claim_id, OUTBOX_LOW, 7,
			OX_TERM_MS, &a, &m, &n, &err) != RC_OK)
			break;
		c->won += n;
		empty = n == 0 ? empty + 1 : 0;
	}
	arena_clear(&a);
	db_thread_end();
	return NULL;
}

START_TEST(no_mail_is_claimed_twice)
{
	struct claimer c[CLAIMERS];
	size_t won = 0;

	for (unsigned i = 1; i <= MAILS; i++)
		ox_add("event:1", i, OUTBOX_LOW);
	for (size_t i = 0; i < CLAIMERS; i++) {
		c[i] = (struct claimer){ .db = db_test_connect(),
			.claim_id = 100 + i };
		ck_assert_int_eq(
		    pthread_create(&c[i].thread, NULL, claim_all, &c[i]), 0);
	}
	for (size_t i = 0; i < CLAIMERS; i++) {
		pthread_join(c[i].thread, NULL);
		db_close(c[i].db);
		won += c[i].won;
		ck_assert_uint_eq(
		    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_outbox"
				" WHERE claim_id = %zu",
			100 + i),
		    c[i].won);
	}
	ck_assert_uint_eq(won, MAILS);
}
END_TEST

Suite *
outbox_suite(void)
{
	Suite *s = suite_create("outbox");
	TCase *tc = ox_part(s, "storing");

	tcase_add_test(tc, stored_mail_is_claimed_as_it_was);
	tcase_add_test(tc, the_same_mail_is_stored_once);
	tcase_add_test(tc, half_a_mail_is_written_anew_once_its_writer_is_dead);
	tcase_add_loop_test(tc, bytes_come_back_in_chunks, 0, NELEMS(sizes));
	tcase_add_loop_test(
	    tc, sealed_bytes_come_back_in_chunks, 0, NELEMS(sizes));
	tcase_add_test(tc, sealed_mail_without_its_key_is_refused);
	tcase_add_test(tc, mail_to_nobody_or_without_bytes_is_refused);
	tc = ox_part(s, "claiming");
	tcase_add_test(tc, urgent_ones_come_first_then_the_oldest);
	tcase_add_test(tc, only_as_urgent_ones_as_asked_for_are_claimed);
	tcase_add_test(tc, released_mails_are_ready_but_not_begun_ones);
	tcase_add_test(tc, no_mail_is_claimed_twice);
	return s;
}
