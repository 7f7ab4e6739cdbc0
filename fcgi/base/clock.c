#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static mono_ms
system_mono(const struct clock *c)
{
	struct timespec ts;

	(void)c;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (mono_ms)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static wall_us
system_wall(const struct clock *c)
{
	struct timespec ts;

	(void)c;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (wall_us)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

const struct clock clock_system = {
	.mono = system_mono,
	.wall = system_wall,
};

mono_ms
clock_mono(const struct clock *c)
{
	return c->mono(c);
}

wall_us
clock_wall(const struct clock *c)
{
	return c->wall(c);
}

int64_t
clock_unix(const struct clock *c)
{
	wall_us us = clock_wall(c);

	return us >= 0 ? us / 1000000 : -((999999 - us) / 1000000);
}

void
clock_deadline(struct timespec *out, mono_ms ms)
{
	clock_gettime(CLOCK_MONOTONIC, out);
	out->tv_sec += ms / 1000;
	out->tv_nsec += ms % 1000 * 1000000;
	if (out->tv_nsec >= 1000000000) {
		out->tv_sec++;
		out->tv_nsec -= 1000000000;
	}
}

void
clock_sleep_ms(mono_ms ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* Howard Hinnant's days_from_civil: eras of 400 years, years from March. */
int64_t
civil_to_days(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

void
civil_from_days(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

void
datetime_render(int64_t unix_time, char out[DATETIME_LEN + 1])
{
	const int64_t first = civil_to_days(0, 1, 1) * 86400;
	const int64_t last = civil_to_days(10000, 1, 1) * 86400 - 1;
	int64_t t = unix_time < first  ? first
		    : unix_time > last ? last
				       : unix_time;
	int64_t days = (t >= 0 ? t : t - 86399) / 86400;
	int secs = (int)(t - days * 86400);
	int64_t year;
	int month, day;

	civil_from_days(days, &year, &month, &day);
	(void)snprintf(out, DATETIME_LEN + 1, "%04u-%02u-%02u %02u:%02u:%02u",
	    (unsigned)year % 10000, (unsigned)month % 100, (unsigned)day % 100,
	    (unsigned)(secs / 3600) % 100, (unsigned)(secs / 60 % 60),
	    (unsigned)(secs % 60));
}

static bool
digits(const char *s, int n, int *out)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (s[i] - '0');
	}
	*out = v;
	return true;
}

int64_t
datetime_parse(const char *s, unsigned long n)
{
	int y, mo, d, h, mi, sec, month, day;
	int64_t days, year;

	if (!s || n < DATETIME_LEN || (n > DATETIME_LEN && s[19] != '.') ||
	    s[4] != '-' || s[7] != '-' || s[10] != ' ' || s[13] != ':' ||
	    s[16] != ':' || !digits(s, 4, &y) || !digits(s + 5, 2, &mo) ||
	    !digits(s + 8, 2, &d) || !digits(s + 11, 2, &h) ||
	    !digits(s + 14, 2, &mi) || !digits(s + 17, 2, &sec))
		return INT64_MIN;
	if (mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 ||
	    sec > 60)
		return INT64_MIN;
	days = civil_to_days(y, mo, d);
	civil_from_days(days, &year, &month, &day);
	/* February 30 is a day in March. */
	if (day != d)
		return INT64_MIN;
	return ((days * 24 + h) * 60 + mi) * 60 + sec;
}
