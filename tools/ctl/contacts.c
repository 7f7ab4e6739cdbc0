#include "contacts.h"

#include <sys/random.h>

#include "blogs.h"
#include "executors/esp/esp.h"

/* ---- a blog ------------------------------------------------------------- */

static bool
is_stopping(void *arg)
{
	const struct contacts_view *v = arg;
	const struct timespec now = { .tv_sec = 0 };

	return sigtimedwait(&v->signals, NULL, &now) > 0;
}

/* One thread works here, and asks PHP for one thing after the other. */
static bool
php_enter(void *arg, uint32_t wait_ms)
{
	(void)arg;
	(void)wait_ms;
	return true;
}

static void
php_leave(void *arg)
{
	(void)arg;
}

static void
block_signals(struct contacts_view *v)
{
	sigemptyset(&v->signals);
	sigaddset(&v->signals, SIGINT);
	sigaddset(&v->signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &v->signals, NULL);
}

enum rc
contacts_open(const struct ctl *c, struct place *p, struct contacts_view *v,
    struct err *err)
{
	uint64_t self = 0;
	enum rc rc;

	*v = (struct contacts_view){ .place = p };
	rc = newspack_read(p->site, &p->facts, c->config, p->db, &p->scope,
	    p->blog_id, &v->newspack, err);
	if (rc == RC_OK)
		rc = site_standing_read(
		    p->site, &p->facts, p->db, &p->scope, &v->standing, err);
	/* Leases are a node's; this process has no row among them. */
	if (rc == RC_OK && getrandom(&self, sizeof self, 0) != sizeof self)
		rc = err_set(err, RC_FATAL, "the kernel has no randomness");
	if (rc != RC_OK)
		return rc;
	block_signals(v);
	v->env = (struct work_env){
		.config = c->config,
		.site = p->site,
		.blog_id = p->blog_id,
		.siteurl = p->facts.siteurl,
		.facts = &p->facts,
		.standing = v->standing,
		.db = p->db,
		.scope = p->scope,
		.actions = p->actions ? p->queue : NULL,
		.node_id = self >> 1 | 1,
		.clock = &clock_system,
		.arg = v,
		.stopping = is_stopping,
		.php_enter = php_enter,
		.php_leave = php_leave,
	};
	return RC_OK;
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
