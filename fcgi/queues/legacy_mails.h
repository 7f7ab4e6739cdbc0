#ifndef QUEUES_LEGACY_MAILS_H
#define QUEUES_LEGACY_MAILS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "queues/actions.h"

/*
 * Mails that WooCommerce 3.0 to 10.7 deferred, in batches that are options of
 * the site or meta of the network, and that nothing runs any more since 10.8.
 * Calls are on the caller's thread and connection.
 */

struct legacy_item {
	struct slice filter; /* "woocommerce_order_status_completed" */
	/* When what it is about was made, so that it is not older: Unix time;
	 * INT64_MIN: not known. */
	int64_t since;
	const char *why; /* today's queue cannot take it; NULL: it can */
};
struct legacy_batch {
	uint64_t id;
	bool network; /* of the site meta */
	struct slice name;
	struct slice value; /* as stored */
	bool unreadable;
	struct legacy_item *items;
	size_t n;
};
/* The batches of a blog, oldest first. */
MUSTUSE enum rc legacy_mails_read(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, bool multisite, struct arena *a,
    struct legacy_batch **out, size_t *n, struct err *err);

/*
 * May they be queued anew? RC_REJECT: WooCommerce works them off itself
 * (before 10.8), or is not there.
 */
MUSTUSE enum rc legacy_mails_ready(
    struct db *db, const struct sql_scope *scope, struct err *err);

/*
 * legacy_mails_drain - the items of a batch about something made after `since`
 * become actions of WooCommerce's queue of today, due now, in their order; the
 * others stay. One transaction. *moved of them; RC_NONE: the batch is gone,
 * or what would stay cannot stay alone.
 */
MUSTUSE enum rc legacy_mails_drain(struct actions *q, struct db *db,
    const struct legacy_batch *batch, int64_t since, int64_t now, size_t *moved,
    struct err *err);

#endif
