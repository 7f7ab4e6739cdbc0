#include "server/tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* What is compared is as long for every token: neither length nor content
 * shows in the time. */
struct token {
	char *site;
	unsigned char digest[SHA256_DIGEST_LENGTH];
};

struct tokens {
	pthread_mutex_t lock; /* guards all below */
	struct token *items;
	size_t n;
};

static void
digest(struct slice s, unsigned char out[SHA256_DIGEST_LENGTH])
{
	SHA256((const unsigned char *)(s.p ? s.p : ""), s.n, out);
}

static void
items_free(struct token *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(items[i].site);
	free(items);
}

void
tokens_set(struct tokens *t, const struct config_site *sites, size_t nsites)
{
	struct token *items = xcalloc(nsites + 1, sizeof(*items)), *old;
	size_t n = 0, nold;

	for (size_t i = 0; i < nsites; i++) {
		if (!sites[i].cron_token || !sites[i].cron_token[0])
			continue;
		items[n].site = xstrdup(sites[i].name);
		digest(slice_str(sites[i].cron_token), items[n++].digest);
	}
	pthread_mutex_lock(&t->lock);
	old = t->items;
	nold = t->n;
	t->items = items;
	t->n = n;
	pthread_mutex_unlock(&t->lock);
	items_free(old, nold);
}

struct tokens *
tokens_new(const struct config_site *sites, size_t nsites)
{
	struct tokens *t = xcalloc(1, sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	tokens_set(t, sites, nsites);
	return t;
}

void
tokens_free(struct tokens *t)
{
	if (!t)
		return;
	items_free(t->items, t->n);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

bool
tokens_match(struct tokens *t, const char *site, struct slice authorization)
{
	static const struct slice scheme = { "Bearer ", 7 };
	unsigned char got[SHA256_DIGEST_LENGTH];
	bool ok = false;

	if (authorization.n < scheme.n ||
	    !slice_eq_nocase(slice_mem(authorization.p, scheme.n), scheme))
		return false;
	digest(slice_trim(slice_from(authorization, scheme.n)), got);
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->items[i].site, site) == 0)
			ok = CRYPTO_memcmp(
				 t->items[i].digest, got, sizeof(got)) == 0;
	pthread_mutex_unlock(&t->lock);
	return ok;
}
