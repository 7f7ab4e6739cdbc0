/* A relay that says anything at all: lines of the input are its replies, those
 * that begin with C our commands. What is kept stays small and printable. */
#include "wire/smtp_talk.h"

#include <stdlib.h>
#include <string.h>

#define NEACH 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_answer(const struct smtp_answer *a)
{
	if (a->verdict > SMTP_UNKNOWN || a->code < 0 || a->code > 999 ||
	    !memchr(a->words, '\0', sizeof a->words))
		abort();
	for (const char *p = a->words; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t order[NEACH] = { 2, 0, 1 };
	struct slice rest = slice_mem((const char *)data, size);
	struct smtp_answer each[NEACH];
	struct smtp_talk t;
	bool ok = true;

	smtp_talk_init(&t);
	t.wants_starttls = size & 1;
	t.wants_auth = size & 2;
	t.wants_utf8 = size & 4;
	smtp_talk_begin(&t, each, order, NEACH);
	while (ok && rest.n > 0) {
		struct slice line = slice_mem(rest.p, slice_find(rest, '\n'));

		rest = slice_from(rest, line.n + 1);
		if (line.n > 0 && line.p[0] == 'C')
			smtp_talk_command(&t, slice_from(line, 1));
		else
			ok = smtp_talk_line(&t, line);
		if (t.text.n > 4096 || t.text.failed)
			abort();
	}
	if (!ok && !t.refused && t.code < 300)
		abort();
	for (size_t i = 0; i < NEACH; i++)
		check_answer(&each[i]);
	smtp_talk_clear(&t);
	return 0;
}
