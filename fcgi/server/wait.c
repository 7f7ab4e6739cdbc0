#include "server/wait.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/errno_text.h"
#include "base/xalloc.h"

/* The JSON of an answer: a few numbers. */
#define WAIT_BODY_MAX 512
#define RETRY_AFTER "Retry-After: 5\r\n"

struct waits {
	struct waits_opts opts;
	pthread_t thread;
	bool joined;
	int event_fd;

	pthread_mutex_t lock; /* guards all below, and opts.max */
	struct waiter *parked;
	size_t n;
	bool stopping;
};

static void
poke(struct waits *ws)
{
	const uint64_t one = 1;

	(void)!write(ws->event_fd, &one, sizeof(one));
}

static void
drain(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}

/* Take out of the list what is decided; the next deadline of the rest. */
static struct waiter *
take_decided(struct waits *ws, mono_ms now, mono_ms *next, bool *stopping)
{
	struct waiter **at, *w, *decided = NULL;

	*next = INT64_MAX;
	pthread_mutex_lock(&ws->lock);
	*stopping = ws->stopping;
	for (at = &ws->parked; (w = *at);) {
		w->rc = w->kind->check(ws->opts.engine, w);
		if (w->rc == RC_AGAIN && w->deadline > now && !*stopping) {
			if (w->deadline < *next)
				*next = w->deadline;
			at = &w->next;
			continue;
		}
		*at = w->next;
		ws->n--;
		w->next = decided;
		decided = w;
	}
	pthread_mutex_unlock(&ws->lock);
	return decided;
}

static void *
waits_main(void *arg)
{
	struct waits *ws = arg;
	struct pollfd fds[] = {
		{ .fd = ws->event_fd, .events = POLLIN },
		{ .fd = engine_progress_fd(ws->opts.engine), .events = POLLIN },
	};
	struct waiter *w, *following;
	mono_ms now, next = INT64_MAX;
	bool stopping = false;
	int ms;

	while (!stopping) {
		now = clock_mono(ws->opts.clock);
		ms = next == INT64_MAX ? -1
		     : next > now      ? (int)(next - now)
				       : 0;
		(void)poll(fds, NELEMS(fds), ms);
		for (size_t i = 0; i < NELEMS(fds); i++)
			if (fds[i].revents & POLLIN)
				drain(fds[i].fd);
		now = clock_mono(ws->opts.clock);
		for (w = take_decided(ws, now, &next, &stopping); w;
		     w = following) {
			following = w->next;
			work_push(ws->opts.work,
			    &(struct work){ .fd = -1, .waiter = w });
		}
	}
	return NULL;
}

enum rc
waits_start(const struct waits_opts *opts, struct waits **out, struct err *err)
{
	struct waits *ws = xcalloc(1, sizeof(*ws));
	int code;

	ws->opts = *opts;
	pthread_mutex_init(&ws->lock, NULL);
	ws->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	code = ws->event_fd < 0
		   ? errno
		   : pthread_create(&ws->thread, NULL, waits_main, ws);
	if (code != 0) {
		ws->joined = true;
		waits_free(ws);
		return err_set_code(err, RC_FATAL, code,
		    "cannot start the thread of waiters: %s", ERRNO_TEXT(code));
	}
	*out = ws;
	return RC_OK;
}

bool
waits_park(struct waits *ws, struct waiter *w)
{
	bool ok;

	pthread_mutex_lock(&ws->lock);
	ok = !ws->stopping && ws->n < ws->opts.max;
	if (ok) {
		w->next = ws->parked;
		ws->parked = w;
		ws->n++;
	}
	pthread_mutex_unlock(&ws->lock);
	if (ok)
		poke(ws);
	return ok;
}

void
waits_set_max(struct waits *ws, uint32_t max)
{
	pthread_mutex_lock(&ws->lock);
	ws->opts.max = max;
	pthread_mutex_unlock(&ws->lock);
}

void
waits_stop(struct waits *ws)
{
	pthread_mutex_lock(&ws->lock);
	ws->stopping = true;
	pthread_mutex_unlock(&ws->lock);
	if (ws->joined)
		return;
	poke(ws);
	pthread_join(ws->thread, NULL);
	ws->joined = true;
}

void
waits_free(struct waits *ws)
{
	if (!ws)
		return;
	waits_stop(ws);
	if (ws->event_fd >= 0)
		close(ws->event_fd);
	pthread_mutex_destroy(&ws->lock);
	free(ws);
}

/* ---- ?wait -------------------------------------------------------------- */

static enum rc
settled_check(struct engine *e, struct waiter *w)
{
	return engine_watch_check(e, &w->watch, &w->counts, &w->remaining);
}

static const char *
wait_status(const struct waiter *w)
{
	switch (w->rc) {
	case RC_OK:
		return w->counts.failed > 0 ? "207 Multi-Status" : "200 OK";
	case RC_AGAIN:
		return "202 Accepted";
	case RC_NONE:
	case RC_RETRY:
	case RC_REJECT:
	case RC_FATAL:
		break;
	}
	return "503 Service Unavailable";
}

static void
settled_reply(const struct waiter *w)
{
	struct buf body = BUF_INIT(WAIT_BODY_MAX);
	const bool known = w->rc == RC_OK || w->rc == RC_AGAIN;

	if (known)
		buf_printf(&body,
		    "{\"queues\":{\"actions\":{\"done\":%llu,\"failed\":%llu,"
		    "\"retried\":%llu,\"released\":%llu}},\"remaining\":%llu}"
		    "\n",
		    (unsigned long long)w->counts.done,
		    (unsigned long long)w->counts.failed,
		    (unsigned long long)w->counts.retried,
		    (unsigned long long)w->counts.released,
		    (unsigned long long)(w->rc == RC_OK ? 0 : w->remaining));
	else
		buf_put_str(&body, "{\"error\":\"database away\"}\n");
	request_reply(w->request,
	    &(struct reply){ .status = wait_status(w),
		.content_type = "application/json",
		.extra = known ? NULL : RETRY_AFTER,
		.body = buf_slice(&body) },
	    w->head);
	buf_clear(&body);
}

const struct wait_kind wait_for_settled = {
	.check = settled_check,
	.reply = settled_reply,
};

void
wait_refuse(struct request *r, bool head)
{
	request_reply(r,
	    &(struct reply){ .status = "503 Service Unavailable",
		.content_type = "application/json",
		.extra = RETRY_AFTER,
		.body = SLICE_LIT("{\"error\":\"too many wait\"}\n") },
	    head);
}
