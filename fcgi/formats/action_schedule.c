#include "formats/action_schedule.h"

#include <string.h>

#include "base/ceilings.h"
#include "formats/php_serialize.h"

#define YEAR_10000 INT64_C(253402300800) /* a datetime column ends before */
#define US_PER_S 1000000

static const struct schedule_class {
	const char *name;
	const char *legacy_time; /* private name before 3.0, NULL: no time */
} classes[] = {
	[ACTION_SCHEDULE_NULL] = { "ActionScheduler_NullSchedule", NULL },
	[ACTION_SCHEDULE_SIMPLE] = { "ActionScheduler_SimpleSchedule",
	    "timestamp" },
	[ACTION_SCHEDULE_CANCELED] = { "ActionScheduler_CanceledSchedule",
	    "timestamp" },
	[ACTION_SCHEDULE_INTERVAL] = { "ActionScheduler_IntervalSchedule",
	    "start_timestamp" },
	[ACTION_SCHEDULE_CRON] = { "ActionScheduler_CronSchedule",
	    "start_timestamp" },
};

/* Serialized in this order: by position 0 to 5. */
static const char *const cron_fields[CRON_EXPRESSION_PARTS_MAX] = {
	"CronExpression_MinutesField",
	"CronExpression_HoursField",
	"CronExpression_DayOfMonthField",
	"CronExpression_MonthField",
	"CronExpression_DayOfWeekField",
	"CronExpression_YearField",
};

/* ---- parse ---- */

/* A property that is there and not null, references followed. */
static const struct php_serialize_value *
property(const struct php_serialize_value *object, const char *name)
{
	const struct php_serialize_value *v =
	    php_serialize_property(object, slice_str(name));

	if (v)
		v = php_serialize_deref(v);
	return v && v->type != PHP_SERIALIZE_NULL ? v : NULL;
}

/* A whole number, as int, float or text. */
static bool
whole_number(const struct php_serialize_value *v, int64_t *out)
{
	if (v->type == PHP_SERIALIZE_INT) {
		*out = v->integer;
		return true;
	}
	return (v->type == PHP_SERIALIZE_STRING ||
		   v->type == PHP_SERIALIZE_FLOAT) &&
	       slice_i64(v->text, out);
}

static enum rc
parse_time(const struct php_serialize_value *object,
    const struct schedule_class *class, int64_t *out, struct err *err)
{
	const struct php_serialize_value *v =
	    property(object, "scheduled_timestamp");
	const struct php_serialize_value *legacy =
	    property(object, class->legacy_time);
	bool canceled = class == &classes[ACTION_SCHEDULE_CANCELED];

	/* CanceledSchedule::__wakeup() is the one that prefers the old name. */
	if (!v || (canceled && legacy))
		v = legacy;
	if (!v && canceled)
		return RC_OK;
	if (!v)
		return err_set(err, RC_REJECT, "a schedule has no time");
	if (v->type == PHP_SERIALIZE_FLOAT || !whole_number(v, out))
		return err_set(
		    err, RC_REJECT, "a schedule's time is not a whole number");
	return RC_OK;
}

/* Only a first time above 0 counts: RecurringSchedule::__wakeup(). */
static enum rc
parse_first(const struct php_serialize_value *object,
    struct action_schedule *out, struct err *err)
{
	const struct php_serialize_value *v =
	    property(object, "first_timestamp");

	out->first = out->scheduled;
	if (v) {
		int64_t first;

		if (!whole_number(v, &first))
			return err_set(err, RC_REJECT,
			    "a schedule's first time is not a whole number");
		if (first > 0)
			out->first = first;
	}
	return RC_OK;
}

static const struct php_serialize_value *
recurrence_of(const struct php_serialize_value *object, const char *legacy)
{
	const struct php_serialize_value *v = property(object, "recurrence");

	return v ? v : property(object, legacy);
}

static enum rc
parse_interval(const struct php_serialize_value *object,
    struct action_schedule *out, struct err *err)
{
	const struct php_serialize_value *v =
	    recurrence_of(object, "interval_in_seconds");

	if (!v || !whole_number(v, &out->interval))
		return err_set(err, RC_REJECT,
		    "an interval is missing or not a whole number");
	if (v->type != PHP_SERIALIZE_INT)
		out->recurrence = v->span;
	return RC_OK;
}

