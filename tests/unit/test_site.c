#include "wordpress/site.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wordpress/site_private.h"

#define DEFINES                                                                \
	"<?php\ndefine('DB_NAME', 'n');\ndefine('DB_USER', 'u');\n"            \
	"define('DB_PASSWORD', 'p');\ndefine('DB_HOST', 'localhost');\n"       \
	"$table_prefix = 'wp_';\n"

static char dir[] = "/tmp/test_site.XXXXXX";

static void
make_dir(void)
{
	memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(unsetenv("WP_ENVIRONMENT_TYPE"), 0);
}

static const char *
in_dir(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	fclose(f);
}

static void
remove_dir(void)
{
	static const char *const names[] = { "www/wp-config.php",
		"www/wp-settings.php", "www/object-cache.php", "www",
		"wp-config.php", "wp-settings.php", "host.php" };

	for (size_t i = 0; i < NELEMS(names); i++)
		(void)remove(in_dir(names[i]));
	ck_assert_int_eq(rmdir(dir), 0);
}

static enum rc
open_site(
    const char *sub, struct config_site *c, struct site **out, struct err *err)
{
	static char root[256];

	snprintf(root, sizeof root, "%s%s", dir, sub);
	c->name = "a";
	c->root = root;
	return site_open(c, out, err);
}

/* The site of one wp-config.php; it must open. */
static struct site *
open_text(const char *php, struct config_site *c)
{
	struct site *s = NULL;
	struct err err = ERR_INIT;

	write_file("wp-config.php", php);
	ck_assert_msg(open_site("", c, &s, &err) == RC_OK, "%s", err.text);
	return s;
}

static void
refuse_text(const char *php, struct config_site *c, const char *words)
{
	struct site *s = NULL;
	struct err err = ERR_INIT;

	write_file("wp-config.php", php);
	ck_assert_int_eq(open_site("", c, &s, &err), RC_REJECT);
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
}

START_TEST(a_site_is_what_wp_config_says)
{
	struct config_site c = { .name = NULL };
	struct site *s = open_text(DEFINES, &c);
	struct stat st;

	ck_assert_str_eq(s->db.name, "n");
	ck_assert_str_eq(s->db.user, "u");
	ck_assert_str_eq(s->db.password, "p");
	ck_assert_str_eq(s->db.host, "localhost");
	ck_assert(
	    !s->db.socket && s->db.port == 0 && !s->db.charset && !s->db.tls);
	ck_assert_str_eq(s->prefix, "wp_");
	ck_assert_str_eq(s->environment, "production");
	ck_assert_str_eq(s->salts, "");
	ck_assert_str_eq(s->config_path, in_dir("wp-config.php"));
	ck_assert_str_eq(s->content_dir, in_dir("wp-content"));
	ck_assert(
	    !s->multisite && !s->disable_wp_cron && !s->alternate_wp_cron);
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert(s->root_dev == st.st_dev && s->root_ino == st.st_ino);
	site_free(s);
	site_free(NULL);
}
END_TEST

START_TEST(flags_tls_salts_and_sockets_are_found)
{
	struct config_site c = { .name = NULL };
	struct site *s = open_text(
	    "<?php define('DB_HOST', ':/run/x.sock');"
	    "define('DB_CHARSET', 'latin1'); define('MULTISITE', true);"
	    "define('DISABLE_WP_CRON', true); define('ALTERNATE_WP_CRON', 1);"
	    "define('MYSQL_CLIENT_FLAGS', MYSQLI_CLIENT_SSL | 64);"
	    "define('MYSQL_SSL_CA', '/ca.pem');"
	    "define('WP_CONTENT_DIR', ABSPATH . 'content');"
	    "define('AUTH_KEY', '1'); define('SECURE_AUTH_KEY', '2');"
	    "define('LOGGED_IN_KEY', '3'); define('NONCE_KEY', '4');"
	    "define('AUTH_SALT', '5'); define('SECURE_AUTH_SALT', '6');"
	    "define('LOGGED_IN_SALT', '7'); define('NONCE_SALT', '8');"
	    "?>" DEFINES,
	    &c);

	ck_assert_str_eq(s->salts, "12345678");
	ck_assert_ptr_null(s->db.host);
	ck_assert_str_eq(s->db.socket, "/run/x.sock");
	ck_assert_str_eq(s->db.charset, "latin1");
	ck_assert_str_eq(s->db.tls_ca, "/ca.pem");
	ck_assert(s->db.tls && s->db.tls_no_verify && s->multisite &&
		  s->disable_wp_cron && s->alternate_wp_cron);
	ck_assert_str_eq(s->content_dir, in_dir("content"));
	site_free(s);
}
END_TEST

