/* What wp_mail() reads out of its arguments (wp-includes/pluggable.php). */
#include "formats/mime_mail_private.h"

#include "base/ceilings.h"
#include "base/clock.h"
#include "formats/mail_address.h"
#include "formats/mime_header.h"

#include <inttypes.h>
#include <string.h>

#define NAME_MAX_BYTES ((size_t)1024) /* of a person */
#define NAME_MAX_HEADER 76
#define DATE_END INT64_C(253402300800) /* the year 10000 */

static enum rc
reject(struct mime_draft *d, const char *why)
{
	return err_set(d->err, RC_REJECT, "%s", why);
}

/* ---- text --------------------------------------------------------------- */

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_control(s.p[i]) && s.p[i] != '\t')
			return true;
	return false;
}

static size_t
find_nocase(struct slice s, struct slice what)
{
	for (size_t i = 0; i + what.n <= s.n; i++)
		if (slice_eq_nocase(slice_mem(s.p + i, what.n), what))
			return i;
	return SIZE_MAX;
}

/* Without the quotes around it. */
static struct slice
unquote(struct slice s)
{
	s = slice_trim(s);
	if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') &&
	    s.p[s.n - 1] == s.p[0])
		return slice_trim(slice_mem(s.p + 1, s.n - 2));
	return s;
}

/* ---- addresses ---------------------------------------------------------- */

/* preg_match( '/(.*)<(.+)>/' ): the last < before the last >. */
static void
split_name(struct slice part, struct slice *name, struct slice *address)
{
	size_t end = part.n, begin;

	*name = SLICE_LIT("");
	*address = slice_trim(part);
	while (end > 0 && part.p[end - 1] != '>')
		end--;
	if (end < 3)
		return;
	begin = end - 2;
	while (begin > 0 && part.p[begin - 1] != '<')
		begin--;
	if (begin == 0)
		return;
	*name = slice_trim(slice_mem(part.p, begin - 1));
	*address = slice_trim(slice_mem(part.p + begin, end - 1 - begin));
}

/* is_email() wants a dot in the domain, and a local part of ASCII: header
 * fields with others need a relay that takes those (RFC 6532). */
static bool
put_address(struct buf *out, struct slice address)
{
	struct slice domain = mail_address_domain(address);

	for (size_t i = 0; i + domain.n < address.n; i++)
		if ((unsigned char)address.p[i] >= 0x80)
			return false;
	return slice_find(domain, '.') < domain.n &&
	       mail_address_put(out, address);
}

static bool
is_recipient(const struct mime_draft *d, struct slice address)
{
	size_t from = 0;

	for (size_t i = 0; i < d->out->nrecipients; i++) {
		if (slice_eq_nocase(slice_mem(d->out->addresses.p + from,
					d->ends[i] - from),
			address))
			return true;
		from = d->ends[i];
	}
	return false;
}

/* The next of a list's pairs. */
static bool
list_next(struct slice *list, struct slice *name, struct slice *address)
{
	size_t end;

	if (list->n == 0)
		return false;
	*name = slice_mem(list->p, slice_find(*list, '\0'));
	*list = slice_from(*list, name->n + 1);
	end = slice_find(*list, '\0');
	*address = slice_mem(list->p, end);
	*list = slice_from(*list, end + 1);
	return true;
}

static bool
list_has(const struct buf *list, struct slice address)
{
	struct slice rest = buf_slice(list), name, other;

	while (list_next(&rest, &name, &other))
		if (slice_eq_nocase(other, address))
			return true;
	return false;
}

static void
list_add(struct buf *list, struct slice name, struct slice address)
{
	mime_header_put_clean(
	    list, slice_mem(name.p, slice_utf8_cut(name, NAME_MAX_BYTES)));
	buf_put_char(list, '\0');
	buf_put_slice(list, address);
	buf_put_char(list, '\0');
}

static void
put_list(struct mime_draft *d, const char *header, const struct buf *list)
{
	struct slice rest = buf_slice(list), name, address;
	struct mime_header_list l;

	if (rest.n == 0)
		return;
	mime_header_begin_list(&l, &d->head, header);
	while (list_next(&rest, &name, &address))
		mime_header_put_mailbox(&l, name, address);
	mime_header_end_list(&l);
}

enum address_kind {
	TO,
	CC,
	BCC,
	REPLY_TO
};

/* PHPMailer takes an address once, wherever it stands first. */
static enum rc
add_address(struct mime_draft *d, enum address_kind kind, struct slice name,
    struct slice address)
{
	struct buf *lists[] = { [TO] = &d->to,
		[CC] = &d->cc,
		[BCC] = NULL,
		[REPLY_TO] = &d->reply_to };
	struct mime_mail *out = d->out;

	if (kind == REPLY_TO ? list_has(&d->reply_to, address)
			     : is_recipient(d, address))
		return RC_OK;
	if (kind != REPLY_TO) {
		if (out->nrecipients == MIME_MAIL_RECIPIENTS)
			return reject(d, "more than 100 recipients");
		buf_put_slice(&out->addresses, address);
		d->ends[out->nrecipients++] = out->addresses.n;
	}
	if (lists[kind])
		list_add(lists[kind], name, address);
	return RC_OK;
}

