/* send_email without PHP: what wp_mail() would make of the payload, built here
 * and put into the outbox. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/buf.h"
#include "engine/tasks_run_internal.h"
#include "formats/mail_address.h"
#include "formats/mime_mail.h"
#include "formats/php_serialize.h"
#include "formats/seal.h"
#include "queues/outbox.h"

#define HEADERS_MAX 64
#define ATTACHMENTS_MAX 32
#define KEY_FILE_MAX 1024
#define MIB ((size_t)1024 * 1024)

struct email {
	const struct tasks_turn *t;
	const struct task *task;
	struct arena a;
	struct mime_input in;
	struct slice headers[HEADERS_MAX + 2];
	struct mime_attachment attachments[ATTACHMENTS_MAX];
	char host[256]; /* of the site, without www. */
	char from[300], id[400];
};

/* ---- the payload -------------------------------------------------------- */

static struct slice
text_of(const struct php_serialize_value *v)
{
	return v && v->type == PHP_SERIALIZE_STRING ? v->text : SLICE_LIT("");
}

/* A list becomes what wp_mail() would make of it: commas between. */
static enum rc
read_to(struct email *e, const struct php_serialize_value *p, struct err *err)
{
	const struct php_serialize_value *to = php_serialize_at(p, "to");
	struct buf all = BUF_INIT((size_t)64 * 1024);

	if (to && to->type == PHP_SERIALIZE_ARRAY)
		for (size_t i = 0; i < to->nmembers; i++) {
			if (all.n > 0)
				buf_put_str(&all, ", ");
			buf_put_slice(&all, text_of(php_serialize_deref(
						&to->members[i].value)));
		}
	else
		buf_put_slice(&all, text_of(to));
	e->in.to = arena_slice(&e->a, buf_slice(&all));
	if (all.failed || e->a.failed || slice_trim(e->in.to).n == 0) {
		buf_clear(&all);
		return err_set(
		    err, RC_REJECT, "the payload names nobody to write to");
	}
	buf_clear(&all);
	return RC_OK;
}

static enum rc
add_header(struct email *e, struct slice line, struct err *err)
{
	line = slice_trim(line);
	if (line.n == 0)
		return RC_OK;
	if (e->in.nheaders >= HEADERS_MAX)
		return err_set(
		    err, RC_REJECT, "more than %d headers", HEADERS_MAX);
	e->headers[e->in.nheaders++] = line;
	return RC_OK;
}

static enum rc
add_member(
    struct email *e, const struct php_serialize_member *m, struct err *err)
{
	struct slice value = text_of(php_serialize_deref(&m->value));
	struct buf line = BUF_INIT((size_t)64 * 1024);
	struct slice kept;

	if (m->int_key)
		return add_header(e, value, err);
	/* wp_mail() takes lines alone; that is what is meant. */
	buf_printf(&line, "%.*s: ", SLICE_FMT(m->key));
	buf_put_slice(&line, value);
	kept = arena_slice(&e->a, buf_slice(&line));
	buf_clear(&line);
	return add_header(e, kept, err);
}

static enum rc
read_headers(
    struct email *e, const struct php_serialize_value *p, struct err *err)
{
	const struct php_serialize_value *v = php_serialize_at(p, "headers");
	struct slice rest = text_of(v);
	enum rc rc = RC_OK;

	while (rest.n > 0 && rc == RC_OK) {
		size_t end = slice_find(rest, '\n');

		rc = add_header(e, slice_mem(rest.p, end), err);
		rest = slice_from(rest, end + 1);
	}
	if (v && v->type == PHP_SERIALIZE_ARRAY)
		for (size_t i = 0; i < v->nmembers && rc == RC_OK; i++)
			rc = add_member(e, &v->members[i], err);
	e->in.headers = e->headers;
	return rc;
}

/* ---- attachments -------------------------------------------------------- */

