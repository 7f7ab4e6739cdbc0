#include "wordpress/site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/xalloc.h"
#include "formats/db_host.h"
#include "formats/wp_config.h"
#include "wordpress/site_private.h"

#define FILE_MAX_LEN ((size_t)256 * 1024)
/* wp-config.php and what it includes. */
#define FILES_MAX_LEN (8 * FILE_MAX_LEN)
#define STRINGS_MAX_LEN ((size_t)256 * 1024)
#define VALUE_MAX_LEN 4096

/* ext/mysqli; MYSQL_CLIENT_FLAGS is made of these. */
#define CLIENT_SSL_DONT_VERIFY 64
#define CLIENT_SSL 2048

/* What is needed while a site is opened. */
struct opener {
	struct site *site;
	const struct config_site *config;
	struct wp_config *defines;
	struct arena files;
	struct err *err;
};

static const char *const salt_names[] = { "AUTH_KEY", "SECURE_AUTH_KEY",
	"LOGGED_IN_KEY", "NONCE_KEY", "AUTH_SALT", "SECURE_AUTH_SALT",
	"LOGGED_IN_SALT", "NONCE_SALT" };

static char *
keep(struct opener *o, struct slice text)
{
	return arena_strdup(&o->site->private->arena, text);
}

static enum rc
no_room(struct opener *o)
{
	return err_set(o->err, RC_REJECT, "%s: the values are too long",
	    o->site->config_path ? o->site->config_path : o->config->root);
}

/* ---- files ------------------------------------------------------------ */

static const char *
read_env(void *arg, const char *name)
{
	(void)arg;
	return env_get(name);
}

static bool
read_include(void *arg, const char *path, struct slice *out)
{
	struct opener *o = arg;

	return *path == '/' && site_file_read(path, FILE_MAX_LEN, &o->files,
				   out, NULL) == RC_OK;
}

static enum rc
read_defines(struct opener *o, const char *path, bool ignore_unknown)
{
	const struct wp_config_env env = { .arg = o,
		.getenv = read_env,
		.include = read_include,
		.ignore_unknown_includes = ignore_unknown };
	struct slice text;
	enum rc rc =
	    site_file_read(path, FILE_MAX_LEN, &o->files, &text, o->err);

	if (rc != RC_OK)
		return RC_REJECT;
	rc = wp_config_read(o->defines, text, path, &env, o->err);
	if (rc != RC_OK)
		return err_wrap(o->err, "%s", path);
	return RC_OK;
}

static char *
join(struct opener *o, struct slice dir, const char *name)
{
	struct buf path = BUF_INIT(VALUE_MAX_LEN);
	char *kept = NULL;

	buf_put_slice(&path, dir);
	if (dir.n != 1)
		buf_put_char(&path, '/');
	buf_put_str(&path, name);
	if (!path.failed)
		kept = keep(o, buf_slice(&path));
	buf_clear(&path);
	return kept;
}

/* wp-load.php: the root, or its parent unless that is another WordPress. */
static enum rc
find_config(struct opener *o)
{
	struct slice root = slice_str(o->site->root), above = root;
	char *here, *parent, *settings;

	while (above.n > 0 && above.p[above.n - 1] != '/')
		above.n--;
	while (above.n > 1 && above.p[above.n - 1] == '/')
		above.n--;
	here = join(o, root, "wp-config.php");
	parent = join(o, above, "wp-config.php");
	settings = join(o, above, "wp-settings.php");
	if (!here || !parent || !settings)
		return no_room(o);
	if (access(here, F_OK) == 0)
		o->site->config_path = here;
	else if (access(parent, F_OK) == 0 && access(settings, F_OK) != 0)
		o->site->config_path = parent;
	else
		return err_set(o->err, RC_REJECT,
		    "no wp-config.php in %s nor in the directory above",
		    o->site->root);
	return RC_OK;
}

static enum rc
resolve_root(struct opener *o)
{
	struct site *s = o->site;
	struct stat st;
	char *real = realpath(o->config->root, NULL);

	if (!real || stat(real, &st) != 0 || !S_ISDIR(st.st_mode)) {
		free(real);
		return err_set(o->err, RC_REJECT,
		    "the root %s is no directory that can be read",
		    o->config->root);
	}
	s->root_dev = st.st_dev;
	s->root_ino = st.st_ino;
	s->root = keep(o, slice_str(real));
	free(real);
	return s->root ? RC_OK : no_room(o);
}

static enum rc
read_files(struct opener *o)
{
	char *abspath = join(o, slice_str(o->site->root), "");
	enum rc rc = find_config(o);

	if (rc != RC_OK)
		return rc;
	if (!abspath)
		return no_room(o);
	wp_config_define(o->defines, "ABSPATH", abspath);
	if (o->config->config_file)
		rc = read_defines(o, o->config->config_file, false);
	if (rc == RC_OK)
		rc = read_defines(
		    o, o->site->config_path, o->config->config_file != NULL);
	return rc;
}