/* One of a list. What is no address is left out, as PHPMailer does. */
static enum rc
add_one(struct mime_draft *d, enum address_kind kind, struct slice part)
{
	struct buf address = BUF_INIT(512);
	struct slice name, text;
	enum rc rc = RC_OK;

	part = slice_trim(part);
	if (has_control(part))
		return reject(d, "a line break or control in an address");
	split_name(part, &name, &text);
	if (put_address(&address, text))
		rc = add_address(d, kind, unquote(name), buf_slice(&address));
	buf_clear(&address);
	return rc;
}

static enum rc
add_list(struct mime_draft *d, enum address_kind kind, struct slice list)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && list.n > 0) {
		size_t comma = slice_find(list, ',');

		rc = add_one(d, kind, slice_mem(list.p, comma));
		list = slice_from(list, comma + 1);
	}
	return rc;
}

static enum rc
put_from(struct mime_draft *d)
{
	struct buf name = BUF_INIT(CEILING_MAIL_HEADER_BYTES);
	struct buf from = BUF_INIT(CEILING_MAIL_HEADER_BYTES * 4);

	if (has_control(d->from) || !put_address(&d->out->sender, d->from))
		return reject(d, "the sender is not a mail address");
	for (size_t i = 0; i < d->from_name.n; i++)
		if (d->from_name.p[i] != '"')
			buf_put_char(&name, d->from_name.p[i]);
	list_add(&from, buf_slice(&name), buf_slice(&d->out->sender));
	put_list(d, "From", &from);
	buf_clear(&from);
	buf_clear(&name);
	return RC_OK;
}

/* ---- headers ------------------------------------------------------------ */

static bool
split_header(struct slice line, struct slice *name, struct slice *value)
{
	size_t colon;

	line = slice_trim(line);
	colon = slice_find(line, ':');
	if (colon == line.n)
		return false;
	*name = slice_trim(slice_mem(line.p, colon));
	*value = slice_trim(slice_from(line, colon + 1));
	return true;
}

static bool
is_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == ':')
			return false;
	return s.n > 0 && s.n <= NAME_MAX_HEADER;
}

static void
read_from(struct mime_draft *d, struct slice value)
{
	size_t bracket = slice_find(value, '<');
	struct slice name = slice_trim(slice_mem(value.p, bracket));

	if (bracket == value.n) {
		if (value.n > 0)
			d->from = value;
		return;
	}
	if (bracket > 0)
		d->from_name = name;
	d->from = slice_from(value, bracket + 1);
	d->from.n = slice_find(d->from, '>');
	d->from = slice_trim(d->from);
}

static void
read_boundary(struct mime_draft *d, struct slice text)
{
	size_t at = find_nocase(text, SLICE_LIT("boundary="));

	if (at != SIZE_MAX)
		d->boundary = unquote(slice_from(text, at + 9));
}

static void
read_type(struct mime_draft *d, struct slice value)
{
	size_t semicolon = slice_find(value, ';');
	struct slice rest = slice_from(value, semicolon + 1);
	size_t at;

	rest.n = slice_find(rest, ';');
	if (value.n > 0)
		d->type = slice_trim(slice_mem(value.p, semicolon));
	at = find_nocase(rest, SLICE_LIT("charset="));
	if (at != SIZE_MAX)
		d->charset = unquote(slice_from(rest, at + 8));
	else
		read_boundary(d, rest);
}

/* Made by us, or by the relays; a second one would be forged or confusing. */
static bool
is_managed(struct slice name)
{
	static const char *const names[] = { "to", "cc", "bcc", "from",
		"sender", "subject", "reply-to", "date", "message-id",
		"mime-version", "x-mailer", "return-path", "received",
		"dkim-signature" };

	for (size_t i = 0; i < NELEMS(names); i++)
		if (slice_eq_nocase(name, slice_str(names[i])))
			return true;
	return slice_eq_nocase(
	    slice_mem(name.p, name.n < 8 ? name.n : 8), SLICE_LIT("content-"));
}

/* From and Content-Type: of several the last one counts. */
static enum rc
look_at(struct mime_draft *d, struct slice line)
{
	struct slice name, value;

	if (has_control(slice_trim(line)))
		return reject(d, "a line break or control in a header");
	if (!split_header(line, &name, &value)) {
		read_boundary(d, line);
		return RC_OK;
	}
	if (!is_name(name))
		return reject(d, "a header's name is none");
	if (value.n > CEILING_MAIL_HEADER_BYTES)
		return reject(d, "a header over 8 KiB");
	if (slice_eq_nocase(name, SLICE_LIT("from")))
		read_from(d, value);
	if (slice_eq_nocase(name, SLICE_LIT("content-type")))
		read_type(d, value);
	return RC_OK;
}

