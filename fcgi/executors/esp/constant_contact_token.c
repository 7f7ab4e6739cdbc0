#include "executors/esp/constant_contact_private.h"

#include <stdlib.h>

#include "base/xalloc.h"

enum {
	/* Before the end of its time: a request under way may take as long. */
	EARLY_S = 300,
	PAYLOAD_MAX = 16384,
	SAVE_TRIES = 3,
};

/* ---- reading a JWT ------------------------------------------------------ */

static int
digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-' || c == '+')
		return 62;
	if (c == '_' || c == '/')
		return 63;
	return -1;
}

/* RFC 4648 section 5, without padding. */
static bool
decode(struct slice in, struct buf *out)
{
	unsigned bits = 0, nbits = 0;

	for (size_t i = 0; i < in.n && in.p[i] != '='; i++) {
		int digit = digit_of(in.p[i]);

		if (digit < 0)
			return false;
		bits = (bits << 6 | (unsigned)digit) & 0xffffu;
		nbits += 6;
		if (nbits < 8)
			continue;
		nbits -= 8;
		buf_put_char(out, (char)(unsigned char)(bits >> nbits));
	}
	return !out->failed;
}

int64_t
constant_contact_token_expiry(struct slice token)
{
	struct slice rest = slice_from(token, slice_find(token, '.') + 1);
	struct buf payload = BUF_INIT(PAYLOAD_MAX);
	int64_t expiry = INT64_MAX;
	json_t *v = NULL;

	rest.n = slice_find(rest, '.');
	if (decode(rest, &payload))
		v = esp_values_json(buf_slice(&payload));
	if (json_is_integer(json_object_get(v, "exp")))
		expiry = json_integer_value(json_object_get(v, "exp"));
	json_decref(v);
	buf_clear(&payload);
	return expiry;
}

static bool
is_good(const struct constant_contact *cc, const char *token)
{
	int64_t now = clock_unix(cc->host.clock);

	return token && token[0] != '\0' &&
	       now < constant_contact_token_expiry(slice_str(token)) - EARLY_S;
}

/* ---- one of our own ----------------------------------------------------- */

