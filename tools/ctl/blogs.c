#include "blogs.h"

#include <stdlib.h>

#include "base/xalloc.h"

void
blogs_clear(struct blogs *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->items[i].domain);
		free(b->items[i].path);
	}
	free(b->items);
	*b = (struct blogs){ .n = 0 };
}

static void
add(struct blogs *b, uint64_t id, struct slice domain, struct slice path)
{
	b->items = xrealloc(b->items, b->n + 1, sizeof *b->items);
	b->items[b->n++] = (struct blog){
		.id = (uint32_t)id,
		.domain = xstrndup(domain),
		.path = xstrndup(path),
	};
}

enum rc
blogs_read(struct place *p, struct blogs *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	*out = (struct blogs){ .n = 0 };
	if (!p->site->multisite) {
		add(out, PLACE_BLOG, SLICE_NONE, SLICE_NONE);
		return RC_OK;
	}
	rc = db_select(
	    p->db, &p->scope, SQL_NETWORK_BLOGS, SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		if (db_u64(rows, 0) > 0 && db_u64(rows, 0) <= UINT32_MAX)
			add(out, db_u64(rows, 0), db_text(rows, 1),
			    db_text(rows, 2));
	db_rows_free(rows);
	return rc;
}

/* The path of a blog has a slash at both ends, a URL's need not. */
static bool
begins_with_path(struct slice path, struct slice blog)
{
	if (slice_starts(path, blog))
		return true;
	return blog.n == path.n + 1 &&
	       slice_eq(slice_mem(blog.p, path.n), path);
}

const struct blog *
blogs_find(const struct blogs *b, struct slice url)
{
	const struct blog *best = NULL;
	struct slice host, path;
	size_t at;

	for (at = 0; at + 3 <= url.n; at++)
		if (slice_starts(slice_from(url, at), SLICE_LIT("://")))
			break;
	if (at + 3 <= url.n)
		url = slice_from(url, at + 3);
	host = slice_mem(url.p, slice_find(url, '/'));
	path = slice_from(url, host.n);
	if (path.n == 0)
		path = SLICE_LIT("/");
	for (size_t i = 0; i < b->n; i++) {
		const struct blog *x = &b->items[i];

		if (slice_eq_nocase(host, slice_str(x->domain)) &&
		    begins_with_path(path, slice_str(x->path)) &&
		    (!best || slice_str(x->path).n > slice_str(best->path).n))
			best = x;
	}
	return best;
}

int
blogs_choose(struct place *p, const struct ctl *c)
{
	const struct blog *blog = NULL;
	struct blogs blogs;
	struct err err = ERR_INIT;
	int status = EXIT_DONE;
	enum rc rc;

	if (!c->opts.url || !p->site->multisite)
		return EXIT_DONE;
	rc = blogs_read(p, &blogs, &err);
	if (rc == RC_OK)
		blog = blogs_find(&blogs, slice_str(c->opts.url));
	if (rc == RC_OK && blog)
		rc = place_turn(p, blog->id, &err);
	if (rc != RC_OK)
		status = ctl_error(c, &err);
	else if (!blog)
		status = ctl_fail(c, EXIT_USAGE,
		    "no blog of this network has the URL %s; `wp-cronctl site "
		    "list` shows them",
		    c->opts.url);
	blogs_clear(&blogs);
	return status;
}

static int
walk(const struct ctl *c, struct place *p, blog_fn *fn, void *arg)
{
	struct blogs blogs;
	struct err err = ERR_INIT;
	int worst = EXIT_DONE, status;

	if (blogs_read(p, &blogs, &err) != RC_OK)
		worst = ctl_error(c, &err);
	for (size_t i = 0; i < blogs.n && worst <= EXIT_SOME_FAILED; i++) {
		status = place_turn(p, blogs.items[i].id, &err) == RC_OK
			     ? fn(c, p, arg)
			     : ctl_error(c, &err);
		if (status > worst)
			worst = status;
	}
	blogs_clear(&blogs);
	return worst;
}

int
blogs_each(const struct ctl *c, unsigned needs, blog_fn *fn, void *arg)
{
	struct err err = ERR_INIT;
	struct place p;
	int status;

	if (place_open(&p, c->sites[0], &err) != RC_OK)
		status = ctl_error(c, &err);
	else if ((needs & NEED_OWN) && !p.own)
		status = ctl_fail(c, EXIT_CONFIG,
		    "the tables %swpcron_* are not there; `wp-cronctl install` "
		    "creates them",
		    p.scope.base);
	else if (c->opts.network && !p.site->multisite)
		status = ctl_fail(
		    c, EXIT_USAGE, "this is not a multisite installation");
	else if (c->opts.network)
		status = walk(c, &p, fn, arg);
	else
		status = blogs_choose(&p, c);
	if (status == EXIT_DONE && !c->opts.network)
		status = fn(c, &p, arg);
	place_close(&p);
	return status;
}
