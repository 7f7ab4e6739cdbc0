#include "server/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "server/acceptor.h"
#include "server/endpoints.h"
#include "server/request.h"
#include "server/roots.h"
#include "server/tokens.h"
#include "server/wait.h"
#include "server/work.h"

struct server {
	struct engine *engine;
	const struct clock *clock;
	_Atomic uint32_t timeout_ms;
	struct roots *roots;
	struct tokens *tokens;
	struct work_queue *work;
	struct waits *waits;
	struct acceptor *acceptor;
	pthread_t *threads;
	size_t nthreads;
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
		acceptor_linger(s->acceptor, fd);
}

static void
answer_waiter(struct server *s, struct waiter *w)
{
	wait_reply(w);
	finish(s, w->request);
	request_free(w->request);
	free(w);
}

static void *
thread_main(void *arg)
{
	struct server *s = arg;
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

	while (work_pop(s->work, &w)) {
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

static enum rc
start_threads(struct server *s, uint32_t n, struct err *err)
{
	int code;

	s->threads = xcalloc(n, sizeof(*s->threads));
	while (s->nthreads < n) {
		code = pthread_create(
		    &s->threads[s->nthreads], NULL, thread_main, s);
		if (code != 0)
			return err_set_code(err, RC_FATAL, code,
			    "cannot start a server thread: %s", strerror(code));
		s->nthreads++;
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
	s->work = work_queue_new();
	rc = waits_start(&(struct waits_opts){ .engine = s->engine,
			     .max = d->max_waiters,
			     .work = s->work,
			     .clock = s->clock },
	    &s->waits, err);
	if (rc != RC_OK)
		goto out;
	/* Before the threads, which give connections back to it. */
	rc = acceptor_start(
	    &(struct acceptor_opts){ .listen_fd = opts->listen_fd,
		.timeout_ms = d->request_timeout_ms,
		.work = s->work,
		.clock = s->clock },
	    &s->acceptor, err);
	if (rc != RC_OK)
		goto out;
	rc = start_threads(s, d->server_threads, err);
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
	acceptor_set_timeout(s->acceptor, d->request_timeout_ms);
	atomic_store(&s->timeout_ms, d->request_timeout_ms);
}

void
server_stop(struct server *s)
{
	struct work w;

	if (s->acceptor)
		acceptor_stop(s->acceptor);
	if (s->waits)
		waits_stop(s->waits);
	work_close(s->work);
	while (s->nthreads > 0)
		pthread_join(s->threads[--s->nthreads], NULL);
	/* Only a start that failed leaves something. */
	while (work_pop(s->work, &w))
		close(w.fd);
}

void
server_free(struct server *s)
{
	if (!s)
		return;
	server_stop(s);
	acceptor_free(s->acceptor);
	waits_free(s->waits);
	work_queue_free(s->work);
	tokens_free(s->tokens);
	roots_free(s->roots);
	free(s->threads);
	free(s);
}
