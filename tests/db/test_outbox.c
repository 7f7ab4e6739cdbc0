/*
 * Mails in the outbox: stored once, claimed once, ended once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "db_test.h"
#include "queues/dead_letters.h"
#include "queues/outbox.h"
#include "sql/schema.h"

Suite *outbox_suite(void);

#define TERM_MS 60000

static struct arena arena = ARENA_INIT((size_t)64 << 20);
static const unsigned char key[32] = "0123456789abcdef0123456789ABCDE";
static const struct outbox_upkeep upkeep = { .dead_bodies_days = 7,
	.dead_days = 90,
	.unknown_wait_s = 900,
	.writing_s = 3600 };

static void
open_tables(void)
{
	db_test_open();
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
}

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

/* ---- a mail -------------------------------------------------------------- */

static const struct slice three[] = { { "a@example.test", 14 },
	{ "b@example.test", 14 }, { "c@example.test", 14 } };

static struct outbox_new
mail(const char *job, unsigned ordinal, enum outbox_priority priority)
{
	struct outbox_new m = {
		.blog_id = 1,
		.priority = priority,
		.job = slice_str(job),
		.ordinal = ordinal,
		.message_id = SLICE_LIT("<1@example.test>"),
		.sender = SLICE_LIT("shop@example.test"),
		.recipients = three,
		.nrecipients = 3,
		.subject = SLICE_LIT("Your order for a@example.test"),
		.bytes = SLICE_LIT("Subject: Your order\r\n\r\nThanks\r\n"),
	};

	memset(m.digest, (int)ordinal, sizeof m.digest);
	return m;
}

static uint64_t
add(const char *job, unsigned ordinal, enum outbox_priority priority)
{
	struct outbox_new m = mail(job, ordinal, priority);
	uint64_t id = 0;

	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &id, &t.err));
	return id;
}

static size_t
claim(uint64_t claim_id, enum outbox_priority lowest, size_t max,
    struct outbox_mail **out)
{
	size_t n;

	CK_RC(RC_OK, outbox_claim(t.db, &t.scope, claim_id, lowest, max,
			 TERM_MS, &arena, out, &n, &t.err));
	return n;
}

static struct outbox_mail *
claim_one(uint64_t claim_id)
{
	struct outbox_mail *m;

	ck_assert_uint_eq(claim(claim_id, OUTBOX_LOW, 1, &m), 1);
	return m;
}

static enum rc
step(uint64_t claim_id, const struct outbox_result *done,
    const struct outbox_mail *next)
{
	return outbox_step(
	    t.db, &t.scope, claim_id, done, next, TERM_MS, &t.err);
}

static void
end_with(uint64_t claim_id, struct outbox_mail *m, enum outbox_end end,
    int64_t wait_s, const char *reply)
{
	CK_RC(RC_OK, step(claim_id,
			 &(const struct outbox_result){ .mail = m,
			     .end = end,
			     .wait_s = wait_s,
			     .reply = slice_str(reply) },
			 NULL));
}

static bool
in_state(uint64_t id, const char *state)
{
	return db_test_u64("SELECT state = '%s' FROM wp_wpcron_outbox"
			   " WHERE mail_id = %llu",
		   state, (unsigned long long)id) == 1;
}

static uint64_t
of(uint64_t id, const char *column)
{
	return db_test_u64("SELECT %s FROM wp_wpcron_outbox WHERE mail_id ="
			   " %llu",
	    column, (unsigned long long)id);
}

static uint64_t
chunks(void)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_wpcron_outbox_chunks");
}

static bool
tend(const struct outbox_upkeep *u)
{
	bool changed;

	CK_RC(RC_OK, outbox_tend(t.db, &t.scope, u, &changed, &t.err));
	return changed;
}

/* ---- storing ------------------------------------------------------------- */

START_TEST(stored_mail_is_claimed_as_it_was)
{
	uint64_t id = add("action:12", 2, OUTBOX_HIGH);
	struct outbox_mail *m = claim_one(5);

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
		ck_assert(slice_eq(m->recipients[i].to, three[i]));
		ck_assert_int_eq(m->recipients[i].state, OUTBOX_OPEN);
	}
	ck_assert_uint_eq(m->size, 31);
	ck_assert(!m->sealed && !m->broken);
	ck_assert_int_le(llabs(m->created_at - clock_unix(&clock_system)), 5);
	ck_assert_uint_eq(m->tries, 0);
}
END_TEST

