#ifndef FORMATS_CRON_ARRAY_PRIVATE_H
#define FORMATS_CRON_ARRAY_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "formats/cron_array.h"
#include "formats/php_serialize.h"

/*
 * Where the members of the array stand: a node each, down to the level of the
 * events, in the order of the text. Nodes are named by their number, so that
 * a copy of the tree needs no other pointers; 0 is the array itself, and "none"
 * where it cannot be meant.
 */
enum cron_level {
	CRON_LEVEL_ARRAY,
	CRON_LEVEL_TIME,
	CRON_LEVEL_HOOK,
	CRON_LEVEL_SLOT,
};

struct cron_node {
	struct slice key; /* its bytes, of an int key its decimal */
	int64_t index;    /* of an int key */
	/* The member and its value in the text. */
	uint32_t from, value_from, to;
	uint32_t parent, first, last, next, nchildren;
	uint32_t number; /* of the value, as references count; so many in it */
	uint32_t nvalues;
	uint32_t moved_to; /* its number in the text being written */
	uint32_t event;    /* SLOT: which of the events it is, or NO_EVENT */
	uint32_t edit;     /* SLOT: 1 + which edit put it here, or 0 */
	unsigned char level;
	bool int_key;
	bool is_time;   /* TIME: the key is a number; `timestamp` says which */
	bool is_map;    /* the value is an array, whose members are nodes */
	bool refs;      /* the value holds references */
	bool dead;      /* not there any more, and nothing in it */
	bool moved;     /* `parent` names the node that took its place */
	bool rewritten; /* is not written as it stood in the text */
	int64_t timestamp;
};

#define CRON_NO_EVENT UINT32_MAX
#define CRON_CHUNK 1024

struct cron_tree {
	struct arena *arena;
	struct cron_node **chunks; /* of CRON_CHUNK nodes */
	uint32_t nchunks, chunks_cap;
	uint32_t n;
	uint32_t *table;    /* nodes by parent and key; open addressing */
	uint32_t mask;      /* its size - 1 */
	uint32_t odd_times; /* TIME nodes with a number for a string key */
	bool refs;          /* the text holds references */
	bool custom;        /* it holds a C: */
};

static inline struct cron_node *
cron_node_at(const struct cron_tree *t, uint32_t i)
{
	return &t->chunks[i / CRON_CHUNK][i % CRON_CHUNK];
}

/* A new zeroed node's number, or 0: no memory, or past the ceiling. (The node
 * of the array is made by cron_tree_init().) */
MUSTUSE uint32_t cron_tree_add(struct cron_tree *t);
MUSTUSE bool cron_tree_init(struct cron_tree *t, struct arena *a);
/* A copy with room in its table for `more` nodes. */
MUSTUSE bool cron_tree_copy(struct cron_tree *to, const struct cron_tree *from,
    uint32_t more, struct arena *a);
/* An empty table for the nodes there are and `more`. */
MUSTUSE bool cron_tree_table(struct cron_tree *t, uint32_t more);
/* Put a node where its parent and key say; last in the parent's list. */
void cron_tree_link(struct cron_tree *t, uint32_t i);
/* The living child with that key; 0: none. */
uint32_t cron_tree_child(
    const struct cron_tree *t, uint32_t parent, struct slice key);
uint32_t cron_tree_child_int(
    const struct cron_tree *t, uint32_t parent, int64_t index);
/* The node of a slot; 0: none. */
uint32_t cron_tree_slot(const struct cron_tree *t, int64_t timestamp,
    struct slice hook, struct slice key);
/* It and what is in it are no longer there. */
void cron_tree_kill(struct cron_tree *t, uint32_t i);
/* The node and all around it are to be written anew. */
void cron_tree_touch(struct cron_tree *t, uint32_t i);

/* The limits of everything that is read here. */
extern const struct php_serialize_limits cron_limits;

/*
 * cron_event_read - cron_event_parse() of an event whose value has the number
 * `number`. RC_NONE: it holds a reference to what is outside of it.
 */
MUSTUSE enum rc cron_event_read(struct slice event, uint32_t number,
    struct arena *a, struct cron_event *out, struct err *err);

/*
 * cron_renumber - append a value whose own number becomes `to` instead of
 * `from`, with the references in it. RC_NONE: one leads outside of it.
 */
MUSTUSE enum rc cron_renumber(struct slice value, uint32_t from, uint32_t to,
    struct buf *out, struct err *err);

/* is_numeric(): a number as PHP takes it, whole seconds upwards. */
MUSTUSE bool cron_numeric(struct slice s, int64_t *out);
/* strnatcasecmp() */
int cron_natural_order(struct slice a, struct slice b);

#endif
