#include "formats/cron_expression.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/clock.h"

#define STEPS_MAX 1000 /* CronExpression::getRunDate() */
#define NUMBER_DIGITS_MAX 18
#define DAY_S INT64_C(86400)

/* One moment, to the minute, with its calendar date at hand. */
struct moment {
	int64_t days; /* since 1970-01-01 */
	int64_t year;
	int month, day;
	int hour, minute;
};

/* RC_OK: satisfied, RC_NONE: not, RC_REJECT: cannot be evaluated. */
typedef enum rc satisfied_fn(
    const struct moment *m, struct slice item, struct err *err);

/* ---- text ---- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_number(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_digit(s.p[i]))
			return false;
	return s.n > 0 && s.n <= NUMBER_DIGITS_MAX;
}

static int64_t
number(struct slice s)
{
	int64_t v = 0;

	return slice_i64(s, &v) ? v : 0;
}

/* PHP 8's <=> of two strings: as numbers if both are, else byte by byte. */
static int
compare(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order;

	if (is_number(a) && is_number(b))
		return (number(a) > number(b)) - (number(a) < number(b));
	order = n ? memcmp(a.p, b.p, n) : 0;
	return order ? order : (a.n > b.n) - (a.n < b.n);
}

static bool
is_number_of(struct slice s, int64_t v)
{
	return is_number(s) && number(s) == v;
}

/* What stands before the first `c`, and what after; false: there is no `c`. */
static bool
split(struct slice s, char c, struct slice *before, struct slice *after)
{
	size_t at = slice_find(s, c);

	*before = slice_mem(s.p, at);
	*after = slice_from(s, at + 1);
	return at < s.n;
}

/* `c` stands somewhere past the first byte: PHP's `if (strpos(...))`. */
static bool
has_inside(struct slice s, char c)
{
	size_t at = slice_find(s, c);

	return at > 0 && at < s.n;
}

static enum rc
cannot(struct slice item, struct err *err)
{
	return err_set(err, RC_REJECT,
	    "cron field item \"%.*s\" cannot be evaluated", SLICE_FMT(item));
}

/* ---- what every field understands ---- */

static enum rc
in_steps(struct slice value, struct slice item, struct err *err)
{
	struct slice range, step, from, to;

	split(item, '/', &range, &step);
	if (slice_eq_str(range, "*") || slice_eq_str(range, "0")) {
		if (!is_number(step) || number(step) == 0)
			return cannot(item, err);
		return number(value) % number(step) == 0 ? RC_OK : RC_NONE;
	}
	if (!split(range, '-', &from, &to))
		to = value;
	if (compare(value, from) < 0 || compare(value, to) > 0)
		return RC_NONE;
	if (compare(value, from) == 0)
		return RC_OK;
	if (!is_number(from) || !is_number(to) || !is_number(step) ||
	    number(step) == 0)
		return cannot(item, err);
	return (number(value) - number(from)) % number(step) == 0 ? RC_OK
								  : RC_NONE;
}

static enum rc
satisfied(struct slice value, struct slice item, struct err *err)
{
	struct slice from, to;
	bool is;

	if (slice_find(item, '/') < item.n)
		return in_steps(value, item, err);
	if (split(item, '-', &from, &to))
		is = compare(value, from) >= 0 && compare(value, to) <= 0;
	else
		is = slice_eq_str(item, "*") || compare(value, item) == 0;
	return is ? RC_OK : RC_NONE;
}

/* `width` digits at least, as DateTime::format() makes the field. */
static enum rc
satisfied_by_number(int64_t v, int width, struct slice item, struct err *err)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%0*lld", width, (long long)v);

	return satisfied(slice_mem(text, (size_t)n), item, err);
}

/* ---- calendar ---- */

static int
days_in_month(int64_t year, int month)
{
	int64_t next = month == 12 ? civil_to_days(year + 1, 1, 1)
				   : civil_to_days(year, month + 1, 1);

	return (int)(next - civil_to_days(year, month, 1));
}

/* 1 (Monday) to 7 (Sunday). */
static int
weekday_of(int64_t days)
{
	int64_t w = (days + 3) % 7; /* 1970-01-01 was a Thursday */

	return (int)(w < 0 ? w + 7 : w) + 1;
}

static void
set_days(struct moment *m, int64_t days)
{
	m->days = days;
	civil_from_days(days, &m->year, &m->month, &m->day);
}

/* ---- the fields ---- */

static enum rc
minute_satisfied(const struct moment *m, struct slice item, struct err *err)
{
	return satisfied_by_number(m->minute, 2, item, err);
}

static enum rc
hour_satisfied(const struct moment *m, struct slice item, struct err *err)
{
	return satisfied_by_number(m->hour, 2, item, err);
}

static enum rc
year_satisfied(const struct moment *m, struct slice item, struct err *err)
{
	return satisfied_by_number(m->year, 4, item, err);
}

