#include "rig.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void
rig_init(struct rig *r)
{
	struct stat st;

	*r = (struct rig){ .listener = LISTENER_INIT };
	snprintf(r->dir, sizeof(r->dir), "/tmp/wpcron-server-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->root, sizeof(r->root), "%s/site", r->dir);
	snprintf(r->socket, sizeof(r->socket), "%s/s", r->dir);
	ck_assert_int_eq(mkdir(r->root, 0755), 0);
	ck_assert_int_eq(stat(r->root, &st), 0);
	r->config_site = (struct config_site){
		.name = "default", .root = r->root, .cron_token = RIG_TOKEN
	};
	r->config = (struct config){ .sites = &r->config_site, .nsites = 1 };
	r->config.daemon = (struct config_daemon){ .server_threads = 2,
		.max_waiters = 4,
		.request_timeout_ms = 10000 };
	r->site = (struct site){ .name = "default",
		.config = &r->config_site,
		.root = r->root,
		.root_dev = st.st_dev,
		.root_ino = st.st_ino };
	r->sites[0] = &r->site;
	r->engine = fake_engine_new();
}

void
rig_start(struct rig *r)
{
	struct err err = ERR_INIT;
	char spec[96];

	snprintf(spec, sizeof(spec), "unix:%s", r->socket);
	ck_assert_msg(listener_open(spec, &(struct listener_opts){ 0 },
			  &r->listener, &err) == RC_OK,
	    "%s", err.text);
	ck_assert_int_eq(server_library_begin(&err), RC_OK);
	ck_assert_msg(
	    server_start(&(struct server_opts){ .listen_fd = r->listener.fd,
			     .config = &r->config,
			     .sites = r->sites,
			     .nsites = 1,
			     .max_leaders = r->max_leaders,
			     .engine = r->engine,
			     .clock = r->clock },
		&r->server, &err) == RC_OK,
	    "%s", err.text);
}

void
rig_stop(struct rig *r)
{
	server_free(r->server);
	r->server = NULL;
	listener_close(&r->listener);
}

void
rig_clear(struct rig *r)
{
	rig_stop(r);
	fake_engine_free(r->engine);
	(void)rmdir(r->root);
	(void)rmdir(r->dir);
}

void
rig_ask(struct rig *r, const struct client_request *q, struct client_reply *out)
{
	struct client_request full = *q;

	if (!full.root && !full.site)
		full.root = r->root;
	client_ask(r->socket, &full, PATIENCE_MS, out);
	ck_assert_msg(!out->timed_out, "no whole answer in time");
}

const char *
rig_status(const struct client_reply *reply)
{
	static const char name[] = "Status: ";
	static char status[64];

	if (strncmp(reply->text, name, sizeof(name) - 1) != 0)
		return "";
	snprintf(status, sizeof(status), "%.*s",
	    (int)strcspn(reply->text + sizeof(name) - 1, "\r"),
	    reply->text + sizeof(name) - 1);
	return status;
}

static unsigned
count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

unsigned
rig_count_fds(void)
{
	return count_entries("/proc/self/fd");
}

unsigned
rig_count_threads(void)
{
	return count_entries("/proc/self/task");
}
