# The layers of ARCHITECTURE.md over #includes: an include never points
# upward, queues and executors do not know each other, and a library's header
# stays in the folder that owns its types.

BEGIN {
	rank["base"] = 0
	rank["sql"] = rank["formats"] = 1
	rank["wire"] = rank["wordpress"] = 2
	rank["executors"] = rank["queues"] = 3
	rank["engine"] = 4
	rank["server"] = 5
	owner["mysql.h"] = owner["mysql/mysql.h"] = "sql"
	owner["errmsg.h"] = owner["mysqld_error.h"] = "sql"
	owner["curl/curl.h"] = "wire"
	owner["archive.h"] = owner["archive_entry.h"] = "formats"
	owner["fcgiapp.h"] = owner["fcgi_config.h"] = "server"
	# Where two names share a rank, these pairs are the rule.
	never["queues", "executors"] = never["executors", "queues"] = 1
	never["formats", "sql"] = 1
}

FNR == 1 {
	n = split(FILENAME, part, "/")
	# fcgi/main.c and tools/ctl stand above all layers.
	layer = part[1] == "sql" ? "sql" : \
	    (part[1] == "fcgi" && n >= 3 ? part[2] : "")
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, quoted, "\"")
	split(quoted[2], to, "/")
	if (layer == "" || !(to[1] in rank))
		next
	if (rank[to[1]] > rank[layer] || (layer, to[1]) in never) {
		printf "%s:%d: %s must not include %s\n", FILENAME, FNR, \
		    layer, quoted[2]
		bad = 1
	}
}

/^[ \t]*#[ \t]*include[ \t]*</ {
	split($0, rest, "<")
	split(rest[2], name, ">")
	if (name[1] in owner && layer != owner[name[1]]) {
		printf "%s:%d: <%s> belongs to %s/\n", FILENAME, FNR, \
		    name[1], owner[name[1]]
		bad = 1
	}
}

END { exit bad }