/*
 * The weekday nearest to `target` in the month of `m`, never across its ends.
 * A day the month does not have runs over into the next one, as in PHP's date
 * parser; the tries around it are then made in the month of `m`. 0: none.
 */
static int
nearest_weekday(const struct moment *m, int target)
{
	static const int tries[] = { -1, 1, -2, 2 };
	int64_t first = civil_to_days(m->year, m->month, 1);
	struct moment t;

	set_days(&t, first + target - 1);
	if (weekday_of(t.days) < 6)
		return t.day;
	int last = days_in_month(t.year, t.month);
	for (size_t i = 0; i < NELEMS(tries); i++) {
		int day = target + tries[i];
		struct moment near;

		if (day <= 0 || day > last)
			continue;
		set_days(&near, first + day - 1);
		if (weekday_of(near.days) < 6 && near.month == m->month)
			return near.day;
	}
	return 0;
}

static enum rc
day_satisfied(const struct moment *m, struct slice item, struct err *err)
{
	struct slice target, rest;
	int near;

	if (slice_eq_str(item, "?"))
		return RC_OK;
	if (slice_eq_str(item, "L"))
		return m->day == days_in_month(m->year, m->month) ? RC_OK
								  : RC_NONE;
	if (!has_inside(item, 'W'))
		return satisfied_by_number(m->day, 2, item, err);
	split(item, 'W', &target, &rest);
	if (!is_number(target) || target.n > 2 || number(target) > 31)
		return cannot(item, err);
	near = nearest_weekday(m, (int)number(target));
	if (near == 0)
		return cannot(item, err);
	return near == m->day ? RC_OK : RC_NONE;
}

/* str_ireplace(names, first.., item): wherever a name stands, also in a word. */
static struct slice
replace_names(struct slice item, const char *const *names, size_t nnames,
    int first, char out[CEILING_CRON_ITEM_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < item.n;) {
		size_t k = 0;

		while (k < nnames &&
		    (item.n - i < 3 ||
			!slice_eq_nocase(
			    slice_mem(item.p + i, 3), slice_str(names[k]))))
			k++;
		if (k == nnames) {
			out[n++] = item.p[i++];
			continue;
		}
		int v = first + (int)k;

		if (v >= 10)
			out[n++] = (char)('0' + v / 10);
		out[n++] = (char)('0' + v % 10);
		i += 3;
	}
	return slice_mem(out, n);
}

static enum rc
month_satisfied(const struct moment *m, struct slice item, struct err *err)
{
	static const char *const names[] = { "JAN", "FEB", "MAR", "APR", "MAY",
		"JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC" };
	char text[CEILING_CRON_ITEM_BYTES];

	item = replace_names(item, names, NELEMS(names), 1, text);
	return satisfied_by_number(m->month, 2, item, err);
}

/* "5L": the last Friday of the month. */
static enum rc
last_weekday_satisfied(
    const struct moment *m, struct slice item, struct err *err)
{
	struct slice text, rest;
	int weekday = 0;

	split(item, 'L', &text, &rest);
	if (!is_number(text))
		return cannot(item, err);
	for (size_t i = 0; i < text.n; i++) {
		int digit = text.p[i] == '7' ? 0 : text.p[i] - '0';

		if (weekday > 6)
			break;
		weekday = weekday * 10 + digit;
	}
	if (weekday > 6)
		return cannot(item, err);
	if (weekday_of(m->days) % 7 != weekday)
		return RC_NONE;
	return m->day > days_in_month(m->year, m->month) - 7 ? RC_OK : RC_NONE;
}

/* "5#2": the second Friday. PHP words the first two refusals so. */
static enum rc
nth_weekday_satisfied(
    const struct moment *m, struct slice item, struct err *err)
{
	struct slice weekday, nth, rest;
	int64_t n;

	split(item, '#', &weekday, &rest);
	split(rest, '#', &nth, &rest);
	if (!is_number(weekday) || !is_number(nth))
		return cannot(item, err);
	if (number(weekday) < 1 || number(weekday) > 5)
		return err_set(err, RC_REJECT,
		    "Weekday must be a value between 1 and 5. %.*s given",
		    SLICE_FMT(weekday));
	if (number(nth) > 5)
		return err_set(err, RC_REJECT,
		    "There are never more than 5 of a given weekday in a month");
	if (weekday_of(m->days) != number(weekday))
		return RC_NONE;
	n = number(nth) > 0 ? number(nth) : 1;
	return (m->day + 6) / 7 == n ? RC_OK : RC_NONE;
}

/* In a range Sunday is 0 at its start and 7 at its end. */
static struct slice
turn_sunday(struct slice item, char out[CEILING_CRON_ITEM_BYTES])
{
	struct slice from, to, rest, more = SLICE_NONE;
	bool has_more;
	int n;

	split(item, '-', &from, &rest);
	has_more = split(rest, '-', &to, &more);
	if (is_number_of(from, 7))
		from = SLICE_LIT("0");
	else if (is_number_of(to, 0))
		to = SLICE_LIT("7");
	else
		return item;
	n = snprintf(out, CEILING_CRON_ITEM_BYTES, "%.*s-%.*s%s%.*s",
	    SLICE_FMT(from), SLICE_FMT(to), has_more ? "-" : "",
	    SLICE_FMT(more));
	return slice_mem(out, (size_t)n);
}

