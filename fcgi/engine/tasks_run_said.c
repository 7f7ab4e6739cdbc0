/* What was said or done of a queue, so that it is not again at once. */
#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "engine/tasks_run_internal.h"
#include "formats/md5.h"

/* As many are remembered; then the oldest are said again. */
#define SAID_MAX 256

static struct said {
	unsigned char key[MD5_LEN], text[MD5_LEN];
	mono_ms at;
} said[SAID_MAX];
static size_t nsaid, oldest;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void
digest(struct slice text, unsigned char out[MD5_LEN])
{
	struct md5 m;

	md5_init(&m);
	md5_put(&m, text);
	md5_end(&m, out);
}

static void
key_of(const struct tasks_turn *t, const char *what, unsigned char out[MD5_LEN])
{
	struct buf key = BUF_INIT((size_t)16 * 1024);

	buf_printf(&key, "%s\n%u\n%s\n%s", t->env->site->root, t->env->blog_id,
	    t->c->name, what);
	digest(buf_slice(&key), out);
	buf_clear(&key);
}

static struct said *
find_locked(const unsigned char key[MD5_LEN])
{
	for (size_t i = 0; i < nsaid; i++)
		if (memcmp(said[i].key, key, MD5_LEN) == 0)
			return &said[i];
	return NULL;
}

static struct said *
place_locked(void)
{
	return &said[nsaid < SAID_MAX ? nsaid++ : oldest++ % SAID_MAX];
}

bool
tasks_turn_say(const struct tasks_turn *t, const char *event, const char *text)
{
	struct said now = { .at = 0 };
	struct said *s;
	bool fresh;

	key_of(t, event, now.key);
	digest(slice_str(text), now.text);
	pthread_mutex_lock(&lock);
	s = find_locked(now.key);
	fresh = !s || memcmp(s->text, now.text, sizeof now.text) != 0;
	if (!s && *text)
		s = place_locked();
	if (s)
		*s = now;
	pthread_mutex_unlock(&lock);
	return fresh && *text;
}

bool
tasks_turn_every(const struct tasks_turn *t, const char *what, mono_ms every)
{
	struct said now = { .at = clock_mono(t->env->clock) };
	struct said *s;
	bool due;

	key_of(t, what, now.key);
	pthread_mutex_lock(&lock);
	s = find_locked(now.key);
	due = !s || now.at - s->at >= every;
	if (!s)
		s = place_locked();
	if (due)
		*s = now;
	pthread_mutex_unlock(&lock);
	return due;
}
