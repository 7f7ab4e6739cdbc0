/* doctor: the relay, the outbox, and plugins that send mails themselves. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor.h"
#include "formats/mail_address.h"
#include "formats/seal.h"
#include "mails.h"
#include "php_file.h"
#include "queues/outbox_pauses.h"
#include "wire/smtp_probe.h"

#define LATE_S 600
#define DOMAIN_MAX 256
/* A chunk, quoted, and the words around it. */
#define PACKET_MIN ((uint64_t)2 * OUTBOX_CHUNK)

/* ---- the relay ---------------------------------------------------------- */

static struct slice
host_of(const char *url)
{
	struct slice host = slice_str(url);

	for (size_t i = 0; i + 3 <= host.n; i++)
		if (slice_starts(slice_from(host, i), SLICE_LIT("://"))) {
			host = slice_from(host, i + 3);
			break;
		}
	host = slice_mem(host.p, slice_find(host, '/'));
	return slice_mem(host.p, slice_find(host, ':'));
}

static void
find_relay(struct doctor *d, const struct config_smtp *s)
{
	const char *security = s->security;
	struct smtp_answer a;
	char ehlo[DOMAIN_MAX];
	struct smtp_opts o = {
		.host = s->host,
		.port = (uint16_t)s->port,
		.security = strcmp(security, "none") == 0  ? SMTP_PLAIN
			    : strcmp(security, "tls") == 0 ? SMTP_TLS
							   : SMTP_STARTTLS,
		.user = s->user,
		.password = s->password,
		.auth = s->auth,
		.ca_file = s->ca_file,
		.ehlo = s->ehlo ? s->ehlo : ehlo,
		.connect_ms = s->connect_ms,
		.reply_ms = s->reply_ms,
	};

	(void)snprintf(
	    ehlo, sizeof ehlo, "%.*s", SLICE_FMT(host_of(d->place.facts.home)));
	smtp_probe(&o, &a);
	if (a.verdict == SMTP_ACCEPTED)
		doctor_find(d, FINDING_OK, "smtp", NULL,
		    "%s: %s:%u answers%s%s", s->name, s->host, s->port,
		    o.security == SMTP_PLAIN ? "" : ", with TLS",
		    s->user ? ", and takes user and password" : "");
	else
		doctor_find(d, FINDING_ERROR, "smtp",
		    a.verdict == SMTP_CONFIG
			? "mend host, port, security, user and password in "
			  "[smtp]; mails wait in the outbox"
			: "mails wait in the outbox until it answers",
		    "%s: %s:%u: %s", s->name, s->host, s->port, a.words);
	if (o.security == SMTP_PLAIN && s->user)
		doctor_find(d, FINDING_WARN, "smtp", "security = starttls",
		    "%s: user and password go over the wire in clear text",
		    s->name);
}

/* Everybody who may log in may read the passwords. */
static void
find_readable(struct doctor *d, const struct config_smtp *s)
{
	const char *path = d->c->config->path;
	struct stat st;

	if (path && s->password && stat(path, &st) == 0 &&
	    (st.st_mode & S_IROTH))
		doctor_find(d, FINDING_WARN, "smtp",
		    "chmod o-r, and chgrp to the daemon's group",
		    "%s holds a password and is readable by everybody", path);
}