static enum rc
weekday_satisfied(const struct moment *m, struct slice item, struct err *err)
{
	static const char *const names[] = { "SUN", "MON", "TUE", "WED", "THU",
		"FRI", "SAT" };
	char text[CEILING_CRON_ITEM_BYTES], turned[CEILING_CRON_ITEM_BYTES];
	int weekday = weekday_of(m->days);

	if (slice_eq_str(item, "?"))
		return RC_OK;
	item = replace_names(item, names, NELEMS(names), 0, text);
	if (has_inside(item, 'L'))
		return last_weekday_satisfied(m, item, err);
	if (has_inside(item, '#'))
		return nth_weekday_satisfied(m, item, err);
	if (has_inside(item, '-'))
		item = turn_sunday(item, turned);
	/* Any 7 in the item, even as a step, makes Sunday 7 instead of 0. */
	if (slice_find(item, '7') == item.n)
		weekday %= 7;
	return satisfied_by_number(weekday, 1, item, err);
}

/* ---- steps to the next candidate ---- */

static void
next_day(struct moment *m)
{
	set_days(m, m->days + 1);
	m->hour = 0;
	m->minute = 0;
}

static void
next_hour(struct moment *m)
{
	int hour = m->hour + 1;

	if (hour == 24)
		next_day(m);
	else
		m->hour = hour;
	m->minute = 0;
}

static void
next_minute(struct moment *m)
{
	if (++m->minute == 60)
		next_hour(m);
}

/*
 * PHP adds a month to the whole date and only then goes to the first: from
 * 31 January that is 3 March, so 1 March.
 */
static void
next_month(struct moment *m)
{
	int month = m->month == 12 ? 1 : m->month + 1;
	int64_t year = m->month == 12 ? m->year + 1 : m->year;

	set_days(m, civil_to_days(year, month, 1) + m->day - 1);
	set_days(m, civil_to_days(m->year, m->month, 1));
	m->hour = 0;
	m->minute = 0;
}

static void
next_year(struct moment *m)
{
	set_days(m, civil_to_days(m->year + 1, 1, 1));
	m->hour = 0;
	m->minute = 0;
}

static const struct field {
	const char *name;
	const char *needs; /* validate(): one of these must be in the field */
	satisfied_fn *is_satisfied;
	void (*step)(struct moment *m);
} fields[CRON_EXPRESSION_PARTS_MAX] = {
	[CRON_EXPRESSION_MINUTE] = { "minute", "*,/-0123456789",
	    minute_satisfied, next_minute },
	[CRON_EXPRESSION_HOUR] = { "hour", "*,/-0123456789", hour_satisfied,
	    next_hour },
	[CRON_EXPRESSION_DAY] = { "day of month",
	    "*,/-?0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz",
	    day_satisfied, next_day },
	[CRON_EXPRESSION_MONTH] = { "month",
	    "*,/-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", month_satisfied,
	    next_month },
	[CRON_EXPRESSION_WEEKDAY] = { "day of week",
	    "*,/-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", weekday_satisfied,
	    next_day },
	[CRON_EXPRESSION_YEAR] = { "year", "*,/-0123456789", year_satisfied,
	    next_year },
};

/* ---- parse ---- */

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
		    is_odd_number(part, i) || run > NUMBER_DIGITS_MAX ||
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

static enum rc
part_satisfied(const struct field *f, const struct moment *m, struct slice part,
    struct err *err)
{
	struct slice item, rest;
	bool more;

	do {
		enum rc rc;

		more = split(part, ',', &item, &rest);
		rc = f->is_satisfied(m, item, err);
		if (rc != RC_NONE)
			return rc;
		part = rest;
	} while (more);
	return RC_NONE;
}

/* The first field, largest unit first, that `m` misses; NULL: none. */
static enum rc
first_miss(const struct cron_expression *expr, const struct moment *m,
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
	struct moment m;
	int64_t days, seconds;
	bool at_start = true;

	if (start < min || start >= max)
		return err_set(err, RC_REJECT, "a time is outside years 1-9999");
	days = start / DAY_S - (start % DAY_S < 0);
	seconds = start - days * DAY_S;
	set_days(&m, days);
	m.hour = (int)(seconds / 3600);
	m.minute = (int)(seconds / 60 % 60);
	for (int i = 0; i < STEPS_MAX && m.year <= 9999; i++) {
		const struct field *miss;
		enum rc rc = first_miss(expr, &m, &miss, err);

		if (rc != RC_OK)
			return rc;
		if (!miss && (allow_start || !at_start)) {
			*out = m.days * DAY_S + m.hour * 3600 + m.minute * 60;
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
