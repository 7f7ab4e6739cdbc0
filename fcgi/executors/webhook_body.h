#ifndef EXECUTORS_WEBHOOK_BODY_H
#define EXECUTORS_WEBHOOK_BODY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/job.h"

/* Of which site a job is, as far as the receiver is told. */
struct webhook_site {
	const char *home;     /* URL; NULL: "" */
	const char *identity; /* hexadecimal digits; NULL: "" */
};

#define WEBHOOK_KEY_MAX 96
/*
 * webhook_body_key - the name of a piece of work for Idempotency-Key and
 * webhook-id: site identity, blog and first row, so that it is the same on
 * every try, on every node, and on no other site.
 */
void webhook_body_key(const struct job *job, const struct webhook_site *site,
    char out[WEBHOOK_KEY_MAX]);

/*
 * webhook_body_render - {"id":…,"hook":…,"args":…,"attempt":…,"site":…}; the
 * arguments are the stored text, byte for byte. RC_REJECT: they are not JSON
 * (then the body would not be either), or over the ceiling of `out`.
 */
MUSTUSE enum rc webhook_body_render(const struct job *job,
    const struct webhook_site *site, struct buf *out, struct err *err);

#endif
