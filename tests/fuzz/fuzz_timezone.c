/* Any bytes as TZif: what is taken gives offsets of a day at most, always. */
#include "formats/timezone.h"

#include <stdint.h>
#include <stdlib.h>

/* -24:59:59 and 26:00, the widest of the table; a rule adds an hour to 24. */
#define OFFSET_MIN (-89999)
#define OFFSET_MAX 93599

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct timezone *tz, int64_t when)
{
	int32_t offset = timezone_offset(tz, when);

	if (offset < OFFSET_MIN || offset > OFFSET_MAX)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct timezone *tz = NULL;
	struct err err = ERR_INIT;

	if (timezone_parse(slice_mem((const char *)data, size), &tz, &err) !=
	    RC_OK) {
		if (tz || !*err.text)
			abort();
		return 0;
	}
	check(tz, INT64_MIN);
	check(tz, INT64_MAX);
	for (int64_t when = -6000000000; when < 12000000000; when += 5000017)
		check(tz, when);
	timezone_free(tz);
	return 0;
}
