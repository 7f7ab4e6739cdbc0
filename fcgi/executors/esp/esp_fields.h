#ifndef EXECUTORS_ESP_ESP_FIELDS_H
#define EXECUTORS_ESP_ESP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/slice.h"
#include "executors/esp/esp.h"

/*
 * The fields of an account as the provider names them, kept for ten minutes.
 * Zeroed is empty. Private to the providers.
 */
struct esp_fields_row {
	char *name; /* what a payload's label is matched with */
	char *id;   /* the provider's; "": it cannot be had, do not ask */
	char *kind; /* "text", "date", ... as the provider says */
	char *key;  /* its name in bulk calls, where that differs; or "" */
};
struct esp_fields {
	struct esp_fields_row *rows;
	size_t n, cap;
	bool read;
	mono_ms read_at;
};

#define ESP_FIELDS_MAX 5000
#define ESP_FIELDS_KEEP_MS ((mono_ms)600000)

/* Forget all. */
void esp_fields_clear(struct esp_fields *f);
/* Were they read less than ten minutes ago? */
bool esp_fields_is_fresh(const struct esp_fields *f, const struct clock *c);
/* All have been put. */
void esp_fields_mark(struct esp_fields *f, const struct clock *c);
/* Of two with one name the first counts. Names over 255 bytes and fields past
 * ESP_FIELDS_MAX are left out. */
void esp_fields_put(struct esp_fields *f, struct slice name, struct slice id,
    struct slice kind, struct slice key);
/* NULL: the account has none of that name. */
const struct esp_fields_row *esp_fields_find(
    const struct esp_fields *f, struct slice name);
/* The row of an id; or NULL. */
const struct esp_fields_row *esp_fields_find_id(
    const struct esp_fields *f, struct slice id);

/* How a provider makes fields. */
struct esp_fields_maker {
	struct esp_fields *fields;
	void *arg;
	/* The name of a label, perhaps in `room` of 255 bytes; empty: no
	 * field can be made for it. */
	struct slice (*name)(void *arg, struct slice label, char *room);
	/* Make it at the provider and put it. RC_NONE: it is refused. */
	enum rc (*create)(void *arg, struct slice label, struct slice name,
	    struct arena *a, struct err *err);
	/* Read all anew unless they are fresh. */
	enum rc (*read)(void *arg, struct arena *a, struct err *err);
};
/*
 * esp_fields_ensure - make the fields that contacts have and the account does
 * not. One that is refused may be there since they were read: they are read
 * again once; what is not there then is left out, and nobody asks again until
 * they are read the next time.
 */
MUSTUSE enum rc esp_fields_ensure(const struct esp_fields_maker *m,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err);

/* What esp->ops->fields() says of those the account has; `keys`: push matches
 * the key, else the name. */
MUSTUSE enum rc esp_fields_list(const struct esp_fields *f, bool keys,
    struct arena *a, struct esp_field **out, size_t *n, struct err *err);

#endif
