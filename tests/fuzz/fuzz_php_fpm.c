/* php-fpm's answer: cut anywhere it reads the same; params survive a round. */
#include "wire/php_fpm.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct buf lines;
	enum rc rc;
	struct php_fpm_reader r;
};

static void
keep_line(void *arg, struct slice line)
{
	struct seen *s = arg;

	if (line.n >= PHP_FPM_LINE_MAX || slice_find(line, '\n') != line.n)
		abort();
	buf_put_slice(&s->lines, line);
	buf_put_char(&s->lines, '\n');
}

/* Portions of `step`, `step` + 1, ... bytes; 0: all at once. */
static void
read_answer(struct seen *s, struct slice in, size_t step)
{
	*s =
	    (struct seen){ .rc = RC_AGAIN, .lines = BUF_INIT((size_t)8 << 20) };
	php_fpm_reader_init(&s->r, keep_line, s);
	while (in.n > 0 && s->rc == RC_AGAIN) {
		size_t n = step && step < in.n ? step : in.n;

		s->rc = php_fpm_feed(&s->r, slice_mem(in.p, n), NULL);
		in = slice_from(in, n);
		step = step ? step % 61 + 1 : 0;
	}
	if (s->rc == RC_AGAIN)
		php_fpm_reader_finish(&s->r);
	if ((s->rc == RC_OK) != s->r.ended ||
	    s->r.err_tail.n > PHP_FPM_STDERR_KEPT)
		abort();
}

static void
check_params(struct slice in)
{
	struct slice name, value, back_name, back_value, rest;
	struct buf again = BUF_INIT((size_t)1 << 20);
	char text[256];

	while (php_fpm_get_param(&in, &name, &value) == RC_OK) {
		if (name.n >= sizeof(text) || slice_find(name, '\0') < name.n)
			continue;
		if (name.n > 0)
			memcpy(text, name.p, name.n);
		text[name.n] = '\0';
		buf_reset(&again);
		php_fpm_put_param(&again, text, value);
		rest = buf_slice(&again);
		if (php_fpm_get_param(&rest, &back_name, &back_value) !=
			RC_OK ||
		    rest.n != 0 || !slice_eq(back_name, name) ||
		    !slice_eq(back_value, value))
			abort();
	}
	buf_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem((const char *)data, size);
	struct seen whole, cut;

	if (size == 0)
		return 0;
	check_params(in);
	read_answer(&whole, slice_from(in, 1), 0);
	read_answer(&cut, slice_from(in, 1), (size_t)data[0] + 1);
	if (whole.rc != cut.rc || whole.r.status != cut.r.status ||
	    whole.r.long_lines != cut.r.long_lines ||
	    whole.r.app_status != cut.r.app_status ||
	    !slice_eq(buf_slice(&whole.lines), buf_slice(&cut.lines)) ||
	    !slice_eq(buf_slice(&whole.r.err_tail), buf_slice(&cut.r.err_tail)))
		abort();
	php_fpm_reader_clear(&whole.r);
	php_fpm_reader_clear(&cut.r);
	buf_clear(&whole.lines);
	buf_clear(&cut.lines);
	return 0;
}
