#include "server/daemon.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/env.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "engine/engine.h"
#include "server/background.h"
#include "server/listener.h"
#include "server/notify.h"
#include "server/server.h"
#include "sql/db.h"
#include "wordpress/site.h"

struct daemon {
	const struct options *opts;
	struct config *config;      /* the newest */
	struct config *site_config; /* what the sites were opened with */
	struct site **sites;
	size_t nsites;
	bool db_library;
	struct listener listener;
	struct engine *engine;
	struct server *server;
	int parent_fd;
};

/* ---- start ---- */

static enum rc
read_config(const struct options *o, struct config **out, struct err *err)
{
	enum rc rc;

	if (o->config || o->root)
		return config_load(o->config, o->root, out, err);
	rc = config_load(OPTIONS_CONFIG_DEFAULT, NULL, out, err);
	if (rc != RC_OK)
		return err_wrap(err, "without --root DIR or -c FILE");
	return RC_OK;
}

static void
apply_log(const struct options *o, const struct config *c)
{
	log_set_level(o->log_level_name ? o->log_level : c->daemon.log_level);
	log_set_output(STDERR_FILENO, !env_get("JOURNAL_STREAM"));
}

static enum rc
open_sites(struct daemon *d, struct err *err)
{
	const struct config *c = d->config;
	enum rc rc;

	d->site_config = config_ref(d->config);
	d->sites = xcalloc(c->nsites + 1, sizeof(struct site *));
	for (; d->nsites < c->nsites; d->nsites++) {
		rc = site_open(&c->sites[d->nsites], &d->sites[d->nsites], err);
		if (rc != RC_OK)
			return err_wrap(
			    err, "site %s", c->sites[d->nsites].name);
	}
	if (d->nsites == 0)
		return err_set(err, RC_REJECT,
		    "no site: give --root DIR or a [site NAME] section");
	return RC_OK;
}

static enum rc
prepare(struct daemon *d, struct err *err)
{
	enum rc rc = read_config(d->opts, &d->config, err);

	if (rc != RC_OK)
		return rc;
	apply_log(d->opts, d->config);
	rc = open_sites(d, err);
	if (rc != RC_OK)
		return rc;
	rc = db_library_begin(err);
	d->db_library = rc == RC_OK;
	return rc;
}

/* The folder of the default socket; any other is the administrator's. */
static void
make_run_folder(void)
{
	struct slice path =
	    slice_from(SLICE_LIT(OPTIONS_LISTEN_DEFAULT), sizeof("unix:") - 1);
	char *folder;

	while (path.n > 0 && path.p[path.n - 1] != '/')
		path.n--;
	path.n--;
	folder = xstrndup(path);
	(void)mkdir(folder, 0755);
	free(folder);
}

static bool
has_inherited(void)
{
	struct listener l = LISTENER_INIT;

	return listener_inherit(&l, NULL) == RC_OK;
}

static enum rc
open_listener(struct daemon *d, struct err *err)
{
	const struct listener_opts lo = { .mode = d->opts->socket_mode,
		.owner = d->opts->socket_owner };
	const char *spec = d->opts->listen;
	enum rc rc;

	if (!spec) {
		rc = listener_inherit(&d->listener, err);
		if (rc != RC_NONE)
			return rc;
		spec = d->config->daemon.listen;
	}
	if (!spec) {
		spec = OPTIONS_LISTEN_DEFAULT;
		make_run_folder();
	}
	return listener_open(spec, &lo, &d->listener, err);
}

static bool
wants_background(const struct options *o)
{
	return !o->foreground && !env_get("NOTIFY_SOCKET") &&
	       (o->listen || !has_inherited());
}

static enum rc
start(struct daemon *d, struct err *err)
{
	enum rc rc = open_listener(d, err);

	if (rc != RC_OK)
		return rc;
	/* libfcgi sets signal handlers of its own here, which ours replace. */
	rc = server_library_begin(err);
	if (rc != RC_OK)
		return rc;
	rc = engine_new(
	    &(struct engine_opts){
		.config = d->config, .sites = d->sites, .nsites = d->nsites },
	    &d->engine, err);
	if (rc != RC_OK)
		return rc;
	rc = engine_start(d->engine, err);
	if (rc != RC_OK)
		return rc;
	return server_start(&(struct server_opts){ .listen_fd = d->listener.fd,
				.config = d->config,
				.sites = d->sites,
				.nsites = d->nsites,
				.engine = d->engine },
	    &d->server, err);
}

/* Everything in reverse; what was not started is passed over. */
static void
stop(struct daemon *d)
{
	server_free(d->server);
	listener_close(&d->listener);
	engine_free(d->engine);
	if (d->db_library)
		db_library_end();
	for (size_t i = 0; i < d->nsites; i++)
		site_free(d->sites[i]);
	free(d->sites);
	config_unref(d->site_config);
	config_unref(d->config);
}

/* ---- signals ---- */

static void
signals_waited_for(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
}

static enum rc
read_successor(struct daemon *d, struct config **out, struct err *err)
{
	enum rc rc = read_config(d->opts, out, err);
	const char *name;

	if (rc != RC_OK)
		return rc;
	name = config_needs_restart(d->config, *out);
	if (!name)
		return RC_OK;
	config_unref(*out);
	*out = NULL;
	(void)err_set(err, RC_REJECT,
	    "%s differs, which needs a restart; nothing was changed", name);
	return RC_REJECT;
}

