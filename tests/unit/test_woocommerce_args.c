#include "formats/woocommerce_args.h"

#include <check.h>
#include <string.h>

#include "base/macros.h"

Suite *woocommerce_args_suite(void);

/* As WooCommerce's encoder makes them, of every build that did. */
static const char *const good[] = {
	"[\"woocommerce_order_status_completed\",[123]]",
	"[\"woocommerce_order_status_pending_to_processing\",[123,"
	"{\"__woocommerce_deferred_email_object\":{\"type\":\"order\","
	"\"id\":123}}]]",
	"[\"woocommerce_low_stock\",[{\"__woocommerce_deferred_email_object\":"
	"{\"type\":\"product\",\"id\":55}}]]",
	"[\"woocommerce_product_on_backorder\",[{\"product\":"
	"{\"__woocommerce_deferred_email_object\":{\"type\":\"product\","
	"\"id\":55}},\"order_id\":123,\"quantity\":2}]]",
	"[\"woocommerce_new_customer_note\",[{\"order_id\":123,"
	"\"customer_note\":\"Gru\\u00df \\/ \\\"hi\\\"\"}]]",
	"[\"woocommerce_order_fully_refunded\",[123,456]]",
	"[\"woocommerce_created_customer\",[9,{\"user_login\":\"ann\","
	"\"user_pass\":\"s3cret\",\"user_email\":\"ann@example.test\","
	"\"role\":\"customer\",\"source\":\"checkout\"},false]]",
	"[\"woocommerce_order_status_pending_to_processing\",[123,{}]]",
	/* Other shapes that PHP takes. */
	"[\"a\",[]]",
	"[\"a\",{}]",
	"[\"\",[null]]",
	"[\"a\",{\"0\":1}]",
	"[\"a\",[1],\"later releases may add to it\"]",
	"{\"filter\":\"a\",\"args\":[1]}",
	"[\"a\\u0000b\",[{\"type\":\"payment_gateway\",\"id\":\"bacs\"}]]",
	/* No JSON of arguments: PHP's runner fails these in its own words. */
	"",
	"null",
	"\"a\"",
	"[\"a\",[1]",
};

START_TEST(what_woocommerce_wrote_goes_to_php)
{
	ck_assert_ptr_null(woocommerce_args_wrong(slice_str(good[_i])));
}
END_TEST

static const struct {
	const char *args, *why;
} bad[] = {
	{ "[]", "first" },
	{ "{}", "first" },
	{ "[[],\"a\"]", "first" },
	{ "[1,[1]]", "first" },
	{ "[null,[1]]", "first" },
	{ "[{\"a\":\"b\"},[1]]", "first" },
	{ "{\"args\":[1],\"filter\":\"a\"}", "first" },
	{ "[\"a\"]", "second" },
	{ "[\"a\",null]", "second" },
	{ "[\"a\",\"[1]\"]", "second" },
	{ "[\"a\",123]", "second" },
	{ "[\"a\",false,[1]]", "second" },
};

START_TEST(what_php_would_pass_over_is_named)
{
	const char *why = woocommerce_args_wrong(slice_str(bad[_i].args));

	ck_assert_ptr_nonnull(why);
	ck_assert_ptr_nonnull(strstr(why, bad[_i].why));
}
END_TEST

Suite *
woocommerce_args_suite(void)
{
	Suite *s = suite_create("woocommerce_args");
	TCase *tc = tcase_create("args");

	tcase_add_loop_test(
	    tc, what_woocommerce_wrote_goes_to_php, 0, (int)NELEMS(good));
	tcase_add_loop_test(
	    tc, what_php_would_pass_over_is_named, 0, (int)NELEMS(bad));
	suite_add_tcase(s, tc);
	return s;
}
