/* What became of bulk calls that a provider took. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/contact_internal.h"

#define POLL_BYTES ((size_t)256 * 1024 * 1024)
/* An account that rests, or an answer that makes no sense: again in. */
#define AGAIN_S 60
/* A call that nobody can ask for any more is given up after a week. */
#define FORGET_S INT64_C(604800)

struct poll {
	struct contact_run *run;
	struct contact_account *account;
	struct contact_batch *batch;
	struct esp_contact *contacts; /* as batch->members */
	struct contact_page page;
	struct arena *arena;
};

/* ---- the members -------------------------------------------------------- */

static int
id_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static enum rc
read_addresses(struct poll *p, struct err *err)
{
	const struct work_env *env = p->run->env;
	struct contact_batch *b = p->batch;
	uint64_t *ids = arena_array(p->arena, b->n + 1, sizeof *ids);
	struct contact_user *users = NULL;
	struct contact_source source = { 0 };
	enum rc rc;

	p->contacts = arena_array(p->arena, b->n + 1, sizeof *p->contacts);
	if (!ids || !p->contacts)
		return err_set(err, RC_REJECT, "a bulk call is too large");
	for (size_t i = 0; i < b->n; i++)
		ids[i] = b->members[i].user_id;
	qsort(ids, b->n, sizeof *ids, id_cmp);
	rc = contact_users_read(env->db, &env->scope, ids, b->n, p->arena,
	    &users, &source.nusers, err);
	source.users = users;
	for (size_t i = 0; i < b->n && rc == RC_OK; i++) {
		uint64_t id = b->members[i].user_id;
		const struct contact_user *u = contact_source_user(&source, id);

		p->contacts[i] = (struct esp_contact){ .user_id = id,
			.email = u ? u->email : SLICE_LIT(""),
			.outcome = ESP_PENDING,
			.retry_after_s = -1 };
	}
	return rc;
}

/* The same as items, so that failures end as everywhere. */
static enum rc
make_page(struct poll *p, struct err *err)
{
	struct contact_batch *b = p->batch;

	p->page = (struct contact_page){ .run = p->run,
		.account = p->account,
		.direction = CONTACT_PUSH,
		.n = b->n,
		.arena = p->arena };
	p->page.items = arena_array(p->arena, b->n + 1, sizeof *p->page.items);
	if (!p->page.items)
		return err_set(err, RC_REJECT, "a bulk call is too large");
	for (size_t i = 0; i < b->n; i++) {
		struct contact_sync *s = &p->page.items[i];

		*s = (struct contact_sync){ .user_id = b->members[i].user_id,
			.flags = b->members[i].flags,
			.nflags = b->members[i].nflags,
			.context = SLICE_LIT("Recurring sync routine"),
			.retry = b->members[i].retry,
			.contact = &p->contacts[i],
			.end = CONTACT_PENDING };
		memcpy(s->payload, b->members[i].payload, sizeof s->payload);
		memcpy(s->address, b->members[i].address, sizeof s->address);
	}
	return RC_OK;
}

/* ---- outcomes ----------------------------------------------------------- */

static enum rc
take_outcome(struct poll *p, size_t i, struct err *err)
{
	const struct esp_contact *c = &p->contacts[i];
	struct contact_sync *s = &p->page.items[i];

	s->message = c->message;
	switch (c->outcome) {
	case ESP_DONE:
		s->end = CONTACT_DONE;
		return contact_succeed(&p->page, s, err);
	case ESP_RETRY:
		if (c->message.n > 0)
			return contact_fail(&p->page, s, err);
		s->end = CONTACT_OPEN; /* sent again by itself */
		return RC_OK;
	case ESP_REFUSED:
		return contact_fail_for_good(&p->page, s, CONTACT_REFUSED, err);
	case ESP_BARRED:
		return contact_fail_for_good(&p->page, s, CONTACT_BARRED, err);
	case ESP_PENDING:
	case ESP_OPEN:
		break;
	}
	return RC_OK;
}

static bool
is_over(const struct contact_sync *s)
{
	return s->end != CONTACT_PENDING && s->end != CONTACT_OPEN;
}

