/* A page of readers to one integration. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/contact_internal.h"
#include "queues/contacts_compare.h"

/* Every provider takes so many without its bulk call. */
#define SINGLY_MAX 4

/* ---- what is sent ------------------------------------------------------- */

static enum rc
build_one(struct contact_page *p, struct contact_sync *s,
    const struct php_contact *row, struct err *err)
{
	struct esp_contact *c;

	if (!row->answered)
		return RC_OK;
	if (row->gone) {
		s->end = CONTACT_GONE;
		return RC_OK;
	}
	s->message = row->message;
	/* A contact that cannot be built is not to be had by trying again. */
	if (!row->ok && slice_eq_str(row->code, "newspack_esp_sync_contact"))
		return contact_fail_for_good(p, s, CONTACT_REFUSED, err);
	if (!row->ok)
		return contact_fail(p, s, err);
	if (row->email.n == 0) {
		s->message = SLICE_LIT("Contact email is empty.");
		return contact_fail_for_good(p, s, CONTACT_REFUSED, err);
	}
	c = arena_alloc(p->arena, sizeof *c);
	if (!c)
		return RC_OK;
	*c = (struct esp_contact){ .user_id = s->user_id,
		.email = row->email,
		.name = row->name,
		.status_if_new = row->status_if_new,
		.fields = row->fields,
		.nfields = row->nfields,
		.retry_after_s = -1 };
	s->contact = c;
	return RC_OK;
}

static enum rc
build_native(struct contact_page *p, struct err *err)
{
	const struct work_env *env = p->run->env;
	const struct config_integration *c = p->account->integration->config;
	struct contact_source source;
	uint64_t *ids = arena_array(p->arena, p->n + 1, sizeof *ids);
	enum rc rc;

	if (!ids)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < p->n; i++)
		ids[i] = p->items[i].user_id;
	rc = contact_source_read(
	    env->db, &env->scope, c, ids, p->n, p->arena, &source, err);
	for (size_t i = 0; i < p->n && rc == RC_OK; i++) {
		struct contact_sync *s = &p->items[i];
		struct esp_contact *made;

		if (s->end != CONTACT_OPEN)
			continue;
		made = arena_alloc(p->arena, sizeof *made);
		if (!made)
			return err_set(err, RC_REJECT, "a page is too large");
		if (contact_native(c, &source, s->user_id, p->arena, made))
			s->contact = made;
		else if (!contact_source_user(&source, s->user_id))
			s->end = CONTACT_GONE;
		else {
			s->message = SLICE_LIT("Contact email is empty.");
			rc = contact_fail_for_good(p, s, CONTACT_REFUSED, err);
		}
	}
	return rc;
}

/* What was the same as PHP's when it was compared, and has not changed. */
static enum rc
may_be_native(struct contact_page *p, bool *native, struct err *err)
{
	const struct work_env *env = p->run->env;
	const struct newspack_integration *i = p->account->integration;
	char digest[65], compared[65] = "";
	enum rc rc;

	*native =
	    i->config->payload == PAYLOAD_NATIVE && i->config->nfields > 0;
	if (!*native)
		return RC_OK;
	contact_map_digest(&p->run->settings, i, digest);
	rc = contact_compare_read(env->db, &env->scope, env->blog_id,
	    slice_str(i->id), compared, err);
	if (rc != RC_OK)
		return rc;
	*native = strcmp(digest, compared) == 0;
	if (!*native)
		log_event(LOG_WARN, "contacts.native",
		    LOG_S("site", env->site->name), LOG_S("integration", i->id),
		    LOG_S("why", "payload = native has not been found to be "
				 "what PHP makes, so PHP makes it; run "
				 "`wp-cronctl integration fields --compare`"));
	return RC_OK;
}

/* ---- what need not be sent ---------------------------------------------- */

static int
fingerprint_cmp(const void *key, const void *row)
{
	uint64_t id = *(const uint64_t *)key;
	uint64_t other = ((const struct contact_fingerprint *)row)->user_id;

	return id < other ? -1 : id > other;
}

/* What did not fit has none, and is always sent. */
static bool
is_digest(const unsigned char digest[CONTACT_FINGERPRINT_LEN])
{
	static const unsigned char none[CONTACT_FINGERPRINT_LEN];

	return memcmp(digest, none, sizeof none) != 0;
}

