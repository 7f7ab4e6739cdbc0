/*
 * Mails in the outbox: ended once, told of once, looked after.
 */
#include <string.h>

#include "base/macros.h"
#include "outbox_fixture.h"
#include "queues/dead_letters.h"

Suite *outbox_settle_suite(void);

static const struct outbox_upkeep upkeep = { .dead_bodies_days = 7,
	.dead_days = 90,
	.unknown_wait_s = 900,
	.writing_s = 3600 };

static uint64_t
of(uint64_t id, const char *column)
{
	return db_test_u64("SELECT %s FROM wp_wpcron_outbox WHERE mail_id ="
			   " %llu",
	    column, (unsigned long long)id);
}

static bool
tend(const struct outbox_upkeep *u)
{
	bool changed;

	CK_RC(RC_OK, outbox_tend(t.db, &t.scope, u, &changed, &t.err));
	return changed;
}

/* ---- ending -------------------------------------------------------------- */

static const struct {
	const char *name;
	enum outbox_end end;
	int64_t wait_s;
	const char *state;
	unsigned tries, unknown, letters, chunks, told;
} ends[] = {
	{ "sent", OUTBOX_SENT, 0, "sent", 1, 0, 0, 0, 0 },
	{ "later", OUTBOX_LATER, 60, "later", 1, 0, 0, 1, 1 },
	{ "unknown", OUTBOX_UNKNOWN, 900, "later", 1, 1, 0, 1, 1 },
	{ "dead", OUTBOX_DEAD, 0, "dead", 1, 0, 1, 1, 0 },
	{ "held", OUTBOX_HELD, 0, "held", 1, 0, 1, 1, 0 },
	{ "dropped", OUTBOX_DROPPED, 0, "dropped", 0, 0, 0, 0, 0 },
	{ "back now", OUTBOX_BACK, 0, "ready", 0, 0, 0, 1, 1 },
	{ "back in a while", OUTBOX_BACK, 60, "later", 0, 0, 0, 1, 1 },
};

START_TEST(mail_ends_as_it_should)
{
	uint64_t id = ox_add("action:3", 1, OUTBOX_MEDIUM);
	struct outbox_mail *m = ox_claim_one(7);

	m->recipients[1].state = OUTBOX_REFUSED;
	m->recipients[1].code = 550;
	m->recipients[1].words = SLICE_LIT("550 \"no\" such\\user");
	m->recipients[0].state = OUTBOX_ACCEPTED;
	CK_RC(RC_OK, ox_step(7, NULL, m));
	ox_end(7, m, ends[_i].end, ends[_i].wait_s, "words of the relay");
	ck_assert_msg(ox_is(id, ends[_i].state), "%s", ends[_i].name);
	ck_assert_uint_eq(of(id, "tries"), ends[_i].tries);
	ck_assert_uint_eq(of(id, "unknown"), ends[_i].unknown);
	ck_assert_uint_eq(of(id, "told"), ends[_i].told);
	ck_assert_uint_eq(of(id, "begun"), 0);
	ck_assert_uint_eq(of(id, "claim_id"), 0);
	ck_assert_uint_eq(of(id, "reply = 'words of the relay'"), 1);
	ck_assert_uint_eq(
	    of(id, "not_before >= UTC_TIMESTAMP(6) + INTERVAL 30 SECOND"),
	    ends[_i].wait_s > 0);
	ck_assert_uint_eq(ox_chunks(), ends[_i].chunks);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"
			" WHERE kind = 'mail' AND source = %llu AND title ="
			" 'Your order for a***@example.test'",
		(unsigned long long)id),
	    ends[_i].letters);
	db_test_sql("UPDATE wp_wpcron_outbox SET state = 'ready'");
	m = ox_claim_one(8);
	ck_assert_int_eq(m->recipients[0].state, OUTBOX_ACCEPTED);
	ck_assert_int_eq(m->recipients[1].state, OUTBOX_REFUSED);
	ck_assert_int_eq(m->recipients[1].code, 550);
	ck_assert(
	    slice_eq_str(m->recipients[1].words, "550 \"no\" such\\user"));
	ck_assert_int_eq(m->recipients[2].state, OUTBOX_OPEN);
}
END_TEST

