#include "server/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/env.h"
#include "base/errno_text.h"
#include "base/slice.h"
#include "base/xalloc.h"

/* As long as the kernel allows (net.core.somaxconn cuts it): bursts of pings
 * wait in the backlog rather than being refused. */
#define LISTENER_BACKLOG 4096
/* sd_listen_fds(3) */
#define LISTEN_FDS_START 3
#define UNIX_PREFIX "unix:"

static enum rc
fail(struct err *err, const char *what, const char *where)
{
	int code = errno;

	return err_set_code(err, RC_REJECT, code, "cannot %s %s: %s", what,
	    where, ERRNO_TEXT(code));
}

static bool
set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
	       fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

bool
listener_is_socket(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

/* ---- unix ---- */

static bool
parse_octal(const char *s, mode_t *out)
{
	mode_t mode = 0;

	for (; *s >= '0' && *s <= '7' && mode <= 0777; s++)
		mode = mode * 8 + (mode_t)(*s - '0');
	*out = mode;
	return *s == '\0' && mode <= 0777;
}

/* Names or numbers, one by one; an unknown name is an error. */
static bool
parse_owner(const char *s, uid_t *uid, gid_t *gid)
{
	struct slice all = slice_str(s), user, group;
	size_t colon = slice_find(all, ':');
	char *name = NULL;
	struct passwd pw, *found_pw = NULL;
	struct group gr, *found_gr = NULL;
	char room[4096];
	uint64_t number;
	bool ok = false;

	user = slice_mem(all.p, colon);
	group = slice_from(all, colon < all.n ? colon + 1 : all.n);
	if (user.n > 0 && slice_u64(user, &number)) {
		*uid = (uid_t)number;
	} else if (user.n > 0) {
		name = xstrndup(user);
		(void)getpwnam_r(name, &pw, room, sizeof(room), &found_pw);
		if (!found_pw)
			goto out;
		*uid = pw.pw_uid;
		*gid = pw.pw_gid;
	}
	if (group.n > 0 && slice_u64(group, &number)) {
		*gid = (gid_t)number;
	} else if (group.n > 0) {
		free(name);
		name = xstrndup(group);
		(void)getgrnam_r(name, &gr, room, sizeof(room), &found_gr);
		if (!found_gr)
			goto out;
		*gid = gr.gr_gid;
	}
	ok = true;
out:
	free(name);
	return ok;
}

/* Remove what is in the way if it is a socket on which nobody listens. */
static enum rc
remove_stale(const struct sockaddr_un *addr, struct err *err)
{
	struct stat st;
	enum rc rc = RC_OK;
	int fd = -1;

	if (lstat(addr->sun_path, &st) != 0)
		return errno == ENOENT ? RC_OK
				       : fail(err, "look at", addr->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, RC_REJECT,
		    "%s is in the way and is no socket", addr->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(err, "make a socket for", addr->sun_path);
	/* EAGAIN: the backlog of a living listener is full. */
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
	    errno == EAGAIN)
		rc = err_set(err, RC_REJECT, "another process listens on %s",
		    addr->sun_path);
	else if (errno != ECONNREFUSED)
		rc = fail(err, "try", addr->sun_path);
	else if (unlink(addr->sun_path) != 0 && errno != ENOENT)
		rc = fail(err, "remove the stale socket", addr->sun_path);
	close(fd);
	return rc;
}

static enum rc
dress_unix(const char *path, const struct listener_opts *opts, struct err *err)
{
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	mode_t mode = 0660;

	if (opts->mode && !parse_octal(opts->mode, &mode))
		return err_set(err, RC_REJECT,
		    "socket mode \"%s\" is not octal, like 0660", opts->mode);
	if (opts->owner && !parse_owner(opts->owner, &uid, &gid))
		return err_set(err, RC_REJECT,
		    "socket owner \"%s\": no such user or group", opts->owner);
	if (opts->owner && chown(path, uid, gid) != 0)
		return fail(err, "change the owner of", path);
	if (chmod(path, mode) != 0)
		return fail(err, "change the mode of", path);
	return RC_OK;
}

static enum rc
open_unix(const char *path, const struct listener_opts *opts,
    struct listener *l, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	size_t len = strlen(path);
	mode_t mask;
	enum rc rc;

	if (len == 0 || len >= sizeof(addr.sun_path))
		return err_set(err, RC_REJECT,
		    "the path of a unix socket has 1 to %zu bytes: %s",
		    sizeof(addr.sun_path) - 1, path);
	memcpy(addr.sun_path, path, len);
	rc = remove_stale(&addr, err);
	if (rc != RC_OK)
		return rc;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return fail(err, "make a socket for", path);
	/* Nobody else gets in before owner and mode are set. */
	mask = umask(0177);
	rc = bind(l->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0
		 ? RC_OK
		 : fail(err, "bind", path);
	umask(mask);
	if (rc != RC_OK)
		return rc;
	l->path = xstrdup(path);
	rc = dress_unix(path, opts, err);
	if (lstat(path, &st) != 0)
		return fail(err, "look at", path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	l->changed = st.st_ctim;
	return rc;
}

/* ---- TCP ---- */

/* "HOST:PORT", "[V6]:PORT" or ":PORT" (loopback) into two strings. */
static bool
split_host_port(const char *spec, char **host, char **port)
{
	const char *colon = strrchr(spec, ':');
	struct slice h;
	uint64_t number;

	if (!colon)
		return false;
	h = slice_mem(spec, (size_t)(colon - spec));
	if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
		h = slice_mem(h.p + 1, h.n - 2);
	else if (slice_find(h, ':') < h.n)
		return false;
	if (!slice_u64(slice_str(colon + 1), &number) || number > 65535)
		return false;
	*host = h.n > 0 ? xstrndup(h) : xstrdup("127.0.0.1");
	*port = xstrdup(colon + 1);
	return true;
}

static enum rc
open_tcp(const char *spec, struct listener *l, struct err *err)
{
	const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found = NULL;
	char *host = NULL, *port = NULL;
	const int on = 1;
	enum rc rc = RC_OK;
	int gai;

	if (!split_host_port(spec, &host, &port))
		return err_set(err, RC_REJECT,
		    "listen address \"%s\" is neither unix:PATH nor HOST:PORT",
		    spec);
	gai = getaddrinfo(host, port, &hints, &found);
	if (gai != 0) {
		rc = err_set(err, RC_REJECT, "listen address \"%s\": %s", spec,
		    gai_strerror(gai));
		goto out;
	}
	l->fd = socket(
	    found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		rc = fail(err, "make a socket for", spec);
	else if (bind(l->fd, found->ai_addr, found->ai_addrlen) != 0)
		rc = fail(err, "bind", spec);
out:
	if (found)
		freeaddrinfo(found);
	free(host);
	free(port);
	return rc;
}

/* ---- both ---- */

enum rc
listener_open(const char *spec, const struct listener_opts *opts,
    struct listener *out, struct err *err)
{
	struct listener l = LISTENER_INIT;
	enum rc rc;

	if (strncmp(spec, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0)
		rc = open_unix(spec + sizeof(UNIX_PREFIX) - 1, opts, &l, err);
	else
		rc = open_tcp(spec, &l, err);
	if (rc == RC_OK && listen(l.fd, LISTENER_BACKLOG) != 0)
		rc = fail(err, "listen on", spec);
	if (rc == RC_OK)
		*out = l;
	else
		listener_close(&l);
	return rc;
}

static int
inherited_fd(void)
{
	const char *pid = env_get("LISTEN_PID"), *n = env_get("LISTEN_FDS");
	uint64_t number;

	if (pid && n && slice_u64(slice_str(pid), &number) &&
	    number == (uint64_t)getpid() && slice_u64(slice_str(n), &number) &&
	    number > 0 && listener_is_socket(LISTEN_FDS_START))
		return LISTEN_FDS_START;
	return listener_is_socket(STDIN_FILENO) ? STDIN_FILENO : -1;
}

enum rc
listener_inherit(struct listener *out, struct err *err)
{
	int fd = inherited_fd();

	if (fd < 0)
		return RC_NONE;
	if (!set_flags(fd))
		return fail(err, "use", "the inherited socket");
	*out = (struct listener)LISTENER_INIT;
	out->fd = fd;
	return RC_OK;
}

/* A successor may have put its own socket there by now. */
static bool
is_ours(const struct listener *l)
{
	struct stat st;

	return lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	       st.st_ino == l->ino && st.st_ctim.tv_sec == l->changed.tv_sec &&
	       st.st_ctim.tv_nsec == l->changed.tv_nsec;
}

void
listener_close(struct listener *l)
{
	if (l->fd >= 0)
		close(l->fd);
	if (l->path && is_ours(l))
		(void)unlink(l->path);
	free(l->path);
	*l = (struct listener)LISTENER_INIT;
}
