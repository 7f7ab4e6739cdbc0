#include "outbox_fixture.h"

#include <string.h>

#include "sql/schema.h"

struct arena ox_arena = ARENA_INIT((size_t)64 << 20);
const struct slice ox_three[3] = { { "a@example.test", 14 },
	{ "b@example.test", 14 }, { "c@example.test", 14 } };

static void
open_tables(void)
{
	db_test_open();
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
}

static void
close_tables(void)
{
	arena_clear(&ox_arena);
	db_test_close();
}

struct outbox_new
ox_mail(const char *job, unsigned ordinal, enum outbox_priority priority)
{
	struct outbox_new m = {
		.blog_id = 1,
		.priority = priority,
		.job = slice_str(job),
		.ordinal = ordinal,
		.message_id = SLICE_LIT("<1@example.test>"),
		.sender = SLICE_LIT("shop@example.test"),
		.recipients = ox_three,
		.nrecipients = 3,
		.subject = SLICE_LIT("Your order for a@example.test"),
		.bytes = SLICE_LIT("Subject: Your order\r\n\r\nThanks\r\n"),
	};

	memset(m.digest, (int)ordinal, sizeof m.digest);
	return m;
}

uint64_t
ox_add(const char *job, unsigned ordinal, enum outbox_priority priority)
{
	struct outbox_new m = ox_mail(job, ordinal, priority);
	uint64_t id = 0;

	CK_RC(RC_OK, outbox_add(t.db, &t.scope, &m, NULL, &id, &t.err));
	return id;
}

size_t
ox_claim(uint64_t claim_id, enum outbox_priority lowest, size_t max,
    struct outbox_mail **out)
{
	size_t n;

	CK_RC(RC_OK, outbox_claim(t.db, &t.scope, claim_id, lowest, max,
			 OX_TERM_MS, &ox_arena, out, &n, &t.err));
	return n;
}

struct outbox_mail *
ox_claim_one(uint64_t claim_id)
{
	struct outbox_mail *m;

	ck_assert_uint_eq(ox_claim(claim_id, OUTBOX_LOW, 1, &m), 1);
	return m;
}

enum rc
ox_step(uint64_t claim_id, const struct outbox_result *done,
    const struct outbox_mail *next)
{
	return outbox_step(
	    t.db, &t.scope, claim_id, done, next, OX_TERM_MS, &t.err);
}

void
ox_end(uint64_t claim_id, struct outbox_mail *m, enum outbox_end end,
    int64_t wait_s, const char *reply)
{
	CK_RC(RC_OK, ox_step(claim_id,
			 &(const struct outbox_result){ .mail = m,
			     .end = end,
			     .wait_s = wait_s,
			     .reply = slice_str(reply) },
			 NULL));
}

bool
ox_is(uint64_t id, const char *state)
{
	return db_test_u64("SELECT state = '%s' FROM wp_wpcron_outbox"
			   " WHERE mail_id = %llu",
		   state, (unsigned long long)id) == 1;
}

uint64_t
ox_chunks(void)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_wpcron_outbox_chunks");
}

TCase *
ox_part(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(s, tc);
	return tc;
}
