#ifndef FORMATS_WEBHOOK_SIGNATURE_H
#define FORMATS_WEBHOOK_SIGNATURE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* "v1," and base64 of 32 bytes. */
#define WEBHOOK_SIGNATURE_LEN 47

/*
 * webhook_signature_sign - the value of the header webhook-signature as
 * Standard Webhooks has it: HMAC-SHA-256 over "id.timestamp.body". `secret` is
 * base64, with or without "whsec_" before it; RC_REJECT when it is not (the
 * words never hold it). `timestamp` is Unix time.
 */
MUSTUSE enum rc webhook_signature_sign(struct slice secret, struct slice id,
    int64_t timestamp, struct slice body, char out[WEBHOOK_SIGNATURE_LEN + 1],
    struct err *err);

#endif
