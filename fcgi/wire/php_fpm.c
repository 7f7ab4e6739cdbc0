#include "wire/php_fpm.h"

#include <string.h>

#include "base/macros.h"

/* FastCGI 1.0, section 8 */
enum {
	FCGI_VERSION = 1,
	FCGI_BEGIN = 1,
	FCGI_END = 3,
	FCGI_PARAMS = 4,
	FCGI_STDIN = 5,
	FCGI_STDOUT = 6,
	FCGI_STDERR = 7,
	FCGI_ROLE_RESPONDER = 1,
	FCGI_REQUEST_ID = 1, /* one request a connection: any id will do */
	FCGI_LEN_LONG = 0x80,
};

/* ---- writing ------------------------------------------------------------ */

void
php_fpm_put_len(struct buf *o, size_t n)
{
	if (n < FCGI_LEN_LONG) {
		buf_put_char(o, (char)n);
		return;
	}
	if (n > INT32_MAX) {
		o->failed = true;
		return;
	}
	buf_put_char(o, (char)((n >> 24) | FCGI_LEN_LONG));
	buf_put_char(o, (char)((n >> 16) & 0xff));
	buf_put_char(o, (char)((n >> 8) & 0xff));
	buf_put_char(o, (char)(n & 0xff));
}

enum rc
php_fpm_get_len(struct slice *in, size_t *n)
{
	const unsigned char *p = (const unsigned char *)in->p;

	if (in->n < 1)
		return RC_AGAIN;
	if (p[0] < FCGI_LEN_LONG) {
		*n = p[0];
		*in = slice_from(*in, 1);
		return RC_OK;
	}
	if (in->n < 4)
		return RC_AGAIN;
	*n = (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 |
	     (size_t)p[2] << 8 | p[3];
	*in = slice_from(*in, 4);
	return RC_OK;
}

void
php_fpm_put_param(struct buf *o, const char *name, struct slice value)
{
	struct slice n = slice_str(name);

	php_fpm_put_len(o, n.n);
	php_fpm_put_len(o, value.n);
	buf_put_slice(o, n);
	buf_put_slice(o, value);
}

enum rc
php_fpm_get_param(struct slice *in, struct slice *name, struct slice *value)
{
	struct slice rest = *in;
	size_t nname, nvalue;

	if (php_fpm_get_len(&rest, &nname) != RC_OK ||
	    php_fpm_get_len(&rest, &nvalue) != RC_OK || rest.n < nname ||
	    rest.n - nname < nvalue)
		return RC_AGAIN;
	*name = slice_mem(rest.p, nname);
	rest = slice_from(rest, nname);
	*value = slice_mem(rest.p, nvalue);
	*in = slice_from(rest, nvalue);
	return RC_OK;
}

static void
put_record(struct buf *o, int type, struct slice content)
{
	const char head[8] = { FCGI_VERSION, (char)type, 0, FCGI_REQUEST_ID,
		(char)(content.n >> 8), (char)(content.n & 0xff), 0, 0 };

	buf_put(o, head, sizeof(head));
	buf_put_slice(o, content);
}

/* A stream in records, and the empty record that ends it. */
static void
put_stream(struct buf *o, int type, struct slice s)
{
	while (s.n > 0) {
		size_t n = s.n < PHP_FPM_RECORD_MAX ? s.n : PHP_FPM_RECORD_MAX;

		put_record(o, type, slice_mem(s.p, n));
		s = slice_from(s, n);
	}
	put_record(o, type, SLICE_NONE);
}

void
php_fpm_put_request(struct buf *o, struct slice params, struct slice body)
{
	/* Flags 0: no KEEP_CONN, which would pin a child to an idle client. */
	static const char begin[8] = { 0, FCGI_ROLE_RESPONDER, 0 };
	struct buf all = BUF_INIT(PHP_FPM_PARAMS_MAX);
	struct buf length = BUF_INIT(24);

	buf_put_u64(&length, body.n);
	buf_put_slice(&all, params);
	php_fpm_put_param(&all, "CONTENT_LENGTH", buf_slice(&length));
	put_record(o, FCGI_BEGIN, slice_mem(begin, sizeof(begin)));
	put_stream(o, FCGI_PARAMS, buf_slice(&all));
	put_stream(o, FCGI_STDIN, body);
	if (all.failed || length.failed || body.n > PHP_FPM_BODY_MAX)
		o->failed = true;
	buf_clear(&length);
	buf_clear(&all);
}

/* ---- reading ------------------------------------------------------------ */

void
php_fpm_reader_init(
    struct php_fpm_reader *r, php_fpm_line_fn *on_line, void *arg)
{
	*r = (struct php_fpm_reader){
		.on_line = on_line,
		.arg = arg,
		.status = 200,
		.err_tail = BUF_INIT(2 * PHP_FPM_STDERR_KEPT),
		.line = BUF_INIT(PHP_FPM_LINE_MAX),
	};
}

void
php_fpm_reader_clear(struct php_fpm_reader *r)
{
	buf_clear(&r->err_tail);
	buf_clear(&r->line);
}

/* CGI headers: only Status matters; names vary in case. */
static void
take_header(struct php_fpm_reader *r, struct slice line)
{
	size_t colon = slice_find(line, ':');
	struct slice name = slice_trim(slice_mem(line.p, colon));
	struct slice value = slice_trim(slice_from(line, colon + 1));
	uint64_t status;

	if (!slice_eq_nocase(name, SLICE_LIT("Status")))
		return;
	value = slice_mem(value.p, slice_find(value, ' '));
	if (slice_u64(value, &status) && status >= 100 && status <= 999)
		r->status = (int)status;
}

static void
take_line(struct php_fpm_reader *r)
{
	struct slice line = buf_slice(&r->line);

	if (r->line_skipped) {
		r->long_lines++;
		r->line_skipped = false;
	} else if (r->headers_done) {
		r->on_line(r->arg, line);
	} else if (slice_trim(line).n == 0) {
		r->headers_done = true;
	} else {
		take_header(r, line);
	}
	buf_reset(&r->line);
}

static enum rc
take_stdout(struct php_fpm_reader *r, struct slice s, struct err *err)
{
	r->stdout_n += s.n;
	if (r->stdout_n > PHP_FPM_STDOUT_MAX)
		return err_set(err, RC_REJECT, "PHP's answer is over %zu bytes",
		    PHP_FPM_STDOUT_MAX);
	while (s.n > 0) {
		size_t n = slice_find(s, '\n');

		if (r->line.n + n >= PHP_FPM_LINE_MAX)
			r->line_skipped = true;
		else
			buf_put(&r->line, s.p, n);
		if (n < s.n)
			take_line(r);
		s = slice_from(s, n + 1);
	}
	return RC_AGAIN;
}

static void
take_stderr(struct php_fpm_reader *r, struct slice s)
{
	if (s.n > PHP_FPM_STDERR_KEPT)
		s = slice_from(s, s.n - PHP_FPM_STDERR_KEPT);
	buf_put_slice(&r->err_tail, s);
	if (r->err_tail.n > PHP_FPM_STDERR_KEPT)
		buf_drop(&r->err_tail, r->err_tail.n - PHP_FPM_STDERR_KEPT);
}

static void
take_end(struct php_fpm_reader *r, struct slice s)
{
	for (size_t i = 0; i < s.n && r->end_n < sizeof(r->end); i++)
		r->end[r->end_n++] = (uint8_t)s.p[i];
}

static enum rc
take_content(struct php_fpm_reader *r, struct slice s, struct err *err)
{
	switch (r->head[1]) {
	case FCGI_STDOUT:
		return take_stdout(r, s, err);
	case FCGI_STDERR:
		take_stderr(r, s);
		return RC_AGAIN;
	case FCGI_END:
		take_end(r, s);
		return RC_AGAIN;
	default: /* FastCGI 3.3: types one does not know are skipped */
		return RC_AGAIN;
	}
}

static enum rc
take_head(struct php_fpm_reader *r, struct err *err)
{
	unsigned id = (unsigned)r->head[2] << 8 | r->head[3];

	if (r->head[0] != FCGI_VERSION)
		return err_set(
		    err, RC_REJECT, "not FastCGI: version %u", r->head[0]);
	if (id != FCGI_REQUEST_ID && id != 0)
		return err_set(err, RC_REJECT,
		    "FastCGI record of another request: %u", id);
	r->content_left = (size_t)r->head[4] << 8 | r->head[5];
	r->padding_left = r->head[6];
	if (r->head[1] == FCGI_END && id != 0)
		r->end_n = 0;
	return RC_AGAIN;
}

/* A record is complete: only END_REQUEST means anything then. */
static enum rc
finish_record(struct php_fpm_reader *r, struct err *err)
{
	r->head_n = 0;
	if (r->head[1] != FCGI_END || r->head[3] != FCGI_REQUEST_ID)
		return RC_AGAIN;
	if (r->end_n < sizeof(r->end))
		return err_set(err, RC_REJECT, "END_REQUEST is cut short");
	r->app_status = (uint32_t)r->end[0] << 24 | (uint32_t)r->end[1] << 16 |
			(uint32_t)r->end[2] << 8 | r->end[3];
	r->protocol_status = r->end[4];
	r->ended = true;
	php_fpm_reader_finish(r);
	return RC_OK;
}

enum rc
php_fpm_feed(struct php_fpm_reader *r, struct slice in, struct err *err)
{
	enum rc rc = RC_AGAIN;

	while (rc == RC_AGAIN && in.n > 0 && !r->ended) {
		size_t n;

		if (r->head_n < sizeof(r->head)) {
			r->head[r->head_n++] = (uint8_t)in.p[0];
			in = slice_from(in, 1);
			if (r->head_n == sizeof(r->head))
				rc = take_head(r, err);
		} else if (r->content_left > 0) {
			n = in.n < r->content_left ? in.n : r->content_left;
			rc = take_content(r, slice_mem(in.p, n), err);
			r->content_left -= n;
			in = slice_from(in, n);
		} else {
			n = in.n < r->padding_left ? in.n : r->padding_left;
			r->padding_left -= n;
			in = slice_from(in, n);
		}
		if (rc == RC_AGAIN && r->head_n == sizeof(r->head) &&
		    r->content_left == 0 && r->padding_left == 0)
			rc = finish_record(r, err);
	}
	return r->ended ? RC_OK : rc;
}

void
php_fpm_reader_finish(struct php_fpm_reader *r)
{
	if (r->line.n > 0 || r->line_skipped)
		take_line(r);
}
