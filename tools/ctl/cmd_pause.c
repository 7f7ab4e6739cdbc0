/* pause, resume, pause list: for all nodes, in the database. */
#include "blogs.h"

const char *const pause_columns[] = { "kind", "pattern", "blog_id", "paused_at",
	"changed", NULL };

static enum rc
put_pauses(struct place *p, json_t *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    p->db, &p->scope, SQL_EVENTS_CTL_PAUSES, SQL_NO_ARGS, &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		json_t *row = json_object();

		row_int(row, "blog_id", db_i64(rows, 0));
		row_slice(row, "kind", db_text(rows, 1));
		row_slice(row, "pattern", db_text(rows, 2));
		row_time(row, "paused_at", db_time(rows, 3));
		(void)json_array_append_new(out, row);
	}
	db_rows_free(rows);
	return rc;
}

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	struct err err = ERR_INIT;

	return put_pauses(p, arg, &err) == RC_OK ? EXIT_DONE
						 : ctl_error(c, &err);
}

int
cmd_pause_list(struct ctl *c)
{
	json_t *rows = json_array();
	int status = blogs_each(c, NEED_OWN, list, rows);

	if (status == EXIT_DONE)
		return ctl_print_rows(c, rows, EXIT_DONE);
	json_decref(rows);
	return status;
}

/* ---- change ------------------------------------------------------------- */

/* {base}wpcron_policies.pattern */
#define PATTERN_MAX 191

struct change {
	const char *kind, *pattern;
	enum sql_id statement;
	json_t *row;
};

static int
change(const struct ctl *c, struct place *p, void *arg)
{
	struct change *ch = arg;
	uint64_t blog = c->opts.url ? p->blog_id : 0, affected = 0;
	struct err err = ERR_INIT;

	if (db_exec(p->db, &p->scope, ch->statement,
		SQL_ARGS(V_U64(blog), V_STR(ch->kind),
		    V_BYTES(slice_str(ch->pattern))),
		&affected, &err) != RC_OK)
		return ctl_error(c, &err);
	row_text(ch->row, "kind", ch->kind);
	row_text(ch->row, "pattern", ch->pattern);
	row_int(ch->row, "blog_id", (int64_t)blog);
	row_bool(ch->row, "changed", affected == 1);
	return EXIT_DONE;
}

static int
run(struct ctl *c, enum sql_id statement)
{
	struct change ch = { .statement = statement };
	int status;

	if ((c->nargs > 0) == (c->opts.group != NULL))
		return ctl_fail(c, EXIT_USAGE, "usage: wp-cronctl %s %s",
		    c->command->name, c->command->args);
	ch.kind = c->nargs > 0 ? "hook" : "group";
	ch.pattern = c->nargs > 0 ? c->args[0] : c->opts.group;
	if (slice_str(ch.pattern).n == 0 ||
	    slice_str(ch.pattern).n > PATTERN_MAX)
		return ctl_fail(
		    c, EXIT_USAGE, "a pattern has 1 to %d bytes", PATTERN_MAX);
	ch.row = json_object();
	status = blogs_each(c, NEED_OWN, change, &ch);
	if (status == EXIT_DONE)
		return ctl_print_record(c, ch.row, EXIT_DONE);
	json_decref(ch.row);
	return status;
}

int
cmd_pause(struct ctl *c)
{
	return run(c, SQL_EVENTS_CTL_PAUSE);
}

int
cmd_resume(struct ctl *c)
{
	return run(c, SQL_EVENTS_CTL_RESUME);
}
