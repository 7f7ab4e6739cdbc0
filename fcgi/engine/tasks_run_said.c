/* What was said of a queue, so that it is said once. */
#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "engine/tasks_run_internal.h"
#include "formats/md5.h"

/* As many are remembered; then the oldest are said again. */
#define SAID_MAX 256

static struct said {
	unsigned char key[MD5_LEN], text[MD5_LEN];
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

bool
tasks_turn_say(const struct tasks_turn *t, const char *event, const char *text)
{
	struct buf key = BUF_INIT(4096);
	struct said now;
	struct said *s = NULL;
	bool fresh;

	buf_printf(&key, "%p\n%s\n%u\n%s\n%s", (const void *)t->env->site,
	    t->env->site->root, t->env->blog_id, t->c->name, event);
	digest(buf_slice(&key), now.key);
	digest(slice_str(text), now.text);
	buf_clear(&key);
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < nsaid && !s; i++)
		if (memcmp(said[i].key, now.key, sizeof now.key) == 0)
			s = &said[i];
	fresh = s ? memcmp(s->text, now.text, sizeof now.text) != 0 : *text;
	if (!s && *text) {
		s = &said[nsaid < SAID_MAX ? nsaid++ : oldest++ % SAID_MAX];
	}
	if (s)
		*s = now;
	pthread_mutex_unlock(&lock);
	return fresh && *text;
}
