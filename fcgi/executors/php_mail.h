#ifndef EXECUTORS_PHP_MAIL_H
#define EXECUTORS_PHP_MAIL_H

#include "base/buf.h"
#include "base/config.h"
#include "sql/render.h"

/*
 * What php/mail.php needs to put mails into the outbox, as JSON: the request's
 * field `outbox`. {store: {name: SQL with ?}, blog_id, chunk, max_size,
 * plugin_smtp, from, envelope_from, from_domains, foreign_from, key_file,
 * priority}. A job has a field `mail` ("action:12") when its mails go there.
 */
void php_mail_render(struct buf *out, const struct sql_scope *scope,
    uint32_t blog_id, const struct config_site *site,
    const struct config_smtp *smtp);

#endif
