#ifndef EXECUTORS_ESP_ESP_VALUES_H
#define EXECUTORS_ESP_ESP_VALUES_H

#include <jansson.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

/*
 * What providers do alike with labels, values and JSON. No I/O. Private to the
 * providers. Without room in the arena the result is empty.
 */

/* "NP_Signup UTM: source" is "NP_SIGNUP_UTM_SOURCE": WordPress's
 * sanitize_title() with _ for -, in upper case; at most the room's bytes. */
#define ESP_VALUES_SLUG_MAX 255
struct slice esp_values_slug(
    struct slice label, char room[ESP_VALUES_SLUG_MAX]);

/* At the first space, as the plugin does. Both are parts of `name`. */
void esp_values_split_name(
    struct slice name, struct slice *first, struct slice *last);

/* Is this one of the labels that the plugin makes date fields for? */
bool esp_values_is_date_label(struct slice label);

/* "2026-01-02 03:04:05" is "2026-01-02"; what is no date stays as it is. */
struct slice esp_values_date(struct slice value);

/* The answer when it is a JSON object or array, json_decref() it; or NULL. */
json_t *esp_values_json(struct slice answer);
/* The text of a member, lent by `object`; empty when it is none. */
struct slice esp_values_text(const json_t *object, const char *key);
/* A text, number or boolean as text: ids come as either. */
struct slice esp_values_scalar(const json_t *value, struct arena *a);
/* The value as JSON in UTF-8; p NULL when there was no room. */
struct slice esp_values_dump(const json_t *value, struct arena *a);
/* A copy of what was built; p NULL when it failed. The buffer is cleared. */
struct slice esp_values_take(struct buf *b, struct arena *a);

/* Two texts in one, without the slashes at the end of the first; free(). */
MUSTUSE char *esp_values_join(const char *first, const char *second);

/* "key":"value" with a comma before it unless it is the first. */
void esp_values_put(struct buf *out, const char *key, struct slice value);

#endif