static char *
copy_of(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

void
constant_contact_token_set(
    struct constant_contact *cc, const char *access, const char *refresh)
{
	char *new_access = copy_of(access);
	char *new_refresh = copy_of(refresh);

	free(cc->access);
	free(cc->refresh);
	free(cc->bearer);
	cc->access = new_access;
	cc->refresh = new_refresh;
	cc->bearer = esp_values_join(
	    "Authorization: Bearer ", new_access ? new_access : "");
	cc->proven = false;
}

/*
 * Both new ones are stored before anything else happens: the old refresh token
 * is dead, and whoever loses the new one needs a person. What cannot be stored
 * now is tried again before the next request.
 */
static enum rc
save(struct constant_contact *cc, bool leased, struct arena *a, struct err *err)
{
	enum rc rc = RC_RETRY;

	cc->unsaved = true;
	for (int tries = 0; tries < SAVE_TRIES && rc != RC_OK; tries++) {
		const char *access = NULL;
		const char *refresh = NULL;

		if (!leased && cc->host.tokens_read(cc->host.arg, a, &access,
				   &refresh, err) != RC_OK)
			continue;
		rc = cc->host.tokens_write(
		    cc->host.arg, cc->access, cc->refresh, err);
		if (cc->host.tokens_release)
			cc->host.tokens_release(cc->host.arg);
		leased = false;
	}
	cc->unsaved = rc != RC_OK;
	return rc == RC_OK ? RC_OK
			   : err_set(err, RC_RETRY,
				 "Constant Contact: the new tokens could not "
				 "be stored yet");
}

static enum rc
refused_for_good(struct constant_contact *cc, const struct esp_call *call,
    struct arena *a, struct err *err)
{
	json_t *v = esp_values_json(call->answer);
	struct slice why = esp_values_text(v, "error");
	const char *words = esp_printf(a,
	    "Constant Contact: the application must be authorised anew (%.*s)",
	    SLICE_FMT(esp_words(why.n > 0 ? why : SLICE_LIT("no words"), a)));

	json_decref(v);
	esp_http_rest(cc->http, true, -1, words);
	return err_set(err, RC_REJECT, "%s", words);
}

/* The answer of the token endpoint; the new pair is ours then. */
static enum rc
take_pair(struct constant_contact *cc, const struct esp_call *call,
    const char *refresh, struct arena *a, struct err *err)
{
	json_t *v = esp_values_json(call->answer);
	struct slice access = esp_values_text(v, "access_token");
	struct slice next = esp_values_text(v, "refresh_token");
	const char *new_access = arena_strdup(a, access);
	/* Long-lived ones need not be sent again. */
	const char *new_refresh = next.n > 0 ? arena_strdup(a, next) : refresh;

	json_decref(v);
	if (access.n == 0 || !new_access || !new_refresh)
		return err_set(err, RC_RETRY,
		    "Constant Contact: the token endpoint gave no token");
	constant_contact_token_set(cc, new_access, new_refresh);
	return RC_OK;
}

/* With the tokens' lease; `refresh` is the one that is stored. */
static enum rc
exchange(struct constant_contact *cc, const char *refresh, struct arena *a,
    struct err *err)
{
	const char *headers[] = { cc->client,
		"Content-Type: application/x-www-form-urlencoded" };
	struct esp_call call = {
		.method = "POST",
		.url = cc->token_url,
		.headers = headers,
		.nheaders = NELEMS(headers),
		.once = true,
		.statuses_mine = true,
	};

	call.body = slice_str(
	    esp_printf(a, "grant_type=refresh_token&refresh_token=%.*s",
		SLICE_FMT(esp_urlencode(slice_str(refresh), a))));
	esp_http_one(cc->http, &call, a);
	switch (call.class) {
	case ESP_CLASS_OK:
		return take_pair(cc, &call, refresh, a, err);
	case ESP_CLASS_PERMANENT:
	case ESP_CLASS_CONFIG:
		return refused_for_good(cc, &call, a, err);
	case ESP_CLASS_NONE:
	case ESP_CLASS_TRANSIENT:
	case ESP_CLASS_THROTTLED:
		break;
	}
	return err_set(err, RC_RETRY, "Constant Contact: no new token: %.*s",
	    SLICE_FMT(call.message));
}

static enum rc
renew(
    struct constant_contact *cc, bool refused, struct arena *a, struct err *err)
{
	const char *access = NULL;
	const char *refresh = NULL;
	enum rc rc =
	    cc->host.tokens_read(cc->host.arg, a, &access, &refresh, err);

	if (rc != RC_OK)
		return rc == RC_NONE ? err_set(err, RC_RETRY,
					   "Constant Contact: another node has "
					   "the tokens")
				     : rc;
	/* PHP, or another node, may have been first. */
	if (is_good(cc, access) &&
	    !(refused && cc->access && access &&
		slice_eq_str(slice_str(access), cc->access))) {
		constant_contact_token_set(cc, access, refresh);
	} else if (!refresh || refresh[0] == '\0') {
		rc = err_set(err, RC_REJECT,
		    "Constant Contact: there is no refresh token");
		esp_http_rest(cc->http, true, -1, err ? err->text : "");
	} else {
		rc = exchange(cc, refresh, a, err);
		if (rc == RC_OK)
			return save(cc, true, a, err);
	}
	if (cc->host.tokens_release)
		cc->host.tokens_release(cc->host.arg);
	return rc;
}

enum rc
constant_contact_token(
    struct constant_contact *cc, bool refused, struct arena *a, struct err *err)
{
	enum rc rc = RC_OK;

	if (cc->unsaved)
		rc = save(cc, false, a, err);
	if (rc != RC_OK || (!refused && is_good(cc, cc->access)))
		return rc;
	if (!cc->host.tokens_read || !cc->host.tokens_write)
		return err_set(err, RC_RETRY,
		    "Constant Contact: the access token is not valid, and a "
		    "new one could not be stored from here");
	return renew(cc, refused, a, err);
}