/* Of this directory nothing is secret: everybody can upload and see it. */
static enum rc
open_upload(const struct email *e, const char *path, int *fd, struct err *err)
{
	char dir[PATH_MAX], wanted[PATH_MAX], real[PATH_MAX];
	size_t n;
	int len = snprintf(
	    wanted, sizeof wanted, "%s/uploads", e->t->env->site->content_dir);

	if (len < 0 || (size_t)len >= sizeof wanted || !realpath(wanted, dir))
		return err_set(
		    err, RC_REJECT, "the site has no directory of uploads");
	n = strlen(dir);
	if (!realpath(path, real))
		return err_set(err, RC_REJECT, "an attachment is not there");
	if (strncmp(real, dir, n) != 0 || real[n] != '/')
		return err_set(err, RC_REJECT,
		    "an attachment is not among the site's uploads");
	*fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return *fd >= 0
		   ? RC_OK
		   : err_set(err, RC_REJECT, "an attachment cannot be read");
}

static enum rc
read_whole(
    int fd, size_t max, struct arena *a, struct slice *out, struct err *err)
{
	struct stat st;
	size_t got = 0;
	char *p;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(err, RC_REJECT, "an attachment is no file");
	if ((uint64_t)st.st_size > max)
		return err_set(err, RC_REJECT,
		    "an attachment is larger than outbox_max_mib");
	p = arena_alloc(a, (size_t)st.st_size + 1);
	if (!p)
		return err_set(err, RC_REJECT, "the attachments are too large");
	while (got < (size_t)st.st_size) {
		ssize_t n = read(fd, p + got, (size_t)st.st_size - got);

		if (n <= 0)
			return err_set(
			    err, RC_RETRY, "an attachment cannot be read");
		got += (size_t)n;
	}
	*out = slice_mem(p, got);
	return RC_OK;
}

static struct slice
base_name(struct slice path)
{
	size_t from = path.n;

	while (from > 0 && path.p[from - 1] != '/')
		from--;
	return slice_from(path, from);
}

static enum rc
attach(struct email *e, struct slice path, struct slice name, struct err *err)
{
	const size_t max = e->t->site->outbox_max_mib * MIB;
	struct mime_attachment *at = &e->attachments[e->in.nattachments];
	char *text;
	int fd = -1;
	enum rc rc;

	path = slice_trim(path);
	if (path.n == 0)
		return RC_OK;
	text =
	    slice_find(path, '\0') == path.n ? arena_strdup(&e->a, path) : NULL;
	if (e->in.nattachments >= ATTACHMENTS_MAX || !text)
		return err_set(
		    err, RC_REJECT, "attachments that cannot be sent");
	rc = open_upload(e, text, &fd, err);
	if (rc != RC_OK)
		return rc;
	*at = (struct mime_attachment){ .name = name.n > 0 ? name
							   : base_name(path) };
	rc = read_whole(fd, max, &e->a, &at->bytes, err);
	(void)close(fd);
	if (rc == RC_OK)
		e->in.nattachments++;
	return rc;
}

static enum rc
read_attachments(
    struct email *e, const struct php_serialize_value *p, struct err *err)
{
	const struct php_serialize_value *v =
	    php_serialize_at(p, "attachments");
	struct slice rest = text_of(v);
	enum rc rc = RC_OK;

	while (rest.n > 0 && rc == RC_OK) {
		size_t end = slice_find(rest, '\n');

		rc = attach(e, slice_mem(rest.p, end), SLICE_NONE, err);
		rest = slice_from(rest, end + 1);
	}
	for (size_t i = 0; v && v->type == PHP_SERIALIZE_ARRAY &&
			   i < v->nmembers && rc == RC_OK;
	     i++) {
		const struct php_serialize_member *m = &v->members[i];

		rc = attach(e, text_of(php_serialize_deref(&m->value)),
		    m->int_key ? SLICE_NONE : m->key, err);
	}
	e->in.attachments = e->attachments;
	return rc;
}

static enum rc
read_payload(struct email *e, struct err *err)
{
	struct php_serialize_value v;
	const struct php_serialize_value *body;
	enum rc rc = php_serialize_parse(
	    e->task->payload, &PHP_SERIALIZE_LIMITS, &e->a, &v, err);

	if (rc != RC_OK)
		return err_wrap(err, "the payload");
	if (v.type != PHP_SERIALIZE_ARRAY)
		return err_set(err, RC_REJECT, "the payload is not an array");
	body = php_serialize_at(&v, "message");
	e->in.subject = text_of(php_serialize_at(&v, "subject"));
	e->in.body = text_of(body ? body : php_serialize_at(&v, "body"));
	rc = read_to(e, &v, err);
	if (rc == RC_OK)
		rc = read_headers(e, &v, err);
	if (rc == RC_OK)
		rc = read_attachments(e, &v, err);
	return rc;
}

