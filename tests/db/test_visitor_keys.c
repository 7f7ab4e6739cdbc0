/* How a site's log-in cookies are named and signed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db_test.h"
#include "site_fixture.h"
#include "wordpress/visitor.h"

Suite *visitor_keys_suite(void);

static void
make_site(void)
{
	site_fixture_make();
	db_test_sql("CREATE TABLE wp_blogs (blog_id BIGINT NOT NULL PRIMARY "
		    "KEY, site_id BIGINT NOT NULL)");
	db_test_sql("CREATE TABLE wp_sitemeta (meta_id BIGINT NOT NULL "
		    "AUTO_INCREMENT PRIMARY KEY, site_id BIGINT NOT NULL, "
		    "meta_key VARCHAR(191), meta_value LONGTEXT, "
		    "KEY meta_key (meta_key), KEY site_id (site_id))");
	db_test_sql("INSERT INTO wp_options (option_name, option_value) VALUES "
		    "('siteurl', 'http://example.test/'), "
		    "('logged_in_key', 'ok'), ('logged_in_salt', 'os'), "
		    "('Logged_In_Key_', 'no'), ('home', 'http://other.test')");
	db_test_sql("INSERT INTO wp_blogs VALUES (1, 1), (2, 1), (3, 5)");
	db_test_sql("INSERT INTO wp_sitemeta VALUES "
		    "(9, 1, 'siteurl', 'http://no.test'), "
		    "(1, 1, 'siteurl', 'http://example.test/'), "
		    "(2, 1, 'logged_in_key', 'nk'), "
		    "(3, 1, 'logged_in_salt', 'ns'), "
		    "(4, 5, 'siteurl', 'https://example.test'), "
		    "(5, 5, 'logged_in_key', 'fk'), "
		    "(6, 5, 'logged_in_salt', 'fs')");
}

/* md5 of http://example.test, of it with a slash, and of https */
#define PLAIN "wordpress_logged_in_ea5889fdb264b2a3524c2b184cf4e8ad"
#define SLASH "wordpress_logged_in_776efc4d253fa1926025a2ad1d8564b8"
#define HTTPS "wordpress_logged_in_8bbaf43c73884aa6a7f86ea6ef6c645a"
#define BLOG "wordpress_logged_in_9baf1a5b067eca552a20ef10bfdfefca"
#define KEYS "define('LOGGED_IN_KEY', 'lk'); define('LOGGED_IN_SALT', 'ls');"
#define NETWORK "define('MULTISITE', true);"

static const struct {
	const char *php, *prefix;
	const char *name, *salt; /* NULL: refused, then */
	const char *words;
} rows[] = {
	{ KEYS, "wp_", PLAIN, "lkls", NULL },
	{ "", "wp_", PLAIN, "okos", NULL },
	{ "const LOGGED_IN_KEY = 'lk', LOGGED_IN_SALT = \"l\\x73\";", "wp_",
	    PLAIN, "lkls", NULL },
	{ "define('LOGGED_IN_KEY', 'put your unique phrase here');"
	  "define('LOGGED_IN_SALT', 'put your unique phrase here');",
	    "wp_", PLAIN, "okos", NULL },
	{ "define('LOGGED_IN_KEY', 'x'); define('NONCE_SALT', 'x');"
	  "define('LOGGED_IN_SALT', 'ls');",
	    "wp_", PLAIN, "okls", NULL },
	{ "define('SECRET_KEY', 'sk');", "wp_", PLAIN, "skos", NULL },
	{ KEYS "define('WP_SITEURL', 'https://example.test/blog//');", "wp_",
	    BLOG, "lkls", NULL },
	{ KEYS "define('WP_SITEURL', 'https://' . 'example.test');", "wp_",
	    HTTPS, "lkls", NULL },
	{ KEYS "define('WP_SITEURL', '');", "wp_", "wordpress_logged_in_",
	    "lkls", NULL },
	{ KEYS "define('COOKIEHASH', 'abc');", "wp_", "wordpress_logged_in_abc",
	    "lkls", NULL },
	{ KEYS "define('COOKIEHASH', '');", "wp_", "wordpress_logged_in_",
	    "lkls", NULL },
	{ KEYS "define('LOGGED_IN_COOKIE', 'mine');", "wp_", "mine", "lkls",
	    NULL },
	{ KEYS "define('LOGGED_IN_COOKIE', 'mine');"
	       "define('WP_SITEURL', $_SERVER['HTTP_HOST']);",
	    "wp_", "mine", "lkls", NULL },
	/* What only PHP knows. */
	{ KEYS "define('WP_SITEURL', 'https://' . $_SERVER['HTTP_HOST']);",
	    "wp_", NULL, NULL, "WP_SITEURL" },
	{ KEYS "define('COOKIEHASH', md5($x));", "wp_", NULL, NULL,
	    "COOKIEHASH" },
	{ KEYS "define('LOGGED_IN_COOKIE', f());", "wp_", NULL, NULL,
	    "LOGGED_IN_COOKIE" },
	{ KEYS "define('LOGGED_IN_COOKIE', '');", "wp_", NULL, NULL,
	    "is empty" },
	{ "define('LOGGED_IN_KEY', secret('x'));", "wp_", NULL, NULL,
	    "LOGGED_IN_KEY" },
	{ "define('LOGGED_IN_SALT', $s['x']);", "wp_", NULL, NULL,
	    "LOGGED_IN_SALT" },
	{ KEYS "define('NONCE_KEY', secret('x'));", "wp_", NULL, NULL,
	    "NONCE_KEY" },
	{ KEYS "define('SECRET_KEY', ['x']);", "wp_", NULL, NULL,
	    "SECRET_KEY" },
	{ "require 'secrets.php'; define('LOGGED_IN_KEY', 'lk');", "wp_", NULL,
	    NULL, "LOGGED_IN_SALT" },
	{ "require 'secrets.php';" KEYS, "wp_", PLAIN, "lkls", NULL },
	/* Networks: the URL as it is stored, no constant filters it. */
	{ NETWORK KEYS, "wp_", SLASH, "lkls", NULL },
	{ NETWORK KEYS "define('WP_SITEURL', 'https://example.test');", "wp_",
	    SLASH, "lkls", NULL },
	{ NETWORK, "wp_", SLASH, "nkns", NULL },
	{ NETWORK, "wp_2_", SLASH, "nkns", NULL },
	{ NETWORK, "wp_3_", HTTPS, "fkfs", NULL },
	{ NETWORK KEYS, "wp_7_", "wordpress_logged_in_", "lkls", NULL },
	{ NETWORK, "wp_7_", NULL, NULL, "LOGGED_IN_KEY" },
};

