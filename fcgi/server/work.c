#include "server/work.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/xalloc.h"

/* Requests whole and not yet taken; past it the listen backlog holds them. */
#define WORK_MAX 1024

struct work_queue {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t filled, drained;
	size_t head, count;
	size_t idle; /* threads in pop that wait */
	bool closed;
	struct work ring[WORK_MAX];
};

struct work_queue *
work_queue_new(void)
{
	struct work_queue *q = xcalloc(1, sizeof(*q));

	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->filled, NULL);
	pthread_cond_init(&q->drained, NULL);
	return q;
}

void
work_queue_free(struct work_queue *q)
{
	if (!q)
		return;
	pthread_cond_destroy(&q->drained);
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

void
work_push(struct work_queue *q, const struct work *w)
{
	bool wake;

	pthread_mutex_lock(&q->lock);
	while (q->count == WORK_MAX)
		pthread_cond_wait(&q->drained, &q->lock);
	q->ring[(q->head + q->count++) % WORK_MAX] = *w;
	wake = q->idle > 0;
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->filled);
}

bool
work_pop(struct work_queue *q, struct work *out)
{
	bool ok;

	pthread_mutex_lock(&q->lock);
	while (q->count == 0 && !q->closed) {
		q->idle++;
		pthread_cond_wait(&q->filled, &q->lock);
		q->idle--;
	}
	ok = q->count > 0;
	if (ok) {
		if (q->count == WORK_MAX)
			pthread_cond_broadcast(&q->drained);
		*out = q->ring[q->head];
		q->head = (q->head + 1) % WORK_MAX;
		q->count--;
	}
	pthread_mutex_unlock(&q->lock);
	return ok;
}

void
work_close(struct work_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->filled);
	pthread_mutex_unlock(&q->lock);
}
