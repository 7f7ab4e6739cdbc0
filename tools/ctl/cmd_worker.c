/* worker install: worker.php to where PHP may read it. */
#include "ctl.h"
#include "php_file.h"

const char *const worker_columns[] = { "worker_script", "from", NULL };

/* `path` has PHP_FILE_PATH_MAX bytes. */
static enum rc
choose_path(const struct ctl *c, char *path, struct err *err)
{
	if (c->opts.to)
		return php_file_path(c->opts.to, "worker.php", path, err);
	return php_file_path(
	    c->sites[0]->content_dir, "wp-cron-fcgi/worker.php", path, err);
}

int
cmd_worker_install(struct ctl *c)
{
	const char *from = c->opts.from ? c->opts.from : CTL_WORKER_SCRIPT;
	struct buf text = BUF_INIT(PHP_FILE_MAX);
	char path[PHP_FILE_PATH_MAX];
	struct err err = ERR_INIT;
	json_t *row;
	int status;
	enum rc rc = php_file_read(from, &text, &err);

	if (rc == RC_OK)
		rc = choose_path(c, path, &err);
	if (rc == RC_OK)
		rc = php_file_write(path, buf_slice(&text), &err);
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
