#ifndef ENGINE_WORK_SESSION_H
#define ENGINE_WORK_SESSION_H

#include "engine/engine_internal.h"
#include "engine/work.h"

/* What all sessions of a pool of threads have in common. */
struct work_owner {
	struct engine *engine;
	bool (*quits)(void *arg); /* any thread, at any time */
	void *arg;
	struct esp_memories *memories;
	uint64_t id; /* who holds leases */
};
/* A fresh id. */
void work_owner_init(struct work_owner *o, struct engine *e,
    bool (*quits)(void *arg), void *arg);

/* The connection, settings and places in PHP of one thread of a pool while it
 * works on a blog. */
struct work_session {
	const struct work_owner *owner;
	struct site_run *site;
	struct config *config;
	struct site_facts facts;
	struct work_env env;
	struct worker *php; /* whose place in PHP this thread has */
	mono_ms php_left_at;
};

/*
 * work_session_open - connect and read what env needs. RC_RETRY: the
 * database is away, or all db_connections are in use. To be closed in any
 * case.
 */
MUSTUSE enum rc work_session_open(struct work_session *s,
    const struct work_owner *owner, struct site_run *site, struct err *err);
void work_session_close(struct work_session *s);

#endif
