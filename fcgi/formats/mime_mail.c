#include "formats/mime_mail.h"

#include "base/ceilings.h"
#include "base/xalloc.h"
#include "formats/md5.h"
#include "formats/mime_header.h"
#include "formats/mime_mail_private.h"
#include "formats/utf8.h"

#include <gmime/gmime.h>
#include <pthread.h>
#include <string.h>

#define LINE_MAX_BYTES 998 /* RFC 5322 2.1.1 */

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- the body's bytes ----------------------------------------------------*/

struct look {
	bool is_ascii, has_nul, is_utf8;
	size_t longest; /* line */
	size_t escapes; /* bytes that quoted-printable writes as three */
};

static struct look
look_at(struct slice s)
{
	struct look l = { .is_ascii = true };
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		line = c == '\n' ? 0 : line + 1;
		if (line > l.longest)
			l.longest = line;
		l.is_ascii &= c < 0x80;
		l.has_nul |= c == 0;
		l.escapes += c >= 0x80 || c == '=' ||
			     (c < 0x20 && c != '\n' && c != '\t');
	}
	return l;
}

/* CRLF, lone CR and lone LF become `eol`. */
static void
put_lines(struct buf *out, struct slice s, const char *eol)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			continue;
		if (s.p[i] == '\r' || s.p[i] == '\n')
			buf_put_str(out, eol);
		else
			buf_put_char(out, s.p[i]);
	}
}

/* ---- parts ---------------------------------------------------------------*/

static void
fill(GMimePart *part, struct slice bytes, GMimeContentEncoding encoding)
{
	GMimeStream *stream =
	    g_mime_stream_mem_new_with_buffer(bytes.p ? bytes.p : "", bytes.n);
	GMimeDataWrapper *content = g_mime_data_wrapper_new_with_stream(
	    stream, GMIME_CONTENT_ENCODING_DEFAULT);

	g_mime_part_set_content(part, content);
	g_mime_part_set_content_encoding(part, encoding);
	g_object_unref(content);
	g_object_unref(stream);
}

static bool
is_utf8(struct slice charset)
{
	return charset.n == 0 || slice_eq_nocase(charset, SLICE_LIT("utf-8")) ||
	       slice_eq_nocase(charset, SLICE_LIT("utf8")) ||
	       slice_eq_nocase(charset, SLICE_LIT("us-ascii"));
}

static bool
is_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f ||
		    strchr("()<>@,;:\\\"/[]?=", s.p[i]))
			return false;
	return s.n > 0 && s.n <= 127;
}

/* "type/subtype" in NUL-terminated halves. */
static bool
split_type(struct slice s, char type[128], char subtype[128])
{
	size_t slash = slice_find(s, '/');
	struct slice a = slice_mem(s.p, slash);
	struct slice b = slice_from(s, slash + 1);

	if (!is_token(a) || !is_token(b))
		return false;
	(void)snprintf(type, 128, "%.*s", SLICE_FMT(a));
	(void)snprintf(subtype, 128, "%.*s", SLICE_FMT(b));
	return true;
}

/* 7 bits as they are; else quoted-printable where most bytes stay legible;
 * else base64. Never 8bit, which not every hop keeps. */
static GMimeContentEncoding
choose(const struct look *l, struct slice charset, size_t n)
{
	if (l->is_ascii && !l->has_nul && l->longest <= LINE_MAX_BYTES)
		return GMIME_CONTENT_ENCODING_7BIT;
	if (!is_utf8(charset) || l->has_nul || l->escapes * 10 > n * 3)
		return GMIME_CONTENT_ENCODING_BASE64;
	return GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE;
}

static GMimeObject *
text_part(const char *type, const char *subtype, struct slice charset,
    struct slice text)
{
	GMimePart *part = g_mime_part_new_with_type(type, subtype);
	struct buf lines = BUF_INIT(CEILING_MAIL_BYTES);
	GMimeContentEncoding encoding;
	char name[128] = "UTF-8";
	struct look l;

	put_lines(&lines, text, "\n");
	l = look_at(buf_slice(&lines));
	encoding = choose(&l, charset, lines.n);
	if (encoding == GMIME_CONTENT_ENCODING_BASE64) {
		/* RFC 2045 6.8: of text, the line ends of the wire. */
		buf_reset(&lines);
		put_lines(&lines, text, "\r\n");
	}
	if (is_token(charset))
		(void)snprintf(name, sizeof name, "%.*s", SLICE_FMT(charset));
	g_mime_object_set_content_type_parameter(
	    (GMimeObject *)part, "charset", name);
	fill(part, buf_slice(&lines), encoding);
	buf_clear(&lines);
	return (GMimeObject *)part;
}

