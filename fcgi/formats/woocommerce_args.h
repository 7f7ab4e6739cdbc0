#ifndef FORMATS_WOOCOMMERCE_ARGS_H
#define FORMATS_WOOCOMMERCE_ARGS_H

#include "base/slice.h"

/* The hook of WooCommerce's deferred mails, an action each. */
#define WOOCOMMERCE_MAIL_HOOK "woocommerce_send_queued_transactional_email"

/*
 * woocommerce_args_wrong - why PHP would do nothing with an action of that
 * hook, in words, and call it complete all the same; NULL: it is PHP's. The
 * arguments are ["hook", [its arguments]]; what their own shape is, and what
 * follows them, is no matter. Texts that are no JSON are PHP's, too: it fails
 * them.
 */
const char *woocommerce_args_wrong(struct slice args);

#endif
