#ifndef CTL_CONTACTS_H
#define CTL_CONTACTS_H

#include "base/arena.h"
#include "ctl.h"
#include "engine/contacts.h"
#include "work_env.h"

/* A blog's readers and integrations, as the commands see them. */
struct contacts_view {
	struct place *place;
	struct newspack newspack;
	enum site_standing standing;
	struct work_view work;
	struct work_env env;
};

/* What a command does on one blog; an exit status. */
typedef int contacts_fn(
    const struct ctl *c, struct contacts_view *v, void *arg);
/* contacts_each - as blogs_each(); reads Newspack's settings before `fn`. */
MUSTUSE int contacts_each(const struct ctl *c, contacts_fn *fn, void *arg);

/*
 * contacts_open, contacts_close - the settings of the blog that `p` looks at.
 * In every case contacts_close().
 */
MUSTUSE enum rc contacts_open(const struct ctl *c, struct place *p,
    struct contacts_view *v, struct err *err);
void contacts_close(struct contacts_view *v);

/* The reader of an id, a login or an address; 0, or an exit status after
 * words. */
MUSTUSE int contacts_find(const struct ctl *c, struct contacts_view *v,
    const char *who, struct arena *a, struct contact_user *out);
/* The enabled integration of that id; NULL after words. */
const struct newspack_integration *contacts_integration(
    const struct ctl *c, const struct contacts_view *v, const char *id);

/* Why nothing may leave the site, whatever the integration; NULL: it may.
 * `remedy` is what an administrator can do about it. */
const char *contacts_held(const struct contacts_view *v, const char **remedy);

/* --pull, --push: 1 << enum contact_direction; both when neither is given. */
unsigned contacts_directions(const struct ctl *c);

/* A reader's address as logs have it. */
void row_masked(json_t *row, const char *name, struct slice email);
/* The Unix time that a flag has for its value; INT64_MIN: it has none. */
int64_t contacts_flag_time(struct slice value);

#define CONTACTS_ARENA_MAX ((size_t)1 << 30)

#endif
