#ifndef CTL_PHP_FILE_H
#define CTL_PHP_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Scripts that are copied to where a site's PHP reads them. */
#define PHP_FILE_MAX ((size_t)1 << 20)
#define PHP_FILE_PATH_MAX 4096

/* "doing path: words of errno", RC_REJECT. */
enum rc php_file_error(struct err *err, const char *doing, const char *path);

/* Append a file's bytes. RC_NONE: there is none; RC_REJECT: it cannot be read,
 * or is over the buffer's ceiling. */
MUSTUSE enum rc php_file_bytes(
    const char *path, struct buf *out, struct err *err);

/* Append a script. RC_NONE: there is no file; RC_REJECT: it cannot be read, or
 * is no PHP script. */
MUSTUSE enum rc php_file_read(
    const char *path, struct buf *out, struct err *err);

/* Replace or make the file, mode 0644, and the directory when only that is
 * missing. Beside it and renamed, so that PHP never compiles half a file. */
MUSTUSE enum rc php_file_write(
    const char *path, struct slice text, struct err *err);

/* "dir/name" into `path`, of PHP_FILE_PATH_MAX bytes. RC_REJECT: too long, or
 * not absolute. */
MUSTUSE enum rc php_file_path(
    const char *dir, const char *name, char *path, struct err *err);

#endif
