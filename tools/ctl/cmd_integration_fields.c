/* integration fields [--compare]: what the account has, and both payloads. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "integrations.h"
#include "queues/contacts_compare.h"

const char *const integration_fields_columns[] = { "name", "key", "outgoing",
	"incoming", "user", "php", "native", "same", NULL };

static const char *const fields_shown[] = { "name", "key", "outgoing",
	"incoming" };
static const char *const compare_shown[] = { "user", "name", "php", "native",
	"same" };

#define COMPARED 5

struct fields {
	json_t *rows;
	bool differ;
};

/* ---- the account's fields ------------------------------------------------ */

static bool
is_listed(const struct slice *list, size_t n, struct slice name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(list[i], name))
			return true;
	return false;
}

/* Labels of [fields] are whole; the plugin's option leaves the prefix out. */
static bool
is_pushed(const struct newspack_integration *i, struct slice name)
{
	struct slice prefix = slice_str(i->prefix);
	char text[256];

	for (size_t k = 0; i->config && k < i->config->nfields; k++)
		if (slice_eq_str(name, i->config->fields[k].label))
			return true;
	if (!slice_starts(name, prefix) || i->outgoing.n == 0)
		return false;
	name = slice_from(name, prefix.n);
	(void)snprintf(
	    text, sizeof text, "s:%zu:\"%.*s\";", name.n, SLICE_FMT(name));
	for (size_t at = 0; at + strlen(text) <= i->outgoing.n; at++)
		if (slice_starts(slice_from(i->outgoing, at), slice_str(text)))
			return true;
	return false;
}

static enum rc
ask_fields(struct integration_esp *s, struct arena *a, struct esp_field **list,
    size_t *n, struct err *err)
{
	const struct esp_ops *ops = s->esp->ops;

	if (!ops->fields)
		return err_set(err, RC_REJECT, "%s has no fields of its own",
		    s->of.provider);
	return integration_rc(s, ops->fields(s->esp, a, list, n, err), err);
}

static enum rc
list_fields(struct fields *x, struct contacts_view *v,
    const struct newspack_integration *i, struct err *err)
{
	struct arena a = ARENA_INIT(CONTACTS_ARENA_MAX);
	struct esp_field *list = NULL;
	struct integration_esp s;
	size_t n = 0;
	enum rc rc = integration_open(v, i, &s, err);

	if (rc == RC_OK)
		rc = ask_fields(&s, &a, &list, &n, err);
	for (size_t k = 0; k < n && rc == RC_OK; k++) {
		json_t *row = json_object();

		row_slice(row, "name", list[k].name);
		row_slice(row, "key", list[k].value);
		row_bool(row, "outgoing", is_pushed(i, list[k].name));
		row_bool(row, "incoming",
		    is_listed(i->incoming, i->nincoming, list[k].value));
		(void)json_array_append_new(x->rows, row);
	}
	integration_close(&s);
	arena_clear(&a);
	return rc;
}

/* ---- both payloads ------------------------------------------------------- */

/* The readers that are compared, and both sides of them. */
struct comparing {
	const struct ctl *c;
	struct contacts_view *v;
	const struct newspack_integration *of;
	struct arena arena;
	uint64_t ids[COMPARED];
	size_t n;
	struct php_contact php[COMPARED];
	struct esp_contact native[COMPARED];
	bool built[COMPARED]; /* natively */
	struct fields *out;
};

