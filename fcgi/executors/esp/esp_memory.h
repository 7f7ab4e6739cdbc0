#ifndef EXECUTORS_ESP_ESP_MEMORY_H
#define EXECUTORS_ESP_ESP_MEMORY_H

#include "executors/esp/esp.h"
#include "executors/esp/esp_directory.h"
#include "executors/esp/esp_fields.h"

/*
 * What was learnt of an account and took many requests: its fields, and whom
 * it has. It outlives the instances of a provider, which live for one batch.
 * Private to the providers.
 *
 * Threads: any. An instance has a memory for itself; two at once for one
 * account have two, and of those given back the last is kept.
 */
struct esp_memory {
	struct esp_fields fields;
	struct esp_directory directory;

	unsigned char account[32]; /* a digest, nothing of the key */
	struct esp_memory *next;
};

/* Accounts remembered while nobody uses them; then the oldest is forgotten. */
#define ESP_MEMORY_MOST 32

/* That of an account at a provider; empty the first time. Never NULL; ends in
 * esp_memory_give(). */
struct esp_memory *esp_memory_take(
    const char *provider, const struct esp_account *account);
/* NULL is fine. */
void esp_memory_give(struct esp_memory *m);
/* Forget all that is not taken; for tests and the end of the program. */
void esp_memory_forget(void);

#endif
