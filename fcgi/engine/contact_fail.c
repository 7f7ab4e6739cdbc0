/* What becomes of a reader whose sync failed, and what is said of it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "engine/contact_internal.h"
#include "queues/dead_letters.h"

#define REASON_MAX 500
/* PHP is asked to raise an alert: it boots within this. */
#define ALERT_MS 30000
#define ALERT_WAIT_MS 1000
/* Of a page's first failures; a pattern shows in fewer. */
#define ALERTS_MAX 50

/* ---- classes of words --------------------------------------------------- */

static bool
contains(struct slice s, const char *part)
{
	size_t n = strlen(part);

	for (size_t i = 0; i + n <= s.n; i++)
		if (slice_eq_nocase(slice_mem(s.p + i, n), slice_str(part)))
			return true;
	return false;
}

enum contact_class
contact_classify(struct slice words)
{
	/* The first match wins (Contact_Sync's classes, in its order). */
	static const struct {
		const char *part;
		enum contact_class class;
	} rows[] = {
		{ "was permanently deleted", CONTACT_PERMANENT },
		{ "looks fake or invalid", CONTACT_PERMANENT },
		{ "merge fields were invalid", CONTACT_PERMANENT },
		{ "please provide a valid email", CONTACT_PERMANENT },
		{ "contact email address is not valid", CONTACT_PERMANENT },
		{ "api access has been disabled", CONTACT_PERMANENT_CONFIG },
		{ "payment required", CONTACT_PERMANENT_CONFIG },
		{ "member exists", CONTACT_BENIGN },
		{ "already a list member", CONTACT_BENIGN },
	};

	for (size_t i = 0; i < NELEMS(rows); i++)
		if (contains(words, rows[i].part))
			return rows[i].class;
	return CONTACT_TRANSIENT;
}

/* ---- logs --------------------------------------------------------------- */

static const char *
header_of(const struct contact_page *p)
{
	return p->direction == CONTACT_PULL ? "NEWSPACK-CONTACT-PULL"
					    : "NEWSPACK-SYNC";
}

/* "pull retry" or "retry", "" or " sync": Newspack's words differ by that. */
static const char *
retry_word(const struct contact_page *p)
{
	return p->direction == CONTACT_PULL ? "pull retry" : "retry";
}

static struct slice
reason_of(const struct contact_sync *s)
{
	struct slice words =
	    s->message.n > 0 ? s->message : SLICE_LIT("unknown error");

	return slice_mem(words.p, slice_utf8_cut(words, REASON_MAX));
}

static void
log_failure(const struct contact_page *p, const struct contact_sync *s,
    enum log_level level, const char *event)
{
	const struct work_env *env = p->run->env;

	log_event(level, event, LOG_S("site", env->site->name),
	    LOG_U("blog", env->blog_id),
	    LOG_S("integration", p->account->integration->id),
	    LOG_S("direction", contact_direction_name(p->direction)),
	    LOG_U("user", s->user_id), LOG_U("retry", s->retry),
	    LOG_SLICE("why", reason_of(s)));
}

