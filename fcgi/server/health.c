#include "server/health.h"

#include "base/buf.h"

/* The JSON of an answer: a few flags and numbers. */
#define HEALTH_BODY_MAX 512

static const char *
json_bool(bool b)
{
	return b ? "true" : "false";
}

void
health_reply(struct request *r, const struct engine_health *h, bool head)
{
	struct buf body = BUF_INIT(HEALTH_BODY_MAX);
	const bool ok = h->ready && h->database_ok;

	buf_printf(&body,
	    "{\"status\":\"%s\",\"database\":%s,\"ready\":%s,"
	    "\"outbound\":\"%s\",\"running\":%llu,\"next_due\":",
	    ok ? "ok" : "unavailable", json_bool(h->database_ok),
	    json_bool(h->ready), h->standing_ok ? "open" : "held",
	    (unsigned long long)h->running);
	if (h->next_due == INT64_MAX)
		buf_put_str(&body, "null");
	else
		buf_put_i64(&body, h->next_due);
	buf_put_str(&body, "}\n");
	request_reply(r,
	    &(struct reply){
		.status = ok ? "200 OK" : "503 Service Unavailable",
		.content_type = "application/json",
		.extra = ok ? NULL : "Retry-After: 1\r\n",
		.body = buf_slice(&body) },
	    head);
	buf_clear(&body);
}
