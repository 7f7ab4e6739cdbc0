#ifndef EXECUTORS_PHP_H
#define EXECUTORS_PHP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "executors/executor.h"

/*
 * Runs jobs in the site's PHP: one request to php-fpm a batch, answered line
 * by line by php/worker.php. One executor is of one worker thread, one site
 * and one blog.
 *
 * What becomes of a job, an action or a cron event (which PHP fires itself,
 * whatever the mode is):
 *   done               DONE; an action in plugin mode SETTLED: PHP wrote it
 *   exception          FAILED with its message, an event's with its place;
 *                      an action in plugin mode SETTLED
 *   fatal error        FAILED, `verbatim`, with its place
 *   exit() or die()    FAILED
 *   not ours any more  LOST
 *   not begun          RELEASED; php-fpm away, the site broken or in
 *                      maintenance mode: all of them
 *   PHP gone under it  DIED, `strike`, "PHP ended without an answer"
 *   abandoned          DIED once PHP got SIGTERM; where its child is not
 *                      ours to end, an event, or an action in plugin mode, is
 *                      LOST: PHP goes on with it and writes its row
 *   over its time      FAILED, `strike`, once PHP has really ended: the child
 *                      gets SIGTERM if it is ours to end, else the job stays
 *                      here until the connection closes
 *
 * job->started and started_at are set when PHP says that it begins the job.
 */

/* JSON text, lent for the call; on the executor's thread, inside poll(). */
typedef void php_json_fn(void *arg, struct slice json);

struct php_executor_opts {
	const char *address;       /* "unix:PATH" or "HOST:PORT" */
	const char *worker_script; /* as PHP sees it */
	const char *root;          /* directory of wp-load.php, likewise */
	const char *salts;         /* struct site's; never empty */
	/* The blog's siteurl, from which a network's PHP knows the blog; NULL:
	 * http://localhost */
	const char *home;
	const char *context; /* NULL: "WP Cron FCGI" */
	/* JSON, see php_mail_render(): jobs whose policy says so store their
	 * mails. NULL: PHP sends all of them. */
	const char *outbox;
	uint32_t blog_id;       /* 0: 1 */
	size_t batch;           /* jobs a request; 0: 10 */
	uint32_t budget_ms;     /* PHP begins no job later; 0: 20,000 */
	uint32_t connect_ms;    /* 0: 2,000 */
	uint32_t first_byte_ms; /* to PHP's hello, boot included; 0: 15,000 */
	uint32_t default_limit_ms; /* jobs without a policy; 0: 60,000 */
	uint32_t export_every_ms;  /* between exports; 0: 300,000 */
	const struct clock *clock; /* NULL: clock_system */
	/* The site's export (see worker.php: export()) as PHP sent it. */
	php_json_fn *on_export;
	/*
	 * {taken, dropped, gone, held, why} of what want_take() asked for, once
	 * for each; also when PHP could not be asked, or ended without saying.
	 * `why` is not "" when all was rolled back, or may have been.
	 */
	php_json_fn *on_take;
	/*
	 * Asked at each begin(): the cron events that PHP is to take from the
	 * option before the jobs, JSON as claim_result.php_take has it; freed
	 * here. NULL: none, also as the function.
	 */
	char *(*want_take)(void *arg);
	/* Asked at each begin(): is an export wanted now? NULL: no. */
	bool (*want_export)(void *arg);
	void *arg;
};

/*
 * RC_REJECT: bad address, no script or no salts; the words name it. Strings
 * are copied. Freed by ops->free().
 *
 * The jobs of one begin() are of one claim: an event's php_lock is the
 * request's. begin(executor, NULL, 0) takes events and exports alone, if the
 * want_* functions say so.
 */
MUSTUSE enum rc php_executor_new(const struct php_executor_opts *opts,
    struct executor **out, struct err *err);

enum php_limit {
	PHP_LIMIT_UNKNOWN,   /* no hello yet */
	PHP_LIMIT_SIGNAL,    /* an overrunning child gets SIGTERM */
	PHP_LIMIT_POOL_ONLY, /* only request_terminate_timeout ends it */
};

/* For health and doctor. */
struct php_executor_state {
	bool ok; /* the last request was answered by hello */
	bool busy;
	bool maintenance;   /* the last request met .maintenance; no failure */
	unsigned failures;  /* requests without a hello, in a row */
	mono_ms not_before; /* back-off: room() is 0 until then */
	int status;         /* HTTP status of the last answer; 0: none */
	enum php_limit limit;
	bool finish_request; /* fastcgi_finish_request() is not disabled */
	uint64_t mails_stored, mails_left; /* in the outbox; to PHP */
	char mail_why[192]; /* why the last one was left to PHP */
	char mode[8];       /* "plugin", "hook", "none" */
	char php[16], wp[16];
	uint64_t requests;
	char error[ERR_TEXT_MAX]; /* why not ok, or why mode is "none" */
};
void php_executor_state(
    const struct executor *e, struct php_executor_state *out);

/*
 * php_executor_export - ask PHP for the site's export and wait for it: no
 * jobs, no take. *json is the caller's to free(). RC_RETRY: php-fpm is away,
 * full or the site does not boot, with what was seen.
 *
 * Blocks, up to connect_ms + first_byte_ms and 10 s.
 */
MUSTUSE enum rc php_executor_export(
    const struct php_executor_opts *opts, char **json, struct err *err);

#endif
