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
        put(self.s, [])
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

    def test_a_pause_holds_on_a_running_node_within_two_seconds(self):
        d = self.s.start_daemon(rest=RULES)
        try:
            self.call("pause", "tick_*")
            # Two seconds, and what a busy machine adds.
            self.s.wait_until(lambda: "pauses.changed" in d.log_text(), 10)
            put(self.s, [Event(int(time.time()) - 5, "tick_a"),
                         Event(int(time.time()) - 5, "tick_c")])
            time.sleep(3)
            self.assertEqual(self.s.ticks.count(), 0)
            self.assertEqual(len(self.left()), 2)
            self.call("resume", "tick_*")
            self.s.wait_until(lambda: self.s.ticks.count() == 2, timeout=20)
        finally:
            d.stop()
            self.s.ctl("resume", "tick_*", config=self.conf)

    def test_a_trial_compares_with_what_wordpress_ran(self):
        d = self.s.start_daemon(rest=RULES, site="mode = observe")
        try:
            now = int(time.time())
            put(self.s, [Event(now - 20, "tick_a"), Event(now - 10, "tick_c"),
                         Event(now + 3600, "tick_one")])
            self.s.wait_until(lambda: len(ledger(
                self.s, "hook LIKE 'tick%%' AND state = 'observed'", ())) == 2)
            self.assertEqual(self.s.ticks.count(), 0)
            self.s.wp_eval("wp_clear_scheduled_hook( 'tick_c' );")
            self.s.wait_until(lambda: len(ledger(
                self.s, "state = 'gone' AND hook = 'tick_c'")) == 1)
            got = {g["hook"]: g for g in json.loads(self.call(
                "shadow", "report", "--format=json"))}
            self.assertEqual(
                [(got[h]["would_have_run"], got[h]["wordpress_ran"],
                  got[h]["not_yet"]) for h in ("tick_a", "tick_c")],
                [(1, 0, 1), (1, 1, 0)])
            self.assertGreater(got["tick_c"]["max_late_s"], 9)
            self.assertNotIn("tick_one", got)
        finally:
            d.stop()

    def test_who_answers_is_told_apart(self):
        d = self.s.start_daemon(rest=RULES)
        try:
            self.s.start_nginx(daemon=d)
            got = json.loads(self.call("cron", "test", "--format=json"))
            self.assertEqual((got["answered_by"], got["status"]),
                             ("wp-cron-fcgi", 200))
            self.assertIn(got["x_wp_cron"], ("started", "queued"))
            self.s.nginx.stop()
            self.s.start_nginx(stock_cron=True)
            got = json.loads(self.call("cron", "test", "--format=json",
                                       code=FAILED))
            self.assertEqual((got["answered_by"], got["status"]),
                             ("stock", 200))
            self.s.nginx.stop()
        finally:
            d.stop()


class NetworkTest(unittest.TestCase):
    def test_every_blog_runs_its_own(self):
        s = cronrow.tick_site(type(self), children=2, actions=False)
        blogs = s.make_network(2)
        conf = s.path("net.conf")
        with open(conf, "w") as f:
            f.write(s.config_text())
        s.ctl("install", config=conf, check=True)
        now = int(time.time())
        for blog in [1] + blogs:
            put(s, [Event(now + 900, "tick_where", [blog])], blog=blog)
        r = s.ctl("event", "run", "tick_where", "--network", config=conf)
        self.assertEqual(r.returncode, DONE, r.stderr)
        self.assertIn("Executed a total of 3 cron events across 3 sites.",
                      r.stdout)
        self.assertEqual(
            sorted((t["blog"], t["args"]) for t in s.ticks.all("tick_where")),
            [(b, [b]) for b in [1] + blogs])
        s.ticks.clear()
        for blog in [1] + blogs:
            put(s, [Event(now - 5 - i, "tick_a", [i]) for i in range(5)],
                blog=blog)
        r = s.ctl("run", "--format=json", config=conf)
        self.assertEqual(r.returncode, DONE, r.stderr)
        self.assertEqual(json.loads(r.stdout)["done"], 15)
        self.assertEqual(s.ticks.count("tick_a"), 15)
        url = "http://127.0.0.1:%d/b1/" % s.http_port
        put(s, [Event(now - 5, "tick_a")], blog=blogs[0])
        put(s, [Event(now - 5, "tick_a")], blog=blogs[1])
        s.ticks.clear()
        r = s.ctl("event", "run", "--due-now", "--url", url, config=conf)
        self.assertEqual(r.returncode, DONE, r.stderr)
        self.assertEqual([t["blog"] for t in s.ticks.all("tick_a")],
                         [blogs[0]])


if __name__ == "__main__":
    unittest.main()
