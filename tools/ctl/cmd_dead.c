/* dead list, show, retry, delete: what failed for good, of every queue. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "blogs.h"
#include "dead.h"
#include "mails.h"
#include "queues/actions_admin.h"
#include "queues/cron_events_admin.h"
#include "queues/messages.h"
#include "tasks.h"

const char *const dead_list_columns[] = { "id", "kind", "source", "queue",
	"title", "reason", "attempts", "died", "", "created", "blog_id", NULL };
const char *const dead_show_columns[] = { "id", "kind", "queue", "source",
	"title", "reason", "attempts", "created", "died", "payload", "blog_id",
	NULL };
const char *const dead_change_columns[] = { "id", "kind", "changed", "new_id",
	"why", NULL };

#define AT_ONCE 500
#define ARENA_MAX ((size_t)512 << 20)

/* ---- list, show --------------------------------------------------------- */

static json_t *
letter_row(const struct dead_letter *d)
{
	json_t *row = json_object();

	row_int(row, "id", (int64_t)d->letter_id);
	row_text(row, "kind", dead_kind_name(d->kind));
	row_slice(row, "queue", d->queue);
	row_slice(row, "title", d->title);
	row_slice(row, "reason", d->reason);
	row_int(row, "attempts", d->attempts);
	row_time(row, "died", d->died_at);
	row_int(row, "source", (int64_t)d->source);
	row_time(row, "created", d->created_at);
	row_int(row, "blog_id", d->blog_id);
	return row;
}

/* Called with up to AT_ONCE letters, newest first. */
typedef enum rc letters_fn(
    struct dead_letter *d, size_t n, void *arg, struct err *err);

/* All letters of a filter. */
static enum rc
walk(struct place *p, struct dead_filter *f, letters_fn *fn, void *arg,
    struct err *err)
{
	uint64_t left = f->max;
	size_t n = AT_ONCE;
	enum rc rc = RC_OK;

	while (rc == RC_OK && n == AT_ONCE && left > 0) {
		struct arena a = ARENA_INIT(ARENA_MAX);
		struct dead_letter *d = NULL;

		f->max = left < AT_ONCE ? (size_t)left : AT_ONCE;
		rc = dead_letters_list(p->db, &p->scope, f, &a, &d, &n, err);
		if (rc == RC_OK && n > 0) {
			f->before_id = d[n - 1].letter_id;
			left -= n;
			rc = fn(d, n, arg, err);
		}
		arena_clear(&a);
	}
	return rc;
}

struct listing {
	int kind;
	struct work_page page;
	uint64_t skip;
	json_t *rows;
};

static enum rc
put_letters(struct dead_letter *d, size_t n, void *arg, struct err *err)
{
	struct listing *l = arg;

	(void)err;
	for (size_t i = 0; i < n; i++) {
		if (l->skip > 0)
			l->skip--;
		else
			(void)json_array_append_new(l->rows, letter_row(&d[i]));
	}
	return RC_OK;
}

static struct dead_filter
filter_of(const struct ctl *c, const struct place *p, int kind)
{
	return (struct dead_filter){
		.blog_id = c->opts.url ? p->blog_id : 0,
		.kind = kind,
		.max = SIZE_MAX,
	};
}

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	struct listing *l = arg;
	struct dead_filter f = filter_of(c, p, l->kind);
	struct err err = ERR_INIT;

	l->skip = work_page_skip(&l->page);
	f.max = (size_t)(l->skip + l->page.per_page);
	return walk(p, &f, put_letters, l, &err) == RC_OK ? EXIT_DONE
							  : ctl_error(c, &err);
}

/* --kind; -1: any. */
static int
read_kind(const struct ctl *c, int *kind)
{
	*kind = c->opts.kind ? dead_kind_of(slice_str(c->opts.kind)) : -1;
	if (c->opts.kind && *kind < 0)
		return ctl_fail(c, EXIT_USAGE,
		    "--kind is mail, message, task, action, event or contact, "
		    "not \"%s\"",
		    c->opts.kind);
	return EXIT_DONE;
}

int
cmd_dead_list(struct ctl *c)
{
	struct listing l;
	int status = read_kind(c, &l.kind);

	if (status == EXIT_DONE)
		status = work_page(c, &l.page);
	if (status != EXIT_DONE)
		return status;
	l.rows = json_array();
	status = blogs_each(c, NEED_OWN, list, &l);
	if (status == EXIT_DONE)
		return ctl_print_rows(c, l.rows, EXIT_DONE);
	json_decref(l.rows);
	return status;
}

