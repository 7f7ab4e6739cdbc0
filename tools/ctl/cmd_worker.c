/* worker install: worker.php to where PHP may read it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "ctl.h"

const char *const worker_columns[] = { "worker_script", "from", NULL };

#define WORKER_MAX ((size_t)1 << 20)
#define PATH_MAX_LEN 4096
#define WORKER_DIR "wp-cron-fcgi"

static enum rc
io_error(struct err *err, const char *doing, const char *path)
{
	return err_set_code(
	    err, RC_REJECT, errno, "%s %s: %s", doing, path, ERRNO_TEXT(errno));
}

static enum rc
read_script(const char *path, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum rc rc = RC_OK;
	char chunk[8192];
	ssize_t n;

	if (fd < 0)
		return io_error(err, "cannot read", path);
	while ((n = read(fd, chunk, sizeof chunk)) > 0)
		buf_put(out, chunk, (size_t)n);
	if (n < 0)
		rc = io_error(err, "cannot read", path);
	else if (out->failed ||
		 !slice_starts(buf_slice(out), SLICE_LIT("<?php")))
		rc = err_set(err, RC_REJECT, "%s is no PHP script", path);
	close(fd);
	return rc;
}

static enum rc
write_all(int fd, const char *path, struct slice text, struct err *err)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno != EINTR)
			return io_error(err, "cannot write", path);
		if (n > 0)
			text = slice_from(text, (size_t)n);
	}
	if (fchmod(fd, 0644) != 0 || fsync(fd) != 0)
		return io_error(err, "cannot write", path);
	return RC_OK;
}

/* Beside it and renamed, so that PHP never compiles half a file. */
static enum rc
write_script(const char *path, struct slice text, struct err *err)
{
	char tmp[PATH_MAX_LEN + 16];
	enum rc rc;
	int fd;

	(void)snprintf(tmp, sizeof tmp, "%s.XXXXXX", path);
	fd = mkstemp(tmp);
	if (fd < 0)
		return io_error(err, "cannot write", tmp);
	rc = write_all(fd, tmp, text, err);
	close(fd);
	if (rc == RC_OK && rename(tmp, path) != 0)
		rc = io_error(err, "cannot rename to", path);
	if (rc != RC_OK)
		(void)unlink(tmp);
	return rc;
}

static enum rc
choose_paths(const struct ctl *c, char *dir, char *path, struct err *err)
{
	int n;

	if (c->opts.to)
		n = snprintf(dir, PATH_MAX_LEN, "%s", c->opts.to);
	else
		n = snprintf(dir, PATH_MAX_LEN, "%s/" WORKER_DIR,
		    c->sites[0]->content_dir);
	if (n > 0 && n < PATH_MAX_LEN)
		n = snprintf(path, PATH_MAX_LEN, "%.*s/worker.php",
		    PATH_MAX_LEN - 16, dir);
	if (n <= 0 || n >= PATH_MAX_LEN)
		return err_set(err, RC_REJECT, "the path is too long");
	if (dir[0] != '/')
		return err_set(err, RC_REJECT, "--to is an absolute path");
	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return io_error(err, "cannot make", dir);
	return RC_OK;
}

int
cmd_worker_install(struct ctl *c)
{
	const char *from = c->opts.from ? c->opts.from : CTL_WORKER_SCRIPT;
	struct buf text = BUF_INIT(WORKER_MAX);
	char dir[PATH_MAX_LEN], path[PATH_MAX_LEN];
	struct err err = ERR_INIT;
	json_t *row;
	int status;
	enum rc rc = read_script(from, &text, &err);

	if (rc == RC_OK)
		rc = choose_paths(c, dir, path, &err);
	if (rc == RC_OK)
		rc = write_script(path, buf_slice(&text), &err);
	if (rc != RC_OK) {
		status = ctl_error(c, &err);
		goto out;
	}
	ctl_notice(c,
	    "set this in [site %s], as PHP sees the path (without "
	    "its chroot):\nworker_script = %s",
	    c->sites[0]->name, path);
	row = json_object();
	row_text(row, "worker_script", path);
	row_text(row, "from", from);
	status = ctl_print_record(c, row, EXIT_DONE);
out:
	buf_clear(&text);
	return status;
}
