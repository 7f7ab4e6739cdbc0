/* What PHP is asked about a page of readers. */
#include "base/log.h"
#include "engine/contact_internal.h"

/* A whole page is built or pushed in one boot. */
#define PHP_PAGE_MS 120000
#define PHP_WAIT_MS 30000

static void
say_php(const struct contact_page *p, const char *what, const struct err *err)
{
	const struct work_env *env = p->run->env;

	log_event(LOG_WARN, "contacts.php", LOG_S("site", env->site->name),
	    LOG_U("blog", env->blog_id), LOG_S("what", what),
	    LOG_S("integration", p->account->integration->id),
	    LOG_S("why", err->text));
}

/* The items that nobody has dealt with, as PHP is asked for them. */
static struct php_contact *
php_page(struct contact_page *p, struct contact_sync ***which, size_t *n)
{
	struct php_contact *rows =
	    arena_array(p->arena, p->n + 1, sizeof *rows);

	*which = arena_array(p->arena, p->n + 1, sizeof(struct contact_sync *));
	*n = 0;
	if (!rows || !*which)
		return NULL;
	for (size_t i = 0; i < p->n; i++) {
		struct contact_sync *s = &p->items[i];

		if (s->end != CONTACT_OPEN)
			continue;
		(*which)[*n] = s;
		rows[(*n)++] = (struct php_contact){ .user_id = s->user_id,
			.integration = slice_str(p->account->integration->id),
			.context = s->context,
			.previous_email = s->previous_email };
	}
	return rows;
}

/* Ask PHP; what it did not answer stays as it is. */
static enum rc
php_ask(struct contact_page *p, contact_php_fn *call, const char *what,
    struct php_contact *rows, size_t n)
{
	struct php_executor_opts opts;
	struct err err = ERR_INIT;
	enum rc rc;

	if (n == 0)
		return RC_OK;
	rc = contact_php_enter(p->run, PHP_WAIT_MS, &opts, &err);
	if (rc == RC_OK) {
		rc = call(&opts, rows, n, PHP_PAGE_MS, p->arena, &err);
		contact_php_leave(p->run);
	}
	if (rc != RC_OK)
		say_php(p, what, &err);
	if (p->run->report)
		p->run->report->counts[p->direction].php += n;
	return rc;
}

enum rc
contact_ask_php(struct contact_page *p, contact_php_fn *call, const char *what,
    contact_answer_fn *take, struct err *err)
{
	struct contact_sync **which;
	size_t n;
	struct php_contact *rows = php_page(p, &which, &n);
	enum rc rc = RC_OK;

	if (!rows)
		return err_set(err, RC_REJECT, "a page is too large");
	/* What was answered before it failed holds. */
	(void)php_ask(p, call, what, rows, n);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = take(p, which[i], &rows[i], err);
	return rc;
}

/* ---- integrations that only PHP knows ----------------------------------- */

static enum rc
take_answer(struct contact_page *p, struct contact_sync *s,
    const struct php_contact *row, struct err *err)
{
	if (!row->answered)
		return RC_OK;
	if (row->gone) {
		s->end = CONTACT_GONE;
		return RC_OK;
	}
	s->message = row->message;
	if (row->ok) {
		s->end = CONTACT_DONE;
		return contact_succeed(p, s, err);
	}
	switch (contact_classify(row->message)) {
	case CONTACT_BENIGN:
		s->end = CONTACT_DONE;
		return contact_succeed(p, s, err);
	case CONTACT_PERMANENT:
	case CONTACT_PERMANENT_CONFIG:
		return contact_fail_for_good(p, s, CONTACT_REFUSED, err);
	case CONTACT_TRANSIENT:
		break;
	}
	return contact_fail(p, s, err);
}

enum rc
contact_push_by_php(struct contact_page *p, struct err *err)
{
	return contact_ask_php(p, php_contacts_push, "push", take_answer, err);
}

/* Pulls have codes of their own that no retry mends. */
static enum rc
take_pull_answer(struct contact_page *p, struct contact_sync *s,
    const struct php_contact *row, struct err *err)
{
	static const char *const for_good[] = { "no_selected_incoming_fields",
		"invalid_pull_payload", "reader_data_write_failed" };

	for (size_t k = 0; k < NELEMS(for_good); k++) {
		if (!row->answered || row->ok || row->gone ||
		    !slice_eq_str(row->code, for_good[k]))
			continue;
		s->message = row->message;
		return contact_fail_for_good(p, s, CONTACT_REFUSED, err);
	}
	return take_answer(p, s, row, err);
}

enum rc
contact_pull_by_php(struct contact_page *p, struct err *err)
{
	return contact_ask_php(
	    p, php_contacts_pull, "pull", take_pull_answer, err);
}
