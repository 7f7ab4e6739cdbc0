#include "formats/webhook_signature.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* The vector of the Standard Webhooks specification's own libraries. */
#define SECRET "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define TIMESTAMP 1614265330
#define BODY "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static enum rc
sign(const char *secret, const char *body, char *out)
{
	struct err err = ERR_INIT;
	enum rc rc = webhook_signature_sign(slice_str(secret), SLICE_LIT(ID),
	    TIMESTAMP, slice_str(body), out, &err);

	if (rc == RC_REJECT && strlen(secret) > 8)
		ck_assert_ptr_null(strstr(err.text, secret));
	return rc;
}

START_TEST(the_signature_is_that_of_the_known_vector)
{
	char out[WEBHOOK_SIGNATURE_LEN + 1];

	ck_assert_int_eq(sign("whsec_" SECRET, BODY, out), RC_OK);
	ck_assert_str_eq(out, SIGNATURE);
	ck_assert_uint_eq(strlen(out), WEBHOOK_SIGNATURE_LEN);
}
END_TEST

START_TEST(the_prefix_of_a_secret_may_be_left_out)
{
	char out[WEBHOOK_SIGNATURE_LEN + 1];

	ck_assert_int_eq(sign(SECRET, BODY, out), RC_OK);
	ck_assert_str_eq(out, SIGNATURE);
}
END_TEST

START_TEST(another_body_has_another_signature)
{
	char out[WEBHOOK_SIGNATURE_LEN + 1];

	ck_assert_int_eq(sign(SECRET, BODY " ", out), RC_OK);
	ck_assert_str_ne(out, SIGNATURE);
}
END_TEST

static const struct {
	const char *secret;
	bool good;
} secret_rows[] = {
	{ "whsec_AAAA", true },
	{ "whsec_AAA=", true },
	{ "whsec_AAA", true },
	{ "whsec_AA==", true },
	{ "whsec_AA", true },
	{ "whsec_AA=", false },
	{ "whsec_A===", false },
	{ "whsec_A", false },
	{ "whsec_AAAA=", false },
	{ "whsec_AA=A", false },
	{ "whsec_AA A", false },
	{ "whsec_AA-_", false },
	{ "whsec_", false },
	{ "whsec_=", false },
	{ "whsec_==", false },
};

START_TEST(a_secret_is_base64_or_refused)
{
	char out[WEBHOOK_SIGNATURE_LEN + 1];

	ck_assert_msg(sign(secret_rows[_i].secret, BODY, out) ==
			  (secret_rows[_i].good ? RC_OK : RC_REJECT),
	    "%s", secret_rows[_i].secret);
}
END_TEST

START_TEST(a_secret_over_the_ceiling_is_refused)
{
	char secret[1024], out[WEBHOOK_SIGNATURE_LEN + 1];

	memset(secret, 'A', sizeof secret);
	secret[256] = '\0';
	ck_assert_int_eq(sign(secret, BODY, out), RC_OK);
	secret[256] = 'A';
	secret[260] = '\0';
	ck_assert_int_eq(sign(secret, BODY, out), RC_REJECT);
}
END_TEST

Suite *webhook_signature_suite(void);
Suite *
webhook_signature_suite(void)
{
	Suite *s = suite_create("webhook_signature");
	TCase *tc = tcase_create("webhook_signature");

	tcase_add_test(tc, the_signature_is_that_of_the_known_vector);
	tcase_add_test(tc, the_prefix_of_a_secret_may_be_left_out);
	tcase_add_test(tc, another_body_has_another_signature);
	tcase_add_loop_test(
	    tc, a_secret_is_base64_or_refused, 0, NELEMS(secret_rows));
	tcase_add_test(tc, a_secret_over_the_ceiling_is_refused);
	suite_add_tcase(s, tc);
	return s;
}
