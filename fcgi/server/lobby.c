#include "server/lobby.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "base/xalloc.h"
#include "server/look.h"

/* Events taken by one epoll_wait(). */
#define EVENTS_MAX 64
/* Connections waited for at once; past it the oldest is closed. nginx sends
 * whole requests, so in health there are none. */
#define CONNS_MAX 1024
/* Time and bytes a client gets to finish a request that is answered. */
#define LINGER_MS 2000
#define LINGER_BYTES ((size_t)4 * 1024 * 1024)

/* A connection being waited for. */
struct conn {
	int fd;
	bool lingers; /* answered; else its request is not whole */
	mono_ms deadline;
	size_t drained; /* lingering: bytes thrown away */
	TAILQ_ENTRY(conn) link;
};
TAILQ_HEAD(conn_list, conn);

struct lobby {
	struct lobby_opts opts;
	pthread_t thread;
	bool joined;
	int epoll_fd, event_fd;
	_Atomic uint32_t timeout_ms;
	/* The thread's own. Each list has one time-out, so it is in
	 * the order of deadlines, but for the moment after a reload. */
	struct conn_list waiting, lingering;
	size_t nwaiting, nlingering;
	char room[FRAME_LOOK_MAX];

	pthread_mutex_t lock;    /* guards the two below */
	struct conn_list handed; /* from other threads */
	bool stopping;
};

/* `c` is NULL for the event descriptor. */
static bool
watch(struct lobby *l, int fd, uint32_t events, struct conn *c)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void
conn_close(struct conn *c)
{
	/* Closing takes the descriptor out of the epoll set as well. */
	close(c->fd);
	free(c);
}

static void
drop_waiting(struct lobby *l, struct conn *c)
{
	TAILQ_REMOVE(&l->waiting, c, link);
	l->nwaiting--;
	conn_close(c);
}

static void
drop_lingering(struct lobby *l, struct conn *c)
{
	TAILQ_REMOVE(&l->lingering, c, link);
	l->nlingering--;
	conn_close(c);
}

/* ---- lingering ---- */

