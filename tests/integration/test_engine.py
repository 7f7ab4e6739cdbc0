"""What the engine decides: who gets work, when, and for how long."""

import os
import signal
import time
import unittest

from stack import Stack

TSAN = True


class WorkersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        cls.notes = s.path("notes.txt")
        with open(cls.notes, "w"):
            os.chmod(cls.notes, 0o666)
        s.start_site(config_extra="define( 'WPCRON_DEMO_LOG', '%s' );"
                     % cls.notes)
        s.install_action_scheduler()
        cls.d = s.start_daemon()

    def again(self):
        type(self).d.stop()
        type(self).d = self.s.start_daemon()

    def left(self):
        return self.s.count("status IN ('pending', 'in-progress')")

    def pids(self, hook):
        """Which PHP processes ran the hook, in order."""
        with open(self.notes) as f:
            return [line.rsplit(" ", 1)[1].strip() for line in f
                    if line.startswith(hook + " ")]

    def test_due_rows_go_to_every_free_php_worker(self):
        first = self.s.insert_actions(50, "demo_sleep_ms", "[150]")
        self.s.wait_until(lambda: self.left() == 0, 40)
        self.assertEqual(self.s.statuses("action_id >= %s", (first,)),
                         {"complete": 50})
        self.assertEqual(len(set(self.pids("demo_sleep_ms"))), 2)
        # One alone would be at its first batch of 25 yet. Each boots when it
        # can: 3 s between their beginnings are no fault.
        both = set(self.pids("demo_sleep_ms")[:20])
        self.assertEqual(len(both), 2, "one worker ran before the other")

    def test_a_backlog_for_php_is_not_left_to_the_clock(self):
        """20 batches of 25: if each waited for the next look at the clock,
        this would take 10 s and more."""
        begun = time.monotonic()
        self.s.insert_actions(500, "demo_nothing")
        self.s.insert_actions(300, "action_scheduler_run_queue")
        self.s.wait_until(lambda: self.left() == 0, 60)
        print("       800 rows in %.1f s" % (time.monotonic() - begun),
              flush=True)

    def test_an_index_that_goes_away_is_noticed_and_costs_no_claim(self):
        """Error 1176 makes the claimer probe anew; it stays the same node, so
        that what its workers hold stays theirs."""
        nodes = "SELECT GROUP_CONCAT(node_id) AS n FROM wp_wpcron_nodes"
        before = self.s.value(nodes)
        key = "claim_id_status_scheduled_date_gmt"
        self.s.mysql("ALTER TABLE wp_actionscheduler_actions DROP KEY " + key)
        try:
            first = self.s.insert_actions(5, "demo_nothing")
            self.s.wait_until(lambda: self.left() == 0, 20)
            self.assertEqual(self.s.statuses("action_id >= %s", (first,)),
                             {"complete": 5})
            self.assertEqual(self.s.value(nodes), before)
        finally:
            self.s.mysql(
                "ALTER TABLE wp_actionscheduler_actions ADD KEY %s"
                " (claim_id, status, scheduled_date_gmt)" % key)

    def test_another_php_fpm_is_used_after_a_reload(self):
        good = self.s.config_text(daemon="php_children = 1")
        bad = good.replace(self.s.php_socket, self.s.path("no.sock"))
        type(self).d.stop()
        self.addCleanup(self.again)
        d = type(self).d = self.s.start_daemon(config=bad)
        first = self.s.insert_actions(3, "demo_nothing")
        self.s.wait_until(lambda: "php.away" in d.log_text(), 10)
        with open(d.config, "w") as f:
            f.write(good)
        d.send_signal(signal.SIGHUP)
        self.s.wait_until(lambda: self.left() == 0, 15)
        self.assertEqual(self.s.statuses("action_id >= %s", (first,)),
                         {"complete": 3})