/* ---- values ----------------------------------------------------------- */

/* A constant's text; NULL: not defined, or not known. */
static char *
text_of(struct opener *o, const char *name)
{
	const struct wp_config_value *v = wp_config_find(o->defines, name);
	struct buf text = BUF_INIT(VALUE_MAX_LEN);
	char *kept = NULL;

	if (v && wp_config_text(v, &text) && !text.failed)
		kept = keep(o, buf_slice(&text));
	buf_clear(&text);
	return kept;
}

static bool
is_true(const struct opener *o, const char *name)
{
	const struct wp_config_value *v = wp_config_find(o->defines, name);

	return v && wp_config_true(v);
}

static enum rc
say_missing(struct opener *o, const char *name, const char *option)
{
	const struct wp_config_value *v = wp_config_find(o->defines, name);
	unsigned line;
	const char *include = wp_config_unknown_include(o->defines, &line);

	if (v)
		return err_set(o->err, RC_REJECT,
		    "%s, line %u: only PHP knows the value of %s; set %s in "
		    "[site %s]%s%s%s",
		    o->site->config_path, v->line, name, option,
		    o->config->name,
		    include ? ", or config_file to what it includes (" : "",
		    include ? include : "", include ? ")" : "");
	return err_set(o->err, RC_REJECT,
	    "%s does not define %s; set %s in [site %s]%s%s%s",
	    o->site->config_path, name, option, o->config->name,
	    include ? ", or config_file to what it includes (" : "",
	    include ? include : "", include ? ")" : "");
}

/* The configuration file's word, else wp-config.php's, else an error. */
static enum rc
need(struct opener *o, const char *override, const char *name,
    const char *option, const char **out)
{
	*out = override ? keep(o, slice_str(override)) : text_of(o, name);
	return *out ? RC_OK : say_missing(o, name, option);
}

static enum rc
take_host(struct opener *o)
{
	struct db_params *db = &o->site->db;
	struct db_host host;
	enum rc rc = need(o, o->config->db_host, "DB_HOST", "db_host",
	    &o->site->private->db_host);

	if (rc == RC_OK)
		rc = db_host_parse(
		    slice_str(o->site->private->db_host), &host, o->err);
	if (rc != RC_OK)
		return rc;
	db->port = host.port;
	if (*host.host)
		db->host = keep(o, slice_str(host.host));
	/* mysqlnd uses the socket for localhost only. */
	if (*host.socket &&
	    (!*host.host ||
		slice_eq_nocase(slice_str(host.host), SLICE_LIT("localhost"))))
		db->socket = keep(o, slice_str(host.socket));
	return RC_OK;
}

static void
take_tls(struct opener *o)
{
	struct db_params *db = &o->site->db;
	const struct wp_config_value *flags =
	    wp_config_find(o->defines, "MYSQL_CLIENT_FLAGS");

	db->tls_ca = text_of(o, "MYSQL_SSL_CA");
	db->tls_cert = text_of(o, "MYSQL_SSL_CERT");
	db->tls_key = text_of(o, "MYSQL_SSL_KEY");
	db->tls = db->tls_ca || db->tls_cert || db->tls_key;
	if (flags && flags->type == WP_CONFIG_INT) {
		db->tls = db->tls || (flags->i64 & CLIENT_SSL);
		db->tls_no_verify = flags->i64 & CLIENT_SSL_DONT_VERIFY;
	}
}

/* wpdb::determine_charset() makes utf8mb4 of utf8. */
static void
take_charset(struct opener *o)
{
	const char *charset = o->config->db_charset;

	if (!charset)
		charset = text_of(o, "DB_CHARSET");
	if (!charset || !*charset || strncmp(charset, "utf8", 4) == 0)
		return;
	o->site->db.charset = keep(o, slice_str(charset));
}

static enum rc
take_prefix(struct opener *o)
{
	const char *prefix;
	size_t n = 0;
	enum rc rc = need(o, o->config->table_prefix, "$table_prefix",
	    "table_prefix", &prefix);

	if (rc != RC_OK)
		return rc;
	while ((prefix[n] >= 'a' && prefix[n] <= 'z') ||
	       (prefix[n] >= 'A' && prefix[n] <= 'Z') ||
	       (prefix[n] >= '0' && prefix[n] <= '9') || prefix[n] == '_')
		n++;
	if (n == 0 || prefix[n])
		return err_set(o->err, RC_REJECT,
		    "%s: $table_prefix has other than letters, digits and _",
		    o->site->config_path);
	o->site->prefix = keep(o, slice_str(prefix));
	return o->site->prefix ? RC_OK : no_room(o);
}

static void
take_salts(struct opener *o)
{
	struct buf all = BUF_INIT(NELEMS(salt_names) * VALUE_MAX_LEN);

	for (size_t i = 0; i < NELEMS(salt_names); i++) {
		const char *salt = text_of(o, salt_names[i]);

		if (!salt || !*salt) {
			buf_reset(&all);
			break;
		}
		buf_put_str(&all, salt);
	}
	o->site->salts = keep(o, buf_slice(&all));
	buf_clear(&all);
}

