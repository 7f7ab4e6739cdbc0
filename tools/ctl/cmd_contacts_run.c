/* contacts run, contacts pull, contacts push */
#include <inttypes.h>

#include "base/clock.h"
#include "contacts.h"

const char *const contacts_run_columns[] = { "direction", "readers", "done",
	"unchanged", "pending", "retried", "refused", "skipped", "orphans",
	"php", "", "seconds", "held_by", "more", "again_at", "url", NULL };
const char *const contacts_task_columns[] = { "user", "direction",
	"integration", "ok", "message", "", "final", "later", "address", "url",
	NULL };

#define TASK_CONTEXT "wp-cronctl"

/* ---- run ---------------------------------------------------------------- */

struct running {
	struct contact_batch_opts opts;
	json_t *rows;
	bool failed;
};

static void
put_counts(struct running *r, const struct contacts_view *v,
    const struct contact_report *report, enum contact_direction d,
    mono_ms began)
{
	const struct contact_counts *n = &report->counts[d];
	json_t *row = json_object();

	row_text(row, "direction", contact_direction_name(d));
	row_int(row, "readers", (int64_t)n->readers);
	row_int(row, "done", (int64_t)n->done);
	row_int(row, "unchanged", (int64_t)n->unchanged);
	row_int(row, "pending", (int64_t)n->pending);
	row_int(row, "retried", (int64_t)n->retried);
	row_int(row, "refused", (int64_t)n->refused);
	row_int(row, "skipped", (int64_t)n->skipped);
	row_int(row, "orphans", (int64_t)n->orphans);
	row_int(row, "php", (int64_t)n->php);
	row_seconds(row, "seconds", (clock_mono(&clock_system) - began) * 1000);
	if (*report->held)
		row_text(row, "held_by", report->held);
	row_bool(row, "more", report->more);
	row_time(row, "again_at", report->again_at);
	row_text(row, "url", v->place->facts.home);
	(void)json_array_append_new(r->rows, row);
	r->failed |= n->retried + n->refused > 0;
}

static void
tell(const struct ctl *c, const struct contact_report *report)
{
	char when[DATETIME_LEN + 1];

	if (*report->held)
		ctl_notice(
		    c, "nothing leaves: %s; readers stay staged", report->held);
	if (report->more)
		ctl_notice(c, "readers wait still: run it again");
	if (report->again_at == INT64_MAX || report->again_at <= 0)
		return;
	datetime_render(report->again_at, when);
	ctl_notice(c,
	    "a bulk call is under way at the provider; it is asked again at "
	    "%s",
	    when);
}

static int
run(const struct ctl *c, struct contacts_view *v, void *arg)
{
	struct running *r = arg;
	mono_ms began = clock_mono(&clock_system);
	struct contact_report report = { .again_at = INT64_MAX };
	struct err err = ERR_INIT;
	enum rc rc = contact_batch_run(&v->env, &r->opts, &report, &err);

	if (rc == RC_NONE)
		return ctl_fail(c, EXIT_AGAIN,
		    "another node works on the contacts of this blog");
	if (rc != RC_OK)
		return ctl_error(c, &err);
	for (unsigned d = 0; d < CONTACT_NDIRECTIONS; d++)
		if (r->opts.directions & 1u << d)
			put_counts(
			    r, v, &report, (enum contact_direction)d, began);
	tell(c, &report);
	return EXIT_DONE;
}

int
cmd_contacts_run(struct ctl *c)
{
	struct running r = { .opts = { .directions = contacts_directions(c) } };
	int status = work_budget(c, &r.opts.budget_ms);

	if (status != EXIT_DONE)
		return status;
	r.rows = json_array();
	status = contacts_each(c, run, &r);
	if (status <= EXIT_SOME_FAILED)
		return ctl_print_rows(
		    c, r.rows, r.failed ? EXIT_SOME_FAILED : EXIT_DONE);
	json_decref(r.rows);
	return status;
}

/* ---- one reader --------------------------------------------------------- */

struct one {
	enum contact_direction direction;
	json_t *rows;
	int worst;
};

static json_t *
task_row(const struct contact_task *t, const struct contacts_view *v,
    const struct contact_user *u)
{
	json_t *row = json_object();

	row_int(row, "user", (int64_t)t->user_id);
	row_text(row, "direction", contact_direction_name(t->direction));
	row_slice(row, "integration", t->integration);
	row_bool(row, "ok", t->ok);
	row_text(row, "message", t->message);
	row_bool(row, "final", !t->ok && t->final);
	row_bool(row, "later", !t->ok && t->later);
	row_masked(row, "address", u->email);
	row_text(row, "url", v->place->facts.home);
	return row;
}

static int
run_task(const struct ctl *c, struct one *x, struct contacts_view *v,
    const struct contact_user *u, const char *integration)
{
	struct contact_task t = {
		.direction = x->direction,
		.user_id = u->id,
		.integration = slice_str(integration),
		.context = SLICE_LIT(TASK_CONTEXT),
		.unchanged_too = true,
	};
	struct err err = ERR_INIT;
	int status;

	if (contact_task_run(&v->env, &t, &err) != RC_OK)
		return ctl_error(c, &err);
	(void)json_array_append_new(x->rows, task_row(&t, v, u));
	status = t.ok      ? EXIT_DONE
		 : t.later ? EXIT_UNAVAILABLE
			   : EXIT_SOME_FAILED;
	if (status > x->worst)
		x->worst = status;
	return EXIT_DONE;
}

static int
run_tasks(const struct ctl *c, struct one *x, struct contacts_view *v,
    const struct contact_user *u)
{
	const struct newspack *n = &v->newspack;
	const char *remedy, *held = contacts_held(v, &remedy);
	int status = EXIT_DONE;

	if (held)
		return ctl_fail(
		    c, EXIT_CONFIG, "nothing leaves: %s; %s", held, remedy);
	if (c->opts.integration)
		return contacts_integration(c, v, c->opts.integration)
			   ? run_task(c, x, v, u, c->opts.integration)
			   : EXIT_CONFIG;
	for (size_t i = 0; i < n->n && status == EXIT_DONE; i++)
		if (n->integrations[i].set_up &&
		    (x->direction == CONTACT_PULL ? n->integrations[i].pull
						  : n->integrations[i].push))
			status = run_task(c, x, v, u, n->integrations[i].id);
	if (status == EXIT_DONE && json_array_size(x->rows) == 0)
		status = ctl_fail(c, EXIT_CONFIG,
		    "no integration is set up for this; `wp-cronctl "
		    "integration list` says why");
	return status;
}

static int
of_reader(const struct ctl *c, struct contacts_view *v, void *arg)
{
	struct arena a = ARENA_INIT(CONTACTS_ARENA_MAX);
	struct one *x = arg;
	struct contact_user u;
	int status = contacts_find(c, v, c->args[0], &a, &u);

	if (status == EXIT_DONE)
		status = run_tasks(c, x, v, &u);
	arena_clear(&a);
	return status;
}

static int
one_reader(struct ctl *c, enum contact_direction d)
{
	struct one x = { .direction = d, .rows = json_array() };
	int status = contacts_each(c, of_reader, &x);

	if (status == EXIT_DONE)
		return ctl_print_rows(c, x.rows, (enum ctl_exit)x.worst);
	json_decref(x.rows);
	return status;
}

int
cmd_contacts_pull(struct ctl *c)
{
	return one_reader(c, CONTACT_PULL);
}

int
cmd_contacts_push(struct ctl *c)
{
	return one_reader(c, CONTACT_PUSH);
}
