#ifndef SERVER_BACKGROUND_H
#define SERVER_BACKGROUND_H

#include "base/err.h"

/*
 * background_enter - fork; the parent waits until the child has started, or
 * has failed, and ends with that exit status. Returns in the child, with the
 * descriptor for background_done(). Before any thread.
 */
MUSTUSE enum rc background_enter(int *fd, struct err *err);
/* Tell the parent (fd < 0: there is none) and close. */
void background_done(int fd, int exit_status);

#endif