START_TEST(one_step_ends_a_mail_and_begins_the_next)
{
	struct outbox_mail *m;

	ox_add("event:1", 1, OUTBOX_LOW);
	ox_add("event:1", 2, OUTBOX_LOW);
	ck_assert_uint_eq(ox_claim(7, OUTBOX_LOW, 9, &m), 2);
	CK_RC(RC_OK, ox_step(7, NULL, &m[0]));
	CK_RC(RC_OK, ox_step(7,
			 &(const struct outbox_result){ .mail = &m[0],
			     .end = OUTBOX_SENT,
			     .reply = SLICE_LIT("250") },
			 &m[1]));
	ck_assert(ox_is(m[0].mail_id, "sent"));
	ck_assert_uint_eq(of(m[1].mail_id, "begun"), 1);
	CK_RC(RC_OK, ox_step(7, NULL, NULL));
}
END_TEST

START_TEST(mail_that_was_taken_back_is_not_begun)
{
	struct outbox_mail *m;

	ox_add("event:1", 1, OUTBOX_LOW);
	ox_add("event:1", 2, OUTBOX_LOW);
	ck_assert_uint_eq(ox_claim(7, OUTBOX_LOW, 9, &m), 2);
	CK_RC(RC_OK, ox_step(7, NULL, &m[0]));
	db_test_sql("UPDATE wp_wpcron_outbox SET claimed_until ="
		    " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE begun = 0");
	/* What it did is written down all the same. */
	CK_RC(RC_NONE, ox_step(7,
			   &(const struct outbox_result){ .mail = &m[0],
			       .end = OUTBOX_SENT,
			       .reply = SLICE_LIT("250") },
			   &m[1]));
	ck_assert(ox_is(m[0].mail_id, "sent"));
	ck_assert(tend(&upkeep));
	ck_assert(ox_is(m[1].mail_id, "ready"));
	CK_RC(RC_NONE, outbox_extend(t.db, &t.scope, 7, OX_TERM_MS, &t.err));
}
END_TEST

START_TEST(who_lost_a_mail_does_not_end_it)
{
	uint64_t id = ox_add("event:1", 1, OUTBOX_LOW);
	struct outbox_mail *mine = ox_claim_one(7), *theirs;

	db_test_sql("UPDATE wp_wpcron_outbox SET state = 'ready'");
	theirs = ox_claim_one(8);
	ck_assert_uint_eq(theirs->mail_id, id);
	ox_end(7, mine, OUTBOX_DEAD, 0, "550");
	ck_assert(ox_is(id, "sending"));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"), 0);
}
END_TEST

START_TEST(broken_recipients_cost_their_mail_alone)
{
	struct outbox_mail *m;
	uint64_t id = ox_add("event:1", 1, OUTBOX_LOW);

	ox_add("event:1", 2, OUTBOX_LOW);
	db_test_sql("UPDATE wp_wpcron_outbox SET recipients = '[{\"x\":1}]'"
		    " WHERE mail_id = %llu",
	    (unsigned long long)id);
	ck_assert_uint_eq(ox_claim(7, OUTBOX_LOW, 9, &m), 2);
	ck_assert(m[0].broken && !m[1].broken);
	ck_assert_uint_eq(m[0].nrecipients, 0);
}
END_TEST

/* ---- verdicts ------------------------------------------------------------ */

static size_t
verdicts(struct outbox_verdict **out)
{
	size_t n;

	CK_RC(RC_OK,
	    outbox_verdicts(t.db, &t.scope, 100, &ox_arena, out, &n, &t.err));
	return n;
}

START_TEST(verdict_is_told_once)
{
	struct outbox_verdict *v;
	struct outbox_mail *m;
	uint64_t id = ox_add("message:5:1", 1, OUTBOX_LOW);

	m = ox_claim_one(7);
	ck_assert_uint_eq(verdicts(&v), 0);
	ox_end(7, m, OUTBOX_DEAD, 0, "550 no such user");
	ck_assert_uint_eq(verdicts(&v), 1);
	ck_assert_uint_eq(v->mail_id, id);
	ck_assert_uint_eq(v->blog_id, 1);
	ck_assert(slice_eq_str(v->job, "message:5:1"));
	ck_assert(slice_eq_str(v->reply, "550 no such user"));
	ck_assert_int_eq(v->end, OUTBOX_DEAD);
	ck_assert_uint_eq(v->tries, 1);
	ck_assert_uint_eq(v->nrecipients, 3);
	CK_RC(RC_OK, outbox_told(t.db, &t.scope, &id, 1, &t.err));
	ck_assert_uint_eq(verdicts(&v), 0);
}
END_TEST

