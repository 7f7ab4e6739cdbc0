#include "executors/webhook_hosts.h"

#include "base/macros.h"

#include <check.h>

#define URL "https://example.com/hook"

/* A clock that stands still until it is turned. */
struct hand_clock {
	struct clock clock;
	mono_ms now;
};

static mono_ms
hand_mono(const struct clock *c)
{
	return ((const struct hand_clock *)(const void *)c)->now;
}

static wall_us
hand_wall(const struct clock *c UNUSED)
{
	return 0;
}

static struct hand_clock hand = {
	.clock = { .mono = hand_mono, .wall = hand_wall }, .now = 1000
};

static struct webhook_host *
find(struct webhook_hosts *hosts, const char *url)
{
	struct webhook_host *host = NULL;

	ck_assert_int_eq(webhook_hosts_find(hosts, url, &host, NULL), RC_OK);
	return host;
}

static enum webhook_admit
admits(struct webhook_hosts *hosts)
{
	int64_t ignored;

	return webhook_hosts_admits(hosts, URL, &ignored);
}

static enum webhook_admit
begin(struct webhook_hosts *hosts, bool *probe)
{
	int64_t ignored;

	return webhook_hosts_begin(hosts, find(hosts, URL), probe, &ignored);
}

static void
open_breaker(struct webhook_hosts *hosts)
{
	bool probe;

	for (int i = 0; i < BREAKER_FAILURES; i++) {
		ck_assert_int_eq(begin(hosts, &probe), WEBHOOK_ADMIT);
		ck_assert(!probe);
		webhook_hosts_end(
		    hosts, find(hosts, URL), probe, BREAKER_FAILED);
	}
}

static const struct {
	const char *a, *b;
	bool same;
} host_rows[] = {
	{ "https://example.com/a", "https://example.com/b?c=d", true },
	{ "https://example.com/", "HTTPS://EXAMPLE.com:443/", true },
	{ "http://example.com/", "http://user:secret@example.com/", true },
	{ "http://example.com/", "https://example.com/", false },
	{ "http://example.com/", "http://example.com:8080/", false },
	{ "http://example.com/", "http://www.example.com/", false },
	{ "http://[::1]/", "http://[::1]:80/x", true },
};

START_TEST(a_host_is_scheme_name_and_port)
{
	struct webhook_hosts *hosts = webhook_hosts_new(1, &hand.clock);

	ck_assert_msg((find(hosts, host_rows[_i].a) ==
			  find(hosts, host_rows[_i].b)) == host_rows[_i].same,
	    "%s %s", host_rows[_i].a, host_rows[_i].b);
	webhook_hosts_free(hosts);
}
END_TEST

static const char *const bad_urls[] = { "", "x", "ftp://example.com/",
	"file:///etc/passwd", "http://", "http://exa mple/", "javascript:x" };

START_TEST(what_is_no_url_is_no_host_but_admitted_to_fail)
{
	struct webhook_hosts *hosts = webhook_hosts_new(1, &hand.clock);
	struct webhook_host *host;
	int64_t ignored;

	ck_assert_int_eq(
	    webhook_hosts_find(hosts, bad_urls[_i], &host, NULL), RC_REJECT);
	ck_assert_int_eq(
	    webhook_hosts_admits(hosts, bad_urls[_i], &ignored), WEBHOOK_ADMIT);
	webhook_hosts_free(hosts);
}
END_TEST

START_TEST(places_are_taken_and_given_back)
{
	struct webhook_hosts *hosts = webhook_hosts_new(2, &hand.clock);
	bool probe;

	ck_assert_int_eq(begin(hosts, &probe), WEBHOOK_ADMIT);
	ck_assert_int_eq(begin(hosts, &probe), WEBHOOK_ADMIT);
	ck_assert_int_eq(begin(hosts, &probe), WEBHOOK_FULL);
	ck_assert_int_eq(admits(hosts), WEBHOOK_FULL);
	webhook_hosts_end(hosts, find(hosts, URL), false, BREAKER_OK);
	ck_assert_int_eq(admits(hosts), WEBHOOK_ADMIT);
	ck_assert_int_eq(begin(hosts, &probe), WEBHOOK_ADMIT);
	webhook_hosts_free(hosts);
}
END_TEST

START_TEST(one_asker_at_a_time_is_admitted_for_the_probe)
{
	struct webhook_hosts *hosts = webhook_hosts_new(8, &hand.clock);
	bool probe;

	open_breaker(hosts);
	ck_assert_int_eq(admits(hosts), WEBHOOK_SHUT);
	hand.now += BREAKER_OPEN_MIN_MS;
	ck_assert_int_eq(admits(hosts), WEBHOOK_ADMIT);
	ck_assert_int_eq(admits(hosts), WEBHOOK_SHUT);
	/* Its job was never claimed: another may, a second later. */
	hand.now += 1000;
	ck_assert_int_eq(admits(hosts), WEBHOOK_ADMIT);
	ck_assert_int_eq(begin(hosts, &probe), WEBHOOK_ADMIT);
	ck_assert(probe);
	hand.now += 60000;
	ck_assert_int_eq(admits(hosts), WEBHOOK_SHUT);
	webhook_hosts_end(hosts, find(hosts, URL), true, BREAKER_OK);
	ck_assert_int_eq(admits(hosts), WEBHOOK_ADMIT);
	ck_assert_int_eq(admits(hosts), WEBHOOK_ADMIT);
	webhook_hosts_free(hosts);
}
END_TEST

Suite *webhook_hosts_suite(void);
Suite *
webhook_hosts_suite(void)
{
	Suite *s = suite_create("webhook_hosts");
	TCase *tc = tcase_create("webhook_hosts");

	tcase_add_loop_test(
	    tc, a_host_is_scheme_name_and_port, 0, NELEMS(host_rows));
	tcase_add_loop_test(tc, what_is_no_url_is_no_host_but_admitted_to_fail,
	    0, NELEMS(bad_urls));
	tcase_add_test(tc, places_are_taken_and_given_back);
	tcase_add_test(tc, one_asker_at_a_time_is_admitted_for_the_probe);
	suite_add_tcase(s, tc);
	return s;
}
