#include "fake_engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/xalloc.h"

#define WATCHES_MAX 64

struct engine {
	int progress_fd;
	pthread_mutex_t lock; /* guards all below */
	unsigned kicks, watches, nchecked;
	bool checked[WATCHES_MAX];
	struct fake_ping kick, watch;
	bool busy;
	enum rc rc;
	struct engine_counts counts;
	uint64_t remaining;
	struct engine_health health;
	struct fake_reader reader;
	uint64_t ticket;
	bool reader_over;
};

struct engine *
fake_engine_new(void)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	pthread_mutex_init(&e->lock, NULL);
	e->progress_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->rc = RC_AGAIN;
	e->health.next_due = INT64_MAX;
	return e;
}

void
fake_engine_free(struct engine *e)
{
	close(e->progress_fd);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

unsigned
fake_engine_kicks(struct engine *e)
{
	unsigned n;

	pthread_mutex_lock(&e->lock);
	n = e->kicks;
	pthread_mutex_unlock(&e->lock);
	return n;
}

unsigned
fake_engine_checked(struct engine *e)
{
	unsigned n;

	pthread_mutex_lock(&e->lock);
	n = e->nchecked;
	pthread_mutex_unlock(&e->lock);
	return n;
}

static void
keep(char *to, size_t max, struct slice s)
{
	size_t n = s.n < max ? s.n : max - 1;

	if (n > 0)
		memcpy(to, s.p, n);
	to[n] = '\0';
}

static void
keep_ping(struct fake_ping *to, const struct engine_ping *ping)
{
	*to = (struct fake_ping){ .given = ping != NULL };
	if (!ping)
		return;
	keep(to->key, sizeof(to->key), ping->key);
	keep(to->host, sizeof(to->host), ping->host);
	keep(to->path, sizeof(to->path), ping->path);
}

void
fake_engine_pings(
    struct engine *e, struct fake_ping *kick, struct fake_ping *watch)
{
	pthread_mutex_lock(&e->lock);
	*kick = e->kick;
	*watch = e->watch;
	pthread_mutex_unlock(&e->lock);
}

void
fake_engine_say(struct engine *e, enum rc rc,
    const struct engine_counts *counts, uint64_t remaining)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&e->lock);
	e->rc = rc;
	if (counts)
		e->counts = *counts;
	e->remaining = remaining;
	pthread_mutex_unlock(&e->lock);
	(void)!write(e->progress_fd, &one, sizeof(one));
}

void
fake_engine_be_busy(struct engine *e, bool busy)
{
	pthread_mutex_lock(&e->lock);
	e->busy = busy;
	pthread_mutex_unlock(&e->lock);
}

void
fake_engine_set_health(struct engine *e, const struct engine_health *health)
{
	pthread_mutex_lock(&e->lock);
	e->health = *health;
	pthread_mutex_unlock(&e->lock);
}

void
fake_engine_reader(struct engine *e, struct fake_reader *out)
{
	pthread_mutex_lock(&e->lock);
	*out = e->reader;
	pthread_mutex_unlock(&e->lock);
}

void
fake_engine_give_tickets(struct engine *e, uint64_t ticket)
{
	pthread_mutex_lock(&e->lock);
	e->ticket = ticket;
	pthread_mutex_unlock(&e->lock);
}

void
fake_engine_reader_over(struct engine *e)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&e->lock);
	e->reader_over = true;
	pthread_mutex_unlock(&e->lock);
	(void)!write(e->progress_fd, &one, sizeof(one));
}

uint64_t
engine_reader_ping(struct engine *e, const struct site *site,
    const struct engine_ping *where, struct slice cookies, bool wait)
{
	uint64_t ticket;

	(void)site;
	pthread_mutex_lock(&e->lock);
	e->reader.n++;
	e->reader.wait = wait;
	keep(e->reader.cookies, sizeof(e->reader.cookies), cookies);
	keep(e->reader.host, sizeof(e->reader.host), where->host);
	keep(e->reader.path, sizeof(e->reader.path), where->path);
	ticket = wait ? e->ticket : 0;
	pthread_mutex_unlock(&e->lock);
	return ticket;
}

bool
engine_reader_done(struct engine *e, uint64_t ticket)
{
	bool over;

	pthread_mutex_lock(&e->lock);
	over = e->reader_over || ticket != e->ticket;
	pthread_mutex_unlock(&e->lock);
	return over;
}

enum engine_kick
engine_kick(
    struct engine *e, const struct site *site, const struct engine_ping *ping)
{
	enum engine_kick kick;

	(void)site;
	pthread_mutex_lock(&e->lock);
	e->kicks++;
	keep_ping(&e->kick, ping);
	kick = e->busy ? ENGINE_QUEUED : ENGINE_STARTED;
	pthread_mutex_unlock(&e->lock);
	return kick;
}

void
engine_watch_begin(struct engine *e, const struct site *site,
    const struct engine_ping *ping, struct engine_watch *w)
{
	pthread_mutex_lock(&e->lock);
	keep_ping(&e->watch, ping);
	*w = (struct engine_watch){ .site = site, .look = e->watches++ };
	pthread_mutex_unlock(&e->lock);
}

enum rc
engine_watch_check(struct engine *e, const struct engine_watch *w,
    struct engine_counts *counts, uint64_t *remaining)
{
	enum rc rc;

	pthread_mutex_lock(&e->lock);
	if (w->look < WATCHES_MAX && !e->checked[w->look]) {
		e->checked[w->look] = true;
		e->nchecked++;
	}
	*counts = e->counts;
	*remaining = e->remaining;
	rc = e->rc;
	pthread_mutex_unlock(&e->lock);
	return rc;
}

int
engine_progress_fd(const struct engine *e)
{
	return e->progress_fd;
}

void
engine_health(
    struct engine *e, const struct site *site, struct engine_health *out)
{
	(void)site;
	pthread_mutex_lock(&e->lock);
	*out = e->health;
	pthread_mutex_unlock(&e->lock);
}
