#ifndef EXECUTORS_ESP_ESP_MEMORY_H
#define EXECUTORS_ESP_ESP_MEMORY_H

#include "executors/esp/esp.h"
#include "executors/esp/esp_directory.h"
#include "executors/esp/esp_fields.h"

/*
 * One account's part of struct esp_memories. An instance has it for itself; two
 * at once for one account have two, and of those given back the one that knows
 * more is kept. Private to the providers.
 */
struct esp_memory {
	struct esp_fields fields;
	struct esp_directory directory;

	struct esp_memories *owner; /* NULL: it is not kept */
	unsigned char account[32];  /* a digest, nothing of the key */
	struct esp_memory *next;
};

/* Accounts remembered while nobody uses them; then the oldest is forgotten. */
#define ESP_MEMORY_MOST 32

/* That of an account at a provider; empty the first time, and always where
 * `owner` is NULL. Never NULL; ends in esp_memory_give(). */
struct esp_memory *esp_memory_take(struct esp_memories *owner,
    const char *provider, const struct esp_account *account);
void esp_memory_give(struct esp_memory *m); /* NULL is fine */

#endif