START_TEST(keys_come_from_constants_and_options)
{
	struct site *s = site_fixture_open(rows[_i].php);
	struct visitor_keys keys;
	enum rc rc;

	t.scope.prefix = rows[_i].prefix;
	rc = visitor_keys_read(s, t.db, &t.scope, &keys, &t.err);
	if (rows[_i].name) {
		CK_RC(RC_OK, rc);
		ck_assert_str_eq(keys.name, rows[_i].name);
		ck_assert_msg(slice_eq_str(keys.salt, rows[_i].salt), "%.*s",
		    SLICE_FMT(keys.salt));
	} else {
		CK_RC(RC_REJECT, rc);
		ck_assert_msg(strstr(t.err.text, rows[_i].words) != NULL, "%s",
		    t.err.text);
	}
	t.scope.prefix = "wp_";
	site_free(s);
}
END_TEST

START_TEST(keys_without_the_tables_are_asked_for_again)
{
	struct site *s = site_fixture_open(KEYS);
	struct visitor_keys keys;

	db_test_sql("DROP TABLE wp_options");
	CK_RC(RC_REJECT, visitor_keys_read(s, t.db, &t.scope, &keys, &t.err));
	site_free(s);
}
END_TEST

START_TEST(new_salts_in_the_file_end_what_was_signed_with_old_ones)
{
	struct site *s = site_fixture_open(KEYS);
	struct visitor_keys keys;
	char path[64];

	site_fixture_write("define('LOGGED_IN_KEY', 'new');"
			   "define('LOGGED_IN_SALT', 'ls');");
	CK_RC(RC_OK, visitor_keys_read(s, t.db, &t.scope, &keys, &t.err));
	ck_assert(slice_eq_str(keys.salt, "newls"));
	site_fixture_write("define('LOGGED_IN_KEY', '");
	CK_RC(RC_RETRY, visitor_keys_read(s, t.db, &t.scope, &keys, &t.err));
	(void)snprintf(
	    path, sizeof path, "%s/wp-config.php", site_fixture_config.root);
	ck_assert_int_eq(unlink(path), 0);
	CK_RC(RC_RETRY, visitor_keys_read(s, t.db, &t.scope, &keys, &t.err));
	site_fixture_write(KEYS);
	CK_RC(RC_OK, visitor_keys_read(s, t.db, &t.scope, &keys, &t.err));
	ck_assert(slice_eq_str(keys.salt, "lkls"));
	site_free(s);
}
END_TEST

Suite *
visitor_keys_suite(void)
{
	Suite *s = suite_create("visitor_keys");
	TCase *tc = tcase_create("visitor_keys");

	tcase_add_checked_fixture(tc, make_site, site_fixture_remove);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
	    tc, keys_come_from_constants_and_options, 0, NELEMS(rows));
	tcase_add_test(tc, keys_without_the_tables_are_asked_for_again);
	tcase_add_test(
	    tc, new_salts_in_the_file_end_what_was_signed_with_old_ones);
	suite_add_tcase(s, tc);
	return s;
}
