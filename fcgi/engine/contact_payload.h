#ifndef ENGINE_CONTACT_PAYLOAD_H
#define ENGINE_CONTACT_PAYLOAD_H

#include "base/arena.h"
#include "base/config.h"
#include "executors/esp/esp.h"
#include "queues/contacts.h"
#include "wordpress/newspack.h"

/* Contacts built here, from users, usermeta and [fields SITE/ID]. */

/* What native payloads are built from; `users` by id. */
struct contact_source {
	const struct contact_user *users;
	size_t nusers;
	const struct contact_meta *meta; /* by user_id */
	size_t nmeta;
};
/* Read what the field map of an integration asks for. */
MUSTUSE enum rc contact_source_read(struct db *db,
    const struct sql_scope *scope, const struct config_integration *c,
    const uint64_t *ids, size_t n, struct arena *a, struct contact_source *out,
    struct err *err);
const struct contact_user *contact_source_user(
    const struct contact_source *s, uint64_t id);
/* The contact of a reader by the field map; false: no such user, or no
 * address. */
bool contact_native(const struct config_integration *c,
    const struct contact_source *s, uint64_t user_id, struct arena *a,
    struct esp_contact *out);
/* The map, where it sends and what PHP's side depends on, as 64 hex digits:
 * what a comparison is valid for. */
void contact_map_digest(const struct newspack *n,
    const struct newspack_integration *i, char out[65]);

#endif
