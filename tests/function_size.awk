# Functions longer than `max` lines. KNF makes this easy: a definition's name
# and its braces stand in the first column. NOLINT in a comment right above
# the definition excuses it, with its reason.

FNR == 1 { begin = 0; mark = -9 }
/NOLINT/ { mark = FNR }
/^[a-z_][A-Za-z0-9_]*\(/ {
	name = $0
	sub(/\(.*/, "", name)
	excused = FNR - mark <= 3
}
/^\{/ { begin = FNR }
/^\}/ && begin {
	if (FNR - begin - 1 > max && !excused) {
		printf "%s:%d: %s has %d lines\n", FILENAME, begin, name, \
		    FNR - begin - 1
		bad = 1
	}
	begin = 0
}
END { exit bad }
