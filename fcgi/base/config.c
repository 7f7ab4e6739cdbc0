#include "base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config_private.h"
#include "base/errno_text.h"
#include "base/xalloc.h"

/* A file of 4096 entries is well below. */
#define FILE_MAX_LEN ((size_t)256 * 1024)
#define ARENA_MAX_LEN ((size_t)8 * 1024 * 1024)
#define EXAMPLE_MAX_LEN ((size_t)64 * 1024)

enum rc
config_fail(const struct config *c, unsigned line, struct err *err,
    const char *fmt, ...)
{
	struct buf text = BUF_INIT(ERR_TEXT_MAX);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (c->path && line > 0)
		err_set(
		    err, RC_REJECT, "%s:%u: %s", c->path, line, buf_str(&text));
	else if (c->path)
		err_set(err, RC_REJECT, "%s: %s", c->path, buf_str(&text));
	else
		err_set(err, RC_REJECT, "%s", buf_str(&text));
	buf_clear(&text);
	return RC_REJECT;
}

static enum rc
fail_key(const struct config *c, enum option_section section,
    const struct config_ini_entry *e, struct err *err)
{
	size_t n;
	const struct option *rows = config_options(section, &n);
	const char *near =
	    config_nearest(slice_str(e->key), &rows->name, n, sizeof *rows);

	return config_fail(c, e->line, err, "unknown key \"%s\" in [%s]%s%s%s",
	    e->key, config_section_name(section), near ? "; did you mean " : "",
	    near ? near : "", near ? "?" : "");
}

static enum rc
fill_one(struct config *c, enum option_section section,
    const struct config_ini_entry *e, void *base, uint64_t *set,
    struct err *err)
{
	size_t n, i = 0;
	const struct option *rows = config_options(section, &n);
	struct err why = ERR_INIT;
	enum rc rc;

	while (i < n && strcmp(rows[i].name, e->key) != 0)
		i++;
	if (i == n)
		return fail_key(c, section, e, err);
	if (*set & (UINT64_C(1) << i))
		return config_fail(c, e->line, err, "%s is set twice", e->key);
	rc = config_option_set(
	    &rows[i], base, slice_str(e->value), &c->private->arena, &why);
	if (rc != RC_OK)
		return config_fail(c, e->line, err, "%s %s", e->key, why.text);
	*set |= UINT64_C(1) << i;
	return RC_OK;
}

enum rc
config_fill(struct config *c, enum option_section section,
    const struct config_ini_section *from, void *base, uint64_t *set,
    struct err *err)
{
	const struct config_ini_entry *e;
	enum rc rc = RC_OK;

	for (e = from->first; e && rc == RC_OK; e = e->next)
		rc = fill_one(c, section, e, base, set, err);
	return rc;
}

enum rc
config_check_site(
    const struct config *c, const char *name, unsigned line, struct err *err)
{
	const char *near;

	for (size_t i = 0; i < c->nsites; i++)
		if (strcmp(c->sites[i].name, name) == 0)
			return RC_OK;
	near = c->nsites == 0 ? NULL
			      : config_nearest(slice_str(name), &c->sites->name,
				    c->nsites, sizeof *c->sites);
	return config_fail(c, line, err, "there is no site \"%s\"%s%s%s", name,
	    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static enum rc
check_kinds(const struct config *c, const struct config_ini_section *sections,
    struct err *err)
{
	static const char *const kinds[] = { "daemon", "site", "route",
		"policy", "integration", "fields", "smtp", "tasks" };

	for (const struct config_ini_section *s = sections; s; s = s->next) {
		const char *near;
		size_t i = 0;

		while (i < NELEMS(kinds) && strcmp(kinds[i], s->kind) != 0)
			i++;
		if (i < NELEMS(kinds))
			continue;
		near = config_nearest(
		    slice_str(s->kind), kinds, NELEMS(kinds), sizeof *kinds);
		return config_fail(c, s->line, err,
		    "unknown section [%s]%s%s%s", s->kind,
		    near ? "; did you mean [" : "", near ? near : "",
		    near ? "]?" : "");
	}
	return RC_OK;
}

static bool
is_set(const char *name, uint64_t set)
{
	size_t n;
	const struct option *rows = config_options(OPTION_DAEMON, &n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, name) == 0)
			return set & (UINT64_C(1) << i);
	return false;
}

/* A default gives way to what the file says; two settings must agree. */
static enum rc
check_daemon(struct config *c, uint64_t set, unsigned line, struct err *err)
{
	struct config_daemon *d = &c->daemon;

	if (!is_set("php_children", set) && d->php_children >= d->workers)
		d->php_children = d->workers - 1;
	if (!is_set("heartbeat", set) &&
	    d->heartbeat_ms > d->node_expiry_ms / 3)
		d->heartbeat_ms = d->node_expiry_ms / 3;
	if (d->php_children >= d->workers)
		return config_fail(c, line, err,
		    "php_children must be less than workers: one is kept for "
		    "native work");
	if (d->heartbeat_ms > d->node_expiry_ms / 2)
		return config_fail(c, line, err,
		    "heartbeat must be half of node_expiry at most");
	return RC_OK;
}

static enum rc
build_daemon(struct config *c, const struct config_ini_section *sections,
    struct err *err)
{
	const struct config_ini_section *s, *first = NULL;
	uint64_t set = 0;
	enum rc rc = config_options_preset(
	    OPTION_DAEMON, &c->daemon, &c->private->arena, err);

	for (s = sections; s && rc == RC_OK; s = s->next) {
		if (strcmp(s->kind, "daemon") != 0)
			continue;
		if (first)
			return config_fail(c, s->line, err,
			    "a second [daemon], the first is on line %u",
			    first->line);
		if (*s->name)
			return config_fail(
			    c, s->line, err, "[daemon] has no name");
		first = s;
		rc = config_fill(c, OPTION_DAEMON, s, &c->daemon, &set, err);
	}
	if (rc != RC_OK)
		return rc;
	return check_daemon(c, set, first ? first->line : 0, err);
}

static bool
is_site_name(const char *s)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return *s && s[strspn(s, good)] == '\0' && strlen(s) <= 64;
}

