/*
 * When something is due: cheap enough to be asked every second, and silent
 * about what was found to be nobody's to run.
 */
#include "queues/cron_events_internal.h"

int64_t
cron_takeable_at(const struct cron_settings *s, int64_t timestamp)
{
	if (timestamp == INT64_MAX)
		return timestamp;
	return timestamp + (s->site.companion ? 0 : 1);
}

static bool
is_quiet(const struct cron_events *q, struct slice digest)
{
	return q->quiet.digest[0] != '\0' &&
	       slice_eq_str(digest, q->quiet.digest);
}

static enum rc
waiting_due(struct cron_events *q, const struct cron_settings *s, struct db *db,
    int64_t *when, struct err *err)
{
	int64_t now = clock_unix(q->clock), wait;
	mono_ms quiet = q->waiting_quiet_until - clock_mono(q->clock);
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &s->scope, SQL_EVENTS_NEXT_WAITING,
	    SQL_ARGS(V_U64(q->blog_id)), &rows, err);

	if (rc != RC_OK)
		return rc;
	if (!db_rows_next(rows) || db_is_null(rows, 0)) {
		db_rows_free(rows);
		return RC_NONE;
	}
	wait = db_i64(rows, 0);
	db_rows_free(rows);
	*when = wait <= 0 ? now : now + (wait + 999999) / 1000000;
	if (wait <= 0 && quiet > 0)
		*when = now + (quiet + 999) / 1000;
	return RC_OK;
}

enum rc
cron_option_due(struct cron_events *q, const struct cron_settings *s,
    struct db *db, int64_t *when, struct err *err)
{
	bool digest = q->quiet.digest[0] != '\0';
	int64_t now = clock_unix(q->clock), first;
	mono_ms held = q->held_until - clock_mono(q->clock);
	struct db_rows *rows = NULL;
	enum rc rc;

	if (s->export->replaced_by || q->bad_engine)
		return RC_NONE;
	rc = db_select(db, &s->scope,
	    digest ? SQL_EVENTS_OPTION_HEAD : SQL_OPTIONS_CRON_HEAD,
	    SQL_NO_ARGS, &rows, err);
	if (rc != RC_OK)
		return rc;
	*when = INT64_MAX;
	if (db_rows_next(rows)) {
		if (digest && is_quiet(q, db_text(rows, 1)))
			*when = q->quiet.until;
		/* What was observed may have gone. */
		else if (digest && s->site.observe)
			*when = now;
		else if (cron_array_first(db_text(rows, 0), &first))
			*when = cron_takeable_at(s, first);
	}
	db_rows_free(rows);
	if (held > 0 && *when <= now)
		*when = now + (held + 999) / 1000;
	return *when < INT64_MAX ? RC_OK : RC_NONE;
}

void
cron_rewind_when_asked(struct cron_events *q)
{
	bool all, rows, pinged;

	pthread_mutex_lock(&q->lock);
	all = q->rewind;
	rows = q->look || all;
	pinged = q->pinged || all;
	q->rewind = q->look = q->pinged = false;
	pthread_mutex_unlock(&q->lock);
	if (all) {
		q->quiet.digest[0] = '\0';
		q->bad_engine = false;
		q->nleft = 0;
	}
	/* The lock that is held may be the page's that pings. */
	if (pinged)
		q->held_until = 0;
	if (rows)
		q->waiting_quiet_until = 0;
}

enum rc
cron_events_next_due(
    struct queue *queue, struct db *db, int64_t *when, struct err *err)
{
	struct cron_events *q = cron_events_of(queue);
	struct cron_settings s;
	int64_t waiting = 0, option = 0;
	enum rc rc, also;

	cron_rewind_when_asked(q);
	cron_settings_get(q, &s);
	also = s.site.observe ? RC_NONE : waiting_due(q, &s, db, &waiting, err);
	rc = also == RC_OK || also == RC_NONE
		 ? cron_option_due(q, &s, db, &option, err)
		 : also;
	if (rc == RC_OK)
		*when = option;
	if (also == RC_OK && (rc == RC_OK || rc == RC_NONE)) {
		*when = rc == RC_OK && option < waiting ? option : waiting;
		rc = RC_OK;
	}
	cron_settings_put(q, &s);
	return rc;
}
