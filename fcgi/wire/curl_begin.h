#ifndef WIRE_CURL_BEGIN_H
#define WIRE_CURL_BEGIN_H

#include "base/err.h"

/* curl_begin - libcurl's own start, once a process; any thread. RC_FATAL: it
 * cannot be used. To be called before any handle is made. */
MUSTUSE enum rc curl_begin(struct err *err);

#endif