START_TEST(sent_mail_is_news_for_actions_and_where_somebody_was_refused)
{
	static const struct {
		const char *job;
		bool refused;
		size_t n;
	} rows[] = {
		{ "action:1", false, 1 },
		{ "message:1:1", false, 0 },
		{ "event:1", false, 0 },
		{ "event:1", true, 1 },
	};
	struct outbox_verdict *v;
	struct outbox_mail *m;

	ox_add(rows[_i].job, 1, OUTBOX_LOW);
	m = ox_claim_one(7);
	if (rows[_i].refused)
		m->recipients[2].state = OUTBOX_REFUSED;
	ox_end(7, m, OUTBOX_SENT, 0, "250");
	ck_assert_uint_eq(verdicts(&v), rows[_i].n);
}
END_TEST

/* ---- upkeep -------------------------------------------------------------- */

START_TEST(later_mail_is_ready_at_its_time)
{
	uint64_t id = ox_add("event:1", 1, OUTBOX_LOW);

	ox_end(7, ox_claim_one(7), OUTBOX_LATER, 60, "450");
	ck_assert(!tend(&upkeep));
	ck_assert(ox_is(id, "later"));
	db_test_sql("UPDATE wp_wpcron_outbox SET not_before ="
		    " UTC_TIMESTAMP(6)");
	ck_assert(tend(&upkeep));
	ck_assert(ox_is(id, "ready"));
	ck_assert_uint_eq(ox_claim_one(8)->tries, 1);
}
END_TEST

static const struct {
	bool hold;
	unsigned before; /* it was lost so often */
	const char *state;
} losses[] = {
	{ false, 0, "later" },
	{ false, 1, "held" },
	{ true, 0, "held" },
};

START_TEST(begun_mail_of_a_dead_sender_is_unknown)
{
	struct outbox_upkeep u = upkeep;
	struct outbox_mail *m;
	uint64_t id = ox_add("action:1", 1, OUTBOX_LOW);
	bool held = strcmp(losses[_i].state, "held") == 0;

	u.hold_unknown = losses[_i].hold;
	db_test_sql(
	    "UPDATE wp_wpcron_outbox SET unknown = %u", losses[_i].before);
	m = ox_claim_one(7);
	CK_RC(RC_OK, ox_step(7, NULL, m));
	(void)tend(&u);
	ck_assert(ox_is(id, "sending"));
	db_test_sql("UPDATE wp_wpcron_outbox SET claimed_until ="
		    " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND");
	(void)tend(&u);
	ck_assert(ox_is(id, losses[_i].state));
	ck_assert_uint_eq(of(id, "unknown"), losses[_i].before + 1);
	ck_assert_uint_eq(of(id, "tries"), 1);
	ck_assert_uint_eq(
	    of(id, "not_before > UTC_TIMESTAMP(6) + INTERVAL 890 SECOND"),
	    !held);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"),
	    held ? 1 : 0);
	ck_assert_uint_eq(of(id, "told"), held ? 0 : 1);
	ck_assert_uint_eq(ox_chunks(), 1);
	/* The dead one speaks once more. */
	ox_end(7, m, OUTBOX_SENT, 0, "250");
	ck_assert(ox_is(id, losses[_i].state));
}
END_TEST

START_TEST(term_that_is_extended_keeps_the_mail)
{
	struct outbox_mail *m;

	ox_add("event:1", 1, OUTBOX_LOW);
	m = ox_claim_one(7);
	db_test_sql("UPDATE wp_wpcron_outbox SET claimed_until ="
		    " UTC_TIMESTAMP(6) + INTERVAL 1 SECOND");
	CK_RC(RC_OK, outbox_extend(t.db, &t.scope, 7, OX_TERM_MS, &t.err));
	ck_assert_uint_eq(of(m->mail_id, "claimed_until > UTC_TIMESTAMP(6)"
					 " + INTERVAL 50 SECOND"),
	    1);
}
END_TEST

