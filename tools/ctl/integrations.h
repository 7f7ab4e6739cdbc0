#ifndef CTL_INTEGRATIONS_H
#define CTL_INTEGRATIONS_H

#include "contacts.h"
#include "engine/contact_internal.h"
#include "executors/php.h"

/* An integration's provider, within the shares of its limits, for commands
 * that change nothing there. */
struct integration_esp {
	struct contact_run run;
	struct newspack_integration of;
	struct contact_account account;
	struct esp *esp;
};
/* RC_REJECT: something it needs is not set, or only PHP knows it. In every
 * case integration_close(). `out` must stay where it is. */
MUSTUSE enum rc integration_open(struct contacts_view *v,
    const struct newspack_integration *i, struct integration_esp *out,
    struct err *err);
void integration_close(struct integration_esp *x);
/* A failure of the provider's, with words if it came without. */
enum rc integration_rc(
    const struct integration_esp *x, enum rc rc, struct err *err);

/* The blog's PHP; RC_REJECT: there is no php_fpm. */
MUSTUSE enum rc integration_php(const struct contacts_view *v,
    struct php_executor_opts *out, struct err *err);
#define INTEGRATION_PHP_MS 60000

#endif
