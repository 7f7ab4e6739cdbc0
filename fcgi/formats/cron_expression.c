#include "formats/cron_expression.h"

#include <stdbool.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/clock.h"
#include "formats/cron_field.h"

#define STEPS_MAX 1000 /* CronExpression::getRunDate() */
#define DAY_S INT64_C(86400)

/* ---- steps to the next candidate ---- */

static void
next_day(struct cron_moment *m)
{
	cron_moment_set_days(m, m->days + 1);
	m->hour = 0;
	m->minute = 0;
}

static void
next_hour(struct cron_moment *m)
{
	int hour = m->hour + 1;

	if (hour == 24)
		next_day(m);
	else
		m->hour = hour;
	m->minute = 0;
}

static void
next_minute(struct cron_moment *m)
{
	if (++m->minute == 60)
		next_hour(m);
}

/*
 * PHP adds a month to the whole date and only then goes to the first: from
 * 31 January that is 3 March, so 1 March.
 */
static void
next_month(struct cron_moment *m)
{
	int month = m->month == 12 ? 1 : m->month + 1;
	int64_t year = m->month == 12 ? m->year + 1 : m->year;

	cron_moment_set_days(m, civil_to_days(year, month, 1) + m->day - 1);
	cron_moment_set_days(m, civil_to_days(m->year, m->month, 1));
	m->hour = 0;
	m->minute = 0;
}

static void
next_year(struct cron_moment *m)
{
	cron_moment_set_days(m, civil_to_days(m->year + 1, 1, 1));
	m->hour = 0;
	m->minute = 0;
}

static const struct field {
	const char *name;
	const char *needs; /* validate(): one of these must be in the field */
	cron_field_fn *is_satisfied;
	void (*step)(struct cron_moment *m);
} fields[CRON_EXPRESSION_PARTS_MAX] = {
	[CRON_EXPRESSION_MINUTE] = { "minute", "*,/-0123456789",
	    cron_field_minute, next_minute },
	[CRON_EXPRESSION_HOUR] = { "hour", "*,/-0123456789", cron_field_hour,
	    next_hour },
	[CRON_EXPRESSION_DAY] = { "day of month",
	    "*,/-?0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz",
	    cron_field_day, next_day },
	[CRON_EXPRESSION_MONTH] = { "month",
	    "*,/-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", cron_field_month,
	    next_month },
	[CRON_EXPRESSION_WEEKDAY] = { "day of week",
	    "*,/-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", cron_field_weekday,
	    next_day },
	[CRON_EXPRESSION_YEAR] = { "year", "*,/-0123456789", cron_field_year,
	    next_year },
};

/* ---- parse ---- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
has_any(struct slice s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] && strchr(set, s.p[i]))
			return true;
	return false;
}

/* A number PHP would read as a float, or as one with a sign. */
static bool
is_odd_number(struct slice s, size_t i)
{
	char c = s.p[i];

	if (c == '.' || c == '+')
		return true;
	return (c == 'e' || c == 'E') && i > 0 && is_digit(s.p[i - 1]) &&
	       i + 1 < s.n && (is_digit(s.p[i + 1]) || s.p[i + 1] == '-');
}

static bool
is_evaluable(struct slice part)
{
	size_t item = 0, run = 0;

	for (size_t i = 0; i < part.n; i++) {
		item = part.p[i] == ',' ? 0 : item + 1;
		run = is_digit(part.p[i]) ? run + 1 : 0;
		if (part.p[i] < 0x21 || part.p[i] > 0x7e ||
		    is_odd_number(part, i) || run > CRON_FIELD_DIGITS_MAX ||
		    item >= CEILING_CRON_ITEM_BYTES)
			return false;
	}
	return part.n > 0;
}

enum rc
cron_expression_from_parts(const struct slice *parts, size_t n,
    struct cron_expression *out, struct err *err)
{
	size_t bytes = 0;

	memset(out, 0, sizeof *out);
	if (n < 5 || n > CRON_EXPRESSION_PARTS_MAX)
		return err_set(err, RC_REJECT,
		    "a cron expression has 5 or 6 fields, not %zu", n);
	for (size_t i = 0; i < n; i++) {
		bytes += parts[i].n;
		if (bytes > CEILING_CRON_BYTES)
			return err_set(err, RC_REJECT,
			    "a cron expression is over %zu bytes",
			    CEILING_CRON_BYTES);
		if (!has_any(parts[i], fields[i].needs) ||
		    !is_evaluable(parts[i]))
			return err_set(err, RC_REJECT,
			    "cron field %s cannot be \"%.*s\"", fields[i].name,
			    parts[i].n < 64 ? (int)parts[i].n : 64, parts[i].p);
		out->parts[i] = parts[i];
	}
	out->nparts = n;
	return RC_OK;
}

