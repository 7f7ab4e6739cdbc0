/*
 * A relay that is away, or does not let us in, is not asked again by every
 * connection of every node: it rests, 30 seconds and then twice as long each
 * time, until one mail goes through.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "engine/outbox_run_internal.h"
#include "sql/leases.h"

#define REST_MIN_S 30
#define REST_MAX_S 600
/* Another one probes: look again then. */
#define PROBED_MS 5000

/* "30 connection refused" */
static void
take_value(struct outbox_sender *s, struct slice value)
{
	size_t blank = slice_find(value, ' ');
	struct slice why = slice_trim(slice_from(value, blank));
	uint64_t rest_s;

	s->rest.known = true;
	if (slice_u64(slice_mem(value.p, blank), &rest_s))
		s->rest.rest_s =
		    rest_s > REST_MAX_S ? REST_MAX_S : (uint32_t)rest_s;
	(void)snprintf(s->report->why, sizeof s->report->why,
	    "relay %.64s rests: %.*s", s->smtp->name, (int)why.n,
	    why.p ? why.p : "");
}

enum rc
outbox_rest_look(struct outbox_sender *s, struct err *err)
{
	const struct work_env *env = s->env;
	struct outbox_rest *r = &s->rest;
	struct db_rows *rows = NULL;
	int64_t rests_ms = 0;
	enum rc rc;

	(void)snprintf(
	    r->lease, sizeof r->lease, "smtp/%.150s/rest", s->smtp->name);
	(void)snprintf(r->name, sizeof r->name, "smtp/%.58s", s->smtp->name);
	rc = db_select(env->db, &env->scope, SQL_OUTBOX_REST,
	    SQL_ARGS(V_STR(r->lease), V_STR(r->name)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows) && !db_is_null(rows, 0)) {
		take_value(s, db_text(rows, 0));
		rests_ms = db_i64(rows, 1);
	}
	db_rows_free(rows);
	if (rc != RC_OK || !r->known)
		return rc;
	if (rests_ms <= 0) {
		rc = lease_take(env->db, &env->scope, r->lease, s->owner,
		    s->slot_ttl_ms + outbox_mail_term_ms(s->smtp, 1), &r->token,
		    err);
		rests_ms = PROBED_MS;
	} else {
		rc = RC_NONE;
	}
	r->probing = rc == RC_OK;
	if (rc == RC_NONE)
		s->report->wait_ms = rests_ms;
	else
		s->report->why[0] = '\0';
	return rc;
}

void
outbox_rest_leave(struct outbox_sender *s)
{
	struct err ignored = ERR_INIT;

	/* Else it ends by its time. */
	if (s->rest.probing &&
	    lease_give(s->env->db, &s->env->scope, s->rest.lease, s->rest.token,
		&ignored) == RC_RETRY)
		return;
	s->rest.probing = false;
}

void
outbox_rest_end(struct outbox_sender *s)
{
	struct err err = ERR_INIT;
	uint64_t ended = 0;

	if (!s->rest.known)
		return;
	if (db_exec(s->env->db, &s->env->scope, SQL_OUTBOX_END_REST,
		SQL_ARGS(V_STR(s->rest.name)), &ended, &err) != RC_OK)
		return; /* the next mail says it again */
	s->rest.known = false;
	outbox_rest_leave(s);
	if (ended > 0)
		log_event(LOG_WARN, "outbox.relay",
		    LOG_S("relay", s->smtp->name), LOG_S("state", "back"));
}

void
outbox_rest_begin(struct outbox_sender *s, const struct smtp_result *result)
{
	const struct work_env *env = s->env;
	struct outbox_rest *r = &s->rest;
	const struct smtp_answer *w = &result->whole;
	uint32_t rest_s = r->probing ? r->rest_s * 2 : REST_MIN_S;
	struct err err = ERR_INIT;
	char value[700];
	enum rc rc;

	if (rest_s > REST_MAX_S)
		rest_s = REST_MAX_S;
	if (rest_s < REST_MIN_S)
		rest_s = REST_MIN_S;
	s->stop = true;
	s->report->wait_ms = (int64_t)rest_s * 1000;
	(void)snprintf(s->report->why, sizeof s->report->why,
	    "relay %.64s is away (%s): %d %.300s", s->smtp->name,
	    smtp_stage_name(result->stage), w->code, w->words);
	rc = r->probing ? lease_extend(env->db, &env->scope, r->lease, r->token,
			      rest_s * 1000, &err)
			: lease_take(env->db, &env->scope, r->lease, s->owner,
			      rest_s * 1000, &r->token, &err);
	r->probing = false;
	/* Somebody else saw it first. */
	if (rc != RC_OK)
		return;
	(void)snprintf(value, sizeof value, "%" PRIu32 " %s: %d %s", rest_s,
	    smtp_stage_name(result->stage), w->code, w->words);
	value[slice_utf8_cut(slice_str(value), 250)] = '\0';
	if (db_exec(env->db, &env->scope, SQL_OUTBOX_SET_REST,
		SQL_ARGS(V_STR(r->name), V_STR(value)), NULL, &err) != RC_OK)
		return;
	if (!r->known)
		log_event(LOG_WARN, "outbox.relay",
		    LOG_S("relay", s->smtp->name),
		    LOG_S("state",
			w->verdict == SMTP_CONFIG ? "refuses us" : "away"),
		    LOG_S("stage", smtp_stage_name(result->stage)),
		    LOG_I("code", w->code), LOG_S("reply", w->words),
		    LOG_U("rest_s", rest_s));
}
