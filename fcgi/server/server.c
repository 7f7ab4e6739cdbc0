#include "server/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "base/xalloc.h"
#include "server/endpoints.h"
#include "server/intake.h"
#include "server/lobby.h"
#include "server/request.h"
#include "server/roots.h"
#include "server/tokens.h"
#include "server/wait.h"
#include "server/work.h"

struct server_thread {
	pthread_t id;
	struct server *server;
	struct intake *intake;
};

struct server {
	struct engine *engine;
	const struct clock *clock;
	_Atomic uint32_t timeout_ms;
	struct roots *roots;
	struct tokens *tokens;
	struct work_queue *work;
	struct waits *waits;
	struct lobby *lobby;
	struct server_thread *threads;
	size_t nthreads;
	struct intake_seats seats;
};

enum rc
server_library_begin(struct err *err)
{
	return request_library_begin(err);
}

static void
finish(struct server *s, struct request *r)
{
	int fd = request_end(r);

	if (fd >= 0)
		lobby_linger(s->lobby, fd);
}

static void
answer_waiter(struct server *s, struct waiter *w)
{
	w->kind->reply(w);
	finish(s, w->request);
	request_free(w->request);
	free(w);
}

static void *
thread_main(void *arg)
{
	const struct server_thread *t = arg;
	struct server *s = t->server;
	struct roots_cache *cache = xcalloc(1, sizeof(*cache));
	const struct endpoints_env env = {
		.engine = s->engine,
		.roots = s->roots,
		.cache = cache,
		.tokens = s->tokens,
		.waits = s->waits,
		.clock = s->clock,
	};
	struct request *r = request_new();
	struct work w;

	while (intake_next(t->intake, &w)) {
		if (w.waiter)
			answer_waiter(s, w.waiter);
		else if (request_begin(r, w.fd, &w.frame,
			     atomic_load(&s->timeout_ms)) != RC_OK)
			continue;
		else if (endpoints_serve(&env, r))
			finish(s, r);
		else
			r = request_new();
	}
	request_free(r);
	free(cache);
	return NULL;
}

/* Half of the processors: the web server has as much to do for each ping. */
static unsigned
max_leaders(const struct server_opts *opts)
{
	long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
	unsigned max = opts->max_leaders;

	if (max == 0)
		max = half < 1 ? 1 : (unsigned)half;
	return max < opts->config->daemon.server_threads
		   ? max
		   : opts->config->daemon.server_threads;
}

static enum rc
start_threads(struct server *s, const struct server_opts *opts, struct err *err)
{
	const uint32_t n = opts->config->daemon.server_threads;
	const struct intake_opts io = {
		.listen_fd = opts->listen_fd,
		.work = s->work,
		.lobby = s->lobby,
		.seats = &s->seats,
		.max_leaders = max_leaders(opts),
	};
	struct server_thread *t;
	int code;

	s->threads = xcalloc(n, sizeof(*s->threads));
	for (; s->nthreads < n; s->nthreads++) {
		t = &s->threads[s->nthreads];
		t->server = s;
		t->intake = intake_new(&io);
		code = pthread_create(&t->id, NULL, thread_main, t);
		if (code == 0)
			continue;
		intake_free(t->intake);
		return err_set_code(err, RC_FATAL, code,
		    "cannot start a server thread: %s", ERRNO_TEXT(code));
	}
	return RC_OK;
}

enum rc
server_start(
    const struct server_opts *opts, struct server **out, struct err *err)
{
	const struct config_daemon *d = &opts->config->daemon;
	struct server *s = xcalloc(1, sizeof(*s));
	enum rc rc;

	s->engine = opts->engine;
	s->clock = opts->clock ? opts->clock : &clock_system;
	atomic_init(&s->timeout_ms, d->request_timeout_ms);
	s->roots = roots_new(opts->sites, opts->nsites);
	s->tokens = tokens_new(opts->config->sites, opts->config->nsites);
	s->seats.fd = -1;
	rc = work_queue_new(&s->work, err);
	if (rc == RC_OK)
		rc = intake_seats_init(&s->seats, err);
	if (rc != RC_OK)
		goto out;
	rc = waits_start(&(struct waits_opts){ .engine = s->engine,
			     .max = d->max_waiters,
			     .work = s->work,
			     .clock = s->clock },
	    &s->waits, err);
	if (rc != RC_OK)
		goto out;
	/* Before the threads, which give connections to it. */
	rc = lobby_start(
	    &(struct lobby_opts){ .timeout_ms = d->request_timeout_ms,
		.work = s->work,
		.clock = s->clock },
	    &s->lobby, err);
	if (rc != RC_OK)
		goto out;
	rc = start_threads(s, opts, err);
out:
	if (rc == RC_OK)
		*out = s;
	else
		server_free(s);
	return rc;
}

void
server_reload(struct server *s, const struct config *config)
{
	const struct config_daemon *d = &config->daemon;

	tokens_set(s->tokens, config->sites, config->nsites);
	waits_set_max(s->waits, d->max_waiters);
	lobby_set_timeout(s->lobby, d->request_timeout_ms);
	atomic_store(&s->timeout_ms, d->request_timeout_ms);
}

void
server_stop(struct server *s)
{
	struct work w;

	if (s->lobby)
		lobby_stop(s->lobby);
	if (s->waits)
		waits_stop(s->waits);
	if (!s->work)
		return;
	work_close(s->work);
	while (s->nthreads > 0) {
		pthread_join(s->threads[--s->nthreads].id, NULL);
		intake_free(s->threads[s->nthreads].intake);
	}
	/* Only a start that failed leaves something. */
	while (work_take(s->work, &w))
		close(w.fd);
}

void
server_free(struct server *s)
{
	if (!s)
		return;
	server_stop(s);
	lobby_free(s->lobby);
	waits_free(s->waits);
	work_queue_free(s->work);
	intake_seats_clear(&s->seats);
	tokens_free(s->tokens);
	roots_free(s->roots);
	free(s->threads);
	free(s);
}
