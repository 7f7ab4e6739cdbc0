#include "wire/smtp_url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static bool
is_name(const char *s, const char *also)
{
	static const char alnum[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t n = 0;

	if (!s || !*s)
		return false;
	while (s[n] && (strchr(alnum, s[n]) || strchr(also, s[n])))
		n++;
	return !s[n] && n <= 255;
}

enum rc
smtp_url(const struct smtp_opts *o, char url[SMTP_URL_MAX], struct err *err)
{
	bool is_v6;
	char *ehlo;

	if (!is_name(o->host, ".-_:"))
		return err_set(
		    err, RC_REJECT, "the relay's host is not a name");
	/* An address of the host's own in [] is a name too. */
	if (!is_name(o->ehlo, ".-[]:"))
		return err_set(
		    err, RC_REJECT, "what is to be said in EHLO is not a name");
	is_v6 = strchr(o->host, ':');
	ehlo = curl_easy_escape(NULL, o->ehlo, 0);
	if (!ehlo)
		return err_set(err, RC_RETRY, "no memory for a URL");
	(void)snprintf(url, SMTP_URL_MAX, "%s://%s%s%s:%u/%s",
	    o->security == SMTP_TLS ? "smtps" : "smtp", is_v6 ? "[" : "",
	    o->host, is_v6 ? "]" : "", (unsigned)o->port, ehlo);
	curl_free(ehlo);
	return RC_OK;
}
