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

units_are_filled_in() {
	units="$d/root/opt/x/units"
	! grep -rE '@[A-Z]+@' "$units" &&
		grep -q '=/opt/x/sbin/' "$units/wp-cron-fcgi.service"
}

# "worker install" names them; companion.php is no part of the worker.
copies_all() {
	for php in fcgi/php/*.php; do
		case ${php##*/} in
		companion.php | worker.php) continue ;;
		esac
		grep -q "\"${php##*/}\"" tools/ctl/cmd_worker.c || {
			echo "tools/ctl/cmd_worker.c does not name ${php##*/}"
			return 1
		}
	done
}

check "install honours DESTDIR and PREFIX" \
	make -s install DESTDIR="$d/root" PREFIX=/opt/x UNITDIR=/opt/x/units
check "the daemon runs from there" "$d/root/opt/x/sbin/wp-cron-fcgi" --version
check "wp-cronctl runs from there" "$d/root/opt/x/bin/wp-cronctl" version
for php in fcgi/php/*.php; do
	check "${php##*/} is there" \
		test -s "$d/root/opt/x/share/wp-cron-fcgi/${php##*/}"
done
check "wp-cronctl copies all that the worker loads" copies_all
check "wp-cronctl names that worker" \
	grep -q /opt/x/share/wp-cron-fcgi/worker.php "$d/root/opt/x/bin/wp-cronctl"
check "wp-cronctl names that companion plugin" \
	grep -q /opt/x/share/wp-cron-fcgi/companion.php \
	"$d/root/opt/x/bin/wp-cronctl"
check "the daemon names that worker" \
	grep -q /opt/x/share/wp-cron-fcgi/worker.php \
	"$d/root/opt/x/sbin/wp-cron-fcgi"
check "the sample configuration is there" \
	test -s "$d/root/opt/x/share/wp-cron-fcgi/wp-cron-fcgi.conf"
check "the pool of php-fpm is there" \
	test -s "$d/root/opt/x/share/wp-cron-fcgi/php-fpm-wp-cron-fcgi.conf"
check "the units name what was installed" units_are_filled_in
check "the nginx snippet is there" \
	test -s "$d/root/opt/x/share/wp-cron-fcgi/nginx/wp-cron-fcgi.conf"
check "the manual pages are there" test -s \
	"$d/root/opt/x/share/man/man1/wp-cronctl.1" -a \
	-s "$d/root/opt/x/share/man/man8/wp-cron-fcgi.8"
check "uninstall runs" \
	make -s uninstall DESTDIR="$d/root" PREFIX=/opt/x UNITDIR=/opt/x/units
check "uninstall leaves nothing" nothing_left
# What is in build/ is for the usual PREFIX again.
check "another PREFIX compiles again" make -s all
echo "install: $passed passed, $failed failed"
[ $failed -eq 0 ]
