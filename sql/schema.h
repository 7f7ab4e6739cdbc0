#ifndef SQL_SCHEMA_H
#define SQL_SCHEMA_H

#include "base/buf.h"
#include "base/err.h"
#include "sql/db.h"

/* The program's own tables, {base}wpcron_*. */
#define SCHEMA_VERSION 4

/*
 * schema_is_installed - RC_OK: all tables are there, of this version. RC_NONE:
 * some are missing or older (schema_install() mends that). RC_REJECT: they
 * are of a newer version, which this program must not touch. Blocks for two
 * reads.
 */
MUSTUSE enum rc schema_is_installed(
    struct db *db, const struct sql_scope *scope, struct err *err);

/*
 * schema_install - create what is missing; nothing when all is there, so it
 * needs the CREATE right only once. May be called at any time, by several
 * processes at once. RC_REJECT: no right to create tables, with the words
 * (err->code has the server's number), or a newer version is there.
 */
MUSTUSE enum rc schema_install(
    struct db *db, const struct sql_scope *scope, struct err *err);

/* Drop the tables and all that is in them; RC_OK also when there are none. */
MUSTUSE enum rc schema_uninstall(
    struct db *db, const struct sql_scope *scope, struct err *err);

/* What schema_install() would send, for somebody else to run: statements that
 * end in ";\n". RC_REJECT: a bad prefix, or over the buffer's ceiling. */
MUSTUSE enum rc schema_print(
    const struct sql_scope *scope, struct buf *out, struct err *err);

#endif
