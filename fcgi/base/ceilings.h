#ifndef BASE_CEILINGS_H
#define BASE_CEILINGS_H

/*
 * How much of what others send we are willing to hold, with the reason beside
 * each number. A ceiling is where a read ends in RC_REJECT, never a target.
 */

/* The `cron` option with 50,000 events is 10 MB; a row past
 * max_allowed_packet's usual 16 MB cannot have been written. */
#define CEILING_SERIALIZED_BYTES ((size_t)16 << 20)
/* Members of all arrays and objects together: 20,000 events are 200,000. */
#define CEILING_SERIALIZED_ELEMENTS ((size_t)1000000)
/* A level is three stack frames, 600 bytes or so, which 512 levels may take of
 * any thread; json_decode() stops there too. */
#define CEILING_SERIALIZED_DEPTH 512

/* cron_array_parse() of 16 MB that WordPress wrote: 80,000 events at 200 bytes
 * each take 110 for the event and 3 times 100 for its slot. */
#define CEILING_CRON_ARENA ((size_t)64 << 20)

/* The tree of one event's arguments that shall become JSON: 160 bytes a value,
 * so 200,000 values; a webhook with more has other problems. */
#define CEILING_JSON_ARENA ((size_t)32 << 20)

/* The longest schedule PHP writes (six-part cron) is 800 bytes and its parts
 * are as long as a person types. */
#define CEILING_SCHEDULE_BYTES ((size_t)16 << 10)
/* Members in it are about 25; other plugins' schedules are read to the end
 * only to tell "unknown" from "broken". */
#define CEILING_SCHEDULE_ELEMENTS ((size_t)1000)
#define CEILING_SCHEDULE_DEPTH 32

/* All 60 minutes written out are 170 bytes. */
#define CEILING_CRON_BYTES ((size_t)4096)
/* One list item: "WEDNESDAY-FRIDAY/2" is generous. */
#define CEILING_CRON_ITEM_BYTES 64

/* Column extended_args is varchar(8000) characters, up to 4 bytes each. */
#define CEILING_ARGS_BYTES ((size_t)32000)
/* json_decode()'s default of 512 counts the scalars as a level. */
#define CEILING_ARGS_DEPTH 511

/* One SQL statement that writes back an option. Servers refuse more than
 * max_allowed_packet, usually 16 MiB with the packet's own head; PHP's own
 * write of that row was bound by the same. */
#define CEILING_STATEMENT_BYTES (((size_t)16 << 20) - 4096)
/* Rows of one insert together: the smallest max_allowed_packet still in use is
 * 1 MiB. */
#define CEILING_ROWS_BYTES (((size_t)1 << 20) - 4096)
/* The members of one bulk call as they are stored: a provider takes 500 to
 * 40,000 at once, at some 200 bytes each. */
#define CEILING_CONTACT_BATCH_BYTES ((size_t)12 << 20)
/* A field of a contact: the longest that a provider stores is 32,000
 * characters of text. */
#define CEILING_CONTACT_VALUE_BYTES ((size_t)128 << 10)
/* A mail made here, before its parts are encoded: relays take 25 MB to 35 MB
 * of what is then a third more. */
#define CEILING_MAIL_INPUT_BYTES ((size_t)25 << 20)
#define CEILING_MAIL_BYTES ((size_t)64 << 20)
/* A header's value, and the subject: what is longer was not typed. */
#define CEILING_MAIL_HEADER_BYTES ((size_t)8 << 10)
#define CEILING_MAIL_SUBJECT_BYTES ((size_t)2 << 10)
/* A session's sql_mode: all that a server knows are under 600 bytes. */
#define CEILING_SQL_MODE_BYTES ((size_t)2048)

#endif
