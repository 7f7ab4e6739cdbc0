/*
 * What worker.php is asked to do: take events where only PHP may write the
 * option, mark a row running just before its hook, keep the lock in an object
 * cache. The format is described once, at the head of worker.php.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "formats/base64.h"
#include "queues/cron_events_internal.h"
#include "queues/retry.h"

/* Every byte as two digits, and once over for rows of many columns. */
#define INSERT_MAX (4 * CRON_EVENT_BYTES)
/* One request to PHP; what does not fit is taken by the next. */
#define TAKE_JSON_MAX ((size_t)4 << 20)
#define LOCK_JSON_MAX ((size_t)32 << 10)
#define STATEMENT_MAX 2048

/* Statements are ASCII where bytes are bound (SQL_BYTES). */
static void
put_json(struct buf *out, struct slice s)
{
	buf_put_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '"' || c == '\\')
			buf_put_char(out, '\\');
		if (c >= '\0' && c < ' ')
			buf_printf(out, "\\u%04x", (unsigned)c);
		else
			buf_put_char(out, c);
	}
	buf_put_char(out, '"');
}

/* The rows of one event in one statement. Its server's time is not known
 * here: a row may begin at its own time, which is past. */
static enum rc
put_insert(const struct cron_events *q, const struct cron_settings *s,
    const struct cron_step *step, const char *woken_by, struct buf *out,
    struct err *err)
{
	const struct cron_event *e = step->event;
	size_t n = CRON_EVENT_BYTES / (e->span.n + e->hook.n + 1) + 1;
	struct sql_args args = { .nrows = n < step->nrows ? n : step->nrows };
	struct sql_value *values =
	    xcalloc(args.nrows * CRON_ROW_COLUMNS, sizeof *values);
	char(*since)[DATETIME_LEN + 1] = xcalloc(args.nrows, sizeof *since);
	char now[DATETIME_LEN + 1];
	enum rc rc;

	datetime_render(clock_unix(q->clock), now);
	for (size_t i = 0; i < args.nrows; i++) {
		datetime_render(step->rows[i].scheduled_at, since[i]);
		cron_row_values(q, &step->rows[i], slice_str(since[i]),
		    slice_str(now), woken_by, &values[i * CRON_ROW_COLUMNS]);
	}
	args.rows = values;
	rc = sql_render(SQL_EVENTS_INSERT, &s->scope, &args, out, err);
	free(values);
	free(since);
	return rc;
}

/* One event: {"ts":..,"hook":..,"key":..,"drop":..,"insert":..} */
static enum rc
put_step(const struct cron_events *q, const struct cron_settings *s,
    const struct cron_step *step, const char *woken_by, struct buf *out,
    struct err *err)
{
	const struct cron_event *e = step->event;
	struct buf insert = BUF_INIT(INSERT_MAX);
	enum rc rc = put_insert(q, s, step, woken_by, &insert, err);

	buf_put_str(out, "{\"ts\":");
	buf_put_i64(out, e->timestamp);
	buf_put_str(out, ",\"hook\":");
	base64_put_json(out, e->hook);
	buf_put_str(out, ",\"key\":");
	base64_put_json(out, e->key);
	buf_put_str(
	    out, step->resurrected ? ",\"drop\":true" : ",\"drop\":false");
	buf_put_str(out, ",\"insert\":");
	put_json(out, buf_slice(&insert));
	buf_put_char(out, '}');
	buf_clear(&insert);
	return rc;
}

static struct slice
copy_text(struct arena *a, const struct buf *text)
{
	return slice_mem(arena_strdup(a, buf_slice(text)), text->n);
}

/* The members of a lock: its values, and SQL that counts what is in our hands
 * but for one claim. */
static enum rc
put_lock(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, uint64_t but, struct buf *out, struct err *err)
{
	struct cron_lock lock = cron_lock_of(q, s);
	struct buf left = BUF_INIT(STATEMENT_MAX);
	enum rc rc;

	buf_put_char(out, '{');
	rc = cron_lock_json(&lock, db, out, err);
	if (rc == RC_OK)
		rc = sql_render(SQL_EVENTS_PHP_LEFT, &s->scope,
		    SQL_ARGS(V_U64(but), V_U64(q->blog_id), V_U64(q->blog_id)),
		    &left, err);
	buf_put_str(out, ",\"left\":");
	put_json(out, buf_slice(&left));
	buf_put_char(out, '}');
	buf_clear(&left);
	return rc;
}

