#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/*
 * One line per event on stderr: `level event key=value ...`, identifiers
 * first. The logger quotes values; callers never put bodies, cookies,
 * passwords or query secrets in. Any thread; one write(2) a line.
 */
enum log_level {
	LOG_ERR,   /* someone must act */
	LOG_WARN,  /* degraded, heals itself */
	LOG_INFO,  /* life cycle, one line per ended job */
	LOG_DEBUG, /* the rest */
};

/* One key=value; made by the LOG_* macros below. */
struct log_field {
	const char *key;
	enum {
		LOG_FIELD_END,
		LOG_FIELD_TEXT,
		LOG_FIELD_I64,
		LOG_FIELD_U64,
	} type;
	struct slice text;
	int64_t i64;
	uint64_t u64;
};
#define LOG_S(k, v)                                                            \
	((struct log_field){                                                   \
	    .key = (k), .type = LOG_FIELD_TEXT, .text = slice_str(v) })
#define LOG_SLICE(k, v)                                                        \
	((struct log_field){ .key = (k), .type = LOG_FIELD_TEXT, .text = (v) })
#define LOG_I(k, v)                                                            \
	((struct log_field){ .key = (k), .type = LOG_FIELD_I64, .i64 = (v) })
#define LOG_U(k, v)                                                            \
	((struct log_field){ .key = (k), .type = LOG_FIELD_U64, .u64 = (v) })

/*
 * At least one field:
 * log_event(LOG_INFO, "job.done", LOG_S("queue", "actions"), LOG_U("job", 81))
 */
#define log_event(level, event, ...)                                           \
	log_fields((level), (event),                                           \
	    (const struct log_field[]){                                        \
		__VA_ARGS__, { .type = LOG_FIELD_END } })
void log_fields(
    enum log_level level, const char *event, const struct log_field *fields);

/* Level from its name ("err", "warn", "info", "debug"). */
MUSTUSE bool log_level_parse(struct slice name, enum log_level *out);
/* Lines above `level` are dropped; LOG_INFO at start. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* Where lines go; stderr (2) at start. With `stamp`, lines begin with the UTC
 * time (systemd's journal stamps them itself). */
void log_set_output(int fd, bool stamp);

#endif
