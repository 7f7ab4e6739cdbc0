#ifndef WIRE_SMTP_PROBE_H
#define WIRE_SMTP_PROBE_H

#include "wire/smtp.h"

/*
 * smtp_probe - connect, say EHLO, start TLS and log in as for a mail, then
 * NOOP and QUIT: nothing is sent. ACCEPTED: all of it went well. CONFIG: it
 * cannot, until somebody mends it; AWAY: perhaps later. The words are the
 * relay's last reply, or what went wrong below. Blocks for at most a few
 * times connect_ms and reply_ms.
 */
void smtp_probe(const struct smtp_opts *opts, struct smtp_answer *out);

#endif
