#include "formats/cron_array.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/ceilings.h"
#include "formats/cron_array_private.h"

struct scan {
	struct php_serialize_walk walk;
	struct cron_tree *tree;
	struct cron_array *out;
	struct arena *arena;
	struct err *err;
};

static enum rc
no_memory(struct scan *s)
{
	return err_set(s->err, RC_RETRY,
	    "no memory for a cron option of %zu bytes", s->walk.in.n);
}

/* The key's decimal, when it is an int that is not spelt so. */
static enum rc
canonical_key(
    struct scan *s, const struct php_serialize_member *m, struct slice *out)
{
	struct slice spelt = m->key;
	char *copy;
	char room[24];
	int64_t same;
	int n;

	/* "i:5;" */
	if (!spelt.p)
		spelt = slice_mem(m->key_span.p + 2, m->key_span.n - 3);
	*out = spelt;
	if (!m->int_key || php_serialize_index(spelt, &same))
		return RC_OK;
	n = snprintf(room, sizeof room, "%" PRId64, m->index);
	copy = arena_strdup(s->arena, slice_mem(room, (size_t)n));
	*out = slice_mem(copy, (size_t)n);
	return copy ? RC_OK : no_memory(s);
}

static enum rc
scan_key(struct scan *s, struct cron_node *node)
{
	struct php_serialize_member m;
	enum rc rc = php_serialize_walk_key(&s->walk, &m);

	if (rc == RC_OK)
		rc = canonical_key(s, &m, &node->key);
	if (rc != RC_OK)
		return rc;
	node->int_key = m.int_key;
	node->index = m.index;
	if (node->level != CRON_LEVEL_TIME)
		return RC_OK;
	node->timestamp = m.index;
	node->is_time = m.int_key || cron_numeric(node->key, &node->timestamp);
	return RC_OK;
}

static bool
is_version(const struct cron_node *node)
{
	return node->level == CRON_LEVEL_TIME &&
	       slice_eq_str(node->key, "version");
}

/* A value whose inside is nobody's business but PHP's. An event's is read
 * when it is known that it counts. */
static enum rc
scan_leaf(struct scan *s, struct cron_node *node)
{
	const size_t references = s->walk.nreferences;
	struct php_serialize_value v;
	enum rc rc;

	s->walk.lowest_reference = UINT64_MAX;
	rc = php_serialize_walk_value(&s->walk, &v);
	if (rc != RC_OK)
		return rc;
	node->is_map =
	    node->level == CRON_LEVEL_SLOT && v.type == PHP_SERIALIZE_ARRAY;
	node->refs = s->walk.nreferences > references;
	if (s->walk.lowest_reference < node->number)
		s->out->bound = true;
	if (is_version(node) && v.type != PHP_SERIALIZE_NULL)
		s->out->ancient = false;
	return RC_OK;
}

static enum rc scan_members(struct scan *s, uint32_t parent);

static enum rc
scan_member(struct scan *s, uint32_t parent)
{
	uint32_t i = cron_tree_add(s->tree);
	struct cron_node *node = cron_node_at(s->tree, i);
	enum rc rc;

	if (i == 0)
		return no_memory(s);
	node->parent = parent;
	node->level = (unsigned char)(cron_node_at(s->tree, parent)->level + 1);
	node->from = (uint32_t)s->walk.pos;
	rc = scan_key(s, node);
	if (rc != RC_OK)
		return rc;
	node->value_from = (uint32_t)s->walk.pos;
	node->number = (uint32_t)s->walk.nslots + 1;
	if (php_serialize_walk_at_array(&s->walk) &&
	    (node->is_time || node->level == CRON_LEVEL_HOOK)) {
		node->is_map = true;
		rc = scan_members(s, i);
	} else {
		rc = scan_leaf(s, node);
	}
	node->to = (uint32_t)s->walk.pos;
	node->nvalues = (uint32_t)s->walk.nslots + 1 - node->number;
	return rc;
}

static enum rc
scan_members(struct scan *s, uint32_t parent)
{
	uint64_t count;
	enum rc rc = php_serialize_walk_enter(&s->walk, &count);

	while (rc == RC_OK && count-- > 0)
		rc = scan_member(s, parent);
	return rc == RC_OK ? php_serialize_walk_leave(&s->walk) : rc;
}

static enum rc
scan_array(struct scan *s)
{
	enum rc rc;

	cron_node_at(s->tree, 0)->is_map = true;
	s->out->ancient = true;
	rc = scan_members(s, 0);
	if (rc == RC_OK && s->walk.pos != s->walk.in.n)
		rc = err_set(s->err, RC_REJECT,
		    "bytes follow the array at byte %zu of %zu", s->walk.pos,
		    s->walk.in.n);
	if (s->walk.ncustom > 0 && s->walk.nreferences > 0)
		s->out->bound = true;
	s->tree->refs = s->walk.nreferences > 0;
	s->tree->custom = s->walk.ncustom > 0;
	/* Core adds the version to an empty array and changes nothing else. */
	if (s->tree->n == 1)
		s->out->ancient = false;
	return rc;
}

/* The key is there already: the value goes where that one stands. */
static void
replace(struct cron_tree *t, uint32_t there, uint32_t by)
{
	struct cron_node *old = cron_node_at(t, there);
	struct cron_node *node = cron_node_at(t, by);
	const uint32_t next = old->next;

	cron_tree_kill(t, there);
	*old = *node;
	old->next = next;
	cron_node_at(t, old->parent)->nchildren++;
	cron_tree_touch(t, there);
	node->dead = node->moved = true;
	node->parent = there;
}

