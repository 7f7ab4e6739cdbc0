/* What a page of readers has at an integration, kept as their reader data. */
#include <stdlib.h>

#include "base/log.h"
#include "engine/contact_internal.h"

#define PHP_STORE_MS 120000
#define PHP_WAIT_MS 30000

/* ---- asking ------------------------------------------------------------- */

static enum rc
read_users(struct contact_page *p, struct contact_source *out, struct err *err)
{
	const struct work_env *env = p->run->env;
	uint64_t *ids = arena_array(p->arena, p->n + 1, sizeof *ids);
	struct contact_user *users = NULL;
	enum rc rc;

	if (!ids)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < p->n; i++)
		ids[i] = p->items[i].user_id;
	*out = (struct contact_source){ 0 };
	rc = contact_users_read(env->db, &env->scope, ids, p->n, p->arena,
	    &users, &out->nusers, err);
	out->users = users;
	return rc;
}

static enum rc
gather(struct contact_page *p, size_t *n, struct err *err)
{
	struct contact_account *a = p->account;
	struct contact_source source;
	enum rc rc = read_users(p, &source, err);

	*n = 0;
	if (rc != RC_OK)
		return rc;
	a->contacts = arena_array(p->arena, p->n + 1, sizeof *a->contacts);
	a->items =
	    arena_array(p->arena, p->n + 1, sizeof(struct contact_sync *));
	if (!a->contacts || !a->items)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < p->n; i++) {
		struct contact_sync *s = &p->items[i];
		const struct contact_user *u;

		if (s->end != CONTACT_OPEN)
			continue;
		u = contact_source_user(&source, s->user_id);
		if (!u || u->email.n == 0) {
			s->end = CONTACT_GONE;
			continue;
		}
		a->contacts[*n] = (struct esp_contact){ .user_id = u->id,
			.email = u->email,
			.name = u->display_name,
			.retry_after_s = -1 };
		a->items[(*n)++] = s;
	}
	return RC_OK;
}

/* ---- storing ------------------------------------------------------------ */

static bool
is_enabled(const struct newspack_integration *i, struct slice key)
{
	for (size_t k = 0; k < i->nincoming; k++)
		if (slice_eq(i->incoming[k], key))
			return true;
	return false;
}

/* Enabled keys only, JSON as it is stored. */
static enum rc
items_of(struct contact_page *p, const struct esp_contact *c,
    struct contact_item **out, size_t *n, struct err *err)
{
	struct contact_item *items =
	    arena_array(p->arena, c->npulled + 1, sizeof *items);

	*n = 0;
	*out = items;
	if (!items)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < c->npulled; i++) {
		struct contact_item *item = &items[*n];

		if (!is_enabled(p->account->integration, c->pulled[i].name))
			continue;
		item->key = c->pulled[i].name;
		if (contact_data_json(c->pulled[i].value, p->arena, &item->json,
			err) == RC_OK)
			(*n)++;
	}
	return RC_OK;
}

static enum rc
stored(struct contact_page *p, struct contact_sync *s, size_t refused,
    struct err *err)
{
	if (refused > 0) {
		s->message = SLICE_LIT("reader_data_write_failed: the reader "
				       "has 100 keys already");
		return contact_fail_for_good(p, s, CONTACT_REFUSED, err);
	}
	s->end = CONTACT_DONE;
	return contact_succeed(p, s, err);
}

static enum rc
store_native(struct contact_page *p, struct contact_sync *s,
    const struct esp_contact *c, struct err *err)
{
	const struct work_env *env = p->run->env;
	struct contact_item *items;
	size_t n, refused = 0;
	enum rc rc = items_of(p, c, &items, &n, err);

	if (rc == RC_OK && n > 0)
		rc = contact_data_store(env->db, &env->scope, s->user_id, items,
		    n, NULL, &refused, err);
	if (rc == RC_NONE) {
		s->end = CONTACT_GONE;
		return RC_OK;
	}
	if (rc == RC_REJECT) {
		s->message = arena_slice(p->arena, slice_str(err->text));
		return contact_fail_for_good(p, s, CONTACT_REFUSED, err);
	}
	return rc == RC_OK ? stored(p, s, refused, err) : rc;
}

/* Behind an object cache: PHP's own copy of usermeta must hear of it. */
struct cached {
	struct php_reader_data *readers;
	struct contact_sync **items;
	size_t n;
};

static enum rc
store_later(struct contact_page *p, struct cached *later,
    struct contact_sync *s, const struct esp_contact *c, struct err *err)
{
	struct contact_item *items;
	struct esp_field *fields;
	size_t n;
	enum rc rc = items_of(p, c, &items, &n, err);

