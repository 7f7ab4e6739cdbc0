#include "queues/contacts.h"

#include "base/macros.h"
#include "queues/contacts_internal.h"

static const struct {
	const char *name, *hook;
	struct slice flag;
} directions[CONTACT_NDIRECTIONS] = {
	[CONTACT_PULL] = { "pull", "newspack_contact_pull_retry",
	    { "newspack_contact_cron_pull_pending", 34 } },
	[CONTACT_PUSH] = { "push", "newspack_contact_sync_retry",
	    { "newspack_contact_cron_push_pending", 34 } },
};

/* Newspack's own table; the same for both directions. */
static const int64_t delays_s[CONTACT_MAX_RETRIES] = { 30, 120, 480, 1800,
	7200 };

const char *
contact_direction_name(enum contact_direction d)
{
	return directions[d].name;
}

const char *
contact_retry_hook(enum contact_direction d)
{
	return directions[d].hook;
}

int
contact_retry_direction(struct slice hook)
{
	for (int d = 0; d < CONTACT_NDIRECTIONS; d++)
		if (slice_eq_str(hook, directions[d].hook))
			return d;
	return -1;
}

int64_t
contact_retry_delay_s(unsigned n)
{
	if (n < 1)
		return delays_s[0];
	return delays_s[n > NELEMS(delays_s) ? NELEMS(delays_s) - 1 : n - 1];
}

struct slice
contact_flag_key(enum contact_direction d)
{
	return directions[d].flag;
}

int
contact_by_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}