static enum rc
add_site(struct config *c, const struct config_ini_section *s, struct err *err)
{
	struct config_site *site = &c->sites[c->nsites];
	uint64_t set = 0;
	enum rc rc;

	if (!is_site_name(s->name))
		return config_fail(c, s->line, err,
		    "[site NAME] needs a name of letters, digits, _ . and -");
	for (size_t i = 0; i < c->nsites; i++)
		if (strcmp(c->sites[i].name, s->name) == 0)
			return config_fail(
			    c, s->line, err, "a second [site %s]", s->name);
	site->name = s->name;
	rc = config_options_preset(OPTION_SITE, site, &c->private->arena, err);
	if (rc == RC_OK)
		rc = config_fill(c, OPTION_SITE, s, site, &set, err);
	if (rc == RC_OK)
		c->nsites++;
	return rc;
}

static enum rc
build_sites(struct config *c, const struct config_ini_section *sections,
    struct err *err)
{
	const struct config_ini_section *s;
	size_t n = 1;
	enum rc rc;

	for (s = sections; s; s = s->next)
		n += strcmp(s->kind, "site") == 0;
	c->sites = arena_array(&c->private->arena, n, sizeof *c->sites);
	if (!c->sites)
		return config_fail(c, 0, err, "the file is too large");
	for (s = sections; s; s = s->next) {
		if (strcmp(s->kind, "site") != 0)
			continue;
		rc = add_site(c, s, err);
		if (rc != RC_OK)
			return rc;
	}
	if (c->nsites > 0)
		return RC_OK;
	c->sites[0].name = "default";
	c->nsites = 1;
	return config_options_preset(
	    OPTION_SITE, &c->sites[0], &c->private->arena, err);
}

