#include "server/intake.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "server/look.h"

/* glibc shows it under _GNU_SOURCE alone, which would change strerror_r(). */
int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);

/* Out of descriptors: leave the backlog alone for so long. */
#define ACCEPT_PAUSE_MS 100
/* At a stop, connections of the backlog that each thread still takes. */
#define LAST_MAX 256

/* Connections in a row after which another thread is asked to help. */
#define STREAK 64

struct intake {
	struct intake_opts opts;
	bool leads;
	unsigned streak; /* connections found without a pause */
	unsigned nlast;
	char room[FRAME_LOOK_MAX];
};

/* The listener stays readable, so without the pause this would spin. */
static void
accept_pause(int code)
{
	const struct timespec ts = { .tv_nsec = ACCEPT_PAUSE_MS * 1000000L };

	log_event(
	    LOG_ERR, "server.accept_failed", LOG_S("error", ERRNO_TEXT(code)));
	(void)nanosleep(&ts, NULL);
}

/* A connection, or -1: the backlog is empty or must be left alone. */
static int
accept_one(const struct intake *in)
{
	int fd;

	do
		fd = accept4(in->opts.listen_fd, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && (errno == ECONNABORTED || errno == EINTR));
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			  errno == ENOMEM))
		accept_pause(errno);
	return fd;
}

/* True: the request is whole. Else the connection has gone elsewhere. */
static bool
admit(struct intake *in, int fd, struct work *out)
{
	*out = (struct work){ .fd = fd };
	switch (look_at(fd, in->room, &out->frame)) {
	case FRAME_WHOLE:
		return true;
	case FRAME_MORE:
		lobby_wait(in->opts.lobby, fd);
		return false;
	case FRAME_TOO_LARGE:
		if (look_refuse(fd, out->frame.id)) {
			lobby_linger(in->opts.lobby, fd);
			return false;
		}
		break;
	case FRAME_BAD:
		break;
	}
	close(fd);
	return false;
}

/* Take one from the listener, if there is one; true: it is whole. */
static bool
lead(struct intake *in, struct work *out, bool *found)
{
	int fd = accept_one(in);

	*found = fd >= 0;
	return fd >= 0 && admit(in, fd, out);
}

/* More came than this many threads can keep up with, or less than they need. */
static void
count_seats(struct intake *in, bool found)
{
	struct intake_seats *seats = in->opts.seats;
	unsigned n = atomic_load(&seats->n);
	const uint64_t one = 1;

	in->streak = found ? in->streak + 1 : 0;
	if (in->streak >= STREAK && n < in->opts.max_leaders) {
		in->streak = 0;
		if (atomic_compare_exchange_strong(&seats->n, &n, n + 1))
			(void)!write(seats->fd, &one, sizeof(one));
	} else if (!found && n > 1 &&
		   atomic_compare_exchange_strong(&seats->n, &n, n - 1)) {
		in->leads = false;
	}
}

/* Those who do not lead wait for a seat instead of a connection. */
static void
wait_for_work(struct intake *in)
{
	struct pollfd fds[] = {
		{ .fd = work_queue_fd(in->opts.work), .events = POLLIN },
		{ .fd = in->leads ? in->opts.listen_fd : in->opts.seats->fd,
		    .events = POLLIN },
	};
	uint64_t seat;

	(void)poll(fds, NELEMS(fds), -1);
	if (!in->leads && (fds[1].revents & POLLIN))
		in->leads = read(in->opts.seats->fd, &seat, sizeof(seat)) ==
			    (ssize_t)sizeof(seat);
}

/* The end: every thread helps to empty the backlog. */
static bool
take_last(struct intake *in, struct work *out)
{
	bool found = true;

	while (found && in->nlast++ < LAST_MAX)
		if (lead(in, out, &found))
			return true;
	return false;
}

bool
intake_next(struct intake *in, struct work *out)
{
	bool closed, found;

	for (;;) {
		closed = work_is_closed(in->opts.work);
		if (work_take(in->opts.work, out))
			return true;
		if (closed)
			return take_last(in, out);
		if (!in->leads) {
			wait_for_work(in);
		} else if (lead(in, out, &found)) {
			count_seats(in, true);
			return true;
		} else if (!found) {
			count_seats(in, false);
			wait_for_work(in);
		}
	}
}

enum rc
intake_seats_init(struct intake_seats *s, struct err *err)
{
	int code;

	atomic_init(&s->n, 1);
	s->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	code = errno;
	if (s->fd < 0)
		return err_set_code(
		    err, RC_FATAL, code, "eventfd: %s", ERRNO_TEXT(code));
	return RC_OK;
}

void
intake_seats_clear(struct intake_seats *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

struct intake *
intake_new(const struct intake_opts *opts)
{
	struct intake *in = xcalloc(1, sizeof(*in));

	in->opts = *opts;
	return in;
}

void
intake_free(struct intake *in)
{
	free(in);
}
