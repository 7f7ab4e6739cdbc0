#ifndef SERVER_FRAME_H
#define SERVER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * A look at the bytes of a request before libfcgi gets them: is it whole, is
 * it well-formed, is it small enough? libfcgi reads until a request is whole,
 * however long that takes, allocates what a length field says, and knows no
 * ceiling; what passes here costs it bounded memory and no wait.
 */
enum frame_verdict {
	FRAME_WHOLE, /* all params are here, and a body has begun or ended */
	FRAME_MORE,  /* nothing wrong so far, needs more bytes */
	FRAME_TOO_LARGE, /* params over FRAME_PARAMS_MAX: 431 */
	FRAME_BAD,       /* not a FastCGI request for a responder: hang up */
};

/* Ceiling of names and values together, without their lengths. */
#define FRAME_PARAMS_MAX ((size_t)64 * 1024)
/* Room to look at: the params, their record headers and padding. */
#define FRAME_LOOK_MAX (FRAME_PARAMS_MAX + (size_t)32 * 1024)

struct frame {
	uint16_t id;    /* request id; 0 until a BEGIN record was seen */
	size_t n;       /* bytes looked at that belong to the request */
	bool body_left; /* WHOLE: the body has not ended within these bytes */
};

/* frame_scan - judge the first bytes of a connection. Pure. */
enum frame_verdict frame_scan(struct slice bytes, struct frame *out);

/*
 * frame_refusal - a whole FastCGI answer to request `id` with an HTTP status
 * and nothing else, for requests libfcgi is not to see. Returns the length.
 */
#define FRAME_REFUSAL_MAX 256
size_t frame_refusal(
    uint16_t id, const char *status, unsigned char out[FRAME_REFUSAL_MAX]);

#endif