/* The same directory, by whatever path. */
static bool
same_directory(const char *a, const char *b)
{
	struct stat sa, sb;

	if (strcmp(a, b) == 0)
		return true;
	return stat(a, &sa) == 0 && stat(b, &sb) == 0 &&
	       sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* --root picks one site: the one with that root, or the only one without. */
static enum rc
choose_site(struct config *c, const char *root, struct err *err)
{
	static const struct option path = { .type = OPTION_PATH };
	struct err why = ERR_INIT;
	const char *dir;
	struct config_site *hit = NULL;

	if (config_option_set(&path, &dir, slice_str(root), &c->private->arena,
		&why) != RC_OK)
		return config_fail(c, 0, err, "the root %s %s", root, why.text);
	for (size_t i = 0; i < c->nsites && !hit; i++)
		if (c->sites[i].root && same_directory(c->sites[i].root, dir))
			hit = &c->sites[i];
	if (!hit && c->nsites == 1 && !c->sites[0].root)
		hit = &c->sites[0];
	if (!hit)
		return config_fail(c, 0, err, "no [site] has root = %s", dir);
	if (!hit->root)
		hit->root = dir;
	c->sites = hit;
	c->nsites = 1;
	return RC_OK;
}

static enum rc
check_roots(const struct config *c, struct err *err)
{
	for (size_t i = 0; i < c->nsites; i++)
		if (!c->sites[i].root)
			return config_fail(c, 0, err,
			    "site %s has no root: set root = DIR in its [site] "
			    "section, or start with --root DIR",
			    c->sites[i].name);
	return RC_OK;
}

static enum rc
build(struct config *c, struct slice text, const char *root, struct err *err)
{
	struct config_ini_section *sections = NULL;
	enum rc rc = config_ini_read(text, c->path ? c->path : "configuration",
	    &c->private->arena, &sections, err);

	if (rc == RC_OK)
		rc = check_kinds(c, sections, err);
	if (rc == RC_OK)
		rc = build_daemon(c, sections, err);
	if (rc == RC_OK)
		rc = build_sites(c, sections, err);
	if (rc == RC_OK)
		rc = config_mail_build(c, sections, err);
	if (rc == RC_OK)
		rc = config_routes_build(c, sections, err);
	if (rc == RC_OK)
		rc = config_policies_build(c, sections, err);
	if (rc == RC_OK)
		rc = config_integrations_build(c, sections, err);
	if (rc != RC_OK)
		return rc;
	return root ? choose_site(c, root, err) : check_roots(c, err);
}

enum rc
config_parse(struct slice text, const char *name, const char *root,
    struct config **out, struct err *err)
{
	struct config *c = xcalloc(1, sizeof *c);
	enum rc rc = RC_OK;

	c->private = xcalloc(1, sizeof *c->private);
	c->private->arena = (struct arena)ARENA_INIT(ARENA_MAX_LEN);
	atomic_init(&c->private->refs, 1);
	if (name) {
		c->path = arena_strdup(&c->private->arena, slice_str(name));
		if (!c->path)
			rc = err_set(err, RC_REJECT, "the path is too long");
	}
	if (rc == RC_OK)
		rc = build(c, text, root, err);
	if (rc != RC_OK) {
		config_unref(c);
		c = NULL;
	}
	*out = c;
	return rc;
}

static enum rc
read_file(const char *path, struct buf *out, struct err *err)
{
	enum rc rc = RC_OK;
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set_code(
		    err, RC_REJECT, errno, "%s: %s", path, ERRNO_TEXT(errno));
	while (n != 0) {
		char chunk[8192];

		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = err_set_code(err, RC_REJECT, errno, "%s: %s", path,
			    ERRNO_TEXT(errno));
			break;
		}
		buf_put(out, chunk, (size_t)n);
	}
	if (rc == RC_OK && out->failed)
		rc = err_set(
		    err, RC_REJECT, "%s: over %zu bytes", path, FILE_MAX_LEN);
	close(fd);
	return rc;
}

enum rc
config_load(
    const char *path, const char *root, struct config **out, struct err *err)
{
	struct buf text = BUF_INIT(FILE_MAX_LEN);
	enum rc rc = RC_OK;

	*out = NULL;
	if (path)
		rc = read_file(path, &text, err);
	if (rc == RC_OK)
		rc = config_parse(buf_slice(&text), path, root, out, err);
	buf_clear(&text);
	return rc;
}

struct config *
config_ref(struct config *c)
{
	atomic_fetch_add_explicit(&c->private->refs, 1, memory_order_relaxed);
	return c;
}

void
config_unref(struct config *c)
{
	if (!c || atomic_fetch_sub(&c->private->refs, 1) != 1)
		return;
	arena_clear(&c->private->arena);
	free(c->private);
	free(c);
}

/* The name of the first option that differs and may not; or NULL. */
static const char *
first_fixed(enum option_section section, const void *a, const void *b)
{
	size_t n;
	const struct option *rows = config_options(section, &n);

	for (size_t i = 0; i < n; i++)
		if (!rows[i].reloadable && !config_option_equal(&rows[i], a, b))
			return rows[i].name;
	return NULL;
}

static const struct config_site *
find_site(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->nsites; i++)
		if (strcmp(c->sites[i].name, name) == 0)
			return &c->sites[i];
	return NULL;
}

const char *
config_needs_restart(const struct config *running, const struct config *fresh)
{
	const char *name =
	    first_fixed(OPTION_DAEMON, &running->daemon, &fresh->daemon);

	if (!name && running->nsites != fresh->nsites)
		name = "[site]";
	for (size_t i = 0; i < running->nsites && !name; i++) {
		const struct config_site *was = &running->sites[i];
		const struct config_site *is = find_site(fresh, was->name);

		name = is ? first_fixed(OPTION_SITE, was, is) : "[site]";
	}
	return name;
}

void
config_print_example(int fd)
{
	struct buf text = BUF_INIT(EXAMPLE_MAX_LEN);
	size_t done = 0;

	config_example(&text);
	while (done < text.n) {
		ssize_t n = write(fd, text.p + done, text.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	buf_clear(&text);
}
