#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "wordpress/site_private.h"

#define ZONEINFO "/usr/share/zoneinfo"
#define ZONE_MAX_LEN ((size_t)256 * 1024)

static bool
read_all(int fd, char *p, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t got = read(fd, p + n, size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return true;
}

enum rc
site_file_read(const char *path, size_t max, struct arena *a, struct slice *out,
    struct err *err)
{
	enum rc rc = RC_OK;
	struct stat st;
	char *text = NULL;
	/* A fifo must not make us wait for its writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set_code(err,
		    errno == ENOENT || errno == ENOTDIR ? RC_NONE : RC_REJECT,
		    errno, "%s: %s", path, ERRNO_TEXT(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		rc = err_set(err, RC_REJECT, "%s: not a file", path);
		goto out;
	}
	if ((uintmax_t)st.st_size <= max)
		text = arena_alloc(a, (size_t)st.st_size + 1);
	if (!text) {
		rc = err_set(err, RC_REJECT, "%s: too large", path);
		goto out;
	}
	if (!read_all(fd, text, (size_t)st.st_size)) {
		rc = err_set(err, RC_REJECT, "%s: cannot be read", path);
		goto out;
	}
	*out = slice_mem(text, (size_t)st.st_size);
out:
	close(fd);
	return rc;
}

/* The option is text that administrators write; it must stay a zone's name.
 * No zone has a dot, so none leads out of the folder. */
static bool
is_zone_name(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";

	return *name && *name != '/' && name[strspn(name, good)] == '\0';
}

struct timezone *
site_zone_open(const char *name)
{
	struct arena a = ARENA_INIT(ZONE_MAX_LEN + 64);
	struct timezone *zone = NULL;
	struct slice bytes = SLICE_NONE;
	char path[sizeof ZONEINFO + 64];
	int n = snprintf(path, sizeof path, ZONEINFO "/%s", name);

	if (!is_zone_name(name) || n < 0 || (size_t)n >= sizeof path)
		return NULL;
	if (site_file_read(path, ZONE_MAX_LEN, &a, &bytes, NULL) == RC_OK &&
	    timezone_parse(bytes, &zone, NULL) != RC_OK)
		zone = NULL;
	arena_clear(&a);
	return zone;
}

int64_t
site_local_scheduled(const struct site_facts *f, int64_t unix_time)
{
	return unix_time + timezone_offset(f->zone, unix_time);
}

/* wp_timezone_string(): whole hours, then minutes, both cut towards zero. */
static int32_t
gmt_offset_seconds(double offset)
{
	int hours, minutes;

	/* No clock is further off; NaN compares false. */
	if (!(offset > -24 && offset < 24))
		return 0;
	hours = (int)offset;
	minutes = (int)((offset - hours) * 60);
	return hours * 3600 + minutes * 60;
}

int64_t
site_local_attempt(const struct site_facts *f, int64_t unix_time)
{
	if (f->zone || *f->timezone_string)
		return site_local_scheduled(f, unix_time);
	return unix_time + gmt_offset_seconds(f->gmt_offset);
}
