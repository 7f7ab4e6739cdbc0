#ifndef FORMATS_SEAL_H
#define FORMATS_SEAL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * AES-256-GCM: nonce (12 bytes), tag (16), ciphertext, in this order, as
 * php/mail.php writes it. `context` is authenticated and not stored
 * ("mail JOB ORDINAL CHUNK"), so that chunks cannot change places.
 */
#define SEAL_KEY_LEN 32
MUSTUSE enum rc seal(struct buf *out, struct slice plain, struct slice context,
    const unsigned char key[SEAL_KEY_LEN], struct err *err);
/* RC_REJECT: another key, or the bytes were changed. */
MUSTUSE enum rc unseal(struct buf *out, struct slice sealed,
    struct slice context, const unsigned char key[SEAL_KEY_LEN],
    struct err *err);
/* 64 hexadecimal digits of a key file; RC_REJECT says what is wrong. */
MUSTUSE enum rc seal_key_read(
    struct slice text, unsigned char key[SEAL_KEY_LEN], struct err *err);

#endif
