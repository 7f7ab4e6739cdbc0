#include "sql/db_errors.h"

#include "base/macros.h"

/*
 * MySQL and MariaDB give the same number to the same error below 1900; above,
 * each has its own.
 */
static const struct {
	int code;
	struct db_error means;
} errors[] = {
	/* Somebody was first. */
	{ 1062, { RC_NONE, false, false } }, /* duplicate entry */
	{ 1586, { RC_NONE, false, false } }, /* the same, key by name */

	/* Rolled back by the server: repeat. */
	{ 1213, { RC_RETRY, false, true } }, /* deadlock */
	{ 1205, { RC_RETRY, false, true } }, /* lock wait; statement only */
	{ 1020, { RC_RETRY, false, true } }, /* changed since the snapshot */
	{ 3101, { RC_RETRY, false, true } }, /* group: certification */
	{ 1412, { RC_RETRY, false, true } }, /* table altered since it began */
	{ 1615, { RC_RETRY, false, true } }, /* needs to be prepared anew */

	/* Passes, but not within milliseconds. */
	{ 1021, { RC_RETRY, false, false } }, /* disk full */
	{ 1037, { RC_RETRY, false, false } }, /* out of memory */
	{ 1038, { RC_RETRY, false, false } }, /* out of sort memory */
	{ 1041, { RC_RETRY, false, false } }, /* out of resources */
	{ 1114, { RC_RETRY, false, false } }, /* table full */
	{ 1135, { RC_RETRY, false, false } }, /* cannot create a thread */
	{ 1180, { RC_RETRY, false, false } }, /* error during COMMIT */
	{ 1206, { RC_RETRY, false, false } }, /* lock table full */
	{ 1226, { RC_RETRY, false, false } }, /* a limit of the user's */
	{ 1317, { RC_RETRY, false, false } }, /* KILL QUERY */
	{ 1637, { RC_RETRY, false, false } }, /* too many transactions */
	{ 1969, { RC_RETRY, false, false } }, /* MariaDB: max_statement_time */
	{ 3024, { RC_RETRY, false, false } }, /* MySQL: max_execution_time */
	{ 3100, { RC_RETRY, false, false } }, /* group: hook failed */
	{ 3572, { RC_RETRY, false, false } }, /* NOWAIT */

	/* No connection, or one that is of no more use. */
	{ 1040, { RC_RETRY, true, false } }, /* too many connections */
	{ 1043, { RC_RETRY, true, false } }, /* bad handshake */
	{ 1047, { RC_RETRY, true, false } }, /* Galera: not ready */
	{ 1053, { RC_RETRY, true, false } }, /* shutdown in progress */
	{ 1129, { RC_RETRY, true, false } }, /* host blocked */
	{ 1152, { RC_RETRY, true, false } }, /* aborting connection */
	{ 1158, { RC_RETRY, true, false } }, /* read from the client failed */
	{ 1159, { RC_RETRY, true, false } }, /* ... timed out */
	{ 1160, { RC_RETRY, true, false } }, /* write to the client failed */
	{ 1161, { RC_RETRY, true, false } }, /* ... timed out */
	{ 1184, { RC_RETRY, true, false } }, /* aborting connection */
	{ 1203, { RC_RETRY, true, false } }, /* user has too many connections */
	{ 1290, { RC_RETRY, true, false } }, /* read-only: failed over */
	{ 1792, { RC_RETRY, true, false } }, /* ... in the transaction */
	{ 1836, { RC_RETRY, true, false } }, /* ... the whole server */
	{ 1927, { RC_RETRY, true, false } }, /* MariaDB: connection killed */
	{ 4031, { RC_RETRY, true, false } }, /* MySQL: idle too long */

	/* The server hangs up after a packet it cannot take. */
	{ 1153, { RC_REJECT, true, false } },
	{ 2020, { RC_REJECT, true, false } },
};

struct db_error
db_error_sort(int code)
{
	for (size_t i = 0; i < NELEMS(errors); i++)
		if (errors[i].code == code)
			return errors[i].means;
	/* 2002 socket, 2003 TCP, 2005 name, 2006 gone, 2013 lost, 2014 out of
	 * sync, 2026 TLS, 2055 lost with errno; 5000: MariaDB's later ones. */
	if ((code >= 2000 && code < 2100) || (code >= 5000 && code < 5100))
		return (struct db_error){ RC_RETRY, true, false };
	return (struct db_error){ RC_REJECT, false, false };
}