static void
reload(struct daemon *d)
{
	struct config *fresh = NULL;
	struct err err = ERR_INIT;

	notify_send("RELOADING=1");
	if (read_successor(d, &fresh, &err) == RC_OK) {
		apply_log(d->opts, fresh);
		engine_reload(d->engine, fresh);
		server_reload(d->server, fresh);
		config_unref(d->config);
		d->config = fresh;
		log_event(
		    LOG_INFO, "daemon.reloaded", LOG_U("sites", fresh->nsites));
	} else {
		log_event(
		    LOG_ERR, "daemon.reload_refused", LOG_S("error", err.text));
	}
	notify_send("READY=1");
}

/* One wait; a time-out asks the engine for its state, so that one that hangs
 * hangs us, and the watchdog sees it. */
static int
wait_signal(struct daemon *d, const sigset_t *set, mono_ms watchdog_ms)
{
	const struct timespec ts = {
		.tv_sec = watchdog_ms / 1000,
		.tv_nsec = (long)(watchdog_ms % 1000) * 1000000,
	};
	struct engine_health h;
	int sig;

	if (watchdog_ms == 0)
		return sigwaitinfo(set, NULL);
	sig = sigtimedwait(set, NULL, &ts);
	if (sig < 0 && errno == EAGAIN) {
		engine_health(d->engine, d->sites[0], &h);
		notify_send("WATCHDOG=1");
	}
	return sig;
}

static void
wait_for_stop(struct daemon *d)
{
	const mono_ms watchdog_ms = notify_watchdog_ms();
	sigset_t set;

	signals_waited_for(&set);
	for (;;) {
		switch (wait_signal(d, &set, watchdog_ms)) {
		case SIGTERM:
		case SIGINT:
			return;
		case SIGHUP:
			reload(d);
			break;
		case SIGUSR1:
			engine_dump(d->engine);
			break;
		default:
			break;
		}
	}
}

/* From here a second TERM or INT ends the process at once. */
static void
stop_waiting(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- the whole ---- */

int
daemon_exit_status(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return 0;
	case RC_RETRY:
	case RC_AGAIN:
		return 69;
	case RC_REJECT:
	case RC_NONE:
		return 78;
	case RC_FATAL:
		break;
	}
	return 70;
}

static void
log_started(const struct daemon *d)
{
	for (size_t i = 0; i < d->nsites; i++)
		log_event(LOG_INFO, "site.found",
		    LOG_S("site", d->sites[i]->name),
		    LOG_S("root", d->sites[i]->root),
		    LOG_S("config", d->sites[i]->config_path),
		    LOG_S("database", d->sites[i]->db.name),
		    LOG_S("prefix", d->sites[i]->prefix));
	if (geteuid() == 0)
		log_event(LOG_WARN, "daemon.runs_as_root",
		    LOG_S("remedy", "run as the user of php-fpm"));
	log_event(LOG_INFO, "daemon.started", LOG_S("version", VERSION),
	    LOG_I("pid", getpid()), LOG_U("sites", d->nsites));
}

enum rc
daemon_run(const struct options *o, struct err *err)
{
	struct daemon d = {
		.opts = o, .listener = LISTENER_INIT, .parent_fd = -1
	};
	sigset_t set;
	enum rc rc = RC_OK;

	if (wants_background(o))
		rc = background_enter(&d.parent_fd, err);
	/* Before the first thread: all of them inherit the mask. */
	signals_waited_for(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (rc == RC_OK)
		rc = prepare(&d, err);
	if (rc == RC_OK)
		rc = start(&d, err);
	if (rc == RC_OK) {
		log_started(&d);
		notify_send("READY=1");
		background_done(d.parent_fd, 0);
		wait_for_stop(&d);
		notify_send("STOPPING=1");
		log_event(LOG_INFO, "daemon.stopping", LOG_I("pid", getpid()));
	} else {
		log_event(LOG_ERR, "daemon.failed", LOG_S("error", err->text));
		background_done(d.parent_fd, daemon_exit_status(rc));
	}
	stop_waiting();
	stop(&d);
	if (rc == RC_OK)
		log_event(LOG_INFO, "daemon.stopped", LOG_I("pid", getpid()));
	return rc;
}

static enum rc
check_site(const struct site *s, struct err *err)
{
	struct db *db = NULL;
	enum rc rc = db_open(&s->db, &db, err);

	if (rc != RC_OK)
		return err_wrap(err, "site %s", s->name);
	printf("site %s: %s, database %s (%s), prefix %s\n", s->name,
	    s->config_path, s->db.name, db_server_info(db), s->prefix);
	db_close(db);
	return RC_OK;
}

enum rc
daemon_check(const struct options *o, struct err *err)
{
	struct daemon d = {
		.opts = o, .listener = LISTENER_INIT, .parent_fd = -1
	};
	enum rc rc = prepare(&d, err);

	for (size_t i = 0; rc == RC_OK && i < d.nsites; i++)
		rc = check_site(d.sites[i], err);
	stop(&d);
	return rc;
}
