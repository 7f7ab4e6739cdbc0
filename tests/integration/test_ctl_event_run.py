"""wp-cronctl event run: through the engine in its own process, on a real
site."""

import json
import os
import time
import unittest

import cronrow
from cronrow import Event, ledger, put, set_lock
from stack import Stack

DONE, FAILED, USAGE, AGAIN, CONFIG = 0, 1, 64, 75, 78

RULES = "[policy tick_b]\npaused = yes\n"


class RunTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = cronrow.tick_site(cls, children=2, actions=False)
        cls.conf = s.path("ctl.conf")
        with open(cls.conf, "w") as f:
            f.write(s.config_text(rest=RULES))
        cls.call("install")

    @classmethod
    def call(cls, *args, code=DONE, timeout=120):
        r = cls.s.ctl(*args, config=cls.conf, timeout=timeout)
        cls.stderr = r.stderr
        if r.returncode != code:
            raise AssertionError("%s: exit %d, not %d\n%s%s" % (
                " ".join(args), r.returncode, code, r.stdout, r.stderr))
        return r.stdout

    def setUp(self):
        cronrow.forget(self.s)
        cronrow.drop_lock(self.s)
        self.s.ticks.clear()

    def left(self):
        """What of ours the option has."""
        return [(e.ts, e.hook, e.args) for e in cronrow.parse(
            cronrow.value(self.s)) if e.hook.startswith("tick_")]

    def test_a_named_hook_runs_whatever_its_date(self):
        now = int(time.time())
        put(self.s, [Event(now + 5000, "tick_a", ["x"]),
                     Event(now + 7000, "tick_a", []),
                     Event(now - 5, "tick_c", [])])
        out = self.call("event", "run", "tick_a")
        self.assertRegex(
            out, r"^(Executed the cron event 'tick_a' in [\d.]+s\.\n){2}"
            r"Success: Executed a total of 2 cron events\.\n$")
        self.assertEqual(sorted(map(str, (
            t["args"] for t in self.s.ticks.all("tick_a")))), ["['x']", "[]"])
        self.assertEqual(self.left(), [(now - 5, "tick_c", [])])
        self.assertEqual([(r["state"], r["woken_by"]) for r in ledger(self.s)],
                         [("done", "ctl"), ("done", "ctl")])

    def test_a_recurring_one_gets_its_next_slot(self):
        now = int(time.time())
        put(self.s, [Event(now - 100, "tick_a", [], 3600, "hourly")])
        self.call("event", "run", "tick_a")
        self.assertEqual(self.left(), [(now + 3500, "tick_a", [])])
        # Early, and of a future event the phase is not kept, as in core.
        self.call("event", "run", "tick_a")
        self.assertLessEqual(abs(self.left()[0][0] - now - 3600), 20)
        self.assertEqual(self.s.ticks.count("tick_a"), 2)

    def test_what_is_due_runs_and_nothing_else(self):
        now = int(time.time())
        put(self.s, [Event(now - 9, "tick_a"), Event(now - 8, "tick_c"),
                     Event(now - 7, "tick_one"), Event(now + 900, "tick_a")])
        out = self.call("event", "run", "--due-now", "--exclude=tick_c")
        self.assertIn("Executed a total of 2 cron events.", out)
        self.assertEqual(sorted(self.s.ticks.names()), ["tick_a", "tick_one"])
        self.assertEqual(self.left(), [(now - 8, "tick_c", []),
                                       (now + 900, "tick_a", [])])

    def test_a_failure_is_told_and_can_be_tried_again(self):
        now = int(time.time())
        put(self.s, [Event(now - 9, "tick_throw"), Event(now - 9, "tick_a")])
        out = self.call("event", "run", "tick_throw", "tick_a", code=FAILED)
        self.assertIn("Executed the cron event 'tick_a'", out)
        self.assertIn("Warning: Executed a total of 1 cron event.", out)
        self.assertIn("'tick_throw' failed: ", self.stderr)
        self.assertIn("thrown by a tick", self.stderr)
        failed = ledger(self.s, "state = 'failed'")[0]["event_id"]
        self.call("event", "retry", str(failed))
        self.call("event", "run", "tick_throw", code=FAILED)
        self.assertEqual(self.s.ticks.count("tick_throw"), 2)
        self.assertEqual(len(ledger(self.s, "hook = 'tick_throw'")), 1)

    def test_what_is_held_stays_where_it_is(self):
        now = int(time.time())
        put(self.s, [Event(now - 9, "tick_b"), Event(now - 9, "tick_a")])
        before = self.left()
        self.call("event", "run", "tick_b", code=FAILED)
        self.assertIn("paused", self.stderr)
        self.call("pause", "tick_a")
        try:
            self.call("event", "run", "--all", "--exclude=" + ",".join(
                {e.hook for e in self.s.core_events}), code=FAILED)
        finally:
            self.call("resume", "tick_a")
        self.assertEqual(self.left(), before)
        self.assertEqual(ledger(self.s), [])

    def test_a_php_runner_is_not_disturbed(self):
        put(self.s, [Event(int(time.time()) - 9, "tick_a")])
        set_lock(self.s, "%.22f" % time.time())
        self.call("event", "run", "--due-now", code=AGAIN)
        self.assertIn("already in progress", self.stderr)
        self.assertEqual(self.s.ticks.count(), 0)

    def test_programs_get_rows(self):
        put(self.s, [Event(int(time.time()) - 9, "tick_a")])
        got = json.loads(self.call("event", "run", "tick_a",
                                   "--format=json"))
        self.assertEqual([(g["hook"], g["state"]) for g in got],
                         [("tick_a", "done")])

    def test_beside_a_daemon_it_still_ends_well(self):
        d = self.s.start_daemon(rest=RULES)
        try:
            now = int(time.time())
            put(self.s, [Event(now + 5000 + i, "tick_a", [i])
                         for i in range(20)])
            out = self.call("event", "run", "tick_a")
            self.assertIn("Executed a total of 20 cron events.", out)
            self.assertEqual(self.s.ticks.count("tick_a"), 20)
        finally:
            d.stop()

    def test_with_an_object_cache_only_what_is_due(self):
        cache = os.path.join(self.s.root, "wp-content", "object-cache.php")
        now = int(time.time())
        put(self.s, [Event(now - 9, "tick_a"), Event(now + 900, "tick_c")])
        with open(cache, "w") as f:
            f.write("<?php require_once ABSPATH . WPINC . '/cache.php';\n")
        try:
            self.call("event", "run", "tick_c", code=CONFIG)
            self.assertIn("WP-CLI", self.stderr)
            self.assertIn("Executed a total of 1 cron event.",
                          self.call("event", "run", "tick_a"))
        finally:
            os.unlink(cache)
        self.assertEqual(self.left(), [(now + 900, "tick_c", [])])


if __name__ == "__main__":
    unittest.main()
