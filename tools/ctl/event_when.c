/* Time spans and points in time, as WP-CLI and strtotime() say them. */
#include <stdio.h>

#include "base/clock.h"
#include "events.h"

#define MINUTE INT64_C(60)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* ---- spans -------------------------------------------------------------- */

static const struct {
	int64_t seconds;
	const char *name;
} chunks[] = {
	{ 365 * DAY, "year" },
	{ 30 * DAY, "month" },
	{ 7 * DAY, "week" },
	{ DAY, "day" },
	{ HOUR, "hour" },
	{ MINUTE, "minute" },
	{ 1, "second" },
};

void
event_span(int64_t seconds, char out[EVENT_SPAN_MAX])
{
	size_t i = 0;
	int64_t count, rest;
	int n;

	if (seconds <= 0) {
		(void)snprintf(out, EVENT_SPAN_MAX, "now");
		return;
	}
	while (seconds < chunks[i].seconds)
		i++;
	count = seconds / chunks[i].seconds;
	n = snprintf(out, EVENT_SPAN_MAX, "%lld %s%s", (long long)count,
	    chunks[i].name, count == 1 ? "" : "s");
	if (i + 1 == NELEMS(chunks) || n < 0)
		return;
	rest = seconds % chunks[i].seconds / chunks[i + 1].seconds;
	if (rest > 0)
		(void)snprintf(out + n, EVENT_SPAN_MAX - (size_t)n,
		    " %lld %s%s", (long long)rest, chunks[i + 1].name,
		    rest == 1 ? "" : "s");
}

/* ---- points in time ----------------------------------------------------- */

struct moment {
	int64_t days, seconds; /* since 1970, and of the day */
};

static struct slice
next_word(struct slice *rest)
{
	struct slice s = slice_trim(*rest), word;
	size_t n = 0;

	while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
		n++;
	word = slice_mem(s.p, n);
	*rest = slice_from(s, n);
	return word;
}

/* "12:30", "12:30:15" */
static bool
take_clock(struct slice word, struct moment *m)
{
	int64_t part[3] = { 0, 0, 0 };
	static const int64_t most[] = { 24, 59, 59 };
	size_t n = 0;

	if (slice_find(word, ':') == word.n)
		return false;
	while (n < 3 && word.n > 0) {
		size_t end = slice_find(word, ':');

		if (end == 0 || end > 2 ||
		    !slice_i64(slice_mem(word.p, end), &part[n]) ||
		    part[n] < 0 || part[n] > most[n])
			return false;
		word = slice_from(word, end + 1);
		n++;
	}
	m->seconds = part[0] * HOUR + part[1] * MINUTE + part[2];
	return n >= 2 && word.n == 0;
}

/* "2027-01-31", "2027-01-31T12:30:15Z" */
static bool
take_date(struct slice word, struct moment *m)
{
	int64_t year, month, day;
	struct slice clock;

	if (word.n < 10 || word.p[4] != '-' || word.p[7] != '-' ||
	    !slice_i64(slice_mem(word.p, 4), &year) ||
	    !slice_i64(slice_mem(word.p + 5, 2), &month) ||
	    !slice_i64(slice_mem(word.p + 8, 2), &day) || month < 1 ||
	    month > 12 || day < 1 || day > 31)
		return false;
	m->days = civil_to_days(year, (int)month, (int)day);
	m->seconds = 0;
	if (word.n == 10)
		return true;
	clock = slice_from(word, 11);
	if (clock.n > 0 && clock.p[clock.n - 1] == 'Z')
		clock.n--;
	return word.p[10] == 'T' && take_clock(clock, m);
}

static bool
take_name(struct slice word, int64_t now, struct moment *m)
{
	static const struct {
		const char *name;
		int64_t days, seconds;
	} names[] = {
		{ "today", 0, 0 },
		{ "midnight", 0, 0 },
		{ "noon", 0, 12 * HOUR },
		{ "tomorrow", 1, 0 },
		{ "yesterday", -1, 0 },
	};

	/* The zone that is meant anyway, or the clock as it is. */
	if (slice_eq_nocase(word, SLICE_LIT("now")) ||
	    slice_eq_nocase(word, SLICE_LIT("utc")) ||
	    slice_eq_nocase(word, SLICE_LIT("gmt")))
		return true;
	for (size_t i = 0; i < NELEMS(names); i++)
		if (slice_eq_nocase(word, slice_str(names[i].name))) {
			m->days = now / DAY + names[i].days;
			m->seconds = names[i].seconds;
			return true;
		}
	return false;
}

/* A day that the month has not flows over into the next, as in PHP. */
static void
add_months(struct moment *m, int64_t n)
{
	int64_t year;
	int month, day;

	civil_from_days(m->days, &year, &month, &day);
	n += year * 12 + month - 1;
	m->days = civil_to_days(n / 12, (int)(n % 12) + 1, 1) + day - 1;
}

static bool
add_units(struct moment *m, int64_t n, struct slice unit)
{
	static const struct {
		const char *name;
		int64_t seconds, months;
	} units[] = {
		{ "sec", 1, 0 },
		{ "second", 1, 0 },
		{ "min", MINUTE, 0 },
		{ "minute", MINUTE, 0 },
		{ "hour", HOUR, 0 },
		{ "day", DAY, 0 },
		{ "week", 7 * DAY, 0 },
		{ "month", 0, 1 },
		{ "year", 0, 12 },
	};

	if (unit.n > 1 && unit.p[unit.n - 1] == 's')
		unit.n--;
	if (n < -1000000000 || n > 1000000000)
		return false;
	for (size_t i = 0; i < NELEMS(units); i++) {
		if (!slice_eq_nocase(unit, slice_str(units[i].name)))
			continue;
		if (units[i].months && (n < -120000 || n > 120000))
			return false;
		m->seconds += n * units[i].seconds;
		if (units[i].months)
			add_months(m, n * units[i].months);
		return true;
	}
	return false;
}

/* "+1 hour", "-2days", "3 minutes ago", and the sign may stand alone. */
static bool
take_span(struct slice word, struct slice *rest, struct moment *m)
{
	bool negative = word.n > 0 && word.p[0] == '-';
	struct slice unit, after;
	size_t digits = 0;
	int64_t n;

	if (word.n > 0 && (word.p[0] == '+' || word.p[0] == '-'))
		word = slice_from(word, 1);
	if (word.n == 0)
		word = next_word(rest);
	while (
	    digits < word.n && word.p[digits] >= '0' && word.p[digits] <= '9')
		digits++;
	if (!slice_i64(slice_mem(word.p, digits), &n))
		return false;
	unit = slice_from(word, digits);
	if (unit.n == 0)
		unit = next_word(rest);
	after = *rest;
	if (slice_eq_nocase(next_word(&after), SLICE_LIT("ago"))) {
		*rest = after;
		negative = !negative;
	}
	return add_units(m, negative ? -n : n, unit);
}

bool
event_when(struct slice text, int64_t now, int64_t *out)
{
	struct moment m = { .days = now / DAY, .seconds = now % DAY };
	struct slice rest = slice_trim(text);
	int64_t plain;

	if (slice_i64(rest, &plain) && rest.p[0] != '+') {
		*out = plain < 0 ? -plain : plain;
		return plain != 0;
	}
	while (slice_trim(rest).n > 0) {
		struct slice word = next_word(&rest);

		if (!take_date(word, &m) && !take_clock(word, &m) &&
		    !take_name(word, now, &m) && !take_span(word, &rest, &m))
			return false;
	}
	*out = m.days * DAY + m.seconds;
	return *out > 0;
}
