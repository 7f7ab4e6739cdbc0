#ifndef FORMATS_MD5_H
#define FORMATS_MD5_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * MD5 (RFC 1321), for what WordPress makes with md5() and wp_hash(); by itself
 * it protects nothing. Not libcrypto's: where a system allows only approved
 * algorithms that one fails, and a slot without a digest would be taken for
 * another. Pure.
 */
#define MD5_LEN 16

struct md5 {
	uint32_t state[4];
	uint64_t bytes;
	unsigned char block[64];
};

void md5_init(struct md5 *m);
void md5_put(struct md5 *m, struct slice s);
/* The digest; `m` is not to be used on. */
void md5_end(struct md5 *m, unsigned char out[MD5_LEN]);

/* HMAC-MD5 (RFC 2104) of the parts one after the other. */
void md5_hmac(struct slice key, const struct slice *parts, size_t n,
    unsigned char out[MD5_LEN]);

#endif
