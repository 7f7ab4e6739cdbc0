#include "queues/legacy_mails.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/action_schedule.h"
#include "formats/md5.h"
#include "formats/php_serialize.h"
#include "queues/actions_internal.h"

#define HOOK "woocommerce_send_queued_transactional_email"
#define GROUP "woocommerce-emails"
#define REFERENCE "__woocommerce_deferred_email_object"
#define PRIORITY_DEFAULT 10
#define ARGS_SHORT 191
#define ARGS_MAX ((size_t)8000) /* Action Scheduler refuses more */
#define VALUE_MAX ((size_t)64 << 20)
#define ARENA_MAX ((size_t)512 << 20)
#define DEPTH_MAX 64

/* ---- one item ----------------------------------------------------------- */

/* Of what a class that stands for an id is, in today's queue; NULL: none. */
static const char *
reference_type(struct slice class_name)
{
	if (slice_glob(class_name, SLICE_LIT("*Order*")))
		return "order";
	if (slice_glob(class_name, SLICE_LIT("*Product*")))
		return "product";
	return NULL;
}

static int64_t
object_id(const struct php_serialize_value *v)
{
	const struct php_serialize_value *id =
	    php_serialize_property(v, SLICE_LIT("id"));

	if (id)
		id = php_serialize_deref(id);
	return id && id->type == PHP_SERIALIZE_INT ? id->integer : 0;
}

static json_t *
object_json(const struct php_serialize_value *v)
{
	const char *type = reference_type(v->class_name);
	int64_t id = object_id(v);

	if (!type || id <= 0)
		return NULL;
	return json_pack(
	    "{s:{s:s,s:I}}", REFERENCE, "type", type, "id", (json_int_t)id);
}

static bool
is_list(const struct php_serialize_value *v)
{
	for (size_t i = 0; i < v->nmembers; i++)
		if (!v->members[i].int_key || v->members[i].index != (int64_t)i)
			return false;
	return true;
}

/* What json_encode() makes of it, objects as references; NULL: nothing. */
static json_t *value_json(const struct php_serialize_value *v, unsigned depth);

static int
put_member(json_t *out, const struct php_serialize_member *m, bool list,
    unsigned depth)
{
	json_t *value = value_json(&m->value, depth);
	char index[24];

	if (list)
		return json_array_append_new(out, value);
	if (!m->int_key)
		return json_object_setn_new(out, m->key.p, m->key.n, value);
	(void)snprintf(index, sizeof index, "%lld", (long long)m->index);
	return json_object_set_new(out, index, value);
}

static json_t *
array_json(const struct php_serialize_value *v, unsigned depth)
{
	bool list = is_list(v);
	json_t *out = list ? json_array() : json_object();

	for (size_t i = 0; out && i < v->nmembers; i++)
		if (put_member(out, &v->members[i], list, depth) != 0) {
			json_decref(out);
			return NULL;
		}
	return out;
}

static json_t *
value_json(const struct php_serialize_value *v, unsigned depth)
{
	if (depth == 0)
		return NULL;
	v = php_serialize_deref(v);
	switch (v->type) {
	case PHP_SERIALIZE_NULL:
		return json_null();
	case PHP_SERIALIZE_BOOL:
		return json_boolean(v->boolean);
	case PHP_SERIALIZE_INT:
		return json_integer(v->integer);
	case PHP_SERIALIZE_FLOAT:
		return json_loadb(v->text.p, v->text.n, JSON_DECODE_ANY, NULL);
	case PHP_SERIALIZE_STRING:
		return json_stringn(v->text.p ? v->text.p : "", v->text.n);
	case PHP_SERIALIZE_ARRAY:
		return array_json(v, depth - 1);
	case PHP_SERIALIZE_OBJECT:
		return object_json(v);
	case PHP_SERIALIZE_CUSTOM:
	case PHP_SERIALIZE_ENUM:
	case PHP_SERIALIZE_OBJECT_AGAIN:
	case PHP_SERIALIZE_REFERENCE:
		break;
	}
	return NULL;
}

