#include "formats/timezone.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

static struct timezone *
open_zone(const char *name)
{
	struct buf bytes = BUF_INIT(1 << 20);
	struct timezone *tz = NULL;
	struct err err = ERR_INIT;
	char path[128], chunk[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
	f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_put(&bytes, chunk, n);
	fclose(f);
	ck_assert_msg(timezone_parse(buf_slice(&bytes), &tz, &err) == RC_OK,
	    "%s: %s", name, err.text);
	buf_clear(&bytes);
	return tz;
}

static const struct {
	const char *zone, *utc;
	int32_t offset;
} rows[] = {
	{ "Europe/Berlin", "2024-03-31 00:59:59", 3600 },
	{ "Europe/Berlin", "2024-03-31 01:00:00", 7200 },
	{ "Europe/Berlin", "2024-10-27 00:59:59", 7200 },
	{ "Europe/Berlin", "2024-10-27 01:00:00", 3600 },
	/* Past the table: the rule at the file's end. */
	{ "Europe/Berlin", "2099-03-29 00:59:59", 3600 },
	{ "Europe/Berlin", "2099-03-29 01:00:00", 7200 },
	{ "Europe/Berlin", "1880-01-01 00:00:00", 3208 },
	{ "America/New_York", "2060-03-14 06:59:59", -18000 },
	{ "America/New_York", "2060-03-14 07:00:00", -14400 },
	{ "America/New_York", "2060-11-07 06:00:00", -18000 },
	/* Half an hour of summer time, in the southern summer. */
	{ "Australia/Lord_Howe", "2050-04-02 14:59:59", 39600 },
	{ "Australia/Lord_Howe", "2050-04-02 15:00:00", 37800 },
	{ "Australia/Lord_Howe", "2050-12-31 23:59:59", 39600 },
	{ "Asia/Kolkata", "2030-06-01 00:00:00", 19800 },
	{ "America/Sao_Paulo", "2018-11-04 03:00:00", -7200 },
	{ "America/Sao_Paulo", "2030-01-01 00:00:00", -10800 },
	/* A change at hour -1 before a Sunday. */
	{ "America/Nuuk", "2050-03-27 00:59:59", -7200 },
	{ "America/Nuuk", "2050-03-27 01:00:00", -3600 },
	{ "Etc/GMT+5", "2024-01-01 00:00:00", -18000 },
	{ "UTC", "2024-01-01 00:00:00", 0 },
};

START_TEST(an_offset_is_the_zones_at_that_moment)
{
	struct timezone *tz = open_zone(rows[_i].zone);

	ck_assert_msg(timezone_offset(tz, datetime_parse(rows[_i].utc,
					      DATETIME_LEN)) == rows[_i].offset,
	    "%s at %s", rows[_i].zone, rows[_i].utc);
	timezone_free(tz);
}
END_TEST

static void
put_be32(struct buf *b, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_put_char(b, (char)(unsigned char)(v >> shift));
}

static void
put_header(struct buf *b, char version, uint32_t ntimes, uint32_t ntypes)
{
	buf_put(b, "TZif", 4);
	buf_put_char(b, version);
	buf_put(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
	for (int i = 0; i < 3; i++)
		put_be32(b, 0);
	put_be32(b, ntimes);
	put_be32(b, ntypes);
	put_be32(b, 4);
}

/* A version 3 file of one type at UTC and a footer. */
static enum rc
parse_footer(const char *footer, struct timezone **tz)
{
	struct buf b = BUF_INIT(4096);
	struct err err = ERR_INIT;
	enum rc rc;

	for (int block = 0; block < 2; block++) {
		put_header(&b, '3', 0, 1);
		buf_put(&b, "\0\0\0\0\0\0UTC", 10);
	}
	buf_put_char(&b, '\n');
	buf_put_str(&b, footer);
	buf_put_char(&b, '\n');
	rc = timezone_parse(buf_slice(&b), tz, &err);
	buf_clear(&b);
	return rc;
}

static const struct {
	const char *footer, *utc;
	int32_t offset;
} footer_rows[] = {
	{ "", "2024-07-01 00:00:00", 0 },
	{ "EST5", "2024-07-01 00:00:00", -18000 },
	{ "<+0330>-3:30", "2024-07-01 00:00:00", 12600 },
	{ "EST5EDT,M3.2.0,M11.1.0", "2024-03-10 06:59:59", -18000 },
	{ "EST5EDT,M3.2.0,M11.1.0", "2024-03-10 07:00:00", -14400 },
	{ "AAA-1BBB-3,J60/0,J300", "2023-02-28 23:00:00", 10800 },
	{ "AAA-1BBB-3,J60/0,J300", "2024-02-29 22:59:59", 3600 },
	{ "AAA-1BBB-3,J60/0,J300", "2024-02-29 23:00:00", 10800 },
	{ "AAA0BBB,59/0,300", "2024-02-28 23:59:59", 0 },
	{ "AAA0BBB,59/0,300", "2024-02-29 00:00:00", 3600 },
	{ "IST-2IDT,M3.4.4/26,M10.5.0", "2024-03-28 23:59:59", 7200 },
	{ "IST-2IDT,M3.4.4/26,M10.5.0", "2024-03-29 00:00:00", 10800 },
	/* Summer time all year (RFC 8536, 3.3.1). */
	{ "XXX3EDT4,0/0,J365/23", "2024-01-01 03:00:00", -14400 },
	{ "XXX3EDT4,0/0,J365/23", "2024-12-31 23:00:00", -14400 },
	{ "XXX3EDT4,0/0,J365/23", "2024-07-01 00:00:00", -14400 },
};

START_TEST(the_footer_rules_after_the_table)
{
	struct timezone *tz = NULL;

	ck_assert_int_eq(parse_footer(footer_rows[_i].footer, &tz), RC_OK);
	ck_assert_int_eq(timezone_offset(tz,
			     datetime_parse(footer_rows[_i].utc, DATETIME_LEN)),
	    footer_rows[_i].offset);
	timezone_free(tz);
}
END_TEST

static const char *const bad_footers[] = { "E5", "EST", "EST5EDT", "EST99",
	"EST5EDT,M3.2.0", "EST5EDT,M13.2.0,M11.1.0", "EST5EDT,M3.6.0,M11.1.0",
	"EST5EDT,M3.2.7,M11.1.0", "EST5EDT,J0,J1", "EST5EDT,366,1",
	"EST5EDT,M3.2.0/168,M11.1.0", "EST5EDT,M3.2.0,M11.1.0,", "<+03-3" };

START_TEST(a_footer_that_is_no_rule_is_refused)
{
	struct timezone *tz = NULL;

	ck_assert_int_eq(parse_footer(bad_footers[_i], &tz), RC_REJECT);
	ck_assert_ptr_null(tz);
}
END_TEST

START_TEST(a_version_1_file_has_its_table_alone)
{
	struct buf b = BUF_INIT(4096);
	struct timezone *tz = NULL;
	struct err err = ERR_INIT;

	put_header(&b, '\0', 2, 2);
	put_be32(&b, 100);
	put_be32(&b, 200);
	buf_put(&b, "\1\0", 2);
	put_be32(&b, 60);
	buf_put(&b, "\0\0", 2);
	put_be32(&b, (uint32_t)-3600);
	buf_put(&b, "\1\0", 2);
	buf_put(&b, "ABC", 4);
	ck_assert_int_eq(timezone_parse(buf_slice(&b), &tz, &err), RC_OK);
	ck_assert_int_eq(timezone_offset(tz, INT64_MIN), 60);
	ck_assert_int_eq(timezone_offset(tz, 99), 60);
	ck_assert_int_eq(timezone_offset(tz, 100), -3600);
	ck_assert_int_eq(timezone_offset(tz, 199), -3600);
	ck_assert_int_eq(timezone_offset(tz, 200), 60);
	ck_assert_int_eq(timezone_offset(tz, INT64_MAX), 60);
	timezone_free(tz);
	/* Any cut of it is refused. */
	for (size_t n = 0; n < b.n; n++)
		ck_assert_int_eq(
		    timezone_parse(slice_mem(b.p, n), &tz, &err), RC_REJECT);
	/* Type 2 of 2; times that go back. */
	b.p[44 + 8] = 2;
	ck_assert_int_eq(timezone_parse(buf_slice(&b), &tz, &err), RC_REJECT);
	b.p[44 + 8] = 1;
	b.p[44 + 3] = (char)201;
	ck_assert_int_eq(timezone_parse(buf_slice(&b), &tz, &err), RC_REJECT);
	buf_clear(&b);
}
END_TEST

START_TEST(no_zone_is_utc)
{
	ck_assert_int_eq(timezone_offset(NULL, 0), 0);
	timezone_free(NULL);
}
END_TEST

Suite *timezone_suite(void);
Suite *
timezone_suite(void)
{
	Suite *s = suite_create("timezone");
	TCase *tc = tcase_create("timezone");

	tcase_add_loop_test(
	    tc, an_offset_is_the_zones_at_that_moment, 0, NELEMS(rows));
	tcase_add_loop_test(
	    tc, the_footer_rules_after_the_table, 0, NELEMS(footer_rows));
	tcase_add_loop_test(
	    tc, a_footer_that_is_no_rule_is_refused, 0, NELEMS(bad_footers));
	tcase_add_test(tc, a_version_1_file_has_its_table_alone);
	tcase_add_test(tc, no_zone_is_utc);
	suite_add_tcase(s, tc);
	return s;
}
