/* What accounts the webhook provider takes; what it sends and how it reads the
 * answers: tests/integration/test_esp_webhook.py. */
#include "executors/esp/esp.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static const struct {
	const char *api, *secret;
	bool loopback;
	const char *words; /* NULL: it is taken */
} rows[] = {
	{ "https://hooks.example.org/contacts", NULL, false, NULL },
	{ "https://hooks.example.org/contacts", SECRET, false, NULL },
	{ "HTTPS://hooks.example.org:8443/?a=b", NULL, false, NULL },
	{ "http://127.0.0.1:8080/contacts", NULL, true, NULL },
	{ NULL, NULL, false, "not set" },
	{ "", NULL, true, "not set" },
	{ "http://hooks.example.org/contacts", NULL, false, "https" },
	{ "ftp://hooks.example.org/contacts", NULL, true, "http" },
	{ "file:///etc/passwd", NULL, true, "api" },
	{ "https://", NULL, false, "api" },
	{ "https://hooks.example.org/", "", false, "secret" },
	{ "https://hooks.example.org/", "whsec_not base64", false, "secret" },
};

START_TEST(an_account_is_taken_or_says_what_it_lacks)
{
	struct esp_account account = { .api = rows[_i].api,
		.secret = rows[_i].secret,
		.loopback = rows[_i].loopback };
	struct esp_host host = { .clock = &clock_system };
	struct err err = ERR_INIT;
	struct esp *esp = NULL;
	enum rc rc = esp_webhook_new(&account, &host, &esp, &err);

	if (rows[_i].words) {
		ck_assert_int_eq(rc, RC_REJECT);
		ck_assert_ptr_nonnull(strstr(err.text, rows[_i].words));
		return;
	}
	ck_assert_int_eq(rc, RC_OK);
	ck_assert_str_eq(esp->ops->name, "webhook");
	ck_assert(!esp->ops->pull && !esp->ops->poll && !esp->ops->fields);
	esp->ops->free(esp);
}
END_TEST

/* ---- a host that lets nothing out ------------------------------------- */

struct host_log {
	unsigned takes, rests;
};

static enum rc
take_none(void *arg, enum esp_budget which UNUSED, int64_t *wait_ms UNUSED)
{
	struct host_log *l = arg;

	l->takes++;
	return RC_NONE;
}

static void
count_rest(void *arg, bool config UNUSED, int64_t after_s UNUSED,
    const char *why UNUSED)
{
	struct host_log *l = arg;

	l->rests++;
}

START_TEST(where_nothing_may_leave_everybody_stays_open)
{
	struct host_log seen = { 0 };
	struct esp_account account = { .api = "https://hooks.example.org/" };
	struct esp_host host = { .clock = &clock_system,
		.arg = &seen,
		.take = take_none,
		.rest = count_rest };
	struct esp_contact c[3] = { { .email = SLICE_LIT("a@example.org") },
		{ .email = SLICE_LIT("none") },
		{ .email = SLICE_LIT("b@example.org") } };
	struct arena arena = ARENA_INIT((size_t)1 << 20);
	struct err err = ERR_INIT;
	struct esp *esp = NULL;

	ck_assert_int_eq(esp_webhook_new(&account, &host, &esp, &err), RC_OK);
	ck_assert_int_eq(esp->ops->push(esp, c, 3, &arena, &err), RC_RETRY);
	ck_assert_int_eq(c[0].outcome, ESP_OPEN);
	ck_assert_int_eq(c[1].outcome, ESP_REFUSED);
	ck_assert_int_eq(c[2].outcome, ESP_OPEN);
	ck_assert_uint_eq(seen.takes, 1);
	ck_assert_uint_eq(seen.rests, 0);
	esp->ops->free(esp);
	arena_clear(&arena);
}
END_TEST

START_TEST(nobody_is_pushed_without_a_word)
{
	struct esp_account account = { .api = "https://hooks.example.org/" };
	struct esp_host host = { .clock = &clock_system };
	struct arena arena = ARENA_INIT((size_t)4096);
	struct err err = ERR_INIT;
	struct esp *esp = NULL;

	ck_assert_int_eq(esp_webhook_new(&account, &host, &esp, &err), RC_OK);
	ck_assert_int_eq(esp->ops->push(esp, NULL, 0, &arena, &err), RC_OK);
	esp->ops->free(esp);
	arena_clear(&arena);
}
END_TEST

Suite *esp_webhook_suite(void);

Suite *
esp_webhook_suite(void)
{
	Suite *s = suite_create("esp_webhook");
	TCase *tc = tcase_create("esp_webhook");

	tcase_add_loop_test(
	    tc, an_account_is_taken_or_says_what_it_lacks, 0, NELEMS(rows));
	tcase_add_test(tc, where_nothing_may_leave_everybody_stays_open);
	tcase_add_test(tc, nobody_is_pushed_without_a_word);
	suite_add_tcase(s, tc);
	return s;
}
