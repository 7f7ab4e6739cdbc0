#ifndef CTL_BLOGS_H
#define CTL_BLOGS_H

#include "ctl.h"

/* A blog of a network; a site that is none has one, of id 1. */
struct blog {
	uint32_t id;
	char *domain, *path; /* of {base}blogs; "" where there is no network */
};
struct blogs {
	struct blog *items;
	size_t n;
};

/* blogs_read - those that run: not archived, spam or deleted. */
MUSTUSE enum rc blogs_read(struct place *p, struct blogs *out, struct err *err);
void blogs_clear(struct blogs *b);

/*
 * blogs_find - the blog of a URL, with or without its scheme: the one of its
 * host whose path is the longest that it begins with. NULL: no blog of that
 * host.
 */
const struct blog *blogs_find(const struct blogs *b, struct slice url);

/*
 * blogs_next_due - when each blog has next something due, cron events and
 * actions, by a few queries for all of them; INT64_MAX: nothing. `due` has
 * room for b->n.
 */
MUSTUSE enum rc blogs_next_due(
    struct place *p, const struct blogs *b, int64_t *due, struct err *err);

/* place_turn() to what --url says; 0, or an exit status after words. */
MUSTUSE int blogs_choose(struct place *p, const struct ctl *c);

enum place_need {
	NEED_OWN = 1u << 0, /* our tables */
};
/* What a command does on one blog; an exit status. */
typedef int blog_fn(const struct ctl *c, struct place *p, void *arg);
/*
 * blogs_each - open the site, and call `fn` for the blog of --url, for all of
 * them with --network, else for the main one. The greatest exit status; one
 * that is more than "some failed" ends the walk.
 */
MUSTUSE int blogs_each(
    const struct ctl *c, unsigned needs, blog_fn *fn, void *arg);

#endif
