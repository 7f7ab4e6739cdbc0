/* One tick: everybody who is staged. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/contact_internal.h"
#include "engine/site_prepare.h"
#include "sql/leases.h"

#define CONTEXT "Recurring sync routine"
/* Flags and pending retries of a tick. */
#define TICK_BYTES ((size_t)256 * 1024 * 1024)

static const char cron_header[] = "NEWSPACK-CONTACT-CRON";

/* A staged reader; his flags are a run of contact_flags.rows. */
struct staged {
	uint64_t user_id;
	const struct contact_flag *flags;
	size_t nflags;
	bool there, foreign; /* a user; of another blog of the network */
	bool open;           /* an integration has not dealt with him */
	bool bulk;           /* one has him in a bulk call */
	unsigned skipped, tried;
};

/* A reader in a bulk call that is not finished. */
struct waiting {
	uint64_t user_id;
	struct slice integration;
};

/* One direction of a tick. */
struct tick {
	struct contact_run *run;
	enum contact_direction direction;
	struct arena arena;
	struct contact_flags flags;
	struct staged *readers;
	size_t n;
	struct contact_retry *retries;
	size_t nretries;
	struct waiting *waiting; /* in bulk calls, by user_id */
	size_t nwaiting;
	size_t eligible; /* integrations that take part */
	bool unchosen;   /* none has anything chosen: flags mean nothing */
};

/* ---- who and what ------------------------------------------------------- */

static bool
takes_part(const struct contact_account *a, enum contact_direction d)
{
	const struct newspack_integration *i = a->integration;

	if (!i->set_up || (!a->esp && !contact_account_is_php(a)))
		return false;
	if (d == CONTACT_PUSH)
		return i->push;
	return i->pull && i->nincoming > 0 && (!a->esp || a->esp->ops->pull);
}

static enum rc
group_flags(struct tick *t, struct err *err)
{
	t->readers = arena_array(&t->arena, t->flags.n + 1, sizeof *t->readers);
	if (!t->readers)
		return err_set(err, RC_REJECT,
		    "max_staged is too large for the memory of a tick");
	for (size_t i = 0; i < t->flags.n; i++) {
		const struct contact_flag *f = &t->flags.rows[i];
		struct staged *s = t->n > 0 ? &t->readers[t->n - 1] : NULL;

		if (!s || s->user_id != f->user_id) {
			s = &t->readers[t->n++];
			s->user_id = f->user_id;
			s->flags = f;
		}
		s->nflags++;
	}
	return RC_OK;
}

static int
waiting_cmp(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	return x->user_id < y->user_id ? -1 : x->user_id > y->user_id;
}

/* Who is in a bulk call, by user, for many look-ups. */
static enum rc
index_bulk(
    struct tick *t, const struct contact_batch *bulk, size_t n, struct err *err)
{
	size_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += bulk[i].n;
	t->waiting = arena_array(&t->arena, all + 1, sizeof *t->waiting);
	if (!t->waiting)
		return err_set(err, RC_REJECT, "too many bulk calls wait");
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < bulk[i].n; k++)
			t->waiting[t->nwaiting++] =
			    (struct waiting){ bulk[i].members[k].user_id,
				    bulk[i].integration };
	qsort(t->waiting, t->nwaiting, sizeof *t->waiting, waiting_cmp);
	return RC_OK;
}

static enum rc
read_bulk(struct tick *t, struct err *err)
{
	const struct work_env *env = t->run->env;
	struct contact_batch *bulk = NULL;
	size_t n = 0;
	enum rc rc = contact_batches_read(
	    env->db, &env->scope, env->blog_id, &t->arena, &bulk, &n, err);

	return rc == RC_OK ? index_bulk(t, bulk, n, err) : rc;
}

static enum rc
read_tick(struct tick *t, struct err *err)
{
	const struct work_env *env = t->run->env;
	const struct config_site *c = site_config(env->config, env->site);
	enum rc rc = contact_flags_read(env->db, &env->scope, t->direction,
	    c->max_staged, &t->arena, &t->flags, err);

	if (rc != RC_OK || t->flags.n == 0)
		return rc;
	if (t->flags.more && t->run->report)
		t->run->report->more = true;
	rc = group_flags(t, err);
	if (rc == RC_OK && env->actions)
		rc = contact_retries_read(env->db, &env->scope, t->direction,
		    &t->arena, &t->retries, &t->nretries, err);
	if (rc == RC_OK && t->direction == CONTACT_PUSH)
		rc = read_bulk(t, err);
	for (size_t i = 0; i < t->run->naccounts; i++)
		t->eligible += takes_part(&t->run->accounts[i], t->direction);
	t->unchosen = t->direction == CONTACT_PULL;
	for (size_t i = 0; i < t->run->naccounts; i++)
		t->unchosen = t->unchosen &&
			      t->run->accounts[i].integration->nincoming == 0;
	return rc;
}

