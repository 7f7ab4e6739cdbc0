#include "server/acceptor.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/xalloc.h"

/* glibc shows it under _GNU_SOURCE alone, which would change strerror_r(). */
int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);

/* Events taken by one epoll_wait(). */
#define EVENTS_MAX 64
/* Connections waited for at once; past it the oldest is closed. nginx sends
 * whole requests, so in health there are none. */
#define CONNS_MAX 1024
/* Connections accepted before other events get their turn. */
#define ACCEPT_BURST 64
/* Out of descriptors: leave the backlog alone for so long. */
#define ACCEPT_PAUSE_MS 100
/* Time and bytes a client gets to finish a request that is answered. */
#define LINGER_MS 2000
#define LINGER_BYTES (4u * 1024 * 1024)

/* A connection being waited for. */
struct conn {
	int fd;
	mono_ms deadline;
	size_t drained; /* lingering: bytes thrown away */
	TAILQ_ENTRY(conn) link;
};
TAILQ_HEAD(conn_list, conn);

struct acceptor {
	struct acceptor_opts opts;
	pthread_t thread;
	bool joined;
	int epoll_fd, event_fd;
	_Atomic uint32_t timeout_ms;
	/* The acceptor thread's own. Each list has one time-out, so it is in
	 * the order of deadlines, but for the moment after a reload. */
	struct conn_list waiting, lingering;
	size_t nwaiting, nlingering;
	mono_ms accept_again; /* 0: accepting */
	bool full_logged;
	char look[FRAME_LOOK_MAX];

	pthread_mutex_t lock;    /* guards the two below */
	struct conn_list handed; /* from acceptor_linger() */
	bool stopping;
};

/* What an epoll event is about, beside struct conn. */
static char tag_listener, tag_event;

