#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"

/* Where requests come in. */
struct listener {
	int fd;
	char *path; /* unix socket we made and remove at close; or NULL */
	dev_t dev;
	ino_t ino;
	struct timespec changed; /* inode numbers come again, times do not */
};
#define LISTENER_INIT                                                          \
	{                                                                      \
		.fd = -1                                                       \
	}

struct listener_opts {
	const char *mode;  /* of a unix socket, octal ("0660"); NULL: 0660 */
	const char *owner; /* "user", "user:group" or ":group"; NULL: as is */
};

/*
 * listener_open - bind and listen at "unix:PATH", "HOST:PORT" or
 * "[V6]:PORT". A unix socket in the way is removed if nobody answers on it.
 * RC_REJECT: the words say why. The descriptor is non-blocking.
 */
MUSTUSE enum rc listener_open(const char *spec,
    const struct listener_opts *opts, struct listener *out, struct err *err);
/*
 * listener_inherit - the socket we were started with: systemd's (LISTEN_FDS)
 * or the one on descriptor 0 (spawn-fcgi). RC_NONE: there is none.
 */
MUSTUSE enum rc listener_inherit(struct listener *out, struct err *err);
/* Is descriptor `fd` a listening socket? */
bool listener_is_socket(int fd);
/* Close, and remove the unix socket that we made, if it is still ours. */
void listener_close(struct listener *l);

#endif
