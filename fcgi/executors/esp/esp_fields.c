#include "executors/esp/esp_fields.h"

#include <stdlib.h>

#include "base/xalloc.h"

#define NAME_MAX_BYTES 255

void
esp_fields_clear(struct esp_fields *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->rows[i].name);
		free(f->rows[i].id);
		free(f->rows[i].kind);
		free(f->rows[i].key);
	}
	free(f->rows);
	*f = (struct esp_fields){ 0 };
}

bool
esp_fields_is_fresh(const struct esp_fields *f, const struct clock *c)
{
	return f->read && clock_mono(c) - f->read_at < ESP_FIELDS_KEEP_MS;
}

void
esp_fields_mark(struct esp_fields *f, const struct clock *c)
{
	f->read = true;
	f->read_at = clock_mono(c);
}

void
esp_fields_put(struct esp_fields *f, struct slice name, struct slice id,
    struct slice kind, struct slice key)
{
	struct esp_fields_row *row;

	if (name.n == 0 || name.n > NAME_MAX_BYTES || id.n > NAME_MAX_BYTES ||
	    kind.n > NAME_MAX_BYTES || key.n > NAME_MAX_BYTES ||
	    f->n >= ESP_FIELDS_MAX || esp_fields_find(f, name))
		return;
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->rows = xrealloc(f->rows, f->cap, sizeof f->rows[0]);
	}
	row = &f->rows[f->n++];
	row->name = xstrndup(name);
	row->id = xstrndup(id);
	row->kind = xstrndup(kind);
	row->key = xstrndup(key);
}

const struct esp_fields_row *
esp_fields_find(const struct esp_fields *f, struct slice name)
{
	for (size_t i = 0; i < f->n; i++)
		if (slice_eq_str(name, f->rows[i].name))
			return &f->rows[i];
	return NULL;
}

const struct esp_fields_row *
esp_fields_find_id(const struct esp_fields *f, struct slice id)
{
	for (size_t i = 0; id.n > 0 && i < f->n; i++)
		if (slice_eq_str(id, f->rows[i].id))
			return &f->rows[i];
	return NULL;
}

static enum rc
make(const struct esp_fields_maker *m, struct slice label, struct slice name,
    bool *reread, struct arena *a, struct err *err)
{
	enum rc rc = m->create(m->arg, label, name, a, err);

	/* Whether it is there now is not known. */
	if (rc != RC_OK)
		m->fields->read = rc == RC_NONE && *reread;
	if (rc != RC_NONE)
		return rc;
	if (!*reread) {
		*reread = true;
		rc = m->read(m->arg, a, err);
		if (rc != RC_OK)
			return rc;
	}
	esp_fields_put(m->fields, name, SLICE_NONE, SLICE_NONE, SLICE_NONE);
	return RC_OK;
}

enum rc
esp_fields_ensure(const struct esp_fields_maker *m,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err)
{
	char room[NAME_MAX_BYTES];
	bool reread = false;
	enum rc rc = m->read(m->arg, a, err);

	for (size_t i = 0; rc == RC_OK && i < n; i++)
		for (size_t k = 0; rc == RC_OK && k < contacts[i].nfields;
		     k++) {
			struct slice label = contacts[i].fields[k].name;
			struct slice name = m->name(m->arg, label, room);

			if (name.n > 0 && !esp_fields_find(m->fields, name))
				rc = make(m, label, name, &reread, a, err);
		}
	return rc;
}

enum rc
esp_fields_list(const struct esp_fields *f, bool keys, struct arena *a,
    struct esp_field **out, size_t *n, struct err *err)
{
	struct esp_field *list = arena_array(a, f->n + 1, sizeof *list);

	*n = 0;
	*out = list;
	for (size_t i = 0; list && i < f->n; i++) {
		const struct esp_fields_row *row = &f->rows[i];

		if (row->id[0] == '\0')
			continue;
		list[*n].value = arena_slice(a, slice_str(row->name));
		list[*n].name =
		    keys ? arena_slice(a, slice_str(row->key)) : list[*n].value;
		(*n)++;
	}
	return a->failed ? err_set(err, RC_RETRY, "no memory") : RC_OK;
}
