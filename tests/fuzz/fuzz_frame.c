/*
 * FastCGI requests: a verdict once given holds for longer input, and what is
 * called whole libfcgi reads without waiting for more.
 */
#include "server/frame.h"
#include "server/request.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A read that has to wait fails after so long, and with it the parse. */
#define WAIT_MS 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
let_libfcgi_parse(struct slice bytes, const struct frame *frame)
{
	struct err err = ERR_INIT;
	struct request *r;
	int ends[2], left;

	if (request_library_begin(&err) != RC_OK ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ||
	    send(ends[0], bytes.p, bytes.n, MSG_DONTWAIT) != (ssize_t)bytes.n)
		abort();
	r = request_new();
	if (request_begin(r, ends[1], frame, WAIT_MS) != RC_OK)
		abort();
	if (request_param(r, "FCGI_ROLE").n == 0)
		abort();
	left = request_end(r);
	if (left >= 0)
		close(left);
	request_free(r);
	close(ends[0]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_mem((const char *)data, size), part = all;
	struct frame whole, cut;
	enum frame_verdict verdict;

	/* Longer input could not lie in a socket at once. */
	if (size > FRAME_LOOK_MAX)
		return 0;
	verdict = frame_scan(all, &whole);
	if (size > 0)
		part.n = data[size - 1] * size / 256;
	switch (frame_scan(part, &cut)) {
	case FRAME_MORE:
		break;
	case FRAME_WHOLE:
		if (verdict != FRAME_WHOLE || cut.id != whole.id)
			abort();
		break;
	case FRAME_TOO_LARGE:
	case FRAME_BAD:
		if (verdict == FRAME_WHOLE || verdict == FRAME_MORE)
			abort();
		break;
	}
	if (verdict == FRAME_WHOLE && whole.n > size)
		abort();
	if (verdict == FRAME_WHOLE)
		let_libfcgi_parse(slice_mem(all.p, whole.n), &whole);
	return 0;
}
