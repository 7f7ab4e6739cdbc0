#include "executors/php_body.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <sys/random.h>

#include "executors/php_mail.h"
#include "formats/base64.h"
#include "formats/utf8.h"
#include "wire/php_fpm.h"

enum {
	NONCE_BYTES = 16,
	SHA256_BYTES = 32,
};

enum rc
php_random_hex(char *out, size_t n, struct err *err)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[64];

	if (n > sizeof(bytes) || getrandom(bytes, n, 0) != (ssize_t)n)
		return err_set(err, RC_FATAL, "no random bytes");
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * n] = '\0';
	return RC_OK;
}

/* ---- body --------------------------------------------------------------- */

static void
put_text(struct buf *out, const char *key, struct slice value)
{
	buf_put_char(out, ',');
	utf8_put_json(out, slice_str(key));
	buf_put_char(out, ':');
	utf8_put_json(out, value);
}

static void
put_number(struct buf *out, const char *key, uint64_t value)
{
	buf_printf(out, ",\"%s\":%" PRIu64, key, value);
}

/* What may be any bytes, and must arrive as it is. */
static void
put_bytes(struct buf *out, const char *key, struct slice value)
{
	buf_printf(out, ",\"%s\":", key);
	base64_put_json(out, value);
}

static void
put_event(struct buf *out, const struct job *job, bool outbox)
{
	buf_printf(out, "{\"id\":%" PRIu64 ",\"event\":true", job->id);
	put_bytes(out, "hook64", job->hook);
	put_bytes(out, "args64", job->event_args);
	put_bytes(out, "recurrence64", job->recurrence);
	put_text(out, "start", job->sql_start);
	put_text(out, "running", job->sql_running);
	put_text(out, "done", job->sql_done);
	put_text(out, "failed", job->sql_failed);
	if (outbox)
		php_mail_put_job(out, job);
	buf_put_char(out, '}');
}

static void
put_action(struct buf *out, const struct job *job, bool outbox)
{
	buf_printf(out, "{\"id\":%" PRIu64, job->id);
	put_text(out, "hook", job->hook);
	put_text(out, "args", job->args);
	put_text(out, "own", job->sql_own);
	put_text(out, "start", job->sql_start);
	put_text(out, "running", job->sql_running);
	put_text(out, "log", job->sql_started_log);
	if (outbox)
		php_mail_put_job(out, job);
	buf_put_char(out, '}');
}

void
php_body_render(struct buf *out, const struct php_batch *b)
{
	buf_put_str(out, "{\"v\":1");
	put_text(out, "token", slice_str(b->token));
	put_text(out, "root", slice_str(b->root));
	put_number(out, "blog_id", b->blog_id);
	put_text(out, "context", slice_str(b->context));
	put_number(out, "budget_ms", b->budget_ms);
	buf_put_str(out, b->export ? ",\"export\":true" : ",\"export\":false");
	buf_put_str(out, b->tcp ? ",\"tcp\":true" : ",\"tcp\":false");
	if (b->take) {
		buf_put_str(out, ",\"take\":");
		buf_put_str(out, b->take);
	}
	if (b->ask.n > 0) {
		buf_put_str(out, ",\"ask\":");
		buf_put_slice(out, b->ask);
	}
	if (b->outbox) {
		buf_put_str(out, ",\"outbox\":");
		buf_put_str(out, b->outbox);
	}
	if (b->njobs > 0 && b->jobs[0]->claim &&
	    b->jobs[0]->claim->php_lock.n > 0) {
		buf_put_str(out, ",\"lock\":");
		buf_put_slice(out, b->jobs[0]->claim->php_lock);
	}
	buf_put_str(out, ",\"jobs\":[");
	for (size_t i = 0; i < b->njobs; i++) {
		if (i > 0)
			buf_put_char(out, ',');
		if (b->jobs[i]->kind == JOB_EVENT)
			put_event(out, b->jobs[i], b->outbox != NULL);
		else
			put_action(out, b->jobs[i], b->outbox != NULL);
	}
	buf_put_str(out, "]}");
}

/* ---- secret ------------------------------------------------------------- */

enum rc
php_secret_render(char out[PHP_SECRET_MAX], const char *salts, int64_t now,
    struct slice body, struct err *err)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct buf text = BUF_INIT(PHP_SECRET_MAX + 2 * SHA256_BYTES);
	struct slice key = slice_str(salts);
	char nonce[2 * NONCE_BYTES + 1];
	size_t head;
	enum rc rc;

	if (key.n == 0)
		return err_set(err, RC_REJECT,
		    "wp-config.php does not define all eight keys and salts "
		    "literally; without them PHP cannot know who asks");
	rc = php_random_hex(nonce, NONCE_BYTES, err);
	if (rc != RC_OK)
		return rc;
	buf_printf(&text, "%" PRId64 ".%s.", now + PHP_SECRET_LIFE_S, nonce);
	head = text.n;
	if (EVP_Digest(body.p, body.n, hash, NULL, EVP_sha256(), NULL) != 1) {
		rc = err_set(err, RC_FATAL, "SHA-256 failed");
		goto out;
	}
	buf_put_hex(&text, hash, SHA256_BYTES);
	if (!HMAC(EVP_sha256(), key.p, (int)key.n,
		(const unsigned char *)text.p, text.n, hash, NULL)) {
		rc = err_set(err, RC_FATAL, "HMAC-SHA-256 failed");
		goto out;
	}
	text.n = head;
	buf_put_hex(&text, hash, SHA256_BYTES);
	(void)snprintf(out, PHP_SECRET_MAX, "%s", buf_str(&text));
