#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/php_fpm.h"

Suite *php_fpm_suite(void);

/* ---- lengths and params ------------------------------------------------- */

static const struct {
	size_t n;
	size_t size;
	unsigned char bytes[4];
} lengths[] = {
	{ 0, 1, { 0 } },
	{ 1, 1, { 1 } },
	{ 127, 1, { 127 } },
	{ 128, 4, { 0x80, 0, 0, 128 } },
	{ 65535, 4, { 0x80, 0, 0xff, 0xff } },
	{ 65536, 4, { 0x80, 1, 0, 0 } },
	{ 0x7fffffff, 4, { 0xff, 0xff, 0xff, 0xff } },
};

START_TEST(a_length_takes_one_byte_below_128_and_four_from_there)
{
	struct buf o = BUF_INIT(16);
	struct slice in;
	size_t n = 1;

	php_fpm_put_len(&o, lengths[_i].n);
	ck_assert_uint_eq(o.n, lengths[_i].size);
	ck_assert_mem_eq(o.p, lengths[_i].bytes, lengths[_i].size);
	in = buf_slice(&o);
	ck_assert_int_eq(php_fpm_get_len(&in, &n), RC_OK);
	ck_assert_uint_eq(n, lengths[_i].n);
	ck_assert_uint_eq(in.n, 0);
	for (size_t cut = 0; cut < o.n; cut++) {
		in = slice_mem(o.p, cut);
		ck_assert_int_eq(php_fpm_get_len(&in, &n), RC_AGAIN);
		ck_assert_uint_eq(in.n, cut);
	}
	buf_clear(&o);
}
END_TEST

START_TEST(a_length_over_31_bits_fails_the_writer)
{
	struct buf o = BUF_INIT(16);

	php_fpm_put_len(&o, (size_t)INT32_MAX + 1);
	ck_assert(o.failed);
	buf_clear(&o);
}
END_TEST

START_TEST(a_param_is_read_back_whatever_its_length)
{
	struct buf o = BUF_INIT(200000);
	size_t n = lengths[_i].n < 100000 ? lengths[_i].n : 1000;
	char *text = malloc(n + 1);
	struct slice in, name, value;

	memset(text, 'v', n);
	php_fpm_put_param(&o, "NAME", slice_mem(text, n));
	php_fpm_put_param(&o, "", SLICE_NONE);
	ck_assert(!o.failed);
	in = buf_slice(&o);
	ck_assert_int_eq(php_fpm_get_param(&in, &name, &value), RC_OK);
	ck_assert(slice_eq_str(name, "NAME"));
	ck_assert(slice_eq(value, slice_mem(text, n)));
	ck_assert_int_eq(php_fpm_get_param(&in, &name, &value), RC_OK);
	ck_assert_uint_eq(name.n + value.n + in.n, 0);
	in = slice_mem(o.p, n + 4);
	ck_assert_int_eq(php_fpm_get_param(&in, &name, &value), RC_AGAIN);
	free(text);
	buf_clear(&o);
}
END_TEST

/* ---- requests ----------------------------------------------------------- */

struct records {
	size_t n, largest;
	struct buf params, body;
	int last_type;
	size_t last_n;
};

static void
split_records(struct slice s, struct records *r)
{
	while (s.n > 0) {
		const unsigned char *h = (const unsigned char *)s.p;
		size_t n;

		ck_assert_uint_ge(s.n, 8);
		n = (size_t)h[4] << 8 | h[5];
		ck_assert_uint_eq(h[0], 1);
		ck_assert_uint_eq(h[3], 1);
		ck_assert_uint_ge(s.n - 8, n + h[6]);
		if (r->n == 0) {
			ck_assert_uint_eq(h[1], 1);
			ck_assert_mem_eq(s.p + 8, "\0\1\0\0\0\0\0\0", 8);
		} else if (h[1] == 4) {
			buf_put(&r->params, s.p + 8, n);
		} else {
			ck_assert_uint_eq(h[1], 5);
			buf_put(&r->body, s.p + 8, n);
		}
		if (n > r->largest)
			r->largest = n;
		r->n++;
		r->last_type = h[1];
		r->last_n = n;
		s = slice_from(s, 8 + n + h[6]);
	}
}