/* ---- who writes --------------------------------------------------------- */

/* wp-includes/pluggable.php: wp_mail(): wordpress@ and the host. */
static void
name_site(struct email *e)
{
	struct slice home = slice_str(e->t->env->facts->home);
	size_t scheme = slice_find(home, '/');
	struct slice host = slice_from(home, scheme + 2);

	host.n = slice_find(host, '/');
	host.n = slice_find(host, ':');
	if (slice_starts(host, SLICE_LIT("www.")))
		host = slice_from(host, 4);
	(void)snprintf(e->host, sizeof e->host, "%.*s",
	    host.n > 0 ? (int)host.n : 9, host.n > 0 ? host.p : "localhost");
	(void)snprintf(e->from, sizeof e->from, "wordpress@%s", e->host);
	(void)snprintf(e->id, sizeof e->id, "<task.%" PRIu64 ".%.*s@%s>",
	    e->task->task_id, SLICE_FMT(e->task->id_hash), e->host);
	e->in.default_from = slice_str(e->from);
	e->in.default_from_name = SLICE_LIT("WordPress");
	e->in.message_id = slice_str(e->id);
	e->in.date = clock_unix(e->t->env->clock);
}

static bool
is_foreign(const struct config_smtp *smtp, struct slice sender)
{
	struct slice domain = mail_address_domain(sender);

	for (size_t i = 0; i < smtp->from_domains.n; i++)
		if (slice_glob_nocase(
			domain, slice_str(smtp->from_domains.items[i])))
			return false;
	return smtp->from_domains.n > 0;
}

static bool
is_header(struct slice line, const char *name)
{
	struct slice key = slice_mem(line.p, slice_find(line, ':'));

	return slice_eq_nocase(slice_trim(key), slice_str(name));
}

/* "From: Name <address>" */
static void
keep_name(struct email *e, struct slice line)
{
	struct slice value = slice_from(line, slice_find(line, ':') + 1);
	size_t bracket = slice_find(value, '<');
	struct slice name = slice_trim(slice_mem(value.p, bracket));

	if (bracket < value.n && name.n > 0)
		e->in.default_from_name = name;
}

/* From: our address and the name it had; answers go to whoever it was. */
static enum rc
rewrite_from(struct email *e, struct slice sender, struct err *err)
{
	struct buf line = BUF_INIT(2048);
	bool answers_elsewhere = false;
	size_t n = 0;

	for (size_t i = 0; i < e->in.nheaders; i++) {
		answers_elsewhere |= is_header(e->headers[i], "Reply-To");
		if (is_header(e->headers[i], "From"))
			keep_name(e, e->headers[i]);
		else
			e->headers[n++] = e->headers[i];
	}
	if (!answers_elsewhere) {
		buf_printf(&line, "Reply-To: %.*s", SLICE_FMT(sender));
		e->headers[n++] = arena_slice(&e->a, buf_slice(&line));
	}
	buf_clear(&line);
	e->in.nheaders = n;
	e->in.default_from = slice_str(e->t->smtp->from);
	return e->a.failed ? err_set(err, RC_RETRY, "no memory for a mail")
			   : RC_OK;
}

static enum rc
build(struct email *e, struct mime_mail *m, struct err *err)
{
	const struct config_smtp *smtp = e->t->smtp;
	enum rc rc = mime_mail_build(&e->in, m, err);

	if (rc != RC_OK || smtp->foreign_from == FOREIGN_FROM_SEND ||
	    !is_foreign(smtp, buf_slice(&m->sender)))
		return rc;
	if (smtp->foreign_from == FOREIGN_FROM_PHP &&
	    config_smtp_confines(smtp))
		return RC_OK;
	if (smtp->foreign_from == FOREIGN_FROM_PHP)
		return err_set(err, RC_REJECT,
		    "its From is of none of the relay's from_domains; "
		    "foreign_from = rewrite or send, or the handler php:");
	rc = rewrite_from(e, buf_slice(&m->sender), err);
	mime_mail_clear(m);
	return rc == RC_OK ? mime_mail_build(&e->in, m, err) : rc;
}

