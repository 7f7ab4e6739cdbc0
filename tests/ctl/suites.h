/* One line a suite, sorted; expanded twice by main.c. */
SUITE(commands)
SUITE(events)
SUITE(output)
SUITE(schedule)
