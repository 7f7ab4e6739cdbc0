#ifndef ENGINE_WORK_H
#define ENGINE_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "executors/esp/esp.h"
#include "executors/php.h"
#include "queues/actions.h"
#include "wordpress/site.h"

/*
 * Work that is no job of a claim: contacts, messages, tasks, mails. It runs on
 * a thread of its own, in the daemon or in wp-cronctl, on its own connection.
 */

/* One blog and what the work may use; lent. */
struct work_env {
	const struct config *config;
	const struct site *site;
	uint32_t blog_id;
	const char *siteurl; /* of the blog, for PHP */
	const struct site_facts *facts;
	enum site_standing standing;
	struct db *db;
	struct sql_scope scope;
	struct actions *actions;       /* NULL: no Action Scheduler here */
	struct esp_memories *memories; /* of providers; NULL: none */
	uint64_t node_id;
	const struct clock *clock;
	void *arg;
	/* The program stops: end after what is in hand. */
	bool (*stopping)(void *arg);
	/* A place in PHP, of php_children; false: none within wait_ms. */
	bool (*php_enter)(void *arg, uint32_t wait_ms);
	void (*php_leave)(void *arg);
};

/*
 * work_php_enter - what PHP is asked with, and a place in PHP, waited for for
 * at most wait_ms. RC_RETRY: none is free; RC_REJECT: the site has no PHP.
 * RC_OK: work_php_leave() when it has answered. `out` lends env's texts.
 */
MUSTUSE enum rc work_php_enter(const struct work_env *env, uint32_t wait_ms,
    struct php_executor_opts *out, struct err *err);
void work_php_leave(const struct work_env *env);

/* Is the program about to stop? */
bool work_stopping(const struct work_env *env);
/* Has what is in hand had shutdown_grace for it, too? *stop_at is the caller's
 * for as long as it asks, 0 at first. */
bool work_overdue(const struct work_env *env, mono_ms *stop_at);

#endif
