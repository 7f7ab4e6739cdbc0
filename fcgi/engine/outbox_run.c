/* One connection to the relay, from its lease to its end. */
#include "engine/outbox_run.h"

#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "engine/outbox_run_internal.h"
#include "engine/site_prepare.h"
#include "queues/outbox_pauses.h"
#include "sql/leases.h"

/* Claimed at once: little goes back where urgent mail comes in. */
#define CLAIM_MAX ((size_t)10)
/* Their lists of recipients, and what the relay says to each. */
#define CLAIM_BYTES ((size_t)96 << 20)
/* A sender that died is noticed so late; one that lives says so in time. */
#define TTL_MIN_MS 5000
#define TTL_MAX_MS 60000
#define WAIT_MAX_MS 60000
/* A database that is away is waited for with what a relay has said. */
#define LATE_MS 60000
#define LATE_STOP_MS 5000
#define LATE_LOOK_MS 500

uint64_t
outbox_random(void)
{
	uint64_t n = 0;

	while (n == 0)
		if (getrandom(&n, sizeof n, 0) == (ssize_t)sizeof n)
			n >>= 1;
		else
			n = 0;
	return n;
}

uint32_t
outbox_mail_term_ms(const struct config_smtp *smtp, size_t nrecipients)
{
	size_t n = nrecipients < OUTBOX_RECIPIENTS_MAX ? nrecipients
						       : OUTBOX_RECIPIENTS_MAX;
	/* Greeting, EHLO twice, TLS, AUTH, MAIL, DATA, and a second connection
	 * where the first was gone; each RCPT. */
	uint64_t ms =
	    2 * ((uint64_t)smtp->connect_ms + (uint64_t)smtp->reply_ms * 7) +
	    (uint64_t)smtp->reply_ms * n + smtp->data_ms + 10000;

	return ms > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)ms;
}

/* ---- may anything be sent? ----------------------------------------------- */

static void PRINTF_LIKE(2, 3)
    why(struct outbox_report *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out->why, sizeof out->why, fmt, ap);
	va_end(ap);
}

static bool
is_held(struct outbox_sender *s)
{
	const struct work_env *env = s->env;

	if (!s->smtp) {
		why(s->report, "%s", "smtp is not set in [site]");
		return true;
	}
	if (s->smtp->redirect_to && env->standing != SITE_UNKNOWN)
		return false;
	switch (env->standing) {
	case SITE_ORIGINAL:
		return false;
	case SITE_COPY:
		why(s->report,
		    "this is a copy of the site: set redirect_to of [smtp "
		    "%s], or run `wp-cronctl site adopt`",
		    s->smtp->name);
		return true;
	case SITE_STAGING:
		why(s->report,
		    "WP_ENVIRONMENT_TYPE is not production: set redirect_to "
		    "of [smtp %s]",
		    s->smtp->name);
		return true;
	case SITE_UNKNOWN:
		why(s->report, "%s",
		    "it is not recorded yet whether this is the site");
		return true;
	}
	return true;
}

static enum rc
read_key(struct outbox_sender *s, struct err *err)
{
	const char *path = s->site->outbox_key_file;
	char text[256];
	ssize_t n;
	int fd;
	enum rc rc;

	if (!path)
		return RC_OK;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return err_set(
		    err, RC_REJECT, "outbox_key_file %s cannot be read", path);
	rc = seal_key_read(slice_mem(text, (size_t)n), s->key, err);
	OPENSSL_cleanse(text, sizeof text);
	s->has_key = rc == RC_OK;
	return rc == RC_OK ? rc : err_wrap(err, "outbox_key_file %s", path);
}

/* ---- the connection ------------------------------------------------------ */

/* One of `concurrency` slots. RC_NONE: none is free. */
static enum rc
take_slot(struct outbox_sender *s, struct err *err)
{
	const struct work_env *env = s->env;
	enum rc rc = RC_NONE;

	s->slot_ttl_ms = 2 * s->smtp->reply_ms;
	if (s->slot_ttl_ms > TTL_MAX_MS)
		s->slot_ttl_ms = TTL_MAX_MS;
	if (s->slot_ttl_ms < TTL_MIN_MS)
		s->slot_ttl_ms = TTL_MIN_MS;
	for (uint32_t i = 0; i < s->smtp->concurrency && rc == RC_NONE; i++) {
		(void)snprintf(s->slot, sizeof s->slot, "smtp/%.150s/%" PRIu32,
		    s->smtp->name, i);
		s->slot_renew_at = clock_mono(env->clock) + s->slot_ttl_ms / 3;
		rc = lease_take(env->db, &env->scope, s->slot, s->owner,
		    s->slot_ttl_ms, &s->slot_token, err);
	}
	if (rc == RC_NONE)
		(void)err_set(err, rc,
		    "all %" PRIu32 " connections to relay %s are in use",
		    s->smtp->concurrency, s->smtp->name);
	return rc;
}

