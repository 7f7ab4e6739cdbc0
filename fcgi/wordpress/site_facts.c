#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "wordpress/site_private.h"

/* MySQL: the table does not exist. */
#define ER_NO_SUCH_TABLE 1146

#define PATH_MAX_LEN 4096

/* The text, cut to the field. */
static void
put(char *to, size_t size, struct slice text)
{
	size_t n = slice_utf8_cut(text, size - 1);

	if (n > 0)
		memcpy(to, text.p, n);
	to[n] = '\0';
}

/* untrailingslashit() */
static void
put_url(char *to, size_t size, struct slice url)
{
	while (url.n > 0 && url.p[url.n - 1] == '/')
		url.n--;
	put(to, size, url);
}

static void
take_option(struct site_facts *f, struct slice name, struct slice value)
{
	char number[32];

	if (slice_eq_str(name, "home")) {
		put_url(f->home, sizeof f->home, value);
	} else if (slice_eq_str(name, "siteurl")) {
		put_url(f->siteurl, sizeof f->siteurl, value);
	} else if (slice_eq_str(name, "timezone_string")) {
		put(f->timezone_string, sizeof f->timezone_string, value);
	} else if (slice_eq_str(name, "gmt_offset")) {
		/* PHP's (float): the number in front, else 0. */
		put(number, sizeof number, value);
		f->gmt_offset = strtod(number, NULL);
	} else {
		f->migration_complete = slice_eq_str(value, "complete");
	}
}

static bool
has_object_cache(const struct site *s)
{
	char path[PATH_MAX_LEN];
	int n =
	    snprintf(path, sizeof path, "%s/object-cache.php", s->content_dir);

	return n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
}

/* A PHP process that began before the plugin came does not know it. */
#define COMPANION_SETTLED_S 600

static bool
has_companion(const struct site *s)
{
	char path[PATH_MAX_LEN];
	struct stat st;
	int n = snprintf(
	    path, sizeof path, "%s/" SITE_COMPANION_FILE, s->mu_plugin_dir);

	return n > 0 && (size_t)n < sizeof path && stat(path, &st) == 0 &&
	       time(NULL) - st.st_mtime >= COMPANION_SETTLED_S;
}

/* wp_is_maintenance_mode() */
#define MAINTENANCE_S 600
#define MAINTENANCE_FILE_MAX ((size_t)4096)

bool
site_in_maintenance(const struct site *s, int64_t now)
{
	struct arena arena = ARENA_INIT(MAINTENANCE_FILE_MAX * 2);
	struct slice text, name = SLICE_LIT("$upgrading");
	struct err err = ERR_INIT;
	char path[PATH_MAX_LEN];
	int n = snprintf(path, sizeof path, "%s/.maintenance", s->root);
	int64_t since;
	size_t at = 0, digits = 0;
	bool on = false;
	enum rc rc;

	if (n <= 0 || (size_t)n >= sizeof path || access(path, F_OK) != 0)
		return false;
	rc = site_file_read(path, MAINTENANCE_FILE_MAX, &arena, &text, &err);
	if (rc == RC_NONE)
		goto out;
	on = true;
	if (rc != RC_OK)
		goto out;
	while (at < text.n && !slice_starts(slice_from(text, at), name))
		at++;
	text = slice_trim(slice_from(text, at + name.n));
	if (!slice_starts(text, SLICE_LIT("=")))
		goto out;
	text = slice_trim(slice_from(text, 1));
	while (
	    digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (slice_i64(slice_mem(text.p, digits), &since))
		on = now - since < MAINTENANCE_S;
out:
	arena_clear(&arena);
	return on;
}

void
site_blog_prefix(
    const struct site *s, uint32_t blog_id, char out[SITE_PREFIX_MAX])
{
	if (blog_id <= 1)
		(void)snprintf(out, SITE_PREFIX_MAX, "%s", s->prefix);
	else
		(void)snprintf(
		    out, SITE_PREFIX_MAX, "%s%" PRIu32 "_", s->prefix, blog_id);
}

/* What the options do not say alone. */
static void
take_overrides(
    const struct site *s, const struct sql_scope *scope, struct site_facts *f)
{
	const struct site_private *own = s->private;

	/* get_option( 'home' ) falls back, then the constants filter it. */
	if (!*f->home)
		put_url(f->home, sizeof f->home, slice_str(f->siteurl));
	/* Those are the main blog's. */
	if (strcmp(scope->prefix, s->prefix) != 0)
		return;
	if (own->wp_home)
		put_url(f->home, sizeof f->home, slice_str(own->wp_home));
	if (own->wp_siteurl)
		put_url(
		    f->siteurl, sizeof f->siteurl, slice_str(own->wp_siteurl));
	if (s->config->home)
		put_url(f->home, sizeof f->home, slice_str(s->config->home));
}

enum rc
site_facts_read(const struct site *s, struct db *db,
    const struct sql_scope *scope, struct site_facts *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, SQL_SITE_OPTIONS, SQL_NO_ARGS, &rows, err);

	*out = (struct site_facts){ .gmt_offset = 0 };
	if (rc != RC_OK)
		goto out;
	while (db_rows_next(rows))
		take_option(out, db_text(rows, 0), db_text(rows, 1));
	take_overrides(s, scope, out);
	out->zone = site_zone_open(out->timezone_string);
	out->object_cache = has_object_cache(s);
	out->companion = has_companion(s);
out:
	db_rows_free(rows);
	return rc;
}

