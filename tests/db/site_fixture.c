#include "site_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[] = "/tmp/test_site.XXXXXX";
struct config_site site_fixture_config;

void
site_fixture_make(void)
{
	db_test_open();
	memcpy(root + sizeof root - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(root));
	site_fixture_config = (struct config_site){ .name = "a", .root = root };
	ck_assert_int_eq(unsetenv("WP_ENVIRONMENT_TYPE"), 0);
	db_test_sql("CREATE TABLE wp_options (option_id BIGINT UNSIGNED NOT "
		    "NULL AUTO_INCREMENT PRIMARY KEY, option_name "
		    "VARCHAR(191) NOT NULL UNIQUE, option_value LONGTEXT NOT "
		    "NULL)");
}

void
site_fixture_remove(void)
{
	char path[64];

	snprintf(path, sizeof path, "%s/wp-config.php", root);
	(void)unlink(path);
	(void)rmdir(root);
	db_test_close();
}

void
site_fixture_write(const char *more)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "%s/wp-config.php", root);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f,
	    "<?php define('DB_NAME', '%s'); define('DB_USER', 'root');"
	    "define('DB_PASSWORD', ''); define('DB_HOST', 'localhost:%s');"
	    "$table_prefix = 'wp_'; %s\n",
	    t.name, t.params.socket, more);
	fclose(f);
}

struct site *
site_fixture_open(const char *more)
{
	struct site *s = NULL;

	site_fixture_write(more);
	CK_RC(RC_OK, site_open(&site_fixture_config, &s, &t.err));
	return s;
}

void
site_fixture_option(const char *name, const char *value)
{
	db_test_sql("INSERT INTO wp_options (option_name, option_value) VALUES "
		    "('%s', '%s') ON DUPLICATE KEY UPDATE option_value = "
		    "VALUES(option_value)",
	    name, value);
}
