#ifndef QUEUES_STAGING_H
#define QUEUES_STAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "sql/db.h"

/*
 * Staging: the usermeta rows by which a page load puts a reader into the
 * contacts queue (Newspack's Contact_Cron::maybe_enqueue()).
 */

/* At most so many readers in one transaction. */
#define STAGING_MAX 100

/* What PHP's (int) makes of the stored time; 0 where there is none. */
int64_t staging_seconds(struct slice value);
/* Not yet again at `now`: less than 300 s ago, or in the future. */
bool staging_is_throttled(int64_t last, int64_t now);

/*
 * staging_is_reader - Newspack's notion of a reader, for `stage = readers`:
 * np_reader (usermeta, as stored; p NULL: no row) is true or one of the roles
 * is subscriber or customer, and none is administrator or editor.
 * `capabilities` as stored; what is no array has no roles.
 */
bool staging_is_reader(struct slice capabilities, struct slice np_reader);

/* One reader. */
struct staged {
	uint64_t user_id;
	/* Out; false: throttled meanwhile, or there is no such user. */
	bool staged;
	int64_t last; /* of the row that decided; 0: none */
	bool stale;   /* staged, and the time before is a day ago, or never */
	/* stale: the pull flag that was not there before, with the value
	 * `now`; 0: one was there. */
	uint64_t pull_row;
};

/*
 * staging_write - stage up to STAGING_MAX different readers at `now`: in one
 * transaction the throttle, the push flag and the pull flag, as
 * update_user_meta() writes them: all rows of a key that are there, else a new
 * one. The pull flag of a stale reader, too, so that a crash in mid-pull
 * leaves him staged: whoever pulls at once removes `pull_row` after success.
 *
 * The throttle is read again within the transaction, under a lock on the
 * users' own rows. No two of us, on any node, are between that read and the
 * write of one reader, so that we stage once a window and never add two rows
 * of a key; PHP takes no such lock, and what it adds in that moment stays.
 *
 * RC_RETRY: nothing was written; after a lost connection perhaps it was, and
 * the next look at the throttle tells. Blocks for six statements at most.
 */
MUSTUSE enum rc staging_write(struct db *db, const struct sql_scope *scope,
    int64_t now, struct staged *readers, size_t n, struct err *err);

#endif
