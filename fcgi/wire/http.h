#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * HTTP requests, many at once, for one thread. HTTP/1.1 over http and https
 * with verified certificates; connections are kept and used again; no
 * redirects, no proxy from the environment, nothing decompressed unless asked.
 *
 * Threads: a struct http is used by one thread at a time. The process ignores
 * SIGPIPE (OpenSSL writes to sockets without MSG_NOSIGNAL).
 */
struct http;

struct http_opts {
	const struct clock *clock; /* NULL: clock_system */
	const char *user_agent;    /* NULL: none */
	const char *proxy;         /* URL; NULL: no proxy at all */
	const char *ca_file;       /* PEM; NULL: the system's authorities */
	/* Connect to addresses of the Internet only (public_address.h), also
	 * where a name has others: checked at every connection. */
	bool public_only;
};

/* Copies what it needs of `opts`. RC_FATAL: no memory or no TLS library. */
MUSTUSE enum rc http_new(
    const struct http_opts *opts, struct http **out, struct err *err);
/* Cuts what is under way, without reports. NULL is fine. */
void http_free(struct http *h);

/* Everything is copied by http_add(). */
struct http_request {
	const char *method; /* NULL: POST; GET has no body */
	const char *url;
	const char *const *headers; /* "Name: value" */
	size_t nheaders;
	const char *keep_header; /* name of one of the answer's; or NULL */
	/* Bytes of the answer's body to keep, and to read at all; 0: HTTP_KEEP
	 * of HTTP_READ_MAX. */
	size_t keep;
	bool keep_head; /* for http_head_find() */
	bool gzip;      /* the answer may come compressed; it is unpacked */
	struct slice body;
	uint32_t connect_timeout_ms;
	uint32_t timeout_ms; /* for the whole, connecting included */
	/* The request may reach the other side twice. Without it, a kept
	 * connection that is lost under a request is an error, since the
	 * other side may have acted on it; with it the request is sent again
	 * on a fresh connection. */
	bool repeatable;
};

enum http_end {
	HTTP_ANSWERED,  /* `status` is final, the body perhaps cut */
	HTTP_TIMEOUT,   /* the time was over first */
	HTTP_BROKEN,    /* no connection, no TLS, cut, or not HTTP */
	HTTP_UNUSABLE,  /* the URL can never work, or may not (public_only) */
	HTTP_ABANDONED, /* by http_abandon() */
};

#define HTTP_RETRY_AFTER_MAX_S 86400
#define HTTP_KEEP 2048       /* bytes of the answer's body that are kept */
#define HTTP_KEEP_HEADER 256 /* and of its `keep_header` */
/* What is read of a body before the connection is cut instead. */
#define HTTP_READ_MAX ((size_t)256 * 1024)
#define HTTP_KEEP_HEAD ((size_t)16 * 1024)

struct http_response {
	enum http_end end;
	int status; /* 0: none */
	/* False: not a byte of the request was written to a connection. */
	bool sent;
	int64_t retry_after_s; /* -1: none; at most HTTP_RETRY_AFTER_MAX_S */
	struct slice body;     /* its first HTTP_KEEP, or `keep`, bytes */
	bool whole;            /* there was no more, and it was not cut off */
	/* With keep_head: the headers, as much as fits HTTP_KEEP_HEAD. */
	struct slice head;
	/* The value of `keep_header`; p NULL: it is not there. */
	struct slice header;
	const char *error; /* curl's words, "" when answered */
};

/* Called by http_poll() and http_abandon(); `r` is lent for the call. May call
 * http_add(). */
typedef void http_done_fn(void *arg, void *tag, const struct http_response *r);

/*
 * http_add - begin a request; it is reported exactly once. Any other rc than
 * RC_OK: nothing was begun. Never blocks.
 */
MUSTUSE enum rc http_add(struct http *h, const struct http_request *request,
    void *tag, struct err *err);
/*
 * http_poll - move on what is under way and report what ended. Waits up to
 * timeout_ms (0: not at all) for something to happen, also when nothing is
 * under way.
 */
void http_poll(struct http *h, int timeout_ms, http_done_fn *done, void *arg);
/* End everything that is under way and report it; what `done` adds stays. */
void http_abandon(struct http *h, http_done_fn *done, void *arg);
/* Requests added and not reported. */
size_t http_running(const struct http *h);

/* The value of a header in `head`, the last of that name; p NULL: none. */
struct slice http_head_find(struct slice head, const char *name);

#define HTTP_ORIGIN_MAX 300
/*
 * http_origin - "scheme://host:port" of a URL in lower case, for what is kept
 * a host. RC_REJECT: not an http or https URL, or longer than the room.
 */
MUSTUSE enum rc http_origin(
    const char *url, char out[HTTP_ORIGIN_MAX], struct err *err);
/*
 * http_resolve - append the URL that `location`, relative or not, means at
 * `url`, without a fragment. RC_REJECT: none, or not an http or https one.
 */
MUSTUSE enum rc http_resolve(
    const char *url, const char *location, struct buf *out, struct err *err);

#endif
