#include "executors/esp/esp_memory.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/xalloc.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct esp_memory *idle; /* under lock; the latest first */

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
unlink_locked(const unsigned char account[32])
{
	struct esp_memory **at = &idle;
	struct esp_memory *m;

	while (*at && memcmp((*at)->account, account, 32) != 0)
		at = &(*at)->next;
	m = *at;
	if (m)
		*at = m->next;
	return m;
}

struct esp_memory *
esp_memory_take(const char *provider, const struct esp_account *account)
{
	unsigned char name[32];
	struct esp_memory *m;

	name_account(provider, account, name);
	pthread_mutex_lock(&lock);
	m = unlink_locked(name);
	pthread_mutex_unlock(&lock);
	if (!m) {
		m = xcalloc(1, sizeof(struct esp_memory));
		memcpy(m->account, name, sizeof name);
	}
	m->next = NULL;
	return m;
}

void
esp_memory_give(struct esp_memory *m)
{
	struct esp_memory *old, **at = &idle;

	if (!m)
		return;
	pthread_mutex_lock(&lock);
	old = unlink_locked(m->account);
	/* Of two the one that knows the account. */
	if (old && old->directory.whole && !m->directory.whole) {
		struct esp_memory *other = old;

		old = m;
		m = other;
	}
	m->next = idle;
	idle = m;
	for (size_t n = 0; *at && n < ESP_MEMORY_MOST; n++)
		at = &(*at)->next;
	if (*at && !old) {
		old = *at;
		*at = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (old)
		free_memory(old);
}

void
esp_memory_forget(void)
{
	struct esp_memory *m;

	pthread_mutex_lock(&lock);
	m = idle;
	idle = NULL;
	pthread_mutex_unlock(&lock);
	while (m) {
		struct esp_memory *next = m->next;

		free_memory(m);
		m = next;
	}
}
