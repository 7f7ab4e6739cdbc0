/* worker install: worker.php and what it loads, to where PHP may read it. */
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "php_file.h"

const char *const worker_columns[] = { "worker_script", "from", NULL };

/* Parts that worker.php loads from beside it. */
static const char *const parts[] = {
	"contacts.php",
	"mail.php",
	"mailer.php",
	"messages.php",
	"tasks.php",
};

/* `path` has PHP_FILE_PATH_MAX bytes. */
static enum rc
choose_path(const struct ctl *c, char *path, struct err *err)
{
	if (c->opts.to)
		return php_file_path(c->opts.to, "worker.php", path, err);
	return php_file_path(
	    c->sites[0]->content_dir, "wp-cron-fcgi/worker.php", path, err);
}

static enum rc
copy_script(const char *from, const char *to, struct err *err)
{
	struct buf text = BUF_INIT(PHP_FILE_MAX);
	enum rc rc = php_file_read(from, &text, err);

	if (rc == RC_OK)
		rc = php_file_write(to, buf_slice(&text), err);
	buf_clear(&text);
	return rc;
}

/* `name` in the directory of the file `path`. */
static enum rc
beside(const char *path, const char *name, char *out, struct err *err)
{
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash - path) + 1 : 0;
	int n = snprintf(out, PHP_FILE_PATH_MAX, "%.*s%s", dir, path, name);

	if (n <= 0 || n >= PHP_FILE_PATH_MAX)
		return err_set(err, RC_REJECT, "the path is too long");
	return RC_OK;
}

static enum rc
copy_part(const char *name, const char *from, const char *to, struct err *err)
{
	char part_from[PHP_FILE_PATH_MAX], part_to[PHP_FILE_PATH_MAX];
	enum rc rc = beside(from, name, part_from, err);

	if (rc == RC_OK)
		rc = beside(to, name, part_to, err);
	if (rc == RC_OK)
		rc = copy_script(part_from, part_to, err);
	return rc;
}

/* The worker last: a new one never finds another file missing, or old. */
static enum rc
copy_scripts(const char *from, const char *to, struct err *err)
{
	struct buf worker = BUF_INIT(PHP_FILE_MAX);
	enum rc rc = php_file_read(from, &worker, err);

	for (size_t i = 0; i < NELEMS(parts) && rc == RC_OK; i++)
		rc = copy_part(parts[i], from, to, err);
	if (rc == RC_OK)
		rc = php_file_write(to, buf_slice(&worker), err);
	buf_clear(&worker);
	return rc;
}

int
cmd_worker_install(struct ctl *c)
{
	const char *from = c->opts.from ? c->opts.from : CTL_WORKER_SCRIPT;
	char path[PHP_FILE_PATH_MAX];
	struct err err = ERR_INIT;
	json_t *row;
	enum rc rc = choose_path(c, path, &err);

	if (rc == RC_OK)
		rc = copy_scripts(from, path, &err);
	if (rc != RC_OK)
		return ctl_error(c, &err);
	ctl_notice(c,
	    "set this in [site %s], as PHP sees the path (without "
	    "its chroot):\nworker_script = %s",
	    c->sites[0]->name, path);
	row = json_object();
	row_text(row, "worker_script", path);
	row_text(row, "from", from);
	return ctl_print_record(c, row, EXIT_DONE);
}
