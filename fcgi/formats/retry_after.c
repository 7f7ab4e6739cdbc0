#include "formats/retry_after.h"

#include "base/clock.h"

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char weekdays[] = "MonTueWedThuFriSatSun";
static const char *const long_weekdays[] = { "Monday", "Tuesday", "Wednesday",
	"Thursday", "Friday", "Saturday", "Sunday" };

/* Index of the three letters in a run of such names, or -1. */
static int
find_name(struct slice s, const char *names, int count)
{
	for (int i = 0; i < count; i++)
		if (slice_eq(s, slice_mem(names + (size_t)i * 3, 3)))
			return i;
	return -1;
}

/*
 * A date by its picture: 'w' weekday, 'n' month, 'd' day (may be blank-padded
 * where the picture has 'e'), 'Y' four-digit and 'y' two-digit year, 'h' 'm'
 * 's' the time; anything else is literal.
 */
struct picture_date {
	int64_t year;
	int month, day, hour, minute, second;
	bool short_year;
};

static bool
take_number(struct slice *s, size_t digits, bool blank, int *out)
{
	struct slice text = slice_mem(s->p, digits);
	uint64_t v;

	if (s->n < digits)
		return false;
	*s = slice_from(*s, digits);
	if (blank && text.p[0] == ' ')
		text = slice_from(text, 1);
	if (!slice_u64(text, &v))
		return false;
	*out = (int)v;
	return true;
}

static bool
take_name(struct slice *s, const char *names, int count, int *out)
{
	if (s->n < 3)
		return false;
	*out = find_name(slice_mem(s->p, 3), names, count);
	*s = slice_from(*s, 3);
	return *out >= 0;
}

static bool
take_field(struct slice *s, char field, struct picture_date *d)
{
	int ignored, year;

	switch (field) {
	case 'w':
		return take_name(s, weekdays, 7, &ignored);
	case 'n':
		return take_name(s, months, 12, &d->month);
	case 'd':
		return take_number(s, 2, false, &d->day);
	case 'e':
		return take_number(s, 2, true, &d->day);
	case 'h':
		return take_number(s, 2, false, &d->hour);
	case 'm':
		return take_number(s, 2, false, &d->minute);
	case 's':
		return take_number(s, 2, false, &d->second);
	case 'Y':
	case 'y':
		if (!take_number(s, field == 'Y' ? 4 : 2, false, &year))
			return false;
		d->year = year;
		d->short_year = field == 'y';
		return true;
	default:
		if (s->n == 0 || s->p[0] != field)
			return false;
		*s = slice_from(*s, 1);
		return true;
	}
}

static bool
take_picture(struct slice s, const char *picture, struct picture_date *d)
{
	*d = (struct picture_date){ 0 };
	for (; *picture; picture++)
		if (!take_field(&s, *picture, d))
			return false;
	return s.n == 0;
}

static bool
to_unix(const struct picture_date *d, int64_t *out)
{
	int64_t days, year;
	int month, day;

	/* 60: a leap second is a valid HTTP-date. */
	if (d->day < 1 || d->hour > 23 || d->minute > 59 || d->second > 60)
		return false;
	days = civil_to_days(d->year, d->month + 1, d->day);
	civil_from_days(days, &year, &month, &day);
	if (month != d->month + 1 || day != d->day)
		return false;
	*out = days * 86400 + INT64_C(3600) * d->hour +
	       INT64_C(60) * d->minute + d->second;
	return true;
}

/* RFC 9110: a year that seems over 50 years ahead is in the past. */
static void
widen_year(struct picture_date *d, int64_t now)
{
	int64_t this_year;
	int month, day;

	civil_from_days(now / 86400, &this_year, &month, &day);
	d->year += this_year - this_year % 100;
	if (d->year > this_year + 50)
		d->year -= 100;
	else if (d->year <= this_year - 50)
		d->year += 100;
}

bool
http_date_parse(struct slice s, int64_t now, int64_t *out)
{
	static const char *const pictures[] = { "w, d n Y h:m:s GMT",
		"w n e h:m:s Y" };
	struct picture_date d;

	for (size_t i = 0; i < NELEMS(pictures); i++)
		if (take_picture(s, pictures[i], &d))
			return to_unix(&d, out);
	for (size_t i = 0; i < NELEMS(long_weekdays); i++) {
		struct slice name = slice_str(long_weekdays[i]);

		if (slice_starts(s, name) && take_picture(slice_from(s, name.n),
						 ", d-n-y h:m:s GMT", &d)) {
			widen_year(&d, now);
			return to_unix(&d, out);
		}
	}
	return false;
}

static bool
is_digits(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

bool
retry_after_parse(
    struct slice value, int64_t now, int64_t max_s, int64_t *seconds)
{
	struct slice s = slice_trim(value);
	uint64_t number;
	int64_t when;

	if (is_digits(s)) {
		if (!slice_u64(s, &number) || number > (uint64_t)max_s)
			*seconds = max_s;
		else
			*seconds = (int64_t)number;
		return true;
	}
	if (!http_date_parse(s, now, &when))
		return false;
	if (when <= now)
		*seconds = 0;
	else
		*seconds = when - now > max_s ? max_s : when - now;
	return true;
}
