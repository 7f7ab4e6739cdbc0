#ifndef EXECUTORS_ESP_ESP_DIRECTORY_H
#define EXECUTORS_ESP_ESP_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * Whom a provider knows: nine bytes an address, for providers whose bulk calls
 * do not tell new contacts from known ones. Addresses are kept as 64-bit
 * hashes of their lower-case form: an address taken for another counts as
 * known, which costs a request and harms nobody. Zeroed is empty. Private to
 * the providers.
 */
enum esp_directory_entry {
	ESP_DIRECTORY_UNKNOWN,
	ESP_DIRECTORY_ON_LIST, /* active, and on the account's list */
	ESP_DIRECTORY_KNOWN,   /* any other: not on it, unsubscribed, deleted */
};
struct esp_directory {
	uint64_t *keys; /* 0: free */
	unsigned char *entries;
	size_t n, cap; /* cap: a power of two, or 0 */
	bool full;     /* past the ceiling, or no memory: not to be used */
	bool whole;    /* all of the account was read once */
	int64_t since; /* Unix time before which all changes were read */
	int64_t began; /* and when the whole was begun to be read */
	char *resume;  /* where a read of the whole stopped; or NULL */
};

#define ESP_DIRECTORY_MAX ((size_t)4 << 20)

void esp_directory_clear(struct esp_directory *d);
/*
 * esp_directory_begin - what is to be read now: NULL: all from the beginning,
 * what was known is forgotten; `resume`: the whole from there; "": changes
 * since `since`. All is read anew once a day: what an owner does to lists may
 * not count as a change of the contacts.
 */
const char *esp_directory_begin(struct esp_directory *d, int64_t now);
/* A page of the whole was read, the next is at `resume`. */
void esp_directory_page(struct esp_directory *d, const char *resume);
/* All was read, of changes until `until`. */
void esp_directory_end(struct esp_directory *d, int64_t until);
/* Put or replace. */
void esp_directory_put(struct esp_directory *d, struct slice email,
    enum esp_directory_entry entry);
enum esp_directory_entry esp_directory_find(
    const struct esp_directory *d, struct slice email);

#endif
