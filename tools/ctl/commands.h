#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "base/cli.h"
#include "ctl.h"

#define CTL_CONFIG_DEFAULT "/etc/wp-cron-fcgi.conf"

/*
 * commands_parse - find the command and read its options; nothing is opened.
 * `words` has room for argc texts and is lent to c->args. RC_REJECT: what is
 * wrong, for exit 64.
 */
MUSTUSE enum rc commands_parse(struct ctl *c, int argc, const char *const *argv,
    const char **words, struct err *err);

#endif
