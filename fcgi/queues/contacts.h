#ifndef QUEUES_CONTACTS_H
#define QUEUES_CONTACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "queues/actions.h"
#include "sql/db.h"

/*
 * The contacts queue: readers that wait for a pull from or a push to the
 * publisher's integrations. A reader waits while a usermeta row of one of two
 * keys is there; nothing else is the queue. Rows are removed by (umeta_id,
 * value), so that one written again meanwhile stays.
 * The rules are Newspack's (class Contact_Cron, Contact_Pull, Contact_Sync).
 * All calls are of one blog, on the caller's thread and connection, and block
 * for their statements.
 */

enum contact_direction {
	CONTACT_PULL,
	CONTACT_PUSH,
};
#define CONTACT_NDIRECTIONS 2
/* "pull", "push" */
const char *contact_direction_name(enum contact_direction d);
/* "newspack_contact_pull_retry", "newspack_contact_sync_retry" */
const char *contact_retry_hook(enum contact_direction d);
/* Which direction an Action Scheduler hook retries; -1: none. */
int contact_retry_direction(struct slice hook);

#define CONTACT_BATCH_HOOK "newspack_contact_cron_batch"
#define CONTACT_MAX_RETRIES 5
#define CONTACT_THROTTLE_S 300
#define CONTACT_STALE_S 86400
/* Seconds before retry n (1 to 5): 30, 120, 480, 1800, 7200. */
int64_t contact_retry_delay_s(unsigned n);

/* ---- flags -------------------------------------------------------------- */

struct contact_flag {
	uint64_t umeta_id, user_id;
	struct slice value; /* its first 64 characters, as stored */
};
/* The waiting readers of one direction. */
struct contact_flags {
	struct contact_flag *rows; /* by user_id, then umeta_id */
	size_t n;
	bool more; /* there were more than `max` */
};
/*
 * One indexed read without ORDER BY, sorted here; text is the arena's. In what
 * is left out are the rows written last. Rows of user 0, of users that are gone
 * and with values that are no times are flags like any other.
 */
MUSTUSE enum rc contact_flags_read(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, size_t max, struct arena *a,
    struct contact_flags *out, struct err *err);
/* Those of one reader. */
MUSTUSE enum rc contact_flags_of(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, uint64_t user_id, struct arena *a,
    struct contact_flags *out, struct err *err);
/*
 * Remove those that still have their value; *removed (may be NULL). Statements
 * of 500, each by itself: what was removed before an error stays so, and the
 * call may be repeated. Values are whole seconds, so a flag written again
 * within the second of the one that was read goes with it. Nothing is lost by
 * that, as long as the reader's data are read after the flag.
 */
MUSTUSE enum rc contact_flags_remove(struct db *db,
    const struct sql_scope *scope, const struct contact_flag *rows, size_t n,
    uint64_t *removed, struct err *err);
/* Stage a reader for a direction as update_user_meta() would: rows that are
 * there get the new time, and two who stage at once may leave two rows. */
MUSTUSE enum rc contact_flag_write(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, uint64_t user_id, int64_t now, struct err *err);

/* ---- readers ------------------------------------------------------------ */

struct contact_user {
	uint64_t id;
	struct slice login, email, display_name, nicename, url;
	int64_t registered;
	bool member;               /* has a capabilities row on this blog */
	struct slice capabilities; /* as stored; "" */
};
/* Those of `ids` (ascending) that exist, by id. */
MUSTUSE enum rc contact_users_read(struct db *db, const struct sql_scope *scope,
    const uint64_t *ids, size_t n, struct arena *a, struct contact_user **out,
    size_t *nout, struct err *err);
/* 0 users or 1, by email or login or id as text, for wp-cronctl. */
MUSTUSE enum rc contact_user_find(struct db *db, const struct sql_scope *scope,
    struct slice who, struct arena *a, struct contact_user *out,
    struct err *err);

/* A usermeta row by user and key, as stored. */
struct contact_meta {
	uint64_t user_id;
	struct slice key, value;
};
/* Rows of these users and keys, by user_id; the first row of a key counts. */
MUSTUSE enum rc contact_meta_read(struct db *db, const struct sql_scope *scope,
    const uint64_t *ids, size_t n, const struct slice *keys, size_t nkeys,
    struct arena *a, struct contact_meta **out, size_t *nout, struct err *err);

/* ---- retries ------------------------------------------------------------ */

/* args[0] of a retry row. */
struct contact_retry {
	uint64_t action_id; /* 0: not in the table yet */
	enum contact_direction direction;
	uint64_t user_id;
	struct slice integration;
	struct slice context; /* push */
	unsigned count;       /* 1 to 5; missing counts as 1 */
	struct slice reason;
	struct slice previous_email; /* push; "" */
	int64_t after_s; /* to add: not sooner than this; 0: by the count */
	bool running;    /* in-progress */
};
/* RC_REJECT: no object, or user or integration is missing; the words say
 * which. From args as the actions queue hands them out (JSON). */
MUSTUSE enum rc contact_retry_parse(enum contact_direction d, struct slice args,
    struct arena *a, struct contact_retry *out, struct err *err);

/* Pending and in-progress retries of a direction, one query; by (user_id,
 * integration). Rows that cannot be read, or have no user_id, are left out.
 * None without Action Scheduler's tables. */
MUSTUSE enum rc contact_retries_read(struct db *db,
    const struct sql_scope *scope, enum contact_direction d, struct arena *a,
    struct contact_retry **out, size_t *n, struct err *err);
/* Is there one for this reader and integration? bsearch over the above. */
bool contact_retries_has(const struct contact_retry *rows, size_t n,
    uint64_t user_id, struct slice integration);

