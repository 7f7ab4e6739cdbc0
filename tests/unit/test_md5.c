#include <check.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "formats/md5.h"

Suite *md5_suite(void);

/* RFC 1321, A.5, and keys that WordPress made. */
static const struct {
	const char *text, *digest;
} rows[] = {
	{ "", "d41d8cd98f00b204e9800998ecf8427e" },
	{ "a", "0cc175b9c0f1b6a831c399e269772661" },
	{ "abc", "900150983cd24fb0d6963f7d28e17f72" },
	{ "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
	{ "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
	{ "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
	    "d174ab98d277d9f5a5611c2c9f419d9f" },
	{ "1234567890123456789012345678901234567890123456789012345678901234567"
	  "8901234567890",
	    "57edf4a22be3c955ac49da2e2107b67a" },
	{ "a:0:{}", "40cd750bba9870f18aada2478b24840a" },
	{ "a:1:{i:0;s:7:\"WP Cron\";}", "0d04ed39571b55704c122d726248bbac" },
	{ "a:1:{i:0;i:42;}", "9faa5555021560fb2a78d8c9f3513bc5" },
};

static void
is_digest(struct md5 *m, const char *want)
{
	struct buf hex = BUF_INIT(64);
	unsigned char digest[MD5_LEN];

	md5_end(m, digest);
	buf_put_hex(&hex, digest, sizeof digest);
	ck_assert_str_eq(buf_str(&hex), want);
	buf_clear(&hex);
}

START_TEST(md5_is_what_the_rfc_and_php_say)
{
	struct md5 m;

	md5_init(&m);
	md5_put(&m, slice_str(rows[_i].text));
	is_digest(&m, rows[_i].digest);
}
END_TEST

START_TEST(md5_does_not_depend_on_the_pieces)
{
	const struct slice text = slice_str(rows[6].text);

	for (size_t piece = 1; piece <= text.n; piece++) {
		struct slice rest = text;
		struct md5 m;

		md5_init(&m);
		for (; rest.n > 0; rest = slice_from(rest, piece))
			md5_put(&m,
			    slice_mem(rest.p, rest.n < piece ? rest.n : piece));
		is_digest(&m, rows[6].digest);
	}
}
END_TEST

/* The padding's lengths meet the end of a block. */
START_TEST(md5_pads_every_length)
{
	static const char *const want[] = {
		"ef1772b6dff9a122358552954ad0df65", /* 55 */
		"3b0c8ac703f828b04c6c197006d17218", /* 56 */
		"b06521f39153d618550606be297466d5", /* 63 */
		"014842d480b571495a4a0363793f7367", /* 64 */
		"c743a45e0d2e6a95cb859adae0248435"  /* 65 */
	};
	static const size_t lengths[] = { 55, 56, 63, 64, 65 };
	char text[65];
	struct md5 m;

	memset(text, 'a', sizeof text);
	md5_init(&m);
	md5_put(&m, slice_mem(text, lengths[_i]));
	is_digest(&m, want[_i]);
}
END_TEST

/* RFC 2202, 2. */
static const struct {
	char key_byte;
	size_t key_len;
	const char *key, *text, *digest;
} hmac_rows[] = {
	{ 0x0b, 16, NULL, "Hi There", "9294727a3638bb1c13f48ef8158bfc9d" },
	{ 0, 0, "Jefe", "what do ya want for nothing?",
	    "750c783e6ab0b503eaa86e310a5db738" },
	{ (char)0xaa, 80, NULL,
	    "Test Using Larger Than Block-Size Key - Hash Key First",
	    "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd" },
	{ (char)0xaa, 80, NULL,
	    "Test Using Larger Than Block-Size Key and Larger Than One "
	    "Block-Size Data",
	    "6f630fad67cda0ee1fb1f562db3aa53e" },
	{ 0, 0, "", "", "74e6f7298a9c2d168935f58c001bad88" },
};

START_TEST(hmac_is_what_the_rfc_says_in_any_pieces)
{
	struct slice text = slice_str(hmac_rows[_i].text), key;
	struct buf hex = BUF_INIT(64);
	unsigned char digest[MD5_LEN];
	char bytes[80];

	memset(bytes, hmac_rows[_i].key_byte, sizeof bytes);
	key = hmac_rows[_i].key ? slice_str(hmac_rows[_i].key)
				: slice_mem(bytes, hmac_rows[_i].key_len);
	for (size_t cut = 0; cut <= text.n; cut++) {
		const struct slice parts[] = { slice_mem(text.p, cut),
			slice_from(text, cut) };

		md5_hmac(key, parts, NELEMS(parts), digest);
		buf_reset(&hex);
		buf_put_hex(&hex, digest, sizeof digest);
		ck_assert_str_eq(buf_str(&hex), hmac_rows[_i].digest);
	}
	buf_clear(&hex);
}
END_TEST

Suite *
md5_suite(void)
{
	Suite *s = suite_create("md5");
	TCase *tc = tcase_create("digests");

	tcase_add_loop_test(
	    tc, md5_is_what_the_rfc_and_php_say, 0, NELEMS(rows));
	tcase_add_test(tc, md5_does_not_depend_on_the_pieces);
	tcase_add_loop_test(tc, md5_pads_every_length, 0, 5);
	tcase_add_loop_test(
	    tc, hmac_is_what_the_rfc_says_in_any_pieces, 0, NELEMS(hmac_rows));
	suite_add_tcase(s, tc);
	return s;
}
