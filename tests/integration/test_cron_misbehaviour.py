"""Cron hooks that go wrong: one that sleeps, one that exits, one that eats all
memory, one that throws, one that takes php-fpm's child with it. The others run
on time, and each has its record with the reason.

SLEEP=120 makes the slow one as slow as that.
"""

import os
import time
import unittest

import cronrow
from cronrow import Event

# What it measures would be others' load.
ALONE = True

SLEEP = float(os.environ.get("SLEEP", "25"))
SETTINGS = """
workers = 6
php_children = 3
log_level = info
"""
LATE_S = 4.0

# A hook, what its record must say, and where the fault was.
BAD = [
    ("tick_throw", ("thrown by a tick", "wpcron-tick.php")),
    ("tick_exit", ("exit or die",)),
    ("tick_memory", ("Allowed memory size of", "wpcron-tick.php")),
    ("tick_segv", ("PHP ended without an answer",)),
]


class MisbehaviourTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = cronrow.tick_site(cls, children=6)
        cls.daemon = s.start_daemon(daemon=SETTINGS)
        s.wait_until(lambda: "site.ready" in cls.daemon.log_text())

    def setUp(self):
        cronrow.put(self.s, [])
        # What a test that failed has left behind.
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0, 120)
        self.s.ticks.clear()
        self.first = self.s.value(
            "SELECT COALESCE(MAX(event_id), 0) + 1 FROM wp_wpcron_events")

    def slower(self):
        build = 1 if self.s.variant == "release" else 3
        return build * max(1, os.getloadavg()[0] / os.cpu_count())

    def rows(self, hook=None):
        return [r for r in cronrow.ledger(
            self.s, "event_id >= %s", (self.first,))
            if hook in (None, r["hook"])]

    def wait_settled(self, n, timeout=40):
        self.s.wait_until(
            lambda: sum(r["ended_at"] is not None for r in self.rows()) == n,
            timeout, what="%d events have ended" % n)

    def lateness(self, hook):
        """Seconds each was begun after its time, soonest due first."""
        return [x["at"] - x["args"][0] for x in self.s.ticks.all(hook)]

    def assert_on_time(self, hook, n):
        late = self.lateness(hook)
        self.assertEqual(len(late), n)
        print("       %s: worst start %.2f s late of %d" % (
            hook, max(late), n), flush=True)
        self.assertLess(max(late), LATE_S * self.slower(), sorted(late))

    def every_second(self, hook, seconds):
        now = int(time.time()) + 1
        return [Event(now + i, hook, [now + i]) for i in range(seconds)]

    def test_slow_hook_holds_up_nobody(self):
        cronrow.put(self.s, [Event(time.time() - 2, "tick_sleep", [SLEEP])])
        self.s.wait_until(lambda: "tick_sleep" in self.s.ticks.names(), 15)
        # Ten seconds before the slow one's end the others have run.
        n = int(min(SLEEP - 5, 30)) - 8
        cronrow.put(self.s, self.every_second("tick_a", n) +
                    self.every_second("tick_b", n), keep=True)
        self.s.wait_until(lambda: self.s.ticks.count("tick_b") == n and
                          self.s.ticks.count("tick_a") == n, n + 20)
        self.assertEqual(self.s.ticks.count("slept"), 0,
                         "the slow hook is still at it")
        self.assert_on_time("tick_a", n)
        self.assert_on_time("tick_b", n)
        self.wait_settled(2 * n + 1, SLEEP + 30)
        slow, = self.rows("tick_sleep")
        self.assertEqual(slow["state"], "done")
        self.assertGreaterEqual(slow["duration_ms"], SLEEP * 1000)

    def test_several_events_of_a_slow_hook_hold_up_nobody(self):
        """Once it is known to be slow, all of its events wait apart."""
        now = time.time() - 2
        cronrow.put(self.s, [Event(now, "tick_sleep", [6, 0])])
        self.wait_settled(1, 20)
        cronrow.put(self.s, [Event(now, "tick_sleep", [6, i])
                             for i in range(1, 5)])
        self.s.wait_until(lambda: self.s.ticks.count("tick_sleep") >= 2, 15)
        cronrow.put(self.s, self.every_second("tick_c", 8), keep=True)
        self.s.wait_until(lambda: self.s.ticks.count("tick_c") == 8, 30)
        self.assert_on_time("tick_c", 8)
        self.wait_settled(13, 60)
        self.assertEqual({r["state"] for r in self.rows()}, {"done"})

    def test_each_fault_costs_its_own_event_and_is_recorded(self):
        now = int(time.time()) - 5
        events = []
        for i, (hook, _) in enumerate(BAD):
            events += [Event(now, hook, [i]), Event(now, "tick_a", [now, i])]
        cronrow.put(self.s, events)
        self.wait_settled(len(events))
        self.s.wait_until(lambda: self.s.ticks.count("tick_a") == len(BAD))
        for hook, words in BAD:
            with self.subTest(hook):
                row, = self.rows(hook)
                self.assertEqual(row["state"], "failed", row)
                for word in words:
                    self.assertIn(word, row["message"])
                self.assertEqual(self.s.ticks.count(hook), 1)
        for row in self.rows("tick_a"):
            self.assertEqual((row["state"], row["try"]), ("done", 1))
        self.assertEqual(cronrow.events(self.s), [])

    def test_recurring_event_that_dies_comes_again_in_its_phase(self):
        ts = int(time.time()) - 2
        cronrow.put(self.s, [Event(ts, "tick_segv", ["again"], 3)])
        self.s.wait_until(lambda: self.s.ticks.count("tick_segv") >= 3, 30)
        cronrow.put(self.s, [])
        self.s.wait_until(lambda: cronrow.unfinished(
            self.s, "event_id >= %s", (self.first,)) == 0, 40)
        rows = self.rows("tick_segv")
        self.assertEqual({(r["scheduled_at"] - ts) % 3 for r in rows}, {0})
        self.assertEqual(len({r["scheduled_at"] for r in rows}), len(rows))
        self.assertEqual({r["state"] for r in rows}, {"failed"})

    def test_series_slower_than_its_interval_does_not_pile_up(self):
        ts = int(time.time()) - 2
        begun = time.monotonic()
        cronrow.put(self.s, [Event(ts, "tick_sleep", [2.5], 1)])
        time.sleep(12)
        self.s.wait_until(lambda: len(self.rows("tick_sleep")) >= 3, 30)
        slots = cronrow.events(self.s)
        self.assertEqual(len(slots), 1, slots)
        cronrow.put(self.s, [])
        took = time.monotonic() - begun
        self.s.wait_until(lambda: cronrow.unfinished(
            self.s, "event_id >= %s", (self.first,)) == 0, 40)
        ticks = [x for x in self.s.ticks.all()
                 if x["hook"] in ("tick_sleep", "slept")]
        # One after the other, never beside itself.
        self.assertEqual([x["hook"] for x in ticks],
                         ["tick_sleep", "slept"] * (len(ticks) // 2))
        rows = self.rows("tick_sleep")
        print("       %d runs of 2.5 s in %.0f s for an event a second" % (
            len(rows), took), flush=True)
        self.assertLessEqual(len(rows), took / 2.5 + 2.2)  # 7 in 12 s
        self.assertGreaterEqual(len(rows), 3)
        times = [r["scheduled_at"] for r in rows]
        self.assertEqual(len(times), len(set(times)))

    def test_stock_runner_loses_what_comes_after_a_fault(self):
        """What the others are measured against: core's own loop."""
        self.daemon.stop()
        self.s.servers.remove(self.daemon)
        self.addCleanup(self.start_again)
        now = int(time.time()) - 5
        cronrow.put(self.s, [Event(now, "tick_exit", [now]),
                             Event(now + 1, "tick_a", [now])])
        cronrow.drop_lock(self.s)
        self.s.php("require %r;" % os.path.join(self.s.root, "wp-cron.php"),
                   check=False)
        self.assertEqual(self.s.ticks.names(), ["tick_exit"])
        self.assertEqual([e.hook for e in cronrow.events(self.s)], ["tick_a"])
        self.assertIsNotNone(cronrow.lock(self.s))
        cronrow.drop_lock(self.s)

    def start_again(self):
        type(self).daemon = self.s.start_daemon(daemon=SETTINGS)


if __name__ == "__main__":
    unittest.main()
