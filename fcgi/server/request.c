#include "server/request.h"

#include <errno.h>
#include <fcgiapp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/xalloc.h"

/*
 * What libfcgi takes in its first read, less the longest padding. A request
 * within it left nothing in the socket, so that closing sends no reset.
 */
#define ONE_READ (8192 - 255)
/* Status, fixed headers and one extra header. */
#define REPLY_HEAD_MAX 1024

struct request {
	FCGX_Request fcgx; /* its address must not change while it runs */
	bool begun;
	bool unread; /* the client has sent, or will send, more than we read */
};

enum rc
request_library_begin(struct err *err)
{
	if (FCGX_Init() != 0)
		return err_set(err, RC_FATAL, "libfcgi does not start");
	/* Its handlers would end or confuse the process; ours wait in main. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGUSR1, SIG_DFL);
	return RC_OK;
}

struct request *
request_new(void)
{
	struct request *r = xcalloc(1, sizeof(*r));

	FCGX_InitRequest(&r->fcgx, -1, 0);
	return r;
}

void
request_free(struct request *r)
{
	int fd;

	if (!r)
		return;
	fd = r->begun ? request_end(r) : -1;
	if (fd >= 0)
		close(fd);
	free(r);
}

static void
set_timeouts(int fd, uint32_t timeout_ms)
{
	const struct timeval tv = {
		.tv_sec = timeout_ms / 1000,
		.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000,
	};

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

enum rc
request_begin(
    struct request *r, int fd, const struct frame *frame, uint32_t timeout_ms)
{
	set_timeouts(fd, timeout_ms);
	FCGX_InitRequest(&r->fcgx, -1, 0);
	r->fcgx.ipcFd = fd;
	/* Kept, or FCGX_Accept_r() would begin by closing it. */
	r->fcgx.keepConnection = 1;
	/* libfcgi must not wait for the client to close too. */
	r->fcgx.detached = 1;
	r->unread = frame->body_left || frame->n > ONE_READ;
	/* On an error it has closed the connection and found no listener. */
	if (FCGX_Accept_r(&r->fcgx) != 0)
		return RC_REJECT;
	r->begun = true;
	return RC_OK;
}

struct slice
request_param(const struct request *r, const char *name)
{
	const char *value = FCGX_GetParam(name, r->fcgx.envp);

	return value ? slice_str(value) : SLICE_NONE;
}

void
request_put(struct request *r, struct slice s)
{
	(void)FCGX_PutStr(s.p, (int)s.n, r->fcgx.out);
}

int
request_end(struct request *r)
{
	int fd;

	r->begun = false;
	r->fcgx.keepConnection = r->unread;
	r->fcgx.detached = 1;
	FCGX_Finish_r(&r->fcgx);
	fd = r->fcgx.ipcFd;
	r->fcgx.ipcFd = -1;
	return fd;
}

void
request_reply(struct request *r, const struct reply *reply, bool head)
{
	struct buf b = BUF_INIT(REPLY_HEAD_MAX);

	buf_printf(&b,
	    "Status: %s\r\nCache-Control: no-store\r\n%s"
	    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
	    reply->status, reply->extra ? reply->extra : "",
	    reply->content_type, reply->body.n);
	request_put(r, buf_slice(&b));
	if (!head)
		request_put(r, reply->body);
	buf_clear(&b);
}
