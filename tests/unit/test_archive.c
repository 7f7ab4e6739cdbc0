#include "formats/archive.h"

#include "base/buf.h"

#include <check.h>
#include <stdlib.h>

/* A tar archive of a folder and the files "b.json" ("[1,2]") and "a.json"
 * (empty), compressed with gzip. */
static const unsigned char tar_gz[] = {
	0x1f,
	0x8b,
	0x08,
	0x00,
	0x00,
	0x00,
	0x00,
	0x00,
	0x02,
	0x03,
	0xed,
	0xd4,
	0x41,
	0x0a,
	0xc2,
	0x30,
	0x10,
	0x85,
	0xe1,
	0x39,
	0x4a,
	0x0e,
	0x20,
	0x49,
	0x4c,
	0x27,
	0xe3,
	0x61,
	0xc4,
	0x45,
	0xbb,
	0x2c,
	0xa2,
	0x60,
	0x5b,
	0xe8,
	0xf1,
	0x0d,
	0x2e,
	0x6b,
	0x41,
	0x37,
	0xd1,
	0x42,
	0xff,
	0x6f,
	0x33,
	0xb3,
	0x0b,
	0xe4,
	0xf1,
	0xc6,
	0x87,
	0x39,
	0x48,
	0x65,
	0xb1,
	0x30,
	0xd5,
	0xd7,
	0x2c,
	0x96,
	0x73,
	0x65,
	0xb7,
	0x46,
	0x4d,
	0x5c,
	0x96,
	0x1f,
	0x98,
	0x86,
	0xb1,
	0x7d,
	0x94,
	0x27,
	0x65,
	0x9f,
	0x7c,
	0xb8,
	0xca,
	0xf6,
	0xf2,
	0x3f,
	0x35,
	0x96,
	0xc4,
	0xa5,
	0xce,
	0xf7,
	0xc3,
	0xfd,
	0x46,
	0xfe,
	0x55,
	0xf3,
	0x9f,
	0x43,
	0xed,
	0x6f,
	0xfe,
	0x9c,
	0x7f,
	0x5e,
	0xe6,
	0xaf,
	0x16,
	0xc5,
	0x45,
	0xfa,
	0x5f,
	0xdd,
	0xf9,
	0x78,
	0x48,
	0x17,
	0x81,
	0xec,
	0xb8,
	0xff,
	0xed,
	0xdf,
	0xfb,
	0xff,
	0x76,
	0xff,
	0x35,
	0x27,
	0xfa,
	0x0f,
	0x00,
	0x00,
	0x00,
	0x00,
	0x00,
	0x00,
	0x00,
	0x00,
	0x00,
	0x00,
	0xc0,
	0xb7,
	0x9e,
	0x44,
	0x39,
	0x99,
	0x56,
	0x00,
	0x28,
	0x00,
	0x00,
};

static const struct slice whole = { (const char *)tar_gz, sizeof tar_gz };

/* "name=content;" of each. */
static enum rc
note_file(void *arg, const char *name, struct slice content, struct err *err)
{
	struct buf *seen = arg;

	buf_printf(seen, "%s=%.*s;", name, SLICE_FMT(content));
	if (seen->failed)
		return err_set(err, RC_RETRY, "full");
	return RC_OK;
}

START_TEST(each_regular_file_is_reported_in_order)
{
	struct buf seen = BUF_INIT(1000);
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    archive_each(whole, 1000, note_file, &seen, &err), RC_OK);
	ck_assert_str_eq(buf_str(&seen), "./x/b.json=[1,2];./x/a.json=;");
	buf_clear(&seen);
}
END_TEST

START_TEST(a_cut_archive_is_refused_wherever_it_is_cut)
{
	for (size_t n = 0; n < whole.n; n++) {
		struct buf seen = BUF_INIT(1000);
		struct err err = ERR_INIT;
		enum rc rc = archive_each(
		    slice_mem(whole.p, n), 1000, note_file, &seen, &err);

		/* The last bytes are gzip's checksum and tar's padding. */
		if (n < whole.n / 2)
			ck_assert_int_eq(rc, RC_REJECT);
		if (rc != RC_OK)
			ck_assert_str_ne(err.text, "");
		buf_clear(&seen);
	}
}
END_TEST

START_TEST(what_is_no_archive_is_refused)
{
	static const char *const texts[] = { "", "x", "<Error>gone</Error>",
		"{\"status\":404}" };
	struct err err = ERR_INIT;

	for (size_t i = 0; i < NELEMS(texts); i++)
		ck_assert_int_eq(archive_each(slice_str(texts[i]), 1000,
				     note_file, NULL, &err),
		    RC_REJECT);
}
END_TEST

START_TEST(more_than_the_ceiling_is_refused)
{
	struct buf seen = BUF_INIT(1000);
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    archive_each(whole, 4, note_file, &seen, &err), RC_REJECT);
	ck_assert_int_eq(archive_each(whole, 5, note_file, &seen, &err), RC_OK);
	buf_clear(&seen);
}
END_TEST

START_TEST(what_the_callee_says_ends_the_walk)
{
	struct buf none = BUF_INIT(3);
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    archive_each(whole, 1000, note_file, &none, &err), RC_RETRY);
	ck_assert_str_eq(err.text, "full");
	buf_clear(&none);
}
END_TEST

Suite *archive_suite(void);

Suite *
archive_suite(void)
{
	Suite *s = suite_create("archive");
	TCase *tc = tcase_create("archive");

	tcase_add_test(tc, each_regular_file_is_reported_in_order);
	tcase_add_test(tc, a_cut_archive_is_refused_wherever_it_is_cut);
	tcase_add_test(tc, what_is_no_archive_is_refused);
	tcase_add_test(tc, more_than_the_ceiling_is_refused);
	tcase_add_test(tc, what_the_callee_says_ends_the_walk);
	suite_add_tcase(s, tc);
	return s;
}
