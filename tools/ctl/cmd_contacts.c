/* contacts list, contacts stage */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "contacts.h"

const char *const contacts_list_columns[] = { "user", "since", "pull", "push",
	"address", "retries", "bulk", "", "url", NULL };
const char *const contacts_stage_columns[] = { "user", "address", "pull",
	"push", "held_by", "", "url", NULL };

#define PER_PAGE 30
#define LIST_MAX 1000000
#define RETRIES_TEXT_MAX ((size_t)4096)

/* ---- list --------------------------------------------------------------- */

/* A staged reader; -1 in `flag`: not for this direction. */
struct staged {
	uint64_t user_id;
	int64_t flag[CONTACT_NDIRECTIONS];
};

struct listing {
	unsigned directions;
	uint64_t per_page, page;
	bool all; /* no pages */
	json_t *rows;

	/* Of the blog in hand. */
	struct arena arena;
	struct contact_flags flags[CONTACT_NDIRECTIONS];
	struct contact_retry *retries[CONTACT_NDIRECTIONS];
	size_t nretries[CONTACT_NDIRECTIONS];
	struct contact_batch *batches;
	size_t nbatches;
	struct staged *staged;
	size_t n;
};

static enum rc
read_all(struct listing *l, struct place *p, struct err *err)
{
	enum rc rc = RC_OK;

	for (unsigned d = 0; d < CONTACT_NDIRECTIONS && rc == RC_OK; d++) {
		if (l->directions & 1u << d)
			rc = contact_flags_read(p->db, &p->scope,
			    (enum contact_direction)d, LIST_MAX, &l->arena,
			    &l->flags[d], err);
		if (rc == RC_OK && p->actions)
			rc = contact_retries_read(p->db, &p->scope,
			    (enum contact_direction)d, &l->arena,
			    &l->retries[d], &l->nretries[d], err);
	}
	if (rc == RC_OK)
		rc = contact_batches_read(p->db, &p->scope, p->blog_id,
		    &l->arena, &l->batches, &l->nbatches, err);
	return rc;
}

/* Both lists are by user; a reader with two flag rows is one reader. */
static enum rc
merge(struct listing *l, struct err *err)
{
	size_t at[CONTACT_NDIRECTIONS] = { 0 };

	l->n = 0;
	l->staged = arena_array(&l->arena,
	    l->flags[CONTACT_PULL].n + l->flags[CONTACT_PUSH].n + 1,
	    sizeof *l->staged);
	if (!l->staged)
		return err_set(err, RC_REJECT, "too many staged readers");
	for (;;) {
		struct staged *s = &l->staged[l->n];
		uint64_t least = UINT64_MAX;

		for (unsigned d = 0; d < CONTACT_NDIRECTIONS; d++)
			if (at[d] < l->flags[d].n &&
			    l->flags[d].rows[at[d]].user_id < least)
				least = l->flags[d].rows[at[d]].user_id;
		if (least == UINT64_MAX)
			return RC_OK;
		*s = (struct staged){ least, { INT64_MIN, INT64_MIN } };
		for (unsigned d = 0; d < CONTACT_NDIRECTIONS; d++)
			for (; at[d] < l->flags[d].n &&
			       l->flags[d].rows[at[d]].user_id == least;
			     at[d]++)
				s->flag[d] = contacts_flag_time(
				    l->flags[d].rows[at[d]].value);
		l->n++;
	}
}

static void
put_retries(const struct listing *l, uint64_t user_id, json_t *row)
{
	struct buf b = BUF_INIT(RETRIES_TEXT_MAX);

	for (unsigned d = 0; d < CONTACT_NDIRECTIONS; d++)
		for (size_t i = 0; i < l->nretries[d]; i++) {
			const struct contact_retry *r = &l->retries[d][i];

			if (r->user_id == user_id)
				buf_printf(&b, "%s%s %.*s %u/%d",
				    b.n > 0 ? ", " : "",
				    contact_direction_name(
					(enum contact_direction)d),
				    SLICE_FMT(r->integration), r->count,
				    CONTACT_MAX_RETRIES);
		}
	if (b.n > 0)
		row_slice(row, "retries", buf_slice(&b));
	buf_clear(&b);
}

static void
put_bulk(const struct listing *l, uint64_t user_id, json_t *row)
{
	for (size_t i = 0; i < l->nbatches; i++)
		for (size_t k = 0; k < l->batches[i].n; k++)
			if (l->batches[i].members[k].user_id == user_id)
				row_slice(
				    row, "bulk", l->batches[i].integration);
}

static json_t *
list_row(const struct listing *l, const struct staged *s, const struct place *p)
{
	int64_t pull = s->flag[CONTACT_PULL], push = s->flag[CONTACT_PUSH];
	json_t *row = json_object();

	row_int(row, "user", (int64_t)s->user_id);
	row_time(row, "since",
	    pull == INT64_MIN || (push != INT64_MIN && push < pull) ? push
								    : pull);
	row_time(row, "pull", pull);
	row_time(row, "push", push);
	put_retries(l, s->user_id, row);
	put_bulk(l, s->user_id, row);
	row_text(row, "url", p->facts.home);
	return row;
}

/* The addresses of a page's readers; of one that is gone there is none. */
static enum rc
put_page(
    struct listing *l, struct place *p, size_t first, size_t n, struct err *err)
{
	uint64_t *ids = arena_array(&l->arena, n + 1, sizeof *ids);
	struct contact_user *users = NULL;
	size_t nusers = 0, at = 0;
	enum rc rc;

