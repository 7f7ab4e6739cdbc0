/* What the options and constants say of Newspack's integrations. */
#include <stdlib.h>
#include <string.h>

#include "db_test.h"
#include "site_fixture.h"
#include "wordpress/newspack.h"

Suite *newspack_suite(void);

#define ACTIVE "a:1:{i:0;s:28:\"newspack-plugin/newspack.php\";}"
#define ENABLED "newspack_reader_activation_enabled_integrations"

static struct config *config;
static struct site *site;
static struct newspack n;

static void
make(void)
{
	site_fixture_make();
	site_fixture_option("siteurl", "https://news.example");
	site_fixture_option("home", "https://news.example");
	site_fixture_option("active_plugins", ACTIVE);
	site_fixture_option("newspack_reader_activation_enabled", "1");
	config = NULL;
	site = NULL;
}

static void
drop(void)
{
	newspack_clear(&n);
	site_free(site);
	config_unref(config);
	site_fixture_remove();
}

/* The settings with these constants and sections of the configuration. */
static void
read_with(const char *constants, const char *sections)
{
	struct buf text = BUF_INIT(8192);
	struct site_facts f;

	newspack_clear(&n);
	site_free(site);
	config_unref(config);
	site = NULL;
	config = NULL;
	buf_printf(&text, "[site a]\nroot = /tmp\n%s", sections);
	CK_RC(RC_OK,
	    config_parse(buf_slice(&text), "f.conf", NULL, &config, &t.err));
	buf_clear(&text);
	site = site_fixture_open(constants);
	CK_RC(RC_OK, site_facts_read(site, t.db, &t.scope, &f, &t.err));
	CK_RC(RC_OK,
	    newspack_read(site, &f, config, t.db, &t.scope, 1, &n, &t.err));
	site_facts_clear(&f);
}

static void
mailchimp(void)
{
	site_fixture_option(
	    "newspack_newsletters_service_provider", "mailchimp");
	site_fixture_option("newspack_mailchimp_api_key", "k-us1");
	site_fixture_option(
	    "newspack_integration_settings_esp_mailchimp_audience_id", "aud");
}

START_TEST(without_the_plugin_nothing_is_read)
{
	site_fixture_option("active_plugins", "a:0:{}");
	read_with("", "");
	ck_assert(!n.plugin);
	ck_assert_uint_eq(n.n, 0);
}
END_TEST

START_TEST(esp_is_there_unless_it_was_switched_off)
{
	mailchimp();
	read_with("", "");
	ck_assert_uint_eq(n.n, 1);
	ck_assert_str_eq(n.integrations[0].id, "esp");
	ck_assert_str_eq(n.integrations[0].provider, "mailchimp");
	ck_assert(n.integrations[0].set_up);
	ck_assert_str_eq(n.integrations[0].key, "k-us1");
	ck_assert_str_eq(n.integrations[0].list, "aud");
	ck_assert_str_eq(n.integrations[0].prefix, "NP_");
	site_fixture_option("newspack_reader_activation_sync_esp", "");
	read_with("", "");
	ck_assert_uint_eq(n.n, 0);
	site_fixture_option(ENABLED, "a:1:{i:0;s:3:\"esp\";}");
	read_with("", "");
	ck_assert_uint_eq(n.n, 1);
	site_fixture_option(ENABLED, "a:0:{}");
	read_with("", "");
	ck_assert_uint_eq(n.n, 0);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
	read_with("", "");
	ck_assert(!n.integrations[0].set_up);
	ck_assert_str_eq(
	    n.integrations[0].why, "no newsletter provider is chosen");
	mailchimp();
	site_fixture_option("newspack_mailchimp_api_key", "");
	read_with("", "");
	ck_assert(!n.integrations[0].set_up);
	ck_assert_str_eq(n.integrations[0].why, "the API key is not set");
	site_fixture_option(
	    "newspack_newsletters_service_provider", "campaign_monitor");
	read_with("", "");
	ck_assert_str_eq(n.integrations[0].why,
	    "its newsletter provider cannot sync contacts");
}
END_TEST

START_TEST(settings_fall_back_to_those_of_older_versions)
{
	mailchimp();
	site_fixture_option("newspack_mailchimp_api_key", "");
	site_fixture_option(
	    "newspack_newsletters_mailchimp_api_key", "old-us2");
	site_fixture_option(
	    "newspack_integration_settings_esp_mailchimp_audience_id", "");
	site_fixture_option(
	    "newspack_reader_activation_mailchimp_audience_id", "legacy");
	site_fixture_option("_newspack_metadata_prefix", "XX_");
	read_with("", "");
	ck_assert_str_eq(n.integrations[0].key, "old-us2");
	ck_assert_str_eq(n.integrations[0].list, "legacy");
	ck_assert_str_eq(n.integrations[0].prefix, "XX_");
}
END_TEST