static const struct {
	size_t body;
	size_t records;
} requests[] = {
	{ 0, 4 }, /* BEGIN, PARAMS, end of PARAMS, end of STDIN */
	{ 1, 5 },
	{ 65528, 5 },
	{ 65529, 6 },
	{ 200000, 8 },
};

START_TEST(a_request_is_cut_into_records_and_says_its_length)
{
	struct buf o = BUF_INIT(PHP_FPM_BODY_MAX);
	struct buf params = BUF_INIT(1000);
	struct records r = { .params = BUF_INIT(100000),
		.body = BUF_INIT(1000000) };
	struct slice in, name, value;
	uint64_t said = UINT64_MAX;
	size_t n = requests[_i].body;
	char *body = malloc(n + 1);

	memset(body, 'b', n);
	php_fpm_put_param(&params, "REQUEST_METHOD", SLICE_LIT("POST"));
	php_fpm_put_request(&o, buf_slice(&params), slice_mem(body, n));
	ck_assert(!o.failed);
	split_records(buf_slice(&o), &r);
	ck_assert_uint_eq(r.n, requests[_i].records);
	ck_assert_uint_le(r.largest, PHP_FPM_RECORD_MAX);
	ck_assert_int_eq(r.last_type, 5);
	ck_assert_uint_eq(r.last_n, 0);
	ck_assert(slice_eq(buf_slice(&r.body), slice_mem(body, n)));
	in = buf_slice(&r.params);
	while (in.n > 0) {
		ck_assert_int_eq(php_fpm_get_param(&in, &name, &value), RC_OK);
		if (slice_eq_str(name, "CONTENT_LENGTH"))
			ck_assert(slice_u64(value, &said));
	}
	ck_assert_uint_eq(said, n);
	free(body);
	buf_clear(&r.params);
	buf_clear(&r.body);
	buf_clear(&params);
	buf_clear(&o);
}
END_TEST

/* ---- answers ------------------------------------------------------------ */

static void
put_answer(struct buf *o, int type, int id, struct slice s, int padding)
{
	const char head[8] = { 1, (char)type, 0, (char)id, (char)(s.n >> 8),
		(char)(s.n & 0xff), (char)padding, 0 };

	buf_put(o, head, sizeof(head));
	buf_put_slice(o, s);
	for (int i = 0; i < padding; i++)
		buf_put_char(o, '\n');
}

static void
keep_line(void *arg, struct slice line)
{
	struct buf *b = arg;

	buf_printf(b, "[%.*s]", SLICE_FMT(line));
}

static void
put_text(struct buf *o, int type, const char *s)
{
	put_answer(o, type, 1, slice_str(s), (int)(-strlen(s) & 7));
}

static void
put_whole_answer(struct buf *o)
{
	put_text(o, 6, "Status: 503 Service Unavailable\r\nContent-t");
	put_text(o, 7, "PHP message: one; ");
	put_text(o, 6, "ype: text/plain\r\n\r");
	put_text(o, 11, "a type nobody knows");
	put_answer(o, 10, 0, SLICE_LIT("management"), 3);
	put_text(o, 6, "\nfirst\nsec");
	put_text(o, 6, "");
	put_text(o, 6, "ond\r\n\nlast without newline");
	put_text(o, 7, "two");
	put_answer(o, 3, 1, SLICE_LIT("\0\0\1\2\3\0\0\0"), 0);
}

START_TEST(an_answer_is_the_same_however_it_is_cut)
{
	struct buf o = BUF_INIT(10000), lines = BUF_INIT(10000);
	struct php_fpm_reader r;
	struct slice in;
	enum rc rc = RC_AGAIN;

	put_whole_answer(&o);
	php_fpm_reader_init(&r, keep_line, &lines);
	for (in = buf_slice(&o); in.n > 0;) {
		size_t n = (size_t)_i < in.n ? (size_t)_i : in.n;

		ck_assert_int_eq(rc, RC_AGAIN);
		rc = php_fpm_feed(&r, slice_mem(in.p, n), NULL);
		in = slice_from(in, n);
	}
	ck_assert_int_eq(rc, RC_OK);
	ck_assert_str_eq(
	    buf_str(&lines), "[first][second\r][][last without newline]");
	ck_assert_int_eq(r.status, 503);
	ck_assert_uint_eq(r.app_status, 258);
	ck_assert_uint_eq(r.protocol_status, 3);
	ck_assert_str_eq(buf_str(&r.err_tail), "PHP message: one; two");
	ck_assert_int_eq(php_fpm_feed(&r, SLICE_LIT("more"), NULL), RC_OK);
	php_fpm_reader_clear(&r);
	buf_clear(&lines);
	buf_clear(&o);
}
END_TEST

