#include "server/roots.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/xalloc.h"

/* A changed symlink is seen after so long. */
#define REMEMBER_MS 1000
/* Folders above a site that may be a document root. */
#define ABOVE_MAX 16

/* One folder a DOCUMENT_ROOT may name, and how to reach the site from it. */
struct root {
	dev_t dev;
	ino_t ino;
	const struct site *site;
	struct slice below; /* "" or "/blog"; in site->root */
};

struct roots {
	struct site *const *sites;
	size_t nsites;
	struct root *table;
	size_t n;
};

static void
add(struct roots *r, const struct site *site, dev_t dev, ino_t ino,
    struct slice below)
{
	r->table = xrealloc(r->table, r->n + 1, sizeof(*r->table));
	r->table[r->n++] = (struct root){
		.dev = dev, .ino = ino, .site = site, .below = below
	};
}

/* The site's own folder and those above it, but for "/". */
static void
add_site(struct roots *r, const struct site *site)
{
	struct slice root = slice_str(site->root);
	struct stat st;
	size_t cut = root.n;
	char *above;

	add(r, site, site->root_dev, site->root_ino, SLICE_LIT(""));
	for (int i = 0; i < ABOVE_MAX; i++) {
		while (cut > 0 && root.p[cut - 1] != '/')
			cut--;
		if (cut <= 1)
			return;
		cut--;
		above = xstrndup(slice_mem(root.p, cut));
		if (stat(above, &st) == 0)
			add(r, site, st.st_dev, st.st_ino,
			    slice_from(root, cut));
		free(above);
	}
}

struct roots *
roots_new(struct site *const *sites, size_t nsites)
{
	struct roots *r = xcalloc(1, sizeof(*r));

	r->sites = sites;
	r->nsites = nsites;
	for (size_t i = 0; i < nsites; i++)
		add_site(r, sites[i]);
	return r;
}

void
roots_free(struct roots *r)
{
	if (!r)
		return;
	free(r->table);
	free(r);
}

static bool
look_at(struct slice path, dev_t *dev, ino_t *ino)
{
	char text[PATH_MAX];
	struct stat st;

	if (path.n == 0 || path.n >= sizeof(text) || path.p[0] != '/')
		return false;
	memcpy(text, path.p, path.n);
	text[path.n] = '\0';
	if (stat(text, &st) != 0 || !S_ISDIR(st.st_mode))
		return false;
	*dev = st.st_dev;
	*ino = st.st_ino;
	return true;
}

static bool
look_at_cached(struct roots_cache *cache, mono_ms now, struct slice path,
    dev_t *dev, ino_t *ino)
{
	size_t slot = cache->next;

	if (path.n == 0 || path.n > ROOTS_CACHE_PATH)
		return look_at(path, dev, ino);
	for (size_t i = 0; i < ROOTS_CACHE_N; i++) {
		if (cache->entries[i].len != path.n ||
		    memcmp(cache->entries[i].path, path.p, path.n) != 0)
			continue;
		*dev = cache->entries[i].dev;
		*ino = cache->entries[i].ino;
		if (cache->entries[i].until > now)
			return *ino != 0;
		slot = i;
		break;
	}
	if (!look_at(path, dev, ino)) {
		*dev = 0;
		*ino = 0;
	}
	if (slot == cache->next)
		cache->next = (cache->next + 1) % ROOTS_CACHE_N;
	cache->entries[slot].len = path.n;
	memcpy(cache->entries[slot].path, path.p, path.n);
	cache->entries[slot].until = now + REMEMBER_MS;
	cache->entries[slot].dev = *dev;
	cache->entries[slot].ino = *ino;
	return *ino != 0;
}

/* Does the path begin with these folders, whole names only? */
static bool
leads_to(struct slice path, struct slice below)
{
	return slice_starts(path, below) &&
	       (path.n == below.n || path.p[below.n] == '/');
}

const struct site *
roots_find(const struct roots *r, struct roots_cache *cache, mono_ms now,
    struct slice name, struct slice document_root, struct slice path)
{
	const struct root *best = NULL, *t;
	dev_t dev;
	ino_t ino;

	if (name.n > 0) {
		for (size_t i = 0; i < r->nsites; i++)
			if (slice_eq_str(name, r->sites[i]->name))
				return r->sites[i];
		return NULL;
	}
	if (!look_at_cached(cache, now, document_root, &dev, &ino))
		return NULL;
	for (t = r->table; t < r->table + r->n; t++)
		if (t->ino == ino && t->dev == dev &&
		    leads_to(path, t->below) &&
		    (!best || t->below.n > best->below.n))
			best = t;
	return best ? best->site : NULL;
}
