#include "queues/contacts_compare.h"

#include <inttypes.h>

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

/* "equal DIGEST" */
static enum contact_compare
judge(struct slice value, const char *digest)
{
	struct slice word = slice_mem(value.p, slice_find(value, ' '));

	if (!slice_eq_str(slice_from(value, word.n + 1), digest))
		return CONTACT_COMPARE_UNKNOWN;
	return slice_eq_str(word, "equal") ? CONTACT_COMPARE_EQUAL
					   : CONTACT_COMPARE_DIFFERENT;
}

enum rc
contact_compare_read(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct slice integration, const char *digest,
    enum contact_compare *out, struct err *err)
{
	struct buf name = BUF_INIT(NAME_MAX_LEN);
	struct db_rows *rows = NULL;
	enum rc rc = put_name(&name, blog_id, integration, err);

	*out = CONTACT_COMPARE_UNKNOWN;
	if (rc == RC_OK)
		rc = db_select(db, scope, SQL_CONTACTS_CTL_COMPARE_READ,
		    SQL_ARGS(V_TEXT(buf_slice(&name))), &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		*out = judge(db_text(rows, 0), digest);
	db_rows_free(rows);
	buf_clear(&name);
	return rc;
}
