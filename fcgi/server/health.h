#ifndef SERVER_HEALTH_H
#define SERVER_HEALTH_H

#include <stdbool.h>

#include "engine/engine.h"
#include "server/request.h"

/*
 * health_reply - answer /wp-cron-fcgi/healthz: 200 when the site's first look
 * was made and its database answers, else 503. The words of an error stay in
 * the log; they may name hosts and accounts.
 */
void health_reply(struct request *r, const struct engine_health *h, bool head);

#endif