START_TEST(a_toggle_that_is_not_stored_is_on)
{
	mailchimp();
	read_with("", "");
	ck_assert(n.integrations[0].push && n.integrations[0].pull);
	site_fixture_option(
	    "newspack_integration_settings_esp_outgoing_sync_enabled", "");
	read_with("", "");
	ck_assert(!n.integrations[0].push && n.integrations[0].pull);
	site_fixture_option(
	    "newspack_integration_settings_esp_outgoing_sync_enabled", "1");
	site_fixture_option(
	    "newspack_integration_settings_esp_incoming_sync_enabled", "0");
	read_with("", "");
	ck_assert(n.integrations[0].push && !n.integrations[0].pull);
}
END_TEST

START_TEST(incoming_fields_keep_their_order_and_numbers_are_keys)
{
	mailchimp();
	site_fixture_option("newspack_integration_incoming_fields_esp",
	    "a:3:{s:1:\"B\";a:0:{}s:1:\"A\";a:0:{}i:7;a:0:{}}");
	read_with("", "");
	ck_assert_uint_eq(n.integrations[0].nincoming, 3);
	ck_assert(slice_eq_str(n.integrations[0].incoming[0], "B"));
	ck_assert(slice_eq_str(n.integrations[0].incoming[1], "A"));
	ck_assert(slice_eq_str(n.integrations[0].incoming[2], "7"));
	read_with("", "[integration a/esp]\nincoming = Z\n");
	ck_assert_uint_eq(n.integrations[0].nincoming, 1);
	ck_assert(slice_eq_str(n.integrations[0].incoming[0], "Z"));
}
END_TEST

START_TEST(an_option_that_cannot_be_read_counts_as_absent)
{
	mailchimp();
	site_fixture_option(
	    "newspack_integration_incoming_fields_esp", "a:3:{broken");
	read_with("", "");
	ck_assert_uint_eq(n.n, 1);
	ck_assert(n.integrations[0].set_up);
	ck_assert_uint_eq(n.integrations[0].nincoming, 0);
}
END_TEST

START_TEST(the_configuration_goes_over_the_options)
{
	mailchimp();
	read_with("", "[integration a/esp]\nlist = other\npush = no\n"
		      "[integration a/lake]\nprovider = webhook\n"
		      "api = https://lake.example/in\n");
	ck_assert_uint_eq(n.n, 2);
	ck_assert_str_eq(n.integrations[0].list, "other");
	ck_assert_str_eq(n.integrations[0].key, "k-us1");
	ck_assert(!n.integrations[0].push);
	ck_assert_str_eq(n.integrations[1].id, "lake");
	ck_assert_str_eq(n.integrations[1].provider, "webhook");
	ck_assert(n.integrations[1].set_up);
}
END_TEST

START_TEST(another_provider_gets_nothing_of_the_first_ones)
{
	mailchimp();
	read_with("", "[integration a/esp]\nprovider = brevo\nkey = b\n");
	ck_assert_str_eq(n.integrations[0].provider, "brevo");
	ck_assert_str_eq(n.integrations[0].key, "b");
	ck_assert_ptr_null(n.integrations[0].list);
	ck_assert(n.integrations[0].set_up);
}
END_TEST

START_TEST(an_integration_of_another_plugin_is_phps)
{
	site_fixture_option(ENABLED, "a:1:{i:0;s:3:\"crm\";}");
	read_with("", "");
	ck_assert_str_eq(n.integrations[0].provider, "php");
	ck_assert(n.integrations[0].set_up);
}
END_TEST

START_TEST(constant_contact_shares_its_tokens_with_php)
{
	site_fixture_option(
	    "newspack_newsletters_service_provider", "constant_contact");
	site_fixture_option(
	    "newspack_newsletters_constant_contact_api_key", "i");
	site_fixture_option(
	    "newspack_newsletters_constant_contact_api_secret", "s");
	site_fixture_option(
	    "newspack_newsletters_constant_contact_api_access_token", "at");
	site_fixture_option(
	    "newspack_newsletters_constant_contact_api_refresh_token", "rt");
	site_fixture_option(
	    "newspack_integration_settings_esp_constant_contact_list_id", "l");
	read_with("", "");
	ck_assert(n.integrations[0].set_up && n.integrations[0].own_tokens);
	ck_assert_str_eq(n.integrations[0].refresh_token, "rt");
	read_with(
	    "", "[integration a/esp]\naccess_token = x\nrefresh_token = y\n");
	ck_assert(!n.integrations[0].own_tokens);
	ck_assert_str_eq(n.integrations[0].refresh_token, "y");
}
END_TEST

/* ---- may anything leave? ------------------------------------------------ */

START_TEST(a_staging_host_is_held_unless_the_constant_allows_it)
{
	mailchimp();
	read_with("", "");
	ck_assert_ptr_null(n.held);
	site_fixture_option("siteurl", "https://x.NewspackStaging.com");
	read_with("", "");
	ck_assert_ptr_nonnull(n.held);
	read_with("define('NEWSPACK_ALLOW_READER_SYNC', true);", "");
	ck_assert_ptr_null(n.held);
	ck_assert(n.forced);
	read_with("define('NEWSPACK_ALLOW_READER_SYNC', false);", "");
	ck_assert_ptr_nonnull(n.held);
}
END_TEST

