#ifndef FORMATS_DB_HOST_H
#define FORMATS_DB_HOST_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/*
 * DB_HOST as WordPress takes it apart (wpdb::parse_db_host): host, host:port,
 * host:/socket, :/socket, [v6], [v6]:port, a bare v6, each also with :/socket.
 */
struct db_host {
	char host[256];   /* "" where there is none; v6 without brackets */
	char socket[108]; /* "" where there is none */
	uint16_t port;    /* 0: the default */
};

/* RC_REJECT: WordPress could not read it either, or a part is too long. */
MUSTUSE enum rc db_host_parse(
    struct slice text, struct db_host *out, struct err *err);

#endif
