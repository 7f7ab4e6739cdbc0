# statements.awk - one enum and one table of all named statements.
#
#   awk -v what=h -f sql/statements.awk sql/*.sql > statements.h
#   awk -v what=c -f sql/statements.awk sql/*.sql > statements.c
#
# A statement is a head of comment lines and the text up to the next head:
#
#   -- name:    leases.take                 (SQL_LEASES_TAKE)
#   -- in:      node:u64, name:text, ids    (what goes in, in order; or: none)
#   -- rows:    what comes back, or what the number of affected rows means
#   -- explain: exempt <reason>             (optional; the plan is not tested)
#   -- explain: rows <n>                    (optional; so many rows may be read)
#   -- needs:   priority_index              (optional; what must be present)
#   -- each:    UNION ALL                   (optional; the text once a blog of
#      the scope, with this between; takes no values)
#
# A value is name:type with type u64, i64, text, bytes or time, and may carry a
# sample for the plan test, name:type=sample; then `ids` for {ids} and
# `rows(name:type, ...)`, commas or blanks, for {rows n}. A line that starts
# with "--" and three blanks continues the key above it. Comments inside the
# text are dropped. sql/render.h has the placeholders. POSIX awk.

BEGIN {
	feature["priority"] = "DB_COLUMN_PRIORITY"
	feature["extended_args"] = "DB_COLUMN_EXTENDED_ARGS"
	feature["unique_key"] = "DB_COLUMN_UNIQUE_KEY"
	feature["priority_index"] = "DB_INDEX_PRIORITY"
	feature["hook_index"] = "DB_INDEX_HOOK"
	feature["attempt_index"] = "DB_INDEX_ATTEMPT"
}

function fail(msg)
{
	printf "%s:%d: %s\n", FILENAME, FNR, msg > "/dev/stderr"
	bad = 1
}

function fail_at(s, msg)
{
	printf "%s:%d: %s: %s\n", file[s], line[s], name[s], msg > "/dev/stderr"
	bad = 1
}

function trim(s)
{
	gsub(/^[ \t]+|[ \t]+$/, "", s)
	return s
}

function c_string(s,   out, i, c)
{
	out = ""
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (c == "\\" || c == "\"")
			out = out "\\" c
		else if (c == "\n")
			out = out "\\n\"\n\t      \""
		else
			out = out c
	}
	return "\"" out "\""
}

function begin_statement(s_name,   id)
{
	n++
	name[n] = s_name
	file[n] = FILENAME
	line[n] = FNR
	in_head = 1
	key = ""
	depth = 0
	if (s_name !~ /^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$/)
		fail("a name is like leases.take, not \"" s_name "\"")
	id = "SQL_" toupper(s_name)
	gsub(/\./, "_", id)
	if (id in seen)
		fail("the name " s_name " stands at " seen[id] " already")
	seen[id] = FILENAME ":" FNR
	enum[n] = id
}

function head_line(s,   v)
{
	if (match(s, /^--[ \t]*(in|rows|explain|needs|each):/)) {
		key = substr(s, 1, RLENGTH - 1)
		sub(/^--[ \t]*/, "", key)
		v = trim(substr(s, RLENGTH + 1))
		if ((n, key) in head)
			fail("a second `" key ":`")
		head[n, key] = v
	} else if (key != "" && s ~ /^--   /)
		head[n, key] = trim(head[n, key] " " trim(substr(s, 3)))
	else
		key = ""
}

# The placeholder that begins at s[i] == "{"; returns its last index.
function placeholder(s, i,   rest, w)
{
	rest = substr(s, i)
	if (match(rest, /^\{(p|base|blog|ids|due_index|retention_index)\}/)) {
		if (substr(rest, 1, RLENGTH) == "{ids}")
			nids[n]++
		return i + RLENGTH - 1
	}
	if (match(rest, /^\{rows [0-9]+\}/)) {
		nrows[n]++
		tuple[n] = substr(rest, 7, RLENGTH - 7) + 0
		return i + RLENGTH - 1
	}
	if (match(rest, /^\{[?!][a-z_]+/)) {
		if (!(substr(rest, 3, RLENGTH - 2) in feature))
			fail("unknown feature " substr(rest, 1, RLENGTH))
		if (substr(rest, RLENGTH + 1) !~ /^([ \t]|$)/)
			fail("a blank after " substr(rest, 1, RLENGTH))
		depth++
		return i + RLENGTH - 1
	}
	w = rest
	sub(/[ }].*/, "", w)
	fail("unknown placeholder " w)
	return i
}

