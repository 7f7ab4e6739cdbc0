/* What a site reads from its options, and the identity it keeps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db_test.h"
#include "site_fixture.h"
#include "sql/schema.h"
#include "wordpress/site.h"

Suite *site_rows_suite(void);

static enum site_standing
standing(const struct site *s)
{
	enum site_standing out = SITE_ORIGINAL;
	struct site_facts f;

	CK_RC(RC_OK, site_facts_read(s, t.db, &t.scope, &f, &t.err));
	CK_RC(RC_OK, site_standing_read(s, &f, t.db, &t.scope, &out, &t.err));
	site_facts_clear(&f);
	return out;
}

typedef enum rc write_fn(const struct site *s, const struct site_facts *f,
    struct db *db, const struct sql_scope *scope, struct err *err);

static void
write_with(write_fn *write, const struct site *s)
{
	struct site_facts f;

	CK_RC(RC_OK, site_facts_read(s, t.db, &t.scope, &f, &t.err));
	CK_RC(RC_OK, write(s, &f, t.db, &t.scope, &t.err));
	site_facts_clear(&f);
}

START_TEST(facts_are_the_options_under_the_constants)
{
	struct site *s =
	    site_fixture_open("define('WP_SITEURL', 'https://c/wp/');");
	struct site_facts f;

	site_fixture_option("home", "https://a/");
	site_fixture_option("siteurl", "https://b");
	site_fixture_option("timezone_string", "Europe/Berlin");
	site_fixture_option("gmt_offset", "5.5");
	site_fixture_option("action_scheduler_migration_status", "complete");
	CK_RC(RC_OK, site_facts_read(s, t.db, &t.scope, &f, &t.err));
	ck_assert_str_eq(f.home, "https://a");
	ck_assert_str_eq(f.siteurl, "https://c/wp");
	ck_assert_ptr_nonnull(f.zone);
	ck_assert(f.gmt_offset > 5.4 && f.gmt_offset < 5.6);
	ck_assert(f.migration_complete && !f.object_cache);
	site_facts_clear(&f);
	site_free(s);
}
END_TEST

START_TEST(without_options_there_is_utc_and_no_url)
{
	struct site *s = site_fixture_open("");
	struct site_facts f;

	CK_RC(RC_OK, site_facts_read(s, t.db, &t.scope, &f, &t.err));
	ck_assert_str_eq(f.home, "");
	ck_assert(!f.zone && !f.migration_complete);
	ck_assert_int_eq(site_local_attempt(&f, 7), 7);
	site_facts_clear(&f);
	db_test_sql("DROP TABLE wp_options");
	CK_RC(RC_REJECT, site_facts_read(s, t.db, &t.scope, &f, &t.err));
	ck_assert_ptr_null(f.zone);
	site_free(s);
}
END_TEST

START_TEST(a_copy_is_told_from_the_original_until_it_is_adopted)
{
	struct site *s = site_fixture_open("");

	site_fixture_option("home", "https://a");
	site_fixture_option("siteurl", "https://a");
	ck_assert_int_eq(standing(s), SITE_UNKNOWN);
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	ck_assert_int_eq(standing(s), SITE_UNKNOWN);
	write_with(site_record, s);
	ck_assert_int_eq(standing(s), SITE_ORIGINAL);
	site_fixture_option("home", "https://staging.a");
	ck_assert_int_eq(standing(s), SITE_COPY);
	write_with(site_adopt, s);
	ck_assert_int_eq(standing(s), SITE_ORIGINAL);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_site WHERE blog_id = 1 "
			"AND home = 'https://staging.a'"),
	    1);
	site_free(s);
}
END_TEST

START_TEST(recording_leaves_a_staging_site_held_and_adopting_frees_it)
{
	struct site *s =
	    site_fixture_open("define('WP_ENVIRONMENT_TYPE', 'staging');");
	struct site *live;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	write_with(site_record, s);
	ck_assert_int_eq(standing(s), SITE_STAGING);
	write_with(site_adopt, s);
	ck_assert_int_eq(standing(s), SITE_ORIGINAL);
	/* What was adopted as staging is not the live site. */
	live = site_fixture_open("");
	ck_assert_int_eq(standing(live), SITE_COPY);
	site_free(live);
	site_free(s);
}
END_TEST

START_TEST(each_blog_has_an_identity_of_its_own)
{
	struct site *s = site_fixture_open("");
	struct site_facts f;
	enum site_standing out;
	struct sql_scope second = t.scope;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	write_with(site_record, s);
	second.prefix = "wp_2_";
	db_test_sql("CREATE TABLE wp_2_options LIKE wp_options");
	CK_RC(RC_OK, site_facts_read(s, t.db, &second, &f, &t.err));
	CK_RC(RC_OK, site_standing_read(s, &f, t.db, &second, &out, &t.err));
	ck_assert_int_eq(out, SITE_UNKNOWN);
	CK_RC(RC_OK, site_record(s, &f, t.db, &second, &t.err));
	ck_assert_uint_eq(
	    db_test_u64("SELECT SUM(blog_id) FROM wp_wpcron_site"), 3);
	site_facts_clear(&f);
	site_free(s);
}
END_TEST

Suite *
site_rows_suite(void)
{
	Suite *s = suite_create("site_rows");
	TCase *tc = tcase_create("site_rows");

	tcase_add_checked_fixture(tc, site_fixture_make, site_fixture_remove);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, facts_are_the_options_under_the_constants);
	tcase_add_test(tc, without_options_there_is_utc_and_no_url);
	tcase_add_test(
	    tc, a_copy_is_told_from_the_original_until_it_is_adopted);
	tcase_add_test(
	    tc, recording_leaves_a_staging_site_held_and_adopting_frees_it);
	tcase_add_test(tc, each_blog_has_an_identity_of_its_own);
	suite_add_tcase(s, tc);
	return s;
}
