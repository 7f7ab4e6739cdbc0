#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include "base/err.h"
#include "server/options.h"

/*
 * The daemon's life: read the configuration, start things in order, wait for
 * signals, stop them in reverse. Runs on the main thread, before any other.
 */

/* Configuration and database of every site; says what it found on stdout. */
MUSTUSE enum rc daemon_check(const struct options *o, struct err *err);
/* From start to stop. RC_OK: asked to stop, and did. */
MUSTUSE enum rc daemon_run(const struct options *o, struct err *err);
/* The exit status for what came back: 0, 69, 70 or 78. */
int daemon_exit_status(enum rc rc);

#endif