START_TEST(a_socket_beside_a_remote_host_is_not_used)
{
	struct config_site c = { .db_host = "127.0.0.1:3307:/run/x.sock" };
	struct site *s = open_text(DEFINES, &c);

	ck_assert_str_eq(s->db.host, "127.0.0.1");
	ck_assert_uint_eq(s->db.port, 3307);
	ck_assert_ptr_null(s->db.socket);
	site_free(s);
}
END_TEST

START_TEST(the_parent_is_asked_unless_it_is_another_wordpress)
{
	struct config_site c = { .name = NULL };
	struct site *s = NULL;
	struct err err = ERR_INIT;

	ck_assert_int_eq(mkdir(in_dir("www"), 0700), 0);
	ck_assert_int_eq(open_site("/www", &c, &s, &err), RC_REJECT);
	ck_assert_ptr_nonnull(strstr(err.text, "no wp-config.php in"));
	write_file("wp-config.php", DEFINES);
	ck_assert_int_eq(open_site("/www/", &c, &s, &err), RC_OK);
	ck_assert_str_eq(s->config_path, in_dir("wp-config.php"));
	ck_assert_str_eq(s->root, in_dir("www"));
	site_free(s);
	write_file("wp-settings.php", "");
	ck_assert_int_eq(open_site("/www", &c, &s, &err), RC_REJECT);
	write_file("www/wp-config.php", DEFINES "$table_prefix = 'in_';");
	ck_assert_int_eq(open_site("/www", &c, &s, &err), RC_OK);
	ck_assert_str_eq(s->prefix, "in_");
	site_free(s);
}
END_TEST

START_TEST(the_configuration_fills_in_what_only_php_knows)
{
	struct config_site c = { .name = NULL };
	struct site *s;

	refuse_text("<?php define('DB_NAME', f());", &c,
	    "wp-config.php, line 1: only PHP knows the value of DB_NAME; set "
	    "db_name in [site a]");
	c.db_name = "n2";
	refuse_text("<?php define('DB_NAME', f());", &c,
	    "does not define DB_USER; set db_user in [site a]");
	c.db_user = "u2";
	c.db_password = "";
	c.db_host = "[::1]:3307";
	c.table_prefix = "x_";
	s = open_text("<?php define('DB_NAME', f());", &c);
	ck_assert_str_eq(s->db.name, "n2");
	ck_assert_str_eq(s->db.user, "u2");
	ck_assert_str_eq(s->db.password, "");
	ck_assert_str_eq(s->db.host, "::1");
	ck_assert_uint_eq(s->db.port, 3307);
	ck_assert_str_eq(s->prefix, "x_");
	site_free(s);
}
END_TEST

/* As Debian's, which takes a file by the host of the request. */
static const char by_host[] =
    "<?php require_once('/etc/config-' . $_SERVER['HTTP_HOST'] . '.php');\n"
    "if (!defined('DB_NAME')) define('DB_NAME', 'wordpress');\n"
    "if (!isset($table_prefix)) $table_prefix = 'wp_';\n";

