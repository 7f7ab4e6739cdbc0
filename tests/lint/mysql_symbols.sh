#!/bin/sh
# mysql_symbols.sh OBJECT... - the program calls only what libmysqlclient and
# MariaDB Connector/C both have, with the same meaning, so that it builds
# against either.
set -eu

if [ $# -eq 0 ]; then
	echo "usage: mysql_symbols.sh OBJECT..." >&2
	exit 64
fi

# mysql_server_init and _end are what mysql_library_init and _end are macros
# for.
both='mysql_affected_rows mysql_close mysql_errno mysql_error
mysql_fetch_fields mysql_fetch_lengths mysql_fetch_row mysql_field_count
mysql_free_result
mysql_get_server_info mysql_get_server_version mysql_init mysql_insert_id
mysql_num_fields mysql_num_rows mysql_options mysql_ping mysql_real_connect
mysql_real_query mysql_server_end mysql_server_init mysql_sqlstate
mysql_store_result mysql_thread_end mysql_thread_id mysql_thread_init'

status=0
for symbol in $(nm --undefined-only "$@" |
    awk '$1 == "U" && $2 ~ /^(mysql|mariadb|ma_|my_)/ { print $2 }' |
    sort -u); do
	case " $(echo "$both" | tr '\n' ' ') " in
	*" $symbol "*) ;;
	*)
		echo "$symbol: not in both client libraries" >&2
		status=1
		;;
	esac
done
exit $status