# One line of text: without its comment, placeholders and `?` counted.
function text_line(s,   out, i, c, quoted)
{
	out = ""
	quoted = 0
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (quoted) {
			if (c == "'")
				quoted = 0
			else if (c == "\\")
				fail("a backslash in a literal")
			out = out c
			continue
		}
		if (c == "'")
			quoted = 1
		else if (c == "\"" || c == "#" || substr(s, i, 2) == "/*") {
			fail("only '...' literals and -- comments, not " c)
			return out
		} else if (substr(s, i, 2) == "--")
			break
		else if (c == "?")
			nvalues[n]++
		else if (c == "{") {
			c = substr(s, i, placeholder(s, i) - i + 1)
			i += length(c) - 1
		} else if (c == "}") {
			if (--depth < 0)
				fail("a } too many")
		} else if (c == ";" && substr(s, i + 1) !~ /^[ \t]*(--.*)?$/)
			fail("one statement only")
		out = out c
	}
	if (quoted)
		fail("a literal ends on its line")
	sub(/[ \t]+$/, "", out)
	return out
}

function param(s, where, item,   c, t, v)
{
	v = ""
	if (match(item, /=/)) {
		v = trim(substr(item, RSTART + 1))
		item = trim(substr(item, 1, RSTART - 1))
	}
	c = index(item, ":")
	t = c ? trim(substr(item, c + 1)) : (where == "tuple" ? item : "")
	item = c ? trim(substr(item, 1, c - 1)) : item
	if (t !~ /^(u64|i64|text|bytes|time)$/) {
		fail_at(s, "`in:` says \"" item "\", not name:u64, " \
		    "i64, text, bytes or time")
		return ""
	}
	return "{ " c_string(item) ", SQL_" toupper(t) ", " \
	    (v == "" ? "NULL" : c_string(v)) " }, "
}

# What the head says goes in, held against what the text takes.
function check_in(s,   rest, item, got, i, list)
{
	params[s] = tuples[s] = ""
	nparams[s] = ntuple[s] = has_ids[s] = 0
	rest = head[s, "in"]
	if (rest == "none")
		rest = ""
	while (rest != "") {
		if (match(rest, /^rows\([^)]*\)/)) {
			list = substr(rest, 6, RLENGTH - 6)
			rest = trim(substr(rest, RLENGTH + 1))
			gsub(/[ \t]*[, \t][ \t]*/, ",", list)
			got = split(list, item, ",")
			for (i = 1; i <= got; i++)
				tuples[s] = tuples[s] param(s, "tuple", trim(item[i]))
			ntuple[s] = got
		} else {
			i = index(rest, ",")
			list = trim(i ? substr(rest, 1, i - 1) : rest)
			rest = i ? substr(rest, i) : ""
			if (list == "ids")
				has_ids[s] = 1
			else {
				params[s] = params[s] param(s, "in", list)
				nparams[s]++
			}
		}
		if (rest != "" && rest !~ /^,/) {
			fail_at(s, "`in:` needs a comma before \"" rest "\"")
			return
		}
		sub(/^,[ \t]*/, "", rest)
	}
	if (nparams[s] != nvalues[s] + 0)
		fail_at(s, "`in:` names " nparams[s] " values, the text has " \
		    (nvalues[s] + 0) " ?")
	if (has_ids[s] != (nids[s] > 0))
		fail_at(s, "`in:` and the text differ about ids")
	if (nrows[s] > 1)
		fail_at(s, "{rows n} twice")
	if (ntuple[s] != tuple[s] + 0)
		fail_at(s, "`in:` has " ntuple[s] " columns in rows(), the text " \
		    (tuple[s] + 0))
}

