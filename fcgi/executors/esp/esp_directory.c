#include "executors/esp/esp_directory.h"

#include <stdlib.h>

#include "base/xalloc.h"

#define FIRST_CAP ((size_t)1024)
#define WHOLE_S 86400
/* Cursors do not live for ever. */
#define RESUME_S 3600

void
esp_directory_clear(struct esp_directory *d)
{
	free(d->keys);
	free(d->entries);
	free(d->resume);
	*d = (struct esp_directory){ 0 };
}

const char *
esp_directory_begin(struct esp_directory *d, int64_t now)
{
	int64_t age = now - d->began;

	if (d->whole && age >= 0 && age < WHOLE_S)
		return "";
	if (!d->whole && d->resume && age >= 0 && age < RESUME_S)
		return d->resume;
	esp_directory_clear(d);
	d->began = now;
	return NULL;
}

void
esp_directory_page(struct esp_directory *d, const char *resume)
{
	char *copy;

	if (d->whole)
		return;
	copy = resume ? xstrdup(resume) : NULL;
	free(d->resume);
	d->resume = copy;
}

void
esp_directory_end(struct esp_directory *d, int64_t until)
{
	/* The whole took its time: changes since it was begun come next. */
	d->since = d->whole ? until : d->began;
	d->whole = !d->full;
	free(d->resume);
	d->resume = NULL;
}

/* FNV-1a of the address in lower case; never 0. */
static uint64_t
hash_of(struct slice email)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < email.n; i++) {
		unsigned char c = (unsigned char)email.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (unsigned char)(c + 32);
		h = (h ^ c) * UINT64_C(1099511628211);
	}
	return h ? h : 1;
}

/* Where the key stands, or the free place where it belongs. */
static size_t
place_of(const uint64_t *keys, size_t cap, uint64_t key)
{
	size_t at = (size_t)key & (cap - 1);

	while (keys[at] != 0 && keys[at] != key)
		at = (at + 1) & (cap - 1);
	return at;
}

static bool
grow(struct esp_directory *d)
{
	size_t cap = d->cap ? d->cap * 2 : FIRST_CAP;
	uint64_t *keys;
	unsigned char *entries;

	if (d->n >= ESP_DIRECTORY_MAX)
		return false;
	keys = calloc(cap, sizeof keys[0]);
	entries = calloc(cap, sizeof entries[0]);
	if (!keys || !entries) {
		free(keys);
		free(entries);
		return false;
	}
	for (size_t i = 0; i < d->cap; i++) {
		size_t at;

		if (d->keys[i] == 0)
			continue;
		at = place_of(keys, cap, d->keys[i]);
		keys[at] = d->keys[i];
		entries[at] = d->entries[i];
	}
	free(d->keys);
	free(d->entries);
	d->keys = keys;
	d->entries = entries;
	d->cap = cap;
	return true;
}

void
esp_directory_put(
    struct esp_directory *d, struct slice email, enum esp_directory_entry entry)
{
	uint64_t key = hash_of(email);
	size_t at;

	/* Half full at most: runs of taken places stay short. */
	if (d->full)
		return;
	if (d->n >= d->cap / 2 && !grow(d)) {
		d->full = true;
		return;
	}
	at = place_of(d->keys, d->cap, key);
	if (d->keys[at] == 0)
		d->n++;
	d->keys[at] = key;
	d->entries[at] = (unsigned char)entry;
}

enum esp_directory_entry
esp_directory_find(const struct esp_directory *d, struct slice email)
{
	uint64_t key = hash_of(email);
	size_t at;

	if (d->cap == 0)
		return ESP_DIRECTORY_UNKNOWN;
	at = place_of(d->keys, d->cap, key);
	if (d->keys[at] == 0)
		return ESP_DIRECTORY_UNKNOWN;
	return (enum esp_directory_entry)d->entries[at];
}
