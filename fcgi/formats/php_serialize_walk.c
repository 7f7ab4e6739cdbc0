#include <string.h>

#include "formats/php_serialize_private.h"

void
php_serialize_walk_init(struct php_serialize_walk *w, struct slice in,
    const struct php_serialize_limits *limits, struct arena *a, struct err *err)
{
	*w = (struct php_serialize_walk){
		.in = in,
		.lowest_reference = UINT64_MAX,
		.elements_left = limits->elements,
		.depth_left = limits->depth,
		.arena = a,
		.err = err,
	};
}

bool
php_serialize_walk_at_array(const struct php_serialize_walk *w)
{
	return slice_starts(slice_from(w->in, w->pos), SLICE_LIT("a:"));
}

enum rc
php_serialize_walk_enter(struct php_serialize_walk *w, uint64_t *count)
{
	enum rc rc;

	w->nslots++;
	rc = php_serialize_take_head(w, count);
	if (rc == RC_OK)
		w->depth_left--;
	return rc;
}

enum rc
php_serialize_walk_leave(struct php_serialize_walk *w)
{
	w->depth_left++;
	return php_serialize_take_close(w);
}

enum rc
php_serialize_walk_key(
    struct php_serialize_walk *w, struct php_serialize_member *m)
{
	memset(m, 0, sizeof *m);
	return php_serialize_take_key(w, m);
}

enum rc
php_serialize_walk_value(
    struct php_serialize_walk *w, struct php_serialize_value *v)
{
	memset(v, 0, sizeof *v);
	return php_serialize_take_value(w, v);
}

void
php_serialize_walk_reference(
    struct php_serialize_walk *w, size_t from, uint64_t number)
{
	w->nreferences++;
	if (number < w->lowest_reference)
		w->lowest_reference = number;
	if (w->on_reference)
		w->on_reference(w->ctx, from, w->pos - 1, number);
}

void
php_serialize_walk_custom(struct php_serialize_walk *w, struct slice payload)
{
	for (size_t i = 2; i < payload.n; i++)
		if (payload.p[i] >= '0' && payload.p[i] <= '9' &&
		    payload.p[i - 1] == ':' &&
		    (payload.p[i - 2] == 'r' || payload.p[i - 2] == 'R')) {
			w->nreferences++;
			w->lowest_reference = 0;
		}
}
