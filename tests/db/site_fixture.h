#ifndef TESTS_DB_SITE_FIXTURE_H
#define TESTS_DB_SITE_FIXTURE_H

#include "db_test.h"
#include "wordpress/site.h"

/*
 * A test's database with an empty table of options, and a directory with a
 * wp-config.php for it. Checked fixtures; the second removes both.
 */
void site_fixture_make(void);
void site_fixture_remove(void);
/* "a", without a file. */
extern struct config_site site_fixture_config;
/* wp-config.php with these further statements. */
void site_fixture_write(const char *more);
/* wp-config.php with these further statements, opened; the caller's. */
struct site *site_fixture_open(const char *more);
/* Set an option. The value is put between quotes as it is. */
void site_fixture_option(const char *name, const char *value);

#endif
