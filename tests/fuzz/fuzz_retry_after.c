/* Retry-After: what is accepted is in range; dates survive being rendered. */
#include "formats/retry_after.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW INT64_C(1700000000)
#define MAX_S INT64_C(86400)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any date that was understood reads the same in the preferred form. */
static void
check_date(int64_t when)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t year, again = INT64_MIN, second = when % 86400;
	int month, day;
	char text[64];

	if (second < 0)
		second += 86400;
	civil_from_days((when - second) / 86400, &year, &month, &day);
	(void)snprintf(text, sizeof text,
	    "Mon, %02d %.3s %04d %02d:%02d:%02d GMT", day,
	    months + (month - 1) * 3, (int)year, (int)(second / 3600),
	    (int)(second / 60 % 60), (int)(second % 60));
	/* 23:59:60 on the last day of 9999 is in the year 10000. */
	if (year <= 9999 &&
	    (!http_date_parse(slice_str(text), NOW, &again) || again != when))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice value = slice_mem((const char *)data, size);
	int64_t seconds = -7, when;

	if (retry_after_parse(value, NOW, MAX_S, &seconds)) {
		if (seconds < 0 || seconds > MAX_S)
			abort();
	} else if (seconds != -7) {
		abort();
	}
	if (http_date_parse(value, NOW, &when))
		check_date(when);
	return 0;
}