/* A body that the caller put together: its boundary is in it already. */
static enum rc
raw_part(struct mime_draft *d, const char *type, const char *subtype,
    GMimeObject **out)
{
	struct buf lines = BUF_INIT(CEILING_MAIL_BYTES);
	GMimePart *part = NULL;
	char boundary[80];
	enum rc rc = RC_OK;
	struct look l;

	put_lines(&lines, d->in->body, "\n");
	l = look_at(buf_slice(&lines));
	if (l.has_nul || l.longest > LINE_MAX_BYTES) {
		rc = err_set(d->err, RC_REJECT,
		    "a multipart body with a NUL or a line over 998 bytes");
		goto out;
	}
	if (d->boundary.n > 70) {
		rc = err_set(d->err, RC_REJECT, "a boundary over 70 bytes");
		goto out;
	}
	(void)snprintf(
	    boundary, sizeof boundary, "%.*s", SLICE_FMT(d->boundary));
	part = g_mime_part_new_with_type(type, subtype);
	g_mime_object_set_content_type_parameter(
	    (GMimeObject *)part, "boundary", boundary);
	fill(part, buf_slice(&lines),
	    l.is_ascii ? GMIME_CONTENT_ENCODING_7BIT
		       : GMIME_CONTENT_ENCODING_8BIT);
	*out = (GMimeObject *)part;
out:
	buf_clear(&lines);
	return rc;
}

/* The same input gives the same bytes, and no body can know the boundary. */
static GMimeMultipart *
multipart(struct mime_draft *d, const char *subtype)
{
	GMimeMultipart *m = g_mime_multipart_new_with_subtype(subtype);
	struct buf boundary = BUF_INIT(80);
	unsigned char digest[MD5_LEN];
	struct md5 hash;

	md5_init(&hash);
	md5_put(&hash, d->in->message_id);
	md5_put(&hash, d->in->body);
	md5_put(&hash, d->in->alternative);
	md5_end(&hash, digest);
	buf_printf(&boundary, "b%u=_", ++d->nparts);
	buf_put_hex(&boundary, digest, sizeof digest);
	g_mime_multipart_set_boundary(m, buf_str(&boundary));
	buf_clear(&boundary);
	return m;
}

static void
adopt(GMimeMultipart *m, GMimeObject *part)
{
	g_mime_multipart_add(m, part);
	g_object_unref(part);
}

static enum rc
body_part(struct mime_draft *d, GMimeObject **out)
{
	struct slice given = d->type.n > 0 ? d->type : SLICE_LIT("text/plain");
	struct slice none = SLICE_LIT("");
	char type[128], subtype[128];
	GMimeMultipart *both;

	if (!split_type(given, type, subtype))
		return err_set(d->err, RC_REJECT, "the content type is none");
	if (slice_eq_nocase(slice_str(type), SLICE_LIT("multipart")) &&
	    d->boundary.n > 0)
		return raw_part(d, type, subtype, out);
	if (slice_eq_nocase(slice_str(type), SLICE_LIT("multipart")) ||
	    slice_eq_nocase(slice_str(type), SLICE_LIT("message")))
		return err_set(
		    d->err, RC_REJECT, "a %s body without a boundary", type);
	*out = text_part(type, subtype, d->charset, d->in->body);
	if (d->in->alternative.n == 0 ||
	    !slice_eq_nocase(given, SLICE_LIT("text/html")))
		return RC_OK;
	both = multipart(d, "alternative");
	adopt(both, text_part("text", "plain", none, d->in->alternative));
	adopt(both, *out);
	*out = (GMimeObject *)both;
	return RC_OK;
}

/* ---- attachments -------------------------------------------------------- */