void
site_facts_clear(struct site_facts *f)
{
	timezone_free(f->zone);
	*f = (struct site_facts){ .gmt_offset = 0 };
}

/* ---- identity --------------------------------------------------------- */

/* `environment` NULL: the site's own; else adopted in that environment. */
static void
identity(const struct site *s, const struct site_facts *f,
    const char *environment, char out[65])
{
	const char *const parts[] = { f->home, f->siteurl, s->private->db_host,
		s->db.name, environment };
	struct buf text = BUF_INIT((size_t)16 * 1024);
	struct buf hex = BUF_INIT(64);
	unsigned char mac[EVP_MAX_MD_SIZE] = { 0 };
	unsigned n = 32;

	/* The NUL of each part keeps neighbours apart. */
	for (size_t i = 0; i < NELEMS(parts); i++)
		if (parts[i])
			buf_put(&text, parts[i], strlen(parts[i]) + 1);
	(void)HMAC(EVP_sha256(), s->salts, (int)strlen(s->salts),
	    (const unsigned char *)buf_str(&text), text.n, mac, &n);
	buf_put_hex(&hex, mac, 32);
	(void)snprintf(out, 65, "%s", buf_str(&hex));
	buf_clear(&hex);
	buf_clear(&text);
}

void
site_identity(const struct site *s, const struct site_facts *f, char out[65])
{
	identity(s, f, NULL, out);
}

static bool
is_production(const struct site *s)
{
	return strcmp(s->environment, "production") == 0;
}

/* "wp_2_" over the base "wp_" is blog 2; the base itself is blog 1. */
static uint64_t
blog_of(const struct sql_scope *scope)
{
	struct slice p = slice_str(scope->prefix);
	struct slice base = slice_str(scope->base);
	uint64_t id;

	if (slice_starts(p, base) && p.n > base.n + 1 &&
	    slice_u64(slice_mem(p.p + base.n, p.n - base.n - 1), &id))
		return id;
	return 1;
}

const char *
site_standing_name(enum site_standing standing)
{
	switch (standing) {
	case SITE_ORIGINAL:
		return "original";
	case SITE_COPY:
		return "copy";
	case SITE_STAGING:
		return "staging";
	case SITE_UNKNOWN:
		break;
	}
	return "unknown";
}

static enum site_standing
judge(const struct site *s, const struct site_facts *f, struct slice recorded)
{
	char own[65], adopted[65];

	identity(s, f, NULL, own);
	identity(s, f, s->environment, adopted);
	if (slice_eq_str(recorded, adopted))
		return SITE_ORIGINAL;
	if (!slice_eq_str(recorded, own))
		return SITE_COPY;
	return is_production(s) ? SITE_ORIGINAL : SITE_STAGING;
}

enum rc
site_standing_read(const struct site *s, const struct site_facts *f,
    struct db *db, const struct sql_scope *scope, enum site_standing *out,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_SITE_IDENTITY_READ,
	    SQL_ARGS(V_U64(blog_of(scope))), &rows, err);

	*out = SITE_UNKNOWN;
	if (rc == RC_OK && db_rows_next(rows))
		*out = judge(s, f, db_text(rows, 0));
	else if (rc == RC_REJECT && db_errno(db) == ER_NO_SUCH_TABLE)
		rc = RC_OK;
	db_rows_free(rows);
	return rc;
}

static enum rc
write_identity(const struct site *s, const struct site_facts *f,
    const char *environment, struct db *db, const struct sql_scope *scope,
    struct err *err)
{
	char text[65];

	identity(s, f, environment, text);
	return db_exec(db, scope, SQL_SITE_IDENTITY_WRITE,
	    SQL_ARGS(V_U64(blog_of(scope)), V_STR(text), V_STR(f->home),
		V_STR(f->siteurl)),
	    NULL, err);
}

enum rc
site_record(const struct site *s, const struct site_facts *f, struct db *db,
    const struct sql_scope *scope, struct err *err)
{
	return write_identity(s, f, NULL, db, scope, err);
}

enum rc
site_adopt(const struct site *s, const struct site_facts *f, struct db *db,
    const struct sql_scope *scope, struct err *err)
{
	return write_identity(s, f, s->environment, db, scope, err);
}