static bool
watch(struct acceptor *a, int fd, uint32_t events, void *what)
{
	struct epoll_event ev = { .events = events, .data.ptr = what };

	return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void
conn_close(struct conn *c)
{
	/* Closing takes the descriptor out of the epoll set as well. */
	close(c->fd);
	free(c);
}

static void
drop_waiting(struct acceptor *a, struct conn *c)
{
	TAILQ_REMOVE(&a->waiting, c, link);
	a->nwaiting--;
	conn_close(c);
}

static void
drop_lingering(struct acceptor *a, struct conn *c)
{
	TAILQ_REMOVE(&a->lingering, c, link);
	a->nlingering--;
	conn_close(c);
}

/* ---- lingering ---- */

/* Throw away what came; false: nothing more will, or enough is enough. */
static bool
linger_read(struct acceptor *a, struct conn *c)
{
	ssize_t n;

	for (;;) {
		n = recv(c->fd, a->look, sizeof(a->look), MSG_DONTWAIT);
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
linger_begin(struct acceptor *a, struct conn *c)
{
	c->drained = 0;
	c->deadline = clock_mono(a->opts.clock) + LINGER_MS;
	TAILQ_INSERT_TAIL(&a->lingering, c, link);
	a->nlingering++;
	/* The low bit tells the two kinds of connection apart. */
	if (shutdown(c->fd, SHUT_WR) != 0 || !linger_read(a, c) ||
	    !watch(a, c->fd, EPOLLIN | EPOLLRDHUP, (char *)c + 1))
		drop_lingering(a, c);
}

static void
linger_take_handed(struct acceptor *a)
{
	struct conn_list taken = TAILQ_HEAD_INITIALIZER(taken);
	struct conn *c;

	pthread_mutex_lock(&a->lock);
	TAILQ_CONCAT(&taken, &a->handed, link);
	pthread_mutex_unlock(&a->lock);
	while ((c = TAILQ_FIRST(&taken))) {
		TAILQ_REMOVE(&taken, c, link);
		linger_begin(a, c);
	}
}

static void
refuse(struct acceptor *a, int fd, uint16_t id)
{
	unsigned char text[FRAME_REFUSAL_MAX];
	struct conn *c;
	size_t n;

	n = frame_refusal(id, "431 Request Header Fields Too Large", text);
	/* A fresh socket's buffer always has room for this. */
	if (send(fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	linger_begin(a, c);
}

/* ---- requests ---- */

/*
 * Look at a connection without taking anything from it. True: it has found
 * its end here (handed on, refused or closed); false: wait for more.
 */
static bool
conn_look(struct acceptor *a, int fd, bool watched)
{
	struct work w = { .fd = fd };
	enum frame_verdict verdict;
	ssize_t n;

	n = recv(fd, a->look, sizeof(a->look), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	verdict = n <= 0 ? FRAME_BAD
			 : frame_scan(slice_mem(a->look, (size_t)n), &w.frame);
	if (verdict == FRAME_MORE)
		return false;
	if (watched)
		(void)epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	if (verdict == FRAME_WHOLE)
		work_push(a->opts.work, &w);
	else if (verdict == FRAME_TOO_LARGE)
		refuse(a, fd, w.frame.id);
	else
		close(fd);
	return true;
}

static void
conn_wait(struct acceptor *a, int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->fd = fd;
	c->deadline = clock_mono(a->opts.clock) + atomic_load(&a->timeout_ms);
	TAILQ_INSERT_TAIL(&a->waiting, c, link);
	a->nwaiting++;
	/* Edge-triggered: one event for each arrival, since the bytes stay in
	 * the socket until a server thread reads them. Bytes that came since
	 * the look make an event at once. */
	if (!watch(a, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, c))
		drop_waiting(a, c);
}

static void
conn_event(struct acceptor *a, struct conn *c, uint32_t events)
{
	if (conn_look(a, c->fd, true)) {
		TAILQ_REMOVE(&a->waiting, c, link);
		a->nwaiting--;
		free(c);
	} else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		drop_waiting(a, c);
	}
}

/* Out of descriptors or memory: the listener stays readable, so look away. */
static void
accept_pause(struct acceptor *a, int code)
{
	(void)epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, a->opts.listen_fd, NULL);
	a->accept_again = clock_mono(a->opts.clock) + ACCEPT_PAUSE_MS;
	if (!a->full_logged)
		log_event(LOG_ERR, "server.accept_failed",
		    LOG_S("error", strerror(code)));
	a->full_logged = true;
}

/* False: the backlog is empty or must be left alone. */
static bool
accept_one(struct acceptor *a)
{
	int fd = accept4(a->opts.listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0) {
		a->full_logged = false;
		if (!conn_look(a, fd, false))
			conn_wait(a, fd);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
	    errno == ENOMEM)
		accept_pause(a, errno);
	return errno == ECONNABORTED || errno == EINTR;
}

static void
accept_burst(struct acceptor *a)
{
	for (int i = 0; i < ACCEPT_BURST && accept_one(a); i++)
		;
}

/* ---- the thread ---- */

static bool
dispatch(struct acceptor *a, const struct epoll_event *ev)
{
	uintptr_t what = (uintptr_t)ev->data.ptr;
	struct conn *c;
	uint64_t drained;
	bool go_on = true;

	if (ev->data.ptr == &tag_listener) {
		accept_burst(a);
	} else if (ev->data.ptr == &tag_event) {
		(void)!read(a->event_fd, &drained, sizeof(drained));
		pthread_mutex_lock(&a->lock);
		go_on = !a->stopping;
		pthread_mutex_unlock(&a->lock);
	} else if (what & 1) {
		c = (struct conn *)(void *)((char *)ev->data.ptr - 1);
		if (!linger_read(a, c))
			drop_lingering(a, c);
	} else {
		conn_event(a, ev->data.ptr, ev->events);
	}
	return go_on;
}

/* Close what is over its time or its number; only between rounds of events,
 * so that no event is about a connection that is gone. */
static void
expire(struct acceptor *a, mono_ms now)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&a->waiting)) &&
	       (c->deadline <= now || a->nwaiting > CONNS_MAX))
		drop_waiting(a, c);
	while ((c = TAILQ_FIRST(&a->lingering)) &&
	       (c->deadline <= now || a->nlingering > CONNS_MAX))
		drop_lingering(a, c);
	if (a->accept_again && a->accept_again <= now &&
	    watch(a, a->opts.listen_fd, EPOLLIN, &tag_listener))
		a->accept_again = 0;
}

