#include "executors/php_mail.h"

#include <inttypes.h>

#include "formats/utf8.h"
#include "formats/woocommerce_args.h"

enum {
	/* queues/outbox.h: OUTBOX_CHUNK; the engine reads it chunk by chunk. */
	CHUNK = 512 * 1024,
	PRIORITY = 20,
	/* What a customer waits for. */
	PRIORITY_SHOP = 10,
	MIB = 1024 * 1024,
};

static const struct {
	const char *name;
	enum sql_id id;
} statements[] = {
	{ "insert", SQL_OUTBOX_INSERT },
	{ "find", SQL_OUTBOX_FIND },
	{ "insert_chunk", SQL_OUTBOX_INSERT_CHUNK },
	{ "ready", SQL_OUTBOX_READY },
	{ "forget", SQL_OUTBOX_FORGET },
	{ "count", SQL_COUNTS_ADD },
};

static const char *
foreign_name(enum foreign_from f, bool confines)
{
	switch (f) {
	case FOREIGN_FROM_PHP:
		return confines ? "send" : "php";
	case FOREIGN_FROM_SEND:
		return "send";
	case FOREIGN_FROM_REWRITE:
		return "rewrite";
	}
	return "php";
}

static void
put_text(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, ",\"%s\":", key);
	if (value)
		utf8_put_json(out, slice_str(value));
	else
		buf_put_str(out, "null");
}

static void
put_statements(struct buf *out, const struct sql_scope *scope)
{
	struct buf sql = BUF_INIT(8192);
	struct err err = ERR_INIT;

	buf_put_str(out, "\"store\":{");
	for (size_t i = 0; i < NELEMS(statements); i++) {
		buf_reset(&sql);
		if (sql_render_prepared(statements[i].id, scope, &sql, &err) !=
		    RC_OK)
			out->failed = true;
		if (i > 0)
			buf_put_char(out, ',');
		buf_printf(out, "\"%s\":", statements[i].name);
		utf8_put_json(out, buf_slice(&sql));
	}
	buf_put_char(out, '}');
	buf_clear(&sql);
}

void
php_mail_render(struct buf *out, const struct sql_scope *scope,
    uint32_t blog_id, const struct config_site *site,
    const struct config_smtp *smtp)
{
	bool confines = config_smtp_confines(smtp);

	buf_put_char(out, '{');
	put_statements(out, scope);
	buf_printf(out,
	    ",\"blog_id\":%" PRIu32 ",\"chunk\":%d,\"max_size\":%" PRIu64
	    ",\"priority\":%d",
	    blog_id, CHUNK, (uint64_t)site->outbox_max_mib * MIB, PRIORITY);
	buf_printf(out, ",\"confines\":%s", confines ? "true" : "false");
	put_text(out, "plugin_smtp",
	    confines || site->plugin_smtp == PLUGIN_SMTP_TAKE_OVER ? "take-over"
								   : "leave");
	put_text(out, "key_file", site->outbox_key_file);
	put_text(out, "from", smtp->from);
	put_text(out, "envelope_from", smtp->envelope_from);
	put_text(
	    out, "foreign_from", foreign_name(smtp->foreign_from, confines));
	buf_put_str(out, ",\"from_domains\":[");
	for (size_t i = 0; i < smtp->from_domains.n; i++) {
		if (i > 0)
			buf_put_char(out, ',');
		utf8_put_json(out, slice_str(smtp->from_domains.items[i]));
	}
	buf_put_str(out, "]}");
}

void
php_mail_put_job(struct buf *out, const struct job *job)
{
	uint64_t id = job->origin_id ? job->origin_id : job->id;
	bool shop = slice_eq_str(job->hook, WOOCOMMERCE_MAIL_HOOK);

	if (!job->policy || job->policy->mail != MAIL_BY_OUTBOX)
		return;
	if (job->kind == JOB_EVENT)
		buf_printf(out, ",\"mail\":\"event:%" PRIu64 "\"", job->id);
	else
		buf_printf(out, ",\"mail\":\"action:%" PRIu64 "\"", id);
	buf_printf(
	    out, ",\"mail_priority\":%d", shop ? PRIORITY_SHOP : PRIORITY);
}