static enum rc
remove_flags(
    struct poll *p, const struct contact_sync *items, size_t n, struct err *err)
{
	const struct work_env *env = p->run->env;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n && rc == RC_OK; i++)
		if (items[i].nflags > 0 && is_over(&items[i]))
			rc = contact_flags_remove(env->db, &env->scope,
			    items[i].flags, items[i].nflags, NULL, err);
	return rc;
}

/* ---- those that are sent again, one by one ------------------------------ */

static enum rc
stage_again(struct poll *p, const struct contact_sync *s, struct err *err)
{
	const struct work_env *env = p->run->env;

	/* Or the reader would be forgotten: his flag may be gone, if he was in
	 * another integration's bulk call, too. */
	if (s->end != CONTACT_OPEN)
		return RC_OK;
	return contact_flag_write(env->db, &env->scope, CONTACT_PUSH,
	    s->user_id, clock_unix(env->clock), err);
}

static enum rc
send_singly(struct poll *p, struct err *err)
{
	struct contact_page page = p->page;
	enum rc rc;

	page.singly = true;
	page.n = 0;
	page.items = arena_array(p->arena, p->page.n + 1, sizeof *page.items);
	if (!page.items)
		return err_set(err, RC_REJECT, "a bulk call is too large");
	for (size_t i = 0; i < p->page.n; i++) {
		struct contact_sync *s = &page.items[page.n];

		if (p->page.items[i].end != CONTACT_OPEN)
			continue;
		*s = p->page.items[i];
		s->contact = NULL;
		s->unchanged_too = true;
		page.n++;
	}
	if (page.n == 0)
		return RC_OK;
	qsort(page.items, page.n, sizeof *page.items, id_cmp);
	rc = contact_push_page(&page, err);
	if (rc != RC_OK)
		return rc;
	rc = remove_flags(p, page.items, page.n, err);
	for (size_t i = 0; i < page.n && rc == RC_OK; i++)
		rc = stage_again(p, &page.items[i], err);
	contact_count(p->run, CONTACT_PUSH, page.items, page.n);
	return rc;
}

/* ---- one call ----------------------------------------------------------- */

/* Those who are over leave it; the others are asked for later. */
static enum rc
keep_or_end(struct poll *p, int64_t again_s, struct err *err)
{
	const struct work_env *env = p->run->env;
	struct contact_batch *b = p->batch;
	size_t left = 0;
	enum rc rc;

	for (size_t i = 0; i < b->n; i++)
		if (p->page.items[i].end == CONTACT_PENDING)
			b->members[left++] = b->members[i];
	b->n = left;
	if (left == 0)
		return contact_batch_end(
		    env->db, &env->scope, env->blog_id, b->batch_id, err);
	b->ask_at = clock_unix(env->clock) + (again_s > 0 ? again_s : AGAIN_S);
	b->asked++;
	rc = contact_batch_update(env->db, &env->scope, env->blog_id, b, err);
	return rc == RC_NONE ? RC_OK : rc; /* another node ended it */
}

static enum rc
settle(struct poll *p, int64_t again_s, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < p->page.n && rc == RC_OK; i++)
		rc = take_outcome(p, i, err);
	if (rc == RC_OK)
		rc = contact_push_ended(&p->page, err);
	if (rc == RC_OK)
		rc = remove_flags(p, p->page.items, p->page.n, err);
	for (size_t i = 0; i < p->page.n && rc == RC_OK; i++)
		if (is_over(&p->page.items[i]))
			contact_count(
			    p->run, CONTACT_PUSH, &p->page.items[i], 1);
	if (rc == RC_OK)
		rc = send_singly(p, err);
	return rc == RC_OK ? keep_or_end(p, again_s, err) : rc;
}

static enum rc
ask(struct poll *p, struct err *err)
{
	struct contact_account *a = p->account;
	struct contact_batch *b = p->batch;
	struct err why = ERR_INIT;
	int64_t again_s = 0;
	enum rc rc = read_addresses(p, err);

	if (rc == RC_OK)
		rc = make_page(p, err);
	if (rc != RC_OK)
		return rc;
	switch (a->esp->ops->poll(
	    a->esp, b->token, p->contacts, b->n, &again_s, p->arena, &why)) {
	case RC_OK:
		break;
	case RC_NONE:
		/* It never was, or is long gone: nothing is known of it. */
		log_event(LOG_WARN, "contacts.bulk_unknown",
		    LOG_S("site", p->run->env->site->name),
		    LOG_S("integration", a->integration->id),
		    LOG_U("batch", b->batch_id), LOG_U("readers", b->n));
		for (size_t i = 0; i < b->n; i++)
			p->contacts[i].outcome = ESP_RETRY;
		break;
	default:
		log_event(LOG_WARN, "contacts.provider",
		    LOG_S("site", p->run->env->site->name),
		    LOG_S("integration", a->integration->id),
		    LOG_U("batch", b->batch_id), LOG_S("why", why.text));
	}
	if (p->run->lost)
		return err_set(err, RC_RETRY, "the lease or database is lost");
	return settle(p, again_s, err);
}