START_TEST(the_same_mail_is_stored_once)
{
	struct outbox_new m = mail("event:1", 1, OUTBOX_MEDIUM);
	uint64_t first = add("event:1", 1, OUTBOX_MEDIUM), again = 0;

	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &again, &t.err));
	ck_assert_uint_eq(again, first);
	ck_assert_uint_eq(chunks(), 1);
	/* Sent already: not stored again either. */
	end_with(5, claim_one(5), OUTBOX_SENT, 0, "250 ok");
	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &again, &t.err));
	ck_assert_uint_eq(again, first);
	ck_assert_uint_eq(chunks(), 0);
	/* Another text of the same job is another mail. */
	m.digest[0] ^= 1;
	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &again, &t.err));
	ck_assert_uint_ne(again, first);
}
END_TEST

START_TEST(half_a_mail_is_written_anew_once_its_writer_is_dead)
{
	struct outbox_new m = mail("event:1", 1, OUTBOX_MEDIUM);
	struct outbox_mail *found;
	uint64_t first = add("event:1", 1, OUTBOX_MEDIUM), again = 0;

	db_test_sql("UPDATE wp_wpcron_outbox SET state = 'writing', size = 0");
	CK_RC(RC_RETRY, outbox_add(t.db, &t.scope, &m, NULL, NULL, &t.err));
	ck_assert_uint_eq(claim(5, OUTBOX_LOW, 9, &found), 0);
	db_test_sql("UPDATE wp_wpcron_outbox SET created_at ="
		    " UTC_TIMESTAMP(6) - INTERVAL 121 SECOND");
	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &again, &t.err));
	ck_assert_uint_ne(again, first);
	ck_assert_uint_eq(chunks(), 1);
	ck_assert(in_state(again, "ready"));
}
END_TEST

static const size_t sizes[] = { 1, 393215, 393216, 393217, 1200000 };

/* Sealed and not; read chunk by chunk. */
static void
goes_there_and_back(size_t size, const unsigned char *with)
{
	struct outbox_new m = mail("task:1", 1, OUTBOX_LOW);
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
	found = claim_one(5);
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
	struct outbox_new m = mail("task:1", 1, OUTBOX_LOW);
	struct buf part = BUF_INIT(OUTBOX_CHUNK);
	unsigned char other[32] = "x";
	struct outbox_mail *found;

	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, key, NULL, &t.err));
	found = claim_one(5);
	CK_RC(RC_REJECT,
	    outbox_chunk(t.db, &t.scope, found, 0, NULL, &part, &t.err));
	CK_RC(RC_REJECT,
	    outbox_chunk(t.db, &t.scope, found, 0, other, &part, &t.err));
	buf_clear(&part);
}
END_TEST

START_TEST(mail_to_nobody_or_without_bytes_is_refused)
{
	struct outbox_new m = mail("task:1", 1, OUTBOX_LOW);

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
		ids[i] = add("event:1", i + 1, order[i]);
	ck_assert_uint_eq(claim(7, OUTBOX_LOW, 100, &m), NELEMS(order));
	for (size_t i = 0; i < NELEMS(order); i++)
		ck_assert_uint_eq(m[i].mail_id, ids[want[i]]);
}
END_TEST

START_TEST(only_as_urgent_ones_as_asked_for_are_claimed)
{
	struct outbox_mail *m;
	uint64_t high;

	add("event:1", 1, OUTBOX_LOW);
	add("event:1", 2, OUTBOX_MEDIUM);
	high = add("event:1", 3, OUTBOX_HIGH);
	ck_assert_uint_eq(claim(7, OUTBOX_HIGH, 100, &m), 1);
	ck_assert_uint_eq(m->mail_id, high);
	ck_assert_uint_eq(claim(8, OUTBOX_MEDIUM, 100, &m), 1);
	ck_assert_uint_eq(claim(9, OUTBOX_MEDIUM, 100, &m), 0);
	ck_assert_uint_eq(claim(9, OUTBOX_LOW, 100, &m), 1);
}
END_TEST

