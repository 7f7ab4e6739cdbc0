#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stddef.h>

#include "base/clock.h"
#include "base/config.h"
#include "engine/engine.h"
#include "wordpress/site.h"

/*
 * The server: answers FastCGI requests and kicks the engine. Opaque.
 */
struct server;
struct server_opts {
	int listen_fd;               /* lent, listening and non-blocking */
	const struct config *config; /* lent for the call */
	struct site *const *sites;   /* lent until server_free() */
	size_t nsites;
	struct engine *engine; /* lent until server_free() */
	/* Threads that accept at once, at most; 0: half of the processors. */
	unsigned max_leaders;
	const struct clock *clock; /* NULL: clock_system */
};

/* Once in main, before signal handlers are set and threads are started. */
MUSTUSE enum rc server_library_begin(struct err *err);
/* Starts the threads; they inherit the caller's signal mask. */
MUSTUSE enum rc server_start(
    const struct server_opts *opts, struct server **out, struct err *err);
/* What is reloadable of a configuration read again: tokens, max_waiters and
 * request_timeout. */
void server_reload(struct server *s, const struct config *config);
/*
 * Take no more requests, answer those that are whole, let ?wait go with what
 * is known (202), join all threads. The engine must still run. May be called
 * twice.
 */
void server_stop(struct server *s);
void server_free(struct server *s); /* stops first; NULL is fine */

#endif