static void
find_pause(struct doctor *d, const struct config_smtp *s)
{
	struct place *p = &d->place;
	struct err err = ERR_INIT;
	bool paused = false;

	if (!p->own)
		return;
	if (outbox_paused(p->db, &p->scope, s->name, &paused, &err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "smtp", NULL, "%s", err.text);
	else if (paused)
		doctor_find(d, FINDING_WARN, "smtp", "wp-cronctl outbox resume",
		    "%s is paused: mails wait in the outbox", s->name);
}

/* ---- who the mails are from --------------------------------------------- */

static bool
is_listed(const struct config_list *l, struct slice domain)
{
	for (size_t i = 0; i < l->n; i++)
		if (slice_glob_nocase(domain, slice_str(l->items[i])))
			return true;
	return l->n == 0;
}

/* One is the other, or below it: what DMARC calls aligned, relaxed. */
static bool
is_aligned(struct slice a, struct slice b)
{
	struct slice longer = a.n > b.n ? a : b, shorter = a.n > b.n ? b : a;
	struct slice end = slice_from(longer, longer.n - shorter.n);

	return slice_eq_nocase(end, shorter) &&
	       (longer.n == shorter.n ||
		   longer.p[longer.n - shorter.n - 1] == '.');
}

static const char *
what_becomes(const struct config_smtp *s)
{
	switch (s->foreign_from) {
	case FOREIGN_FROM_PHP:
		return "PHP sends them itself";
	case FOREIGN_FROM_REWRITE:
		return "they get the address of `from`";
	case FOREIGN_FROM_SEND:
		break;
	}
	return "they are sent all the same";
}

static void
find_domain(struct doctor *d, const struct config_smtp *s, struct slice domain,
    const char *whose)
{
	struct slice user = slice_str(s->user ? s->user : "");

	if (domain.n == 0)
		return;
	if (!is_listed(&s->from_domains, domain)) {
		doctor_find(d, FINDING_WARN, "smtp from",
		    "add it to from_domains if the relay may send for it",
		    "%s: %s are from %.*s, which from_domains does not have: "
		    "%s",
		    s->name, whose, SLICE_FMT(domain), what_becomes(s));
		return;
	}
	user = slice_find(user, '@') < user.n
		   ? slice_from(user, slice_find(user, '@') + 1)
		   : SLICE_NONE;
	if (s->from_domains.n == 0 && user.n > 0 && !is_aligned(user, domain))
		doctor_find(d, FINDING_WARN, "smtp from",
		    "set from_domains, and from or foreign_from",
		    "%s: %s are from %.*s, and the relay's account is of %.*s: "
		    "receivers may take them for forged (DMARC)",
		    s->name, whose, SLICE_FMT(domain), SLICE_FMT(user));
}

static void
find_senders(struct doctor *d, const struct config_smtp *s)
{
	struct place *p = &d->place;
	struct slice host = host_of(p->facts.home);
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;

	if (slice_starts(host, SLICE_LIT("www.")))
		host = slice_from(host, 4);
	if (s->from)
		find_domain(d, s, mail_address_domain(slice_str(s->from)),
		    "mails that say nothing else");
	else
		find_domain(d, s, host, "WordPress' own mails (wordpress@...)");
	if (!p->own)
		return;
	if (db_select(p->db, &p->scope, SQL_OUTBOX_CTL_SENDERS, SQL_NO_ARGS,
		&rows, &err) != RC_OK)
		doctor_find(
		    d, FINDING_ERROR, "smtp from", NULL, "%s", err.text);
	while (db_rows_count(rows) > 0 && db_rows_next(rows)) {
		char whose[64];

		(void)snprintf(whose, sizeof whose,
		    "%" PRIu64 " of the newest mails", db_u64(rows, 1));
		find_domain(d, s, db_text(rows, 0), whose);
	}
	db_rows_free(rows);
}

void
doctor_smtp(struct doctor *d)
{
	const struct config_smtp *s =
	    config_smtp(d->c->config, d->site->config);

	if (!s) {
		doctor_find(d, FINDING_INFO, "smtp",
		    "make an [smtp NAME], and set smtp = NAME in [site]",
		    "no relay: PHP sends its mails itself, and one that the "
		    "relay refuses for now is lost");
		return;
	}
	find_relay(d, s);
	find_readable(d, s);
	find_pause(d, s);
	find_senders(d, s);
	if (s->redirect_to)
		doctor_find(d, FINDING_INFO, "smtp", NULL,
		    "%s: all mails go to one address (redirect_to)", s->name);
}

/* ---- the outbox --------------------------------------------------------- */

static void
find_key(struct doctor *d)
{
	const char *path = d->site->config->outbox_key_file;
	unsigned char key[SEAL_KEY_LEN];
	struct buf text = BUF_INIT(4096);
	struct err err = ERR_INIT;
	struct stat st;
	enum rc rc;

	if (!path)
		return;
	rc = php_file_bytes(path, &text, &err);
	if (rc == RC_OK)
		rc = seal_key_read(buf_slice(&text), key, &err);
	explicit_bzero(key, sizeof key);
	if (text.n > 0)
		explicit_bzero(text.p, text.n);
	buf_clear(&text);
	if (rc != RC_OK)
		doctor_find(d, FINDING_ERROR, "outbox",
		    "64 hexadecimal digits, readable by the daemon and by "
		    "PHP's user alone",
		    "outbox_key_file: %s", err.text);
	else if (stat(path, &st) == 0 && (st.st_mode & S_IROTH))
		doctor_find(d, FINDING_WARN, "outbox", "chmod o-r",
		    "%s, the key of the mails, is readable by everybody", path);
	else
		doctor_find(d, FINDING_OK, "outbox", NULL,
		    "mails are sealed, and the key is readable");
}

static void
find_oldest(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;

	if (db_select(p->db, &p->scope, SQL_OUTBOX_CTL_OLDEST_READY,
		SQL_NO_ARGS, &rows, &err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "outbox", NULL, "%s", err.text);
	else if (db_rows_next(rows) && !db_is_null(rows, 0) &&
		 db_i64(rows, 0) > LATE_S)
		doctor_find(d, FINDING_WARN, "outbox",
		    "does the relay answer, does its rate let them through? "
		    "`wp-cronctl outbox send` tells",
		    "the oldest ready mail waits for %" PRId64 " minutes",
		    db_i64(rows, 0) / 60);
	db_rows_free(rows);
}

static void
find_states(struct doctor *d)
{
	struct place *p = &d->place;
	uint64_t waiting = 0, held = 0;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;

	if (db_select(p->db, &p->scope, SQL_OUTBOX_CTL_COUNTS, SQL_NO_ARGS,
		&rows, &err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "outbox", NULL, "%s", err.text);
		return;
	}
	while (db_rows_next(rows)) {
		if (slice_eq_str(db_text(rows, 0), "ready") ||
		    slice_eq_str(db_text(rows, 0), "later") ||
		    slice_eq_str(db_text(rows, 0), "sending"))
			waiting += db_u64(rows, 1);
		else if (slice_eq_str(db_text(rows, 0), "held"))
			held = db_u64(rows, 1);
	}
	db_rows_free(rows);
	doctor_find(
	    d, FINDING_OK, "outbox", NULL, "%" PRIu64 " mails wait", waiting);
	if (held > 0)
		doctor_find(d, FINDING_WARN, "outbox",
		    "`wp-cronctl dead list --kind=mail`, then `dead retry`",
		    "%" PRIu64 " mails are held: they may have arrived, "
		    "or cannot be read",
		    held);
}

static void
find_dead(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;

	if (db_select(p->db, &p->scope, SQL_OUTBOX_CTL_DEAD_COUNTS, SQL_NO_ARGS,
		&rows, &err) != RC_OK) {
		doctor_find(
		    d, FINDING_ERROR, "dead letters", NULL, "%s", err.text);
		return;
	}
	while (db_rows_next(rows))
		doctor_find(d, FINDING_WARN, "dead letters",
		    "`wp-cronctl dead list` has the reasons; `dead retry` or "
		    "`dead delete`",
		    "%" PRIu64 " of kind %.*s, the newest %" PRId64
		    " hours old",
		    db_u64(rows, 1), SLICE_FMT(db_text(rows, 0)),
		    db_i64(rows, 2) / 3600);
	db_rows_free(rows);
}

/* Counted by php/mail.php. */
static void
find_left(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	char name[64];

	(void)snprintf(name, sizeof name, "mails_left/%" PRIu32, p->blog_id);
	if (db_select(p->db, &p->scope, SQL_COUNTS_GET, SQL_ARGS(V_STR(name)),
		&rows, &err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "outbox", NULL, "%s", err.text);
	else if (db_rows_next(rows))
		doctor_find(d, FINDING_INFO, "outbox",
		    "mail.left_to_php in the log names each job and why",
		    "%" PRIu64 " mails of jobs were left to PHP so far",
		    db_u64(rows, 0));
	db_rows_free(rows);
}

/* Nobody could store a chunk. */
static void
find_packet(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;

	if (db_select(p->db, &p->scope, SQL_CTL_SERVER, SQL_NO_ARGS, &rows,
		&err) == RC_OK &&
	    db_rows_next(rows) && db_u64(rows, 1) < PACKET_MIN)
		doctor_find(d, FINDING_ERROR, "outbox",
		    "max_allowed_packet = 16M in the server's configuration",
		    "max_allowed_packet is %" PRIu64 " bytes: larger mails "
		    "cannot be stored, and PHP sends them itself",
		    db_u64(rows, 1));
	db_rows_free(rows);
}

void
doctor_outbox(struct doctor *d)
{
	if (!d->place.own)
		return;
	find_dead(d);
	if (!config_smtp(d->c->config, d->site->config))
		return;
	find_key(d);
	find_states(d);
	find_oldest(d);
	find_left(d);
	find_packet(d);
}

/* ---- plugins ------------------------------------------------------------ */

static void
join(const json_t *list, struct buf *out)
{
	size_t i;
	json_t *name;

	json_array_foreach(list, i, name)
	{
		buf_printf(out, "%s%s", i > 0 ? ", " : "",
		    json_is_string(name) ? json_string_value(name) : "?");
	}
}

static void
find_callbacks(struct doctor *d, const json_t *mail, const char *hook,
    enum severity severity, const char *remedy, const char *words)
{
	const json_t *list = json_object_get(mail, hook);
	struct buf names = BUF_INIT(2048);

	join(list, &names);
	if (json_array_size(list) > 0)
		doctor_find(d, severity, "mail plugin", remedy, "%s: %s: %s",
		    hook, buf_str(&names), words);
	buf_clear(&names);
}

void
doctor_mail_plugins(struct doctor *d)
{
	const json_t *mail = json_object_get(d->export, "mail");
	bool take_over = d->site->config->plugin_smtp == PLUGIN_SMTP_TAKE_OVER;
	const char *text;

	if (!mail || !config_smtp(d->c->config, d->site->config))
		return;
	text = json_string_value(json_object_get(mail, "wp_mail_replaced_in"));
	if (text)
		doctor_find(d, FINDING_WARN, "mail plugin",
		    "leave it to that plugin, or deactivate it",
		    "wp_mail() is replaced in %s: its mails do not come by "
		    "the outbox",
		    text);
	find_callbacks(d, mail, "pre_wp_mail", FINDING_WARN,
	    "leave it to that plugin, or deactivate it",
	    "mails that it takes do not come by the outbox");
	find_callbacks(d, mail, "phpmailer_init", FINDING_INFO,
	    take_over ? NULL
		      : "plugin_smtp = take-over in [site] sends them by the "
			"relay",
	    take_over
		? "a transport that it chooses is not used: plugin_smtp = "
		  "take-over"
		: "mails for which it chooses a transport are left to PHP");
	text = json_string_value(json_object_get(mail, "global_class"));
	if (text)
		doctor_find(d, FINDING_WARN, "mail plugin",
		    "leave it to that plugin, or deactivate it",
		    "WordPress' mailer is a %s of a plugin: its mails are "
		    "left to it",
		    text);
}
