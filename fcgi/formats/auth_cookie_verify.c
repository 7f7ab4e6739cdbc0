#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/arena.h"
#include "formats/auth_cookie.h"
#include "formats/md5.h"
#include "formats/php_serialize.h"

#define SHA256_LEN 32
#define SESSIONS_MAX ((size_t)1 << 20)
#define SESSIONS_DEPTH 32
/* Strings in the escaped form S:, which no PHP writes. */
#define SESSIONS_ARENA ((size_t)64 << 10)

static void
put_hex(char *out, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
}

/* substr($user_pass, 8, 4) */
static struct slice
middle(struct slice user_pass)
{
	struct slice s = slice_from(user_pass, 8);

	return slice_mem(s.p, s.n < 4 ? s.n : 4);
}

/* Since 6.8: substr($user_pass, -4) where the hash is of a newer kind. */
static struct slice
newer_fragment(struct slice user_pass)
{
	if (slice_starts(user_pass, SLICE_LIT("$P$")) ||
	    slice_starts(user_pass, SLICE_LIT("$2y$")))
		return middle(user_pass);
	return slice_from(user_pass, user_pass.n < 4 ? 0 : user_pass.n - 4);
}

/* The hmac of the cookie as it should be; false: libcrypto would not. */
static bool
expected(const struct auth_cookie *c, struct slice fragment, struct slice salt,
    char out[2 * SHA256_LEN])
{
	const struct slice bar = SLICE_LIT("|");
	const struct slice parts[] = { c->login, bar, fragment, bar,
		c->expiration, bar, c->token };
	unsigned char key[MD5_LEN], mac[SHA256_LEN];
	char key_hex[2 * MD5_LEN], text[AUTH_COOKIE_MAX];
	unsigned mac_len = sizeof mac;
	size_t n = 0;
	bool ok;

	md5_hmac(salt, parts, NELEMS(parts), key);
	put_hex(key_hex, key, sizeof key);
	/* login|expiration|token, no longer than the cookie itself. */
	for (size_t i = 0; i < NELEMS(parts); i++)
		if (i != 1 && i != 2) {
			memcpy(text + n, parts[i].p, parts[i].n);
			n += parts[i].n;
		}
	ok = HMAC(EVP_sha256(), key_hex, sizeof key_hex,
		 (const unsigned char *)text, n, mac, &mac_len) != NULL;
	if (ok)
		put_hex(out, mac, sizeof mac);
	OPENSSL_cleanse(key, sizeof key);
	OPENSSL_cleanse(key_hex, sizeof key_hex);
	return ok;
}

bool
auth_cookie_verify(
    const struct auth_cookie *c, struct slice user_pass, struct slice salt)
{
	const struct slice fragments[] = { middle(user_pass),
		newer_fragment(user_pass) };
	char want[2 * SHA256_LEN];
	bool same = false;

	/* Both are always made: time must not tell which was right, nor whether
	 * there is such a user. */
	for (size_t i = 0; i < NELEMS(fragments); i++)
		if (expected(c, fragments[i], salt, want) &&
		    c->hmac.n == sizeof want &&
		    CRYPTO_memcmp(want, c->hmac.p, sizeof want) == 0)
			same = true;
	OPENSSL_cleanse(want, sizeof want);
	return same && user_pass.n > 0;
}

/* ---- sessions --------------------------------------------------------- */

/* The int `expiration` of a record, the last as in PHP; 0 for none. */
static enum rc
walk_record(struct php_serialize_walk *w, int64_t *expires)
{
	struct php_serialize_member m;
	uint64_t count;
	enum rc rc = php_serialize_walk_enter(w, &count);

	for (uint64_t i = 0; rc == RC_OK && i < count; i++) {
		rc = php_serialize_walk_key(w, &m);
		if (rc == RC_OK)
			rc = php_serialize_walk_value(w, &m.value);
		if (rc == RC_OK && !m.int_key &&
		    slice_eq_str(m.key, "expiration"))
			*expires = m.value.type == PHP_SERIALIZE_INT
				       ? m.value.integer
				       : 0;
	}
	return rc == RC_OK ? php_serialize_walk_leave(w) : rc;
}

/* The record under `verifier`; *expires is untouched when there is none. */
static enum rc
walk_sessions(
    struct php_serialize_walk *w, struct slice verifier, int64_t *expires)
{
	struct php_serialize_member m;
	uint64_t count;
	enum rc rc = php_serialize_walk_enter(w, &count);

	for (uint64_t i = 0; rc == RC_OK && i < count; i++) {
		rc = php_serialize_walk_key(w, &m);
		if (rc != RC_OK)
			break;
		if (m.int_key || !slice_eq(m.key, verifier)) {
			rc = php_serialize_walk_value(w, &m.value);
		} else if (php_serialize_walk_at_array(w)) {
			*expires = 0;
			rc = walk_record(w, expires);
		} else {
			/* A bare number is the form of WordPress 4.0. */
			rc = php_serialize_walk_value(w, &m.value);
			if (rc == RC_OK)
				*expires = m.value.type == PHP_SERIALIZE_INT
					       ? m.value.integer
					       : 0;
		}
	}
	return rc == RC_OK ? php_serialize_walk_leave(w) : rc;
}

bool
auth_session_alive(const struct auth_cookie *c, struct slice sessions,
    int64_t now, int64_t *expires)
{
	const struct php_serialize_limits limits = { .bytes = SESSIONS_MAX,
		.elements = SESSIONS_MAX,
		.depth = SESSIONS_DEPTH };
	struct arena arena = ARENA_INIT(SESSIONS_ARENA);
	struct php_serialize_walk w;
	unsigned char hash[SHA256_LEN];
	char verifier[2 * SHA256_LEN];
	unsigned hash_len = sizeof hash;
	int64_t found = 0;
	bool alive = false;

	if (!sessions.p || sessions.n > limits.bytes ||
	    EVP_Digest(c->token.p, c->token.n, hash, &hash_len, EVP_sha256(),
		NULL) != 1)
		return false;
	put_hex(verifier, hash, sizeof hash);
	php_serialize_walk_init(&w, sessions, &limits, &arena, NULL);
	if (php_serialize_walk_at_array(&w) &&
	    walk_sessions(&w, slice_mem(verifier, sizeof verifier), &found) ==
		RC_OK &&
	    w.pos == sessions.n && found >= now && found > 0) {
		*expires = found;
		alive = true;
	}
	arena_clear(&arena);
	return alive;
}
