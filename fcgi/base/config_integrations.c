#include <string.h>

#include "base/config_private.h"

/* Of an integration; ids are words such as "esp". */
#define ID_MAX 64

/* "SITE/ID" of a section's heading. */
static enum rc
read_name(const struct config *c, const struct config_ini_section *s,
    struct slice *site, struct slice *id, struct err *err)
{
	struct slice name = slice_str(s->name);
	size_t slash = slice_find(name, '/');

	*site = slice_mem(name.p, slash);
	*id = slash < name.n ? slice_from(name, slash + 1) : SLICE_LIT("");
	if (site->n == 0 || id->n == 0 || id->n > ID_MAX ||
	    slice_find(*id, '/') < id->n)
		return config_fail(c, s->line, err,
		    "[%s SITE/ID] names a site and one of its integrations, "
		    "for instance [%s %s/esp]",
		    s->kind, s->kind, c->sites[0].name);
	return RC_OK;
}

/* The section's entry in the table, added when it is the first of its name. */
static enum rc
find_or_add(struct config *c, const struct config_ini_section *s,
    struct config_integration **out, struct err *err)
{
	struct config_integration *i;
	struct slice site, id;
	enum rc rc = read_name(c, s, &site, &id, err);
	const char *site_name, *id_name;

	if (rc != RC_OK)
		return rc;
	site_name = arena_strdup(&c->private->arena, site);
	id_name = arena_strdup(&c->private->arena, id);
	if (!site_name || !id_name)
		return config_fail(c, 0, err, "the file is too large");
	rc = config_check_site(c, site_name, s->line, err);
	if (rc != RC_OK)
		return rc;
	for (size_t k = 1; k < c->nintegrations; k++) {
		i = &c->integrations[k];
		if (strcmp(i->site, site_name) == 0 &&
		    strcmp(i->id, id_name) == 0) {
			*out = i;
			return RC_OK;
		}
	}
	i = &c->integrations[c->nintegrations++];
	i->site = site_name;
	i->id = id_name;
	*out = i;
	return config_options_preset(
	    OPTION_INTEGRATION, i, &c->private->arena, err);
}

static enum rc
add_integration(
    struct config *c, const struct config_ini_section *s, struct err *err)
{
	struct config_integration *i = NULL;
	uint64_t set = 0;
	enum rc rc = find_or_add(c, s, &i, err);

	if (rc != RC_OK || !i)
		return rc;
	if (i->line > 0)
		return config_fail(c, s->line, err,
		    "a second [integration %s/%s], the first is on line %u",
		    i->site, i->id, i->line);
	i->line = s->line;
	return config_fill(c, OPTION_INTEGRATION, s, i, &set, err);
}

static bool
is_source(const char *text)
{
	static const char *const whole[] = { "user:id", "user:email",
		"user:login", "user:name", "user:registered", "user:url",
		"role" };
	struct slice s = slice_str(text);

	for (size_t k = 0; k < NELEMS(whole); k++)
		if (slice_eq_str(s, whole[k]))
			return true;
	return (slice_starts(s, SLICE_LIT("meta:")) ||
		   slice_starts(s, SLICE_LIT("text:"))) &&
	       s.n > 5;
}

static enum rc
add_fields(
    struct config *c, const struct config_ini_section *s, struct err *err)
{
	struct config_integration *i = NULL;
	struct config_field *fields;
	enum rc rc = find_or_add(c, s, &i, err);
	size_t n = 0;

	if (rc != RC_OK || !i)
		return rc;
	if (i->fields)
		return config_fail(
		    c, s->line, err, "a second [fields %s/%s]", i->site, i->id);
	fields =
	    arena_array(&c->private->arena, s->nentries + 1, sizeof *fields);
	if (!fields)
		return config_fail(c, 0, err, "the file is too large");
	for (const struct config_ini_entry *e = s->first; e; e = e->next) {
		for (size_t k = 0; k < n; k++)
			if (strcmp(fields[k].label, e->key) == 0)
				return config_fail(
				    c, e->line, err, "%s is set twice", e->key);
		if (!is_source(e->value))
			return config_fail(c, e->line, err,
			    "unknown source \"%s\"; there are user:id, "
			    "user:email, user:login, user:name, "
			    "user:registered, user:url, role, meta:KEY and "
			    "text:WORDS",
			    e->value);
		fields[n++] = (struct config_field){ .label = e->key,
			.source = e->value };
	}
	i->fields = fields;
	i->nfields = n;
	return RC_OK;
}

enum rc
config_integrations_build(struct config *c,
    const struct config_ini_section *sections, struct err *err)
{
	const struct config_ini_section *s;
	size_t n = 0;
	enum rc rc = RC_OK;

	for (s = sections; s; s = s->next)
		n += strcmp(s->kind, "integration") == 0 ||
		     strcmp(s->kind, "fields") == 0;
	c->integrations =
	    arena_array(&c->private->arena, n + 1, sizeof *c->integrations);
	if (!c->integrations)
		return config_fail(c, 0, err, "the file is too large");
	/* The first is what holds where there is no section. */
	c->integrations[c->nintegrations++] =
	    (struct config_integration){ .site = "", .id = "" };
	rc = config_options_preset(
	    OPTION_INTEGRATION, c->integrations, &c->private->arena, err);
	for (s = sections; s && rc == RC_OK; s = s->next) {
		if (strcmp(s->kind, "integration") == 0)
			rc = add_integration(c, s, err);
		else if (strcmp(s->kind, "fields") == 0)
			rc = add_fields(c, s, err);
	}
	return rc;
}

const struct config_integration *
config_integration(const struct config *c, const char *site, struct slice id)
{
	for (size_t k = 1; k < c->nintegrations; k++)
		if (strcmp(c->integrations[k].site, site) == 0 &&
		    slice_eq_str(id, c->integrations[k].id))
			return &c->integrations[k];
	return c->integrations;
}
