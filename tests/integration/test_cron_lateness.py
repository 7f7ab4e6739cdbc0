"""Events due at random seconds, no visitors and no pings: how late they begin.

LATENESS=1000/60 sets how many events over how many seconds.
"""

import os
import random
import time
import unittest

import cronrow
from cronrow import Event

# What it measures would be others' load.
ALONE = True

EVENTS, SECONDS = (int(x) for x in os.environ.get(
    "LATENESS", "300/20").split("/"))
P95_S, MAX_S = 1.1, 2.0


class LatenessTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = cronrow.tick_site(cls, children=4)
        cls.receiver = s.start_receiver()
        cls.daemon = s.start_daemon(rest="[route]\ntick_native = webhook %s\n"
                                    % cls.receiver.url())
        s.wait_until(lambda: "site.ready" in cls.daemon.log_text())

    def slower(self):
        build = 1 if self.s.variant == "release" else 3
        return build * max(1, os.getloadavg()[0] / os.cpu_count())

    def report(self, what, late):
        late.sort()
        p95 = late[int(len(late) * 0.95)]
        print("       %s: %d events over %d s, p50 %.2f s, p95 %.2f s, max"
              " %.2f s late (aim %.1f/%.1f)" % (
                  what, len(late), SECONDS, late[len(late) // 2], p95,
                  late[-1], P95_S, MAX_S), flush=True)
        self.assertGreaterEqual(late[0], 0, "nothing begins before its time")
        self.assertLess(late[-1], (MAX_S + 0.5) * self.slower())

    def schedule(self, hook):
        rnd = random.Random(5)
        begin = int(time.time()) + 2
        cronrow.put(self.s, [
            Event(ts, hook, [ts, i]) for i, ts in enumerate(
                begin + rnd.randrange(SECONDS) for _ in range(EVENTS))])

    def test_php_events_begin_on_time(self):
        self.schedule("tick_one")
        self.s.wait_until(lambda: self.s.ticks.count("tick_one") >= EVENTS,
                          SECONDS + 30, 0.2)
        ticks = self.s.ticks.all("tick_one")
        self.assertEqual(len({x["args"][1] for x in ticks}), EVENTS)
        self.assertEqual(len(ticks), EVENTS)
        self.report("PHP", [x["at"] - x["args"][0] for x in ticks])
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0)
        self.assertEqual(cronrow.states(self.s, "hook = 'tick_one'"),
                         {"done": EVENTS})
        self.assertEqual({r["woken_by"] for r in cronrow.ledger(
            self.s, "hook = 'tick_one'")}, {"clock"})

    def test_native_events_begin_on_time(self):
        self.schedule("tick_native")
        self.s.wait_until(lambda: self.receiver.report()["requests"] >=
                          EVENTS, SECONDS + 30, 0.2)
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0)
        rows = cronrow.ledger(self.s, "hook = 'tick_native'")
        self.assertEqual({r["state"] for r in rows}, {"done"})
        self.assertEqual(len(rows), EVENTS)
        begun = self.s.mysql(
            "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', started_at)"
            " / 1e6 - scheduled_at AS late FROM wp_wpcron_events WHERE hook ="
            " 'tick_native'")
        self.report("webhook", [float(r["late"]) for r in begun])


if __name__ == "__main__":
    unittest.main()