/* wp_get_environment_type(): the constant, else the variable, else ... */
static void
take_environment(struct opener *o)
{
	static const char *const known[] = { "local", "development", "staging",
		"production" };
	const struct wp_config_value *v =
	    wp_config_find(o->defines, "WP_ENVIRONMENT_TYPE");
	const char *name = env_get("WP_ENVIRONMENT_TYPE");
	const char *found = "production";

	if (v && wp_config_true(v))
		name = text_of(o, "WP_ENVIRONMENT_TYPE");
	for (size_t i = 0; name && i < NELEMS(known); i++)
		if (strcmp(name, known[i]) == 0)
			found = known[i];
	/* What cannot be told must not send. */
	if (v && v->type == WP_CONFIG_DYNAMIC)
		found = "unknown";
	o->site->environment = keep(o, slice_str(found));
}

/* is_multisite() */
static bool
is_multisite(const struct opener *o)
{
	if (wp_config_find(o->defines, "MULTISITE"))
		return is_true(o, "MULTISITE");
	return wp_config_find(o->defines, "SUBDOMAIN_INSTALL") ||
	       wp_config_find(o->defines, "VHOST") ||
	       wp_config_find(o->defines, "SUNRISE");
}

static enum rc
take_rest(struct opener *o)
{
	struct site *s = o->site;
	const struct wp_config_value *lock_timeout;

	s->multisite = is_multisite(o);
	s->disable_wp_cron = is_true(o, "DISABLE_WP_CRON");
	s->alternate_wp_cron = is_true(o, "ALTERNATE_WP_CRON");
	s->private->wp_home = text_of(o, "WP_HOME");
	s->private->wp_siteurl = text_of(o, "WP_SITEURL");
	s->content_dir = text_of(o, "WP_CONTENT_DIR");
	if (!s->content_dir)
		s->content_dir = join(o, slice_str(s->root), "wp-content");
	s->mu_plugin_dir = text_of(o, "WPMU_PLUGIN_DIR");
	if (!s->mu_plugin_dir && s->content_dir)
		s->mu_plugin_dir =
		    join(o, slice_str(s->content_dir), "mu-plugins");
	lock_timeout = wp_config_find(o->defines, "WP_CRON_LOCK_TIMEOUT");
	if (lock_timeout && lock_timeout->type == WP_CONFIG_INT &&
	    lock_timeout->i64 > 0 && lock_timeout->i64 <= UINT32_MAX)
		s->cron_lock_timeout_s = (uint32_t)lock_timeout->i64;
	take_charset(o);
	take_tls(o);
	take_salts(o);
	take_environment(o);
	if (!s->content_dir || !s->mu_plugin_dir || !s->salts ||
	    !s->environment)
		return no_room(o);
	return RC_OK;
}

static enum rc
take_values(struct opener *o)
{
	const struct config_site *c = o->config;
	struct db_params *db = &o->site->db;
	enum rc rc = need(o, c->db_name, "DB_NAME", "db_name", &db->name);

	if (rc == RC_OK)
		rc = need(o, c->db_user, "DB_USER", "db_user", &db->user);
	if (rc == RC_OK)
		rc = need(o, c->db_password, "DB_PASSWORD", "db_password",
		    &db->password);
	if (rc == RC_OK)
		rc = take_host(o);
	if (rc == RC_OK)
		rc = take_prefix(o);
	return rc == RC_OK ? take_rest(o) : rc;
}

enum rc
site_open(const struct config_site *config, struct site **out, struct err *err)
{
	struct opener o = {
		.config = config, .err = err, .files = ARENA_INIT(FILES_MAX_LEN)
	};
	struct site *s = xcalloc(1, sizeof *s);
	enum rc rc;

	s->private = xcalloc(1, sizeof *s->private);
	s->private->arena = (struct arena)ARENA_INIT(STRINGS_MAX_LEN);
	s->name = config->name;
	s->config = config;
	o.site = s;
	o.defines = wp_config_new();
	rc = resolve_root(&o);
	if (rc == RC_OK)
		rc = read_files(&o);
	if (rc == RC_OK)
		rc = take_values(&o);
	if (rc != RC_OK) {
		site_free(s);
		s = NULL;
	}
	if (s)
		s->private->defines = o.defines;
	else
		wp_config_free(o.defines);
	arena_clear(&o.files);
	*out = s;
	return rc;
}

void
site_free(struct site *s)
{
	if (!s)
		return;
	wp_config_free(s->private->defines);
	arena_clear(&s->private->arena);
	free(s->private);
	free(s);
}

const struct wp_config_value *
site_constant(const struct site *s, const char *name)
{
	return wp_config_find(s->private->defines, name);
}
