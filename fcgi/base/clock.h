#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds that only run forwards; for durations and deadlines here. */
typedef int64_t mono_ms;
/* Unix time in microseconds; for what is written down or compared with rows. */
typedef int64_t wall_us;

/*
 * Where time comes from. Production code passes &clock_system; a test passes
 * its own and turns it by hand.
 */
struct clock {
	mono_ms (*mono)(const struct clock *);
	wall_us (*wall)(const struct clock *);
};

extern const struct clock clock_system;

mono_ms clock_mono(const struct clock *c);
wall_us clock_wall(const struct clock *c);
/* Unix seconds, rounded down. */
int64_t clock_unix(const struct clock *c);

/* The time `ms` from now on CLOCK_MONOTONIC, for pthread_cond_timedwait(). */
struct timespec;
void clock_deadline(struct timespec *out, mono_ms ms);
void clock_sleep_ms(mono_ms ms);

#define DATETIME_LEN 19
/* "YYYY-MM-DD HH:MM:SS" in UTC and a NUL; years 0 to 9999, else the nearest. */
void datetime_render(int64_t unix_time, char out[DATETIME_LEN + 1]);
/*
 * The Unix time of "YYYY-MM-DD HH:MM:SS[.ffffff]" read as UTC. INT64_MIN for
 * the zero date, INT64_MIN as well for anything that is not a date.
 */
int64_t datetime_parse(const char *s, unsigned long n);

/* Days since 1970-01-01 of a proleptic Gregorian date, and back. */
int64_t civil_to_days(int64_t year, int month, int day);
void civil_from_days(int64_t days, int64_t *year, int *month, int *day);

#endif
