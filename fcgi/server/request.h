#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "server/frame.h"

/*
 * One request through libfcgi, from a connection whose request is whole to
 * the end of its answer. Opaque; one thread at a time. A struct is used for
 * many requests, one after the other.
 */
struct request;

/* Once in main, before signal handlers are set: libfcgi takes over SIGTERM,
 * SIGUSR1 and SIGPIPE here. */
MUSTUSE enum rc request_library_begin(struct err *err);

struct request *request_new(void);
/* Cuts a request under way; NULL is fine. */
void request_free(struct request *r);

/*
 * request_begin - parse. Takes `fd` in any case. RC_REJECT: the client broke
 * off; nothing to answer. A client that does not read or write is cut after
 * timeout_ms.
 */
MUSTUSE enum rc request_begin(
    struct request *r, int fd, const struct frame *frame, uint32_t timeout_ms);
/* A FastCGI param, lent until the end; p is NULL when it was not sent. */
struct slice request_param(const struct request *r, const char *name);
void request_put(struct request *r, struct slice s);
/*
 * request_end - send what is left and end the request. -1: the connection is
 * closed. Otherwise a descriptor, now the caller's, whose client still sends.
 */
MUSTUSE int request_end(struct request *r);

/* An answer: status line and header lines without their ends of line. */
struct reply {
	const char *status; /* "200 OK" */
	const char *content_type;
	const char *extra; /* whole header lines with CRLF, or NULL */
	struct slice body;
};
/* Send an answer that nobody may cache; `head`: without its body. */
void request_reply(struct request *r, const struct reply *reply, bool head);

#endif