static const struct {
	const char *what;
	const char *bytes;
	size_t n;
} broken[] = {
	{ "not FastCGI", "HTTP/1.1", 8 },
	{ "version 2", "\2\6\0\1\0\0\0\0", 8 },
	{ "of another request", "\1\6\0\2\0\0\0\0", 8 },
	{ "of request 256", "\1\6\1\0\0\0\0\0", 8 },
	{ "END_REQUEST cut short", "\1\3\0\1\0\1\0\0x", 9 },
};

START_TEST(a_broken_answer_is_refused)
{
	struct buf lines = BUF_INIT(100);
	struct php_fpm_reader r;
	struct err err = ERR_INIT;

	php_fpm_reader_init(&r, keep_line, &lines);
	ck_assert_int_eq(
	    php_fpm_feed(&r, slice_mem(broken[_i].bytes, broken[_i].n), &err),
	    RC_REJECT);
	ck_assert_msg(err.text[0], "%s: no words", broken[_i].what);
	php_fpm_reader_clear(&r);
	buf_clear(&lines);
}
END_TEST

START_TEST(an_answer_over_the_cap_is_refused)
{
	struct buf o = BUF_INIT(100000), lines = BUF_INIT(100);
	static char x[60000];
	struct php_fpm_reader r;
	enum rc rc = RC_AGAIN;
	size_t fed = 0;

	memset(x, 'x', sizeof(x));
	put_answer(&o, 6, 1, slice_mem(x, sizeof(x)), 0);
	php_fpm_reader_init(&r, keep_line, &lines);
	while (rc == RC_AGAIN && fed++ < 1000)
		rc = php_fpm_feed(&r, buf_slice(&o), NULL);
	ck_assert_int_eq(rc, RC_REJECT);
	ck_assert_uint_eq(fed, PHP_FPM_STDOUT_MAX / sizeof(x) + 1);
	php_fpm_reader_clear(&r);
	buf_clear(&lines);
	buf_clear(&o);
}
END_TEST

START_TEST(a_line_over_the_cap_is_left_out_and_counted)
{
	struct buf o = BUF_INIT(300000), lines = BUF_INIT(100);
	static char x[60000];
	struct php_fpm_reader r;

	memset(x, 'x', sizeof(x));
	put_text(&o, 6, "\r\n");
	put_answer(&o, 6, 1, slice_mem(x, sizeof(x)), 0);
	put_answer(&o, 6, 1, slice_mem(x, sizeof(x)), 0);
	put_text(&o, 6, "tail\nnext\n");
	php_fpm_reader_init(&r, keep_line, &lines);
	ck_assert_int_eq(php_fpm_feed(&r, buf_slice(&o), NULL), RC_AGAIN);
	ck_assert_str_eq(buf_str(&lines), "[next]");
	ck_assert_uint_eq(r.long_lines, 1);
	php_fpm_reader_clear(&r);
	buf_clear(&lines);
	buf_clear(&o);
}
END_TEST

START_TEST(stderr_keeps_its_last_two_kilobytes)
{
	struct buf o = BUF_INIT(100000), lines = BUF_INIT(100);
	static char x[5000];
	struct php_fpm_reader r;

	memset(x, 'x', sizeof(x));
	put_answer(&o, 7, 1, slice_mem(x, sizeof(x)), 0);
	put_text(&o, 7, "the end");
	php_fpm_reader_init(&r, keep_line, &lines);
	ck_assert_int_eq(php_fpm_feed(&r, buf_slice(&o), NULL), RC_AGAIN);
	ck_assert_uint_eq(r.err_tail.n, PHP_FPM_STDERR_KEPT);
	ck_assert_str_eq(r.err_tail.p + r.err_tail.n - 8, "xthe end");
	php_fpm_reader_clear(&r);
	buf_clear(&lines);
	buf_clear(&o);
}
END_TEST

