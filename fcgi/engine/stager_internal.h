#ifndef ENGINE_STAGER_INTERNAL_H
#define ENGINE_STAGER_INTERNAL_H

#include "engine/contacts.h"
#include "engine/engine_internal.h"
#include "engine/reader_cache.h"
#include "engine/stager.h"
#include "queues/staging.h"
#include "wordpress/visitor.h"

/*
 * stager.lock guards what says so below. It is taken after no other lock and
 * no other is taken under it; nothing that may block is done with it.
 */

/* A Cookie header that is longer is not looked at: browsers send 4 KiB a
 * cookie, and nginx takes 8 KiB a line unless told otherwise. */
#define STAGER_HEADER_MAX ((size_t)8 * 1024)
/* Cookies that wait for one database. */
#define STAGER_QUEUE_MAX 1024
#define STAGER_TICKETS 1024
/* Cookies and readers remembered: 6.4 MB, of which only pages that are used
 * are there. */
#define STAGER_CACHE_MAX 100000
/* How old what is known of plugin, cookie name and salts may be. */
#define STAGER_FRESH_MS 60000

struct stager_thread;

/* A cookie that somebody is to look at. */
struct stager_item {
	struct stager_item *next;
	struct site_run *run;
	struct reader_key key;
	uint64_t ticket; /* 0: nobody waits */
	/* The name was not known: a whole header, and no key. Without a text
	 * there is no cookie: learn the name. */
	bool header;
	size_t n;
	char text[];
};

/* A pull that was asked of the contact pool. */
struct stager_pull {
	struct stager_pull *next;
	struct stager_thread *thread;
	struct site_run *run;
	uint64_t ticket;
	uint64_t user_id, umeta_id; /* of the flag to remove; 0: none */
	char value[24];
};

/* What is known of a blog; never freed before the stager. */
struct stager_blog {
	struct stager_blog *next;
	/* Guarded by stager.lock. */
	bool off;         /* nobody is staged here */
	mono_ms known_at; /* INT64_MIN: not known */
};

/* One WordPress. */
struct stager_site {
	struct stager_thread *thread;
	uint32_t index; /* of its network */

	/* Guarded by stager.lock. */
	char name[128];   /* of the cookie; "": not known */
	mono_ms named_at; /* INT64_MIN: never */
	mono_ms learn_at; /* nobody needs to ask for the name before */
	struct rate rate;
	double tokens; /* look-ups of unproven cookies that are left */
	mono_ms filled_at;

	/* The thread's alone. */
	struct visitor_keys keys;
	mono_ms keys_at;
	bool keys_ok, keys_said;
};

/* One database. */
struct stager_thread {
	struct stager *stager;
	struct database *database;
	pthread_t thread;

	/* Guarded by stager.lock. */
	bool started, failed;
	pthread_cond_t wake; /* items, pulls, stop */
	struct stager_item *items, **items_end;
	size_t nitems;
	struct stager_pull *pulled; /* whose flag is to go */

	/* The thread's alone. */
	struct db *db;
	mono_ms retry_at;
	bool away_said;
	struct auth_cookie *cookies; /* STAGING_MAX */
};

struct stager_counts {
	uint64_t pings;   /* with a cookie */
	uint64_t rested;  /* answered from memory */
	uint64_t refused; /* over the budget of unproven cookies */
	uint64_t dropped; /* no room, or the database is away */
	uint64_t looked, recognised, staged, stale;
};

struct stager {
	struct engine *engine;
	struct stager_site *sites; /* one a network */
	struct stager_thread *threads;
	size_t nthreads;

	pthread_mutex_t lock;
	bool stopping;
	struct reader_cache *cache; /* NULL until the first cookie */
	struct stager_blog *blogs;
	struct {
		uint32_t serial;
		bool open;
	} tickets[STAGER_TICKETS];
	size_t next_ticket;
	struct stager_counts counts;
};

/* Thread body; `arg` is a struct stager_thread. */
void *stager_main(void *arg);
struct stager_site *stager_site_of(struct stager *st, const struct network *n);
/* What is known of a blog; made when it is not there. With stager.lock. */
struct stager_blog *stager_blog_locked(struct stager *st, struct site_run *run);
/* Whoever waits need not any more; 0 is fine. Without locks. */
void stager_ticket_over(struct stager *st, uint64_t ticket);

#endif
