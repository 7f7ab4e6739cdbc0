/* integration list, integration test */
#include <stdlib.h>
#include <string.h>

#include "executors/php_contacts.h"
#include "integrations.h"

const char *const integration_list_columns[] = { "id", "provider", "set_up",
	"push", "pull", "list", "payload", "share", "why", "", "status_if_new",
	"prefix", "incoming", "api", "fingerprints", "url", NULL };
const char *const integration_test_columns[] = { "id", "provider", "ok", "what",
	"", "url", NULL };

static const char *
payload_name(const struct newspack_integration *i)
{
	if (strcmp(i->provider, "php") == 0 || !i->config)
		return "php";
	return i->config->payload == PAYLOAD_NATIVE ? "native" : "php";
}

/* ---- list --------------------------------------------------------------- */

static json_t *
list_row(const struct contacts_view *v, const struct newspack_integration *i)
{
	json_t *row = json_object(), *incoming = json_array();

	row_text(row, "id", i->id);
	row_text(row, "provider", *i->provider ? i->provider : NULL);
	row_bool(row, "set_up", i->set_up);
	row_bool(row, "push", i->push);
	row_bool(row, "pull", i->pull);
	row_text(row, "list", i->list);
	row_text(row, "payload", payload_name(i));
	/* Without a section: the option's default. */
	row_int(row, "share", i->config ? i->config->share : 60);
	row_text(row, "why", i->set_up ? NULL : i->why);
	row_text(row, "status_if_new", i->status_if_new);
	row_text(row, "prefix", i->prefix);
	for (size_t k = 0; k < i->nincoming; k++)
		(void)json_array_append_new(
		    incoming, output_text(i->incoming[k]));
	(void)json_object_set_new(row, "incoming", incoming);
	row_text(row, "api", i->api);
	row_bool(row, "fingerprints", !i->config || i->config->fingerprints);
	row_text(row, "url", v->place->facts.home);
	return row;
}

static int
list(const struct ctl *c, struct contacts_view *v, void *arg)
{
	const struct newspack *n = &v->newspack;
	const char *remedy, *held = contacts_held(v, &remedy);

	if (held)
		ctl_notice(c, "nothing leaves: %s; %s", held, remedy);
	for (size_t i = 0; i < n->n; i++)
		(void)json_array_append_new(
		    arg, list_row(v, &n->integrations[i]));
	return EXIT_DONE;
}

int
cmd_integration_list(struct ctl *c)
{
	json_t *rows = json_array();
	int status = contacts_each(c, list, rows);

	if (status == EXIT_DONE)
		return ctl_print_rows(c, rows, EXIT_DONE);
	json_decref(rows);
	return status;
}

/* ---- test --------------------------------------------------------------- */

#define WORDS_MAX ((size_t)1 << 20)

/* The provider's own words of key and list. */
static enum rc
test_native(struct contacts_view *v, const struct newspack_integration *i,
    struct buf *words, struct err *err)
{
	struct arena a = ARENA_INIT(CONTACTS_ARENA_MAX);
	struct slice text = SLICE_NONE;
	struct integration_esp x;
	enum rc rc = integration_open(v, i, &x, err);

	if (rc == RC_OK)
		rc = integration_rc(
		    &x, x.esp->ops->test(x.esp, &a, &text, err), err);
	buf_put_slice(words, text);
	integration_close(&x);
	arena_clear(&a);
	return rc;
}

static const json_t *
described(const json_t *all, const char *id)
{
	const json_t *list = json_object_get(all, "integrations");

	for (size_t k = 0; k < json_array_size(list); k++) {
		const json_t *one = json_array_get(list, k);
		const char *name =
		    json_string_value(json_object_get(one, "id"));

		if (name && strcmp(name, id) == 0)
			return one;
	}
	return NULL;
}

