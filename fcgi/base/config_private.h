#ifndef BASE_CONFIG_PRIVATE_H
#define BASE_CONFIG_PRIVATE_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/config_ini.h"
#include "base/config_options.h"

/* Hooks that have a policy when the file says nothing. */
#define CONFIG_NBUILTIN 1

/* What config.h keeps from its readers. */
struct config_private {
	struct arena arena; /* everything but the two structs themselves */
	atomic_uint refs;
	struct policy_section *policies; /* in the file's order */
	size_t npolicies;
	/* [policy or none][built-in one or none][executor]
	 * [site's series_after_crash] */
	struct policy (*merged)[CONFIG_NBUILTIN + 1][EXECUTOR_NKINDS][2];
};

/* config_fail - RC_REJECT with "FILE:LINE: " in front. */
enum rc config_fail(const struct config *c, unsigned line, struct err *err,
    const char *fmt, ...) PRINTF_LIKE(4, 5);

/*
 * config_fill - every entry of a section into the struct at `base`. The bit
 * of each option that was set is added to *set.
 */
MUSTUSE enum rc config_fill(struct config *c, enum option_section section,
    const struct config_ini_section *from, void *base, uint64_t *set,
    struct err *err);

/* RC_REJECT: there is no such site; the words name the nearest. */
MUSTUSE enum rc config_check_site(
    const struct config *c, const char *name, unsigned line, struct err *err);

/* config_routes_build - the file's [route] sections, then the built-in ones. */
MUSTUSE enum rc config_routes_build(struct config *c,
    const struct config_ini_section *sections, struct err *err);
/* config_policies_build - the [policy] sections, merged over the defaults. */
MUSTUSE enum rc config_policies_build(struct config *c,
    const struct config_ini_section *sections, struct err *err);

/* config_integrations_build - [integration SITE/ID] and [fields SITE/ID]. */
MUSTUSE enum rc config_integrations_build(struct config *c,
    const struct config_ini_section *sections, struct err *err);

/* config_mail_build - [smtp NAME] and [tasks SITE/NAME]; sites are there. */
MUSTUSE enum rc config_mail_build(struct config *c,
    const struct config_ini_section *sections, struct err *err);

#endif