START_TEST(released_mails_are_ready_but_not_begun_ones)
{
	struct outbox_mail *m;
	bool due;

	for (unsigned i = 1; i <= 3; i++)
		add("event:1", i, OUTBOX_LOW);
	ck_assert_uint_eq(claim(7, OUTBOX_LOW, 9, &m), 3);
	CK_RC(RC_OK, outbox_due(t.db, &t.scope, &due, &t.err));
	ck_assert(!due);
	CK_RC(RC_OK, step(7, NULL, &m[0]));
	CK_RC(RC_OK, outbox_release(t.db, &t.scope, 7, &t.err));
	CK_RC(RC_OK, outbox_due(t.db, &t.scope, &due, &t.err));
	ck_assert(due);
	ck_assert_uint_eq(claim(8, OUTBOX_LOW, 9, &m), 2);
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
			TERM_MS, &a, &m, &n, &err) != RC_OK)
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
		add("event:1", i, OUTBOX_LOW);
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
	{ "back in a while", OUTBOX_BACK, 5, "later", 0, 0, 0, 1, 1 },
};

START_TEST(mail_ends_as_it_should)
{
	uint64_t id = add("action:3", 1, OUTBOX_MEDIUM);
	struct outbox_mail *m = claim_one(7);

	m->recipients[1].state = OUTBOX_REFUSED;
	m->recipients[1].code = 550;
	m->recipients[1].words = SLICE_LIT("550 \"no\" such\\user");
	m->recipients[0].state = OUTBOX_ACCEPTED;
	CK_RC(RC_OK, step(7, NULL, m));
	end_with(7, m, ends[_i].end, ends[_i].wait_s, "words of the relay");
	ck_assert_msg(in_state(id, ends[_i].state), "%s", ends[_i].name);
	ck_assert_uint_eq(of(id, "tries"), ends[_i].tries);
	ck_assert_uint_eq(of(id, "unknown"), ends[_i].unknown);
	ck_assert_uint_eq(of(id, "told"), ends[_i].told);
	ck_assert_uint_eq(of(id, "begun"), 0);
	ck_assert_uint_eq(of(id, "claim_id"), 0);
	ck_assert_uint_eq(of(id, "reply = 'words of the relay'"), 1);
	ck_assert_uint_eq(
	    of(id, "not_before >= UTC_TIMESTAMP(6) + INTERVAL 3 SECOND"),
	    ends[_i].wait_s > 0);
	ck_assert_uint_eq(chunks(), ends[_i].chunks);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"
			" WHERE kind = 'mail' AND source = %llu AND title ="
			" 'Your order for a***@example.test'",
		(unsigned long long)id),
	    ends[_i].letters);
	db_test_sql("UPDATE wp_wpcron_outbox SET state = 'ready'");
	m = claim_one(8);
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

	add("event:1", 1, OUTBOX_LOW);
	add("event:1", 2, OUTBOX_LOW);
	ck_assert_uint_eq(claim(7, OUTBOX_LOW, 9, &m), 2);
	CK_RC(RC_OK, step(7, NULL, &m[0]));
	CK_RC(RC_OK, step(7,
			 &(const struct outbox_result){ .mail = &m[0],
			     .end = OUTBOX_SENT,
			     .reply = SLICE_LIT("250") },
			 &m[1]));
	ck_assert(in_state(m[0].mail_id, "sent"));
	ck_assert_uint_eq(of(m[1].mail_id, "begun"), 1);
	CK_RC(RC_OK, step(7, NULL, NULL));
}
END_TEST

START_TEST(mail_that_was_taken_back_is_not_begun)
{
	struct outbox_mail *m;

	add("event:1", 1, OUTBOX_LOW);
	add("event:1", 2, OUTBOX_LOW);
	ck_assert_uint_eq(claim(7, OUTBOX_LOW, 9, &m), 2);
	CK_RC(RC_OK, step(7, NULL, &m[0]));
	db_test_sql("UPDATE wp_wpcron_outbox SET claimed_until ="
		    " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE begun = 0");
	/* What it did is written down all the same. */
	CK_RC(RC_NONE, step(7,
			   &(const struct outbox_result){ .mail = &m[0],
			       .end = OUTBOX_SENT,
			       .reply = SLICE_LIT("250") },
			   &m[1]));
	ck_assert(in_state(m[0].mail_id, "sent"));
	ck_assert(tend(&upkeep));
	ck_assert(in_state(m[1].mail_id, "ready"));
	CK_RC(RC_NONE, outbox_extend(t.db, &t.scope, 7, TERM_MS, &t.err));
}
END_TEST