static enum rc
judge_php(const json_t *all, const struct newspack_integration *i,
    struct buf *words, struct err *err)
{
	const json_t *one = described(all, i->id);
	const json_t *can = json_object_get(all, "can_sync");
	const char *name = json_string_value(json_object_get(one, "name"));
	const char *why = json_string_value(json_object_get(can, "message"));

	if (!one)
		return err_set(
		    err, RC_REJECT, "PHP has no integration \"%s\"", i->id);
	if (!json_is_true(json_object_get(one, "set_up")))
		return err_set(err, RC_REJECT, "PHP says that %s is not set up",
		    name ? name : i->id);
	if (!json_is_true(json_object_get(can, "ok")))
		return err_set(err, RC_REJECT, "PHP says: %s",
		    why ? why : "it cannot sync");
	buf_printf(words, "PHP has it set up: %s", name ? name : i->id);
	return RC_OK;
}

/* Only the plugin's class knows it: whether PHP finds it in order. */
static enum rc
test_php(const struct contacts_view *v, const struct newspack_integration *i,
    struct buf *words, struct err *err)
{
	struct php_executor_opts opts;
	char *text = NULL;
	json_t *all = NULL;
	enum rc rc = integration_php(v, &opts, err);

	if (rc == RC_OK)
		rc = php_contacts_describe(
		    &opts, INTEGRATION_PHP_MS, &text, err);
	if (rc == RC_OK)
		all = json_loads(text, 0, NULL);
	if (rc == RC_OK && !all)
		rc = err_set(err, RC_RETRY, "PHP's answer is no JSON");
	if (rc == RC_OK)
		rc = judge_php(all, i, words, err);
	json_decref(all);
	free(text);
	return rc;
}

struct testing {
	json_t *rows;
	int worst;
};

static int
status_of(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return EXIT_DONE;
	case RC_RETRY:
	case RC_AGAIN:
		return EXIT_UNAVAILABLE;
	case RC_NONE:
	case RC_REJECT:
		return EXIT_CONFIG;
	case RC_FATAL:
		break;
	}
	return EXIT_BUG;
}

static void
test_one(struct testing *t, struct contacts_view *v,
    const struct newspack_integration *i)
{
	struct buf words = BUF_INIT(WORDS_MAX);
	json_t *row = json_object();
	struct err err = ERR_INIT;
	enum rc rc = strcmp(i->provider, "php") == 0
			 ? test_php(v, i, &words, &err)
			 : test_native(v, i, &words, &err);

	row_text(row, "id", i->id);
	row_text(row, "provider", *i->provider ? i->provider : NULL);
	row_bool(row, "ok", rc == RC_OK);
	if (rc == RC_OK)
		row_slice(row, "what", buf_slice(&words));
	else
		row_text(row, "what", err.text);
	row_text(row, "url", v->place->facts.home);
	(void)json_array_append_new(t->rows, row);
	if (status_of(rc) > t->worst)
		t->worst = status_of(rc);
	buf_clear(&words);
}

static int
test(const struct ctl *c, struct contacts_view *v, void *arg)
{
	const struct newspack *n = &v->newspack;
	const struct newspack_integration *i;
	struct testing *t = arg;

	if (!n->plugin)
		return ctl_fail(c, EXIT_CONFIG,
		    "the Newspack plugin is not active on this blog");
	for (size_t k = 0; k < n->n && c->nargs == 0; k++)
		test_one(t, v, &n->integrations[k]);
	if (c->nargs == 0)
		return n->n > 0 ? EXIT_DONE
				: ctl_fail(c, EXIT_CONFIG,
				      "no integration is enabled in Newspack");
	i = contacts_integration(c, v, c->args[0]);
	if (!i)
		return EXIT_CONFIG;
	test_one(t, v, i);
	return EXIT_DONE;
}

int
cmd_integration_test(struct ctl *c)
{
	struct testing t = { .rows = json_array() };
	int status = contacts_each(c, test, &t);

	if (status == EXIT_DONE)
		return ctl_print_rows(c, t.rows, (enum ctl_exit)t.worst);
	json_decref(t.rows);
	return status;
}
