#ifndef BASE_CONFIG_OPTIONS_H
#define BASE_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * The one table of options. The reader, the example file and the tests all
 * walk it; a new option is a row here and a field in config.h or route.h.
 */
enum option_section {
	OPTION_DAEMON,
	OPTION_SITE,
	OPTION_POLICY,
	OPTION_INTEGRATION,
	OPTION_SMTP,
	OPTION_TASKS,
};
#define OPTION_NSECTIONS 6

enum option_type {
	OPTION_TEXT,     /* const char * */
	OPTION_PATH,     /* const char *, absolute, no slash at the end */
	OPTION_URL,      /* const char *, http(s), no slash at the end */
	OPTION_ADDRESS,  /* const char *, "unix:PATH" or "HOST:PORT" */
	OPTION_MAILBOX,  /* const char *, "local@domain", no name beside it */
	OPTION_PREFIX,   /* const char *, [A-Za-z0-9_]+ */
	OPTION_COUNT,    /* uint32_t */
	OPTION_DURATION, /* uint32_t, milliseconds */
	OPTION_BOOL,     /* bool, yes or no */
	OPTION_SERIES,   /* bool, insert or php */
	OPTION_MODE,     /* bool, observe or run */
	OPTION_CHOICE,   /* an enum, by the place of a word in `words` */
	OPTION_WORD,     /* const char *, one of `words` */
	OPTION_LIST,     /* struct config_list */
	OPTION_LEVEL,    /* enum log_level */
	OPTION_RATE,     /* struct rate */
	OPTION_BACKOFF,  /* two uint32_t in a row, milliseconds, MIN..MAX */
};

struct option {
	enum option_section section;
	const char *name;
	enum option_type type;
	size_t offset;      /* of the field in the section's struct */
	int64_t min, max;   /* COUNT: number; DURATION, BACKOFF: ms */
	const char *preset; /* default as in the file; NULL: unset */
	const char *sample; /* for the example file where there is no default */
	bool reloadable;
	const char *doc;
	const char *const *words; /* CHOICE, WORD: ends with NULL */
};

/* [policy HOOK] as the file has it: only what it set counts. */
struct policy_section {
	const char *hook; /* pattern */
	const char *site; /* NULL: every site */
	unsigned line;
	uint64_t set; /* bit i: the section's i-th option is set */
	struct policy values;
};

/* Of config_options_mail.c. */
extern const struct option config_smtp_options[];
extern const size_t config_nsmtp_options;
extern const struct option config_tasks_options[];
extern const size_t config_ntasks_options;

/* The rows of a section; *n of them. */
const struct option *config_options(enum option_section section, size_t *n);
/* "daemon", "site", "policy", "integration", "smtp", "tasks" */
const char *config_section_name(enum option_section section);

/*
 * config_option_set - read `text` into the option's field of the section's
 * struct `base`. RC_REJECT: the words say what is accepted, without the name
 * of the option.
 */
MUSTUSE enum rc config_option_set(const struct option *o, void *base,
    struct slice text, struct arena *a, struct err *err);
/* Set every option of a section that has a default. */
MUSTUSE enum rc config_options_preset(
    enum option_section section, void *base, struct arena *a, struct err *err);
/* Copy the option's field from one struct of its section to another. */
void config_option_copy(const struct option *o, void *to, const void *from);
bool config_option_equal(const struct option *o, const void *a, const void *b);

/* The example file. */
void config_example(struct buf *out);

/*
 * config_nearest - of `n` names, `stride` bytes apart, the one with the least
 * edit distance to `name`; NULL when none is near enough to be meant.
 */
const char *config_nearest(
    struct slice name, const char *const *names, size_t n, size_t stride);

#endif
