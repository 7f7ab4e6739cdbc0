#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/ceilings.h"
#include "formats/cron_array_private.h"

#define VERSION_MEMBER "s:7:\"version\";i:2;"

struct splice {
	const struct cron_array *c;
	const struct cron_edit *edits;
	struct arena arena;
	struct cron_tree tree; /* a copy, with the edits made */
	bool changed, added;
	uint32_t *order; /* the timestamps that are left */
	uint32_t norder;
	struct buf *out;
	struct err *err;
};

static enum rc
no_memory(struct splice *s)
{
	return err_set(s->err, RC_RETRY,
	    "no memory to write a cron option of %zu bytes", s->c->text.n);
}

static void
remove_slot(struct splice *s, const struct cron_edit *e)
{
	struct cron_tree *t = &s->tree;
	uint32_t i = cron_tree_slot(t, e->timestamp, e->hook, e->key);

	if (i == 0)
		return;
	s->changed = true;
	do {
		uint32_t parent = cron_node_at(t, i)->parent;

		cron_tree_kill(t, i);
		i = parent;
	} while (i && cron_node_at(t, i)->nchildren == 0);
}

/* The child with that key, made when there is none; 0: no memory. `key` must
 * live as long as the tree. */
static uint32_t
child_made(struct splice *s, uint32_t parent, struct slice key)
{
	struct cron_tree *t = &s->tree;
	uint32_t i = cron_tree_child(t, parent, key);
	struct cron_node *node;

	if (i)
		return i;
	i = cron_tree_add(t);
	if (i == 0)
		return 0;
	node = cron_node_at(t, i);
	node->key = key;
	node->int_key = php_serialize_index(key, &node->index);
	node->is_time = node->int_key;
	node->timestamp = node->index;
	node->parent = parent;
	node->level = (unsigned char)(cron_node_at(t, parent)->level + 1);
	cron_tree_link(t, i);
	cron_tree_touch(t, i);
	return i;
}

/* As child_made, for what holds members. What was no array there is lost, as
 * it held nothing that anybody reads. */
static uint32_t
map_made(struct splice *s, uint32_t parent, struct slice key)
{
	uint32_t i = child_made(s, parent, key);
	struct cron_node *node = cron_node_at(&s->tree, i);

	if (i && !node->is_map) {
		node->is_map = true;
		node->refs = false;
		cron_tree_touch(&s->tree, i);
	}
	return i;
}

/* How an event to add is numbered. */
static enum rc
look_at_event(struct splice *s, struct slice event, struct cron_node *out)
{
	struct php_serialize_walk w;
	struct php_serialize_value v;
	enum rc rc;

	php_serialize_walk_init(&w, event, &cron_limits, &s->arena, s->err);
	rc = php_serialize_walk_value(&w, &v);
	if (rc == RC_OK && (w.pos != event.n || v.type != PHP_SERIALIZE_ARRAY))
		rc = err_set(
		    s->err, RC_REJECT, "an event to add is not an array");
	if (rc == RC_OK && w.lowest_reference == 0)
		s->tree.custom = s->tree.refs = true;
	out->nvalues = (uint32_t)w.nslots;
	out->refs = w.nreferences > 0;
	s->tree.refs = s->tree.refs || out->refs;
	s->tree.custom = s->tree.custom || w.ncustom > 0;
	return rc;
}

static enum rc
add_slot(struct splice *s, const struct cron_edit *e)
{
	char room[24];
	int n = snprintf(room, sizeof room, "%" PRId64, e->timestamp);
	const char *decimal =
	    arena_strdup(&s->arena, slice_mem(room, (size_t)n));
	uint32_t i;
	struct cron_node *node;

	if (!decimal)
		return no_memory(s);
	i = map_made(s, 0, slice_mem(decimal, (size_t)n));
	if (i)
		i = map_made(s, i, e->hook);
	if (i)
		i = child_made(s, i, e->key);
	if (i == 0)
		return no_memory(s);
	cron_tree_touch(&s->tree, i);
	s->changed = s->added = true;
	node = cron_node_at(&s->tree, i);
	node->is_map = true;
	node->edit = (uint32_t)(e - s->edits) + 1;
	return look_at_event(s, e->event, node);
}

static enum rc
make_edits(struct splice *s, size_t n)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n && rc == RC_OK; i++)
		switch (s->edits[i].what) {
		case CRON_REMOVE:
			remove_slot(s, &s->edits[i]);
			break;
		case CRON_ADD:
			rc = add_slot(s, &s->edits[i]);
			break;
		}
	if (rc == RC_OK && s->tree.refs && s->tree.custom)
		rc = err_set(s->err, RC_REJECT,
		    "the cron option holds references beside a C: object, "
		    "whose numbers only PHP knows");
	return rc;
}

/* ---- order ------------------------------------------------------------- */

struct place {
	const struct cron_node *node;
	uint32_t i, at;
};

/* uksort(strnatcasecmp) of PHP 8, which is stable. */
static int
compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	const struct cron_node *m = x->node, *n = y->node;
	int order;

	if (m->int_key && n->int_key && m->index >= 0 && n->index >= 0)
		order = (m->index > n->index) - (m->index < n->index);
	else
		order = cron_natural_order(m->key, n->key);
	return order ? order : (x->at > y->at) - (x->at < y->at);
}

static bool
is_version(const struct cron_node *node)
{
	return slice_eq_str(node->key, "version");
}

