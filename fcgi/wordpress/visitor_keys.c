#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "formats/wp_config.h"
#include "wordpress/site_private.h"
#include "wordpress/visitor.h"

#define VALUE_MAX_LEN ((size_t)4096)
#define VALUES_MAX_LEN ((size_t)64 << 10)

/* As auth_salt() wants them. */
static const char *const secret_names[10] = { "AUTH_KEY", "AUTH_SALT",
	"SECURE_AUTH_KEY", "SECURE_AUTH_SALT", "LOGGED_IN_KEY",
	"LOGGED_IN_SALT", "NONCE_KEY", "NONCE_SALT", "SECRET_KEY",
	"SECRET_SALT" };

struct reader {
	const struct site *site;
	struct arena arena;
	struct auth_salt_source secrets;
	struct slice siteurl; /* of the options; p NULL: not there */
	struct err *err;
};

/* ---- constants -------------------------------------------------------- */

/* p NULL: wp-config.php does not define it. */
static enum rc
constant(struct reader *r, const char *name, struct slice *out)
{
	const struct wp_config_value *v = site_constant(r->site, name);
	struct buf text = BUF_INIT(VALUE_MAX_LEN);
	char *copy = NULL;

	*out = SLICE_NONE;
	if (!v)
		return RC_OK;
	if (wp_config_text(v, &text) && !text.failed)
		copy = arena_strdup(&r->arena, buf_slice(&text));
	*out = slice_mem(copy, text.n);
	buf_clear(&text);
	if (copy)
		return RC_OK;
	return err_set(r->err, RC_REJECT,
	    "%s, line %u: only PHP knows the value of %s; readers cannot be "
	    "recognised without it",
	    r->site->config_path, v->line, name);
}

/* An included file that could not be read may define what is not there. */
static enum rc
complain_of_include(struct reader *r)
{
	unsigned line;
	const char *include =
	    wp_config_unknown_include(r->site->private->defines, &line);

	for (size_t i = 4; include && i < 6; i++)
		if (!r->secrets.constants[i].p)
			return err_set(r->err, RC_REJECT,
			    "%s, line %u: %s may define %s; readers cannot be "
			    "recognised without it; set config_file in [site "
			    "%s]",
			    r->site->config_path, line, include,
			    secret_names[i], r->site->name);
	return RC_OK;
}

static enum rc
read_secrets(struct reader *r)
{
	for (size_t i = 0; i < NELEMS(secret_names); i++) {
		enum rc rc =
		    constant(r, secret_names[i], &r->secrets.constants[i]);

		if (rc != RC_OK)
			return rc;
	}
	return complain_of_include(r);
}

/* ---- options ---------------------------------------------------------- */

/* The first row of a name is the one that core reads. */
static enum rc
take_option(struct reader *r, struct slice name, struct slice value)
{
	struct slice *to = NULL;
	char *copy;

	if (slice_eq_str(name, "siteurl"))
		to = &r->siteurl;
	else if (slice_eq_str(name, "logged_in_key"))
		to = &r->secrets.option_key;
	else if (slice_eq_str(name, "logged_in_salt"))
		to = &r->secrets.option_salt;
	if (!to || to->p || value.n > VALUE_MAX_LEN)
		return RC_OK;
	copy = arena_strdup(&r->arena, value);
	*to = slice_mem(copy, value.n);
	return copy ? RC_OK
		    : err_set(r->err, RC_RETRY, "no memory for options");
}

/* 1 for the main blog, which has no number in its prefix. */
static uint64_t
blog_of(const struct sql_scope *scope)
{
	struct slice prefix = slice_str(scope->prefix);
	struct slice base = slice_str(scope->base);
	uint64_t blog;

	if (!slice_starts(prefix, base) || prefix.n <= base.n + 1)
		return 1;
	prefix = slice_from(prefix, base.n);
	prefix.n--;
	return slice_u64(prefix, &blog) ? blog : 1;
}

