#ifndef SERVER_ENDPOINTS_H
#define SERVER_ENDPOINTS_H

#include "base/clock.h"
#include "engine/engine.h"
#include "server/request.h"
#include "server/roots.h"
#include "server/tokens.h"
#include "server/wait.h"

/* What handlers work with; lent by the server, the cache is the thread's. */
struct endpoints_env {
	struct engine *engine;
	const struct roots *roots;
	struct roots_cache *cache;
	struct tokens *tokens;
	struct waits *waits;
	const struct clock *clock;
};

/*
 * endpoints_serve - write the answer to one request. False: it was parked and
 * belongs to `env->waits` now.
 */
MUSTUSE bool endpoints_serve(
    const struct endpoints_env *env, struct request *r);

#endif
