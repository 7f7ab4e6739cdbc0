#!/bin/sh
# make install and uninstall into a directory of our own: what is installed
# runs from there, and nothing is left behind.
set -u
cd "$(dirname "$0")/.." || exit 70
d=$(mktemp -d) || exit 70
trap 'rm -rf "$d"' EXIT
passed=0 failed=0

# check "sentence" command...
check() {
	what=$1
	shift
	if "$@" >"$d/out" 2>&1; then
		passed=$((passed + 1))
		echo "ok     $what"
	else
		failed=$((failed + 1))
		echo "FAILED $what"
		cat "$d/out"
	fi
}

nothing_left() {
	[ -z "$(find "$d/root" ! -type d)" ] || {
		find "$d/root" ! -type d
		return 1
	}
}

check "install honours DESTDIR and PREFIX" \
	make -s install DESTDIR="$d/root" PREFIX=/opt/x UNITDIR=/opt/x/units
check "the daemon runs from there" "$d/root/opt/x/sbin/wp-cron-fcgi" --version
check "wp-cronctl runs from there" "$d/root/opt/x/bin/wp-cronctl" version
check "the PHP worker is there" \
	test -s "$d/root/opt/x/share/wp-cron-fcgi/worker.php"
check "the nginx snippet is there" \
	test -s "$d/root/opt/x/share/wp-cron-fcgi/nginx/wp-cron-fcgi.conf"
check "uninstall runs" \
	make -s uninstall DESTDIR="$d/root" PREFIX=/opt/x UNITDIR=/opt/x/units
check "uninstall leaves nothing" nothing_left
echo "install: $passed passed, $failed failed"
[ $failed -eq 0 ]
