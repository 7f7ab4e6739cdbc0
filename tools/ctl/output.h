#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "base/slice.h"

/*
 * What a command prints, in every format. A row is a JSON object with a
 * member a column, so that the keys of --format=json are the columns' names
 * and nothing is written twice.
 */
enum output_format {
	OUTPUT_TABLE,
	OUTPUT_JSON,
	OUTPUT_CSV,
	OUTPUT_IDS,   /* the first column, blanks between */
	OUTPUT_COUNT, /* how many rows */
	OUTPUT_LINES, /* --field: one column, a line a row */
};

#define OUTPUT_COLUMNS_MAX 40
struct output {
	FILE *to;
	enum output_format format;
	const char *fields[OUTPUT_COLUMNS_MAX]; /* columns shown, in order */
	size_t nfields;
};

/*
 * output_init - `format` and `fields` ("a,b") as given, NULL for the default;
 * `columns` ends in NULL; those behind an "" are shown only when asked for. The
 * texts are lent as long as `o` is used. RC_REJECT:
 * no such format or field, with the names there are.
 */
MUSTUSE enum rc output_init(struct output *o, FILE *to,
    const char *const *columns, const char *format, const char *fields,
    struct err *err);

/* Print rows, an array of objects; takes them. RC_RETRY: cannot write. */
MUSTUSE enum rc output_rows(
    const struct output *o, json_t *rows, struct err *err);
/* Print one object: a line a field in a table, the object itself in JSON. */
MUSTUSE enum rc output_record(
    const struct output *o, json_t *row, struct err *err);

/* Text from the database as a JSON string; what is not UTF-8 becomes U+FFFD.
 * p == NULL: null. */
json_t *output_text(struct slice s);
/* "YYYY-MM-DD HH:MM:SS" in UTC; INT64_MIN and INT64_MAX: null. */
json_t *output_time(int64_t unix_time);

#endif
