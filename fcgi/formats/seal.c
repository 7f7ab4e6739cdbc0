#include "formats/seal.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define NONCE_LEN 12
#define TAG_LEN 16
#define HEAD_LEN ((size_t)(NONCE_LEN + TAG_LEN))

/* Lengths go to OpenSSL as int. */
static bool
fits(struct slice s)
{
	return s.n <= INT_MAX - HEAD_LEN;
}

/* `in` to `to` in the direction that `x` was set up for, but for the tag. */
static bool
run(EVP_CIPHER_CTX *x, struct slice context, struct slice in, unsigned char *to)
{
	unsigned char none[EVP_MAX_BLOCK_LENGTH];
	int n = 0;

	return EVP_CipherUpdate(x, NULL, &n, (const unsigned char *)context.p,
		   (int)context.n) == 1 &&
	       (in.n == 0 ||
		   EVP_CipherUpdate(x, to, &n, (const unsigned char *)in.p,
		       (int)in.n) == 1) &&
	       EVP_CipherFinal_ex(x, none, &n) == 1;
}

enum rc
seal(struct buf *out, struct slice plain, struct slice context,
    const unsigned char key[SEAL_KEY_LEN], struct err *err)
{
	EVP_CIPHER_CTX *x = NULL;
	unsigned char *head;
	enum rc rc = RC_OK;

	if (!fits(plain) || !fits(context) ||
	    !buf_reserve(out, HEAD_LEN + plain.n))
		return err_set(err, RC_REJECT,
		    "%zu bytes are too many to be sealed", plain.n);
	head = (unsigned char *)out->p + out->n;
	x = EVP_CIPHER_CTX_new();
	if (!x || RAND_bytes(head, NONCE_LEN) != 1 ||
	    EVP_EncryptInit_ex(x, EVP_aes_256_gcm(), NULL, key, head) != 1 ||
	    !run(x, context, plain, head + HEAD_LEN) ||
	    EVP_CIPHER_CTX_ctrl(
		x, EVP_CTRL_GCM_GET_TAG, TAG_LEN, head + NONCE_LEN) != 1)
		rc = err_set(err, RC_RETRY, "OpenSSL cannot seal now");
	if (rc == RC_OK) {
		out->n += HEAD_LEN + plain.n;
		out->p[out->n] = '\0';
	}
	EVP_CIPHER_CTX_free(x);
	return rc;
}

enum rc
unseal(struct buf *out, struct slice sealed, struct slice context,
    const unsigned char key[SEAL_KEY_LEN], struct err *err)
{
	struct slice text = slice_from(sealed, HEAD_LEN);
	unsigned char head[HEAD_LEN];
	EVP_CIPHER_CTX *x = NULL;
	unsigned char *to;
	enum rc rc = RC_OK;

	if (sealed.n < HEAD_LEN || !fits(sealed) || !fits(context))
		return err_set(
		    err, RC_REJECT, "%zu bytes are no sealed ones", sealed.n);
	if (!buf_reserve(out, text.n))
		return err_set(
		    err, RC_REJECT, "%zu sealed bytes are too many", sealed.n);
	memcpy(head, sealed.p, HEAD_LEN);
	to = (unsigned char *)out->p + out->n;
	x = EVP_CIPHER_CTX_new();
	if (!x ||
	    EVP_DecryptInit_ex(x, EVP_aes_256_gcm(), NULL, key, head) != 1 ||
	    EVP_CIPHER_CTX_ctrl(
		x, EVP_CTRL_GCM_SET_TAG, TAG_LEN, head + NONCE_LEN) != 1)
		rc = err_set(err, RC_RETRY, "OpenSSL cannot unseal now");
	else if (!run(x, context, text, to))
		rc = err_set(err, RC_REJECT,
		    "sealed with another key, or changed since");
	if (rc == RC_OK)
		out->n += text.n;
	else
		OPENSSL_cleanse(to, text.n);
	if (out->p)
		out->p[out->n] = '\0';
	EVP_CIPHER_CTX_free(x);
	return rc;
}

enum rc
seal_key_read(
    struct slice text, unsigned char key[SEAL_KEY_LEN], struct err *err)
{
	struct slice s = slice_trim(text);

	if (s.n != (size_t)2 * SEAL_KEY_LEN)
		return err_set(err, RC_REJECT,
		    "a key is %d hexadecimal digits, here are %zu characters",
		    2 * SEAL_KEY_LEN, s.n);
	for (size_t i = 0; i < SEAL_KEY_LEN; i++) {
		int high = slice_hex_digit(s.p[2 * i]);
		int low = slice_hex_digit(s.p[2 * i + 1]);

		if (high < 0 || low < 0) {
			OPENSSL_cleanse(key, SEAL_KEY_LEN);
			return err_set(err, RC_REJECT,
			    "character %zu of the key is no hexadecimal digit",
			    2 * i + (high < 0 ? 1 : 2));
		}
		key[i] = (unsigned char)(high << 4 | low);
	}
	return RC_OK;
}
