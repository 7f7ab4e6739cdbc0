#include "server/work.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "base/xalloc.h"

/* As many as may wait in the lobby, or for an answer. */
#define WORK_MAX 1024

struct work_queue {
	int event_fd;
	/* Written under the lock; read without it, so that a ping does not
	 * take it. */
	atomic_size_t count;
	atomic_bool closed;

	pthread_mutex_t lock; /* guards all below, and event_fd's count */
	pthread_cond_t drained;
	size_t head;
	struct work ring[WORK_MAX];
};

enum rc
work_queue_new(struct work_queue **out, struct err *err)
{
	struct work_queue *q = xcalloc(1, sizeof(*q));
	int code;

	q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->event_fd < 0) {
		code = errno;
		free(q);
		return err_set_code(
		    err, RC_FATAL, code, "eventfd: %s", ERRNO_TEXT(code));
	}
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->drained, NULL);
	*out = q;
	return RC_OK;
}

void
work_queue_free(struct work_queue *q)
{
	if (!q)
		return;
	close(q->event_fd);
	pthread_cond_destroy(&q->drained);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void
poke_locked(struct work_queue *q)
{
	const uint64_t one = 1;

	(void)!write(q->event_fd, &one, sizeof(one));
}

void
work_push(struct work_queue *q, const struct work *w)
{
	pthread_mutex_lock(&q->lock);
	while (q->count == WORK_MAX)
		pthread_cond_wait(&q->drained, &q->lock);
	q->ring[(q->head + q->count) % WORK_MAX] = *w;
	q->count++;
	poke_locked(q);
	pthread_mutex_unlock(&q->lock);
}

bool
work_take(struct work_queue *q, struct work *out)
{
	uint64_t pokes;
	bool ok;

	if (q->count == 0)
		return false;
	pthread_mutex_lock(&q->lock);
	ok = q->count > 0;
	if (ok) {
		if (q->count == WORK_MAX)
			pthread_cond_broadcast(&q->drained);
		*out = q->ring[q->head];
		q->head = (q->head + 1) % WORK_MAX;
		q->count--;
	}
	if (q->count == 0 && !q->closed)
		(void)!read(q->event_fd, &pokes, sizeof(pokes));
	pthread_mutex_unlock(&q->lock);
	return ok;
}

int
work_queue_fd(const struct work_queue *q)
{
	return q->event_fd;
}

void
work_close(struct work_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	poke_locked(q);
	pthread_mutex_unlock(&q->lock);
}

bool
work_is_closed(const struct work_queue *q)
{
	return q->closed;
}