/* A call that nobody can ask for: its readers are staged for the next tick. */
static enum rc
give_up(struct contact_run *run, struct contact_batch *b, const char *event,
    const char *why, struct err *err)
{
	const struct work_env *env = run->env;
	enum rc rc = RC_OK;

	log_event(LOG_WARN, event, LOG_S("site", env->site->name),
	    LOG_U("batch", b->batch_id), LOG_U("readers", b->n),
	    LOG_S("why", why));
	for (size_t i = 0; i < b->n && rc == RC_OK; i++)
		rc = contact_flag_write(env->db, &env->scope, CONTACT_PUSH,
		    b->members[i].user_id, clock_unix(env->clock), err);
	b->n = 0;
	return rc == RC_OK ? contact_batch_end(env->db, &env->scope,
				 env->blog_id, b->batch_id, err)
			   : rc;
}

/* Asked for by nobody in this tick; RC_OK also when it is gone by now. */
static enum rc
put_off(struct contact_run *run, struct contact_batch *b, struct err *err)
{
	const struct work_env *env = run->env;
	enum rc rc;

	b->ask_at = clock_unix(env->clock) + AGAIN_S;
	rc = contact_batch_update(env->db, &env->scope, env->blog_id, b, err);
	return rc == RC_NONE ? RC_OK : rc;
}

static bool
can_ask(const struct contact_account *a, const struct contact_batch *b)
{
	return a && a->esp && a->esp->ops->poll &&
	       slice_eq_str(b->provider, a->integration->provider);
}

static enum rc
poll_one(struct contact_run *run, struct contact_batch *b, struct err *err)
{
	const struct work_env *env = run->env;
	struct arena arena = ARENA_INIT(POLL_BYTES);
	struct poll p = { .run = run, .batch = b, .arena = &arena };
	int64_t now = clock_unix(env->clock);
	enum rc rc = RC_OK;

	p.account = contact_account_find(run, b->integration);
	if (b->broken)
		rc = give_up(run, b, "contacts.bulk_broken",
		    "its members cannot be read; their flags are there still, "
		    "so they are sent again",
		    err);
	else if (!can_ask(p.account, b) && now - b->submitted_at > FORGET_S)
		rc = give_up(run, b, "contacts.bulk_forgotten",
		    "its integration is gone for a week", err);
	else if (!can_ask(p.account, b) || p.account->rests ||
		 !p.account->integration->push)
		rc = put_off(run, b, err);
	else
		rc = ask(&p, err);
	if (rc == RC_REJECT) {
		log_event(LOG_ERR, "contacts.page",
		    LOG_S("site", env->site->name), LOG_U("batch", b->batch_id),
		    LOG_S("why", err->text));
		rc = put_off(run, b, err);
	}
	arena_clear(&arena);
	return rc;
}

enum rc
contact_poll(struct contact_run *run, bool all, struct err *err)
{
	const struct work_env *env = run->env;
	struct arena arena = ARENA_INIT(POLL_BYTES);
	struct contact_batch *batches = NULL;
	size_t n = 0;
	enum rc rc = contact_batches_read(
	    env->db, &env->scope, env->blog_id, &arena, &batches, &n, err);

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		struct contact_batch *b = &batches[i];
		int64_t now = clock_unix(env->clock);

		if ((all || b->ask_at <= now) && !contact_run_over(run))
			rc = poll_one(run, b, err);
		if (rc == RC_OK && b->n > 0 && run->report &&
		    b->ask_at < run->report->again_at)
			run->report->again_at = b->ask_at;
	}
	arena_clear(&arena);
	return rc;
}