START_TEST(a_wp_config_by_host_asks_for_its_file)
{
	struct config_site c = { .name = NULL };
	struct site *s;
	char path[256];

	refuse_text(by_host, &c,
	    "set db_name in [site a], or config_file to what it includes (a "
	    "file whose path is computed)");
	write_file("host.php",
	    "<?php define('DB_USER', 'hu'); define('DB_PASSWORD', 'hp');"
	    "define('DB_HOST', 'h:1');");
	snprintf(path, sizeof path, "%s", in_dir("host.php"));
	c.config_file = path;
	s = open_text(by_host, &c);
	ck_assert_str_eq(s->db.user, "hu");
	ck_assert_str_eq(s->db.name, "wordpress");
	ck_assert_str_eq(s->prefix, "wp_");
	site_free(s);
	c.config_file = "/nonexistent.php";
	refuse_text(by_host, &c, "/nonexistent.php: No such file");
}
END_TEST

START_TEST(what_cannot_be_used_is_refused)
{
	struct config_site c = { .name = NULL };
	struct site *s = NULL;
	struct err err = ERR_INIT;

	refuse_text("<?php $table_prefix = 'a-b'; ?>", &c, "does not define");
	refuse_text(DEFINES "$table_prefix = 'a-b';", &c,
	    "$table_prefix has other than letters");
	refuse_text("<?php define('DB_NAME', 'x", &c,
	    "wp-config.php: line 1: the string does not end");
	c.db_host = "a:99999";
	refuse_text(DEFINES, &c, "DB_HOST \"a:99999\" is no host");
	c.name = "a";
	c.root = "/nonexistent";
	ck_assert_int_eq(site_open(&c, &s, &err), RC_REJECT);
	ck_assert_str_eq(
	    err.text, "the root /nonexistent is no directory that can be read");
}
END_TEST

static const struct {
	const char *constant, *variable, *environment;
} environment_rows[] = {
	{ "", NULL, "production" },
	{ "", "staging", "staging" },
	{ "", "nonsense", "production" },
	{ "define('WP_ENVIRONMENT_TYPE', 'local');", "staging", "local" },
	{ "define('WP_ENVIRONMENT_TYPE', '');", "staging", "staging" },
	{ "define('WP_ENVIRONMENT_TYPE', 'test');", NULL, "production" },
	{ "define('WP_ENVIRONMENT_TYPE', f());", NULL, "unknown" },
};

START_TEST(the_environment_is_as_wordpress_finds_it)
{
	struct config_site c = { .name = NULL };
	struct site *s;
	char php[512];

	if (environment_rows[_i].variable)
		ck_assert_int_eq(setenv("WP_ENVIRONMENT_TYPE",
				     environment_rows[_i].variable, 1),
		    0);
	snprintf(
	    php, sizeof php, "%s%s", DEFINES, environment_rows[_i].constant);
	s = open_text(php, &c);
	ck_assert_str_eq(s->environment, environment_rows[_i].environment);
	site_free(s);
	ck_assert_int_eq(unsetenv("WP_ENVIRONMENT_TYPE"), 0);
}
END_TEST

/* 2024-07-01 and 2024-01-01, 12:00:00 UTC */
#define JULY INT64_C(1719835200)
#define JANUARY INT64_C(1704110400)

static const struct {
	const char *zone;
	double gmt_offset;
	int32_t scheduled, attempt;
} local_rows[] = {
	{ "Europe/Berlin", 0, 7200, 7200 },
	{ "Europe/Berlin", 9, 7200, 7200 },
	{ "", 2, 0, 7200 },
	{ "", 5.75, 0, 20700 },
	{ "", -3.5, 0, -12600 },
	{ "", 0, 0, 0 },
	{ "", 1e9, 0, 0 },
	{ "Nowhere/Land", 2, 0, 0 },
	{ "../../etc/passwd", 2, 0, 0 },
	{ "/etc/localtime", 2, 0, 0 },
};

