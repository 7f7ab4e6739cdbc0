#include "queues/retry.h"

/* A request that never reached the other side may be tried so often. */
#define UNSENT_RETRIES 20
/* An idempotent job that killed its executor so often is parked. */
#define STRIKES_MAX 2

bool
retry_allowed(const struct outcome *o, uint32_t *strikes)
{
	const struct policy *p = o->job->policy;
	uint32_t most = p->retries;

	*strikes = o->job->strikes + (o->strike ? 1 : 0);
	switch (o->kind) {
	case OUTCOME_RETRY:
		if (o->unsent)
			return o->job->try <=
			       (most > UNSENT_RETRIES ? most : UNSENT_RETRIES);
		return p->idempotent && o->job->try <= most;
	case OUTCOME_FAILED:
		return executor_lane(o->job->route->kind) == LANE_PHP &&
		       o->job->try <= most;
	case OUTCOME_DIED:
		return p->idempotent && *strikes < STRIKES_MAX;
	case OUTCOME_DONE:
	case OUTCOME_RELEASED:
	case OUTCOME_LOST:
	case OUTCOME_SETTLED:
		break;
	}
	return false;
}

bool
retry_is_parked(const struct outcome *o)
{
	uint32_t strikes;

	return o->kind == OUTCOME_DIED && o->job->policy->idempotent &&
	       !retry_allowed(o, &strikes);
}

bool
retry_is_exhausted(const struct outcome *o)
{
	uint32_t strikes;
	bool failed = o->kind == OUTCOME_RETRY || o->kind == OUTCOME_FAILED ||
		      o->kind == OUTCOME_DIED;

	return failed && !retry_allowed(o, &strikes) &&
	       (o->job->try > 1 || retry_is_parked(o));
}

int64_t
retry_backoff_ms(const struct policy *p, uint32_t try, uint64_t random)
{
	int64_t ms = p->backoff_min_ms ? p->backoff_min_ms : 1000;
	int64_t most = p->backoff_max_ms > ms ? p->backoff_max_ms : ms;

	for (uint32_t i = 1; i < try && ms < most; i++)
		ms *= 4;
	if (ms > most)
		ms = most;
	/* +- 20 %, so that what failed together does not come back together */
	return ms - ms / 5 + (int64_t)(random % (uint64_t)(ms / 5 * 2 + 1));
}