static struct slice
expand_macro(struct slice text)
{
	static const char *const macros[][2] = {
		{ "@yearly", "0 0 1 1 *" },
		{ "@annually", "0 0 1 1 *" },
		{ "@monthly", "0 0 1 * *" },
		{ "@weekly", "0 0 * * 0" },
		{ "@daily", "0 0 * * *" },
		{ "@hourly", "0 * * * *" },
	};

	for (size_t i = 0; i < NELEMS(macros); i++)
		if (slice_eq_str(text, macros[i][0]))
			return slice_str(macros[i][1]);
	return text;
}

/* PCRE's \s */
static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

enum rc
cron_expression_parse(
    struct slice text, struct cron_expression *out, struct err *err)
{
	struct slice parts[CRON_EXPRESSION_PARTS_MAX + 1];
	size_t n = 0, i = 0;

	text = expand_macro(text);
	while (n < NELEMS(parts)) {
		size_t from;

		while (i < text.n && is_space(text.p[i]))
			i++;
		from = i;
		while (i < text.n && !is_space(text.p[i]))
			i++;
		if (i == from)
			break;
		parts[n++] = slice_mem(text.p + from, i - from);
	}
	return cron_expression_from_parts(parts, n, out, err);
}

/* ---- evaluate ---- */

/* PHP goes through the comma list until an item is satisfied. */
static enum rc
part_satisfied(const struct field *f, const struct cron_moment *m,
    struct slice part, struct err *err)
{
	for (;;) {
		size_t comma = slice_find(part, ',');
		enum rc rc = f->is_satisfied(m, slice_mem(part.p, comma), err);

		if (rc != RC_NONE || comma == part.n)
			return rc;
		part = slice_mem(part.p + comma + 1, part.n - comma - 1);
	}
}

/* The first field, largest unit first, that `m` misses; NULL: none. */
static enum rc
first_miss(const struct cron_expression *expr, const struct cron_moment *m,
    const struct field **miss, struct err *err)
{
	static const enum cron_expression_field order[] = {
		CRON_EXPRESSION_YEAR,
		CRON_EXPRESSION_MONTH,
		CRON_EXPRESSION_DAY,
		CRON_EXPRESSION_WEEKDAY,
		CRON_EXPRESSION_HOUR,
		CRON_EXPRESSION_MINUTE,
	};

	*miss = NULL;
	for (size_t i = 0; i < NELEMS(order); i++) {
		enum rc rc;

		if (order[i] >= expr->nparts)
			continue;
		rc = part_satisfied(
		    &fields[order[i]], m, expr->parts[order[i]], err);
		if (rc == RC_NONE)
			*miss = &fields[order[i]];
		if (rc != RC_OK)
			return rc == RC_NONE ? RC_OK : rc;
	}
	return RC_OK;
}

static enum rc
run_date(const struct cron_expression *expr, int64_t start, bool allow_start,
    int64_t *out, struct err *err)
{
	const int64_t min = civil_to_days(1, 1, 1) * DAY_S;
	const int64_t max = civil_to_days(10000, 1, 1) * DAY_S;
	struct cron_moment m;
	int64_t days, seconds;
	bool at_start = true;

	if (start < min || start >= max)
		return err_set(
		    err, RC_REJECT, "a time is outside years 1-9999");
	days = start / DAY_S - (start % DAY_S < 0);
	seconds = start - days * DAY_S;
	cron_moment_set_days(&m, days);
	m.hour = (int)(seconds / 3600);
	m.minute = (int)(seconds / 60 % 60);
	for (int i = 0; i < STEPS_MAX && m.year <= 9999; i++) {
		const struct field *miss;
		enum rc rc = first_miss(expr, &m, &miss, err);

		if (rc != RC_OK)
			return rc;
		if (!miss && (allow_start || !at_start)) {
			*out = m.days * DAY_S +
			       (m.hour * INT64_C(60) + m.minute) * 60;
			return RC_OK;
		}
		if (miss)
			miss->step(&m);
		else
			next_minute(&m);
		at_start = false;
	}
	return err_set(err, RC_REJECT, "Impossible CRON expression");
}

enum rc
cron_expression_next(const struct cron_expression *expr, int64_t after,
    int64_t *out, struct err *err)
{
	return run_date(expr, after, false, out, err);
}

enum rc
cron_expression_first(const struct cron_expression *expr, int64_t from,
    int64_t *out, struct err *err)
{
	return run_date(expr, from, true, out, err);
}