static void
compare(const struct contact_page *p, struct contact_sync *s,
    const struct contact_fingerprint *f)
{
	bool same_address =
	    memcmp(f->address, s->address, sizeof s->address) == 0;

	if (f->barred && same_address) {
		s->message = f->reason;
		s->end = CONTACT_BARRED;
	} else if (!f->barred && !s->unchanged_too && is_digest(s->payload) &&
		   p->account->integration->config->fingerprints &&
		   memcmp(f->payload, s->payload, sizeof s->payload) == 0) {
		s->end = CONTACT_UNCHANGED;
	}
}

static enum rc
leave_out_unchanged(struct contact_page *p, struct err *err)
{
	const struct work_env *env = p->run->env;
	const struct newspack_integration *i = p->account->integration;
	struct contact_fingerprint *rows = NULL;
	uint64_t *ids = arena_array(p->arena, p->n + 1, sizeof *ids);
	size_t n = 0;
	enum rc rc;

	if (!ids)
		return err_set(err, RC_REJECT, "a page is too large");
	if (!p->run->keyed)
		return RC_OK;
	for (size_t k = 0; k < p->n; k++)
		ids[k] = p->items[k].user_id;
	rc = contact_fingerprints_read(env->db, &env->scope, env->blog_id,
	    slice_str(i->id), ids, p->n, p->arena, &rows, &n, err);
	for (size_t k = 0; k < p->n && rc == RC_OK; k++) {
		struct contact_sync *s = &p->items[k];
		const struct contact_fingerprint *f;

		if (s->end != CONTACT_OPEN || !s->contact)
			continue;
		contact_fingerprint(
		    p->run, i, s->contact, s->payload, s->address);
		f = n == 0 ? NULL
			   : bsearch(&s->user_id, rows, n, sizeof *rows,
				 fingerprint_cmp);
		if (f) {
			memcpy(s->before, f->payload, sizeof s->before);
			compare(p, s, f);
		}
	}
	return rc;
}

/* ---- sending ------------------------------------------------------------ */

/* Two readers of one address go one after the other. */
static bool
address_is_taken(const struct contact_account *a, size_t n, struct slice email)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq_nocase(a->contacts[i].email, email))
			return true;
	return false;
}

static struct slice
change_id(const struct contact_sync *s, struct arena *a)
{
	struct buf text = BUF_INIT(64);
	struct slice id;

	/* A value that is changed back is another change, so what was accepted
	 * last is part of it; a retry is the same one. */
	buf_put_hex(&text, s->payload, 12);
	buf_put_hex(&text, s->before, 4);
	id = arena_slice(a, buf_slice(&text));
	buf_clear(&text);
	return id;
}

/* Newspack's newsletters plugin adds it to every upsert of theirs. */
static bool
mark_origin(const struct contact_page *p, struct esp_contact *c)
{
	static const struct esp_field origin = {
		.name = { "origin_newspack", 15 }, .value = { "1", 1 }
	};
	struct esp_field *fields;

	if (strcmp(p->account->integration->id, "esp") != 0)
		return true;
	fields = arena_array(p->arena, c->nfields + 1, sizeof *fields);
	if (!fields)
		return false;
	for (size_t i = 0; i < c->nfields; i++) {
		if (slice_eq(c->fields[i].name, origin.name))
			return true;
		fields[i] = c->fields[i];
	}
	fields[c->nfields++] = origin;
	c->fields = fields;
	return true;
}

static enum rc
gather(struct contact_page *p, size_t *n, struct err *err)
{
	struct contact_account *a = p->account;

	*n = 0;
	a->contacts = arena_array(p->arena, p->n + 1, sizeof *a->contacts);
	a->items =
	    arena_array(p->arena, p->n + 1, sizeof(struct contact_sync *));
	if (!a->contacts || !a->items)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < p->n; i++) {
		struct contact_sync *s = &p->items[i];

		if (s->end != CONTACT_OPEN || !s->contact ||
		    address_is_taken(a, *n, s->contact->email))
			continue;
		s->contact->previous_email = s->previous_email;
		if (p->run->keyed)
			s->contact->id = change_id(s, p->arena);
		a->contacts[*n] = *s->contact;
		if (!mark_origin(p, &a->contacts[*n]))
			return err_set(err, RC_REJECT, "a page is too large");
		a->items[(*n)++] = s;
	}
	return RC_OK;
}

