/* companion: the must-use plugin that merges writes of the option `cron`. */
#include <unistd.h>

#include "ctl.h"
#include "php_file.h"

const char *const companion_columns[] = { "state", "found", "available", "file",
	NULL };

/* How the file begins; only one that does is ours to replace or remove. */
#define HEAD "<?php\n/**\n * Plugin Name: wp-cron-fcgi companion\n"

/* What is in the directory of must-use plugins, and what could be. */
struct companion {
	char path[PHP_FILE_PATH_MAX];
	struct buf there, ours;
	bool is_there, is_ours, is_same;
};
#define COMPANION_INIT                                                         \
	{                                                                      \
		.there = BUF_INIT(PHP_FILE_MAX),                               \
		.ours = BUF_INIT(PHP_FILE_MAX)                                 \
	}

static void
companion_clear(struct companion *p)
{
	buf_clear(&p->there);
	buf_clear(&p->ours);
}

static enum rc
look_there(struct companion *p, struct err *err)
{
	enum rc rc = php_file_read(p->path, &p->there, err);

	if (rc == RC_NONE)
		return RC_OK;
	/* What could be read and is no script is somebody else's, too. */
	if (rc != RC_OK && err->code != 0)
		return rc;
	p->is_there = true;
	p->is_ours = slice_starts(buf_slice(&p->there), SLICE_LIT(HEAD));
	p->is_same = slice_eq(buf_slice(&p->there), buf_slice(&p->ours));
	return RC_OK;
}

static enum rc
read_ours(const struct ctl *c, struct companion *p, struct err *err)
{
	const char *from = c->opts.from ? c->opts.from : CTL_COMPANION_SCRIPT;
	enum rc rc = php_file_read(from, &p->ours, err);

	if (rc == RC_OK && !slice_starts(buf_slice(&p->ours), SLICE_LIT(HEAD)))
		rc = err_set(
		    err, RC_REJECT, "%s is not the companion plugin", from);
	return rc;
}

static enum rc
refuse_others(const struct companion *p, struct err *err)
{
	if (!p->is_there || p->is_ours)
		return RC_OK;
	return err_set(err, RC_REJECT,
	    "%s is not the companion plugin; move it away first", p->path);
}

/* The words behind " * Version: ". */
static struct slice
version_of(const struct buf *script)
{
	struct slice mark = SLICE_LIT(" * Version: ");
	struct slice rest = buf_slice(script);

	while (rest.n > 0 && !slice_starts(rest, mark))
		rest = slice_from(rest, slice_find(rest, '\n') + 1);
	rest = slice_from(rest, mark.n);
	return slice_mem(rest.p, slice_find(rest, '\n'));
}

/* The same file stays as it is: by its date the daemon tells whether a PHP
 * process may still run without it. */
static enum rc
install(struct companion *p, const char **state, struct err *err)
{
	*state = "was installed";
	if (p->is_same)
		return RC_OK;
	*state = p->is_there ? "replaced" : "installed";
	return php_file_write(p->path, buf_slice(&p->ours), err);
}

static enum rc
take_away(struct companion *p, const char **state, struct err *err)
{
	*state = "was not installed";
	if (!p->is_there)
		return RC_OK;
	*state = "removed";
	if (unlink(p->path) != 0)
		return php_file_error(err, "cannot remove", p->path);
	return RC_OK;
}

static enum rc
tell(struct companion *p, const char **state, struct err *err)
{
	(void)err;
	*state = !p->is_there  ? "not installed"
		 : !p->is_ours ? "not ours"
		 : p->is_same  ? "installed"
			       : "another version";
	return RC_OK;
}

typedef enum rc work_fn(
    struct companion *p, const char **state, struct err *err);

static int
work(struct ctl *c, work_fn *do_it)
{
	const char *dir = c->opts.to ? c->opts.to : c->sites[0]->mu_plugin_dir;
	struct companion p = COMPANION_INIT;
	const char *state = NULL;
	struct err err = ERR_INIT;
	json_t *row;
	int status;
	enum rc rc = php_file_path(dir, SITE_COMPANION_FILE, p.path, &err);

	if (rc == RC_OK && do_it != take_away)
		rc = read_ours(c, &p, &err);
	if (rc == RC_OK)
		rc = look_there(&p, &err);
	if (rc == RC_OK && do_it != tell)
		rc = refuse_others(&p, &err);
	if (rc == RC_OK)
		rc = do_it(&p, &state, &err);
	if (rc != RC_OK) {
		status = ctl_error(c, &err);
		goto out;
	}
	row = json_object();
	row_text(row, "state", state);
	row_slice(row, "found", version_of(&p.there));
	row_slice(row, "available", version_of(&p.ours));
	row_text(row, "file", p.path);
	status = ctl_print_record(c, row, EXIT_DONE);
out:
	companion_clear(&p);
	return status;
}

int
cmd_companion_install(struct ctl *c)
{
	return work(c, install);
}

int
cmd_companion_remove(struct ctl *c)
{
	return work(c, take_away);
}

int
cmd_companion_status(struct ctl *c)
{
	return work(c, tell);
}