START_TEST(reader_activation_is_known)
{
	mailchimp();
	site_fixture_option("newspack_reader_activation_enabled", "0");
	read_with("define('NEWSPACK_ALLOW_READER_SYNC', true);", "");
	ck_assert(!n.activation);
	ck_assert_ptr_null(n.held);
}
END_TEST

START_TEST(what_subscriptions_takes_for_a_copy_is_held)
{
	mailchimp();
	site_fixture_option("wc_subscriptions_siteurl",
	    "https://old._[wc_subscriptions_siteurl]_example");
	read_with("", "");
	ck_assert_ptr_null(n.held); /* the plugin is not active */
	site_fixture_option("active_plugins",
	    "a:2:{i:0;s:28:\"newspack-plugin/newspack.php\";i:1;s:55:"
	    "\"woocommerce-subscriptions/woocommerce-subscriptions.php\";}");
	read_with("", "");
	ck_assert_ptr_nonnull(n.held);
	site_fixture_option("wc_subscriptions_siteurl",
	    "http://news._[wc_subscriptions_siteurl]_example/");
	read_with("", "");
	ck_assert_ptr_null(n.held);
}
END_TEST

/* ---- constants ---------------------------------------------------------- */

static const struct {
	const char *php;
	bool disabled;
} disable_rows[] = {
	{ "", false },
	{ "define('NEWSPACK_CRON_DISABLE', ['newspack_contact_cron_batch']);",
	    true },
	{ "define('NEWSPACK_CRON_DISABLE', array('x', "
	  "'newspack_contact_cron_batch'));",
	    true },
	{ "const NEWSPACK_CRON_DISABLE = ['newspack_contact_cron_batch'];",
	    true },
	{ "define('NEWSPACK_CRON_DISABLE', 'newspack_contact_cron_batch');",
	    false },
	{ "define('NEWSPACK_CRON_DISABLE', ['newspack_contact_cron']);",
	    false },
	{ "define('NEWSPACK_CRON_DISABLE', true);", false },
};

START_TEST(only_an_array_with_the_event_disables_it)
{
	read_with(disable_rows[_i].php, "");
	ck_assert_int_eq(n.cron_disabled, disable_rows[_i].disabled);
}
END_TEST

START_TEST(the_log_level_is_a_number)
{
	read_with("", "");
	ck_assert_int_eq(n.log_level, 0);
	read_with("define('NEWSPACK_LOG_LEVEL', 2);", "");
	ck_assert_int_eq(n.log_level, 2);
	read_with("define('NEWSPACK_LOG_LEVEL', '1');", "");
	ck_assert_int_eq(n.log_level, 1);
	read_with("define('NEWSPACK_LOG_LEVEL', 'all');", "");
	ck_assert_int_eq(n.log_level, 0);
}
END_TEST

START_TEST(the_event_in_the_option_cron_is_seen)
{
	read_with("", "");
	ck_assert(!n.cron_scheduled);
	site_fixture_option("cron",
	    "a:1:{i:1700000000;a:1:{s:27:\"newspack_contact_cron_batch\";"
	    "a:0:{}}}");
	read_with("", "");
	ck_assert(n.cron_scheduled);
}
END_TEST

Suite *
newspack_suite(void)
{
	Suite *s = suite_create("newspack");
	TCase *tc = tcase_create("newspack");

	tcase_add_checked_fixture(tc, make, drop);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, without_the_plugin_nothing_is_read);
	tcase_add_test(tc, esp_is_there_unless_it_was_switched_off);
	tcase_add_test(tc, what_is_missing_is_named);
	tcase_add_test(tc, settings_fall_back_to_those_of_older_versions);
	tcase_add_test(tc, a_toggle_that_is_not_stored_is_on);
	tcase_add_test(
	    tc, incoming_fields_keep_their_order_and_numbers_are_keys);
	tcase_add_test(tc, an_option_that_cannot_be_read_counts_as_absent);
	tcase_add_test(tc, the_configuration_goes_over_the_options);
	tcase_add_test(tc, another_provider_gets_nothing_of_the_first_ones);
	tcase_add_test(tc, an_integration_of_another_plugin_is_phps);
	tcase_add_test(tc, constant_contact_shares_its_tokens_with_php);
	tcase_add_test(
	    tc, a_staging_host_is_held_unless_the_constant_allows_it);
	tcase_add_test(tc, reader_activation_is_known);
	tcase_add_test(tc, what_subscriptions_takes_for_a_copy_is_held);
	tcase_add_loop_test(tc, only_an_array_with_the_event_disables_it, 0,
	    NELEMS(disable_rows));
	tcase_add_test(tc, the_log_level_is_a_number);
	tcase_add_test(tc, the_event_in_the_option_cron_is_seen);
	suite_add_tcase(s, tc);
	return s;
}
