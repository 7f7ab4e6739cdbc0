#include <check.h>

#include "base/macros.h"
#include "queues/retry.h"

Suite *retry_suite(void);

static const struct route php = { .kind = EXECUTOR_PHP };
static const struct route webhook = { .kind = EXECUTOR_WEBHOOK };

static const struct {
	const char *what;
	const struct route *route;
	bool idempotent;
	uint32_t retries, try, strikes;
	struct outcome outcome;
	bool again, parked, exhausted;
} rows[] = {
	{ "a hook that throws has no retry by itself", &php, false, 0, 1, 0,
	    { .kind = OUTCOME_FAILED }, false, false, false },
	{ "but those it was given", &php, false, 2, 2, 0,
	    { .kind = OUTCOME_FAILED }, true, false, false },
	{ "and no more", &php, false, 2, 3, 0, { .kind = OUTCOME_FAILED },
	    false, false, true },
	{ "a webhook that refuses for good has none", &webhook, true, 5, 1, 0,
	    { .kind = OUTCOME_FAILED }, false, false, false },
	{ "one that may have arrived is repeated if that is harmless", &webhook,
	    true, 5, 5, 0, { .kind = OUTCOME_RETRY }, true, false, false },
	{ "only then", &webhook, false, 5, 1, 0, { .kind = OUTCOME_RETRY },
	    false, false, false },
	{ "one that was not sent is, with or without retries", &webhook, false,
	    0, 20, 0, { .kind = OUTCOME_RETRY, .unsent = true }, true, false,
	    false },
	{ "twenty times", &webhook, false, 0, 21, 0,
	    { .kind = OUTCOME_RETRY, .unsent = true }, false, false, true },
	{ "or as often as it has retries", &webhook, false, 30, 30, 0,
	    { .kind = OUTCOME_RETRY, .unsent = true }, true, false, false },
	{ "what died may have run", &php, false, 5, 1, 0,
	    { .kind = OUTCOME_DIED, .strike = true }, false, false, false },
	{ "if harmless it runs again", &php, true, 0, 1, 0,
	    { .kind = OUTCOME_DIED, .strike = true }, true, false, false },
	{ "but not for ever", &php, true, 0, 2, 1,
	    { .kind = OUTCOME_DIED, .strike = true }, false, true, true },
	{ "what is done is done", &php, true, 5, 1, 0, { .kind = OUTCOME_DONE },
	    false, false, false },
	{ "what is released waits by itself", &php, true, 5, 1, 0,
	    { .kind = OUTCOME_RELEASED }, false, false, false },
};

START_TEST(who_gets_another_try)
{
	const struct policy policy = { .idempotent = rows[_i].idempotent,
		.retries = rows[_i].retries };
	struct job job = { .route = rows[_i].route,
		.policy = &policy,
		.try = rows[_i].try,
		.strikes = rows[_i].strikes };
	struct outcome o = rows[_i].outcome;
	uint32_t strikes;

	o.job = &job;
	ck_assert_msg(
	    retry_allowed(&o, &strikes) == rows[_i].again, "%s", rows[_i].what);
	ck_assert_uint_eq(strikes, rows[_i].strikes + o.strike);
	ck_assert_msg(
	    retry_is_parked(&o) == rows[_i].parked, "%s", rows[_i].what);
	ck_assert_msg(
	    retry_is_exhausted(&o) == rows[_i].exhausted, "%s", rows[_i].what);
}
END_TEST

static const struct {
	uint32_t min, max, try;
	int64_t about;
} waits[] = { { 30000, 7200000, 1, 30000 }, { 30000, 7200000, 2, 120000 },
	{ 30000, 7200000, 4, 1920000 }, { 30000, 7200000, 5, 7200000 },
	{ 30000, 7200000, 4000000000u, 7200000 }, { 0, 0, 1, 1000 },
	{ 5000, 10, 3, 5000 } };

START_TEST(waits_grow_by_four_within_a_fifth)
{
	const struct policy p = { .backoff_min_ms = waits[_i].min,
		.backoff_max_ms = waits[_i].max };
	int64_t least = waits[_i].about - waits[_i].about / 5;
	int64_t most = waits[_i].about + waits[_i].about / 5;

	for (uint64_t random = 1; random < UINT64_MAX / 3; random *= 3) {
		int64_t ms = retry_backoff_ms(&p, waits[_i].try, random);

		ck_assert_int_ge(ms, least);
		ck_assert_int_le(ms, most);
	}
}
END_TEST

Suite *
retry_suite(void)
{
	Suite *s = suite_create("retry");
	TCase *tc = tcase_create("rules");

	tcase_add_loop_test(tc, who_gets_another_try, 0, NELEMS(rows));
	tcase_add_loop_test(
	    tc, waits_grow_by_four_within_a_fifth, 0, NELEMS(waits));
	suite_add_tcase(s, tc);
	return s;
}
