"""Readers handed over to a provider that answers after 50 ms, against one call
after another. No database: the provider's own part of a batch."""

import time

from esp import driver
from esp.mailchimp import Mailchimp

READERS = 10000
PAGE = 500        # as the engine hands them over
DELAY_S = 0.05
ONE_BY_ONE = 200  # of which the rest is extrapolated


def run(steps, host=None):
    """Seconds for all steps, of the driver's own count."""
    with Mailchimp(delay=DELAY_S) as esp:
        answer = driver.run("mailchimp", esp.account, steps, host, 600)
        if esp.violations:
            raise AssertionError(esp.violations[:3])
        return answer["steps"], esp


def together():
    pages = [{"op": "push", "make": PAGE, "from": n, "quiet": True}
             for n in range(0, READERS, PAGE)]
    begun = time.monotonic()
    steps, esp = run(pages + [{"op": "settle", "max_s": 300, "quiet": True}])
    whole = time.monotonic() - begun
    if steps[-1]["counts"]["done"] != READERS or len(esp.members) != READERS:
        raise AssertionError("not all are settled: %r" % steps[-1]["counts"])
    handed = sum(s["ms"] for s in steps[:-1]) / 1000
    return handed, handed + steps[-1]["ms"] / 1000, whole, len(esp.calls)


def one_by_one():
    pages = [{"op": "push", "make": 10, "from": n, "quiet": True}
             for n in range(0, ONE_BY_ONE, 10)]
    steps, _ = run(pages, {"connections": 1})
    return sum(s["ms"] for s in steps) / 1000


def measure(row):
    alone = one_by_one() * READERS / ONE_BY_ONE
    handed, settled, _, calls = together()
    row("10,000 contacts handed over", READERS / handed, "/s",
        "one call after another", READERS / alone, 100,
        remark="%.2f s in %d requests; alone %.0f s, from %d" % (
            handed, calls, alone, ONE_BY_ONE))
    row("10,000 contacts settled", READERS / settled, "/s",
        "one call after another", READERS / alone, 100,
        remark="%.2f s, the stand-in's own work included" % settled)