/* ["filter",[args]] as today's queue has it; NULL: it cannot. */
static char *
item_json(struct slice filter, const struct php_serialize_value *args)
{
	json_t *list = json_array(), *both, *value;
	char *text = NULL;

	/* Arguments are positional, whatever their keys are. */
	for (size_t i = 0; i < args->nmembers; i++)
		if (json_array_append_new(list,
			value_json(&args->members[i].value, DEPTH_MAX)) != 0) {
			json_decref(list);
			return NULL;
		}
	both = json_array();
	value = json_stringn(filter.p, filter.n);
	if (json_array_append_new(both, value) == 0 &&
	    json_array_append(both, list) == 0)
		text = json_dumps(both, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(list);
	json_decref(both);
	return text;
}

/* ---- what it is about --------------------------------------------------- */

struct subject {
	enum {
		ABOUT_NOTHING,
		ABOUT_ORDER,
		ABOUT_USER
	} kind;
	int64_t id;
};

static bool
as_id(const struct php_serialize_value *v, int64_t *id)
{
	v = php_serialize_deref(v);
	if (v->type != PHP_SERIALIZE_INT || v->integer <= 0)
		return false;
	*id = v->integer;
	return true;
}

static struct subject
subject_of(struct slice filter, const struct php_serialize_value *args)
{
	const struct php_serialize_value *first =
	    args->nmembers > 0 ? php_serialize_deref(&args->members[0].value)
			       : NULL;
	const struct php_serialize_member *order;
	struct subject s = { .kind = ABOUT_NOTHING };

	if (!first)
		return s;
	if (first->type == PHP_SERIALIZE_ARRAY) {
		order = php_serialize_find(first, SLICE_LIT("order_id"));
		if (order && as_id(&order->value, &s.id))
			s.kind = ABOUT_ORDER;
	} else if (slice_glob(filter, SLICE_LIT("woocommerce_order_*"))) {
		if (as_id(first, &s.id))
			s.kind = ABOUT_ORDER;
	} else if (slice_eq_str(filter, "woocommerce_created_customer")) {
		if (as_id(first, &s.id))
			s.kind = ABOUT_USER;
	}
	return s;
}

static enum rc
read_date(struct db *db, const struct sql_scope *scope, enum sql_id statement,
    int64_t id, int64_t *when, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, statement, SQL_ARGS(V_U64((uint64_t)id)), &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		*when = db_time(rows, 0);
	db_rows_free(rows);
	return rc;
}

static enum rc
find_date(struct db *db, const struct sql_scope *scope, const struct subject *s,
    bool orders, int64_t *when, struct err *err)
{
	enum rc rc = RC_OK;

	*when = INT64_MIN;
	if (s->kind == ABOUT_USER)
		return read_date(
		    db, scope, SQL_WOOCOMMERCE_USER_DATE, s->id, when, err);
	if (s->kind == ABOUT_NOTHING)
		return RC_OK;
	if (orders)
		rc = read_date(
		    db, scope, SQL_WOOCOMMERCE_ORDER_DATE, s->id, when, err);
	if (rc == RC_OK && *when == INT64_MIN)
		rc = read_date(
		    db, scope, SQL_WOOCOMMERCE_POST_DATE, s->id, when, err);
	return rc;
}

/* ---- a batch ------------------------------------------------------------ */

/* An element {filter, args}; false: of another shape. */
static bool
take_apart(const struct php_serialize_value *element, struct slice *filter,
    const struct php_serialize_value **args)
{
	const struct php_serialize_member *f, *a;

	element = php_serialize_deref(element);
	if (element->type != PHP_SERIALIZE_ARRAY)
		return false;
	f = php_serialize_find(element, SLICE_LIT("filter"));
	a = php_serialize_find(element, SLICE_LIT("args"));
	if (!f || !a || f->value.type != PHP_SERIALIZE_STRING)
		return false;
	*filter = f->value.text;
	*args = php_serialize_deref(&a->value);
	return (*args)->type == PHP_SERIALIZE_ARRAY;
}

static enum rc
examine(struct db *db, const struct sql_scope *scope, bool orders,
    const struct php_serialize_value *element, struct arena *a,
    struct legacy_item *out, struct err *err)
{
	const struct php_serialize_value *args;
	struct subject s;
	struct slice filter;
	char *json;

	*out = (struct legacy_item){ .since = INT64_MIN };
	if (!take_apart(element, &filter, &args)) {
		out->why = "it is not {filter, args}";
		return RC_OK;
	}
	out->filter = arena_slice(a, filter);
	json = item_json(filter, args);
	if (!json)
		out->why = "an argument cannot be queued";
	else if (strlen(json) > ARGS_MAX)
		out->why = "its arguments are too long";
	free(json);
	s = subject_of(filter, args);
	return find_date(db, scope, &s, orders, &out->since, err);
}

static enum rc
parse(struct slice value, struct arena *a, struct php_serialize_value *out,
    struct err *err)
{
	enum rc rc =
	    php_serialize_parse(value, &PHP_SERIALIZE_LIMITS, a, out, err);

	if (rc == RC_OK && out->type != PHP_SERIALIZE_ARRAY)
		return err_set(err, RC_REJECT, "it is no list");
	return rc;
}

static enum rc
read_items(struct db *db, const struct sql_scope *scope, bool orders,
    struct legacy_batch *b, struct arena *a, struct err *err)
{
	struct arena tree = ARENA_INIT(ARENA_MAX);
	struct php_serialize_value list;
	enum rc rc = parse(b->value, &tree, &list, err);

	if (rc == RC_REJECT) {
		b->unreadable = true;
		rc = RC_OK;
		goto out;
	}
	if (rc != RC_OK)
		goto out;
	b->items = arena_array(a, list.nmembers + 1, sizeof *b->items);
	if (!b->items) {
		rc = err_set(err, RC_REJECT, "too many mails");
		goto out;
	}
	for (size_t i = 0; i < list.nmembers && rc == RC_OK; i++)
		rc = examine(db, scope, orders, &list.members[i].value, a,
		    &b->items[b->n++], err);
out:
	arena_clear(&tree);
	return rc;
}

static enum rc
has_orders(
    struct db *db, const struct sql_scope *scope, bool *orders, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_WOOCOMMERCE_ORDERS_TABLE, SQL_NO_ARGS, &rows, err);

	*orders = rc == RC_OK && db_rows_next(rows);
	db_rows_free(rows);
	return rc;
}