static void
put_header(struct mime_draft *d, struct slice name, struct slice value)
{
	struct buf clean = BUF_INIT(CEILING_MAIL_HEADER_BYTES * 3 + 1);
	char key[NAME_MAX_HEADER + 1];

	mime_header_put_clean(&clean, value);
	(void)snprintf(key, sizeof key, "%.*s", SLICE_FMT(name));
	mime_header_put_text(&d->head, key, buf_slice(&clean));
	buf_clear(&clean);
}

static enum rc
take_list(struct mime_draft *d, struct slice line)
{
	struct slice name, value;

	if (!split_header(line, &name, &value))
		return RC_OK;
	if (slice_eq_nocase(name, SLICE_LIT("cc")))
		return add_list(d, CC, value);
	if (slice_eq_nocase(name, SLICE_LIT("bcc")))
		return add_list(d, BCC, value);
	if (slice_eq_nocase(name, SLICE_LIT("reply-to")))
		return add_list(d, REPLY_TO, value);
	return RC_OK;
}

/* Of several of a name the last one is kept. */
static void
put_others(struct mime_draft *d)
{
	const struct mime_input *in = d->in;
	struct slice name, value, later, unused;

	for (size_t i = 0; i < in->nheaders; i++) {
		size_t k = i + 1;

		if (!split_header(in->headers[i], &name, &value) ||
		    is_managed(name) || value.n == 0)
			continue;
		while (k < in->nheaders &&
		       !(split_header(in->headers[k], &later, &unused) &&
			   slice_eq_nocase(name, later)))
			k++;
		if (k == in->nheaders)
			put_header(d, name, value);
	}
}

/* Only hidden recipients: PHPMailer says so too. */
static void
put_lists(struct mime_draft *d)
{
	put_list(d, "To", &d->to);
	put_list(d, "Cc", &d->cc);
	if (d->to.n == 0 && d->cc.n == 0)
		buf_put_str(&d->head, "To: undisclosed-recipients:;\r\n");
	put_list(d, "Reply-To", &d->reply_to);
}

static bool
is_message_id(struct slice s)
{
	if (s.n < 5 || s.n > 250 || s.p[0] != '<' || s.p[s.n - 1] != '>')
		return false;
	for (size_t i = 1; i + 1 < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '<' ||
		    s.p[i] == '>')
			return false;
	return slice_find(s, '@') < s.n;
}

static enum rc
put_date(struct mime_draft *d)
{
	static const char days[] = "ThuFriSatSunMonTueWed";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t day = d->in->date / 86400, second = d->in->date % 86400;
	int64_t year;
	int month, mday;

	if (d->in->date < 0 || d->in->date >= DATE_END)
		return reject(d, "the date is none");
	civil_from_days(day, &year, &month, &mday);
	buf_printf(&d->head,
	    "Date: %.3s, %d %.3s %" PRId64 " %02d:%02d:%02d +0000\r\n",
	    days + day % 7 * 3, mday, months + (size_t)(month - 1) * 3, year,
	    (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60));
	return RC_OK;
}

static enum rc
put_head(struct mime_draft *d)
{
	struct slice id = d->in->message_id;
	enum rc rc = put_date(d);

	if (rc == RC_OK && !is_message_id(id))
		rc = reject(d, "the Message-ID is none");
	if (rc == RC_OK && d->in->subject.n > CEILING_MAIL_SUBJECT_BYTES)
		rc = reject(d, "a subject over 2 KiB");
	if (rc == RC_OK)
		rc = put_from(d);
	if (rc != RC_OK)
		return rc;
	put_lists(d);
	mime_header_put_clean(&d->out->subject, d->in->subject);
	mime_header_put_text(&d->head, "Subject", buf_slice(&d->out->subject));
	buf_put_str(&d->head, "Message-ID: ");
	buf_put_slice(&d->head, id);
	buf_put_str(&d->head, "\r\n");
	put_others(d);
	buf_put_str(&d->head, "MIME-Version: 1.0\r\n");
	return RC_OK;
}

enum rc
mime_mail_read_input(struct mime_draft *d)
{
	const struct mime_input *in = d->in;
	enum rc rc = RC_OK;

	d->from_name = in->default_from_name;
	d->from = in->default_from;
	if (in->nheaders > MIME_MAIL_HEADERS)
		return reject(d, "more than 64 headers");
	for (size_t i = 0; rc == RC_OK && i < in->nheaders; i++)
		rc = look_at(d, in->headers[i]);
	if (rc == RC_OK)
		rc = add_list(d, TO, in->to);
	for (size_t i = 0; rc == RC_OK && i < in->nheaders; i++)
		rc = take_list(d, in->headers[i]);
	if (rc == RC_OK && d->out->nrecipients == 0)
		rc = reject(d, "no recipient");
	if (rc == RC_OK && in->body.n == 0)
		rc = reject(d, "an empty body"); /* PHPMailer's rule */
	return rc == RC_OK ? put_head(d) : rc;
}