static int
wait_ms(const struct acceptor *a, mono_ms now)
{
	const struct conn *firsts[] = { TAILQ_FIRST(&a->waiting),
		TAILQ_FIRST(&a->lingering) };
	mono_ms next = INT64_MAX;

	for (size_t i = 0; i < NELEMS(firsts); i++)
		if (firsts[i] && firsts[i]->deadline < next)
			next = firsts[i]->deadline;
	if (a->accept_again && a->accept_again < next)
		next = a->accept_again;
	if (next == INT64_MAX)
		return -1;
	if (next <= now)
		return 0;
	return next - now < 60000 ? (int)(next - now) : 60000;
}

static void *
acceptor_main(void *arg)
{
	struct acceptor *a = arg;
	struct epoll_event events[EVENTS_MAX];
	bool go_on = true;
	mono_ms now;
	int n;

	while (go_on) {
		now = clock_mono(a->opts.clock);
		expire(a, now);
		n = epoll_wait(
		    a->epoll_fd, events, EVENTS_MAX, wait_ms(a, now));
		for (int i = 0; i < n; i++)
			go_on = dispatch(a, &events[i]) && go_on;
		/* Not in dispatch(): it may free what an event is about. */
		linger_take_handed(a);
	}
	while (!a->accept_again && accept_one(a))
		;
	expire(a, INT64_MAX);
	return NULL;
}

enum rc
acceptor_start(
    const struct acceptor_opts *opts, struct acceptor **out, struct err *err)
{
	struct acceptor *a = xcalloc(1, sizeof(*a));
	int code;

	a->opts = *opts;
	atomic_init(&a->timeout_ms, opts->timeout_ms);
	a->joined = true;
	TAILQ_INIT(&a->waiting);
	TAILQ_INIT(&a->lingering);
	TAILQ_INIT(&a->handed);
	pthread_mutex_init(&a->lock, NULL);
	a->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (a->event_fd < 0 || a->epoll_fd < 0 ||
	    !watch(a, a->event_fd, EPOLLIN, &tag_event) ||
	    !watch(a, opts->listen_fd, EPOLLIN, &tag_listener)) {
		code = errno;
		acceptor_free(a);
		return err_set_code(err, RC_FATAL, code,
		    "cannot poll the listening socket: %s", strerror(code));
	}
	code = pthread_create(&a->thread, NULL, acceptor_main, a);
	if (code != 0) {
		acceptor_free(a);
		return err_set_code(err, RC_FATAL, code,
		    "cannot start the acceptor: %s", strerror(code));
	}
	a->joined = false;
	*out = a;
	return RC_OK;
}

static void
poke(struct acceptor *a)
{
	const uint64_t one = 1;

	(void)!write(a->event_fd, &one, sizeof(one));
}

void
acceptor_set_timeout(struct acceptor *a, uint32_t timeout_ms)
{
	atomic_store(&a->timeout_ms, timeout_ms);
}

void
acceptor_linger(struct acceptor *a, int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	bool late;

	c->fd = fd;
	pthread_mutex_lock(&a->lock);
	late = a->stopping;
	if (!late)
		TAILQ_INSERT_TAIL(&a->handed, c, link);
	pthread_mutex_unlock(&a->lock);
	if (late)
		conn_close(c);
	else
		poke(a);
}

void
acceptor_stop(struct acceptor *a)
{
	pthread_mutex_lock(&a->lock);
	a->stopping = true;
	pthread_mutex_unlock(&a->lock);
	if (a->joined)
		return;
	poke(a);
	pthread_join(a->thread, NULL);
	a->joined = true;
}

void
acceptor_free(struct acceptor *a)
{
	struct conn *c;

	if (!a)
		return;
	acceptor_stop(a);
	while ((c = TAILQ_FIRST(&a->handed))) {
		TAILQ_REMOVE(&a->handed, c, link);
		conn_close(c);
	}
	if (a->epoll_fd >= 0)
		close(a->epoll_fd);
	if (a->event_fd >= 0)
		close(a->event_fd);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