static void
give_slot(struct outbox_sender *s)
{
	struct err ignored = ERR_INIT;

	if (s->slot_token && lease_give(s->env->db, &s->env->scope, s->slot,
				 s->slot_token, &ignored) != RC_OK)
		return; /* its time ends it */
}

/* An administrator may say so at any time. */
static enum rc
look_for_pause(struct outbox_sender *s, struct err *err)
{
	bool paused = false;
	enum rc rc = outbox_paused(
	    s->env->db, &s->env->scope, s->smtp->name, &paused, err);

	if (rc == RC_OK && paused) {
		why(s->report, "relay %s is paused", s->smtp->name);
		s->stop = true;
	}
	return rc;
}

/* Between two mails. RC_NONE: another one has our slot. */
static enum rc
keep(struct outbox_sender *s, struct err *err)
{
	const struct work_env *env = s->env;
	enum rc rc;

	if (clock_mono(env->clock) < s->slot_renew_at)
		return RC_OK;
	s->slot_renew_at = clock_mono(env->clock) + s->slot_ttl_ms / 3;
	rc = lease_extend(
	    env->db, &env->scope, s->slot, s->slot_token, s->slot_ttl_ms, err);
	if (rc == RC_OK)
		rc = outbox_extend(
		    env->db, &env->scope, s->claim_id, s->slot_ttl_ms, err);
	return rc;
}

/* The host of the site's URL, an address as RFC 5321 4.1.3 wants it. */
static void
site_host(const char *url, char out[256])
{
	const char *from = strstr(url, "://");
	bool v4;
	size_t n;

	from = from ? from + 3 : url;
	n = strcspn(from, ":/?#");
	v4 = n > 0 && strspn(from, "0123456789.") >= n;
	(void)snprintf(out, 256, "%s%.*s%s", v4 ? "[" : "",
	    (int)(n > 250 ? 250 : n), from, v4 ? "]" : "");
	if (!*out)
		(void)snprintf(out, 256, "localhost");
}

static enum rc
connect_to(struct outbox_sender *s, struct err *err)
{
	const struct config_smtp *c = s->smtp;
	char host[256];

	site_host(s->env->facts ? s->env->facts->home : "", host);
	return smtp_open(
	    &(const struct smtp_opts){
		.host = c->host,
		.port = (uint16_t)c->port,
		.security = strcmp(c->security, "tls") == 0    ? SMTP_TLS
			    : strcmp(c->security, "none") == 0 ? SMTP_PLAIN
							       : SMTP_STARTTLS,
		.user = c->user,
		.password = c->password,
		.auth = c->auth,
		.ca_file = c->ca_file,
		.ehlo = c->ehlo ? c->ehlo : host,
		.connect_ms = c->connect_ms,
		.reply_ms = c->reply_ms,
		.data_ms = c->data_ms,
		.mails = c->mails,
	    },
	    &s->smtp_conn, err);
}

/* ---- settling ------------------------------------------------------------ */

static void
report(struct outbox_sender *s, const struct outbox_result *d)
{
	static const struct {
		const char *event;
		enum log_level level;
		size_t counter;
	} told[] = {
#define COUNTER(name) offsetof(struct outbox_report, name)
		[OUTBOX_BACK] = { NULL, LOG_DEBUG, COUNTER(later) },
		[OUTBOX_SENT] = { "outbox.sent", LOG_DEBUG, COUNTER(sent) },
		[OUTBOX_LATER] = { "outbox.later", LOG_INFO, COUNTER(later) },
		[OUTBOX_UNKNOWN] = { "outbox.unknown", LOG_WARN,
		    COUNTER(unknown) },
		[OUTBOX_DEAD] = { "outbox.refused", LOG_WARN, COUNTER(dead) },
		[OUTBOX_HELD] = { "outbox.held", LOG_WARN, COUNTER(held) },
		[OUTBOX_DROPPED] = { "outbox.dropped", LOG_INFO,
		    COUNTER(dropped) },
	};
	const struct outbox_mail *m = d->mail;

	if (told[d->end].event)
		log_event(told[d->end].level, told[d->end].event,
		    LOG_S("site", s->env->site->name),
		    LOG_U("mail", m->mail_id), LOG_SLICE("job", m->job),
		    LOG_S("relay", s->smtp->name), LOG_U("try", m->tries + 1),
		    LOG_U("recipients", m->nrecipients),
		    LOG_SLICE("reply", d->reply));
	(*(uint64_t *)(void *)((char *)s->report + told[d->end].counter))++;
}

enum rc
outbox_flush(
    struct outbox_sender *s, const struct outbox_mail *next, struct err *err)
{
	const struct outbox_result *done =
	    s->done.is_there ? &s->done.result : NULL;
	enum rc rc = outbox_step(s->env->db, &s->env->scope, s->claim_id, done,
	    next, outbox_mail_term_ms(s->smtp, next ? next->nrecipients : 0),
	    err);

	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	if (done)
		report(s, done);
	s->done.is_there = false;
	return rc;
}

/* ---- the loop ------------------------------------------------------------ */

/*
 * The database went away while the relay had the mail. What it said is known
 * here alone: else the mail would be taken for one whose answer was lost, and
 * be sent twice.
 */
