#ifndef TESTS_DB_OUTBOX_FIXTURE_H
#define TESTS_DB_OUTBOX_FIXTURE_H

#include "db_test.h"
#include "queues/outbox.h"

/* Mails in an outbox of our tables. */
#define OX_TERM_MS 60000

extern struct arena ox_arena; /* of what is claimed */
extern const struct slice ox_three[3];

/* A test case with tables of its own. */
TCase *ox_part(Suite *s, const char *name);

/* To ox_three; another ordinal makes another mail. */
struct outbox_new ox_mail(
    const char *job, unsigned ordinal, enum outbox_priority priority);
/* Stores it; its id. */
uint64_t ox_add(
    const char *job, unsigned ordinal, enum outbox_priority priority);
size_t ox_claim(uint64_t claim_id, enum outbox_priority lowest, size_t max,
    struct outbox_mail **out);
/* The test fails if there is none. */
struct outbox_mail *ox_claim_one(uint64_t claim_id);
enum rc ox_step(uint64_t claim_id, const struct outbox_result *done,
    const struct outbox_mail *next);
void ox_end(uint64_t claim_id, struct outbox_mail *m, enum outbox_end end,
    int64_t wait_s, const char *reply);
bool ox_is(uint64_t id, const char *state);
/* Rows of bytes, of all mails. */
uint64_t ox_chunks(void);

#endif
