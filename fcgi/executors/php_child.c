#include "executors/php_child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "base/slice.h"

enum {
	PROC_TEXT_MAX = 4096,
	STAT_START_FIELD = 22, /* proc(5); counted from the pid, which is 1 */
};

/* The text of /proc/PID/NAME in `out`; empty when there is none. */
static struct slice
read_proc(int64_t pid, const char *name, char out[PROC_TEXT_MAX])
{
	char path[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return SLICE_NONE;
	n = read(fd, out, PROC_TEXT_MAX);
	(void)close(fd);
	return n > 0 ? slice_mem(out, (size_t)n) : SLICE_NONE;
}

/* 0 when there is no such process. */
static uint64_t
start_of(int64_t pid)
{
	char text[PROC_TEXT_MAX];
	struct slice s = read_proc(pid, "stat", text);
	size_t at = s.n;
	uint64_t start = 0;

	/* The name in parentheses may hold anything, so count from its end. */
	while (at > 0 && s.p[at - 1] != ')')
		at--;
	s = slice_from(s, at + 1);
	for (int field = 3; field < STAT_START_FIELD; field++)
		s = slice_from(s, slice_find(s, ' ') + 1);
	if (!slice_u64(slice_mem(s.p, slice_find(s, ' ')), &start))
		return 0;
	return start;
}

/* The effective user; /proc's own owner is root while php-fpm keeps its
 * children undumpable (its default). */
static bool
uid_of(int64_t pid, uint64_t *uid)
{
	static const struct slice label = { "Uid:", 4 };
	char text[PROC_TEXT_MAX];
	struct slice s = read_proc(pid, "status", text);

	while (s.n > 0) {
		struct slice line = slice_mem(s.p, slice_find(s, '\n'));

		s = slice_from(s, line.n + 1);
		if (!slice_starts(line, label))
			continue;
		line = slice_trim(slice_from(line, label.n));
		line = slice_from(line, slice_find(line, '\t') + 1);
		return slice_u64(
		    slice_mem(line.p, slice_find(line, '\t')), uid);
	}
	return false;
}

static bool
is_fpm_child(int64_t pid)
{
	static const struct slice title = { "php-fpm: pool ", 14 };
	char text[PROC_TEXT_MAX];

	return slice_starts(read_proc(pid, "cmdline", text), title);
}

void
php_child_note(struct php_child *c, int64_t pid)
{
	*c = (struct php_child){ .pid = 0 };
	if (pid <= 1 || pid > INT32_MAX)
		return;
	c->start = start_of(pid);
	if (c->start != 0)
		c->pid = pid;
}

enum rc
php_child_check(const struct php_child *c, struct err *err)
{
	uint64_t uid;

	if (c->pid == 0)
		return err_set(err, RC_REJECT,
		    "the php-fpm child is not visible from here");
	if (start_of(c->pid) != c->start)
		return err_set(err, RC_NONE, "the php-fpm child is gone");
	if (!is_fpm_child(c->pid))
		return err_set(err, RC_REJECT,
		    "process %" PRId64 " is not a php-fpm child", c->pid);
	if (geteuid() == 0)
		return RC_OK;
	if (!uid_of(c->pid, &uid) || uid != (uint64_t)geteuid())
		return err_set(
		    err, RC_REJECT, "the php-fpm child runs as another user");
	return RC_OK;
}

/* Through a pidfd, so that the process checked is the process signalled. */
enum rc
php_child_signal(const struct php_child *c, int sig, struct err *err)
{
	int fd =
	    c->pid == 0 ? -1 : (int)syscall(SYS_pidfd_open, (pid_t)c->pid, 0);
	enum rc rc = php_child_check(c, err);
	int failed;

	if (rc != RC_OK)
		goto out;
	if (fd >= 0)
		failed = syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) != 0;
	else
		failed = kill((pid_t)c->pid, sig) != 0;
	if (failed)
		rc = err_set_code(err, RC_RETRY, errno,
		    "signal to process %" PRId64 ": %s", c->pid,
		    ERRNO_TEXT(errno));
out:
	if (fd >= 0)
		(void)close(fd);
	return rc;
}