static int
show(const struct ctl *c, struct place *p, void *arg)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	const uint64_t *id = arg;
	struct dead_letter d;
	struct err err = ERR_INIT;
	int status;
	enum rc rc = dead_letter_get(p->db, &p->scope, *id, &a, &d, &err);

	if (rc == RC_OK) {
		json_t *row = letter_row(&d);

		if (d.kind == DEAD_TASK && c->opts.body)
			(void)json_object_set_new(
			    row, "payload", task_payload(d.payload));
		else if (d.kind == DEAD_TASK)
			task_put_keys(row, "payload", d.payload);
		status = ctl_print_record(c, row, EXIT_DONE);
	} else if (rc == RC_NONE) {
		status = ctl_fail(c, EXIT_SOME_FAILED,
		    "there is no dead letter %" PRIu64, *id);
	} else {
		status = ctl_error(c, &err);
	}
	arena_clear(&a);
	return status;
}

int
cmd_dead_show(struct ctl *c)
{
	uint64_t id;

	if (!ctl_number(c, "ID", c->args[0], 1, INT64_MAX, &id))
		return EXIT_USAGE;
	return blogs_each(c, NEED_OWN, show, &id);
}

/* ---- retry -------------------------------------------------------------- */

struct changes {
	const struct ctl *c;
	struct place *place;
	int kind;
	bool remove;
	uint64_t *ids;
	json_t *rows;
	size_t refused;
};

static enum rc
retry_task(struct changes *ch, const struct dead_letter *d, uint64_t *fresh,
    struct err *err)
{
	struct place *p = ch->place;
	struct queue_view v;

	for (size_t i = 0; queue_view_at(ch->c, p, i, &v); i++)
		if (slice_eq(d->queue, v.queue.name) ||
		    slice_eq_str(d->queue, v.config->name)) {
			enum rc rc = tasks_revive(
			    p->db, &p->scope, &v.queue, d->payload, fresh, err);

			/* A list that nobody could read: the next may be. */
			return rc == RC_REJECT ? RC_NONE : rc;
		}
	return err_set(err, RC_NONE,
	    "no [tasks %s/...] of the configuration has the queue %.*s",
	    p->site->name, SLICE_FMT(d->queue));
}

static enum rc
retry_event(struct changes *ch, const struct dead_letter *d, struct err *err)
{
	const struct place *p = ch->place;
	const struct cron_admin a = { .db = p->db,
		.scope = &p->scope,
		.blog_id = p->blog_id,
		.object_cache = p->facts.object_cache,
		.companion = p->facts.companion };

	return cron_admin_retry(&a, d->source, err);
}

static enum rc
retry_message(struct changes *ch, const struct dead_letter *d, struct err *err)
{
	struct place *p = ch->place;
	struct messages_status s;
	uint64_t n = 0;
	enum rc rc =
	    messages_statuses(p->db, &p->scope, &d->source, 1, &s, err);

	if (rc != RC_OK)
		return rc;
	if (strcmp(s.sts, "MIC") == 0 || strcmp(s.sts, "MID") == 0 ||
	    strcmp(s.sts, "MRS") == 0)
		return messages_unpark(
		    p->db, &p->scope, p->blog_id, d->source, err);
	if (strcmp(s.sts, "MFL") == 0)
		return err_set(err, RC_NONE,
		    "Event Espresso failed message %" PRIu64 " for good: have "
		    "it made anew there",
		    d->source);
	rc = messages_resend(
	    p->db, &p->scope, p->blog_id, &d->source, 1, &n, err);
	if (rc == RC_OK && n == 0)
		return err_set(err, RC_NONE,
		    "message %" PRIu64 " is gone, or is neither sent nor "
		    "failed",
		    d->source);
	return rc;
}

static enum rc
retry_action(struct changes *ch, const struct dead_letter *d, uint64_t *fresh,
    struct err *err)
{
	struct place *p = ch->place;

	if (!p->actions)
		return err_set(
		    err, RC_NONE, "Action Scheduler's tables are not there");
	return actions_retry_one(p->queue, p->db, d->source, fresh, err);
}

static enum rc
retry_one(struct changes *ch, const struct dead_letter *d, uint64_t *fresh,
    struct err *err)
{
	switch (d->kind) {
	case DEAD_MAIL:
		return mail_revive(ch->place, d->blog_id, d->source,
		    slice_starts(d->queue, SLICE_LIT("message:")), err);
	case DEAD_MESSAGE:
		return retry_message(ch, d, err);
	case DEAD_TASK:
		return retry_task(ch, d, fresh, err);
	case DEAD_ACTION:
		return retry_action(ch, d, fresh, err);
	case DEAD_EVENT:
		return retry_event(ch, d, err);
	case DEAD_CONTACT:
		break;
	}
	return err_set(err, RC_NONE,
	    "a reader's data is sent anew by `wp-cronctl contacts push` or "
	    "`contacts pull`, with the user's id");
}

