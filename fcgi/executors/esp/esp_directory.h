#ifndef EXECUTORS_ESP_ESP_DIRECTORY_H
#define EXECUTORS_ESP_ESP_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
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
	mono_ms read_at;
};

#define ESP_DIRECTORY_MAX ((size_t)4 << 20)

void esp_directory_clear(struct esp_directory *d);
/* Put or replace. */
void esp_directory_put(struct esp_directory *d, struct slice email,
    enum esp_directory_entry entry);
enum esp_directory_entry esp_directory_find(
    const struct esp_directory *d, struct slice email);

#endif
