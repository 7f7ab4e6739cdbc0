#ifndef EXECUTORS_PHP_LIST_H
#define EXECUTORS_PHP_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "executors/php.h"

/*
 * A list of entries that PHP is asked about besides jobs, in one WordPress
 * boot, each answered by itself: what php_contacts.h, php_messages.h and
 * php_tasks.h have in common. The request's field `ask` is
 * {what, op, list: [{i, ...}]}; php/WHAT.php answers with the frames
 *   refused {why}   begin {i}   answer {i, ok, ...}   broke {i, msg}
 */

struct json_t;

struct php_list {
	const char *what, *op; /* "messages", "generate": php/messages.php */
	size_t n;
	uint32_t timeout_ms;
	/* Of one entry, or PHP is ended under it; 0: 60,000. */
	uint32_t limit_ms;
	/* In one boot PHP begins none later than that; 0: in all the time. */
	uint32_t budget_ms;
	/* Entries that PHP gets in one boot; 0: as many as fit. */
	size_t at_once;
	/* What may have been done is not asked for again: where PHP dies, the
	 * entry is answered so, code "php_died". */
	bool once;
	/* ,"key":value of entry i, behind its "i". NULL: no more to say. */
	void (*render)(struct buf *out, void *arg, size_t i);
	/* Its answer {ok, msg, code, ...}; also ours for one in which PHP
	 * ended: code "php_fatal" or "php_died". Once an entry. */
	void (*take)(void *arg, size_t i, const struct json_t *answer);
	/* Any other frame, such as `mail`; NULL: ignored. */
	void (*other)(
	    void *arg, struct slice frame, const struct json_t *fields);
	/* PHP begins with entry i now; NULL: nobody wants to know. */
	void (*begun)(void *arg, size_t i);
	/* Is there no use in another boot? NULL: there always is. */
	bool (*over)(void *arg);
	/* Called about once a second while PHP is waited for; may be NULL. */
	void (*tick)(void *arg);
	/* Asked as often: shall PHP be ended under what it is at? NULL: no. */
	bool (*give_up)(void *arg);
	/* Told, where its time was over or it was given up: PHP is not ours to
	 * end, and still at what `begun` named last. NULL: nobody asks. */
	bool *goes_on;
	void *arg;
};
/*
 * php_list_run - blocks until all is answered or the time is over. RC_RETRY:
 * php-fpm is away or full, the site does not boot, PHP died, the time was over
 * or it was given up: what was answered holds, the rest is as if not asked for
 * (but what `begun` named). RC_REJECT: PHP refused all, in its words.
 */
MUSTUSE enum rc php_list_run(const struct php_executor_opts *opts,
    const struct php_list *l, struct err *err);

/* Operation `describe` of a part: what only PHP knows of it, JSON, the caller's
 * to free(). As php_list_run(). */
MUSTUSE enum rc php_list_describe(const struct php_executor_opts *opts,
    const char *what, uint32_t timeout_ms, char **json, struct err *err);

#endif
