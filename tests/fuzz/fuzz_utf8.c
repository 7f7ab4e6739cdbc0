/* Foreign bytes become one clean line, and JSON that a parser accepts. */
#include "formats/utf8.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#define LINE_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(struct slice in)
{
	struct buf line = BUF_INIT(LINE_MAX), again = BUF_INIT(LINE_MAX);
	struct slice s;

	utf8_put_line(&line, in, LINE_MAX);
	s = buf_slice(&line);
	if (line.failed)
		abort();
	for (size_t i = 0; i < s.n; i += utf8_len(s, i))
		if (utf8_len(s, i) == 0 || (unsigned char)s.p[i] < ' ')
			abort();
	utf8_put_line(&again, s, LINE_MAX);
	if (!slice_eq(s, buf_slice(&again)))
		abort();
	buf_clear(&line);
	buf_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem((const char *)data, size);
	struct buf json = BUF_INIT(size * 6 + 2);
	json_t *v;

	check_line(in);
	utf8_put_json(&json, in);
	v = json_loadb(json.p, json.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (json.failed || !json_is_string(v))
		abort();
	json_decref(v);
	buf_clear(&json);
	return 0;
}
