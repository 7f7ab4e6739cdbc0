"""The daemon on a site with a persistent object cache: real Redis, our drop-in,
events scheduled through WordPress, which alone writes the option."""

import json
import os
import random
import signal
import threading
import time
import unittest

import cronrow
from stack import Stack

BOOTS = """<?php
defined( 'WPCRON_MISBEHAVE_LOG' ) && 'cli' !== PHP_SAPI && isset(
    $_SERVER['SERVER_SOFTWARE'] ) && 'wp-cron-fcgi' ===
    $_SERVER['SERVER_SOFTWARE'] && file_put_contents(
        WPCRON_MISBEHAVE_LOG . '.boots', '.', FILE_APPEND );
"""


class CachedCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.notes = s.path("notes.txt")
        for name in (s.notes, s.notes + ".boots"):
            with open(name, "w"):
                os.chmod(name, 0o666)
        s.install_wordpress(
            plugins=("wpcron-misbehave",), config_extra="define("
            " 'WPCRON_MISBEHAVE_LOG', '%s' );" % s.notes)
        mu = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(mu)
        with open(os.path.join(mu, "boots.php"), "w") as f:
            f.write(BOOTS)
        s.start_php_fpm(children=6)
        s.start_redis()
        s.install_object_cache()
        cls.daemon = s.start_daemon()
        s.start_nginx(cls.daemon)
        s.wait_until(lambda: "site.ready" in cls.daemon.log_text())

    def setUp(self):
        open(self.s.notes, "w").close()

    def notes(self):
        with open(self.s.notes) as f:
            return f.read().splitlines()

    def boots(self):
        return os.path.getsize(self.s.notes + ".boots")

    def schedule(self, code):
        self.s.wp_eval("$t = time(); " + code)

    def wait_notes(self, wanted, timeout=40):
        self.s.wait_until(lambda: sorted(self.notes()) == sorted(wanted),
                          timeout, what="notes %r, not %r" % (
                              wanted, self.notes()))

    def in_option(self):
        """Slots of the tests' hooks: (in the cache, in the database)."""
        cached = cronrow.unserialize(self.s.wp_eval(
            "echo serialize(_get_cron_array());").encode())
        stored = cronrow.unserialize(self.s.value(
            "SELECT CAST(option_value AS BINARY) FROM wp_options"
            " WHERE option_name='cron'"))
        return [sorted((ts, hook.decode()) for ts, hooks in all_.items()
                       if isinstance(hooks, dict) for hook in hooks
                       if hook.startswith(b"misbehave_"))
                for all_ in (cached, stored)]

    def lock(self):
        return json.loads(self.s.wp_eval(
            "echo json_encode(wp_cache_get('doing_cron', 'transient'));"))

    def states(self, hook="misbehave_ok"):
        return {r["state"]: r["n"] for r in self.s.mysql(
            "SELECT state, COUNT(*) AS n FROM wp_wpcron_events"
            " WHERE hook=%s GROUP BY state", (hook,))}


