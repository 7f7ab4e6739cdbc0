#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "formats/seal.h"

Suite *seal_suite(void);

static const unsigned char key[SEAL_KEY_LEN] =
    "0123456789abcdef0123456789ABCDE";
static const unsigned char other[SEAL_KEY_LEN] =
    "another key of the same length.";

static struct buf
sealed(struct slice plain, struct slice context)
{
	struct buf out = BUF_INIT((size_t)4 << 20);
	struct err err = ERR_INIT;

	ck_assert_msg(
	    seal(&out, plain, context, key, &err) == RC_OK, "%s", err.text);
	return out;
}

static const size_t lengths[] = { 0, 1, 15, 16, 17, 4095, 512 * 1024 };

START_TEST(what_was_sealed_is_opened_again)
{
	size_t n = lengths[_i];
	struct buf out = BUF_INIT((size_t)4 << 20), in;
	struct err err = ERR_INIT;
	char *plain = malloc(n + 1);

	ck_assert_ptr_nonnull(plain);
	for (size_t i = 0; i < n; i++)
		plain[i] = (char)(i * 7);
	in = sealed(slice_mem(plain, n), SLICE_LIT("mail event:7 1 0"));
	ck_assert_uint_eq(in.n, n + 28);
	buf_put_str(&out, "before ");
	ck_assert_msg(unseal(&out, buf_slice(&in),
			  SLICE_LIT("mail event:7 1 0"), key, &err) == RC_OK,
	    "%s", err.text);
	ck_assert(
	    slice_eq(slice_from(buf_slice(&out), 7), slice_mem(plain, n)));
	free(plain);
	buf_clear(&out);
	buf_clear(&in);
}
END_TEST

START_TEST(two_seals_of_the_same_bytes_differ)
{
	struct slice text = SLICE_LIT("the same"), where = SLICE_LIT("here");
	struct buf a = sealed(text, where), b = sealed(text, where);

	ck_assert(!slice_eq(buf_slice(&a), buf_slice(&b)));
	buf_clear(&a);
	buf_clear(&b);
}
END_TEST

static void
refused(struct slice bytes, struct slice context, const unsigned char *with)
{
	struct buf out = BUF_INIT(4096);
	struct err err = ERR_INIT;

	ck_assert_int_eq(unseal(&out, bytes, context, with, &err), RC_REJECT);
	ck_assert_uint_eq(out.n, 0);
	ck_assert_str_ne(err.text, "");
	buf_clear(&out);
}

START_TEST(any_changed_byte_is_noticed)
{
	struct slice where = SLICE_LIT("mail action:1 1 0");
	struct buf in = sealed(SLICE_LIT("Subject: yours\r\n"), where);

	for (size_t i = 0; i < in.n; i++) {
		in.p[i] ^= 1;
		refused(buf_slice(&in), where, key);
		in.p[i] ^= 1;
	}
	for (size_t n = 0; n < in.n; n++)
		refused(slice_mem(in.p, n), where, key);
	buf_clear(&in);
}
END_TEST

START_TEST(chunk_of_another_place_or_key_is_refused)
{
	struct slice where = SLICE_LIT("mail action:1 1 0");
	struct buf in = sealed(SLICE_LIT("Subject: yours\r\n"), where);

	refused(buf_slice(&in), SLICE_LIT("mail action:1 1 1"), key);
	refused(buf_slice(&in), SLICE_LIT(""), key);
	refused(buf_slice(&in), where, other);
	buf_clear(&in);
}
END_TEST

/* What PHP's openssl_encrypt('aes-256-gcm') made of it, for its order. */
START_TEST(bytes_that_php_sealed_are_opened)
{
	static const unsigned char from_php[] = { 0x0A, 0x5D, 0x13, 0x79, 0x3F,
		0xCA, 0x57, 0xB2, 0xA2, 0x10, 0x2A, 0x2A, 0xF0, 0x40, 0x7B,
		0xBD, 0x9D, 0xF3, 0x16, 0x4D, 0x2A, 0x41, 0x0C, 0x4C, 0x81,
		0xC5, 0x7E, 0xA8, 0x18, 0xA8, 0x33, 0x3E, 0x27, 0x80, 0xB4,
		0xC3, 0x11, 0x16, 0xF8, 0xC4, 0x53, 0xCA, 0xF9 };
	struct buf out = BUF_INIT(4096);
	struct err err = ERR_INIT;

	ck_assert_msg(
	    unseal(&out, slice_mem((const char *)from_php, sizeof from_php),
		SLICE_LIT("mail event:7 1 0"), key, &err) == RC_OK,
	    "%s", err.text);
	ck_assert_str_eq(buf_str(&out), "sealed by PHP\r\n");
	buf_clear(&out);
}
END_TEST

static const struct {
	const char *text;
	const char *why; /* NULL: it is one */
} keys[] = {
	{ "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F",
	    NULL },
	{ " 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
	    NULL },
	{ "", "0 characters" },
	{ "000102", "6 characters" },
	{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00",
	    "66 characters" },
	{ "0g0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	    "character 2" },
	{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1 ",
	    "63 characters" },
};

START_TEST(key_file_is_64_digits_and_nothing_else)
{
	unsigned char out[SEAL_KEY_LEN];
	struct err err = ERR_INIT;
	enum rc rc = seal_key_read(slice_str(keys[_i].text), out, &err);

	ck_assert_int_eq(rc, keys[_i].why ? RC_REJECT : RC_OK);
	if (keys[_i].why) {
		ck_assert_msg(
		    strstr(err.text, keys[_i].why) != NULL, "%s", err.text);
		return;
	}
	for (size_t i = 0; i < sizeof out; i++)
		ck_assert_uint_eq(out[i], i);
}
END_TEST

Suite *
seal_suite(void)
{
	Suite *s = suite_create("seal");
	TCase *tc = tcase_create("seal");

	tcase_add_loop_test(
	    tc, what_was_sealed_is_opened_again, 0, NELEMS(lengths));
	tcase_add_test(tc, two_seals_of_the_same_bytes_differ);
	tcase_add_test(tc, any_changed_byte_is_noticed);
	tcase_add_test(tc, chunk_of_another_place_or_key_is_refused);
	tcase_add_test(tc, bytes_that_php_sealed_are_opened);
	tcase_add_loop_test(
	    tc, key_file_is_64_digits_and_nothing_else, 0, NELEMS(keys));
	suite_add_tcase(s, tc);
	return s;
}
