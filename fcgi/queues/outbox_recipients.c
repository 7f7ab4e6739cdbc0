/* The list of recipients as it is stored. */
#include <jansson.h>

#include "base/macros.h"
#include "formats/utf8.h"
#include "queues/outbox_internal.h"

static const char *const states[] = {
	[OUTBOX_OPEN] = "open",
	[OUTBOX_ACCEPTED] = "sent",
	[OUTBOX_REFUSED] = "dead",
};

void
outbox_put_recipients(
    struct buf *out, const struct outbox_recipient *r, size_t n)
{
	buf_put_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		buf_put_str(out, i > 0 ? ",{\"to\":" : "{\"to\":");
		utf8_put_json(out, r[i].to);
		buf_printf(out, ",\"state\":\"%s\"", states[r[i].state]);
		if (r[i].code != 0)
			buf_printf(out, ",\"code\":%d", r[i].code);
		if (r[i].words.n > 0) {
			buf_put_str(out, ",\"words\":");
			utf8_put_json(out, r[i].words);
		}
		buf_put_char(out, '}');
	}
	buf_put_char(out, ']');
}

static struct slice
text_of(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return json_is_string(v)
		   ? slice_mem(json_string_value(v), json_string_length(v))
		   : SLICE_LIT("");
}

/* False: it is none. One in a state that is not known has not been told
 * anything yet. */
static bool
take(const json_t *o, struct arena *a, struct outbox_recipient *r)
{
	struct slice state = text_of(o, "state");

	*r = (struct outbox_recipient){
		.to = arena_slice(a, text_of(o, "to")),
		.code = (int)json_integer_value(json_object_get(o, "code")),
		.words = arena_slice(a, text_of(o, "words")),
	};
	for (size_t i = 0; i < NELEMS(states); i++)
		if (slice_eq_str(state, states[i]))
			r->state = (enum outbox_recipient_state)i;
	return r->to.n > 0;
}

enum rc
outbox_parse_recipients(struct slice json, struct arena *a,
    struct outbox_recipient **out, size_t *n, struct err *err)
{
	json_t *root = NULL;
	struct outbox_recipient *r;
	size_t count;
	enum rc rc = RC_OK;

	*out = NULL;
	*n = 0;
	if (json.n > 0)
		root = json_loadb(json.p, json.n, JSON_ALLOW_NUL, NULL);
	count = json_array_size(root);
	r = arena_array(a, count + 1, sizeof *r);
	if (count == 0)
		rc = err_set(err, RC_REJECT, "it has no list of recipients");
	else if (!r)
		rc = err_set(err, RC_RETRY, "no memory for recipients");
	for (size_t i = 0; r && i < count && rc == RC_OK; i++)
		if (!take(json_array_get(root, i), a, &r[i]))
			rc = err_set(err, RC_REJECT,
			    "recipient %zu of its list is none", i + 1);
	if (rc == RC_OK && a->failed)
		rc = err_set(err, RC_RETRY, "no memory for recipients");
	if (rc == RC_OK) {
		*out = r;
		*n = count;
	}
	json_decref(root);
	return rc;
}