/* Those of one integration, by user. */
static enum rc
forget_at(struct tick *t, const char *id, struct err *err)
{
	const struct work_env *env = t->run->env;
	uint64_t *ids = xcalloc(t->nretries + 1, sizeof *ids);
	size_t n = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < t->nretries; i++)
		if (slice_eq_str(t->retries[i].integration, id) &&
		    (n == 0 || ids[n - 1] != t->retries[i].user_id))
			ids[n++] = t->retries[i].user_id;
	if (n > 0)
		rc = contact_fingerprints_drop(env->db, &env->scope,
		    env->blog_id, slice_str(id), ids, n, err);
	free(ids);
	return rc;
}

/* PHP has pushed, or tried to, since: what the provider has is not known. */
static enum rc
forget_where_php_pushed(struct tick *t, struct err *err)
{
	enum rc rc = RC_OK;

	if (t->direction != CONTACT_PUSH)
		return RC_OK;
	for (size_t i = 0; i < t->run->naccounts && rc == RC_OK; i++)
		rc = forget_at(t, t->run->accounts[i].integration->id, err);
	return rc;
}

static bool
is_in_bulk(const struct tick *t, uint64_t user_id, const char *id)
{
	size_t lo = 0, hi = t->nwaiting;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->waiting[mid].user_id < user_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < t->nwaiting && t->waiting[lo].user_id == user_id; lo++)
		if (slice_eq_str(t->waiting[lo].integration, id))
			return true;
	return false;
}

/* ---- a page ------------------------------------------------------------- */

static enum rc
find_users(struct tick *t, struct staged *page, size_t n, struct arena *a,
    struct err *err)
{
	const struct work_env *env = t->run->env;
	uint64_t *ids = arena_array(a, n + 1, sizeof *ids);
	struct contact_user *users = NULL;
	struct contact_source source = { 0 };
	enum rc rc;

	if (!ids)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < n; i++)
		ids[i] = page[i].user_id;
	rc = contact_users_read(
	    env->db, &env->scope, ids, n, a, &users, &source.nusers, err);
	source.users = users;
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		const struct contact_user *u =
		    contact_source_user(&source, page[i].user_id);

		page[i].there = u != NULL;
		page[i].foreign = u && env->site->multisite && !u->member;
	}
	return rc;
}

static enum contact_end
begins_as(const struct tick *t, const struct contact_account *a,
    const struct staged *s)
{
	const char *id = a->integration->id;

	if (contact_retries_has(
		t->retries, t->nretries, s->user_id, slice_str(id)))
		return CONTACT_SKIPPED;
	if (is_in_bulk(t, s->user_id, id))
		return CONTACT_PENDING;
	return CONTACT_OPEN;
}

static bool
is_settled(enum contact_end end)
{
	return end != CONTACT_OPEN && end != CONTACT_SKIPPED &&
	       end != CONTACT_PENDING;
}

static void
take_ends(struct tick *t, const struct contact_page *p, struct staged **which)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct contact_sync *s = &p->items[i];
		struct staged *r = which[i];

		r->tried++;
		r->skipped += s->end == CONTACT_SKIPPED;
		r->bulk = r->bulk || s->end == CONTACT_PENDING;
		/* A retry whose row could not be written is none. */
		r->open = r->open || s->due ||
			  (!is_settled(s->end) && s->end != CONTACT_PENDING);
		if (s->end == CONTACT_RETRIED || s->end == CONTACT_REFUSED)
			contact_say(t->run, cron_header,
			    "Batch %s failed for user %" PRIu64 ": [%s] %.*s",
			    contact_direction_name(t->direction), s->user_id,
			    p->account->integration->id, SLICE_FMT(s->message));
	}
	contact_count(t->run, t->direction, p->items, p->n);
}

