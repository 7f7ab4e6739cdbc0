#include "queues/contacts_compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define NAME_MAX_LEN 64 /* the column's */
#define VALUE_MAX 255

static enum rc
put_name(struct buf *name, uint32_t blog_id, struct slice integration,
    struct err *err)
{
	buf_printf(name, "fields/%" PRIu32 "/", blog_id);
	buf_put_slice(name, integration);
	if (name->failed)
		return err_set(err, RC_REJECT,
		    "the integration's name %.*s is too long",
		    SLICE_FMT(integration));
	return RC_OK;
}

enum rc
contact_compare_write(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct slice integration, const char *digest, bool equal,
    struct err *err)
{
	struct buf name = BUF_INIT(NAME_MAX_LEN), value = BUF_INIT(VALUE_MAX);
	enum rc rc = put_name(&name, blog_id, integration, err);

	buf_printf(&value, "%s %s", equal ? "equal" : "different", digest);
	if (rc == RC_OK)
		rc = db_exec(db, scope, SQL_CONTACTS_CTL_COMPARE_WRITE,
		    SQL_ARGS(
			V_TEXT(buf_slice(&name)), V_TEXT(buf_slice(&value))),
		    NULL, err);
	buf_clear(&name);
	buf_clear(&value);
	return rc;
}

struct found {
	bool equal;
	char digest[CONTACT_DIGEST_LEN + 1]; /* "": nobody looked */
};

/* "equal DIGEST" */
static void
take(struct slice value, struct found *out)
{
	struct slice word = slice_mem(value.p, slice_find(value, ' '));
	struct slice digest = slice_from(value, word.n + 1);

	out->equal = slice_eq_str(word, "equal");
	if (digest.n <= CONTACT_DIGEST_LEN)
		(void)snprintf(
		    out->digest, sizeof out->digest, "%.*s", SLICE_FMT(digest));
}

static enum rc
find(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    struct slice integration, struct found *out, struct err *err)
{
	struct buf name = BUF_INIT(NAME_MAX_LEN);
	struct db_rows *rows = NULL;
	enum rc rc = put_name(&name, blog_id, integration, err);

	*out = (struct found){ .equal = false };
	if (rc == RC_OK)
		rc = db_select(db, scope, SQL_CONTACTS_CTL_COMPARE_READ,
		    SQL_ARGS(V_TEXT(buf_slice(&name))), &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		take(db_text(rows, 0), out);
	db_rows_free(rows);
	buf_clear(&name);
	return rc;
}

enum rc
contact_compare_read(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct slice integration,
    char digest[CONTACT_DIGEST_LEN + 1], struct err *err)
{
	struct found f;
	enum rc rc = find(db, scope, blog_id, integration, &f, err);

	digest[0] = '\0';
	if (rc == RC_OK && f.equal)
		memcpy(digest, f.digest, sizeof f.digest);
	return rc;
}

enum rc
contact_compare_look(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct slice integration, const char *digest,
    enum contact_compare *out, struct err *err)
{
	struct found f;
	enum rc rc = find(db, scope, blog_id, integration, &f, err);

	*out = CONTACT_COMPARE_UNKNOWN;
	if (rc == RC_OK && *f.digest && strcmp(f.digest, digest) == 0)
		*out =
		    f.equal ? CONTACT_COMPARE_EQUAL : CONTACT_COMPARE_DIFFERENT;
	return rc;
}