enum rc
cron_plan_php(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, const struct cron_plan *plan, const char *woken_by,
    char **out, struct err *err)
{
	struct buf json = BUF_INIT(TAKE_JSON_MAX + 2 * INSERT_MAX);
	enum rc rc;

	buf_put_str(&json, "{\"lock\":");
	rc = put_lock(q, s, db, 0, &json, err);
	buf_put_str(&json, ",\"events\":[");
	for (size_t i = 0; i < plan->n && rc == RC_OK; i++) {
		if (i > 0 && json.n > TAKE_JSON_MAX)
			break;
		if (i > 0)
			buf_put_char(&json, ',');
		rc = put_step(q, s, &plan->steps[i], woken_by, &json, err);
	}
	buf_put_str(&json, "]}");
	if (rc == RC_OK && json.failed)
		rc = err_set(err, RC_REJECT, "what PHP is to take is too long");
	*out = rc == RC_OK ? buf_take(&json) : NULL;
	buf_clear(&json);
	return rc;
}

enum rc
cron_php_lock(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, struct claim *claim, struct err *err)
{
	struct buf json = BUF_INIT(LOCK_JSON_MAX);
	enum rc rc = put_lock(q, s, db, claim->id, &json, err);

	if (rc == RC_OK && !json.failed)
		claim->php_lock = copy_text(&claim->arena, &json);
	buf_clear(&json);
	return rc;
}

static enum rc
statement(const struct cron_settings *s, enum sql_id id, struct job *j,
    const struct sql_args *args, struct slice *out, struct err *err)
{
	struct buf text = BUF_INIT(STATEMENT_MAX);
	enum rc rc = sql_render(id, &s->scope, args, &text, err);

	if (rc == RC_OK)
		*out = copy_text(&j->claim->arena, &text);
	buf_clear(&text);
	return rc;
}

/* What a failure makes of the row: the same as when we settle it. */
static enum rc
failed_statement(const struct cron_settings *s, struct job *j, struct err *err)
{
	const struct outcome failed = { .job = j, .kind = OUTCOME_FAILED };
	const struct sql_value message = V_BYTES(SLICE_LIT("{message}"));
	uint32_t strikes;
	int64_t wait;

	if (!retry_allowed(&failed, &strikes))
		return statement(s, SQL_EVENTS_PHP_END, j,
		    SQL_ARGS(V_STR("failed"), message, V_U64(j->blog_id),
			V_U64(j->id), V_U64(j->claim->id)),
		    &j->sql_failed, err);
	wait = retry_backoff_ms(
	    j->policy, j->try, j->claim->id ^ j->id * 2654435761u);
	return statement(s, SQL_EVENTS_PHP_AGAIN, j,
	    SQL_ARGS(V_U64(j->try + 1), V_I64(wait * 1000), message,
		V_U64(j->blog_id), V_U64(j->id), V_U64(j->claim->id)),
	    &j->sql_failed, err);
}

enum rc
cron_php_statements(
    const struct cron_settings *s, struct job *j, struct err *err)
{
	const struct sql_args *row =
	    SQL_ARGS(V_U64(j->blog_id), V_U64(j->id), V_U64(j->claim->id));
	enum rc rc =
	    statement(s, SQL_EVENTS_PHP_START, j, row, &j->sql_start, err);

	if (rc == RC_OK)
		rc = statement(
		    s, SQL_EVENTS_PHP_RUNNING, j, row, &j->sql_running, err);
	if (rc == RC_OK)
		rc = statement(s, SQL_EVENTS_PHP_END, j,
		    SQL_ARGS(V_STR("done"), V_BYTES(SLICE_LIT("")),
			V_U64(j->blog_id), V_U64(j->id), V_U64(j->claim->id)),
		    &j->sql_done, err);
	if (rc == RC_OK)
		rc = failed_statement(s, j, err);
	return rc;
}