/* Some that are staged, else the newest. */
static enum rc
choose_some(struct comparing *x, struct err *err)
{
	struct place *p = x->v->place;
	struct contact_flags f = { .n = 0 };
	struct db_rows *rows = NULL;
	char key[SITE_PREFIX_MAX + 16];
	enum rc rc = contact_flags_read(
	    p->db, &p->scope, CONTACT_PUSH, COMPARED, &x->arena, &f, err);

	for (size_t i = 0; i < f.n && rc == RC_OK; i++)
		if (x->n == 0 || x->ids[x->n - 1] != f.rows[i].user_id)
			x->ids[x->n++] = f.rows[i].user_id;
	if (rc != RC_OK || x->n > 0)
		return rc;
	(void)snprintf(key, sizeof key, "%scapabilities", p->scope.prefix);
	rc = db_select(p->db, &p->scope, SQL_CONTACTS_CTL_NEWEST_READERS,
	    SQL_ARGS(V_STR(key), V_U64(COMPARED)), &rows, err);
	/* Newest first; what reads them wants them ascending. */
	x->n = rc == RC_OK ? db_rows_count(rows) : 0;
	for (size_t i = x->n; i > 0 && db_rows_next(rows); i--)
		x->ids[i - 1] = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

static int
choose(struct comparing *x)
{
	struct contact_user u;
	struct err err = ERR_INIT;
	int status;

	if (!x->c->opts.user)
		return choose_some(x, &err) == RC_OK ? EXIT_DONE
						     : ctl_error(x->c, &err);
	status = contacts_find(x->c, x->v, x->c->opts.user, &x->arena, &u);
	x->ids[0] = u.id;
	x->n = 1;
	return status;
}

static enum rc
prepare_php(struct comparing *x, struct err *err)
{
	struct php_executor_opts opts;
	enum rc rc = integration_php(x->v, &opts, err);

	for (size_t i = 0; i < x->n; i++)
		x->php[i] = (struct php_contact){
			.user_id = x->ids[i],
			.integration = slice_str(x->of->id),
			.context = SLICE_LIT("Recurring sync routine"),
		};
	if (rc == RC_OK)
		rc = php_contacts_prepare(
		    &opts, x->php, x->n, INTEGRATION_PHP_MS, &x->arena, err);
	for (size_t i = 0; i < x->n && rc == RC_OK; i++)
		if (!x->php[i].answered)
			rc = err_set(err, RC_RETRY,
			    "PHP said nothing of user %" PRIu64, x->ids[i]);
	return rc;
}

static enum rc
prepare_native(struct comparing *x, struct err *err)
{
	struct place *p = x->v->place;
	struct contact_source source;
	enum rc rc = contact_source_read(p->db, &p->scope, x->of->config,
	    x->ids, x->n, &x->arena, &source, err);

	for (size_t i = 0; i < x->n && rc == RC_OK; i++)
		x->built[i] = contact_native(x->of->config, &source, x->ids[i],
		    &x->arena, &x->native[i]);
	return rc;
}

static const struct esp_field *
field_of(const struct esp_field *list, size_t n, struct slice name)
{
	for (size_t k = 0; k < n; k++)
		if (slice_eq(list[k].name, name))
			return &list[k];
	return NULL;
}

static void
put_pair(struct comparing *x, uint64_t id, struct slice name,
    const struct slice *php, const struct slice *native)
{
	json_t *row = json_object();
	bool same = php && native && slice_eq(*php, *native);

	row_int(row, "user", (int64_t)id);
	row_slice(row, "name", name);
	row_slice(row, "php", php ? *php : SLICE_NONE);
	row_slice(row, "native", native ? *native : SLICE_NONE);
	row_bool(row, "same", same);
	(void)json_array_append_new(x->out->rows, row);
	x->out->differ |= !same;
}

/* What PHP would not send at all must not be sent from here either. */
static void
compare_one(struct comparing *x, size_t i)
{
	const struct php_contact *p = &x->php[i];
	const struct esp_contact *n = &x->native[i];
	const struct esp_field *f;

	if (!p->ok || !x->built[i]) {
		if (p->ok != x->built[i])
			put_pair(x, x->ids[i], SLICE_LIT("(contact)"),
			    p->ok ? &p->email : NULL,
			    x->built[i] ? &n->email : NULL);
		return;
	}
	put_pair(x, x->ids[i], SLICE_LIT("email"), &p->email, &n->email);
	put_pair(x, x->ids[i], SLICE_LIT("name"), &p->name, &n->name);
	for (size_t k = 0; k < p->nfields; k++) {
		f = field_of(n->fields, n->nfields, p->fields[k].name);
		put_pair(x, x->ids[i], p->fields[k].name, &p->fields[k].value,
		    f ? &f->value : NULL);
	}
	for (size_t k = 0; k < n->nfields; k++)
		if (!field_of(p->fields, p->nfields, n->fields[k].name))
			put_pair(x, x->ids[i], n->fields[k].name, NULL,
			    &n->fields[k].value);
}

static enum rc
record(struct comparing *x, struct err *err)
{
	struct place *p = x->v->place;
	char digest[65];

	/* Nobody was there to be compared: nothing is known. */
	if (json_array_size(x->out->rows) == 0)
		return RC_OK;
	contact_map_digest(&x->v->newspack, x->of, digest);
	return contact_compare_write(p->db, &p->scope, p->blog_id,
	    slice_str(x->of->id), digest, !x->out->differ, err);
}

static void
tell(const struct comparing *x)
{
	const struct ctl *c = x->c;

	if (json_array_size(x->out->rows) == 0)
		ctl_notice(c, "no reader could be compared; name one: --user");
	else if (x->out->differ)
		ctl_notice(c,
		    "they differ: payload = native is refused, PHP makes the "
		    "contacts");
	else
		ctl_notice(c,
		    "equal for %zu readers: payload = native may be used "
		    "until [fields %s/%s] or Newspack's settings change",
		    x->n, c->sites[0]->name, x->of->id);
}

static int
compare(struct comparing *x)
{
	struct err err = ERR_INIT;
	int status;
	enum rc rc;

	if (!x->of->config || x->of->config->nfields == 0)
		return ctl_fail(x->c, EXIT_CONFIG,
		    "there is no [fields %s/%s] in the configuration: nothing "
		    "to compare",
		    x->c->sites[0]->name, x->of->id);
	status = choose(x);
	if (status != EXIT_DONE)
		return status;
	rc = prepare_php(x, &err);
	if (rc == RC_OK)
		rc = prepare_native(x, &err);
	for (size_t i = 0; i < x->n && rc == RC_OK; i++)
		compare_one(x, i);
	if (rc == RC_OK)
		rc = record(x, &err);
	if (rc != RC_OK)
		return ctl_error(x->c, &err);
	tell(x);
	return EXIT_DONE;
}

static int
fields(const struct ctl *c, struct contacts_view *v, void *arg)
{
	struct comparing x = { .c = c,
		.v = v,
		.arena = ARENA_INIT(CONTACTS_ARENA_MAX),
		.out = arg };
	struct err err = ERR_INIT;
	int status = EXIT_DONE;

	x.of = contacts_integration(c, v, c->args[0]);
	if (!x.of)
		return EXIT_CONFIG;
	if (c->opts.compare)
		status = compare(&x);
	else if (list_fields(arg, v, x.of, &err) != RC_OK)
		status = ctl_error(c, &err);
	arena_clear(&x.arena);
	return status;
}

/* Which of the columns are shown depends on what was asked for. */
static void
choose_columns(struct ctl *c)
{
	const char *const *from =
	    c->opts.compare ? compare_shown : fields_shown;

	if (c->opts.fields || c->opts.field)
		return;
	c->out.nfields =
	    c->opts.compare ? NELEMS(compare_shown) : NELEMS(fields_shown);
	memcpy(c->out.fields, from, c->out.nfields * sizeof *from);
}

int
cmd_integration_fields(struct ctl *c)
{
	struct fields x = { .rows = NULL };
	int status;

	if (c->opts.user && !c->opts.compare)
		return ctl_fail(c, EXIT_USAGE, "--user is for --compare");
	choose_columns(c);
	x.rows = json_array();
	status = contacts_each(c, fields, &x);
	if (status == EXIT_DONE)
		return ctl_print_rows(
		    c, x.rows, x.differ ? EXIT_SOME_FAILED : EXIT_DONE);
	json_decref(x.rows);
	return status;
}
