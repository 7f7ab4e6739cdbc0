"""What others left behind, what is old, and a site that is a copy: nothing is
touched on a guess, and what is touched is written in PHP's words."""

import json
import os
import time
import unittest

from stack import Stack

QUICK = """
heartbeat = 200ms
node_expiry = 1s
look_interval = 200ms
log_level = info
"""
DAY = 86400
MARKED = ("action marked as failed after %d seconds. Unknown error occurred."
          " Check server, PHP and database error logs to diagnose cause.")


class Rescue(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site()
        cls.receiver = s.start_receiver()
        cls.mu = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(cls.mu, exist_ok=True)

    def setUp(self):
        self.s.install_action_scheduler()
        self.receiver.forget()
        self.daemon = None

    def tearDown(self):
        self.stop()
        for name in os.listdir(self.mu):
            os.unlink(os.path.join(self.mu, name))

    def start(self, rest="", site="cron = no", **kwargs):
        self.daemon = self.s.start_daemon(
            daemon=QUICK, site=site, rest=rest, **kwargs)
        return self.daemon

    def stop(self):
        if self.daemon:
            self.assertEqual(self.daemon.stop(), 0)
            self.s.servers.remove(self.daemon)
        self.daemon = None

    def row(self, action):
        rows = self.s.actions("action_id = %s", (action,))
        return rows[0] if rows else None


class CleanerTest(Rescue):
    """Time-outs of other runners' rows, and retention."""

    def insert(self, status, age, n=1, claim=0, hook="demo_gone", tried=True):
        """Rows last touched `age` s ago, each with a log line."""
        first = self.s.insert_actions(n, hook, due_in=-age, status=status,
                                      logs=True)
        self.s.mysql(
            "UPDATE wp_actionscheduler_actions SET claim_id = %s,"
            " attempts = %s, last_attempt_gmt = IF(%s, UTC_TIMESTAMP() -"
            " INTERVAL %s SECOND, '0000-00-00 00:00:00'), last_attempt_local"
            " = last_attempt_gmt WHERE action_id >= %s", (
                claim, int(tried), int(tried), age, first))
        return first

    def foreign_claim(self, age):
        with self.s.connect() as db, db.cursor() as c:
            c.execute("INSERT INTO wp_actionscheduler_claims"
                      " (date_created_gmt) VALUES (UTC_TIMESTAMP() -"
                      " INTERVAL %s SECOND)", (age,))
            return c.lastrowid

    def insert_leftovers(self, age=2 * DAY, old=40 * DAY):
        old_claim, live_claim = self.foreign_claim(age), self.foreign_claim(5)
        return {
            "running": self.insert("in-progress", age, claim=old_claim),
            "claimed": self.insert("pending", age, claim=old_claim,
                                   hook="demo_paused"),
            "unclaimed": self.insert("in-progress", age),
            "live running": self.insert("in-progress", 5, claim=live_claim),
            "live claimed": self.insert("pending", 5, claim=live_claim,
                                        hook="demo_paused"),
            "old complete": self.insert("complete", old),
            "old canceled": self.insert("canceled", old),
            "untried canceled": self.insert("canceled", old, tried=False),
            "old failed": self.insert("failed", old),
            "old pending": self.insert("pending", old, hook="demo_paused",
                                       tried=False),
            "new complete": self.insert("complete", 600),
            "new canceled": self.insert("canceled", 600),
        }

    PAUSED = "[policy demo_paused]\npaused = yes\n"

    def run_php_once(self):
        """The first answer of the worker carries the site's values."""
        action = self.s.insert_actions(1, "demo_nothing")
        self.s.wait_until(lambda: self.row(action)["status"] == "complete")

    def table(self):
        return self.s.mysql(
            "SELECT action_id, status, claim_id, last_attempt_gmt FROM"
            " wp_actionscheduler_actions ORDER BY action_id")

    def test_nothing_is_touched_until_php_has_told(self):
        self.insert_leftovers()
        before = self.table()
        logs = self.s.value("SELECT COUNT(*) FROM wp_actionscheduler_logs")
        # A native job runs; PHP is never asked.
        self.start("[route]\ndemo_webhook = webhook %s\n" %
                   self.receiver.url() + self.PAUSED)
        native = self.s.insert_actions(1, "demo_webhook")
        self.s.wait_until(lambda: self.row(native)["status"] == "complete")
        time.sleep(3)
        self.assertEqual([r for r in self.table()
                          if r["action_id"] != native], before)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_actionscheduler_logs"
            " WHERE action_id <> %s", (native,)), logs)

    def test_then_phps_periods_and_words(self):
        ids = self.insert_leftovers()
        self.start(self.PAUSED)
        self.run_php_once()
        self.s.wait_until(lambda: not self.row(ids["untried canceled"]), 20)
        status = {name: (self.row(i) or {"status": "gone"})["status"]
                  for name, i in ids.items()}
        self.assertEqual(status, {
            "running": "failed", "claimed": "pending",
            "unclaimed": "failed", "live running": "in-progress",
            "live claimed": "pending", "old complete": "gone",
            "old canceled": "gone", "untried canceled": "gone",
            "old failed": "failed", "old pending": "pending",
            "new complete": "complete", "new canceled": "canceled"})
        self.assertEqual(self.s.logs(ids["running"])[1:], [MARKED % 300])
        self.assertEqual(self.s.logs(ids["unclaimed"])[1:], [MARKED % 300])
        self.assertEqual(self.s.logs(ids["claimed"])[1:], ["action reset"])
        self.assertEqual(self.row(ids["claimed"])["claim_id"], 0)
        self.assertNotEqual(self.row(ids["live claimed"])["claim_id"], 0)
        for name, i in ids.items():
            self.assertEqual(len(self.s.logs(i)) == 0,
                             status[name] == "gone", name)

    def test_the_sites_filters_decide(self):
        with open(os.path.join(self.mu, "filters.php"), "w") as f:
            f.write("""<?php
add_filter( 'action_scheduler_retention_period', function () {
    return 300;
} );
add_filter( 'action_scheduler_failure_period', function () {
    return 777777;
} );
add_filter( 'action_scheduler_timeout_period', function () {
    return 100;
} );
add_filter( 'action_scheduler_default_cleaner_statuses', function () {
    return array( 'canceled' );
} );
""")
        ids = self.insert_leftovers()
        self.start(self.PAUSED)
        self.run_php_once()
        self.s.wait_until(lambda: not self.row(ids["new canceled"]), 20)
        self.s.wait_until(lambda: self.row(ids["claimed"])["claim_id"] == 0)
        time.sleep(1.5)
        # Two days are less than 777777 s.
        self.assertEqual(self.row(ids["running"])["status"], "in-progress")
        self.assertEqual(self.row(ids["old complete"])["status"], "complete")
        self.assertEqual(self.row(ids["new complete"])["status"], "complete")

    def test_cleanup_may_be_switched_off(self):
        ids = self.insert_leftovers()
        self.start(self.PAUSED, site="cron = no\ncleanup = no")
        self.run_php_once()
        time.sleep(3)
        self.assertEqual(self.row(ids["running"])["status"], "in-progress")
        self.assertIsNotNone(self.row(ids["old complete"]))

    def test_retention_goes_in_bounded_steps_beside_the_work(self):
        # Of many steps some are seen, even by one who looks seldom.
        n = 4100
        self.insert("complete", 40 * DAY, n)
        self.insert("failed", 40 * DAY, 10)
        self.start("[route]\ndemo_webhook = webhook %s\n" %
                   self.receiver.url())
        self.run_php_once()
        left, steps, worst = n, [], 0
        end = time.monotonic() + 90
        while left > 0 and time.monotonic() < end:
            begun = time.monotonic()
            action = self.s.insert_actions(1, "demo_webhook")
            self.s.wait_until(
                lambda: self.row(action)["status"] == "complete", 30)
            worst = max(worst, time.monotonic() - begun)
            now = self.s.count("hook = 'demo_gone' AND status = 'complete'")
            if now < left:
                steps.append(left - now)
            left = now
        print("       deleted %s, a due row took %.2f s at most" % (
            steps, worst), flush=True)
        self.assertEqual(left, 0)
        self.assertGreaterEqual(len(steps), 3)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_actionscheduler_logs l LEFT JOIN"
            " wp_actionscheduler_actions a USING (action_id)"
            " WHERE a.action_id IS NULL"), 0)
        self.assertEqual(self.s.count("status = 'failed'"), 10)


