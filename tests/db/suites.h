/* One line a suite, sorted; expanded twice by main.c. */
SUITE(actions)
SUITE(claim_cost)
SUITE(db)
SUITE(explain)
SUITE(site_rows)
SUITE(tables)