/* ---- addresses ---------------------------------------------------------- */

static const struct {
	const char *text;
	enum rc rc;
	const char *path, *host, *port;
} addresses[] = {
	{ "unix:/run/php/x.sock", RC_OK, "/run/php/x.sock", "", "" },
	{ "/run/php/x.sock", RC_OK, "/run/php/x.sock", "", "" },
	{ "127.0.0.1:9000", RC_OK, "", "127.0.0.1", "9000" },
	{ "php:65535", RC_OK, "", "php", "65535" },
	{ "[::1]:9000", RC_OK, "", "::1", "9000" },
	{ "", RC_REJECT, "", "", "" },
	{ "unix:", RC_REJECT, "", "", "" },
	{ "unix:relative", RC_REJECT, "", "", "" },
	{ "php", RC_REJECT, "", "", "" },
	{ ":9000", RC_REJECT, "", "", "" },
	{ "php:0", RC_REJECT, "", "", "" },
	{ "php:65536", RC_REJECT, "", "", "" },
	{ "/0123456789012345678901234567890123456789012345678901234567890123"
	  "45678901234567890123456789012345678901234567890",
	    RC_REJECT, "", "", "" },
};

START_TEST(an_address_is_a_socket_or_a_host_and_port)
{
	struct php_fpm_addr a;

	ck_assert_int_eq(
	    php_fpm_addr_parse(addresses[_i].text, &a, NULL), addresses[_i].rc);
	ck_assert_str_eq(a.path, addresses[_i].path);
	ck_assert_str_eq(a.host, addresses[_i].host);
	ck_assert_str_eq(a.port, addresses[_i].port);
}
END_TEST

/* ---- one request -------------------------------------------------------- */

static mono_ms test_now;

static mono_ms
test_mono(const struct clock *c)
{
	(void)c;
	return test_now;
}

static const struct clock test_clock = { .mono = test_mono };

struct peer {
	char dir[32];
	struct php_fpm_addr addr;
	int listener;
};

static void
peer_open(struct peer *p)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/php-fpm-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->dir));
	p->addr = (struct php_fpm_addr){ .tcp = false };
	(void)snprintf(p->addr.path, sizeof(p->addr.path), "%s/s", p->dir);
	memcpy(sun.sun_path, p->addr.path, sizeof(sun.sun_path));
	p->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(
	    bind(p->listener, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(p->listener, 8), 0);
}

static void
peer_close(struct peer *p)
{
	(void)close(p->listener);
	(void)unlink(p->addr.path);
	(void)rmdir(p->dir);
}

static struct php_fpm_request *
peer_request(const struct peer *p, struct buf *lines)
{
	struct php_fpm_request *r = NULL;

	test_now = 1000;
	ck_assert_int_eq(
	    php_fpm_open(&(const struct php_fpm_opts){ .addr = &p->addr,
			     .clock = &test_clock,
			     .first_byte_ms = 500,
			     .body = SLICE_LIT("body"),
			     .on_line = keep_line,
			     .arg = lines },
		&r, NULL),
	    RC_OK);
	return r;
}

START_TEST(a_request_ends_with_END_REQUEST)
{
	struct buf o = BUF_INIT(10000), lines = BUF_INIT(10000);
	struct err err = ERR_INIT;
	struct php_fpm_request *r;
	struct peer p;
	int fd;

	peer_open(&p);
	r = peer_request(&p, &lines);
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_RUNNING);
	ck_assert(php_fpm_sent(r));
	ck_assert_int_eq(php_fpm_deadline(r), 1500);
	fd = accept(p.listener, NULL, NULL);
	put_whole_answer(&o);
	ck_assert_int_eq(write(fd, o.p, o.n), (ssize_t)o.n);
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_END);
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_END);
	ck_assert_int_eq(php_fpm_fd(r), -1);
	ck_assert_int_eq(php_fpm_answer(r)->status, 503);
	php_fpm_close(r);
	(void)close(fd);
	peer_close(&p);
	buf_clear(&lines);
	buf_clear(&o);
}
END_TEST

