#include "formats/cron_field.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/clock.h"

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
	return s.n > 0 && s.n <= CRON_FIELD_DIGITS_MAX;
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
	int64_t every;

	split(item, '/', &range, &step);
	every = is_number(step) ? number(step) : 0;
	if (slice_eq_str(range, "*") || slice_eq_str(range, "0")) {
		if (every == 0)
			return cannot(item, err);
		return number(value) % every == 0 ? RC_OK : RC_NONE;
	}
	if (!split(range, '-', &from, &to))
		to = value;
	if (compare(value, from) < 0 || compare(value, to) > 0)
		return RC_NONE;
	if (compare(value, from) == 0)
		return RC_OK;
	if (!is_number(from) || !is_number(to) || every == 0)
		return cannot(item, err);
	return (number(value) - number(from)) % every == 0 ? RC_OK : RC_NONE;
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

void
cron_moment_set_days(struct cron_moment *m, int64_t days)
{
	m->days = days;
	civil_from_days(days, &m->year, &m->month, &m->day);
}

/* ---- the fields ---- */

enum rc
cron_field_minute(
    const struct cron_moment *m, struct slice item, struct err *err)
{
	return satisfied_by_number(m->minute, 2, item, err);
}

enum rc
cron_field_hour(const struct cron_moment *m, struct slice item, struct err *err)
{
	return satisfied_by_number(m->hour, 2, item, err);
}

enum rc
cron_field_year(const struct cron_moment *m, struct slice item, struct err *err)
{
	return satisfied_by_number(m->year, 4, item, err);
}

/*
 * The weekday nearest to `target` in the month of `m`, never across its ends.
 * A day the month does not have runs over into the next one, as in PHP's date
 * parser; the tries around it are then made in the month of `m`. 0: none.
 */
static int
nearest_weekday(const struct cron_moment *m, int target)
{
	static const int tries[] = { -1, 1, -2, 2 };
	int64_t first = civil_to_days(m->year, m->month, 1);
	struct cron_moment t;

	cron_moment_set_days(&t, first + target - 1);
	if (weekday_of(t.days) < 6)
		return t.day;
	int last = days_in_month(t.year, t.month);
	for (size_t i = 0; i < NELEMS(tries); i++) {
		int day = target + tries[i];
		struct cron_moment near;

		if (day <= 0 || day > last)
			continue;
		cron_moment_set_days(&near, first + day - 1);
		if (weekday_of(near.days) < 6 && near.month == m->month)
			return near.day;
	}
	return 0;
}

enum rc
cron_field_day(const struct cron_moment *m, struct slice item, struct err *err)
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

/* str_ireplace(names, first.., item): wherever a name stands, words too. */
static struct slice
replace_names(struct slice item, const char *const *names, size_t nnames,
    int first, char out[CEILING_CRON_ITEM_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < item.n;) {
		size_t k = 0;

		while (
		    k < nnames && (item.n - i < 3 ||
				      !slice_eq_nocase(slice_mem(item.p + i, 3),
					  slice_str(names[k]))))
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

enum rc
cron_field_month(
    const struct cron_moment *m, struct slice item, struct err *err)
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
    const struct cron_moment *m, struct slice item, struct err *err)
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
    const struct cron_moment *m, struct slice item, struct err *err)
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
		    "There are never more than 5 of a given weekday in a "
		    "month");
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

enum rc
cron_field_weekday(
    const struct cron_moment *m, struct slice item, struct err *err)
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
