#ifndef TESTS_DB_ACTIONS_FIXTURE_H
#define TESTS_DB_ACTIONS_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "db_test.h"
#include "queues/actions.h"

/* Tables of Action Scheduler with a queue and a node on them, for the tests of
 * the actions queue. */
#define FX_FIRST_SCHEMA 6
#define FX_LAST_SCHEMA 9

#define A "wp_actionscheduler_actions"
#define LOGS "wp_actionscheduler_logs"
#define SIMPLE                                                                 \
	"O:30:\"ActionScheduler_SimpleSchedule\":1:{s:22:\"\\0*\\0scheduled_"  \
	"timestamp\";i:1800000000;}"
#define INTERVAL                                                               \
	"O:32:\"ActionScheduler_IntervalSchedule\":3:{s:22:\"\\0*\\0"          \
	"scheduled_timestamp\";i:1700000000;s:18:\"\\0*\\0first_timestamp\";"  \
	"i:1600000000;s:13:\"\\0*\\0recurrence\";i:900;}"

struct fx {
	struct actions *q;
	uint64_t node;
	const struct policy *policy; /* of every job claimed or rescued */
};
extern struct fx fx;

/* Idempotent, with two retries; fx_open() sets one with none. */
extern const struct policy fx_patient;

/* A case of tests with a database each; every one calls fx_open() first. */
TCase *fx_case(void);
void fx_open(int schema);
/* Another node's queue on the same tables; *id is the node. */
struct actions *fx_queue(struct db *db, uint64_t *id);

/* A pending row, `ago` seconds overdue; its id. */
uint64_t fx_row(
    const char *hook, int ago, const char *args, const char *schedule);
/* `n` of them, one-time, with arguments [1], [2], ... */
void fx_rows(int n, const char *hook, int ago);

/* paused_*: nobody; php_*: the PHP lane; the rest: native. */
enum admit fx_admit(void *arg, enum lane lane, const struct candidate *c,
    const struct route **route, const struct policy **policy);
const struct policy *fx_policy_of(void *arg, struct slice hook);
/* One claim with so much room a lane. */
enum rc fx_claim(struct actions *from, struct db *db, size_t native, size_t php,
    struct claim_result *res);
/* As the engine does: again while the walk stopped early. */
enum rc fx_claim_on(size_t native, size_t php, struct claim_result *res);
/* At most `n` native jobs; the test fails without one. */
struct job *fx_claim_native(size_t n, struct claim_result *res);
void fx_claims_free(struct claim_result *res);

void fx_start(struct job *j);
enum rc fx_settle(struct job *j, enum outcome_kind kind, const char *message);
/* Rescue by a queue whose workers hold nothing: how many rows. */
size_t fx_rescue(struct actions *by);

/* Fails the test unless the row has this status. */
void fx_is_status(uint64_t id, const char *status);
/* Log lines of the row that are LIKE this. */
uint64_t fx_logged(uint64_t id, const char *like);

#endif