/* get_site_option(): the network's, where there is one. */
static enum rc
read_options(struct reader *r, struct db *db, const struct sql_scope *scope)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	if (r->site->multisite)
		rc = db_select(db, scope, SQL_VISITOR_NETWORK_OPTIONS,
		    SQL_ARGS(V_U64(blog_of(scope))), &rows, r->err);
	else
		rc = db_select(
		    db, scope, SQL_VISITOR_OPTIONS, SQL_NO_ARGS, &rows, r->err);
	while (rc == RC_OK && db_rows_next(rows))
		rc = take_option(r, db_text(rows, 0), db_text(rows, 1));
	db_rows_free(rows);
	return rc;
}

/* ---- the name --------------------------------------------------------- */

/* untrailingslashit() */
static struct slice
without_slashes(struct slice url)
{
	while (
	    url.n > 0 && (url.p[url.n - 1] == '/' || url.p[url.n - 1] == '\\'))
		url.n--;
	return url;
}

/* wp_cookie_constants(): the hash is of the URL as get_site_option() has it. */
static enum rc
read_siteurl(struct reader *r, struct slice *out)
{
	enum rc rc = RC_OK;

	/* A network's siteurl is no option: nothing filters it. */
	if (r->site->multisite) {
		*out = r->siteurl;
		return RC_OK;
	}
	rc = constant(r, "WP_SITEURL", out);
	if (!out->p)
		*out = r->siteurl;
	*out = without_slashes(*out);
	return rc;
}

static enum rc
put_name(struct reader *r, struct slice prefix, struct slice rest, char *to,
    size_t size)
{
	if (prefix.n + rest.n == 0 || prefix.n + rest.n >= size)
		return err_set(r->err, RC_REJECT,
		    "%s: the name of the log-in cookie is empty or over %zu "
		    "bytes",
		    r->site->config_path, size - 1);
	(void)snprintf(
	    to, size, "%.*s%.*s", SLICE_FMT(prefix), SLICE_FMT(rest));
	return RC_OK;
}

static enum rc
read_name(struct reader *r, char *to, size_t size)
{
	struct slice name, hash, url;
	char made[64];
	enum rc rc = constant(r, "LOGGED_IN_COOKIE", &name);

	if (rc != RC_OK || name.p)
		return rc == RC_OK ? put_name(r, name, SLICE_NONE, to, size)
				   : rc;
	rc = constant(r, "COOKIEHASH", &hash);
	if (rc != RC_OK || hash.p)
		return rc == RC_OK
			   ? put_name(r, SLICE_LIT("wordpress_logged_in_"),
				 hash, to, size)
			   : rc;
	rc = read_siteurl(r, &url);
	if (rc != RC_OK)
		return rc;
	auth_cookie_name(url, made);
	return put_name(r, slice_str(made), SLICE_NONE, to, size);
}

static enum rc
read_keys(struct reader *r, struct db *db, const struct sql_scope *scope,
    struct visitor_keys *out)
{
	enum rc rc = read_secrets(r);

	if (rc == RC_OK)
		rc = read_options(r, db, scope);
	if (rc == RC_OK)
		rc = read_name(r, out->name, sizeof out->name);
	if (rc == RC_OK)
		rc = auth_salt(&r->secrets, out->salt_text, &out->salt, r->err);
	return rc;
}

enum rc
visitor_keys_read(const struct site *s, struct db *db,
    const struct sql_scope *scope, struct visitor_keys *out, struct err *err)
{
	struct reader r = { .arena = ARENA_INIT(VALUES_MAX_LEN), .err = err };
	struct site *fresh = NULL;
	struct err why = ERR_INIT;
	enum rc rc = site_open(s->config, &fresh, &why);

	/* It is being written, perhaps. */
	if (rc != RC_OK)
		return err_set(err, RC_RETRY, "%s", why.text);
	r.site = fresh;
	rc = read_keys(&r, db, scope, out);
	arena_clear(&r.arena);
	site_free(fresh);
	return rc;
}
