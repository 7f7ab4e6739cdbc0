#include "php_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errno_text.h"

enum rc
php_file_error(struct err *err, const char *doing, const char *path)
{
	return err_set_code(
	    err, RC_REJECT, errno, "%s %s: %s", doing, path, ERRNO_TEXT(errno));
}

enum rc
php_file_bytes(const char *path, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum rc rc = RC_OK;
	char chunk[8192];
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return err_set_code(
		    err, RC_NONE, errno, "there is no %s", path);
	if (fd < 0)
		return php_file_error(err, "cannot read", path);
	while ((n = read(fd, chunk, sizeof chunk)) > 0)
		buf_put(out, chunk, (size_t)n);
	if (n < 0)
		rc = php_file_error(err, "cannot read", path);
	else if (out->failed)
		rc = err_set(err, RC_REJECT, "%s is too large", path);
	close(fd);
	return rc;
}

enum rc
php_file_read(const char *path, struct buf *out, struct err *err)
{
	enum rc rc = php_file_bytes(path, out, err);

	if (rc == RC_OK && !slice_starts(buf_slice(out), SLICE_LIT("<?php")))
		rc = err_set(err, RC_REJECT, "%s is no PHP script", path);
	return rc;
}

static enum rc
write_all(int fd, const char *path, struct slice text, struct err *err)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno != EINTR)
			return php_file_error(err, "cannot write", path);
		if (n > 0)
			text = slice_from(text, (size_t)n);
	}
	if (fchmod(fd, 0644) != 0 || fsync(fd) != 0)
		return php_file_error(err, "cannot write", path);
	return RC_OK;
}

static enum rc
make_directory(const char *path, struct err *err)
{
	char dir[PHP_FILE_PATH_MAX];
	const char *end = strrchr(path, '/');

	(void)snprintf(dir, sizeof dir, "%.*s", (int)(end - path), path);
	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return php_file_error(err, "cannot make", dir);
	return RC_OK;
}

enum rc
php_file_write(const char *path, struct slice text, struct err *err)
{
	char tmp[PHP_FILE_PATH_MAX + 16];
	enum rc rc = make_directory(path, err);
	int fd;

	if (rc != RC_OK)
		return rc;
	(void)snprintf(tmp, sizeof tmp, "%s.XXXXXX", path);
	fd = mkstemp(tmp);
	if (fd < 0)
		return php_file_error(err, "cannot write", tmp);
	rc = write_all(fd, tmp, text, err);
	close(fd);
	if (rc == RC_OK && rename(tmp, path) != 0)
		rc = php_file_error(err, "cannot rename to", path);
	if (rc != RC_OK)
		(void)unlink(tmp);
	return rc;
}

enum rc
php_file_path(const char *dir, const char *name, char *path, struct err *err)
{
	int n = snprintf(path, PHP_FILE_PATH_MAX, "%s/%s", dir, name);

	if (n <= 0 || n >= PHP_FILE_PATH_MAX)
		return err_set(err, RC_REJECT, "the path is too long");
	if (dir[0] != '/')
		return err_set(err, RC_REJECT, "--to is an absolute path");
	return RC_OK;
}
