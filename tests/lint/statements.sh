#!/bin/sh
# statements.sh - what sql/statements.awk refuses, and what it takes. AWK=mawk
# tries another awk.
set -eu

awk=${AWK:-awk}
maker=$(dirname "$0")/../../sql/statements.awk
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
ran=0

# refused WORDS: the statements on stdin are refused with these words.
refused()
{
	cat >"$dir/x.sql"
	ran=$((ran + 1))
	if "$awk" -v what=h -f "$maker" "$dir/x.sql" >"$dir/out" 2>"$dir/err"
	then
		echo "taken, but should say: $1" >&2
		failed=1
	elif ! grep -qF -- "$1" "$dir/err"; then
		echo "should say: $1, says:" >&2
		cat "$dir/err" >&2
		failed=1
	fi
}

# taken TEXT: they are taken, and the table contains this.
taken()
{
	cat >"$dir/x.sql"
	ran=$((ran + 1))
	if ! "$awk" -v what=c -f "$maker" "$dir/x.sql" >"$dir/out" 2>"$dir/err"
	then
		echo "refused:" >&2
		cat "$dir/err" >&2
		failed=1
	elif ! grep -qF -- "$1" "$dir/out"; then
		echo "should contain: $1" >&2
		cat "$dir/out" >&2
		failed=1
	fi
}

head='-- in: none
-- rows: one'

refused 'the name a.b stands at' <<END
-- name: a.b
$head
SELECT 1
-- name: a.b
$head
SELECT 2
END
refused 'a name is like leases.take' <<END
-- name: Take
$head
SELECT 1
END
refused 'SELECT *: name the columns' <<END
-- name: a.b
$head
SELECT *
  FROM t
END
refused 'SELECT *: name the columns' <<END
-- name: a.b
$head
SELECT DISTINCT * FROM t
END
refused 'SELECT *: name the columns' <<END
-- name: a.b
$head
SELECT a.x, a.* FROM t a
END
refused 'SELECT *: name the columns' <<END
-- name: a.b
$head
DELETE FROM t WHERE x IN (SELECT
  * FROM u)
END
refused 'a statement without a head' <<END
SELECT 1
END
refused 'no `in:` in the head' <<END
-- name: a.b
-- rows: one
SELECT 1
END
refused 'no `rows:` in the head' <<END
-- name: a.b
-- in: none
SELECT 1
END
refused 'names 1 values, the text has 2 ?' <<END
-- name: a.b
-- in: x:u64
-- rows: one
SELECT ?, ?
END
refused 'names 1 values, the text has 0 ?' <<END
-- name: a.b
-- in: x:u64
-- rows: one
SELECT '?' -- ?
END
refused 'not name:u64' <<END
-- name: a.b
-- in: x
-- rows: one
SELECT ?
END
refused 'not name:u64' <<END
-- name: a.b
-- in: x:float
-- rows: one
SELECT ?
END
refused 'differ about ids' <<END
-- name: a.b
-- in: none
-- rows: one
SELECT 1 FROM t WHERE x IN ({ids})
END
refused 'differ about ids' <<END
-- name: a.b
-- in: ids
-- rows: one
SELECT 1
END
refused '`in:` has 2 columns in rows(), the text 3' <<END
-- name: a.b
-- in: rows(a:u64 b:text)
-- rows: one
INSERT INTO t VALUES {rows 3}
END
refused 'unknown placeholder {table' <<END
-- name: a.b
$head
SELECT 1 FROM {table}
END
refused 'unknown feature {?colour' <<END
-- name: a.b
$head
SELECT 1 {?colour , x}
END
refused 'is not closed' <<END
-- name: a.b
$head
SELECT 1 {?priority , x
END
refused 'a } too many' <<END
-- name: a.b
$head
SELECT 1 }
END
refused 'one statement only' <<END
-- name: a.b
$head
SELECT 1; DROP TABLE t
END
refused 'only '"'...'"' literals' <<END
-- name: a.b
$head
SELECT "x"
END
refused 'only '"'...'"' literals' <<END
-- name: a.b
$head
SELECT 1 /* x */
END
refused 'a backslash in a literal' <<END
-- name: a.b
$head
SELECT 'a\\'b'
END
refused 'a literal ends on its line' <<END
-- name: a.b
$head
SELECT 'a
b'
END
refused '`explain:` is' <<END
-- name: a.b
$head
-- explain: exempt
SELECT 1
END
refused '`needs:` names an unknown feature' <<END
-- name: a.b
$head
-- needs: luck
SELECT 1
END
refused 'no text' <<END
-- name: a.b
$head
END

taken '[SQL_A_B]' <<END
-- A file may begin with words.

-- name: a.b
$head
SELECT COUNT(*), 2 * 3 FROM {p}t;
END
taken '.text = "SELECT 1, '"'--'"'\n"' <<END
-- name: a.b
$head
SELECT 1, '--' -- why
     , 2
END
taken '.nparams = 3' <<END
-- name: a.b
-- in:   x:u64, y:text=some hook,
--       z:time
-- rows: one,
--       or two
SELECT ?, ? -- {nothing} and ? here
     {?priority , ?}
END
taken '.rows = "one, or two"' <<END
-- name: a.b
-- in:   none
-- rows: one,
--       or two
SELECT 1
END
taken '{ "y", SQL_TEXT, "some hook" }' <<END
-- name: a.b
-- in:   y:text=some hook, rows(text, z:u64), ids
-- rows: one
SELECT ?, {rows 2}, {ids}
END

if [ "$failed" -eq 0 ]; then
	echo "statements.awk ($awk): $ran cases passed"
fi
exit "$failed"