START_TEST(local_columns_follow_the_zone_and_one_the_offset)
{
	struct site_facts f = { .gmt_offset = local_rows[_i].gmt_offset };

	snprintf(f.timezone_string, sizeof f.timezone_string, "%s",
	    local_rows[_i].zone);
	f.zone = site_zone_open(f.timezone_string);
	ck_assert_int_eq(
	    site_local_scheduled(&f, JULY) - JULY, local_rows[_i].scheduled);
	ck_assert_int_eq(
	    site_local_attempt(&f, JULY) - JULY, local_rows[_i].attempt);
	if (f.zone)
		ck_assert_int_eq(
		    site_local_attempt(&f, JANUARY) - JANUARY, 3600);
	site_facts_clear(&f);
	ck_assert_ptr_null(f.zone);
}
END_TEST

START_TEST(the_identity_is_of_urls_database_and_salts)
{
	struct config_site c = { .name = NULL };
	struct site *s = open_text(DEFINES, &c), *t;
	struct site_facts f = { .home = "https://a", .siteurl = "https://a" };
	struct site_facts g = { .home = "https://", .siteurl = "ahttps://a" };
	char one[65], two[65];

	site_identity(s, &f, one);
	ck_assert_uint_eq(strlen(one), 64);
	site_identity(s, &f, two);
	ck_assert_str_eq(one, two);
	site_identity(s, &g, two);
	ck_assert_str_ne(one, two);
	c.db_name = "other";
	t = open_text(DEFINES, &c);
	site_identity(t, &f, two);
	ck_assert_str_ne(one, two);
	site_free(t);
	c.db_name = NULL;
	c.db_host = "127.0.0.1";
	t = open_text(DEFINES, &c);
	site_identity(t, &f, two);
	ck_assert_str_ne(one, two);
	site_free(t);
	site_free(s);
	ck_assert_str_eq(site_standing_name(SITE_COPY), "copy");
	ck_assert_str_eq(site_standing_name(SITE_UNKNOWN), "unknown");
}
END_TEST

START_TEST(any_constant_is_lent_as_it_was_read)
{
	struct config_site c = { .name = NULL };
	struct site *s;
	const struct wp_config_value *v;

	write_file("host.php", "<?php define('NEWSPACK_CRON_DISABLE',"
			       " ['newspack_contact_cron_batch']);");
	s = open_text(DEFINES "require __DIR__ . '/host.php';\n"
			      "const LATER = 'x' . DB_NAME;\n"
			      "define('HOST', gethostname());\n",
	    &c);
	v = site_constant(s, "NEWSPACK_CRON_DISABLE");
	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(v->type, WP_CONFIG_ARRAY);
	ck_assert_str_eq(v->items->value.text.p, "newspack_contact_cron_batch");
	ck_assert_ptr_null(v->items->next);
	ck_assert_str_eq(site_constant(s, "LATER")->text.p, "xn");
	ck_assert_int_eq(site_constant(s, "HOST")->type, WP_CONFIG_DYNAMIC);
	ck_assert_ptr_null(site_constant(s, "NOWHERE"));
	site_free(s);
}
END_TEST

Suite *site_suite(void);
Suite *
site_suite(void)
{
	Suite *s = suite_create("site");
	TCase *tc = tcase_create("site");

	tcase_add_checked_fixture(tc, make_dir, remove_dir);
	tcase_add_test(tc, a_site_is_what_wp_config_says);
	tcase_add_test(tc, flags_tls_salts_and_sockets_are_found);
	tcase_add_test(tc, a_socket_beside_a_remote_host_is_not_used);
	tcase_add_test(tc, the_parent_is_asked_unless_it_is_another_wordpress);
	tcase_add_test(tc, the_configuration_fills_in_what_only_php_knows);
	tcase_add_test(tc, a_wp_config_by_host_asks_for_its_file);
	tcase_add_test(tc, what_cannot_be_used_is_refused);
	tcase_add_loop_test(tc, the_environment_is_as_wordpress_finds_it, 0,
	    NELEMS(environment_rows));
	tcase_add_loop_test(tc,
	    local_columns_follow_the_zone_and_one_the_offset, 0,
	    NELEMS(local_rows));
	tcase_add_test(tc, the_identity_is_of_urls_database_and_salts);
	tcase_add_test(tc, any_constant_is_lent_as_it_was_read);
	suite_add_tcase(s, tc);
	return s;
}
