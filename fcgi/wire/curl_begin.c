#include "wire/curl_begin.h"

#include <curl/curl.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode result;

static void
begin(void)
{
	result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum rc
curl_begin(struct err *err)
{
	(void)pthread_once(&once, begin);
	if (result == CURLE_OK)
		return RC_OK;
	return err_set_code(err, RC_FATAL, (int)result, "libcurl: %s",
	    curl_easy_strerror(result));
}