static void
link_nodes(struct scan *s)
{
	struct cron_tree *t = s->tree;

	for (uint32_t i = 1; i < t->n; i++) {
		struct cron_node *node = cron_node_at(t, i);
		const struct cron_node *parent = cron_node_at(t, node->parent);
		uint32_t there;

		if (parent->moved) {
			node->parent = parent->parent;
			parent = cron_node_at(t, node->parent);
		}
		if (parent->dead) {
			node->dead = true;
			continue;
		}
		there = cron_tree_child(t, node->parent, node->key);
		if (there) {
			s->out->odd++;
			replace(t, there, i);
			continue;
		}
		cron_tree_link(t, i);
		if (node->is_time && !node->int_key)
			t->odd_times++;
	}
}

/* RC_NONE: it is no event that can be taken out. */
static enum rc
read_event(struct scan *s, struct cron_node *node, struct cron_event *out)
{
	const struct cron_node *hook = cron_node_at(s->tree, node->parent);
	struct slice span = slice_mem(
	    s->walk.in.p + node->value_from, node->to - node->value_from);

	if (!node->is_map || (node->refs && s->walk.ncustom > 0))
		return RC_NONE;
	out->timestamp = cron_node_at(s->tree, hook->parent)->timestamp;
	out->hook = hook->key;
	out->key = node->key;
	return cron_event_read(span, node->number, s->arena, out, s->err);
}

/* All below a node, in their order. */
static enum rc
read_events(struct scan *s, uint32_t parent)
{
	enum rc rc = RC_OK;
	uint32_t i = cron_node_at(s->tree, parent)->first;

	for (; i && rc == RC_OK; i = cron_node_at(s->tree, i)->next) {
		struct cron_node *node = cron_node_at(s->tree, i);

		if (node->level != CRON_LEVEL_SLOT) {
			if (node->is_map)
				rc = read_events(s, i);
			else if (!is_version(node))
				s->out->odd++;
			continue;
		}
		rc = read_event(s, node, &s->out->events[s->out->n]);
		if (rc == RC_OK)
			node->event = (uint32_t)s->out->n++;
		if (rc == RC_NONE) {
			s->out->odd++;
			rc = RC_OK;
		}
	}
	return rc;
}

static enum rc
find_events(struct scan *s)
{
	size_t most = 0;

	if (!cron_tree_table(s->tree, 0))
		return no_memory(s);
	link_nodes(s);
	if (s->out->ancient)
		return RC_OK;
	for (uint32_t i = 1; i < s->tree->n; i++)
		most += cron_node_at(s->tree, i)->level == CRON_LEVEL_SLOT;
	s->out->events = arena_array(s->arena, most, sizeof *s->out->events);
	if (!s->out->events)
		return no_memory(s);
	return read_events(s, 0);
}

/* trim(), which maybe_unserialize() begins with. */
static struct slice
trimmed(struct slice s)
{
	static const char blanks[] = " \n\r\t\v"; /* and the NUL */

	while (s.n > 0 && memchr(blanks, s.p[0], sizeof blanks))
		s = slice_from(s, 1);
	while (s.n > 0 && memchr(blanks, s.p[s.n - 1], sizeof blanks))
		s.n--;
	return s;
}

enum rc
cron_array_parse(
    struct slice in, struct arena *a, struct cron_array *out, struct err *err)
{
	struct scan s = { .out = out, .arena = a, .err = err };
	enum rc rc;

	memset(out, 0, sizeof *out);
	in = trimmed(in);
	if (in.n > CEILING_SERIALIZED_BYTES)
		return err_set(err, RC_REJECT,
		    "a cron option of %zu bytes is over the limit of %zu", in.n,
		    CEILING_SERIALIZED_BYTES);
	out->text = in;
	php_serialize_walk_init(&s.walk, in, &cron_limits, a, err);
	s.tree = arena_alloc(a, sizeof *s.tree);
	if (!s.tree || !cron_tree_init(s.tree, a))
		return no_memory(&s);
	out->private = s.tree;
	out->no_array = !php_serialize_walk_at_array(&s.walk);
	rc = out->no_array ? RC_OK : scan_array(&s);
	return rc == RC_OK ? find_events(&s) : rc;
}

const struct cron_event *
cron_array_find(const struct cron_array *c, int64_t timestamp,
    struct slice hook, struct slice key)
{
	const struct cron_tree *t = c->private;
	uint32_t i = cron_tree_slot(t, timestamp, hook, key);
	uint32_t event = i ? cron_node_at(t, i)->event : CRON_NO_EVENT;

	return event == CRON_NO_EVENT ? NULL : &c->events[event];
}

bool
cron_array_has_after(const struct cron_array *c, struct slice hook,
    struct slice key, int64_t after)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct cron_event *e = &c->events[i];

		if (e->timestamp > after && slice_eq(e->key, key) &&
		    slice_eq(e->hook, hook))
			return true;
	}
	return false;
}

bool
cron_array_first(struct slice head, int64_t *when)
{
	struct slice s = trimmed(head), count, digits;

	*when = 0;
	if (!slice_starts(s, SLICE_LIT("a:")))
		return false;
	s = slice_from(s, 2);
	count = slice_mem(s.p, slice_find(s, ':'));
	s = slice_from(s, count.n);
	if (slice_eq_str(count, "0") ||
	    (slice_eq_str(count, "1") &&
		slice_starts(s, SLICE_LIT(":{s:7:\"version\""))))
		return false;
	if (!slice_starts(s, SLICE_LIT(":{i:")))
		return true;
	s = slice_from(s, 4);
	digits = slice_mem(s.p, slice_find(s, ';'));
	if (digits.n == s.n || !slice_i64(digits, when))
		*when = 0;
	return true;
}