static void
settle_late(struct outbox_sender *s)
{
	const struct work_env *env = s->env;
	mono_ms end = clock_mono(env->clock) +
		      (work_stopping(env) ? LATE_STOP_MS : LATE_MS);

	while (s->done.is_there && clock_mono(env->clock) < end) {
		struct err err = ERR_INIT;
		struct db *db = NULL;
		enum rc rc = db_open(&env->site->db, &db, &err);

		if (rc == RC_OK)
			rc = outbox_step(db, &env->scope, s->claim_id,
			    &s->done.result, NULL, 0, &err);
		db_close(db);
		if (rc == RC_OK)
			report(s, &s->done.result);
		if (rc != RC_RETRY)
			s->done.is_there = false;
		else
			clock_sleep_ms(LATE_LOOK_MS);
	}
}

static bool
is_over(const struct outbox_sender *s)
{
	return s->stop || work_stopping(s->env) ||
	       clock_mono(s->env->clock) >= s->deadline;
}

/* *n 0: nothing is ready, or may be sent. */
static enum rc
send_claim(struct outbox_sender *s, size_t *n, struct err *err)
{
	const struct work_env *env = s->env;
	enum outbox_priority lowest = s->lowest;
	struct outbox_mail *m;
	struct err ignored = ERR_INIT;
	enum rc rc;

	arena_clear(&s->arena);
	s->claim_id = outbox_random();
	rc = outbox_claim(env->db, &env->scope, s->claim_id, lowest,
	    s->rest.known ? 1 : CLAIM_MAX, s->slot_ttl_ms, &s->arena, &m, n,
	    err);
	for (size_t i = 0;
	     i < *n && rc == RC_OK && !is_over(s) && s->lowest == lowest; i++) {
		rc = keep(s, err);
		if (rc == RC_OK)
			rc = look_for_pause(s, err);
		if (rc == RC_OK && !s->stop)
			rc = outbox_send_one(s, &m[i], err);
	}
	/* What was taken from us is somebody else's to send. */
	if (rc == RC_NONE) {
		s->stop = true;
		rc = RC_OK;
	}
	if (s->done.is_there) {
		enum rc flushed =
		    outbox_flush(s, NULL, rc == RC_OK ? err : &ignored);

		if (rc == RC_OK)
			rc = flushed;
	}
	if (*n > 0) {
		enum rc released = outbox_release(env->db, &env->scope,
		    s->claim_id, rc == RC_OK ? err : &ignored);

		if (rc == RC_OK)
			rc = released;
	}
	return rc;
}

static enum rc
send_all(struct outbox_sender *s, struct err *err)
{
	size_t n = 1;
	enum rc rc = RC_OK;

	while (rc == RC_OK && n > 0 && !is_over(s))
		rc = send_claim(s, &n, err);
	/* Urgent ones alone were looked for: others wait. */
	s->report->more = s->report->wait_ms == 0 && n > 0;
	return rc;
}

static enum rc
begin(struct outbox_sender *s, struct err *err)
{
	enum rc rc = look_for_pause(s, err);

	if (s->stop)
		return rc;
	if (rc == RC_OK)
		rc = read_key(s, err);
	if (rc == RC_OK)
		rc = outbox_rates_open(s, err);
	if (rc == RC_OK)
		rc = take_slot(s, err);
	if (rc != RC_OK)
		return rc;
	rc = outbox_rest_look(s, err);
	if (rc == RC_NONE) {
		s->stop = true;
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = connect_to(s, err);
	return rc;
}

enum rc
outbox_run(const struct work_env *env, uint32_t budget_ms,
    struct outbox_report *out, struct err *err)
{
	const struct config_site *site = site_config(env->config, env->site);
	struct outbox_sender s = {
		.env = env,
		.site = site,
		.smtp = config_smtp(env->config, site),
		.report = out,
		.owner = outbox_random(),
		.arena = ARENA_INIT(CLAIM_BYTES),
		.deadline = clock_mono(env->clock) + budget_ms,
		.lowest = OUTBOX_LOW,
	};
	enum rc rc = RC_OK;

	*out = (struct outbox_report){ .wait_ms = 0 };
	if (is_held(&s))
		return RC_OK;
	rc = begin(&s, err);
	if (rc == RC_OK)
		rc = send_all(&s, err);
	smtp_close(s.smtp_conn);
	if (s.done.is_there)
		settle_late(&s);
	outbox_rest_leave(&s);
	outbox_rates_close(&s);
	give_slot(&s);
	arena_clear(&s.arena);
	OPENSSL_cleanse(s.key, sizeof s.key);
	if (rc == RC_REJECT) {
		why(out, "%s", err->text);
		rc = RC_OK;
	}
	/* An administrator may have changed what it waits for. */
	if (out->wait_ms > WAIT_MAX_MS)
		out->wait_ms = WAIT_MAX_MS;
	if (rc == RC_OK && out->sent + out->dead + out->held + out->dropped > 0)
		out->untold = !outbox_tell_now(env);
	return rc;
}