/*
 * contact_retry_add - insert the row of retry `r->count` exactly as PHP would
 * (as_schedule_single_action(), group "newspack-integration-ID", created when
 * absent), due contact_retry_delay_s() after now, and its log line "action
 * created". The reason is cut to 500 bytes. RC_NONE: one is pending or in
 * progress already (other than `r->action_id`), nothing was written; nodes
 * that add at once wait for each other on a row of ours, PHP does not.
 * RC_RETRY with a lost connection: call again, the row is found if it is there.
 * `actions` lends the schema and the site's clock.
 */
MUSTUSE enum rc contact_retry_add(struct db *db, struct actions *actions,
    const struct contact_retry *r, int64_t now, struct err *err);
/* The same for many, 500 a transaction, with one look at what is pending:
 * added[i] says whether row i was inserted. After an error some may be; those
 * are found by the next call. */
MUSTUSE enum rc contact_retries_add(struct db *db, struct actions *actions,
    const struct contact_retry *rows, size_t n, int64_t now, bool *added,
    struct err *err);
/* A line in Action Scheduler's log of an action. */
MUSTUSE enum rc contact_action_log(struct db *db, struct actions *actions,
    uint64_t action_id, struct slice message, int64_t now, struct err *err);

/* ---- fingerprints ------------------------------------------------------- */

#define CONTACT_FINGERPRINT_LEN 32
struct contact_fingerprint {
	uint64_t user_id;
	unsigned char payload[CONTACT_FINGERPRINT_LEN];
	unsigned char address[CONTACT_FINGERPRINT_LEN]; /* HMAC of it */
	bool barred; /* the provider refuses this address for good */
	struct slice reason;
	int64_t accepted_at;
};
/* Of an integration, of these users (ascending), by user_id. Those older than
 * 7 days are left out, unless barred. */
MUSTUSE enum rc contact_fingerprints_read(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct slice integration,
    const uint64_t *ids, size_t n, struct arena *a,
    struct contact_fingerprint **out, size_t *nout, struct err *err);
MUSTUSE enum rc contact_fingerprints_write(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct slice integration,
    const struct contact_fingerprint *rows, size_t n, struct err *err);
/* PHP pushed in between, or the user is gone; an empty integration: all. */
MUSTUSE enum rc contact_fingerprints_drop(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct slice integration,
    const uint64_t *ids, size_t n, struct err *err);
/* One bounded step: at most 1,000 old ones (of any blog), and those of users
 * that are gone among the next 1,000 of the blog; the walk over them goes on
 * where the last call, of any node, left it. */
MUSTUSE enum rc contact_fingerprints_clean(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, uint64_t *removed,
    struct err *err);

/* ---- bulk calls a provider has not finished ----------------------------- */

/* One reader in a bulk call. */
struct contact_member {
	uint64_t user_id;
	struct contact_flag *flags; /* to remove once it is done */
	size_t nflags;
	unsigned retry; /* 0: of a batch; n: retry n */
	unsigned char payload[CONTACT_FINGERPRINT_LEN];
	unsigned char address[CONTACT_FINGERPRINT_LEN];
};
struct contact_batch {
	uint64_t batch_id;
	struct slice integration, provider, token;
	int64_t submitted_at, ask_at;
	unsigned asked;
	struct contact_member *members; /* in the order they were sent */
	size_t n;
	/* Read only: what is stored of the members is no such thing, and n is
	 * 0. Their flags are where they were: end it, and the next tick takes
	 * them up. */
	bool broken;
};
/* Stored before it is polled for the first time. Sets batch_id. RC_REJECT: its
 * members take more than CEILING_CONTACT_BATCH_BYTES. */
MUSTUSE enum rc contact_batch_store(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct contact_batch *b,
    struct err *err);
/* All of a blog; by batch_id. */
MUSTUSE enum rc contact_batches_read(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct arena *a,
    struct contact_batch **out, size_t *n, struct err *err);
/* Ask again at that time; members that are settled are left out from now on
 * (b->members, b->n as they are to be). RC_NONE: it has ended. */
MUSTUSE enum rc contact_batch_update(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id,
    const struct contact_batch *b, struct err *err);
MUSTUSE enum rc contact_batch_end(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t batch_id, struct err *err);

/* ---- reader data -------------------------------------------------------- */

struct contact_item {
	struct slice key;  /* of the field, as the publisher enabled it */
	struct slice json; /* its value */
};
/*
 * contact_data_store - what was pulled, as Newspack's
 * Reader_Data::update_item() has it: newspack_reader_data_item_KEY, and the key
 * in the list newspack_reader_data_keys, whose entries nobody else's write may
 * lose (the list is locked and read again). At most 100 keys: more are left
 * out, counted in *refused, as are empty values and keys that no column holds.
 * A value that is there already is not written. JSON is stored as it is, in
 * UTF-8, and with escapes in a table that cannot hold its characters. *written
 * counts rows changed; both may be NULL. RC_NONE: there is no such user.
 *
 * Who stores of one user at once waits for the other on the user's row. PHP
 * reads its list before it writes it, without a lock: a key of ours that it
 * writes over is listed again when it is stored the next time.
 */
#define CONTACT_DATA_MAX 100
MUSTUSE enum rc contact_data_store(struct db *db, const struct sql_scope *scope,
    uint64_t user_id, const struct contact_item *items, size_t n,
    size_t *written, size_t *refused, struct err *err);
/* JSON as it is stored: no \/ and no \uXXXX where UTF-8 can say it. RC_REJECT:
 * it is no JSON, has a NUL in an object's key, or is over
 * CEILING_CONTACT_VALUE_BYTES. */
MUSTUSE enum rc contact_data_json(
    struct slice json, struct arena *a, struct slice *out, struct err *err);

#endif
