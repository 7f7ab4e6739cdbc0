#include "formats/timezone.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* The largest file of tzdata has 4 KiB; a "right" one with "fat" data 8. */
#define TZIF_MAX_LEN ((size_t)256 * 1024)
#define HEADER_LEN 44
/* RFC 8536 3.2: utoff should be from -89999 to 93599. */
#define OFFSET_MIN (-89999)
#define OFFSET_MAX 93599
#define TIME_LIMIT (INT64_C(1) << 56)

/* One of the two dates of "STDoffDST,start,end" (POSIX TZ; RFC 8536 3.3). */
struct tz_rule {
	enum {
		RULE_JULIAN, /* Jn: 1 to 365, February 29 never counts */
		RULE_DAY,    /* n: 0 to 365 */
		RULE_MONTH,  /* Mm.w.d: w-th weekday d of month m, 5 the last */
	} kind;
	int day, month, week;
	int32_t time; /* seconds after 00:00, also negative (version 3) */
};

struct tz_footer {
	bool present, dst;
	int32_t std_offset, dst_offset; /* east of UTC */
	struct tz_rule start, end;
};

struct timezone {
	size_t ntimes;
	int64_t *times;   /* ascending */
	int32_t *offsets; /* from times[i] on */
	int32_t first;    /* before times[0] */
	struct tz_footer footer;
};

/* Counts of a header, in the file's order. */
struct tz_header {
	size_t isut, isstd, leap, time, type, chars;
};

static uint32_t
get_u32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 |
	       (uint32_t)u[2] << 8 | u[3];
}

static int64_t
get_i32(const char *p)
{
	return (int32_t)get_u32(p);
}

static int64_t
get_i64(const char *p)
{
	return (int64_t)((uint64_t)get_u32(p) << 32 | get_u32(p + 4));
}

static bool
read_header(struct slice s, struct tz_header *h)
{
	if (s.n < HEADER_LEN || !slice_starts(s, SLICE_LIT("TZif")))
		return false;
	h->isut = get_u32(s.p + 20);
	h->isstd = get_u32(s.p + 24);
	h->leap = get_u32(s.p + 28);
	h->time = get_u32(s.p + 32);
	h->type = get_u32(s.p + 36);
	h->chars = get_u32(s.p + 40);
	/* Each counts at least a byte, so none can be over the file. */
	return h->isut <= s.n && h->isstd <= s.n && h->leap <= s.n &&
	       h->time <= s.n && h->type >= 1 && h->type <= s.n &&
	       h->chars <= s.n;
}

static size_t
block_len(const struct tz_header *h, size_t time_len)
{
	return h->time * (time_len + 1) + h->type * 6 + h->chars +
	       h->leap * (time_len + 4) + h->isstd + h->isut;
}

/* ---- the footer ------------------------------------------------------- */