class CachedSiteTest(CachedCase):
    def test_events_run_and_the_option_and_the_lock_are_left_clean(self):
        self.schedule(
            "wp_schedule_single_event($t - 5, 'misbehave_ok', array(1));"
            "wp_schedule_event($t - 4000, 'hourly', 'misbehave_ok', array(2));"
            "wp_schedule_single_event($t - 5, 'misbehave_throw');"
            "wp_schedule_single_event($t - 5, 'misbehave_exit');"
            "wp_schedule_single_event($t - 5, 'misbehave_memory');")
        self.wait_notes(["ok [1]", "ok [2]", "throw []", "exit []",
                         "memory []"])
        self.s.wait_until(lambda: self.lock() is False,
                          what="the lock is given back")
        cached, stored = self.in_option()
        self.assertEqual(cached, stored)
        self.assertEqual([h for _, h in cached], ["misbehave_ok"])
        self.assertGreater(cached[0][0], time.time())
        self.s.wait_until(lambda: not self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_events"
            " WHERE state IN ('taken', 'running')"))
        self.schedule("wp_clear_scheduled_hook('misbehave_ok', array(2));")

    def test_an_event_is_not_late_and_php_not_started_before_it(self):
        # PHP is not about the events of another test any more.
        self.s.wait_until(lambda: self.lock() is False)
        due = int(time.time()) + 7
        self.schedule("wp_schedule_single_event(%d, 'misbehave_ok',"
                      " array('late'));" % due)
        begun = self.boots()
        time.sleep(max(0, due - 0.3 - time.time()))
        self.assertEqual(self.boots(), begun)
        self.wait_notes(['ok ["late"]'])
        late = time.time() - due
        self.assertLess(late, 7)
        print("behind the cache an event began %.1f s after its time" % late)

    def test_a_php_runner_is_waited_for(self):
        self.schedule("set_transient('doing_cron', sprintf('%.22F',"
                      " microtime(true))); wp_schedule_single_event($t - 5,"
                      " 'misbehave_ok', array('held'));")
        held = self.lock()
        time.sleep(4)
        self.assertEqual(self.notes(), [])
        self.assertEqual(self.lock(), held)
        self.schedule("delete_transient('doing_cron');")
        self.wait_notes(['ok ["held"]'])

    def test_a_page_load_s_ping_hands_its_lock_over(self):
        # The daemon would be faster than the visitor.
        self.daemon.send_signal(signal.SIGSTOP)
        try:
            self.schedule("wp_schedule_single_event($t - 5, 'misbehave_ok',"
                          " array('ping'));")
            self.s.get("/?x=1", timeout=30)
            held = self.lock()
        finally:
            self.daemon.send_signal(signal.SIGCONT)
        self.assertTrue(held)
        # Else its time-out would end it, after a minute.
        self.wait_notes(['ok ["ping"]'], timeout=30)
        self.s.wait_until(lambda: self.lock() is False)

    def test_an_emptied_cache_loses_nothing(self):
        self.schedule("for ($i = 0; $i < 20; $i++) {"
                      "wp_schedule_single_event($t + $i % 6, 'misbehave_ok',"
                      " array($i)); }")
        for _ in range(12):
            self.s.wp_eval("wp_cache_flush();")
        self.wait_notes(["ok [%d]" % i for i in range(20)])


class ChaosTest(CachedCase):
    def test_killed_children_lose_no_event_and_run_none_twice(self):
        n = 120
        self.schedule(
            "$all = _get_cron_array(); for ($i = 0; $i < %d; $i++) {"
            "  $all[$t + 2 + $i %% 12]['misbehave_ok'][md5(serialize("
            "    array($i)))] = array('schedule' => false, 'args' =>"
            "    array($i)); } uksort($all, 'strnatcasecmp');"
            "_set_cron_array($all);" % n)
        stop = threading.Event()
        killed = [0]

        def kill():
            rng = random.Random(7)
            while not stop.wait(rng.uniform(0.1, 0.4)):
                with open("/proc/%d/task/%d/children" % (
                        self.s.php_fpm.pid, self.s.php_fpm.pid)) as f:
                    children = f.read().split()
                if children:
                    try:
                        os.kill(int(rng.choice(children)), signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                    killed[0] += 1
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            time.sleep(16)
        finally:
            stop.set()
            killer.join()
        ended = ("SELECT COUNT(*) FROM wp_wpcron_events WHERE hook="
                 "'misbehave_ok' AND state IN ('done', 'failed')")
        self.s.wait_until(lambda: self.s.value(ended) == n, 150,
                          what="%d of %d ended, %r" % (
                              self.s.value(ended), n, self.states()))
        cached, stored = self.in_option()
        self.assertEqual((cached, stored), ([], []))
        ran = self.notes()
        self.assertEqual(len(ran), len(set(ran)), "an event ran twice")
        states = self.states()
        # One that was killed before its first line did not run, and is told.
        self.assertGreaterEqual(len(ran), states.get("done", 0))
        print("%d events, %d children killed: %r, %d ran" % (
            n, killed[0], states, len(ran)))


if __name__ == "__main__":
    unittest.main()