static enum rc action_line(struct contact_page *p, const struct contact_sync *s,
    struct err *err, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* A line in the retry row's own log; none where there is no row. */
static enum rc
action_line(struct contact_page *p, const struct contact_sync *s,
    struct err *err, const char *fmt, ...)
{
	const struct work_env *env = p->run->env;
	struct buf text = BUF_INIT(2000);
	va_list ap;
	enum rc rc;

	if (s->action_id == 0 || !env->actions)
		return RC_OK;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	rc = contact_action_log(env->db, env->actions, s->action_id,
	    buf_slice(&text), clock_unix(env->clock), err);
	buf_clear(&text);
	return rc == RC_RETRY ? rc : RC_OK;
}

/* ---- alerts ------------------------------------------------------------- */

/* The publisher's own alerts are PHP's; without PHP the log has to do. */
static struct php_contact_alert
alert_of(const struct contact_page *p, const struct contact_sync *s,
    const char *action)
{
	return (struct php_contact_alert){ .action = slice_str(action),
		.integration = slice_str(p->account->integration->id),
		.user_id = s->user_id,
		.context = s->context,
		.reason = reason_of(s),
		.retry_count = s->retry };
}

static void
alert(struct contact_page *p, const struct php_contact_alert *alerts, size_t n)
{
	const struct work_env *env = p->run->env;
	struct php_executor_opts opts;
	struct err err = ERR_INIT;
	enum rc rc = contact_php_enter(p->run, ALERT_WAIT_MS, &opts, &err);

	if (rc == RC_REJECT)
		return; /* the log has to do */
	if (rc == RC_OK) {
		rc = php_contacts_alert(&opts, alerts, n, ALERT_MS, &err);
		contact_php_leave(p->run);
	}
	if (rc != RC_OK)
		log_event(LOG_WARN, "contacts.alert",
		    LOG_S("site", env->site->name), LOG_S("why", err.text));
}

/* ---- failures ----------------------------------------------------------- */

static enum rc
exhausted(struct contact_page *p, struct contact_sync *s, struct err *err)
{
	const char *id = p->account->integration->id;
	struct slice why = reason_of(s);
	enum rc rc = RC_OK;

	contact_say(p->run, header_of(p),
	    p->direction == CONTACT_PULL
		? "Max pull retries (%d) reached for integration \"%s\" of "
		  "user %" PRIu64 ". Giving up. Last error: %.*s"
		: "Max retries (%d) reached for integration \"%s\" sync of "
		  "user %" PRIu64 ". Giving up. Last error: %.*s",
	    CONTACT_MAX_RETRIES, id, s->user_id, SLICE_FMT(why));
	rc = action_line(p, s, err, "Max retries exhausted.");
	if (rc == RC_OK)
		rc = dead_letter_add(p->run->env->db, &p->run->env->scope,
		    &(const struct dead_letter){
			.blog_id = p->run->env->blog_id,
			.kind = DEAD_CONTACT,
			.queue = slice_str(id),
			.source = s->user_id,
			.title =
			    slice_str(contact_direction_name(p->direction)),
			.reason = why,
			.attempts = CONTACT_MAX_RETRIES + 1 },
		    err);
	if (rc != RC_OK)
		return rc;
	log_failure(p, s, LOG_ERR, "contact.exhausted");
	s->end = CONTACT_EXHAUSTED;
	return RC_OK;
}

static void
say_scheduled(const struct contact_page *p, const struct contact_retry *r)
{
	int64_t delay_s = contact_retry_delay_s(r->count);

	contact_say(p->run, header_of(p),
	    "Scheduled %s %u/%d for integration \"%s\"%s of user %" PRIu64
	    " in %" PRId64 "s. Error: %.*s",
	    retry_word(p), r->count, CONTACT_MAX_RETRIES,
	    p->account->integration->id,
	    p->direction == CONTACT_PULL ? "" : " sync", r->user_id,
	    r->after_s > delay_s ? r->after_s : delay_s, SLICE_FMT(r->reason));
}

enum rc
contact_commit(struct contact_page *p, struct err *err)
{
	const struct work_env *env = p->run->env;
	struct contact_retry *rows =
	    arena_array(p->arena, p->n + 1, sizeof *rows);
	bool *added = arena_array(p->arena, p->n + 1, sizeof *added);
	size_t n = 0;
	enum rc rc = RC_OK;

	if (!rows || !added)
		return err_set(err, RC_REJECT, "a page is too large");
	for (size_t i = 0; i < p->n; i++) {
		const struct contact_sync *s = &p->items[i];

		if (!s->due)
			continue;
		rows[n++] = (struct contact_retry){ .action_id = s->action_id,
			.direction = p->direction,
			.user_id = s->user_id,
			.integration = slice_str(p->account->integration->id),
			.context = s->context,
			.count = s->retry + 1,
			.reason = reason_of(s),
			.previous_email = s->previous_email,
			.after_s = s->after_s };
	}
	if (n > 0)
		rc = contact_retries_add(env->db, env->actions, rows, n,
		    clock_unix(env->clock), added, err);
	/* One that was there already has the reader in good hands. */
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		if (added[i])
			say_scheduled(p, &rows[i]);
	for (size_t i = 0; i < p->n && rc == RC_OK; i++)
		p->items[i].due = false;
	return rc;
}

static enum rc
line_of_retry(struct contact_page *p, const struct contact_sync *s,
    const char *verb, struct err *err)
{
	struct slice why = s->message.n > 0 ? reason_of(s) : SLICE_LIT("");
	const char *id = p->account->integration->id;
	const char *colon = why.n > 0 ? ": " : ".";

	if (s->retry == 0)
		return RC_OK;
	contact_say(p->run, header_of(p),
	    "%s %u/%d %s for integration \"%s\"%s of user %" PRIu64 "%s%.*s",
	    p->direction == CONTACT_PULL ? "Pull retry" : "Retry", s->retry,
	    CONTACT_MAX_RETRIES, verb, id,
	    p->direction == CONTACT_PULL ? "" : " sync", s->user_id, colon,
	    SLICE_FMT(why));
	return action_line(p, s, err,
	    "%s %u/%d %s for integration \"%s\"%s of user %" PRIu64 "%s%.*s",
	    p->direction == CONTACT_PULL ? "Pull retry" : "Retry", s->retry,
	    CONTACT_MAX_RETRIES, verb, id,
	    p->direction == CONTACT_PULL ? "" : " sync", s->user_id, colon,
	    SLICE_FMT(why));
}

enum rc
contact_fail(struct contact_page *p, struct contact_sync *s, struct err *err)
{
	enum rc rc;

	if (!p->run->env->actions) {
		/* No Action Scheduler, no retries: it stays staged. */
		log_failure(p, s, LOG_WARN, "contact.failed");
		s->end = CONTACT_OPEN;
		return RC_OK;
	}
	log_failure(p, s, LOG_INFO, "contact.failed");
	rc = line_of_retry(p, s, "failed", err);
	if (rc != RC_OK)
		return rc;
	if (s->retry >= CONTACT_MAX_RETRIES)
		return exhausted(p, s, err);
	s->end = CONTACT_RETRIED;
	s->due = true;
	return RC_OK;
}

enum rc
contact_fail_for_good(struct contact_page *p, struct contact_sync *s,
    enum contact_end end, struct err *err)
{
	struct slice why = reason_of(s);
	enum rc rc = line_of_retry(p, s, "failed", err);

	if (rc != RC_OK)
		return rc;
	contact_say(p->run, header_of(p),
	    "Not scheduling %s retries for integration \"%s\" of user "
	    "%" PRIu64 " \xe2\x80\x94 the failure is permanent: %.*s",
	    p->direction == CONTACT_PULL ? "pull" : "sync",
	    p->account->integration->id, s->user_id, SLICE_FMT(why));
	/* Remembered addresses are said once, when they are met. */
	log_failure(p, s, LOG_WARN, "contact.refused");
	s->end = end;
	return RC_OK;
}

enum rc
contact_succeed(struct contact_page *p, struct contact_sync *s, struct err *err)
{
	s->message = SLICE_LIT("");
	return line_of_retry(p, s, "succeeded", err);
}

void
contact_alert_failures(struct contact_page *p)
{
	bool php = contact_account_is_php(p->account);
	struct php_contact_alert *rows =
	    arena_array(p->arena, p->n + 1, sizeof *rows);
	size_t n = 0, first = 0;

	for (size_t i = 0; rows && i < p->n; i++) {
		const struct contact_sync *s = &p->items[i];

		if (s->end == CONTACT_EXHAUSTED)
			rows[n++] =
			    alert_of(p, s, "newspack_sync_retry_exhausted");
		else if (p->direction == CONTACT_PUSH && !php &&
			 s->end == CONTACT_RETRIED && s->retry == 0 &&
			 first++ < ALERTS_MAX)
			rows[n++] =
			    alert_of(p, s, "newspack_sync_contact_failed");
	}
	if (n > 0)
		alert(p, rows, n);
}