/* One integration's part of a page. */
static enum rc
page_to(struct tick *t, struct contact_account *a, struct staged *page,
    size_t n, struct arena *arena, struct err *err)
{
	struct contact_page p = { .run = t->run,
		.account = a,
		.direction = t->direction,
		.flags_at_once = t->eligible == 1,
		.arena = arena };
	struct staged **which =
	    arena_array(arena, n + 1, sizeof(struct staged *));
	enum rc rc;

	p.items = arena_array(arena, n + 1, sizeof *p.items);
	if (!p.items || !which)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < n; i++) {
		if (!page[i].there || page[i].foreign)
			continue;
		which[p.n] = &page[i];
		p.items[p.n++] =
		    (struct contact_sync){ .user_id = page[i].user_id,
			    .flags = page[i].flags,
			    .nflags = page[i].nflags,
			    .context = SLICE_LIT(CONTEXT),
			    .end = begins_as(t, a, &page[i]) };
	}
	if (p.n == 0)
		return RC_OK;
	rc = t->direction == CONTACT_PULL ? contact_pull_page(&p, err)
					  : contact_push_page(&p, err);
	if (rc == RC_REJECT) {
		log_event(LOG_ERR, "contacts.page",
		    LOG_S("site", t->run->env->site->name),
		    LOG_S("integration", a->integration->id),
		    LOG_S("why", err->text));
		rc = RC_OK;
	}
	if (rc == RC_OK)
		take_ends(t, &p, which);
	return rc;
}

/* Newspack's words for readers whom pending retries hold up. */
static void
say_skipped(const struct tick *t, const struct staged *s)
{
	const char *retries =
	    t->direction == CONTACT_PULL ? "pull retries" : "sync retries";

	if (s->skipped == 0)
		return;
	contact_say(t->run, cron_header,
	    s->skipped == s->tried
		? "Batch %s skipping user %" PRIu64 ": pending %s."
		: "Batch %s leaving user %" PRIu64 " to pending %s.",
	    contact_direction_name(t->direction), s->user_id, retries);
}

static enum rc
remove_flags(
    struct tick *t, const struct staged *page, size_t n, struct err *err)
{
	const struct work_env *env = t->run->env;
	struct contact_flag *done = xcalloc(t->flags.n + 1, sizeof *done);
	size_t ndone = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n; i++) {
		const struct staged *s = &page[i];

		say_skipped(t, s);
		if (s->there && (s->foreign || s->open || s->bulk ||
				    (s->tried == 0 && !t->unchosen)))
			continue;
		if (!s->there && t->run->report)
			t->run->report->counts[t->direction].orphans++;
		memcpy(done + ndone, s->flags, s->nflags * sizeof *done);
		ndone += s->nflags;
	}
	if (ndone > 0)
		rc = contact_flags_remove(
		    env->db, &env->scope, done, ndone, NULL, err);
	free(done);
	return rc;
}

static enum rc
page_run(struct tick *t, struct staged *page, size_t n, struct err *err)
{
	struct arena arena = ARENA_INIT(CONTACT_PAGE_BYTES);
	enum rc rc = find_users(t, page, n, &arena, err);

	for (size_t i = 0; i < t->run->naccounts && rc == RC_OK; i++)
		if (takes_part(&t->run->accounts[i], t->direction))
			rc = page_to(
			    t, &t->run->accounts[i], page, n, &arena, err);
	if (rc == RC_OK)
		rc = remove_flags(t, page, n, err);
	arena_clear(&arena);
	return rc;
}

/* ---- several integrations and a bulk call ------------------------------- */

static const struct staged *
find_staged(const struct tick *t, uint64_t user_id)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->readers[mid].user_id < user_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n && t->readers[lo].user_id == user_id ? &t->readers[lo]
							      : NULL;
}

static bool
give_flags(struct tick *t, struct contact_batch *b)
{
	bool changed = false;

	for (size_t k = 0; k < b->n; k++) {
		struct contact_member *m = &b->members[k];
		const struct staged *s = find_staged(t, m->user_id);

		if (m->nflags > 0 || m->retry > 0 || !s || !s->bulk || s->open)
			continue;
		m->flags = arena_array(&t->arena, s->nflags, sizeof *m->flags);
		if (!m->flags)
			return false;
		memcpy(m->flags, s->flags, s->nflags * sizeof *m->flags);
		m->nflags = s->nflags;
		changed = true;
	}
	return changed;
}

/* All others are done: a bulk call's end may remove the flags. */
static enum rc
attach_flags(struct tick *t, struct err *err)
{
	const struct work_env *env = t->run->env;
	struct contact_batch *all = NULL;
	size_t n = 0;
	enum rc rc;

	if (t->direction != CONTACT_PUSH || t->eligible < 2)
		return RC_OK;
	rc = contact_batches_read(
	    env->db, &env->scope, env->blog_id, &t->arena, &all, &n, err);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		if (!give_flags(t, &all[i]))
			continue;
		rc = contact_batch_update(
		    env->db, &env->scope, env->blog_id, &all[i], err);
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	return rc;
}

