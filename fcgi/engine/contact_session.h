#ifndef ENGINE_CONTACT_SESSION_H
#define ENGINE_CONTACT_SESSION_H

#include "engine/contacts.h"
#include "engine/engine_internal.h"

/* What all sessions of a pool have in common. */
struct contact_owner {
	struct engine *engine;
	struct contact_pool *pool;
	struct esp_memories *memories;
	uint64_t id; /* who holds leases */
};

/* The connection, settings and places in PHP of one thread of the pool while
 * it works on a blog. */
struct contact_session {
	struct contact_pool *pool;
	struct site_run *site;
	struct config *config;
	struct site_facts facts;
	struct work_env env;
	struct worker *php; /* whose place in PHP this thread has */
};

/*
 * contact_session_open - connect and read what env needs. RC_RETRY: the
 * database is away, or all db_connections are in use. To be closed in any
 * case.
 */
MUSTUSE enum rc contact_session_open(struct contact_session *s,
    const struct contact_owner *owner, struct site_run *site, struct err *err);
void contact_session_close(struct contact_session *s);

#endif