out:
	buf_clear(&text);
	return rc;
}

/* ---- params ------------------------------------------------------------- */

/* scheme://host[:port][/path] taken apart; what is missing has a default. */
struct url_parts {
	bool https;
	struct slice authority; /* host[:port] */
	struct slice host;
	struct slice port;
	struct slice path; /* without a slash at the end */
};

static struct url_parts
url_parse(const char *url)
{
	struct slice s = slice_trim(slice_str(url));
	struct url_parts h = { .https = false };
	size_t colon;

	h.https = slice_starts(s, SLICE_LIT("https://"));
	if (h.https)
		s = slice_from(s, 8);
	else if (slice_starts(s, SLICE_LIT("http://")))
		s = slice_from(s, 7);
	h.authority = slice_mem(s.p, slice_find(s, '/'));
	h.path = slice_from(s, h.authority.n);
	while (h.path.n > 0 && h.path.p[h.path.n - 1] == '/')
		h.path.n--;
	if (h.authority.n == 0)
		h.authority = SLICE_LIT("localhost");
	h.host = h.authority;
	h.port = h.https ? SLICE_LIT("443") : SLICE_LIT("80");
	for (colon = h.authority.n; colon > 0; colon--)
		if (h.authority.p[colon - 1] == ':' ||
		    h.authority.p[colon - 1] == ']')
			break;
	if (colon > 1 && h.authority.p[colon - 1] == ':') {
		h.host = slice_mem(h.authority.p, colon - 1);
		h.port = slice_from(h.authority, colon);
	}
	return h;
}

/* Does `root` end in `path`, a whole number of directories? */
static bool
is_root_of(struct slice root, struct slice path)
{
	return root.n > path.n &&
	       slice_eq(slice_from(root, root.n - path.n), path);
}

/*
 * WordPress in a directory below the document root is at that path; a blog of
 * a network in directories is not: there the web server rewrites the path to
 * the file that all share.
 */
static void
put_paths(struct buf *out, struct slice root, struct slice path)
{
	/* WordPress' own spawning of cron ends at this path. */
	struct buf uri = BUF_INIT(4096);
	struct slice name;

	while (root.n > 1 && root.p[root.n - 1] == '/')
		root.n--;
	buf_put_slice(&uri, path);
	buf_put_str(&uri, "/wp-cron.php");
	name = buf_slice(&uri);
	if (is_root_of(root, path))
		root.n -= path.n;
	else
		name = slice_from(name, path.n);
	php_fpm_put_param(out, "DOCUMENT_ROOT", root);
	php_fpm_put_param(out, "SCRIPT_NAME", name);
	php_fpm_put_param(out, "DOCUMENT_URI", name);
	php_fpm_put_param(out, "REQUEST_URI", buf_slice(&uri));
	if (uri.failed)
		out->failed = true;
	buf_clear(&uri);
}

void
php_params_render(struct buf *out, const char *script, const char *root,
    const char *siteurl, const char *secret)
{
	/* Without REQUEST_METHOD php-fpm does not run the script at all. */
	static const struct {
		const char *name, *value;
	} fixed[] = {
		{ "REQUEST_METHOD", "POST" },
		{ "CONTENT_TYPE", "application/json" },
		{ "QUERY_STRING", "" },
		{ "SERVER_PROTOCOL", "HTTP/1.1" },
		{ "GATEWAY_INTERFACE", "CGI/1.1" },
		{ "SERVER_SOFTWARE", "wp-cron-fcgi" },
		{ "REMOTE_ADDR", "127.0.0.1" },
		{ "REMOTE_PORT", "0" },
		{ "SERVER_ADDR", "127.0.0.1" },
		{ "REDIRECT_STATUS", "200" },
		{ "HTTP_USER_AGENT", "wp-cron-fcgi" },
	};
	struct url_parts h = url_parse(siteurl);

	for (size_t i = 0; i < NELEMS(fixed); i++)
		php_fpm_put_param(
		    out, fixed[i].name, slice_str(fixed[i].value));
	php_fpm_put_param(out, "SCRIPT_FILENAME", slice_str(script));
	put_paths(out, slice_str(root), h.path);
	php_fpm_put_param(out, "HTTP_HOST", h.authority);
	php_fpm_put_param(out, "SERVER_NAME", h.host);
	php_fpm_put_param(out, "SERVER_PORT", h.port);
	php_fpm_put_param(out, "REQUEST_SCHEME",
	    h.https ? SLICE_LIT("https") : SLICE_LIT("http"));
	if (h.https)
		php_fpm_put_param(out, "HTTPS", SLICE_LIT("on"));
	php_fpm_put_param(out, "WPCRON_SECRET", slice_str(secret));
}