class NativeTest(unittest.TestCase):
    """Without PHP: the receiver is where work goes."""

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress()
        s.install_action_scheduler()
        cls.receiver = s.start_receiver()

    def daemon(self, sites, daemon="", hold=()):
        """A daemon of these sites (name, root), with their own config."""
        lines = ["[daemon]", daemon]
        for name, root in sites:
            lines += ["[site %s]" % name, "root = " + root]
        lines += ["[route]"] + ["%s = webhook %s?hold=%d" % (
            hook, self.receiver.url(), ms) for hook, ms in hold] + [""]
        conf, sock = self.s.path("n.conf"), self.s.path("n.sock")
        with open(conf, "w") as f:
            f.write("\n".join(lines))
        d = self.s.spawn("native", [
            self.s.binary(), "--listen", "unix:" + sock, "-c", conf,
            "--foreground"], env=self.s.sanitizer_env())
        d.wait_ready(lambda: "site.ready" in d.log_text())
        self.addCleanup(d.stop)
        return d

    def second_site(self):
        """The same database, another prefix; its root."""
        root = self.s.path("second")
        os.makedirs(root, exist_ok=True)
        with open(os.path.join(self.s.root, "wp-config.php")) as f:
            text = f.read()
        with open(os.path.join(root, "wp-config.php"), "w") as f:
            f.write(text.replace("'wp_'", "'b_'"))
        for table in ("options", "actionscheduler_actions",
                      "actionscheduler_claims", "actionscheduler_groups",
                      "actionscheduler_logs"):
            self.s.mysql("CREATE TABLE IF NOT EXISTS b_%s LIKE wp_%s" % (
                table, table))
        self.s.mysql("INSERT IGNORE INTO b_options SELECT * FROM wp_options")
        return root

    def test_a_node_lives_on_however_rarely_it_looks(self):
        self.daemon([("a", self.s.root)], daemon="look_interval = 1h\n"
                    "heartbeat = 200ms\nnode_expiry = 1s")
        beat = "SELECT MAX(heartbeat_at) AS b FROM wp_wpcron_nodes"
        seen = set()
        end = time.monotonic() + 10
        while len(seen) < 3 and time.monotonic() < end:
            seen.add(self.s.value(beat))
            time.sleep(0.5)
        self.assertGreaterEqual(len(seen), 3)

    def test_a_backlog_of_one_site_does_not_keep_another_waiting(self):
        """Both workers of the lane hold slow jobs of the first site, and are
        refilled before they are ever empty, unless it gives way."""
        root = self.second_site()
        self.s.insert_actions(2000, "demo_slow", due_in=-3000, spread=2900)
        self.s.insert_actions(2000, "demo_slower", due_in=-3000,
                              spread=2900)
        self.daemon([("a", self.s.root), ("b", root)],
                    hold=(("demo_slow", 300), ("demo_slower", 1000),
                          ("demo_b", 0)), daemon="workers = 3\nphp_children = 1\n"
                    "native_batch = 8\nhost_concurrency = 100")
        self.s.wait_until(lambda: self.receiver.report()["requests"] > 16)
        self.s.mysql(
            "INSERT INTO b_actionscheduler_actions (hook, status,"
            " scheduled_date_gmt, scheduled_date_local, args, schedule)"
            " SELECT 'demo_b', 'pending', scheduled_date_gmt,"
            " scheduled_date_local, args, schedule"
            " FROM wp_actionscheduler_actions LIMIT 1")
        done = ("SELECT COUNT(*) AS n FROM b_actionscheduler_actions"
                " WHERE status = 'complete'")
        self.s.wait_until(lambda: self.s.value(done) == 1, 20)
        self.assertGreater(self.s.count("status = 'pending'"), 100)
        self.s.mysql("DELETE FROM wp_actionscheduler_actions"
                     " WHERE status = 'pending'")

    def test_db_connections_are_not_exceeded(self):
        self.s.mysql("DELETE FROM wp_actionscheduler_actions")
        conf = self.s.config_text(
            daemon="db_connections = 2\nworkers = 5\nphp_children = 1\n"
            "native_batch = 20\n", rest="[route]\nquick_hook = webhook"
            " %s?hold=20\n" % self.receiver.url())
        daemon = self.s.start_daemon(config=conf)
        self.addCleanup(daemon.stop)
        self.s.insert_actions(600, "quick_hook")
        most = 0
        while self.s.count("status <> 'complete'"):
            most = max(most, self.s.value(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST"
                " WHERE user = 'wp'"))
        self.assertEqual(most, 2)

    def test_a_slow_host_leaves_room_for_others(self):
        """5,000 rows for a host that takes 2 s an answer, then a few for
        another: it may hold three quarters of the places, no more."""
        other = self.s.start_receiver(name="receiver2")
        self.addCleanup(other.stop)
        self.s.mysql("DELETE FROM wp_actionscheduler_actions")
        self.s.insert_actions(5000, "slow_hook", due_in=-500)
        conf = self.s.config_text(rest="[route]\nslow_hook = webhook"
                                  " %s?hold=2000\nquick_hook = webhook %s\n"
                                  % (self.receiver.url(), other.url()))
        daemon = self.s.start_daemon(config=conf)
        self.addCleanup(daemon.stop)
        self.s.wait_until(lambda: self.s.count("claim_id > 0") >= 150)
        for _ in range(3):
            begun = time.monotonic()
            first = self.s.insert_actions(5, "quick_hook")
            self.s.wait_until(lambda i=first: self.s.count(
                "action_id >= %s AND status = 'complete'", (i,)) == 5, 30)
            # Behind the 5,000 it would be 50 s.
            self.assertLess(time.monotonic() - begun, 12)
        self.assertLessEqual(self.s.count(
            "hook = 'slow_hook' AND claim_id > 0 AND status IN"
            " ('pending', 'in-progress')"), 150)


if __name__ == "__main__":
    unittest.main()
