#include "formats/webhook_signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

/* Standard Webhooks: 24 to 64 bytes; what is longer is accepted up to here. */
#define KEY_MAX ((size_t)192)
#define BASE64_MAX (KEY_MAX / 3 * 4)

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "abcdefghijklmnopqrstuvwxyz0123456789+/";

/* The decoded length, 0 when `s` is not base64 or too long. */
static size_t
decode_key(struct slice s, unsigned char out[KEY_MAX])
{
	unsigned char padded[BASE64_MAX];
	size_t digits = s.n;

	if (s.n == 0 || s.n > BASE64_MAX)
		return 0;
	while (digits > 0 && s.n - digits < 2 && s.p[digits - 1] == '=')
		digits--;
	/* A written-out padding must fit; a left-out one is forgiven. */
	if (digits % 4 == 1 || (digits != s.n && s.n % 4 != 0))
		return 0;
	for (size_t i = 0; i < digits; i++)
		if (!memchr(alphabet, s.p[i], sizeof alphabet - 1))
			return 0;
	memset(padded, '=', sizeof padded);
	memcpy(padded, s.p, digits);
	if (EVP_DecodeBlock(out, padded, (int)((digits + 3) / 4 * 4)) < 0)
		return 0;
	OPENSSL_cleanse(padded, sizeof padded);
	return digits * 3 / 4;
}

static bool
sign_parts(const unsigned char *key, size_t key_len, struct slice id,
    int64_t timestamp, struct slice body, unsigned char mac[32])
{
	struct buf text = BUF_INIT(SIZE_MAX / 4);
	unsigned mac_len = 32;
	bool ok;

	buf_put_slice(&text, id);
	buf_put_char(&text, '.');
	buf_put_i64(&text, timestamp);
	buf_put_char(&text, '.');
	buf_put_slice(&text, body);
	ok = !text.failed &&
	     HMAC(EVP_sha256(), key, (int)key_len,
		 (const unsigned char *)text.p, text.n, mac, &mac_len);
	buf_clear(&text);
	return ok;
}

enum rc
webhook_signature_sign(struct slice secret, struct slice id, int64_t timestamp,
    struct slice body, char out[WEBHOOK_SIGNATURE_LEN + 1], struct err *err)
{
	static const struct slice prefix = { "whsec_", 6 };
	unsigned char key[KEY_MAX], mac[32];
	size_t key_len;
	enum rc rc = RC_OK;

	if (slice_starts(secret, prefix))
		secret = slice_from(secret, prefix.n);
	key_len = decode_key(secret, key);
	if (key_len == 0)
		return err_set(err, RC_REJECT,
		    "the webhook's secret is not whsec_ and base64");
	if (!sign_parts(key, key_len, id, timestamp, body, mac)) {
		rc = err_set(err, RC_RETRY, "no memory for a signature");
		goto out;
	}
	memcpy(out, "v1,", sizeof "v1,");
	EVP_EncodeBlock((unsigned char *)out + 3, mac, sizeof mac);
out:
	OPENSSL_cleanse(key, sizeof key);
	return rc;
}