/* ---- a tick ------------------------------------------------------------- */

static enum rc
direction_run(
    struct contact_run *run, enum contact_direction d, struct err *err)
{
	struct tick t = {
		.run = run, .direction = d, .arena = ARENA_INIT(TICK_BYTES)
	};
	const char *word = contact_direction_name(d);
	size_t at = 0;
	enum rc rc = read_tick(&t, err);

	if (rc == RC_OK && t.n > 0) {
		contact_say(run, cron_header,
		    "Batch %s started for %zu user(s).", word, t.n);
		if (run->report)
			run->report->counts[d].readers += t.n;
		rc = forget_where_php_pushed(&t, err);
	}
	while (rc == RC_OK && at < t.n && !contact_run_over(run)) {
		size_t n = t.n - at < CONTACT_PAGE ? t.n - at : CONTACT_PAGE;

		rc = page_run(&t, t.readers + at, n, err);
		at += n;
	}
	if (rc == RC_OK && t.n > 0)
		rc = attach_flags(&t, err);
	if (at < t.n && run->report)
		run->report->more = true;
	if (rc == RC_OK && t.n > 0 && at == t.n)
		contact_say(run, cron_header, "Batch %s completed.", word);
	arena_clear(&t.arena);
	return rc;
}

static enum rc
take_lease(struct contact_run *run, struct err *err)
{
	const struct work_env *env = run->env;
	enum rc rc;

	(void)snprintf(
	    run->lease, sizeof run->lease, "contacts/%" PRIu32, env->blog_id);
	rc = lease_take(env->db, &env->scope, run->lease, env->node_id,
	    contact_term_ms(run), &run->lease_token, err);
	run->renew_at = clock_mono(env->clock) + contact_term_ms(run) / 4;
	return rc;
}

static void
log_tick(const struct contact_run *run)
{
	const struct contact_report *r = run->report;

	for (int d = 0; d < CONTACT_NDIRECTIONS; d++) {
		const struct contact_counts *c = &r->counts[d];

		if (c->readers == 0 && c->done == 0)
			continue;
		log_event(LOG_INFO, "contacts.batch",
		    LOG_S("site", run->env->site->name),
		    LOG_U("blog", run->env->blog_id),
		    LOG_S("direction",
			contact_direction_name((enum contact_direction)d)),
		    LOG_U("readers", c->readers), LOG_U("done", c->done),
		    LOG_U("unchanged", c->unchanged),
		    LOG_U("pending", c->pending), LOG_U("retried", c->retried),
		    LOG_U("refused", c->refused), LOG_U("skipped", c->skipped),
		    LOG_U("orphans", c->orphans));
	}
}

static enum rc
tick(struct contact_run *run, const struct contact_batch_opts *opts,
    struct err *err)
{
	const struct work_env *env = run->env;
	uint32_t budget =
	    opts->budget_ms
		? opts->budget_ms
		: site_config(env->config, env->site)->contacts_budget_ms;
	/* PHP's own event says when, as long as there is one. */
	bool poll_only = opts->poll_only ||
			 (opts->own_clock && !run->settings.cron_disabled);
	uint64_t cleaned;
	enum rc rc;

	run->batch = true;
	run->deadline = clock_mono(env->clock) + budget;
	rc = contact_poll(run, false, err);
	for (int d = 0; d < CONTACT_NDIRECTIONS && rc == RC_OK; d++)
		if (!poll_only &&
		    (opts->directions == 0 || opts->directions & (1u << d)))
			rc = direction_run(run, (enum contact_direction)d, err);
	if (rc == RC_OK && !poll_only)
		rc = contact_fingerprints_clean(
		    env->db, &env->scope, env->blog_id, &cleaned, err);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
contact_batch_run(const struct work_env *env,
    const struct contact_batch_opts *opts, struct contact_report *out,
    struct err *err)
{
	struct contact_run run;
	enum rc rc = contact_run_begin(&run, env, out, err);

	if (rc == RC_NONE) {
		contact_run_end(&run);
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = take_lease(&run, err);
	if (rc == RC_OK) {
		rc = tick(&run, opts, err);
		log_tick(&run);
	}
	contact_run_end(&run);
	return rc;
}