/* ---- storing ------------------------------------------------------------ */

/* RC_NONE: mails are not sealed. */
static enum rc
read_key(const struct config_site *site, unsigned char key[SEAL_KEY_LEN],
    struct err *err)
{
	char text[KEY_FILE_MAX];
	ssize_t n;
	int fd;
	enum rc rc;

	if (!site->outbox_key_file)
		return RC_NONE;
	fd = open(site->outbox_key_file, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof text) : -1;
	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		return err_set(err, RC_RETRY, "outbox_key_file cannot be read");
	rc = seal_key_read(slice_mem(text, (size_t)n), key, err);
	OPENSSL_cleanse(text, sizeof text);
	/* It may be mended, and the mail sent then. */
	return rc == RC_REJECT ? RC_RETRY : rc;
}

/* What makes two mails of a task the same one. */
static bool
digest(const struct email *e, const struct mime_mail *m,
    unsigned char out[SEAL_KEY_LEN])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned len = 0;
	bool ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL);

	ok = ok && EVP_DigestUpdate(c, buf_str(&m->sender), m->sender.n + 1);
	for (size_t i = 0; ok && i < m->nrecipients; i++)
		ok = EVP_DigestUpdate(
			 c, m->recipients[i].p, m->recipients[i].n) &&
		     EVP_DigestUpdate(c, "\n", 1);
	ok = ok && EVP_DigestUpdate(c, buf_str(&m->subject), m->subject.n + 1);
	ok = ok && (e->in.body.n == 0 ||
		       EVP_DigestUpdate(c, e->in.body.p, e->in.body.n));
	ok = ok && EVP_DigestFinal_ex(c, out, &len);
	EVP_MD_CTX_free(c);
	return ok;
}

static enum rc
store(const struct email *e, const struct mime_mail *m, struct err *err)
{
	const struct tasks_turn *t = e->t;
	unsigned char key[SEAL_KEY_LEN];
	char job[40];
	struct outbox_new new = { .blog_id = t->env->blog_id,
		.priority = OUTBOX_MEDIUM,
		.ordinal = 1,
		.message_id = e->in.message_id,
		.sender = buf_slice(&m->sender),
		.recipients = m->recipients,
		.nrecipients = m->nrecipients,
		.subject = buf_slice(&m->subject),
		.bytes = buf_slice(&m->bytes) };
	enum rc rc;

	if (t->smtp->envelope_from)
		new.sender = slice_str(t->smtp->envelope_from);
	if (m->bytes.n > t->site->outbox_max_mib * MIB)
		return err_set(
		    err, RC_REJECT, "the mail is larger than outbox_max_mib");
	if (!digest(e, m, new.digest))
		return err_set(err, RC_RETRY, "no memory for a digest");
	(void)snprintf(job, sizeof job, "task:%" PRIu64, e->task->task_id);
	new.job = slice_str(job);
	rc = read_key(t->site, key, err);
	if (rc == RC_OK || rc == RC_NONE)
		rc = outbox_add(t->env->db, &t->env->scope, &new,
		    rc == RC_OK ? key : NULL, NULL, err);
	OPENSSL_cleanse(key, sizeof key);
	return rc;
}

enum rc
tasks_send_email(
    const struct tasks_turn *t, const struct task *task, struct err *err)
{
	struct email *e = calloc(1, sizeof *e);
	struct mime_mail m = { .nrecipients = 0 };
	enum rc rc;

	if (!e)
		return err_set(err, RC_RETRY, "no memory for a mail");
	e->t = t;
	e->task = task;
	e->a = (struct arena)ARENA_INIT(TASKS_BATCH_BYTES);
	name_site(e);
	rc = read_payload(e, err);
	if (rc == RC_OK)
		rc = build(e, &m, err);
	if (rc == RC_OK)
		rc = store(e, &m, err);
	mime_mail_clear(&m);
	arena_clear(&e->a);
	free(e);
	return rc;
}
