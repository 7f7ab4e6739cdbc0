#ifndef TESTS_SERVER_CLIENT_H
#define TESTS_SERVER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* What comes at all comes within this, also on a busy machine. */
#define PATIENCE_MS 15000

/* A FastCGI client that can misbehave: bytes are built, then sent as told. */

void client_put_begin(struct buf *b, uint16_t id);
/* One name and value in a record of its own stream, see client_put_params(). */
void client_put_pair(struct buf *pairs, const char *name, const char *value);
/* `pairs` in records of at most `chunk` bytes, and the empty one. */
void client_put_params(
    struct buf *b, uint16_t id, const struct buf *pairs, size_t chunk);
/* A body in records of at most 65,528 bytes; `end`: and the empty one. */
void client_put_stdin(
    struct buf *b, uint16_t id, const char *body, size_t n, bool end);

/* A request as most tests want it. Unset: GET /wp-cron.php. */
struct client_request {
	const char *method, *path, *query, *root, *site, *authorization;
	const char *content_type, *content_length;
	const char *uri, *host, *server_name, *cookie;
	const char *body;
	size_t nextra; /* more params: X_0 ... */
	size_t chunk;  /* of the params stream; 0: whole */
};
void client_build(struct buf *b, const struct client_request *q);

/* -1: nobody listens. For threads of a test, which must not assert. */
int client_try_connect(const char *path);
/* Connected, or the test fails. */
int client_connect(const char *path);
/* All bytes, or false when the other side hung up. */
bool client_send(int fd, const void *p, size_t n);

/* What came back until the connection ended. */
struct client_reply {
	char text[8192]; /* STDOUT stream: headers and body */
	size_t n;
	bool ended;     /* an END_REQUEST came */
	bool timed_out; /* the connection did not end in time */
};
void client_read(int fd, int timeout_ms, struct client_reply *out);
/* Connect, send, read, close. */
void client_ask(const char *path, const struct client_request *q,
    int timeout_ms, struct client_reply *out);

#endif