/* Throw away what came; false: nothing more will, or enough is enough. */
static bool
linger_read(struct lobby *l, struct conn *c)
{
	ssize_t n;

	for (;;) {
		n = recv(c->fd, l->room, sizeof(l->room), MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
		c->drained += (size_t)n;
		if (c->drained > LINGER_BYTES)
			return false;
	}
}

static void
linger_begin(struct lobby *l, struct conn *c)
{
	c->deadline = clock_mono(l->opts.clock) + LINGER_MS;
	TAILQ_INSERT_TAIL(&l->lingering, c, link);
	l->nlingering++;
	if (shutdown(c->fd, SHUT_WR) != 0 || !linger_read(l, c) ||
	    !watch(l, c->fd, EPOLLIN | EPOLLRDHUP, c))
		drop_lingering(l, c);
}

/* ---- requests ---- */

static void
wait_begin(struct lobby *l, struct conn *c)
{
	c->deadline = clock_mono(l->opts.clock) + atomic_load(&l->timeout_ms);
	TAILQ_INSERT_TAIL(&l->waiting, c, link);
	l->nwaiting++;
	/* Edge-triggered: one event for each arrival, since the bytes stay in
	 * the socket until a server thread reads them. Bytes that came since
	 * the last look make an event at once. */
	if (!watch(l, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, c))
		drop_waiting(l, c);
}

/* Take a connection out of the waiting ones, but do not close it. */
static void
wait_end(struct lobby *l, struct conn *c)
{
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	TAILQ_REMOVE(&l->waiting, c, link);
	l->nwaiting--;
}

static void
wait_event(struct lobby *l, struct conn *c, uint32_t events)
{
	struct work w = { .fd = c->fd };

	switch (look_at(c->fd, l->room, &w.frame)) {
	case FRAME_WHOLE:
		wait_end(l, c);
		free(c);
		work_push(l->opts.work, &w);
		return;
	case FRAME_MORE:
		if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			drop_waiting(l, c);
		return;
	case FRAME_TOO_LARGE:
		if (!look_refuse(c->fd, w.frame.id))
			break;
		wait_end(l, c);
		c->lingers = true;
		linger_begin(l, c);
		return;
	case FRAME_BAD:
		break;
	}
	drop_waiting(l, c);
}

/* ---- the thread ---- */

/* False: it is time to stop. */
static bool
drain_event(struct lobby *l)
{
	uint64_t count;
	bool go_on;

	(void)!read(l->event_fd, &count, sizeof(count));
	pthread_mutex_lock(&l->lock);
	go_on = !l->stopping;
	pthread_mutex_unlock(&l->lock);
	return go_on;
}

static bool
dispatch(struct lobby *l, const struct epoll_event *ev)
{
	struct conn *c = ev->data.ptr;

	if (!c)
		return drain_event(l);
	if (!c->lingers)
		wait_event(l, c, ev->events);
	else if (!linger_read(l, c))
		drop_lingering(l, c);
	return true;
}

static void
take_handed(struct lobby *l)
{
	struct conn_list taken = TAILQ_HEAD_INITIALIZER(taken);
	struct conn *c;

	pthread_mutex_lock(&l->lock);
	TAILQ_CONCAT(&taken, &l->handed, link);
	pthread_mutex_unlock(&l->lock);
	while ((c = TAILQ_FIRST(&taken))) {
		TAILQ_REMOVE(&taken, c, link);
		if (c->lingers)
			linger_begin(l, c);
		else
			wait_begin(l, c);
	}
}

/* Close what is over its time or its number; only between rounds of events,
 * so that no event is about a connection that is gone. */
static void
expire(struct lobby *l, mono_ms now)
{
	struct conn *c;

	/* The analyser does not follow the head that TAILQ_REMOVE() moves. */
	/* NOLINTBEGIN(clang-analyzer-unix.Malloc) */
	while ((c = TAILQ_FIRST(&l->waiting)) &&
	       (c->deadline <= now || l->nwaiting > CONNS_MAX))
		drop_waiting(l, c);
	while ((c = TAILQ_FIRST(&l->lingering)) &&
	       (c->deadline <= now || l->nlingering > CONNS_MAX))
		drop_lingering(l, c);
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
}

static int
wait_ms(const struct lobby *l, mono_ms now)
{
	const struct conn *firsts[] = { TAILQ_FIRST(&l->waiting),
		TAILQ_FIRST(&l->lingering) };
	mono_ms next = INT64_MAX;

	for (size_t i = 0; i < NELEMS(firsts); i++)
		if (firsts[i] && firsts[i]->deadline < next)
			next = firsts[i]->deadline;
	if (next == INT64_MAX)
		return -1;
	if (next <= now)
		return 0;
	return next - now < 60000 ? (int)(next - now) : 60000;
}

static void *
lobby_main(void *arg)
{
	struct lobby *l = arg;
	struct epoll_event events[EVENTS_MAX];
	bool go_on = true;
	mono_ms now;
	int n;

	while (go_on) {
		now = clock_mono(l->opts.clock);
		expire(l, now);
		n = epoll_wait(
		    l->epoll_fd, events, EVENTS_MAX, wait_ms(l, now));
		for (int i = 0; i < n; i++)
			go_on = dispatch(l, &events[i]) && go_on;
		/* Not in dispatch(): it may free what an event is about. */
		take_handed(l);
	}
	expire(l, INT64_MAX);
	return NULL;
}

enum rc
lobby_start(const struct lobby_opts *opts, struct lobby **out, struct err *err)
{
	struct lobby *l = xcalloc(1, sizeof(*l));
	int code;

	l->opts = *opts;
	atomic_init(&l->timeout_ms, opts->timeout_ms);
	l->joined = true;
	TAILQ_INIT(&l->waiting);
	TAILQ_INIT(&l->lingering);
	TAILQ_INIT(&l->handed);
	pthread_mutex_init(&l->lock, NULL);
	l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->event_fd < 0 || l->epoll_fd < 0 ||
	    !watch(l, l->event_fd, EPOLLIN, NULL)) {
		code = errno;
		lobby_free(l);
		return err_set_code(
		    err, RC_FATAL, code, "cannot poll: %s", ERRNO_TEXT(code));
	}
	code = pthread_create(&l->thread, NULL, lobby_main, l);
	if (code != 0) {
		lobby_free(l);
		return err_set_code(err, RC_FATAL, code,
		    "cannot start the lobby: %s", ERRNO_TEXT(code));
	}
	l->joined = false;
	*out = l;
	return RC_OK;
}

static void
poke(struct lobby *l)
{
	const uint64_t one = 1;

	(void)!write(l->event_fd, &one, sizeof(one));
}

void
lobby_set_timeout(struct lobby *l, uint32_t timeout_ms)
{
	atomic_store(&l->timeout_ms, timeout_ms);
}

static void
hand(struct lobby *l, int fd, bool lingers)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	bool late;

	c->fd = fd;
	c->lingers = lingers;
	pthread_mutex_lock(&l->lock);
	late = l->stopping;
	if (!late)
		TAILQ_INSERT_TAIL(&l->handed, c, link);
	pthread_mutex_unlock(&l->lock);
	if (late)
		conn_close(c);
	else
		poke(l);
}

void
lobby_wait(struct lobby *l, int fd)
{
	hand(l, fd, false);
}

void
lobby_linger(struct lobby *l, int fd)
{
	hand(l, fd, true);
}

void
lobby_stop(struct lobby *l)
{
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_mutex_unlock(&l->lock);
	if (l->joined)
		return;
	poke(l);
	pthread_join(l->thread, NULL);
	l->joined = true;
}

void
lobby_free(struct lobby *l)
{
	struct conn *c;

	if (!l)
		return;
	lobby_stop(l);
	while ((c = TAILQ_FIRST(&l->handed))) {
		TAILQ_REMOVE(&l->handed, c, link);
		conn_close(c);
	}
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->event_fd >= 0)
		close(l->event_fd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
