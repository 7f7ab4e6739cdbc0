#ifndef TESTS_DB_CRON_FIXTURE_H
#define TESTS_DB_CRON_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "db_test.h"
#include "formats/cron_array.h"
#include "queues/cron_events.h"

/* Options and our tables of one blog, with a queue and a node on them, and a
 * clock that only the test turns. */
#define E "wp_wpcron_events"
#define CX_NOW INT64_C(1700000000)
#define NO_ARGS "a:0:{}"
#define EMPTY_OPTION "a:1:{s:7:\"version\";i:2;}"

struct cx {
	struct cron_events *q;
	uint64_t node;
	const struct policy *policy; /* of every job claimed or rescued */
	struct cron_events_site site;
	struct clock clock;
	int64_t now;
	_Atomic size_t admits;  /* calls of the admission */
	void (*on_admit)(void); /* called by the next one */
};
extern struct cx cx;

/* Idempotent, with two retries; cx_open() sets one with none. */
extern const struct policy cx_patient;
extern const struct policy cx_overlap;

/* A case of tests with a database each; every one calls cx_open() first. */
TCase *cx_case(void);
void cx_open(void);
/* Another node's queue on the same tables; *id is the node. */
struct cron_events *cx_queue(struct db *db, uint64_t *id);
/* After a change of cx.site. */
void cx_set_site(struct cron_events *q);

/* Schedule an event, as core does; recurrence "": a one-shot. */
void cx_add(int64_t at, const char *hook, const char *args,
    const char *recurrence, int64_t interval);
void cx_remove(int64_t at, const char *hook, const char *args);
void cx_edit(const struct cron_edit *edit);
void cx_set_option(struct slice value);
/* The bytes of the option; valid until the next call. */
struct slice cx_option(void);
/* Is an event of the hook in the option at that time? */
bool cx_in_option(int64_t at, const char *hook);

/* paused_*: nobody; full_*: no room; php_*: the PHP lane; alone_*: the PHP
 * lane, alone; the rest: native. */
enum admit cx_admit(void *arg, enum lane lane, const struct candidate *c,
    const struct route **route, const struct policy **policy);
const struct policy *cx_policy_of(void *arg, struct slice hook);
/* One claim with so much room a lane. */
enum rc cx_claim_by(struct cron_events *q, struct db *db, size_t native,
    size_t php, struct claim_result *res);
enum rc cx_claim(size_t native, size_t php, struct claim_result *res);
/* The one native job there is; the test fails without. */
struct job *cx_claim_one(struct claim_result *res);
void cx_claims_free(struct claim_result *res);

/* Start the jobs of a lane, all of them. */
void cx_start(struct claim_result *res, enum lane lane);
enum rc cx_settle(struct job *j, enum outcome_kind kind, const char *message);
enum rc cx_settle_outcome(struct job *j, struct outcome *o);
size_t cx_rescue(struct cron_events *q, const uint64_t *live, size_t n);
/* Unix seconds; the test fails with another rc than RC_OK and RC_NONE. */
int64_t cx_next_due(void); /* INT64_MAX: nothing */

/* What was logged from here on; the text until the next call. */
void cx_log_begin(void);
const char *cx_log(void);
size_t cx_logged(const char *words); /* how often */

/* Rows in that state, of the hook where one is given. */
uint64_t cx_rows(const char *state, const char *hook);

#endif