static enum rc
parse_cron(const struct php_serialize_value *object,
    struct action_schedule *out, struct slice *class_name, struct err *err)
{
	const struct php_serialize_value *v = recurrence_of(object, "cron");
	struct slice parts[CRON_EXPRESSION_PARTS_MAX];

	if (!v || v->type != PHP_SERIALIZE_OBJECT)
		return err_set(
		    err, RC_REJECT, "a cron schedule has no expression");
	if (!slice_eq_nocase(v->class_name, SLICE_LIT("CronExpression"))) {
		*class_name = v->class_name;
		return err_set(err, RC_NONE, "unknown cron class %.*s",
		    SLICE_FMT(v->class_name));
	}
	v = property(v, "cronParts");
	if (!v || v->type != PHP_SERIALIZE_ARRAY || v->nmembers > NELEMS(parts))
		return err_set(
		    err, RC_REJECT, "a cron expression has no fields");
	for (size_t i = 0; i < v->nmembers; i++) {
		const struct php_serialize_member *m = &v->members[i];

		if (!m->int_key || m->index != (int64_t)i ||
		    m->value.type != PHP_SERIALIZE_STRING)
			return err_set(err, RC_REJECT,
			    "a cron expression's fields are not in order");
		parts[i] = m->value.text;
	}
	return cron_expression_from_parts(parts, v->nmembers, &out->cron, err);
}

static enum rc
parse_object(const struct php_serialize_value *object,
    struct action_schedule *out, struct slice *class_name, struct err *err)
{
	enum rc rc;

	if (out->kind == ACTION_SCHEDULE_NULL)
		return RC_OK;
	rc = parse_time(object, &classes[out->kind], &out->scheduled, err);
	if (rc != RC_OK || !action_schedule_recurs(out))
		return rc;
	rc = parse_first(object, out, err);
	if (rc != RC_OK)
		return rc;
	return out->kind == ACTION_SCHEDULE_INTERVAL
		   ? parse_interval(object, out, err)
		   : parse_cron(object, out, class_name, err);
}

enum rc
action_schedule_parse(struct slice text, struct arena *a,
    struct action_schedule *out, struct slice *class_name, struct err *err)
{
	static const struct php_serialize_limits limits = {
		CEILING_SCHEDULE_BYTES,
		CEILING_SCHEDULE_ELEMENTS,
		CEILING_SCHEDULE_DEPTH,
	};
	struct php_serialize_value object;
	struct slice ignored;
	enum rc rc;

	memset(out, 0, sizeof *out);
	if (!class_name)
		class_name = &ignored;
	*class_name = SLICE_NONE;
	rc = php_serialize_parse(text, &limits, a, &object, err);
	if (rc != RC_OK)
		return rc;
	if (object.type != PHP_SERIALIZE_OBJECT &&
	    object.type != PHP_SERIALIZE_CUSTOM)
		return err_set(err, RC_REJECT, "a schedule is not an object");
	for (size_t i = 0;
	     object.type == PHP_SERIALIZE_OBJECT && i < NELEMS(classes); i++) {
		if (!slice_eq_nocase(
			object.class_name, slice_str(classes[i].name)))
			continue;
		out->kind = (enum action_schedule_kind)i;
		return parse_object(&object, out, class_name, err);
	}
	*class_name = object.class_name;
	return err_set(err, RC_NONE, "unknown schedule class %.*s",
	    SLICE_FMT(object.class_name));
}

/* ---- next ---- */

bool
action_schedule_recurs(const struct action_schedule *s)
{
	return s->kind == ACTION_SCHEDULE_INTERVAL ||
	       s->kind == ACTION_SCHEDULE_CRON;
}

/* ActionScheduler_ActionFactory::repeat() */
enum rc
action_schedule_next(const struct action_schedule *s, wall_us now,
    int64_t *next, struct err *err)
{
	int64_t now_s = now / US_PER_S - (now % US_PER_S < 0);
	bool late = now_s > s->scheduled ||
		    (now_s == s->scheduled && now % US_PER_S != 0);
	int64_t at = 0;
	enum rc rc = RC_OK;

	if (!action_schedule_recurs(s))
		return err_set(err, RC_NONE, "the schedule does not recur");
	if (s->kind == ACTION_SCHEDULE_CRON)
		/* A scheduled time that is no match moves to the next one. */
		rc = late ? cron_expression_next(&s->cron, now_s, &at, err)
			  : cron_expression_first(
				&s->cron, s->scheduled, &at, err);
	else if (!late)
		at = s->scheduled;
	else if (s->interval > YEAR_10000 || s->interval < -YEAR_10000)
		rc = err_set(err, RC_REJECT, "the interval is out of range");
	else
		at = now_s + s->interval;
	if (rc != RC_OK)
		return rc;
	if (at >= YEAR_10000)
		return err_set(
		    err, RC_REJECT, "the next time is past the year 9999");
	*next = at;
	return RC_OK;
}

