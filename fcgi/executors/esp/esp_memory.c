#include "executors/esp/esp_memory.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/xalloc.h"

struct esp_memories {
	pthread_mutex_t lock;
	struct esp_memory *idle; /* under lock; the latest first */
};

static void
name_account(const char *provider, const struct esp_account *account,
    unsigned char out[32])
{
	/* The list too: one client of Constant Contact serves many accounts,
	 * and the directory is about one list. */
	const char *const parts[] = { provider, account->api, account->key,
		account->list };
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
	struct buf text = BUF_INIT((size_t)64 * 1024);
	unsigned len = 0;

	for (size_t i = 0; i < NELEMS(parts); i++) {
		buf_put_slice(&text, slice_str(parts[i]));
		buf_put_char(&text, '\0');
	}
	if (!EVP_Digest(text.p, text.n, digest, &len, EVP_sha256(), NULL))
		memset(digest, 0, sizeof digest);
	memcpy(out, digest, 32);
	OPENSSL_cleanse(text.p, text.n);
	buf_clear(&text);
}

static void
free_memory(struct esp_memory *m)
{
	esp_fields_clear(&m->fields);
	esp_directory_clear(&m->directory);
	free(m);
}

/* Take the memory of an account out of the list; NULL: there is none. */
static struct esp_memory *
unlink_locked(struct esp_memories *owner, const unsigned char account[32])
{
	struct esp_memory **at = &owner->idle;
	struct esp_memory *m;

	while (*at && memcmp((*at)->account, account, 32) != 0)
		at = &(*at)->next;
	m = *at;
	if (m)
		*at = m->next;
	return m;
}

struct esp_memory *
esp_memory_take(struct esp_memories *owner, const char *provider,
    const struct esp_account *account)
{
	unsigned char name[32];
	struct esp_memory *m = NULL;

	name_account(provider, account, name);
	if (owner) {
		pthread_mutex_lock(&owner->lock);
		m = unlink_locked(owner, name);
		pthread_mutex_unlock(&owner->lock);
	}
	if (!m) {
		m = xcalloc(1, sizeof(struct esp_memory));
		memcpy(m->account, name, sizeof name);
	}
	m->owner = owner;
	m->next = NULL;
	return m;
}

/* Put it first; what falls out of the list, or NULL. */
static struct esp_memory *
keep_locked(struct esp_memories *owner, struct esp_memory *m)
{
	struct esp_memory *old = unlink_locked(owner, m->account);
	struct esp_memory **at = &owner->idle;

	/* Of two the one that knows the account. */
	if (old && old->directory.whole && !m->directory.whole) {
		struct esp_memory *other = old;

		old = m;
		m = other;
	}
	m->next = owner->idle;
	owner->idle = m;
	for (size_t n = 0; *at && n < ESP_MEMORY_MOST; n++)
		at = &(*at)->next;
	if (*at && !old) {
		old = *at;
		*at = NULL;
	}
	return old;
}

void
esp_memory_give(struct esp_memory *m)
{
	struct esp_memories *owner;

	if (!m)
		return;
	owner = m->owner;
	if (owner) {
		pthread_mutex_lock(&owner->lock);
		m = keep_locked(owner, m);
		pthread_mutex_unlock(&owner->lock);
	}
	if (m)
		free_memory(m);
}

struct esp_memories *
esp_memories_new(void)
{
	struct esp_memories *owner = xcalloc(1, sizeof *owner);

	pthread_mutex_init(&owner->lock, NULL);
	return owner;
}

void
esp_memories_free(struct esp_memories *owner)
{
	if (!owner)
		return;
	while (owner->idle) {
		struct esp_memory *m = owner->idle;

		owner->idle = m->next;
		free_memory(m);
	}
	pthread_mutex_destroy(&owner->lock);
	free(owner);
}
