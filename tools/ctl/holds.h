#ifndef CTL_HOLDS_H
#define CTL_HOLDS_H

#include "ctl.h"
#include "queues/cron_lock.h"

/* The lock `doing_cron` of a blog, as it is stored. */
struct cron_lock_state {
	bool there;
	char value[CRON_LOCK_VALUE_MAX];
	int64_t age_s; /* negative: it lies in the future */
	bool recorded; /* one of our nodes wrote it */
	uint64_t node; /* which */
	char host[65]; /* where that runs, "" when it does not any more */
	bool foreign;  /* a PHP runner works: nothing is taken */
	uint32_t timeout_s;
};
MUSTUSE enum rc cron_lock_look(
    struct place *p, struct cron_lock_state *out, struct err *err);
/* Whose it is, in words. */
#define CRON_LOCK_WORDS_MAX 200
void cron_lock_words(
    const struct cron_lock_state *l, char out[CRON_LOCK_WORDS_MAX]);

/*
 * holds_find - what keeps a hook's cron events from running now, one object
 * {what, why} each, appended to `out`. What only delays or is good to know
 * has "blocks": false.
 */
MUSTUSE enum rc holds_find(const struct ctl *c, struct place *p,
    struct slice hook, json_t *out, struct err *err);
/* The first of them that blocks; NULL: none. */
const char *holds_blocking(const json_t *holds);

#endif
