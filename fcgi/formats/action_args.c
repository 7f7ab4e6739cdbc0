#include "formats/action_args.h"

#include <jansson.h>
#include <stdbool.h>

#include "base/ceilings.h"

/* jansson's own limit is 2048 levels. */
static bool
is_too_deep(struct slice json)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < json.n; i++) {
		char c = json.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			in_string = c != '"';
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > CEILING_ARGS_DEPTH)
				return true;
		} else if (c == ']' || c == '}') {
			depth--;
		}
	}
	return false;
}

enum rc
action_args_check(struct slice json, size_t *count, struct err *err)
{
	/* Integers that do not fit become floats, in PHP too. */
	const size_t flags = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
	json_error_t why;
	json_t *root;

	if (json.n > CEILING_ARGS_BYTES)
		return err_set(err, RC_REJECT,
		    "arguments of %zu bytes are over the limit of %zu", json.n,
		    CEILING_ARGS_BYTES);
	if (json.n == 0)
		return err_set(err, RC_REJECT, "arguments are empty");
	/* jansson overlooks one that follows a number or a word. */
	if (slice_find(json, '\0') < json.n)
		return err_set(err, RC_REJECT,
		    "arguments hold a NUL at byte %zu", slice_find(json, '\0'));
	if (is_too_deep(json))
		return err_set(err, RC_REJECT,
		    "arguments are nested over %d levels", CEILING_ARGS_DEPTH);
	root = json_loadb(json.p, json.n, flags, &why);
	if (!root)
		return err_set(err, RC_REJECT,
		    "arguments are not a JSON array or object: %s at byte %d",
		    why.text, why.position);
	if (count)
		*count = json_is_array(root) ? json_array_size(root)
					     : json_object_size(root);
	json_decref(root);
	return RC_OK;
}
