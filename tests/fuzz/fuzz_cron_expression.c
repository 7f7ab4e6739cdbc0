/*
 * The first 4 bytes are a time, the rest an expression. What is found lies
 * after the minute asked from, is a whole minute, and is the first match when
 * asked from itself; asked from just before it, it is found again, unless that
 * is the end of a month, from where a shorter next month may be leapt over.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "formats/cron_expression.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static bool
is_month_end(int64_t t)
{
	int64_t year;
	int month, day;

	civil_from_days(t / 86400, &year, &month, &day);
	return day > 28;
}

static void
check_matches(const struct cron_expression *expr, int64_t from)
{
	struct err err = ERR_INIT;
	int64_t next, again;
	enum rc rc = cron_expression_next(expr, from, &next, &err);

	require(rc == RC_OK || (rc == RC_REJECT && err.text[0] != '\0'));
	if (rc != RC_OK)
		return;
	require(next > from && next % 60 == 0);
	require(cron_expression_first(expr, next, &again, &err) == RC_OK);
	require(again == next);
	require(cron_expression_first(expr, next + 59, &again, &err) == RC_OK);
	require(again == next);
	if (!is_month_end(next - 1)) {
		require(cron_expression_next(expr, next - 1, &again, &err) ==
			RC_OK);
		require(again == next);
	}
	if (cron_expression_first(expr, from, &again, &err) == RC_OK)
		require(again == next || again == from - from % 60);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cron_expression expr, stored;
	struct err err = ERR_INIT;
	int64_t from = 0;
	char *text;

	if (size < 4 || size > 300)
		return 0;
	for (size_t i = 0; i < 4; i++)
		from = from * 256 + data[i];
	text = malloc(size);
	if (!text)
		return 0;
	for (size_t i = 4; i < size; i++)
		text[i - 4] = (char)data[i];
	if (cron_expression_parse(slice_mem(text, size - 4), &expr, &err) ==
	    RC_OK) {
		require(expr.nparts == 5 || expr.nparts == 6);
		require(cron_expression_from_parts(
			    expr.parts, expr.nparts, &stored, &err) == RC_OK);
		check_matches(&stored, from);
	} else {
		require(err.text[0] != '\0');
	}
	free(text);
	return 0;
}
