/* One line a suite, sorted; expanded twice by main.c. */
SUITE(breaker)
SUITE(retry_after)
SUITE(utf8)
SUITE(webhook_body)
SUITE(webhook_signature)
