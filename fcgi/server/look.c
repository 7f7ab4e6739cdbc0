#include "server/look.h"

#include <errno.h>
#include <sys/socket.h>

enum frame_verdict
look_at(int fd, char *room, struct frame *out)
{
	ssize_t n = recv(fd, room, FRAME_LOOK_MAX, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return FRAME_MORE;
	if (n <= 0)
		return FRAME_BAD;
	return frame_scan(slice_mem(room, (size_t)n), out);
}

bool
look_refuse(int fd, uint16_t id)
{
	unsigned char text[FRAME_REFUSAL_MAX];
	size_t n;

	n = frame_refusal(id, "431 Request Header Fields Too Large", text);
	/* A fresh socket's buffer always has room for this. */
	return send(fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
}
