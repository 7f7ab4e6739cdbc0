#include "contacts.h"

#include "blogs.h"
#include "executors/esp/esp.h"

/* ---- a blog ------------------------------------------------------------- */

enum rc
contacts_open(const struct ctl *c, struct place *p, struct contacts_view *v,
    struct err *err)
{
	enum rc rc;

	*v = (struct contacts_view){ .place = p };
	rc = newspack_read(p->site, &p->facts, c->config, p->db, &p->scope,
	    p->blog_id, &v->newspack, err);
	if (rc == RC_OK)
		rc = work_open(c, p, &v->work, err);
	v->env = v->work.env;
	v->standing = v->env.standing;
	return rc;
}

void
contacts_close(struct contacts_view *v)
{
	newspack_clear(&v->newspack);
}

struct each {
	contacts_fn *fn;
	void *arg;
};

static int
on_blog(const struct ctl *c, struct place *p, void *arg)
{
	const struct each *e = arg;
	struct contacts_view v;
	struct err err = ERR_INIT;
	int status;

	if (contacts_open(c, p, &v, &err) == RC_OK)
		status = e->fn(c, &v, e->arg);
	else
		status = ctl_error(c, &err);
	contacts_close(&v);
	return status;
}

int
contacts_each(const struct ctl *c, contacts_fn *fn, void *arg)
{
	struct each e = { .fn = fn, .arg = arg };

	return blogs_each(c, NEED_OWN, on_blog, &e);
}

/* ---- what the commands share -------------------------------------------- */

int
contacts_find(const struct ctl *c, struct contacts_view *v, const char *who,
    struct arena *a, struct contact_user *out)
{
	struct place *p = v->place;
	struct err err = ERR_INIT;
	enum rc rc;

	*out = (struct contact_user){ .id = 0 };
	rc = contact_user_find(p->db, &p->scope, slice_str(who), a, out, &err);
	if (rc != RC_OK && rc != RC_NONE)
		return ctl_error(c, &err);
	if (rc == RC_NONE || out->id == 0)
		return ctl_fail(c, EXIT_SOME_FAILED,
		    "no user has the id, login or address \"%s\"", who);
	return EXIT_DONE;
}

const struct newspack_integration *
contacts_integration(
    const struct ctl *c, const struct contacts_view *v, const char *id)
{
	const struct newspack_integration *i =
	    newspack_find(&v->newspack, slice_str(id));

	if (!i)
		ctl_fail(c, EXIT_CONFIG,
		    "there is no enabled integration \"%s\"; `wp-cronctl "
		    "integration list` shows them",
		    id);
	return i;
}

const char *
contacts_held(const struct contacts_view *v, const char **remedy)
{
	return contact_held(
	    v->place->site->config, &v->newspack, v->standing, remedy);
}

unsigned
contacts_directions(const struct ctl *c)
{
	const struct ctl_options *o = &c->opts;

	if (o->pull == o->push)
		return 1u << CONTACT_PULL | 1u << CONTACT_PUSH;
	return o->pull ? 1u << CONTACT_PULL : 1u << CONTACT_PUSH;
}

void
row_masked(json_t *row, const char *name, struct slice email)
{
	char text[64];

	esp_mask(email, text);
	row_text(row, name, text);
}

int64_t
contacts_flag_time(struct slice value)
{
	int64_t t;

	return slice_i64(slice_trim(value), &t) ? t : INT64_MIN;
}