START_TEST(who_lost_a_mail_does_not_end_it)
{
	uint64_t id = add("event:1", 1, OUTBOX_LOW);
	struct outbox_mail *mine = claim_one(7), *theirs;

	db_test_sql("UPDATE wp_wpcron_outbox SET state = 'ready'");
	theirs = claim_one(8);
	ck_assert_uint_eq(theirs->mail_id, id);
	end_with(7, mine, OUTBOX_DEAD, 0, "550");
	ck_assert(in_state(id, "sending"));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"), 0);
}
END_TEST

START_TEST(broken_recipients_cost_their_mail_alone)
{
	struct outbox_mail *m;
	uint64_t id = add("event:1", 1, OUTBOX_LOW);

	add("event:1", 2, OUTBOX_LOW);
	db_test_sql("UPDATE wp_wpcron_outbox SET recipients = '[{\"x\":1}]'"
		    " WHERE mail_id = %llu",
	    (unsigned long long)id);
	ck_assert_uint_eq(claim(7, OUTBOX_LOW, 9, &m), 2);
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
	    outbox_verdicts(t.db, &t.scope, 100, &arena, out, &n, &t.err));
	return n;
}

START_TEST(verdict_is_told_once)
{
	struct outbox_verdict *v;
	struct outbox_mail *m;
	uint64_t id = add("message:5:1", 1, OUTBOX_LOW);

	m = claim_one(7);
	ck_assert_uint_eq(verdicts(&v), 0);
	end_with(7, m, OUTBOX_DEAD, 0, "550 no such user");
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

	add(rows[_i].job, 1, OUTBOX_LOW);
	m = claim_one(7);
	if (rows[_i].refused)
		m->recipients[2].state = OUTBOX_REFUSED;
	end_with(7, m, OUTBOX_SENT, 0, "250");
	ck_assert_uint_eq(verdicts(&v), rows[_i].n);
}
END_TEST

/* ---- upkeep -------------------------------------------------------------- */

START_TEST(later_mail_is_ready_at_its_time)
{
	uint64_t id = add("event:1", 1, OUTBOX_LOW);

	end_with(7, claim_one(7), OUTBOX_LATER, 60, "450");
	ck_assert(!tend(&upkeep));
	ck_assert(in_state(id, "later"));
	db_test_sql("UPDATE wp_wpcron_outbox SET not_before ="
		    " UTC_TIMESTAMP(6)");
	ck_assert(tend(&upkeep));
	ck_assert(in_state(id, "ready"));
	ck_assert_uint_eq(claim_one(8)->tries, 1);
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
	uint64_t id = add("action:1", 1, OUTBOX_LOW);
	bool held = strcmp(losses[_i].state, "held") == 0;

	u.hold_unknown = losses[_i].hold;
	db_test_sql(
	    "UPDATE wp_wpcron_outbox SET unknown = %u", losses[_i].before);
	m = claim_one(7);
	CK_RC(RC_OK, step(7, NULL, m));
	(void)tend(&u);
	ck_assert(in_state(id, "sending"));
	db_test_sql("UPDATE wp_wpcron_outbox SET claimed_until ="
		    " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND");
	(void)tend(&u);
	ck_assert(in_state(id, losses[_i].state));
	ck_assert_uint_eq(of(id, "unknown"), losses[_i].before + 1);
	ck_assert_uint_eq(of(id, "tries"), 1);
	ck_assert_uint_eq(
	    of(id, "not_before > UTC_TIMESTAMP(6) + INTERVAL 890 SECOND"),
	    !held);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"),
	    held ? 1 : 0);
	ck_assert_uint_eq(of(id, "told"), held ? 0 : 1);
	ck_assert_uint_eq(chunks(), 1);
	/* The dead one speaks once more. */
	end_with(7, m, OUTBOX_SENT, 0, "250");
	ck_assert(in_state(id, losses[_i].state));
}
END_TEST

START_TEST(term_that_is_extended_keeps_the_mail)
{
	struct outbox_mail *m;

	add("event:1", 1, OUTBOX_LOW);
	m = claim_one(7);
	db_test_sql("UPDATE wp_wpcron_outbox SET claimed_until ="
		    " UTC_TIMESTAMP(6) + INTERVAL 1 SECOND");
	CK_RC(RC_OK, outbox_extend(t.db, &t.scope, 7, TERM_MS, &t.err));
	ck_assert_uint_eq(of(m->mail_id, "claimed_until > UTC_TIMESTAMP(6)"
					 " + INTERVAL 50 SECOND"),
	    1);
}
END_TEST