static void
put_change(struct changes *ch, const struct dead_letter *d, bool changed,
    uint64_t fresh, const char *why)
{
	json_t *row = json_object();

	row_int(row, "id", (int64_t)d->letter_id);
	row_text(row, "kind", dead_kind_name(d->kind));
	row_bool(row, "changed", changed);
	if (fresh > 0)
		row_int(row, "new_id", (int64_t)fresh);
	row_text(row, "why", why);
	(void)json_array_append_new(ch->rows, row);
	ch->refused += !changed;
}

/* The letter goes last: what is there twice is better than what is gone. */
static enum rc
change_letter(struct changes *ch, const struct dead_letter *d, struct err *err)
{
	struct place *p = ch->place;
	uint64_t fresh = 0;
	enum rc rc = RC_OK;

	if (!ch->remove)
		rc = place_turn(p, d->blog_id, err);
	if (rc == RC_OK && !ch->remove)
		rc = retry_one(ch, d, &fresh, err);
	if (rc == RC_NONE) {
		put_change(ch, d, false, 0, err->text);
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = dead_letter_delete(p->db, &p->scope, d->letter_id, err);
	if (rc == RC_OK || rc == RC_NONE)
		put_change(ch, d, true, fresh, NULL);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
change_id(struct changes *ch, uint64_t id, struct err *err)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	struct place *p = ch->place;
	struct dead_letter d = { .letter_id = id };
	enum rc rc = dead_letter_get(p->db, &p->scope, id, &a, &d, err);

	if (rc == RC_OK && ch->kind >= 0 && (int)d.kind != ch->kind)
		rc = err_set(err, RC_NONE, "it is the letter of a %s",
		    dead_kind_name(d.kind));
	else if (rc == RC_NONE)
		(void)err_set(err, RC_NONE, "there is no such dead letter");
	if (rc == RC_OK) {
		rc = change_letter(ch, &d, err);
	} else if (rc == RC_NONE) {
		d.kind = ch->kind >= 0 ? (enum dead_kind)ch->kind : d.kind;
		put_change(ch, &d, false, 0, err->text);
		rc = RC_OK;
	}
	arena_clear(&a);
	return rc;
}

static enum rc
change_letters(struct dead_letter *d, size_t n, void *arg, struct err *err)
{
	enum rc rc = RC_OK;

	/* One by one: a list comes without what a task's retry needs. */
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = change_id(arg, d[i].letter_id, err);
	return rc;
}

static int
change(const struct ctl *c, struct place *p, void *arg)
{
	struct changes *ch = arg;
	struct dead_filter f = filter_of(c, p, ch->kind);
	struct err err = ERR_INIT;
	enum rc rc = RC_OK;

	ch->place = p;
	for (size_t i = 0; i < c->nargs && rc == RC_OK; i++)
		rc = change_id(ch, ch->ids[i], &err);
	if (c->nargs == 0)
		rc = walk(p, &f, change_letters, ch, &err);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

static int
change_all(struct ctl *c, int kind, bool remove)
{
	struct changes ch = { .c = c, .kind = kind, .remove = remove };
	int status;

	ch.ids = action_ids(c);
	if (!ch.ids)
		return EXIT_USAGE;
	ch.rows = json_array();
	status = blogs_each(c, NEED_OWN, change, &ch);
	free(ch.ids);
	/* What was changed is told, also when the rest could not be. */
	if (status == EXIT_DONE || json_array_size(ch.rows) > 0) {
		int printed = ctl_print_rows(
		    c, ch.rows, ch.refused > 0 ? EXIT_SOME_FAILED : EXIT_DONE);

		return status == EXIT_DONE ? printed : status;
	}
	json_decref(ch.rows);
	return status;
}

int
dead_retry(struct ctl *c, int kind)
{
	return change_all(c, kind, false);
}

static int
check_choice(const struct ctl *c, int *kind)
{
	const struct ctl_options *o = &c->opts;
	bool many = o->all || o->kind;

	if ((c->nargs > 0) == many)
		return ctl_fail(c, EXIT_USAGE, "usage: wp-cronctl %s %s",
		    c->command->name, c->command->args);
	if (many && !o->yes)
		return ctl_fail(c, EXIT_USAGE,
		    "this changes every dead letter%s%s; say --yes",
		    o->kind ? " of kind " : "", o->kind ? o->kind : "");
	return read_kind(c, kind);
}

int
cmd_dead_retry(struct ctl *c)
{
	int kind = -1, status = check_choice(c, &kind);

	return status == EXIT_DONE ? change_all(c, kind, false) : status;
}

int
cmd_dead_delete(struct ctl *c)
{
	int kind = -1, status = check_choice(c, &kind);

	return status == EXIT_DONE ? change_all(c, kind, true) : status;
}