	if (rc != RC_OK)
		return rc;
	if (n == 0)
		return stored(p, s, 0, err);
	fields = arena_array(p->arena, n, sizeof *fields);
	if (!fields)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < n; i++)
		fields[i] = (struct esp_field){ .name = items[i].key,
			.value = items[i].json };
	later->readers[later->n] = (struct php_reader_data){
		.user_id = s->user_id, .items = fields, .nitems = n
	};
	later->items[later->n++] = s;
	return RC_OK;
}

static void
ask_php_to_store(struct contact_page *p, struct cached *later)
{
	const struct work_env *env = p->run->env;
	struct php_executor_opts opts;
	struct err err = ERR_INIT;
	enum rc rc = contact_php_enter(p->run, PHP_WAIT_MS, &opts, &err);

	if (rc == RC_OK) {
		rc = php_contacts_store(&opts, later->readers, later->n,
		    PHP_STORE_MS, p->arena, &err);
		contact_php_leave(p->run);
	}
	if (rc != RC_OK)
		log_event(LOG_WARN, "contacts.php",
		    LOG_S("site", env->site->name), LOG_S("what", "store"),
		    LOG_S("why", err.text));
}

static enum rc
store_by_php(struct contact_page *p, struct cached *later, struct err *err)
{
	enum rc rc = RC_OK;

	if (later->n == 0)
		return RC_OK;
	ask_php_to_store(p, later);
	for (size_t i = 0; i < later->n && rc == RC_OK; i++) {
		const struct php_reader_data *r = &later->readers[i];
		struct contact_sync *s = later->items[i];

		s->message = r->message;
		if (r->ok)
			rc = stored(p, s, r->refused, err);
		else if (r->message.n > 0)
			rc = contact_fail(p, s, err);
	}
	return rc;
}

/* ---- a page ------------------------------------------------------------- */

static enum rc
take_outcome(struct contact_page *p, struct cached *later,
    struct contact_sync *s, const struct esp_contact *c, struct err *err)
{
	s->message = c->message;
	s->after_s = c->retry_after_s;
	switch (c->outcome) {
	case ESP_DONE:
		/* Not a member: nothing is known of them, and that is all. */
		if (later->readers)
			return store_later(p, later, s, c, err);
		return store_native(p, s, c, err);
	case ESP_RETRY:
		return contact_fail(p, s, err);
	case ESP_REFUSED:
	case ESP_BARRED:
		return contact_fail_for_good(p, s, CONTACT_REFUSED, err);
	case ESP_OPEN:
	case ESP_PENDING:
		break;
	}
	return RC_OK;
}

static enum rc
pull_native(struct contact_page *p, struct err *err)
{
	struct contact_account *a = p->account;
	const struct newspack_integration *i = a->integration;
	struct cached later = { 0 };
	struct err why = ERR_INIT;
	size_t n;
	enum rc rc;

	if (!a->esp || a->rests || !a->esp->ops->pull)
		return RC_OK;
	rc = gather(p, &n, err);
	if (rc != RC_OK || n == 0)
		return rc;
	if (p->run->env->facts->object_cache) {
		later.readers = arena_array(p->arena, n, sizeof *later.readers);
		later.items =
		    arena_array(p->arena, n, sizeof(struct contact_sync *));
		if (!later.readers || !later.items)
			return err_set(err, RC_REJECT, "a page is too large");
	}
	if (a->esp->ops->pull(a->esp, a->contacts, n, i->incoming, i->nincoming,
		p->arena, &why) != RC_OK)
		log_event(LOG_WARN, "contacts.provider",
		    LOG_S("site", p->run->env->site->name),
		    LOG_S("integration", i->id), LOG_S("why", why.text));
	if (p->run->lost)
		return err_set(err, RC_RETRY, "the lease or database is lost");
	for (size_t k = 0; k < n && rc == RC_OK; k++)
		rc = take_outcome(p, &later, a->items[k], &a->contacts[k], err);
	return rc == RC_OK ? store_by_php(p, &later, err) : rc;
}

enum rc
contact_pull_page(struct contact_page *p, struct err *err)
{
	enum rc rc = contact_account_is_php(p->account)
			 ? contact_pull_by_php(p, err)
			 : pull_native(p, err);

	if (rc == RC_OK)
		rc = contact_commit(p, err);
	if (rc == RC_OK)
		contact_alert_failures(p);
	return rc;
}