START_TEST(bytes_of_dead_mails_go_first_then_their_rows)
{
	uint64_t id = add("event:1", 1, OUTBOX_LOW);

	end_with(7, claim_one(7), OUTBOX_DEAD, 0, "550");
	(void)tend(&upkeep);
	ck_assert_uint_eq(chunks(), 1);
	db_test_sql("UPDATE wp_wpcron_outbox SET not_before = not_before"
		    " - INTERVAL 8 DAY, ended_at = ended_at - INTERVAL 8 DAY");
	(void)tend(&upkeep);
	ck_assert_uint_eq(chunks(), 0);
	ck_assert_uint_eq(of(id, "size"), 0);
	ck_assert(in_state(id, "dead"));
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
	add("event:1", 1, OUTBOX_LOW);
	end_with(7, claim_one(7), OUTBOX_HELD, 0, "unknown");
	for (uint64_t left = 2; left-- > 0;) {
		db_test_sql("UPDATE wp_wpcron_outbox SET not_before ="
			    " not_before - INTERVAL 60 DAY, ended_at = ended_at"
			    " - INTERVAL 60 DAY");
		db_test_sql("UPDATE wp_wpcron_dead_letters SET died_at ="
			    " died_at - INTERVAL 60 DAY");
		(void)tend(&upkeep);
		ck_assert_uint_eq(chunks(), left);
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
	add("event:1", 1, OUTBOX_LOW);
	db_test_sql("UPDATE wp_wpcron_outbox SET state = 'writing'");
	(void)tend(&upkeep);
	ck_assert_uint_eq(chunks(), 1);
	db_test_sql("UPDATE wp_wpcron_outbox SET not_before = not_before"
		    " - INTERVAL 3700 SECOND");
	(void)tend(&upkeep);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_outbox"), 0);
	ck_assert_uint_eq(chunks(), 0);
}
END_TEST

static TCase *
part(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(s, tc);
	return tc;
}

Suite *
outbox_suite(void)
{
	Suite *s = suite_create("outbox");
	TCase *tc = part(s, "storing");

	tcase_add_test(tc, stored_mail_is_claimed_as_it_was);
	tcase_add_test(tc, the_same_mail_is_stored_once);
	tcase_add_test(tc, half_a_mail_is_written_anew_once_its_writer_is_dead);
	tcase_add_loop_test(tc, bytes_come_back_in_chunks, 0, NELEMS(sizes));
	tcase_add_loop_test(
	    tc, sealed_bytes_come_back_in_chunks, 0, NELEMS(sizes));
	tcase_add_test(tc, sealed_mail_without_its_key_is_refused);
	tcase_add_test(tc, mail_to_nobody_or_without_bytes_is_refused);
	tc = part(s, "claiming");
	tcase_add_test(tc, urgent_ones_come_first_then_the_oldest);
	tcase_add_test(tc, only_as_urgent_ones_as_asked_for_are_claimed);
	tcase_add_test(tc, released_mails_are_ready_but_not_begun_ones);
	tcase_add_test(tc, no_mail_is_claimed_twice);
	tc = part(s, "ending");
	tcase_add_loop_test(tc, mail_ends_as_it_should, 0, NELEMS(ends));
	tcase_add_test(tc, one_step_ends_a_mail_and_begins_the_next);
	tcase_add_test(tc, mail_that_was_taken_back_is_not_begun);
	tcase_add_test(tc, who_lost_a_mail_does_not_end_it);
	tcase_add_test(tc, broken_recipients_cost_their_mail_alone);
	tc = part(s, "verdicts");
	tcase_add_test(tc, verdict_is_told_once);
	tcase_add_loop_test(tc,
	    sent_mail_is_news_for_actions_and_where_somebody_was_refused, 0, 4);
	tc = part(s, "upkeep");
	tcase_add_test(tc, later_mail_is_ready_at_its_time);
	tcase_add_loop_test(
	    tc, begun_mail_of_a_dead_sender_is_unknown, 0, NELEMS(losses));
	tcase_add_test(tc, term_that_is_extended_keeps_the_mail);
	tcase_add_test(tc, bytes_of_dead_mails_go_first_then_their_rows);
	tcase_add_test(tc, held_mails_stay_as_long_as_their_letters);
	tcase_add_test(tc, half_written_mails_of_dead_writers_go);
	return s;
}