enum rc
legacy_mails_read(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, bool multisite, struct arena *a,
    struct legacy_batch **out, size_t *n, struct err *err)
{
	struct db_rows *rows = NULL;
	bool orders = false;
	char pattern[96];
	enum rc rc = has_orders(db, scope, &orders, err);

	*out = NULL;
	*n = 0;
	(void)snprintf(pattern, sizeof pattern,
	    "wp\\_%u\\_wc\\_emailer\\_batch\\_%%", blog_id);
	if (rc == RC_OK)
		rc = db_select(db, scope,
		    multisite ? SQL_WOOCOMMERCE_NETWORK_BATCHES
			      : SQL_WOOCOMMERCE_BATCHES,
		    SQL_ARGS(V_STR(pattern)), &rows, err);
	if (rc != RC_OK)
		return rc;
	*out = arena_array(a, db_rows_count(rows) + 1, sizeof **out);
	while (*out && rc == RC_OK && db_rows_next(rows)) {
		struct legacy_batch *b = &(*out)[(*n)++];

		b->id = db_u64(rows, 0);
		b->network = multisite;
		b->name = arena_slice(a, db_text(rows, 1));
		b->value = arena_slice(a, db_text(rows, 2));
		rc = read_items(db, scope, orders, b, a, err);
	}
	if (rc == RC_OK && (!*out || a->failed))
		rc = err_set(err, RC_REJECT, "too many batches of mails");
	db_rows_free(rows);
	return rc;
}

/* ---- may they ----------------------------------------------------------- */

/* "10.8.1" is 10008. */
static unsigned
version_number(struct slice text)
{
	size_t dot = slice_find(text, '.');
	struct slice rest = slice_from(text, dot + 1);
	uint64_t major = 0, minor = 0;

	(void)!slice_u64(slice_mem(text.p, dot), &major);
	(void)!slice_u64(slice_mem(rest.p, slice_find(rest, '.')), &minor);
	return (unsigned)(major * 1000 + (minor > 999 ? 999 : minor));
}

#define VERSION_OF_ACTIONS 10008

