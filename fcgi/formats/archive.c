#include "formats/archive.h"

#include "base/buf.h"

#include <archive.h>
#include <archive_entry.h>

#define CHUNK ((size_t)64 * 1024)

/* The content of the file at hand, up to the room that is left. */
static enum rc
read_file(struct archive *a, struct buf *out, struct err *err)
{
	for (;;) {
		la_ssize_t got;

		if (!buf_reserve(out, CHUNK))
			return err_set(err, RC_REJECT,
			    "more than %zu bytes unpacked", out->max);
		got = archive_read_data(a, out->p + out->n, CHUNK);
		if (got == 0)
			return RC_OK;
		if (got < 0)
			return err_set(err, RC_REJECT, "%s",
			    archive_error_string(a) ? archive_error_string(a)
						    : "cannot be unpacked");
		out->n += (size_t)got;
		out->p[out->n] = '\0';
	}
}

static enum rc
walk(struct archive *a, size_t max, archive_file_fn *each, void *arg,
    struct err *err)
{
	struct buf content = BUF_INIT(max + CHUNK);
	struct archive_entry *entry;
	size_t total = 0;
	enum rc rc = RC_OK;
	int status;

	while ((status = archive_read_next_header(a, &entry)) == ARCHIVE_OK) {
		if (archive_entry_filetype(entry) != AE_IFREG)
			continue;
		buf_reset(&content);
		rc = read_file(a, &content, err);
		if (rc != RC_OK)
			goto out;
		total += content.n;
		if (total > max) {
			rc = err_set(err, RC_REJECT,
			    "more than %zu bytes unpacked", max);
			goto out;
		}
		rc = each(arg, archive_entry_pathname(entry),
		    buf_slice(&content), err);
		if (rc != RC_OK)
			goto out;
	}
	if (status != ARCHIVE_EOF)
		rc = err_set(err, RC_REJECT, "%s",
		    archive_error_string(a) ? archive_error_string(a)
					    : "not an archive");
out:
	buf_clear(&content);
	return rc;
}

enum rc
archive_each(struct slice archive, size_t max, archive_file_fn *each, void *arg,
    struct err *err)
{
	struct archive *a = archive_read_new();
	enum rc rc;

	if (!a)
		return err_set(err, RC_REJECT, "no memory for an archive");
	if (archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
	    archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_open_memory(a, archive.p, archive.n) != ARCHIVE_OK)
		rc = err_set(err, RC_REJECT, "%s",
		    archive_error_string(a) ? archive_error_string(a)
					    : "not an archive");
	else
		rc = walk(a, max, each, arg, err);
	archive_read_free(a);
	return rc;
}
