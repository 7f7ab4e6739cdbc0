#ifndef TESTS_SERVER_RIG_H
#define TESTS_SERVER_RIG_H

#include "base/config.h"
#include "client.h"
#include "fake_engine.h"
#include "server/listener.h"
#include "server/server.h"
#include "wordpress/site.h"

/* A real server on a unix socket, for a site in an empty folder. */
struct rig {
	char dir[64];    /* private folder */
	char root[80];   /* dir/site */
	char socket[80]; /* dir/s */
	struct config_site config_site;
	struct config config;
	struct site site;
	struct site *sites[1];
	struct engine *engine;
	struct listener listener;
	struct server *server;
	unsigned max_leaders;
	const struct clock *clock; /* NULL: the system's */
};

#define RIG_TOKEN "a-token"

/* To start with other options, change *r between the two. */
void rig_init(struct rig *r);
void rig_start(struct rig *r);
void rig_stop(struct rig *r);  /* the server and its listener */
void rig_clear(struct rig *r); /* stops first */

/* Ask the server; the reply must be whole within PATIENCE_MS. */
void rig_ask(
    struct rig *r, const struct client_request *q, struct client_reply *out);
/* "200 OK" for a reply, "" for none. */
const char *rig_status(const struct client_reply *reply);

/* Entries of /proc/self/fd and /proc/self/task. */
unsigned rig_count_fds(void);
unsigned rig_count_threads(void);

#endif