START_TEST(a_connection_that_closes_early_is_an_end_without_answer)
{
	struct buf lines = BUF_INIT(10000), o = BUF_INIT(1000);
	struct err err = ERR_INIT;
	struct php_fpm_request *r;
	struct peer p;
	int fd;

	peer_open(&p);
	r = peer_request(&p, &lines);
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_RUNNING);
	fd = accept(p.listener, NULL, NULL);
	put_text(&o, 6, "\r\nhalf");
	ck_assert_int_eq(write(fd, o.p, o.n), (ssize_t)o.n);
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_RUNNING);
	ck_assert_int_eq(php_fpm_deadline(r), INT64_MAX);
	(void)close(fd);
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_EOF);
	ck_assert_str_eq(buf_str(&lines), "[half]");
	php_fpm_close(r);
	peer_close(&p);
	buf_clear(&lines);
	buf_clear(&o);
}
END_TEST

START_TEST(silence_ends_at_the_first_byte_limit)
{
	struct buf lines = BUF_INIT(100);
	struct err err = ERR_INIT;
	struct php_fpm_request *r;
	struct peer p;

	peer_open(&p);
	r = peer_request(&p, &lines);
	test_now = 1499;
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_RUNNING);
	test_now = 1500;
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_SILENT);
	ck_assert_ptr_nonnull(strstr(err.text, "no free child"));
	php_fpm_close(r);
	peer_close(&p);
	buf_clear(&lines);
}
END_TEST

START_TEST(a_peer_that_is_not_fastcgi_is_cut_off)
{
	struct buf lines = BUF_INIT(100);
	struct err err = ERR_INIT;
	struct php_fpm_request *r;
	struct peer p;
	int fd;

	peer_open(&p);
	r = peer_request(&p, &lines);
	fd = accept(p.listener, NULL, NULL);
	ck_assert_int_eq(write(fd, "SSH-2.0-x\r\n", 11), 11);
	ck_assert_int_eq(php_fpm_step(r, &err), PHP_FPM_BROKEN);
	php_fpm_close(r);
	(void)close(fd);
	peer_close(&p);
	buf_clear(&lines);
}
END_TEST

START_TEST(a_missing_socket_is_said_in_words)
{
	const struct php_fpm_addr addr = { .path = "/nonexistent/php.sock" };
	struct php_fpm_request *r = NULL;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    php_fpm_open(
		&(const struct php_fpm_opts){
		    .addr = &addr, .clock = &test_clock, .on_line = keep_line },
		&r, &err),
	    RC_RETRY);
	ck_assert_ptr_null(r);
	ck_assert_ptr_nonnull(strstr(err.text, "not running"));
	php_fpm_close(NULL);
}
END_TEST

Suite *
php_fpm_suite(void)
{
	Suite *s = suite_create("php_fpm");
	TCase *t = tcase_create("php_fpm");

	tcase_add_loop_test(t,
	    a_length_takes_one_byte_below_128_and_four_from_there, 0,
	    (int)NELEMS(lengths));
	tcase_add_test(t, a_length_over_31_bits_fails_the_writer);
	tcase_add_loop_test(t, a_param_is_read_back_whatever_its_length, 0,
	    (int)NELEMS(lengths));
	tcase_add_loop_test(t,
	    a_request_is_cut_into_records_and_says_its_length, 0,
	    (int)NELEMS(requests));
	tcase_add_loop_test(t, an_answer_is_the_same_however_it_is_cut, 1, 400);
	tcase_add_loop_test(
	    t, a_broken_answer_is_refused, 0, (int)NELEMS(broken));
	tcase_add_test(t, an_answer_over_the_cap_is_refused);
	tcase_add_test(t, a_line_over_the_cap_is_left_out_and_counted);
	tcase_add_test(t, stderr_keeps_its_last_two_kilobytes);
	tcase_add_loop_test(t, an_address_is_a_socket_or_a_host_and_port, 0,
	    (int)NELEMS(addresses));
	tcase_add_test(t, a_request_ends_with_END_REQUEST);
	tcase_add_test(
	    t, a_connection_that_closes_early_is_an_end_without_answer);
	tcase_add_test(t, silence_ends_at_the_first_byte_limit);
	tcase_add_test(t, a_peer_that_is_not_fastcgi_is_cut_off);
	tcase_add_test(t, a_missing_socket_is_said_in_words);
	suite_add_tcase(s, t);
	return s;
}