enum rc
legacy_mails_ready(
    struct db *db, const struct sql_scope *scope, struct err *err)
{
	struct db_rows *rows = NULL;
	unsigned version = 0;
	enum rc rc = db_select(
	    db, scope, SQL_WOOCOMMERCE_OPTIONS, SQL_NO_ARGS, &rows, err);

	while (rc == RC_OK && db_rows_next(rows))
		if (slice_eq_str(db_text(rows, 0), "woocommerce_version"))
			version = version_number(db_text(rows, 1));
	db_rows_free(rows);
	if (rc != RC_OK)
		return rc;
	if (version == 0)
		return err_set(err, RC_REJECT,
		    "the option woocommerce_version is not there: WooCommerce "
		    "is not installed");
	if (version < VERSION_OF_ACTIONS)
		return err_set(err, RC_REJECT,
		    "WooCommerce %u.%u works them off itself; from 10.8 on it "
		    "does not",
		    version / 1000, version % 1000);
	return RC_OK;
}

/* ---- drain -------------------------------------------------------------- */

struct draining {
	struct actions_settings s;
	const struct legacy_batch *batch;
	int64_t since, now;
	size_t moved;

	/* Made anew in each try. */
	struct arena arena;
	struct action_logs logs;
	uint64_t group_id;
};

static enum rc
find_group(struct draining *d, struct db *db, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &d->s.scope, SQL_CONTACTS_GROUP,
	    SQL_ARGS(V_STR(GROUP)), &rows, err);

	d->group_id = rc == RC_OK && db_rows_next(rows) ? db_u64(rows, 0) : 0;
	db_rows_free(rows);
	return rc;
}

static enum rc
make_group(struct draining *d, struct db *db, struct err *err)
{
	enum rc rc = find_group(d, db, err);

	if (rc != RC_OK || d->group_id != 0)
		return rc;
	rc = db_exec(db, &d->s.scope, SQL_CONTACTS_GROUP_ADD,
	    SQL_ARGS(V_STR(GROUP), V_STR(GROUP)), NULL, err);
	/* Not the insert id: PHP may have been first. */
	return rc == RC_OK ? find_group(d, db, err) : rc;
}

static enum rc
insert_item(
    struct draining *d, struct db *db, struct slice json, struct err *err)
{
	struct buf schedule = BUF_INIT(512), hash = BUF_INIT(64);
	unsigned char digest[MD5_LEN];
	struct new_action row = { .hook = SLICE_LIT(HOOK),
		.args = json,
		.group_id = d->group_id,
		.priority = PRIORITY_DEFAULT,
		.when = d->now };
	struct md5 m;
	uint64_t id;
	enum rc rc = RC_OK;

	action_schedule_render_simple(d->now, &schedule);
	row.schedule = buf_slice(&schedule);
	if (json.n > ARGS_SHORT) {
		md5_init(&m);
		md5_put(&m, json);
		md5_end(&m, digest);
		buf_put_hex(&hash, digest, sizeof digest);
		row.args = buf_slice(&hash);
		row.extended_args = json;
	}
	if (schedule.failed || hash.failed)
		rc = err_set(err, RC_RETRY, "no memory for a mail");
	if (rc == RC_OK)
		rc = action_insert(&d->s, db, &row, d->now, &d->logs, &id, err);
	buf_clear(&schedule);
	buf_clear(&hash);
	return rc;
}

/* RC_NONE: it stays. */
static enum rc
move_item(struct draining *d, struct db *db,
    const struct php_serialize_value *element, const struct legacy_item *item,
    struct err *err)
{
	const struct php_serialize_value *args;
	struct slice filter;
	char *json;
	enum rc rc;

	if (item->why || item->since == INT64_MIN || item->since < d->since ||
	    !take_apart(element, &filter, &args))
		return RC_NONE;
	json = item_json(filter, args);
	if (!json)
		return err_set(err, RC_RETRY, "no memory for a mail");
	rc = insert_item(d, db, slice_str(json), err);
	free(json);
	return rc;
}

