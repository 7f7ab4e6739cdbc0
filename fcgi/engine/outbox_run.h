#ifndef ENGINE_OUTBOX_RUN_H
#define ENGINE_OUTBOX_RUN_H

#include "engine/work.h"

/*
 * Sends what is in the outbox of a network through the site's relay. Several
 * calls may run side by side, on one node and on many: each is one connection
 * to the relay, of [smtp] concurrency over all nodes (leases); rates are shared
 * in slices of tokens (buckets).
 */

struct outbox_report {
	uint64_t sent, later, dead, unknown, held, dropped;
	bool more;       /* ready mails wait still */
	bool untold;     /* as of outbox_tend_run() */
	int64_t wait_ms; /* nothing may be sent sooner: rate, relay at rest */
	char why[ERR_TEXT_MAX]; /* nothing is sent: because */
};
/* Until nothing is ready, a limit or budget_ms is reached, or the program
 * stops. RC_NONE: all connections are in use. RC_RETRY: the database is away.
 * A relay that is away is no error here. */
MUSTUSE enum rc outbox_run(const struct work_env *env, uint32_t budget_ms,
    struct outbox_report *out, struct err *err);
/* Upkeep, and the verdicts for those who want to know: a line in the action's
 * log, a message's MSN -> MRT, wp_mail_failed. *due: something is ready.
 * *untold: some have not heard yet, as PHP has no time or another one is at it;
 * to be called again soon. */
MUSTUSE enum rc outbox_tend_run(
    const struct work_env *env, bool *due, bool *untold, struct err *err);

#endif
