#ifndef WIRE_PHP_FPM_H
#define WIRE_PHP_FPM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * FastCGI client towards php-fpm: one request a connection, responder role,
 * KEEP_CONN never set. Nothing blocks but the name lookup of a TCP address.
 */

/* Ceilings: a header line is short, a reply is a batch's frames. */
#define PHP_FPM_PARAMS_MAX ((size_t)64 * 1024)
#define PHP_FPM_BODY_MAX ((size_t)8 * 1024 * 1024)
#define PHP_FPM_STDOUT_MAX ((size_t)4 * 1024 * 1024)
#define PHP_FPM_STDERR_KEPT ((size_t)2048)
#define PHP_FPM_LINE_MAX ((size_t)64 * 1024)
/* The largest record content that keeps the next header aligned to 8. */
#define PHP_FPM_RECORD_MAX ((size_t)65528)

/* ---- writing ------------------------------------------------------------ */

/* FastCGI 3.4: 1 byte below 128, else 4 with the top bit set. A length over
 * 2^31 - 1 marks the buffer failed. */
void php_fpm_put_len(struct buf *o, size_t n);
/* The twin: takes the length off the front of `in`. RC_AGAIN: cut short. */
MUSTUSE enum rc php_fpm_get_len(struct slice *in, size_t *n);
/* One name-value pair; check o->failed once at the end. */
void php_fpm_put_param(struct buf *o, const char *name, struct slice value);
/* The pair at the front of `in`. RC_AGAIN: cut short, `in` untouched. */
MUSTUSE enum rc php_fpm_get_param(
    struct slice *in, struct slice *name, struct slice *value);
/*
 * A whole request as records: BEGIN_REQUEST, PARAMS, STDIN, each stream ended
 * by an empty record. `params` is what php_fpm_put_param() built, without
 * CONTENT_LENGTH: that is put here, once, from the body it must equal.
 */
void php_fpm_put_request(struct buf *o, struct slice params, struct slice body);

/* ---- reading ------------------------------------------------------------ */

/* A line of the body without its newline; lent for the call. Lines over
 * PHP_FPM_LINE_MAX are left out. */
typedef void php_fpm_line_fn(void *arg, struct slice line);

/* What php-fpm answered so far. Fed bytes in any portions. */
struct php_fpm_reader {
	php_fpm_line_fn *on_line;
	void *arg;
	int status; /* of the CGI header Status; 200 without one */
	bool headers_done;
	bool ended; /* END_REQUEST was read */
	uint32_t app_status;
	uint8_t protocol_status;
	size_t stdout_n;     /* body bytes, for the cap */
	size_t long_lines;   /* lines left out */
	struct buf err_tail; /* last PHP_FPM_STDERR_KEPT bytes of STDERR */
	/* Private: where in a record, and what is not a line yet. */
	uint8_t head[8], end[8];
	size_t head_n, end_n, content_left, padding_left;
	struct buf line;
	bool line_skipped;
};

void php_fpm_reader_init(
    struct php_fpm_reader *r, php_fpm_line_fn *on_line, void *arg);
void php_fpm_reader_clear(struct php_fpm_reader *r);
/*
 * RC_AGAIN: more is needed; RC_OK: the request ended (later bytes are
 * ignored); RC_REJECT: not FastCGI, another request's record, or over the cap.
 */
MUSTUSE enum rc php_fpm_feed(
    struct php_fpm_reader *r, struct slice in, struct err *err);
/* A last line without newline, once no more bytes will come. */
void php_fpm_reader_finish(struct php_fpm_reader *r);

/* ---- one request -------------------------------------------------------- */

/* Where php-fpm listens. */
struct php_fpm_addr {
	bool tcp;
	char path[108]; /* unix socket */
	char host[256];
	char port[6];
};
/* "unix:PATH", "/PATH" or "HOST:PORT" ("[::1]:9000"). */
MUSTUSE enum rc php_fpm_addr_parse(
    const char *text, struct php_fpm_addr *out, struct err *err);

enum php_fpm_end {
	PHP_FPM_RUNNING,
	PHP_FPM_END,     /* END_REQUEST: says nothing about success */
	PHP_FPM_EOF,     /* closed without END_REQUEST: the child is gone */
	PHP_FPM_REFUSED, /* no connection: down, full or not allowed */
	PHP_FPM_SILENT,  /* connected, no byte within first_byte_ms */
	PHP_FPM_BROKEN,  /* protocol error or over a cap */
};

struct php_fpm_opts {
	const struct php_fpm_addr *addr;
	const struct clock *clock;
	struct slice params, body; /* copied */
	uint32_t connect_ms;       /* 0: 2,000 */
	uint32_t first_byte_ms;    /* 0: 15,000; a full pool shows as silence */
	php_fpm_line_fn *on_line;
	void *arg;
};

struct php_fpm_request;

/*
 * php_fpm_open - begin a request. RC_RETRY: php-fpm is away, full or closed to
 * us; RC_REJECT: the request is over a ceiling. Caller closes.
 */
MUSTUSE enum rc php_fpm_open(const struct php_fpm_opts *opts,
    struct php_fpm_request **out, struct err *err);
/* Closing early does not stop PHP; see executors/php.h. NULL is fine. */
void php_fpm_close(struct php_fpm_request *r);
/* What to poll for; -1 and 0 once it ended. */
int php_fpm_fd(const struct php_fpm_request *r);
short php_fpm_events(const struct php_fpm_request *r);
/* When php_fpm_step() is to be called without an event; INT64_MAX: never. */
mono_ms php_fpm_deadline(const struct php_fpm_request *r);
/*
 * Move on as far as goes without blocking; calls on_line. PHP_FPM_RUNNING or
 * how it ended, with the words in `err` unless it is PHP_FPM_END.
 */
enum php_fpm_end php_fpm_step(struct php_fpm_request *r, struct err *err);
/* Status, STDERR and so on of the answer so far; lent. */
const struct php_fpm_reader *php_fpm_answer(const struct php_fpm_request *r);
/* Whether all of the request has been handed to the kernel. */
bool php_fpm_sent(const struct php_fpm_request *r);

#endif
