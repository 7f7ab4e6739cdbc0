#ifndef EXECUTORS_PHP_MAIL_H
#define EXECUTORS_PHP_MAIL_H

#include "base/buf.h"
#include "base/config.h"
#include "base/job.h"
#include "sql/render.h"

/*
 * What php/mail.php needs to put mails into the outbox, as JSON: the request's
 * field `outbox`. {store: {name: SQL with ?}, blog_id, chunk, max_size,
 * plugin_smtp, from, envelope_from, from_domains, foreign_from, key_file,
 * priority, confines}; the names are those of sql/outbox.sql, but for `count`
 * (sql/counts.sql), which adds up what is left to PHP. Where the relay
 * confines (config.h), as little as can be is left to PHP, and that is not
 * sent. Check out->failed.
 */
void php_mail_render(struct buf *out, const struct sql_scope *scope,
    uint32_t blog_id, const struct config_site *site,
    const struct config_smtp *smtp);
/*
 * ,"mail":"action:12","mail_priority":20 for a job whose mails go there, by
 * its policy; else nothing. A fresh try has the name of the first one, so that
 * it stores no mail twice.
 */
void php_mail_put_job(struct buf *out, const struct job *job);

#endif