static bool
take(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

static bool
take_number(struct slice *s, int max, int *out)
{
	size_t n = 0;
	int v = 0;

	while (n < s->n && n < 4 && s->p[n] >= '0' && s->p[n] <= '9')
		v = v * 10 + (s->p[n++] - '0');
	if (n == 0 || v > max)
		return false;
	*s = slice_from(*s, n);
	*out = v;
	return true;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool
take_time(struct slice *s, int max_hours, int32_t *out)
{
	bool negative = take(s, '-');
	int h, m = 0, sec = 0;

	if (!negative)
		(void)take(s, '+');
	if (!take_number(s, max_hours, &h))
		return false;
	if (take(s, ':') && !take_number(s, 59, &m))
		return false;
	if (take(s, ':') && !take_number(s, 59, &sec))
		return false;
	*out = (h * 3600 + m * 60 + sec) * (negative ? -1 : 1);
	return true;
}

/* "CET" or "<+0330>". */
static bool
take_name(struct slice *s)
{
	bool quoted = take(s, '<');
	size_t n = 0;

	while (n < s->n) {
		char c = s->p[n];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool other = (c >= '0' && c <= '9') || c == '+' || c == '-';

		if (!letter && !(quoted && other))
			break;
		n++;
	}
	*s = slice_from(*s, n);
	return n >= 3 && (!quoted || take(s, '>'));
}

static bool
take_rule(struct slice *s, struct tz_rule *r)
{
	bool good;

	if (!take(s, ','))
		return false;
	if (take(s, 'M')) {
		r->kind = RULE_MONTH;
		good = take_number(s, 12, &r->month) && r->month >= 1 &&
		       take(s, '.') && take_number(s, 5, &r->week) &&
		       r->week >= 1 && take(s, '.') &&
		       take_number(s, 6, &r->day);
	} else if (take(s, 'J')) {
		r->kind = RULE_JULIAN;
		good = take_number(s, 365, &r->day) && r->day >= 1;
	} else {
		r->kind = RULE_DAY;
		good = take_number(s, 365, &r->day);
	}
	r->time = 2 * 3600;
	if (good && take(s, '/'))
		good = take_time(s, 167, &r->time);
	return good;
}

/* The sign of POSIX is west; ours is east. */
static bool
read_footer(struct slice s, struct tz_footer *f)
{
	int32_t west;

	*f = (struct tz_footer){ .present = s.n > 0 };
	if (s.n == 0)
		return true;
	if (!take_name(&s) || !take_time(&s, 24, &west))
		return false;
	f->std_offset = -west;
	if (s.n == 0)
		return true;
	f->dst = true;
	f->dst_offset = f->std_offset + 3600;
	if (!take_name(&s))
		return false;
	if (s.n > 0 && s.p[0] != ',') {
		if (!take_time(&s, 24, &west))
			return false;
		f->dst_offset = -west;
	}
	return take_rule(&s, &f->start) && take_rule(&s, &f->end) && s.n == 0;
}

static bool
is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days since 1970 of the rule's date in a year. */
static int64_t
rule_day(const struct tz_rule *r, int64_t year)
{
	int64_t first, next;
	int weekday;

	switch (r->kind) {
	case RULE_JULIAN:
		return civil_to_days(year, 1, 1) + r->day - 1 +
		       (is_leap(year) && r->day >= 60);
	case RULE_DAY:
		return civil_to_days(year, 1, 1) + r->day;
	case RULE_MONTH:
		break;
	}
	first = civil_to_days(year, r->month, 1);
	next = r->month == 12 ? civil_to_days(year + 1, 1, 1)
			      : civil_to_days(year, r->month + 1, 1);
	/* 1970-01-01 was a Thursday. */
	weekday = (int)(((first + 4) % 7 + 7) % 7);
	first += (r->day - weekday + 7) % 7 + (r->week - 1) * 7;
	return first >= next ? first - 7 : first;
}

static int64_t
floor_day(int64_t t)
{
	return (t >= 0 ? t : t - 86399) / 86400;
}

static int32_t
footer_offset(const struct tz_footer *f, int64_t t)
{
	int64_t year, start, end;
	int month, day;
	bool dst;

	if (!f->dst)
		return f->std_offset;
	civil_from_days(floor_day(t + f->std_offset), &year, &month, &day);
	start =
	    rule_day(&f->start, year) * 86400 + f->start.time - f->std_offset;
	end = rule_day(&f->end, year) * 86400 + f->end.time - f->dst_offset;
	if (start < end)
		dst = t >= start && t < end;
	else
		dst = t >= start || t < end;
	return dst ? f->dst_offset : f->std_offset;
}

/* ---- the data block --------------------------------------------------- */

static bool
read_block(struct slice s, const struct tz_header *h, size_t time_len,
    struct timezone *tz)
{
	const char *times = s.p, *index = times + h->time * time_len;
	const char *types = index + h->time;

	for (size_t i = 0; i < h->type; i++) {
		int64_t offset = get_i32(types + i * 6);

		if (offset < OFFSET_MIN || offset > OFFSET_MAX)
			return false;
	}
	tz->first = (int32_t)get_i32(types);
	tz->times = calloc(h->time + 1, sizeof *tz->times);
	tz->offsets = calloc(h->time + 1, sizeof *tz->offsets);
	if (!tz->times || !tz->offsets)
		return false;
	for (size_t i = 0; i < h->time; i++) {
		size_t type = (unsigned char)index[i];

		tz->times[i] = time_len == 8 ? get_i64(times + i * 8)
					     : get_i32(times + i * 4);
		if (type >= h->type ||
		    (i > 0 && tz->times[i] <= tz->times[i - 1]))
			return false;
		tz->offsets[i] = (int32_t)get_i32(types + type * 6);
	}
	tz->ntimes = h->time;
	return true;
}

static bool
read_v2(struct slice s, struct timezone *tz)
{
	struct tz_header h;
	struct slice body, footer;
	size_t len, end;

	if (!read_header(s, &h))
		return false;
	body = slice_from(s, HEADER_LEN);
	len = block_len(&h, 8);
	if (len >= body.n || !read_block(body, &h, 8, tz))
		return false;
	footer = slice_from(body, len);
	if (!take(&footer, '\n'))
		return false;
	end = slice_find(footer, '\n');
	return end < footer.n &&
	       read_footer(slice_mem(footer.p, end), &tz->footer);
}

static bool
read_tzif(struct slice s, struct timezone *tz)
{
	struct tz_header h;
	size_t len;

	if (s.n > TZIF_MAX_LEN || !read_header(s, &h))
		return false;
	len = block_len(&h, 4);
	if (len > s.n - HEADER_LEN)
		return false;
	if (s.p[4] >= '2')
		return read_v2(slice_from(s, HEADER_LEN + len), tz);
	return read_block(slice_from(s, HEADER_LEN), &h, 4, tz);
}

enum rc
timezone_parse(struct slice tzif, struct timezone **out, struct err *err)
{
	struct timezone *tz = calloc(1, sizeof *tz);

	*out = NULL;
	if (!tz)
		return err_set(err, RC_RETRY, "no memory for a time zone");
	if (!read_tzif(tzif, tz)) {
		timezone_free(tz);
		return err_set(err, RC_REJECT, "not a TZif file");
	}
	*out = tz;
	return RC_OK;
}

void
timezone_free(struct timezone *tz)
{
	if (!tz)
		return;
	free(tz->times);
	free(tz->offsets);
	free(tz);
}

int32_t
timezone_offset(const struct timezone *tz, int64_t unix_time)
{
	size_t low = 0, high;

	if (!tz)
		return 0;
	/* Beyond any calendar; keeps the arithmetic from overflowing. */
	if (unix_time > TIME_LIMIT)
		unix_time = TIME_LIMIT;
	if (unix_time < -TIME_LIMIT)
		unix_time = -TIME_LIMIT;
	high = tz->ntimes;
	if (tz->footer.present &&
	    (high == 0 || unix_time >= tz->times[high - 1]))
		return footer_offset(&tz->footer, unix_time);
	/* The number of transitions that lie at or before the time. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (tz->times[mid] <= unix_time)
			low = mid + 1;
		else
			high = mid;
	}
	return low == 0 ? tz->first : tz->offsets[low - 1];
}
