#ifndef TESTS_PHP_PEER_H
#define TESTS_PHP_PEER_H

#include <sys/types.h>

#include "base/buf.h"

/*
 * A php-fpm in another process that says, connection by connection, what a
 * test tells it to, and notes which entries it was asked for. The real peer is
 * in the integration tests.
 *
 * A script is of lines: '>' begins a frame, 'E' is END_REQUEST, 'Z' waits for
 * ever; it ends in closing the connection. "\f" parts those of connections.
 */
struct php_peer {
	char dir[32], path[64], address[80];
	int notes;
	pid_t pid;
	char asked[1000];
};

void php_peer_open(struct php_peer *p, const char *scripts);
/* The entries of each connection, "0,1,2;"; ends the peer. */
const char *php_peer_asked(struct php_peer *p);
void php_peer_close(struct php_peer *p);

#define HELLO ">{\"frame\":\"hello\",\"mode\":\"hook\"}\n"
#define BEGIN(i) ">{\"frame\":\"begin\",\"i\":" i "}\n"
#define ANSWER(i, fields)                                                      \
	">{\"frame\":\"answer\",\"i\":" i ",\"ok\":true" fields "}\n"
#define DONE(i) BEGIN(i) ANSWER(i, ",\"email\":\"a" i "\"")
#define BROKE(i)                                                               \
	BEGIN(i)                                                               \
	">{\"frame\":\"broke\",\"i\":" i ",\"msg\":\"PHP Fatal error x\"}\n"
#define END ">{\"frame\":\"end\"}\nE\n"

#endif
