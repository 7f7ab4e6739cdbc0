"""Which events of a site share a boot of WordPress, and which have one of their
own: Event Espresso's classes leave filters behind."""

import time
import unittest

import cronrow
from cronrow import Event

# One at a time, so that whatever may go together does.
SETTINGS = "workers = 2\nphp_children = 1\n"
HOOK = "AHEE__tick"


class BootsTest(unittest.TestCase):
    def run_events(self, events):
        """What ran, in order."""
        self.s.ticks.clear()
        cronrow.put(self.s, events)
        self.s.wait_until(lambda: self.s.ticks.count() == len(events), 60,
                          what="all events have run")
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0, 60)
        return self.s.ticks.all()

    def test_events_of_event_espresso_share_no_boot(self):
        self.s = s = cronrow.tick_site(children=1)
        self.addCleanup(s.close)
        s.start_daemon(daemon=SETTINGS)
        # One whose duration is not known yet runs alone, whatever it is.
        self.run_events([Event(time.time() - 2, hook, [0])
                         for hook in ("tick_a", HOOK)])
        begin = time.time() - 20
        ran = self.run_events([
            Event(begin + i, HOOK if i in (3, 4) else "tick_a", [i])
            for i in range(8)])
        self.assertEqual([x["args"] for x in ran], [[i] for i in range(8)])
        boots = [x["boot"] for x in ran]
        self.assertEqual(boots.count(boots[3]), 1)
        self.assertEqual(boots.count(boots[4]), 1)
        self.assertLess(len(set(boots)), len(boots), "none share one")


if __name__ == "__main__":
    unittest.main()
