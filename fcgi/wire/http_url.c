/* Redirects: where they lead. */
#include "wire/http.h"

#include <curl/curl.h>

enum rc
http_resolve(
    const char *url, const char *location, struct buf *out, struct err *err)
{
	char origin[HTTP_ORIGIN_MAX], *whole = NULL;
	CURLU *u = curl_url();
	enum rc rc;

	if (!u || curl_url_set(u, CURLUPART_URL, url, 0) ||
	    curl_url_set(u, CURLUPART_URL, location, CURLU_URLENCODE) ||
	    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) ||
	    curl_url_get(u, CURLUPART_URL, &whole, 0)) {
		rc = err_set(err, RC_REJECT, "not a URL");
		goto out;
	}
	rc = http_origin(whole, origin, err);
	if (rc == RC_OK)
		buf_put_str(out, whole);
	if (rc == RC_OK && out->failed)
		rc = err_set(err, RC_REJECT, "a URL over %zu bytes", out->max);
out:
	curl_free(whole);
	curl_url_cleanup(u);
	return rc;
}
