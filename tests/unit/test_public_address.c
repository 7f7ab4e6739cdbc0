#include "wire/public_address.h"

#include "base/macros.h"

#include <arpa/inet.h>
#include <check.h>
#include <string.h>

static const struct {
	const char *text;
	bool is_public;
} rows[] = {
	{ "1.1.1.1", true },
	{ "9.255.255.255", true },
	{ "11.0.0.0", true },
	{ "100.63.255.255", true },
	{ "100.128.0.0", true },
	{ "126.255.255.255", true },
	{ "128.0.0.1", true },
	{ "169.253.255.255", true },
	{ "169.255.0.0", true },
	{ "172.15.255.255", true },
	{ "172.32.0.0", true },
	{ "192.0.1.1", true },
	{ "192.167.255.255", true },
	{ "192.169.0.0", true },
	{ "198.17.255.255", true },
	{ "198.20.0.0", true },
	{ "223.255.255.255", true },
	{ "0.0.0.0", false },
	{ "0.255.255.255", false },
	{ "10.0.0.0", false },
	{ "10.255.255.255", false },
	{ "100.64.0.0", false },
	{ "100.127.255.255", false },
	{ "127.0.0.1", false },
	{ "127.255.255.255", false },
	{ "169.254.169.254", false },
	{ "172.16.0.0", false },
	{ "172.31.255.255", false },
	{ "192.0.0.8", false },
	{ "192.0.2.1", false },
	{ "192.88.99.1", false },
	{ "192.168.0.0", false },
	{ "192.168.255.255", false },
	{ "198.18.0.0", false },
	{ "198.19.255.255", false },
	{ "198.51.100.1", false },
	{ "203.0.113.1", false },
	{ "224.0.0.1", false },
	{ "240.0.0.1", false },
	{ "255.255.255.255", false },
	{ "2606:4700:4700::1111", true },
	{ "2a00:1450:4001::1", true },
	{ "2001:200::1", true },
	{ "::ffff:1.1.1.1", true },
	{ "64:ff9b::1.1.1.1", true },
	{ "2002:101:101::1", true },
	{ "::", false },
	{ "::1", false },
	{ "::ffff:127.0.0.1", false },
	{ "::ffff:10.0.0.1", false },
	{ "::127.0.0.1", false },
	{ "64:ff9b::169.254.169.254", false },
	{ "64:ff9b:1::1", false },
	{ "100::1", false },
	{ "2001::1", false },
	{ "2001:1ff:ffff::1", false },
	{ "2001:db8::1", false },
	{ "2002:7f00:1::1", false },
	{ "2002:c0a8:101::1", false },
	{ "3fff:fff::1", false },
	{ "4000::1", false },
	{ "fc00::1", false },
	{ "fdff:ffff::1", false },
	{ "fe80::1", false },
	{ "febf::1", false },
	{ "fec0::1", false },
	{ "ff02::1", false },
};

START_TEST(an_address_of_the_internet_or_not)
{
	struct sockaddr_storage at;
	struct sockaddr_in *in = (struct sockaddr_in *)&at;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&at;
	const char *text = rows[_i].text;

	memset(&at, 0, sizeof at);
	if (strchr(text, ':')) {
		in6->sin6_family = AF_INET6;
		ck_assert_int_eq(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
	} else {
		in->sin_family = AF_INET;
		ck_assert_int_eq(inet_pton(AF_INET, text, &in->sin_addr), 1);
	}
	ck_assert_msg(
	    public_address((const struct sockaddr *)&at) == rows[_i].is_public,
	    "%s", text);
}
END_TEST

START_TEST(what_is_no_ip_is_not_of_the_internet)
{
	struct sockaddr at = { .sa_family = AF_UNIX };

	ck_assert(!public_address(&at));
}
END_TEST

Suite *public_address_suite(void);

Suite *
public_address_suite(void)
{
	Suite *s = suite_create("public_address");
	TCase *tc = tcase_create("public_address");

	tcase_add_loop_test(
	    tc, an_address_of_the_internet_or_not, 0, NELEMS(rows));
	tcase_add_test(tc, what_is_no_ip_is_not_of_the_internet);
	suite_add_tcase(s, tc);
	return s;
}
