#include "php_peer.h"

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	REQUEST_MAX = 1 << 24
};

static void
peer_say(int fd, struct slice body)
{
	const unsigned char head[8] = { 1, 6, 0, 1,
		(unsigned char)(body.n >> 8), (unsigned char)(body.n & 0xff) };

	if (write(fd, head, 8) != 8 ||
	    write(fd, body.p, body.n) != (ssize_t)body.n)
		_exit(1);
}

/* All of a request: it ends with an empty record of type STDIN. */
static size_t
peer_read(int fd, char *text)
{
	size_t n = 0;

	while (n < REQUEST_MAX) {
		ssize_t got = read(fd, text + n, REQUEST_MAX - n);

		if (got <= 0)
			break;
		n += (size_t)got;
		if (n >= 8 && memcmp(text + n - 8, "\1\5\0\1\0\0", 6) == 0)
			break;
	}
	return n;
}

static struct slice
after(struct slice text, const char *key)
{
	struct slice k = slice_str(key);

	while (text.n > 0 && !slice_starts(text, k))
		text = slice_from(text, 1);
	return slice_from(text, k.n);
}

/* The numbers of the entries: "0,1,2;" */
static void
peer_note(int notes, struct slice request)
{
	struct buf out = BUF_INIT(1000);
	const char *comma = "";

	for (;;) {
		request = after(request, "{\"i\":");
		if (request.n == 0)
			break;
		buf_printf(&out, "%s%c", comma, request.p[0]);
		comma = ",";
	}
	buf_put_char(&out, ';');
	if (write(notes, out.p, out.n) != (ssize_t)out.n)
		_exit(1);
	buf_clear(&out);
}

static void
peer_play(int fd, struct slice script, const char *token)
{
	static const char end[16] = "\1\3\0\1\0\10\0\0";
	struct buf out = BUF_INIT(REQUEST_MAX);

	peer_say(fd, SLICE_LIT("\r\n"));
	while (script.n > 0) {
		struct slice line =
		    slice_mem(script.p, slice_find(script, '\n'));

		script = slice_from(script, line.n + 1);
		buf_reset(&out);
		if (line.n > 0 && line.p[0] == 'E' && write(fd, end, 16) != 16)
			_exit(1);
		if (line.n > 0 && line.p[0] == 'Z')
			for (;;)
				(void)poll(NULL, 0, 1000);
		if (line.n == 0 || line.p[0] != '>')
			continue;
		buf_printf(&out, "\n%s%.*s\n", token, SLICE_FMT(line));
		/* Over the '>' that was copied too. */
		memmove(out.p + 33, out.p + 34, out.n - 34);
		out.n--;
		peer_say(fd, buf_slice(&out));
	}
	buf_clear(&out);
}

static void
peer_run(int listener, int notes, struct slice scripts)
{
	static char text[REQUEST_MAX];
	char token[33] = "";

	while (scripts.n > 0) {
		struct slice script =
		    slice_mem(scripts.p, slice_find(scripts, '\f'));
		int fd = accept(listener, NULL, NULL);
		size_t n = peer_read(fd, text);
		struct slice at = after(slice_mem(text, n), "\"token\":\"");

		scripts = slice_from(scripts, script.n + 1);
		if (fd < 0 || at.n < 32)
			_exit(1);
		memcpy(token, at.p, 32);
		peer_note(notes, at);
		peer_play(fd, script, token);
		(void)close(fd);
	}
	_exit(0);
}

void
php_peer_open(struct php_peer *p, const char *scripts)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int notes[2], listener;

	*p = (struct php_peer){ .pid = -1 };
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/php-ask-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
	(void)snprintf(p->address, sizeof(p->address), "unix:%s", p->path);
	memcpy(sun.sun_path, p->path, sizeof(p->path));
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(
	    bind(listener, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	ck_assert_int_eq(pipe(notes), 0);
	p->pid = fork();
	ck_assert_int_ge(p->pid, 0);
	if (p->pid == 0)
		peer_run(listener, notes[1], slice_str(scripts));
	(void)close(notes[1]);
	(void)close(listener);
	p->notes = notes[0];
}

const char *
php_peer_asked(struct php_peer *p)
{
	size_t n = 0;
	ssize_t got;

	if (p->pid <= 0)
		return p->asked;
	/* Not SIGTERM: the peer has Check's handler, which ends the group. */
	(void)kill(p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	p->pid = -1;
	while (n < sizeof(p->asked) - 1 && (got = read(p->notes, p->asked + n,
						sizeof(p->asked) - 1 - n)) > 0)
		n += (size_t)got;
	p->asked[n] = '\0';
	return p->asked;
}

void
php_peer_close(struct php_peer *p)
{
	(void)php_peer_asked(p);
	(void)close(p->notes);
	(void)unlink(p->path);
	(void)rmdir(p->dir);
}
