#ifndef ENGINE_CHORES_H
#define ENGINE_CHORES_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"

/*
 * Work that waits in tables and is no job of a claim: mails in the outbox,
 * Event Espresso's messages, plugins' tasks. The claimer sees by a cheap look
 * that there is some; it is done on threads of their own, which are started
 * when there is work and end when there is none.
 */

struct engine;
struct site_run;
struct chores;

enum chore {
	CHORE_OUTBOX, /* on the main blog, for all of a network */
	CHORE_MESSAGES,
	CHORE_TASKS,
};
#define CHORE_COUNT 3

/* Of a blog. Guarded by the chores' lock, but for `look_at`. */
struct chore_state {
	struct site_run *next; /* of the list of those that want something */
	bool listed;
	unsigned senders; /* connections of one node to its relay */
	struct {
		bool wanted;
		bool tick; /* messages: by the plugin's schedule */
		unsigned running;
		mono_ms not_before;
		char held[128]; /* why nothing is done, as it was said */
	} of[CHORE_COUNT];
	bool left_to_php;             /* messages, as it was found last */
	bool untold;                  /* outbox: since the claimer's look */
	bool absent_said;             /* likewise */
	mono_ms look_at[CHORE_COUNT]; /* the claimer's alone */
	mono_ms tick_look_at;         /* likewise */
	const void *seen; /* likewise: the configuration at the last look */
};

struct chores *chores_new(struct engine *e);
/* From now on nothing begins; any thread, at any time. */
void chores_quit(struct chores *c);
/* Waits for what is in hand. */
void chores_drain(struct chores *c);
void chores_free(struct chores *c); /* drains; NULL is fine */
/* Do it soon; many calls are one. Any thread. */
void chores_want(
    struct chores *c, struct site_run *s, enum chore what, bool tick);
/* Mails of this blog's network go through so many connections of this node. */
void chores_senders(struct chores *c, struct site_run *s, unsigned senders);
/* There are no messages on this blog: said once. */
void chores_absent(struct chores *c, struct site_run *s);
/* Does PHP work Event Espresso's messages off, by the plugin's own events? */
bool chores_left_to_php(struct chores *c, const struct site_run *s);
/* Were there verdicts on mails that nobody has heard of yet? Said once. */
bool chores_untold(struct chores *c, struct site_run *s);
/*
 * The claimer's look at a blog, on its connection: is there anything to do?
 * RC_RETRY: the database is away.
 */
MUSTUSE enum rc chores_look(
    struct site_run *s, const struct config *config, struct err *err);

#endif