function end_statement(   flat)
{
	if (n == 0)
		return
	if (depth > 0)
		fail_at(n, "a {? or {! is not closed")
	sub(/;$/, "", text[n])
	if (text[n] == "")
		fail_at(n, "no text")
	# -Woverlength-strings: what a C compiler must take.
	if (length(text[n]) > 4000)
		fail_at(n, "over 4000 bytes")
	flat = " " toupper(text[n])
	gsub(/[ \t\n]+/, " ", flat)
	if (flat ~ / \(?(SELECT|DISTINCT|ALL) \*/ || flat ~ /[.,] ?\*/)
		fail_at(n, "SELECT *: name the columns")
	if (!((n, "in") in head))
		fail_at(n, "no `in:` in the head (`none` if nothing goes in)")
	else
		check_in(n)
	if (!((n, "rows") in head) || head[n, "rows"] == "")
		fail_at(n, "no `rows:` in the head")
	if (((n, "needs") in head) && !(head[n, "needs"] in feature))
		fail_at(n, "`needs:` names an unknown feature")
	if (((n, "each") in head) && (head[n, "each"] != "UNION ALL" ||
	    head[n, "in"] != "none"))
		fail_at(n, "`each:` is \"UNION ALL\", and takes no values")
	if (((n, "explain") in head) &&
	    head[n, "explain"] !~ /^(exempt .+|rows [0-9]+.*)$/)
		fail_at(n, "`explain:` is \"exempt <reason>\" or \"rows <n>\"")
}

FNR == 1 && in_file {
	end_statement()
	in_file = 0
}

/^--[ \t]*name:/ {
	if (in_file)
		end_statement()
	in_file = 1
	sub(/^--[ \t]*name:/, "")
	begin_statement(trim($0))
	next
}

!in_file {
	if ($0 !~ /^[ \t]*(--.*)?$/)
		fail("a statement without a head (-- name:, in:, rows:)")
	next
}

in_head && /^--/ {
	head_line($0)
	next
}

{
	t = text_line($0)
	if (t != "") {
		in_head = 0
		text[n] = text[n] (text[n] == "" ? "" : "\n") t
	}
}

function print_header(   s)
{
	print "/* Made by sql/statements.awk from the .sql files. */"
	print "#ifndef SQL_STATEMENTS_H\n#define SQL_STATEMENTS_H\n"
	print "enum sql_id {"
	for (s = 1; s <= n; s++)
		print "\t" enum[s] ","
	print "};\n#define SQL_NSTATEMENTS " n "\n\n#endif"
}

function print_table(   s)
{
	print "/* Made by sql/statements.awk from the .sql files. */"
	print "#include \"sql/render.h\"\n"
	print "const struct sql_statement sql_statements[SQL_NSTATEMENTS] = {"
	for (s = 1; s <= n; s++) {
		print "\t[" enum[s] "] = {\n\t  .name = " c_string(name[s]) ","
		print "\t  .file = " c_string(file[s]) ","
		print "\t  .text = " c_string(text[s]) ","
		print "\t  .rows = " c_string(head[s, "rows"]) ","
		if ((s, "explain") in head)
			print "\t  .explain = " c_string(head[s, "explain"]) ","
		if ((s, "needs") in head)
			print "\t  .needs = " feature[head[s, "needs"]] ","
		if ((s, "each") in head)
			print "\t  .each = " c_string(head[s, "each"]) ","
		if (nparams[s] > 0)
			print "\t  .params = (const struct sql_param[]) { " \
			    params[s] "},\n\t  .nparams = " nparams[s] ","
		if (ntuple[s] > 0)
			print "\t  .tuple = (const struct sql_param[]) { " \
			    tuples[s] "},\n\t  .ntuple = " ntuple[s] ","
		if (has_ids[s])
			print "\t  .ids = true,"
		print "\t},"
	}
	print "};"
}

END {
	if (in_file)
		end_statement()
	if (n == 0) {
		print "no statement in any file" > "/dev/stderr"
		bad = 1
	}
	if (bad)
		exit 1
	if (what == "h")
		print_header()
	else
		print_table()
}