/* By a name's ending. */
static struct slice
type_of(struct slice name)
{
	static const struct {
		const char *ending, *type;
	} types[] = { { "pdf", "application/pdf" }, { "ics", "text/calendar" },
		{ "txt", "text/plain" }, { "csv", "text/csv" },
		{ "htm", "text/html" }, { "html", "text/html" },
		{ "xml", "text/xml" }, { "json", "application/json" },
		{ "jpg", "image/jpeg" }, { "jpeg", "image/jpeg" },
		{ "png", "image/png" }, { "gif", "image/gif" },
		{ "webp", "image/webp" }, { "bmp", "image/bmp" },
		{ "tif", "image/tiff" }, { "tiff", "image/tiff" },
		{ "heic", "image/heic" }, { "avif", "image/avif" },
		{ "mp3", "audio/mpeg" }, { "wav", "audio/x-wav" },
		{ "mp4", "video/mp4" }, { "mov", "video/quicktime" },
		{ "avi", "video/x-msvideo" }, { "mpeg", "video/mpeg" },
		{ "zip", "application/zip" }, { "tar", "application/x-tar" },
		{ "doc", "application/msword" },
		{ "xls", "application/vnd.ms-excel" },
		{ "ppt", "application/vnd.ms-powerpoint" },
		{ "docx", "application/vnd.openxmlformats-officedocument"
			  ".wordprocessingml.document" },
		{ "xlsx", "application/vnd.openxmlformats-officedocument"
			  ".spreadsheetml.sheet" },
		{ "pptx", "application/vnd.openxmlformats-officedocument"
			  ".presentationml.presentation" },
		{ "rtf", "text/rtf" }, { "vcf", "text/vcard" },
		{ "css", "text/css" }, { "log", "text/plain" },
		{ "ps", "application/postscript" } };
	size_t dot = name.n;

	while (dot > 0 && name.p[dot - 1] != '.')
		dot--;
	for (size_t i = 0; dot > 0 && i < NELEMS(types); i++)
		if (slice_eq_nocase(
			slice_from(name, dot), slice_str(types[i].ending)))
			return slice_str(types[i].type);
	return SLICE_LIT("application/octet-stream");
}

/* For readers that do not know RFC 2231. */
static void
put_ascii(struct buf *out, struct slice name)
{
	for (size_t at = 0; at < name.n;) {
		size_t len = utf8_len(name, at);

		buf_put(out, len > 1 ? "_" : name.p + at, 1);
		at += len > 0 ? len : 1;
	}
}

static void
put_filename(GMimeObject *object, struct slice name)
{
	struct buf ascii = BUF_INIT(4096);
	GMimeParamList *list = g_mime_content_disposition_get_parameters(
	    g_mime_object_get_content_disposition(object));
	GMimeParam *param;

	put_ascii(&ascii, name);
	g_mime_object_set_content_type_parameter(
	    object, "name", buf_str(&ascii));
	g_mime_param_list_set_parameter(list, "filename", name.p);
	param = g_mime_param_list_get_parameter(list, "filename");
	g_mime_param_set_charset(param, "utf-8");
	g_mime_param_set_encoding_method(
	    param, GMIME_PARAM_ENCODING_METHOD_RFC2231);
	buf_clear(&ascii);
}

static GMimeObject *
attachment_part(const struct mime_attachment *a)
{
	struct buf name = BUF_INIT(4096);
	struct slice base = a->name;
	char type[128], subtype[128];
	GMimePart *part;
	GMimeObject *object;

	for (size_t i = 0; i < a->name.n; i++)
		if (a->name.p[i] == '/')
			base = slice_from(a->name, i + 1);
	mime_header_put_clean(
	    &name, slice_mem(base.p, slice_utf8_cut(base, 1000)));
	if (!split_type(a->type.n > 0 ? a->type : type_of(base), type, subtype))
		(void)split_type(type_of(base), type, subtype);
	part = g_mime_part_new_with_type(type, subtype);
	object = (GMimeObject *)part;
	fill(part, a->bytes, GMIME_CONTENT_ENCODING_BASE64);
	g_mime_object_set_disposition(object, "attachment");
	if (name.n > 0)
		put_filename(object, buf_slice(&name));
	buf_clear(&name);
	return object;
}

/* The tree of parts. */
static enum rc
whole_part(struct mime_draft *d, GMimeObject **out)
{
	const struct mime_input *in = d->in;
	GMimeMultipart *mixed;
	enum rc rc = body_part(d, out);

	if (rc != RC_OK || in->nattachments == 0)
		return rc;
	mixed = multipart(d, "mixed");
	adopt(mixed, *out);
	for (size_t i = 0; i < in->nattachments; i++)
		adopt(mixed, attachment_part(&in->attachments[i]));
	*out = (GMimeObject *)mixed;
	return RC_OK;
}

