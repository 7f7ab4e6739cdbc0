#include "executors/webhook_body.h"

#include "formats/utf8.h"

#include <inttypes.h>
#include <jansson.h>

/* Digits of the identity in a key: 128 bits name a site well enough. */
#define IDENTITY_DIGITS 32

void
webhook_body_key(const struct job *job, const struct webhook_site *site,
    char out[WEBHOOK_KEY_MAX])
{
	(void)snprintf(out, WEBHOOK_KEY_MAX, "wpcron_%.*s_%" PRIu32 "_%" PRIu64,
	    IDENTITY_DIGITS, site->identity ? site->identity : "", job->blog_id,
	    job->origin_id);
}

static enum rc
check_json(struct slice text, struct err *err)
{
	json_error_t why;
	/* PHP writes integers past 64 bits and \u0000 too; both are JSON. */
	json_t *v = json_loadb(text.p ? text.p : "", text.n,
	    JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &why);

	if (!v)
		return err_set(
		    err, RC_REJECT, "the arguments are not JSON: %s", why.text);
	json_decref(v);
	return RC_OK;
}

enum rc
webhook_body_render(const struct job *job, const struct webhook_site *site,
    struct buf *out, struct err *err)
{
	enum rc rc = check_json(job->args, err);

	if (rc != RC_OK)
		return rc;
	buf_put_str(out, "{\"id\":");
	buf_put_u64(out, job->origin_id);
	buf_put_str(out, ",\"hook\":");
	utf8_put_json(out, job->hook);
	buf_put_str(out, ",\"args\":");
	buf_put_slice(out, job->args);
	buf_put_str(out, ",\"attempt\":");
	buf_put_u64(out, job->try);
	buf_put_str(out, ",\"site\":");
	utf8_put_json(out, slice_str(site->home));
	buf_put_char(out, '}');
	if (out->failed)
		return err_set(
		    err, RC_REJECT, "the body is over %zu bytes", out->max);
	return RC_OK;
}