static enum rc
put_in_order(struct splice *s)
{
	const uint32_t most = cron_node_at(&s->tree, 0)->nchildren;
	struct place *places = arena_array(&s->arena, most, sizeof *places);
	uint32_t n = 0;
	bool sorted = true;

	s->order = arena_array(&s->arena, most, sizeof *s->order);
	if (!places || !s->order)
		return no_memory(s);
	for (uint32_t i = cron_node_at(&s->tree, 0)->first; i;
	     i = cron_node_at(&s->tree, i)->next) {
		const struct cron_node *node = cron_node_at(&s->tree, i);

		if (node->dead || is_version(node))
			continue;
		places[n] = (struct place){ node, i, n };
		if (n > 0 && compare_places(&places[n - 1], &places[n]) > 0)
			sorted = false;
		n++;
	}
	if (s->added && !sorted)
		qsort(places, n, sizeof *places, compare_places);
	for (uint32_t i = 0; i < n; i++)
		s->order[i] = places[i].i;
	s->norder = n;
	return RC_OK;
}

/* ---- writing ----------------------------------------------------------- */

/* Values are numbered in the order in which they are written. */
static uint32_t
number_values(struct splice *s, uint32_t i, uint32_t next)
{
	struct cron_node *node = cron_node_at(&s->tree, i);

	node->moved_to = next;
	if (node->level == CRON_LEVEL_SLOT || !node->is_map)
		return next + node->nvalues;
	next++;
	for (i = node->first; i; i = cron_node_at(&s->tree, i)->next)
		if (!cron_node_at(&s->tree, i)->dead)
			next = number_values(s, i, next);
	return next;
}

static struct slice
piece(const struct splice *s, uint32_t from, uint32_t to)
{
	return slice_mem(s->c->text.p + from, to - from);
}

static void
put_key(struct splice *s, const struct cron_node *node)
{
	if (node->to)
		buf_put_slice(s->out, piece(s, node->from, node->value_from));
	else if (node->int_key)
		php_serialize_put_int(s->out, node->index);
	else
		php_serialize_put_string(s->out, node->key);
}

static enum rc
put_leaf(struct splice *s, const struct cron_node *node)
{
	struct slice value = node->edit ? s->edits[node->edit - 1].event
					: piece(s, node->value_from, node->to);

	if (node->refs)
		return cron_renumber(value, node->edit ? 1 : node->number,
		    node->moved_to, s->out, s->err);
	buf_put_slice(s->out, value);
	return RC_OK;
}

static enum rc
put_member(struct splice *s, uint32_t i)
{
	const struct cron_node *node = cron_node_at(&s->tree, i);
	enum rc rc = RC_OK;

	if (!node->rewritten && !s->tree.refs) {
		buf_put_slice(s->out, piece(s, node->from, node->to));
		return RC_OK;
	}
	put_key(s, node);
	if (node->level == CRON_LEVEL_SLOT || !node->is_map)
		return put_leaf(s, node);
	buf_put_str(s->out, "a:");
	buf_put_u64(s->out, node->nchildren);
	buf_put_str(s->out, ":{");
	for (i = node->first; i && rc == RC_OK;
	     i = cron_node_at(&s->tree, i)->next)
		if (!cron_node_at(&s->tree, i)->dead)
			rc = put_member(s, i);
	buf_put_char(s->out, '}');
	return rc;
}

static enum rc
put_array(struct splice *s)
{
	enum rc rc = RC_OK;
	uint32_t next = 2;

	(void)buf_reserve(s->out, s->c->text.n + sizeof VERSION_MEMBER);
	if (s->tree.refs)
		for (uint32_t i = 0; i < s->norder; i++)
			next = number_values(s, s->order[i], next);
	buf_put_str(s->out, "a:");
	buf_put_u64(s->out, (uint64_t)s->norder + 1);
	buf_put_str(s->out, ":{");
	for (uint32_t i = 0; i < s->norder && rc == RC_OK; i++)
		rc = put_member(s, s->order[i]);
	buf_put_str(s->out, VERSION_MEMBER "}");
	if (rc == RC_OK && s->out->failed)
		rc = err_set(s->err, RC_REJECT,
		    "the cron option grows over %zu bytes", s->out->max);
	return rc;
}

static void
take_back(struct buf *out, size_t to)
{
	out->n = to;
	if (out->p)
		out->p[to] = '\0';
}

static enum rc
write_changed(struct splice *s)
{
	const size_t before = s->out->n;
	enum rc rc = put_in_order(s);

	if (rc == RC_OK)
		rc = put_array(s);
	if (rc == RC_OK &&
	    slice_eq(slice_from(buf_slice(s->out), before), s->c->text))
		rc = RC_NONE;
	if (rc != RC_OK)
		take_back(s->out, before);
	return rc;
}

enum rc
cron_array_splice(const struct cron_array *c, const struct cron_edit *edits,
    size_t n, struct buf *out, struct err *err)
{
	struct splice s = {
		.c = c,
		.edits = edits,
		.arena = ARENA_INIT(2 * CEILING_CRON_ARENA),
		.out = out,
		.err = err,
	};
	enum rc rc;

	if (c->ancient)
		return err_set(err, RC_REJECT,
		    "the cron option has no version: WordPress must rewrite "
		    "it");
	if (c->bound)
		return err_set(err, RC_REJECT,
		    "the cron option holds references whose numbers only PHP "
		    "can keep");
	if (n > CEILING_SERIALIZED_ELEMENTS)
		return err_set(err, RC_REJECT, "%zu edits at once", n);
	if (cron_tree_copy(&s.tree, c->private, (uint32_t)n * 3, &s.arena))
		rc = make_edits(&s, n);
	else
		rc = no_memory(&s);
	if (rc == RC_OK)
		rc = s.changed ? write_changed(&s) : RC_NONE;
	arena_clear(&s.arena);
	return rc;
}