/* ---- render ---- */

static void
put_class(struct buf *out, const char *name, unsigned count)
{
	buf_printf(out, "O:%zu:\"%s\":%u:{", strlen(name), name, count);
}

static void
put_array(struct buf *out, size_t count)
{
	buf_printf(out, "a:%zu:{", count);
}

/* scope NULL: protected, otherwise private of that class. */
static void
put_name(struct buf *out, const char *scope, const char *name)
{
	const char *s = scope ? scope : "*";

	buf_printf(out, "s:%zu:\"", strlen(s) + strlen(name) + 2);
	buf_put_char(out, '\0');
	buf_put_str(out, s);
	buf_put_char(out, '\0');
	buf_put_str(out, name);
	buf_put_str(out, "\";");
}

static void
put_time(struct buf *out, const char *scope, const char *name, int64_t t)
{
	put_name(out, scope, name);
	php_serialize_put_int(out, t);
}

static void
put_recurrence(struct buf *out, const struct action_schedule *s)
{
	if (s->recurrence.n)
		buf_put_slice(out, s->recurrence);
	else
		php_serialize_put_int(out, s->interval);
}

static void
put_cron_expression(struct buf *out, const struct cron_expression *cron)
{
	put_class(out, "CronExpression", 2);
	put_name(out, "CronExpression", "cronParts");
	put_array(out, cron->nparts);
	for (size_t i = 0; i < cron->nparts; i++) {
		php_serialize_put_int(out, (int64_t)i);
		php_serialize_put_string(out, cron->parts[i]);
	}
	buf_put_char(out, '}');
	put_name(out, "CronExpression", "fieldFactory");
	put_class(out, "CronExpression_FieldFactory", 1);
	put_name(out, "CronExpression_FieldFactory", "fields");
	put_array(out, cron->nparts);
	for (size_t i = 0; i < cron->nparts; i++) {
		php_serialize_put_int(out, (int64_t)i);
		put_class(out, cron_fields[i], 0);
		buf_put_char(out, '}');
	}
	buf_put_str(out, "}}}");
}

void
action_schedule_render(
    const struct action_schedule *s, int64_t scheduled, struct buf *out)
{
	const char *class = classes[s->kind].name;

	switch (s->kind) {
	case ACTION_SCHEDULE_NULL:
		put_class(out, class, 0);
		break;
	case ACTION_SCHEDULE_SIMPLE:
		put_class(out, class, 2);
		put_time(out, NULL, "scheduled_timestamp", scheduled);
		put_time(out, class, "timestamp", scheduled);
		break;
	case ACTION_SCHEDULE_CANCELED:
		put_class(out, class, 2);
		put_time(out, NULL, "scheduled_timestamp", scheduled);
		put_name(out, class, "timestamp");
		buf_put_str(out, "N;");
		break;
	case ACTION_SCHEDULE_INTERVAL:
		put_class(out, class, 5);
		put_time(out, NULL, "scheduled_timestamp", scheduled);
		put_time(out, NULL, "first_timestamp", s->first);
		put_name(out, NULL, "recurrence");
		put_recurrence(out, s);
		put_time(out, class, "start_timestamp", scheduled);
		put_name(out, class, "interval_in_seconds");
		put_recurrence(out, s);
		break;
	case ACTION_SCHEDULE_CRON:
		put_class(out, class, 5);
		put_time(out, NULL, "scheduled_timestamp", scheduled);
		put_time(out, NULL, "first_timestamp", s->first);
		put_name(out, NULL, "recurrence");
		put_cron_expression(out, &s->cron);
		put_time(out, class, "start_timestamp", scheduled);
		put_name(out, class, "cron");
		/* The fourth value: schedule, two times, this expression. */
		buf_put_str(out, "r:4;");
		break;
	}
	buf_put_char(out, '}');
}

void
action_schedule_render_simple(int64_t scheduled, struct buf *out)
{
	static const struct action_schedule simple = {
		.kind = ACTION_SCHEDULE_SIMPLE,
	};

	action_schedule_render(&simple, scheduled, out);
}