static enum rc
write_rest(const struct draining *d, struct db *db, const struct buf *rest,
    size_t left, struct err *err)
{
	const struct legacy_batch *b = d->batch;
	struct buf value = BUF_INIT(VALUE_MAX);
	enum rc rc;

	if (left == 0)
		return db_exec(db, &d->s.scope,
		    b->network ? SQL_WOOCOMMERCE_DELETE_NETWORK_BATCH
			       : SQL_WOOCOMMERCE_DELETE_BATCH,
		    SQL_ARGS(V_U64(b->id)), NULL, err);
	buf_printf(&value, "a:%zu:{", left);
	buf_put_slice(&value, buf_slice(rest));
	buf_put_char(&value, '}');
	if (value.failed || rest->failed)
		rc = err_set(err, RC_REJECT, "the batch is too large");
	else
		rc = db_exec(db, &d->s.scope,
		    b->network ? SQL_WOOCOMMERCE_SHORTEN_NETWORK_BATCH
			       : SQL_WOOCOMMERCE_SHORTEN_BATCH,
		    SQL_ARGS(V_TEXT(buf_slice(&value)), V_U64(b->id)), NULL,
		    err);
	buf_clear(&value);
	return rc;
}

/* It is as it was when it was looked at. */
static enum rc
lock_batch(const struct draining *d, struct db *db, struct err *err)
{
	const struct legacy_batch *b = d->batch;
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &d->s.scope,
	    b->network ? SQL_WOOCOMMERCE_LOCK_NETWORK_BATCH
		       : SQL_WOOCOMMERCE_LOCK_BATCH,
	    SQL_ARGS(V_U64(b->id)), &rows, err);

	if (rc == RC_OK &&
	    (!db_rows_next(rows) || !slice_eq(db_text(rows, 0), b->value)))
		rc = err_set(err, RC_NONE,
		    "somebody works it off: it is gone or was changed");
	db_rows_free(rows);
	return rc;
}

/* r and R are numbers over the whole list, of which a part would be left. */
static bool
has_references(struct draining *d, struct slice item)
{
	struct php_serialize_walk w;
	struct php_serialize_value v;
	struct err ignored = ERR_INIT;

	php_serialize_walk_init(
	    &w, item, &PHP_SERIALIZE_LIMITS, &d->arena, &ignored);
	return php_serialize_walk_value(&w, &v) != RC_OK || w.nreferences > 0;
}

static enum rc
drain_body(struct db *db, void *arg, struct err *err)
{
	struct draining *d = arg;
	struct buf rest = BUF_INIT(VALUE_MAX);
	struct php_serialize_value list;
	size_t left = 0;
	bool refers = false;
	enum rc rc;

	arena_clear(&d->arena);
	d->logs = (struct action_logs){ .arena = &d->arena };
	d->moved = 0;
	rc = lock_batch(d, db, err);
	if (rc == RC_OK)
		rc = make_group(d, db, err);
	if (rc == RC_OK)
		rc = parse(d->batch->value, &d->arena, &list, err);
	for (size_t i = 0; rc == RC_OK && i < list.nmembers; i++) {
		const struct php_serialize_value *v = &list.members[i].value;

		rc = move_item(d, db, v, &d->batch->items[i], err);
		d->moved += rc == RC_OK;
		if (rc != RC_NONE)
			continue;
		buf_printf(&rest, "i:%zu;", left++);
		buf_put_slice(&rest, v->span);
		refers = refers || has_references(d, v->span);
		rc = RC_OK;
	}
	if (rc == RC_OK && d->moved > 0 && refers)
		rc = err_set(err, RC_NONE,
		    "what would stay of it has references into the whole");
	if (rc == RC_OK && d->moved > 0)
		rc = write_rest(d, db, &rest, left, err);
	if (rc == RC_OK)
		rc = action_logs_write(&d->logs, db, &d->s, err);
	buf_clear(&rest);
	return rc;
}

enum rc
legacy_mails_drain(struct actions *q, struct db *db,
    const struct legacy_batch *batch, int64_t since, int64_t now, size_t *moved,
    struct err *err)
{
	struct draining d = { .batch = batch,
		.since = since,
		.now = now,
		.arena = ARENA_INIT(ARENA_MAX) };
	enum rc rc;

	*moved = 0;
	if (batch->unreadable)
		return err_set(err, RC_REJECT, "the batch cannot be read");
	actions_settings_get(q, &d.s);
	rc = db_transact(db, drain_body, &d, err);
	if (rc == RC_OK)
		*moved = d.moved;
	arena_clear(&d.arena);
	return rc;
}
