#include "formats/woocommerce_args.h"

#include <jansson.h>

#include "formats/action_args.h"

/* The n-th value, as a callback gets it: of an object in stored order. */
static const json_t *
value_at(json_t *root, size_t n)
{
	void *iter;

	if (json_is_array(root))
		return json_array_get(root, n);
	for (iter = json_object_iter(root); iter && n > 0; n--)
		iter = json_object_iter_next(root, iter);
	return json_object_iter_value(iter);
}

const char *
woocommerce_args_wrong(struct slice args)
{
	struct err err = ERR_INIT;
	const char *why = NULL;
	json_t *root;

	/* Bounds depth and size. */
	if (action_args_check(args, NULL, &err) != RC_OK)
		return NULL;
	root = json_loadb(
	    args.p, args.n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
	if (!root)
		return NULL;
	/* WC_Emails: send_queued_transactional_email() */
	if (!json_is_string(value_at(root, 0)))
		why = "the first argument is no name of a mail's hook";
	else if (!json_is_array(value_at(root, 1)) &&
		 !json_is_object(value_at(root, 1)))
		why = "the second argument is no list of a mail's arguments";
	json_decref(root);
	return why;
}
