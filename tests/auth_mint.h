#ifndef TESTS_AUTH_MINT_H
#define TESTS_AUTH_MINT_H

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Log-in cookies as WordPress makes them, by libcrypto's own HMAC-MD5 and
 * straight from wp_generate_auth_cookie(): not by the code under test.
 */
#define AUTH_MINT_TOKEN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
/* The key of its record: sha256 of the token. */
#define AUTH_MINT_VERIFIER                                                     \
	"46a2199782c8827f0ac56f503be9d39efee97f40a736b92cc7d7c5f825cfd851"
#define AUTH_MINT_MAX 2048

static inline void
auth_mint_hmac(const EVP_MD *md, const char *key, size_t key_len,
    const char *text, char *out)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = sizeof mac;

	if (!HMAC(md, key, (int)key_len, (const unsigned char *)text,
		strlen(text), mac, &n))
		abort();
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(out + (size_t)2 * i, 3, "%02x", mac[i]);
}

/* The encoded value for `login` with the four bytes `fragment` of its hash. */
static inline void
auth_mint(const char *login, const char *fragment, int64_t expires,
    const char *salt, char out[AUTH_MINT_MAX])
{
	char text[AUTH_MINT_MAX], key[65], hmac[65];
	size_t n = 0;

	(void)snprintf(text, sizeof text, "%s|%s|%" PRId64 "|" AUTH_MINT_TOKEN,
	    login, fragment, expires);
	auth_mint_hmac(EVP_md5(), salt, strlen(salt), text, key);
	(void)snprintf(text, sizeof text, "%s|%" PRId64 "|" AUTH_MINT_TOKEN,
	    login, expires);
	auth_mint_hmac(EVP_sha256(), key, strlen(key), text, hmac);
	for (const char *c = login; *c; c++)
		n += (size_t)snprintf(
		    out + n, AUTH_MINT_MAX - n, "%%%02X", (unsigned char)*c);
	(void)snprintf(out + n, AUTH_MINT_MAX - n,
	    "%%7C%" PRId64 "%%7C" AUTH_MINT_TOKEN "%%7C%s", expires, hmac);
}

#endif
