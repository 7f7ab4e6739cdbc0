#ifndef SERVER_LOOK_H
#define SERVER_LOOK_H

#include "server/frame.h"

/*
 * look_at - judge the request that lies in a connection, and take nothing
 * from it. `room` has FRAME_LOOK_MAX bytes. Does not block; FRAME_BAD as well
 * when the client is gone.
 */
enum frame_verdict look_at(int fd, char *room, struct frame *out);
/* look_refuse - answer 431. False: the client is gone. Does not block. */
MUSTUSE bool look_refuse(int fd, uint16_t id);

#endif