	if (!ids)
		return err_set(err, RC_REJECT, "too many staged readers");
	for (size_t i = 0; i < n; i++)
		ids[i] = l->staged[first + i].user_id;
	rc = contact_users_read(
	    p->db, &p->scope, ids, n, &l->arena, &users, &nusers, err);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		json_t *row = list_row(l, &l->staged[first + i], p);

		while (at < nusers && users[at].id < ids[i])
			at++;
		if (at < nusers && users[at].id == ids[i])
			row_masked(row, "address", users[at].email);
		(void)json_array_append_new(l->rows, row);
	}
	return rc;
}

#define PAGE_AT_ONCE ((size_t)500)

static enum rc
put_staged(struct listing *l, struct place *p, struct err *err)
{
	size_t first = l->all ? 0 : (size_t)((l->page - 1) * l->per_page);
	size_t end = l->all ? l->n : first + (size_t)l->per_page;
	enum rc rc = RC_OK;

	if (end > l->n)
		end = l->n;
	for (; first < end && rc == RC_OK; first += PAGE_AT_ONCE)
		rc = put_page(l, p, first,
		    end - first < PAGE_AT_ONCE ? end - first : PAGE_AT_ONCE,
		    err);
	return rc;
}

static int
list(const struct ctl *c, struct contacts_view *v, void *arg)
{
	struct listing *l = arg;
	struct err err = ERR_INIT;
	enum rc rc;

	l->arena = (struct arena)ARENA_INIT(CONTACTS_ARENA_MAX);
	rc = read_all(l, v->place, &err);
	if (rc == RC_OK)
		rc = merge(l, &err);
	if (rc == RC_OK)
		rc = put_staged(l, v->place, &err);
	if (rc == RC_OK)
		ctl_notice(c,
		    "%zu readers wait: %zu rows for a pull, %zu for a push",
		    l->n, l->flags[CONTACT_PULL].n, l->flags[CONTACT_PUSH].n);
	arena_clear(&l->arena);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

static int
read_options(const struct ctl *c, struct listing *l)
{
	const struct ctl_options *o = &c->opts;

	l->directions = contacts_directions(c);
	if (o->direction && slice_eq_str(slice_str(o->direction), "pull"))
		l->directions = 1u << CONTACT_PULL;
	else if (o->direction && slice_eq_str(slice_str(o->direction), "push"))
		l->directions = 1u << CONTACT_PUSH;
	else if (o->direction)
		return ctl_fail(c, EXIT_USAGE,
		    "--direction is pull or push, not \"%s\"", o->direction);
	if (o->per_page && !ctl_number(c, "--per-page", o->per_page, 1,
			       LIST_MAX, &l->per_page))
		return EXIT_USAGE;
	if (o->page && !ctl_number(c, "--page", o->page, 1, LIST_MAX, &l->page))
		return EXIT_USAGE;
	/* What is counted, or handed to another program, is all of it. */
	l->all = !o->per_page && !o->page && c->out.format != OUTPUT_TABLE;
	return EXIT_DONE;
}

int
cmd_contacts_list(struct ctl *c)
{
	struct listing l = { .per_page = PER_PAGE, .page = 1 };
	int status = read_options(c, &l);

	if (status != EXIT_DONE)
		return status;
	l.rows = json_array();
	status = contacts_each(c, list, &l);
	if (status == EXIT_DONE)
		return ctl_print_rows(c, l.rows, EXIT_DONE);
	json_decref(l.rows);
	return status;
}

/* ---- stage -------------------------------------------------------------- */

static enum rc
write_flags(const struct ctl *c, struct place *p, uint64_t user_id, json_t *row,
    struct err *err)
{
	const unsigned directions = contacts_directions(c);
	int64_t now = clock_unix(&clock_system);
	enum rc rc = RC_OK;

	for (unsigned d = 0; d < CONTACT_NDIRECTIONS && rc == RC_OK; d++) {
		if (!(directions & 1u << d))
			continue;
		rc = contact_flag_write(p->db, &p->scope,
		    (enum contact_direction)d, user_id, now, err);
		row_time(row, contact_direction_name((enum contact_direction)d),
		    now);
	}
	return rc;
}

static int
stage_user(
    const struct ctl *c, struct contacts_view *v, const struct contact_user *u)
{
	json_t *row = json_object();
	struct err err = ERR_INIT;
	const char *remedy;

	if (!u->member) {
		json_decref(row);
		return ctl_fail(c, EXIT_SOME_FAILED,
		    "user %" PRIu64 " is no member of this blog; --url names "
		    "another",
		    u->id);
	}
	if (write_flags(c, v->place, u->id, row, &err) != RC_OK) {
		json_decref(row);
		return ctl_error(c, &err);
	}
	row_int(row, "user", (int64_t)u->id);
	row_masked(row, "address", u->email);
	row_text(row, "held_by", contacts_held(v, &remedy));
	row_text(row, "url", v->place->facts.home);
	return ctl_print_record(c, row, EXIT_DONE);
}

static int
stage(const struct ctl *c, struct contacts_view *v, void *arg)
{
	struct arena a = ARENA_INIT(CONTACTS_ARENA_MAX);
	struct contact_user u;
	int status = contacts_find(c, v, c->args[0], &a, &u);

	(void)arg;
	if (status == EXIT_DONE)
		status = stage_user(c, v, &u);
	arena_clear(&a);
	return status;
}

int
cmd_contacts_stage(struct ctl *c)
{
	return contacts_each(c, stage, NULL);
}