static enum rc
take_outcome(struct contact_page *p, struct contact_sync *s,
    const struct esp_contact *c, struct err *err)
{
	char masked[64];

	s->message = c->message;
	s->after_s = c->retry_after_s;
	switch (c->outcome) {
	case ESP_OPEN:
		return RC_OK;
	case ESP_DONE:
		s->end = CONTACT_DONE;
		esp_mask(c->email, masked);
		contact_say(p->run, "NEWSPACK-SYNC",
		    "Synced contact data for %s.", masked);
		return contact_succeed(p, s, err);
	case ESP_PENDING:
		s->end = CONTACT_PENDING;
		return RC_OK;
	case ESP_RETRY:
		return contact_fail(p, s, err);
	case ESP_REFUSED:
		return contact_fail_for_good(p, s, CONTACT_REFUSED, err);
	case ESP_BARRED:
		return contact_fail_for_good(p, s, CONTACT_BARRED, err);
	}
	return RC_OK;
}

/* What the provider has, or will never take. */
static enum rc
remember(struct contact_page *p, struct err *err)
{
	const struct work_env *env = p->run->env;
	struct contact_fingerprint *rows =
	    arena_array(p->arena, p->n + 1, sizeof *rows);
	size_t n = 0;

	if (!rows)
		return err_set(err, RC_REJECT, "a page is too large");
	if (!p->run->keyed)
		return RC_OK;
	for (size_t i = 0; i < p->n; i++) {
		const struct contact_sync *s = &p->items[i];
		struct contact_fingerprint *f = &rows[n];

		/* What was left out, too, was BARRED or UNCHANGED. */
		if (!s->contact ||
		    (s->end != CONTACT_DONE && s->end != CONTACT_REFUSED &&
			s->end != CONTACT_BARRED))
			continue;
		f->user_id = s->user_id;
		f->barred = s->end == CONTACT_BARRED;
		f->reason = s->message;
		f->accepted_at = clock_unix(env->clock);
		memcpy(f->payload, s->payload, sizeof f->payload);
		memcpy(f->address, s->address, sizeof f->address);
		n++;
	}
	if (n == 0)
		return RC_OK;
	return contact_fingerprints_write(env->db, &env->scope, env->blog_id,
	    slice_str(p->account->integration->id), rows, n, err);
}

static void
hand_over(struct contact_page *p, size_t at, size_t n)
{
	struct contact_account *a = p->account;
	struct err err = ERR_INIT;

	a->handed = at;
	if (a->esp->ops->push(a->esp, a->contacts + at, n, p->arena, &err) !=
	    RC_OK)
		log_event(LOG_WARN, "contacts.provider",
		    LOG_S("site", p->run->env->site->name),
		    LOG_S("integration", a->integration->id),
		    LOG_S("why", err.text));
}

static enum rc
send(struct contact_page *p, struct err *err)
{
	struct contact_account *a = p->account;
	size_t n;
	enum rc rc = gather(p, &n, err);

	if (rc != RC_OK || n == 0 || a->rests)
		return rc;
	a->page = p;
	for (size_t at = 0, part; at < n && !a->rests; at += part) {
		part = !p->singly || n - at < SINGLY_MAX ? n - at : SINGLY_MAX;
		hand_over(p, at, part);
	}
	a->page = NULL;
	if (p->run->lost)
		return err_set(err, RC_RETRY, "the lease or database is lost");
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = take_outcome(p, a->items[i], &a->contacts[i], err);
	return rc;
}

enum rc
contact_push_ended(struct contact_page *p, struct err *err)
{
	enum rc rc = contact_commit(p, err);

	if (rc == RC_OK)
		rc = remember(p, err);
	if (rc == RC_OK)
		contact_alert_failures(p);
	return rc;
}

enum rc
contact_push_page(struct contact_page *p, struct err *err)
{
	bool native = false;
	enum rc rc;

	if (contact_account_is_php(p->account)) {
		rc = contact_push_by_php(p, err);
		if (rc == RC_OK)
			rc = contact_commit(p, err);
		if (rc == RC_OK)
			contact_alert_failures(p);
		return rc;
	}
	if (!p->account->esp || p->account->rests)
		return RC_OK;
	rc = may_be_native(p, &native, err);
	if (rc == RC_OK)
		rc = native ? build_native(p, err)
			    : contact_ask_php(p, php_contacts_prepare,
				  "prepare", build_one, err);
	if (rc == RC_OK)
		rc = leave_out_unchanged(p, err);
	if (rc == RC_OK)
		rc = send(p, err);
	return rc == RC_OK ? contact_push_ended(p, err) : rc;
}
