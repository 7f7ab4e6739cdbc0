#!/bin/sh
# README.md is the reference: every option, command and log event of the
# program stands in it. Names are taken from the tables in the source.
set -u
cd "$(dirname "$0")/../.." || exit 70
readme=${1:-README.md}

options() {
	sed -nE 's/^	[DIMPRST]\("([a-z_]+)".*/\1/p
		s/^	ROW(_OF)?\([A-Z_]+, struct [a-z_]+, "([a-z_]+)".*/\2/p' \
		fcgi/base/config_options.c fcgi/base/config_options_mail.c
}
commands() {
	sed -nE 's/^	\{ "([a-z ]+)", (NULL|"[^"]*"), *"?.*/\1/p' \
		tools/ctl/commands.c
	sed -nE 's/^	\{ "([a-z ]+)", ("[^"]*"),$/\1/p' tools/ctl/commands.c
}
switches() {
	sed -nE 's/^	(TEXT|FLAG)\("(-[-a-z]+)".*/\2/p' \
		fcgi/server/options.c tools/ctl/commands.c
}
# The engine hands some names to functions of its own; elsewhere a word with a
# dot may be a provider's.
events() {
	{
		cat fcgi/*/*.c fcgi/*/*/*.c sql/*.c | tr '\n' ' ' |
			grep -oE 'log_(event|fields)\([^;]*'
		cat fcgi/engine/*.c
	} | grep -oE '"[a-z_]+\.[a-z_]+"' | tr -d '"'
}

# "name preset" of each [daemon] option that has one.
defaults() {
	tr '\n\t' '  ' <fcgi/base/config_options.c | grep -oE \
		' D\("[a-z_]+", OPTION_[A-Z]+, [a-z_]+, [^,]+, [^,]+, +"[^"]+"' |
		sed -E 's/^ D\("([a-z_]+)".* "([^"]+)"$/\1 \2/'
}

missing=0
t=$(mktemp) || exit 70
trap 'rm -f "$t"' EXIT
# expect KIND, names on standard input, each to stand in `backquotes`.
expect() {
	n=0
	while read -r name; do
		n=$((n + 1))
		grep -qE "\`(wp-cronctl )?${name}[\` ]" "$readme" && continue
		echo "$readme does not say what $1 \`$name\` is"
		missing=1
	done
	# A list that cannot be read must not pass for a complete one.
	[ "$n" -ge "$2" ] || {
		echo "found only $n of the kind: $1"
		missing=1
	}
}

options | sort -u >"$t"
expect option 105 <"$t"
commands | sort -u >"$t"
expect command 55 <"$t"
switches | sort -u >"$t"
expect switch 50 <"$t"
events | sort -u >"$t"
expect "log event" 100 <"$t"
defaults >"$t"
[ "$(wc -l <"$t")" -ge 12 ] || {
	echo "cannot read the defaults of [daemon]"
	missing=1
}
while read -r name preset; do
	grep -q "^| \`$name\` | $preset |" "$readme" && continue
	echo "$readme does not say that the default of $name is $preset"
	missing=1
done <"$t"
exit $missing
