/* One line a suite, sorted; expanded twice by main.c. */
SUITE(db)
SUITE(explain)
SUITE(tables)
