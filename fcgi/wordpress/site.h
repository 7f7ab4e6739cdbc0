#ifndef WORDPRESS_SITE_H
#define WORDPRESS_SITE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/config.h"
#include "base/err.h"
#include "formats/timezone.h"
#include "sql/db.h"

/*
 * A site as its files describe it: wp-config.php, read and never executed,
 * with the configuration file's overrides. Immutable once opened; shared by
 * all threads.
 */
struct site {
	const char *name;
	const struct config_site *config;
	char *root;     /* resolved directory of wp-load.php */
	dev_t root_dev; /* server compares DOCUMENT_ROOT by these */
	ino_t root_ino;
	char *config_path;   /* the wp-config.php that was read */
	struct db_params db; /* strings owned by the site */
	char *prefix;        /* $table_prefix, [A-Za-z0-9_]+ */
	bool multisite;
	/* Key material for HMACs: AUTH_KEY, SECURE_AUTH_KEY, LOGGED_IN_KEY,
	 * NONCE_KEY, AUTH_SALT, SECURE_AUTH_SALT, LOGGED_IN_SALT, NONCE_SALT
	 * one after the other; "" when one is missing or not literal. Never
	 * logged. */
	char *salts;
	/* WP_ENVIRONMENT_TYPE as wp_get_environment_type() has it; "unknown"
	 * where wp-config.php computes it. */
	char *environment;
	char *content_dir;   /* WP_CONTENT_DIR, else root/wp-content */
	char *mu_plugin_dir; /* WPMU_PLUGIN_DIR, else content_dir/mu-plugins */
	uint32_t cron_lock_timeout_s; /* WP_CRON_LOCK_TIMEOUT; 0: as core */
	bool disable_wp_cron, alternate_wp_cron;
	struct site_private *private;
};

/*
 * site_open - find and read wp-config.php by core's rule: root/wp-config.php,
 * else its parent's, unless the parent has a wp-settings.php of its own
 * (wp-load.php). Files it includes by a literal path are read as well; the
 * configuration's config_file is read before it. RC_REJECT: no file, or a
 * value that is needed is neither literal nor in the configuration; the words
 * name it. Does not touch the database. `config` must outlive the site.
 * Caller frees with site_free(). Blocks for file reads.
 */
MUSTUSE enum rc site_open(
    const struct config_site *config, struct site **out, struct err *err);
void site_free(struct site *s);

/*
 * A constant of wp-config.php as it was read, for those that only one reader
 * wants; lent by the site. NULL: not defined. A value may be WP_CONFIG_DYNAMIC.
 */
struct wp_config_value;
const struct wp_config_value *site_constant(
    const struct site *s, const char *name);

/* What the options table says; read again when `site_facts_read` is called. */
struct site_facts {
	char home[256], siteurl[256]; /* URLs without the trailing slash */
	char timezone_string[64];
	double gmt_offset;
	struct timezone *zone; /* of timezone_string, owned; NULL: only
				  gmt_offset is set, or there is no such zone */
	bool object_cache;     /* wp-content/object-cache.php is there */
	bool companion; /* our must-use plugin has been there for so long that
			   no PHP process runs without it */
	bool migration_complete; /* action_scheduler_migration_status */
};
MUSTUSE enum rc site_facts_read(const struct site *s, struct db *db,
    const struct sql_scope *scope, struct site_facts *out, struct err *err);
void site_facts_clear(struct site_facts *f);

/*
 * site_in_maintenance - would PHP answer 503 now? wp_is_maintenance_mode(): a
 * file .maintenance in the root whose $upgrading is less than 600 s ago; one
 * that computes it counts as long as it is there.
 */
bool site_in_maintenance(const struct site *s, int64_t now);

/* The table prefix of a network's blog, "wp_2_"; the base's for blog 1. */
#define SITE_PREFIX_MAX 64
void site_blog_prefix(
    const struct site *s, uint32_t blog_id, char out[SITE_PREFIX_MAX]);
/* Where the companion plugin is to be. */
#define SITE_COMPANION_FILE "wp-cron-fcgi-companion.php"

/*
 * The wall clock of the site as if it were UTC, for the *_local columns (they
 * render with datetime_render()). scheduled_date_local and log_date_local
 * follow timezone_string alone and stay UTC where only gmt_offset is set;
 * last_attempt_local follows gmt_offset too.
 */
int64_t site_local_scheduled(const struct site_facts *f, int64_t unix_time);
int64_t site_local_attempt(const struct site_facts *f, int64_t unix_time);

/*
 * Site identity (architecture: "a copy is not the site"). SHA-256 HMAC over
 * home, siteurl, database host and name, keyed by the salts; 64 hex digits.
 */
void site_identity(
    const struct site *s, const struct site_facts *f, char out[65]);

enum site_standing {
	SITE_ORIGINAL, /* identity recorded here, environment production, or
			  adopted in the environment it has */
	SITE_COPY,     /* recorded identity differs: hold what is outbound */
	SITE_STAGING,  /* WP_ENVIRONMENT_TYPE is not production: likewise */
	SITE_UNKNOWN,  /* nothing recorded yet, or no table to record in */
};
/* "original", "copy", "staging", "unknown" */
const char *site_standing_name(enum site_standing standing);
/* Compare with the row in {base}wpcron_site; RC_NONE becomes SITE_UNKNOWN. */
MUSTUSE enum rc site_standing_read(const struct site *s,
    const struct site_facts *f, struct db *db, const struct sql_scope *scope,
    enum site_standing *out, struct err *err);
/*
 * site_record - what `install` does: this is the site. Where the environment
 * is not production, what is outbound stays held.
 */
MUSTUSE enum rc site_record(const struct site *s, const struct site_facts *f,
    struct db *db, const struct sql_scope *scope, struct err *err);
/* site_adopt - the same by the administrator's word: nothing is held. */
MUSTUSE enum rc site_adopt(const struct site *s, const struct site_facts *f,
    struct db *db, const struct sql_scope *scope, struct err *err);

#endif
