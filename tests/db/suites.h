/* One line a suite, sorted; expanded twice by main.c. */
SUITE(actions_claim)
SUITE(actions_rescue)
SUITE(actions_settle)
SUITE(claim_cost)
SUITE(db)
SUITE(explain)
SUITE(site_rows)
SUITE(tables)