/* ---- the whole ---------------------------------------------------------- */

static bool
is_too_large(const struct mime_input *in)
{
	size_t left = CEILING_MAIL_INPUT_BYTES;

	if (in->body.n > left || in->alternative.n > left - in->body.n)
		return true;
	left -= in->body.n + in->alternative.n;
	for (size_t i = 0; i < in->nattachments; i++) {
		if (in->attachments[i].bytes.n > left)
			return true;
		left -= in->attachments[i].bytes.n;
	}
	return false;
}

static enum rc
write_out(const struct mime_draft *d, GMimeObject *whole)
{
	GMimeFormatOptions *format = g_mime_format_options_new();
	GMimeStream *stream = g_mime_stream_mem_new();
	struct buf *bytes = &d->out->bytes;
	const GByteArray *written;
	bool ok;

	g_mime_format_options_set_newline_format(
	    format, GMIME_NEWLINE_FORMAT_DOS);
	ok = g_mime_object_write_to_stream(whole, format, stream) >= 0;
	written = g_mime_stream_mem_get_byte_array((GMimeStreamMem *)stream);
	buf_put_slice(bytes, buf_slice(&d->head));
	buf_put(bytes, written->data, written->len);
	if (bytes->n < 2 || memcmp(bytes->p + bytes->n - 2, "\r\n", 2) != 0)
		buf_put_str(bytes, "\r\n");
	g_object_unref(stream);
	g_mime_format_options_free(format);
	if (!ok)
		return err_set(d->err, RC_RETRY, "no memory for a mail");
	if (bytes->failed || d->head.failed)
		return err_set(d->err, RC_REJECT, "the mail is too large");
	/* A word of a header that long cannot be folded; the CR counts. */
	if (look_at(buf_slice(bytes)).longest > LINE_MAX_BYTES + 1)
		return err_set(d->err, RC_REJECT, "a line over 998 bytes");
	return RC_OK;
}

static void
put_recipients(const struct mime_draft *d)
{
	struct mime_mail *out = d->out;
	size_t from = 0;

	out->recipients = xcalloc(out->nrecipients, sizeof out->recipients[0]);
	for (size_t i = 0; i < out->nrecipients; i++) {
		out->recipients[i] =
		    slice_mem(out->addresses.p + from, d->ends[i] - from);
		from = d->ends[i];
	}
}

enum rc
mime_mail_build(
    const struct mime_input *in, struct mime_mail *out, struct err *err)
{
	struct mime_draft d = { .in = in,
		.out = out,
		.err = err,
		.to = BUF_INIT(CEILING_MAIL_BYTES),
		.cc = BUF_INIT(CEILING_MAIL_BYTES),
		.reply_to = BUF_INIT(CEILING_MAIL_BYTES),
		.head = BUF_INIT(CEILING_MAIL_BYTES) };
	GMimeObject *whole = NULL;
	enum rc rc;

	*out = (struct mime_mail){ .bytes = BUF_INIT(CEILING_MAIL_BYTES),
		.sender = BUF_INIT(512),
		.addresses = BUF_INIT(MIME_MAIL_RECIPIENTS * 512),
		.subject = BUF_INIT(CEILING_MAIL_SUBJECT_BYTES * 3 + 1) };
	if (is_too_large(in))
		return err_set(err, RC_REJECT, "a mail over 25 MiB");
	(void)pthread_once(&once, g_mime_init);
	rc = mime_mail_read_input(&d);
	if (rc == RC_OK)
		rc = whole_part(&d, &whole);
	if (rc == RC_OK)
		rc = write_out(&d, whole);
	if (rc == RC_OK)
		put_recipients(&d);
	else
		out->nrecipients = 0;
	if (whole)
		g_object_unref(whole);
	buf_clear(&d.to);
	buf_clear(&d.cc);
	buf_clear(&d.reply_to);
	buf_clear(&d.head);
	return rc;
}

void
mime_mail_clear(struct mime_mail *m)
{
	buf_clear(&m->bytes);
	buf_clear(&m->sender);
	buf_clear(&m->addresses);
	buf_clear(&m->subject);
	free(m->recipients);
	m->recipients = NULL;
	m->nrecipients = 0;
}
