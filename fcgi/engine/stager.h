#ifndef ENGINE_STAGER_H
#define ENGINE_STAGER_H

#include "engine/engine.h"

/*
 * Readers staged by page loads. A server thread hands the log-in cookie over
 * (engine_reader_ping()) unless what is known of it says that there is nothing
 * to do; one thread a database, started by the first cookie, recognises up to
 * a hundred at once on its own connection, writes the flags, and has stale
 * ones pulled by the contact pool.
 */
struct stager;
/* Of a whole engine; starts nothing. */
struct stager *stager_new(struct engine *e);
/*
 * Nothing new is taken; what waits is staged still. Blocks. After
 * contact_pool_drain(), which has told of all pulls. May be called twice.
 */
void stager_stop(struct stager *st);
void stager_free(struct stager *st); /* stops first; NULL is fine */
/* The engine's configuration is another: look at every blog anew. */
void stager_reload(struct stager *st, const struct config *config);
/* Counters, to the log. */
void stager_dump(struct stager *st);

#endif
