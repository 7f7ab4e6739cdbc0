#ifndef EXECUTORS_ESP_ESP_FIELDS_H
#define EXECUTORS_ESP_ESP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/slice.h"

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

#endif