class IdentityTest(Rescue):
    """A copied database does not send what the original will send."""

    def setUp(self):
        super().setUp()
        self.rest = (
            "[route]\ndemo_webhook = webhook %s\n[policy demo_option]\n"
            "outbound = yes\n" % self.receiver.url())
        self.s.mysql("DROP TABLE IF EXISTS wp_wpcron_site")

    def tearDown(self):
        super().tearDown()
        self.say_home(self.s.url("").rstrip("/"))
        self.s.write_config(self.s.config_extra)

    def say_home(self, url):
        self.s.mysql("UPDATE wp_options SET option_value = %s WHERE"
                     " option_name IN ('home', 'siteurl')", (url,))

    def start_site(self):
        self.start(self.rest)
        self.s.wait_until(lambda: "site.ready" in self.daemon.log_text())

    def health(self):
        self.s.start_nginx(daemon=self.daemon)
        try:
            status, _, body = self.s.get("/wp-cron-fcgi/healthz")
            return status, json.loads(body)
        finally:
            self.s.nginx.stop()
            self.s.servers.remove(self.s.nginx)

    def insert(self):
        """Held on a copy: the first two. Runs everywhere: the third."""
        return [self.s.insert_actions(3, hook) for hook in (
            "demo_webhook", "demo_option", "demo_nothing")]

    def assert_held(self, why):
        self.insert()
        self.s.wait_until(lambda: self.s.statuses(
            "hook = 'demo_nothing'") == {"complete": 3})
        time.sleep(1.5)
        self.assertEqual(self.s.statuses("hook <> 'demo_nothing'"),
                         {"pending": 6})
        self.assertEqual(self.s.count(
            "hook <> 'demo_nothing' AND attempts = 0 AND claim_id = 0"), 6)
        self.assertEqual(self.receiver.report()["requests"], 0)
        held = [line for line in self.daemon.log_text().splitlines()
                if "site.held" in line]
        self.assertEqual(len(held), 1)
        self.assertIn(why, held[0])
        status, health = self.health()
        self.assertEqual((status, health["outbound"]), (200, "held"))

    def assert_adopting_releases(self):
        """Also under a daemon that runs: it looks once a minute."""
        adopted = self.s.ctl("site", "adopt", config=self.daemon.config)
        self.assertEqual(adopted.returncode, 0, adopted.stderr)
        begun = time.monotonic()
        self.s.wait_until(lambda: self.s.statuses() == {"complete": 9}, 90)
        print("       released after %.1f s" % (time.monotonic() - begun),
              flush=True)
        self.assertEqual(self.receiver.report()["requests"], 3)
        self.assertEqual(self.health()[1]["outbound"], "open")

    def test_original_sends(self):
        self.start_site()
        self.insert()
        self.s.wait_until(lambda: self.s.statuses() == {"complete": 9})
        self.assertEqual(self.health()[1]["outbound"], "open")
        self.assertNotIn("site.held", self.daemon.log_text())

    def test_copy_holds_what_leaves_it_until_adopted(self):
        self.start_site()
        self.stop()
        self.say_home("http://127.0.0.1:%d" % (self.s.http_port + 1))
        self.start_site()
        self.assert_held("copy")
        self.assert_adopting_releases()

    def test_staging_holds_what_leaves_it(self):
        self.s.write_config("define( 'WP_ENVIRONMENT_TYPE', 'staging' );")
        self.start_site()
        self.assert_held("WP_ENVIRONMENT_TYPE")

    def test_home_changed_under_a_running_daemon_is_noticed(self):
        self.start_site()
        self.say_home("http://127.0.0.1:%d" % (self.s.http_port + 1))
        self.s.wait_until(lambda: "site.held" in self.daemon.log_text(), 90)
        self.assert_held("copy")


if __name__ == "__main__":
    unittest.main()