START_TEST(bytes_of_dead_mails_go_first_then_their_rows)
{
	uint64_t id = ox_add("event:1", 1, OUTBOX_LOW);

	ox_end(7, ox_claim_one(7), OUTBOX_DEAD, 0, "550");
	(void)tend(&upkeep);
	ck_assert_uint_eq(ox_chunks(), 1);
	db_test_sql("UPDATE wp_wpcron_outbox SET not_before = not_before"
		    " - INTERVAL 8 DAY, ended_at = ended_at - INTERVAL 8 DAY");
	(void)tend(&upkeep);
	ck_assert_uint_eq(ox_chunks(), 0);
	ck_assert_uint_eq(of(id, "size"), 0);
	ck_assert(ox_is(id, "dead"));
	db_test_sql("UPDATE wp_wpcron_outbox SET"
		    " ended_at = ended_at - INTERVAL 83 DAY");
	(void)tend(&upkeep);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_outbox"), 0);
}
END_TEST

/* Without its letter nobody could send it, or would know of it. */
START_TEST(held_mails_stay_as_long_as_their_letters)
{
	ox_add("event:1", 1, OUTBOX_LOW);
	ox_end(7, ox_claim_one(7), OUTBOX_HELD, 0, "unknown");
	for (uint64_t left = 2; left-- > 0;) {
		db_test_sql("UPDATE wp_wpcron_outbox SET not_before ="
			    " not_before - INTERVAL 60 DAY, ended_at = ended_at"
			    " - INTERVAL 60 DAY");
		db_test_sql("UPDATE wp_wpcron_dead_letters SET died_at ="
			    " died_at - INTERVAL 60 DAY");
		(void)tend(&upkeep);
		ck_assert_uint_eq(ox_chunks(), left);
		ck_assert_uint_eq(
		    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_outbox"), left);
		ck_assert_uint_eq(
		    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"),
		    left);
	}
}
END_TEST

START_TEST(half_written_mails_of_dead_writers_go)
{
	ox_add("event:1", 1, OUTBOX_LOW);
	db_test_sql("UPDATE wp_wpcron_outbox SET state = 'writing'");
	(void)tend(&upkeep);
	ck_assert_uint_eq(ox_chunks(), 1);
	db_test_sql("UPDATE wp_wpcron_outbox SET not_before = not_before"
		    " - INTERVAL 3700 SECOND");
	(void)tend(&upkeep);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_outbox"), 0);
	ck_assert_uint_eq(ox_chunks(), 0);
}
END_TEST

Suite *
outbox_settle_suite(void)
{
	Suite *s = suite_create("outbox_settle");
	TCase *tc = ox_part(s, "ending");

	tcase_add_loop_test(tc, mail_ends_as_it_should, 0, NELEMS(ends));
	tcase_add_test(tc, one_step_ends_a_mail_and_begins_the_next);
	tcase_add_test(tc, mail_that_was_taken_back_is_not_begun);
	tcase_add_test(tc, who_lost_a_mail_does_not_end_it);
	tcase_add_test(tc, broken_recipients_cost_their_mail_alone);
	tc = ox_part(s, "verdicts");
	tcase_add_test(tc, verdict_is_told_once);
	tcase_add_loop_test(tc,
	    sent_mail_is_news_for_actions_and_where_somebody_was_refused, 0, 4);
	tc = ox_part(s, "upkeep");
	tcase_add_test(tc, later_mail_is_ready_at_its_time);
	tcase_add_loop_test(
	    tc, begun_mail_of_a_dead_sender_is_unknown, 0, NELEMS(losses));
	tcase_add_test(tc, term_that_is_extended_keeps_the_mail);
	tcase_add_test(tc, bytes_of_dead_mails_go_first_then_their_rows);
	tcase_add_test(tc, held_mails_stay_as_long_as_their_letters);
	tcase_add_test(tc, half_written_mails_of_dead_writers_go);
	return s;
}
