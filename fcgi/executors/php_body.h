#ifndef EXECUTORS_PHP_BODY_H
#define EXECUTORS_PHP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/job.h"

/*
 * What is sent to php/worker.php: its JSON body, the FastCGI params, and the
 * secret that proves that we know the site's salts. The format is described
 * once, at the head of worker.php.
 */

#define PHP_TOKEN_LEN 32
#define PHP_SECRET_LIFE_S 30
/* 10 digits, 32 and 64 hexadecimal ones, two dots, NUL; later dates fit. */
#define PHP_SECRET_MAX 128

struct php_batch {
	char token[PHP_TOKEN_LEN + 1];
	const char *root;
	uint32_t blog_id;
	const char *context;
	uint32_t budget_ms;
	bool export;
	bool tcp;           /* PHP is asked over TCP */
	const char *take;   /* JSON; NULL: none */
	struct slice ask;   /* JSON; "": none */
	const char *outbox; /* JSON; NULL: PHP sends all mails */
	/* Of one claim: its lock is the request's. */
	struct job *const *jobs;
	size_t njobs;
};

/* `n` random bytes in hexadecimal and a NUL. RC_FATAL: the kernel has none. */
MUSTUSE enum rc php_random_hex(char *out, size_t n, struct err *err);
void php_body_render(struct buf *out, const struct php_batch *b);
/*
 * The value of WPCRON_SECRET for `body`. RC_REJECT: no salts; RC_FATAL: no
 * randomness.
 */
MUSTUSE enum rc php_secret_render(char out[PHP_SECRET_MAX], const char *salts,
    int64_t now, struct slice body, struct err *err);
/*
 * FastCGI params of one request, but CONTENT_LENGTH: what WordPress and its
 * plugins read of a request to wp-cron.php of the blog with that siteurl.
 * Check out->failed.
 */
void php_params_render(struct buf *out, const char *script, const char *root,
    const char *siteurl, const char *secret);

#endif
