"""Everything the daemon leans on goes away or misbehaves in mid-batch: the
database, php-fpm, a PHP child, a webhook's other end, and the daemon's own
stop. What the tables say afterwards is asserted row by row."""

import collections
import datetime
import json
import os
import re
import signal
import time
import unittest

import pymysql
from stack import Stack, connectable

CONTEXT = "WP Cron FCGI"
STARTED = "action started via " + CONTEXT
COMPLETE = "action complete via " + CONTEXT
FAILED = "action failed via %s: " % CONTEXT
CREATED = "action created"
# It kills within moments that others' load would move.
ALONE = True

DIED = "PHP ended without an answer"
# Also when it ends just then.
DIED_OR_TAKING = DIED + "|PHP ended while it took the job"

FAST = """
heartbeat = 200ms
node_expiry = 1s
look_interval = 100ms
workers = 4
php_children = 2
php_batch = 10
native_batch = 32
host_concurrency = 32
log_level = info
"""
ONCE = "[policy %s]\nidempotent = no\nretries = 0\n"


class Disturbed(unittest.TestCase):
    """A site, a receiver and, in each test, a daemon of its own."""

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
        cls.receiver = s.start_receiver()

    def setUp(self):
        for table in ("actions", "logs", "claims"):
            self.s.mysql("DELETE FROM wp_actionscheduler_" + table)
        self.receiver.forget()
        with open(self.notes, "w"):
            pass
        self.daemon = None

    def tearDown(self):
        if self.daemon and self.daemon.alive:
            self.assertEqual(self.daemon.stop(), 0)
        if self.daemon:
            self.s.servers.remove(self.daemon)

    def start(self, rest="", daemon=FAST, site="cron = no"):
        self.daemon = self.s.start_daemon(daemon=daemon, site=site, rest=rest)
        return self.daemon

    def route(self, path, policy="", hook="demo_webhook"):
        return "[route]\n%s = webhook %s\n[policy %s]\n%s\n" % (
            hook, self.receiver.url(path), hook, policy)

    def left(self):
        return self.s.count("status IN ('pending', 'in-progress')"
                            " AND scheduled_date_gmt <= UTC_TIMESTAMP()")

    def wait_empty(self, timeout=60):
        self.s.wait_until(lambda: self.left() == 0, timeout,
                          what="the queue is empty")

    def wait_running(self, at_least=1):
        self.s.wait_until(
            lambda: self.s.count("status = 'in-progress'") >= at_least, 30,
            what="rows run")

    def ran(self):
        """{arguments: how often PHP ran it}"""
        with open(self.notes) as f:
            return collections.Counter(
                line.split(" ", 1)[1].rsplit(" ", 1)[0] for line in f)

    def pids(self):
        """Process ids of the notes, in order."""
        with open(self.notes) as f:
            return [int(line.rsplit(" ", 1)[1]) for line in f]

    def received(self):
        return {int(key.rsplit("_", 1)[1]): n for key, n in
                self.receiver.report(keys=True)["keys"].items()}

    def assert_nothing_held(self):
        """No row and no claim belongs to anybody."""
        self.assertEqual(self.s.count(
            "claim_id <> 0 AND status IN ('pending', 'in-progress')"), 0)
        for table in ("actionscheduler_claims", "wpcron_claims"):
            self.s.wait_until(
                lambda t=table: self.s.value(
                    "SELECT COUNT(*) FROM wp_" + t) == 0, 30,
                what=table + " is empty")


class DatabaseTest(Disturbed):
    """The database goes away under a batch, in each way it can."""

    def assert_each_native_once(self, first, n):
        self.assertEqual(self.s.statuses(), {"complete": n})
        received = self.received()
        self.assertEqual(len(received), n)
        self.assertEqual(max(received.values()), 1)
        self.assertEqual(self.s.count("attempts <> 1"), 0)
        for action in range(first, first + n):
            logs = self.s.logs(action)
            self.assertEqual(logs[-1], COMPLETE)
            self.assertEqual(logs.count(COMPLETE), 1, logs)
            # A start whose commit got lost is written again, or undone.
            self.assertLessEqual(set(logs[:-1]), {STARTED, "action reset"},
                                 logs)
        self.assert_nothing_held()

    def disturb_native(self, disturb, n=400, hold=600):
        first = self.s.insert_actions(n, "demo_webhook")
        self.start(self.route("/ok?hold=%d" % hold,
                              "idempotent = no\nretries = 0"))
        self.wait_running(10)
        disturb()
        self.assertGreater(self.left(), 0, "it was in mid-batch")
        self.wait_empty()
        self.assert_each_native_once(first, n)
        self.assertIn("database.back", self.daemon.log_text())

    def stop_and_start(self, number, pause=1.5):
        self.s.mariadb.stop(number=number)
        self.s.servers.remove(self.s.mariadb)
        time.sleep(pause)
        self.s.start_mariadb()

    def test_restart_costs_no_native_job_and_repeats_none(self):
        self.disturb_native(lambda: self.stop_and_start(signal.SIGTERM))

    def test_crash_costs_no_native_job_and_repeats_none(self):
        self.disturb_native(lambda: self.stop_and_start(signal.SIGKILL))

    def test_outage_past_the_nodes_expiry_repeats_nothing(self):
        self.disturb_native(
            lambda: self.stop_and_start(signal.SIGKILL, pause=4))

    def kill_connections(self, over, every):
        """KILL what the site's user has open, again and again."""
        kills = 0
        with self.s.connect() as db, db.cursor() as c:
            while not over():
                c.execute("SELECT id FROM information_schema.processlist"
                          " WHERE user = 'wp'")
                for (thread,) in c.fetchall():
                    try:
                        c.execute("KILL %d" % thread)
                        kills += 1
                    except pymysql.MySQLError as e:
                        if e.args[0] != 1094:  # it left by itself
                            raise
                time.sleep(every)
        return kills

    def test_killed_connections_cost_no_native_job(self):
        n = 1500
        first = self.s.insert_actions(n, "demo_webhook")
        self.start(self.route("/ok?hold=100",
                              "idempotent = no\nretries = 0"))
        self.wait_running()
        end = time.monotonic() + 60
        kills = self.kill_connections(
            lambda: self.left() == 0 or time.monotonic() > end, 0.05)
        self.wait_empty()
        self.assertGreater(kills, 20)
        print("       %d connections killed" % kills, flush=True)
        self.assert_each_native_once(first, n)

    def assert_each_php_at_most_once(self, first, n, failed_at_most):
        """Returns how many failed."""
        ran = self.ran()
        rows = self.s.actions("action_id >= %s", (first,))
        self.assertEqual(len(rows), n)
        failed = 0
        for row in rows:
            got = ran.get(row["args"], 0)
            if row["status"] == "complete":
                self.assertEqual(got, 1, row)
            else:
                failed += 1
                self.assertEqual(row["status"], "failed", row)
                self.assertLessEqual(got, 1, row)
                self.assertRegex(self.s.logs(row["action_id"])[-1],
                                 "^" + FAILED)
        self.assertLessEqual(failed, failed_at_most)
        self.assert_nothing_held()
        return failed

    def disturb_php(self, disturb, n=60, ms=200, failed_at_most=2):
        first = self.s.insert_actions(n, "demo_sleep_ms", "[%d,{i}]" % ms)
        self.start()
        self.s.wait_until(lambda: len(self.pids()) >= 4)
        disturb()
        self.assertGreater(self.left(), 0, "it was in mid-batch")
        self.wait_empty(120)
        failed = self.assert_each_php_at_most_once(first, n, failed_at_most)
        print("       %d of %d failed" % (failed, n), flush=True)

    def test_restart_repeats_no_php_job(self):
        self.disturb_php(lambda: self.stop_and_start(signal.SIGTERM))

    def test_crash_repeats_no_php_job(self):
        self.disturb_php(lambda: self.stop_and_start(signal.SIGKILL))

    def test_killed_connections_repeat_no_php_job(self):
        def kill():
            # From now on, however long PHP took to begin.
            end = time.monotonic() + 3
            self.kill_connections(lambda: time.monotonic() > end, 0.05)

        self.disturb_php(kill, n=300, ms=50, failed_at_most=20)


class PhpTest(Disturbed):
    """php-fpm and its children go away under a batch."""

    def tearDown(self):
        super().tearDown()
        if not self.s.php_fpm.alive or not connectable(self.s.php_socket):
            self.s.start_php_fpm()

    def rows_ran_once(self, first, n, failed_at_most):
        ran = self.ran()
        failed = 0
        for row in self.s.actions("action_id >= %s", (first,)):
            got = ran.get(row["args"], 0)
            if row["status"] == "complete":
                self.assertEqual(got, 1, row)
                continue
            failed += 1
            self.assertEqual(row["status"], "failed", row)
            # It may die between its row's start and the callback's note.
            self.assertLessEqual(got, 1, row)
            self.assertRegex(self.s.logs(row["action_id"])[-1],
                             "^%s(%s)$" % (re.escape(FAILED),
                                            DIED_OR_TAKING))
        self.assertLessEqual(failed, failed_at_most)
        self.assertEqual(self.s.count(), n)
        self.assert_nothing_held()
        return failed

    def test_reload_fails_what_ran_and_gives_back_the_rest(self):
        n = 60
        first = self.s.insert_actions(n, "demo_sleep_ms", "[300,{i}]")
        self.start()
        self.s.wait_until(lambda: len(self.pids()) >= 4 and
                          self.s.count("status = 'in-progress'") > 0)
        self.s.php_fpm.send_signal(signal.SIGUSR2)
        self.wait_empty()
        # Without process_control_timeout a reload kills the children.
        self.assertGreater(self.rows_ran_once(first, n, 2), 0)

    def test_stopped_php_fpm_costs_what_ran_and_holds_the_rest(self):
        n = 40
        first = self.s.insert_actions(n, "demo_sleep_ms", "[300,{i}]")
        self.s.insert_actions(100, "demo_webhook")
        self.start(self.route("/ok"))
        self.s.wait_until(lambda: len(self.pids()) >= 4)
        os.killpg(self.s.php_fpm.pid, signal.SIGKILL)
        self.s.php_fpm.process.wait()
        self.s.servers.remove(self.s.php_fpm)
        # Native work goes on meanwhile.
        self.s.wait_until(lambda: self.s.statuses(
            "hook = 'demo_webhook'") == {"complete": 100}, 30)
        time.sleep(1)
        before = self.s.count("hook = 'demo_sleep_ms' AND attempts > 0")
        self.s.start_php_fpm()
        self.wait_empty()
        self.assertLess(before, n)
        self.s.mysql("DELETE FROM wp_actionscheduler_actions"
                     " WHERE hook = 'demo_webhook'")
        self.assertGreater(self.rows_ran_once(first, n, 2), 0)

    def kill_child_of(self, args, nth=1):
        """SIGKILL the child in its nth run of these arguments."""
        def runs():
            with open(self.notes) as f:
                return [int(line.rsplit(" ", 1)[1]) for line in f
                        if " %s " % args in line]
        os.kill(self.s.wait_until(lambda: len(runs()) >= nth and runs(),
                                  what="a run of " + args)[nth - 1],
                signal.SIGKILL)

    def test_child_killed_fails_an_at_most_once_job_at_its_first_death(self):
        first = self.s.insert_actions(3, "demo_nothing", '["a",{i}]',
                                      due_in=-90)
        bad = self.s.insert_actions(1, "demo_sleep_ms", '[20000,"bad"]',
                                    due_in=-80)
        self.s.insert_actions(4, "demo_nothing", '["b",{i}]', due_in=-70)
        self.start(daemon=FAST.replace("php_children = 2",
                                       "php_children = 1"))
        self.kill_child_of('[20000,"bad"]')
        self.wait_empty()
        self.assertEqual(self.s.statuses(), {"complete": 7, "failed": 1})
        self.assertEqual(self.s.logs(bad), [STARTED, FAILED + DIED])
        self.assertEqual(self.s.actions("action_id=%s", (bad,))[0]["attempts"],
                         1)
        self.assertEqual(max(self.ran().values()), 1)
        self.assertEqual(self.s.count(), 8)
        for action in range(first, first + 8):
            if action != bad:
                self.assertEqual(self.s.logs(action), [STARTED, COMPLETE])
        self.assert_nothing_held()

    def test_idempotent_job_gets_a_second_try_alone_and_is_parked(self):
        bad = self.s.insert_actions(1, "demo_sleep_ms", '[20000,"bad"]')
        self.start("[policy demo_sleep_ms]\nidempotent = yes\nretries = 0\n"
                   "backoff = 1s..2s\n", daemon=FAST.replace(
                       "php_children = 2", "php_children = 1"))
        self.kill_child_of('[20000,"bad"]')
        self.s.wait_until(lambda: self.s.count() == 2)
        again = self.s.actions("action_id > %s", (bad,))[0]
        # Company for the second try: due in the same batch.
        self.s.insert_actions(6, "demo_nothing", '["b",{i}]', due_in=0)
        company = self.s.insert_actions(6, "demo_nothing", '["c",{i}]',
                                        due_in=2)
        self.kill_child_of('[20000,"bad"]', 2)
        self.s.wait_until(lambda: self.s.statuses(
            "action_id >= %s", (company,)) == {"complete": 6})
        self.wait_empty()
        self.assertEqual(self.s.logs(bad), [STARTED, FAILED + DIED])
        self.assertEqual(again["args"], '[20000,"bad"]')
        self.assertEqual(
            self.s.logs(again["action_id"]),
            [CREATED, STARTED,
             FAILED + DIED + " (parked: it did so twice)"])
        tries = self.s.mysql("SELECT action_id, origin_id, try, strikes"
                             " FROM wp_wpcron_tries ORDER BY try")
        self.assertEqual(tries[-1], {
            "action_id": again["action_id"], "origin_id": bad, "try": 2,
            "strikes": 1})
        self.assertEqual(self.s.statuses("hook = 'demo_sleep_ms'"),
                         {"failed": 2})
        self.assertEqual(self.ran()['[20000,"bad"]'], 2)
        # Nobody else was in the request that was killed.
        self.assertEqual(self.s.statuses("hook = 'demo_nothing'"),
                         {"complete": 12})
        self.assert_nothing_held()

    def test_job_over_its_timeout_is_ended_and_the_rest_goes_on(self):
        bad = self.s.insert_actions(1, "demo_sleep_ms", '[20000,"long"]',
                                    due_in=-90)
        self.s.insert_actions(5, "demo_nothing", '["b",{i}]', due_in=-70)
        self.start("[policy demo_sleep_ms]\ntimeout = 1s\n",
                   daemon=FAST.replace("php_children = 2",
                                       "php_children = 1"))
        begun = time.monotonic()
        self.wait_empty(30)
        self.assertLess(time.monotonic() - begun, 15)
        self.assertEqual(self.s.statuses(), {"complete": 5, "failed": 1})
        self.assertEqual(self.s.logs(bad),
                         [STARTED, FAILED + "timed out after 1 s"])
        self.assert_nothing_held()


class WebhookTest(Disturbed):
    """What a misbehaving receiver makes of a row."""

    RETRYING = "timeout = 15s\nretries = 2\nbackoff = 10s..60s"
    # Where it is the time-out that ends it.
    CUT_OFF = RETRYING.replace("15s", "1s")

    def one(self, path, policy=RETRYING, url=None):
        """One action to its first end; returns its row."""
        rest = self.route(path, policy)
        if url:
            rest = "[route]\ndemo_webhook = webhook %s\n[policy " \
                "demo_webhook]\n%s\n" % (url, policy)
        self.begun = int(time.time())
        first = self.s.insert_actions(1, "demo_webhook", '["x"]',
                                      group="shop", priority=7)
        self.start(rest)
        self.s.wait_until(lambda: self.s.count(
            "action_id = %s AND status IN ('complete', 'failed')",
            (first,)) == 1, 30)
        row = self.s.actions("action_id = %s", (first,))[0]
        self.assertEqual(row["attempts"], 1)
        return row

    def assert_failed(self, row, why):
        self.assertEqual(row["status"], "failed")
        logs = self.s.logs(row["action_id"])
        self.assertEqual(logs[0], STARTED)
        self.assertRegex(logs[1], "^%s(%s)" % (re.escape(FAILED), why))
        self.assertEqual(len(logs), 2)

    def assert_no_retry(self, row):
        self.assertEqual(self.s.count(), 1)
        self.assertEqual(self.s.mysql(
            "SELECT 1 FROM wp_wpcron_tries WHERE origin_id = %s",
            (row["action_id"],)), [])

    def assert_retry(self, row, low, high, strikes=0):
        """A fresh row, due between `low` and `high` s after the failure."""
        fresh = self.s.actions("action_id > %s", (row["action_id"],))
        self.assertEqual(len(fresh), 1)
        fresh = fresh[0]
        for key in ("hook", "args", "group_id", "priority",
                    "extended_args"):
            self.assertEqual(fresh[key], row[key], key)
        self.assertEqual(
            (fresh["status"], fresh["attempts"], fresh["claim_id"]),
            ("pending", 0, 0))
        due = fresh["scheduled_date_gmt"].replace(
            tzinfo=datetime.timezone.utc).timestamp()
        ended = self.s.value(
            "SELECT UNIX_TIMESTAMP(CONVERT_TZ(MAX(log_date_gmt), '+00:00',"
            " @@time_zone)) FROM wp_actionscheduler_logs WHERE action_id=%s",
            (row["action_id"],))
        self.assertGreaterEqual(due - float(ended), low)
        # Ends are noted in whole seconds, dates rounded up to them.
        self.assertLessEqual(due - float(ended), high + 1)
        self.assertIn("i:%d;" % due, fresh["schedule"])
        self.assertEqual(self.s.logs(fresh["action_id"]), [CREATED])
        self.assertEqual(self.s.mysql(
            "SELECT action_id, origin_id, try, strikes FROM wp_wpcron_tries"
            " WHERE origin_id = %s", (row["action_id"],)), [
                {"action_id": fresh["action_id"],
                 "origin_id": row["action_id"], "try": 2,
                 "strikes": strikes}])
        return fresh

    def test_stall_is_cut_off_and_tried_again_later(self):
        row = self.one("/stall", self.CUT_OFF)
        self.assert_failed(row, "no answer: .*[Tt]imed? ?out")
        self.assert_retry(row, 8, 12, strikes=1)

    def test_reset_is_tried_again(self):
        row = self.one("/reset-after")
        self.assert_failed(row, "no answer: ")
        self.assert_retry(row, 8, 12)

    def test_reset_before_the_body_is_read_is_tried_again(self):
        row = self.one("/reset-before")
        self.assert_failed(row, "no(t sent| answer): ")
        self.assert_retry(row, 8, 12)

    def test_closed_connection_is_tried_again(self):
        row = self.one("/close")
        self.assert_failed(row, "no answer: ")
        self.assert_retry(row, 8, 12)

    def test_500_is_tried_again(self):
        row = self.one("/status/500?body=1")
        self.assert_failed(row, "HTTP 500: ")
        self.assert_retry(row, 8, 12)

    def test_retry_after_is_honoured(self):
        row = self.one("/status/429?retry-after=45")
        self.assert_failed(row, "HTTP 429")
        self.assert_retry(row, 45, 45)

    def test_shorter_retry_after_does_not_shorten_the_backoff(self):
        row = self.one("/status/503?retry-after=1")
        self.assert_failed(row, "HTTP 503")
        self.assert_retry(row, 8, 12)

    def test_answer_of_one_byte_a_second_counts_by_its_status(self):
        # Its status is there at once.
        row = self.one("/drip", self.RETRYING.replace("15s", "4s"))
        self.assertEqual(row["status"], "complete")
        self.assertEqual(self.s.logs(row["action_id"]), [STARTED, COMPLETE])
        self.assert_no_retry(row)

    def test_headers_of_one_byte_a_second_are_cut_off(self):
        row = self.one("/drip-headers", self.CUT_OFF)
        self.assert_failed(row, "no answer: ")
        self.assert_retry(row, 8, 12, strikes=1)

    def test_redirect_fails_for_good(self):
        row = self.one("/redirect")
        self.assert_failed(row, "HTTP 302: redirects are not followed")
        self.assert_no_retry(row)
        self.assertEqual(self.receiver.report()["requests"], 1)

    def test_404_fails_for_good(self):
        row = self.one("/status/404")
        self.assert_failed(row, "HTTP 404")
        self.assert_no_retry(row)

    def test_garbage_is_tried_again(self):
        row = self.one("/garbage")
        self.assert_failed(row, "no answer: ")
        self.assert_retry(row, 8, 12)

    def test_once_sent_a_job_that_is_not_idempotent_fails_for_good(self):
        row = self.one("/status/500",
                       "timeout = 15s\nidempotent = no\nretries = 3")
        self.assert_failed(row, "HTTP 500")
        self.assert_no_retry(row)

    def test_never_sent_even_such_a_job_is_tried_again(self):
        receiver = self.s.start_receiver(name="gone")
        url = receiver.url()
        receiver.stop()
        self.s.servers.remove(receiver)
        row = self.one("", "idempotent = no\nretries = 0\n"
                       "backoff = 10s..60s", url=url)
        self.assert_failed(row, "not sent: ")
        self.assert_retry(row, 8, 12)

    def test_retries_end_with_the_policy_under_one_key(self):
        row = self.one("/status/500", "retries = 2\nbackoff = 100ms..1s")
        self.s.wait_until(lambda: self.s.statuses() == {"failed": 3}, 30)
        time.sleep(1.5)
        self.assertEqual(self.s.statuses(), {"failed": 3})
        got = self.receiver.report(keys=True)
        self.assertEqual((got["requests"], got["distinct"]), (3, 1))
        self.assertEqual([r["try"] for r in self.s.mysql(
            "SELECT try FROM wp_wpcron_tries WHERE origin_id = %s"
            " ORDER BY try", (row["action_id"],))], [2, 3])

    def test_flaky_receiver_gets_it_in_the_end_under_one_key(self):
        self.one("/flaky/2", "retries = 5\nbackoff = 100ms..1s")
        self.s.wait_until(lambda: self.s.statuses() == {
            "failed": 2, "complete": 1}, 30)
        got = self.receiver.report(keys=True)
        self.assertEqual((got["requests"], got["distinct"]), (3, 1))

    def test_dead_receiver_costs_no_more_than_the_breaker_lets_through(self):
        """50 rows, 5 failures open the breaker: the rest stays pending."""
        self.s.insert_actions(50, "demo_webhook")
        self.start(self.route("/status/500", "retries = 5\n"
                              "backoff = 1h..2h"),
                   daemon=FAST.replace("host_concurrency = 32",
                                       "host_concurrency = 4"))
        self.s.wait_until(lambda: self.s.count("status = 'failed'") >= 5)
        time.sleep(2)
        self.assertLessEqual(self.receiver.report()["requests"], 12)
        # But for a probe, which comes after five seconds.
        self.s.wait_until(
            lambda: self.s.count("status = 'in-progress'") == 0)
        self.assertGreaterEqual(self.s.count(
            "status = 'pending' AND attempts = 0"
            " AND scheduled_date_gmt <= UTC_TIMESTAMP()"), 38)


class StopTest(Disturbed):
    """SIGTERM and SIGHUP in mid-batch."""

    def stop(self, at_most):
        begun = time.monotonic()
        self.assertEqual(self.daemon.stop(timeout=60), 0)
        took = time.monotonic() - begun
        self.assertLess(took, at_most)
        return took

    def assert_nobody_is_left(self):
        self.assert_nothing_held()
        self.assertEqual(self.s.value("SELECT COUNT(*) FROM wp_wpcron_nodes"),
                         0)

    def test_what_was_not_started_is_released_what_runs_finishes(self):
        n = 300
        first = self.s.insert_actions(n, "demo_webhook")
        self.start(self.route("/ok?hold=1000",
                              "idempotent = no\nretries = 0"),
                   daemon=FAST.replace("host_concurrency = 32",
                                       "host_concurrency = 8") +
                   "shutdown_grace = 20s\n")
        self.wait_running(8)
        self.stop(12)
        done = self.s.statuses()
        self.assertEqual(set(done), {"complete", "pending"})
        received = self.received()
        self.assertEqual(len(received), done["complete"])
        self.assertEqual(max(received.values()), 1)
        for row in self.s.actions("action_id >= %s", (first,)):
            self.assertEqual(row["status"] == "complete",
                             row["action_id"] in received)
            self.assertEqual(row["attempts"], int(
                row["status"] == "complete"))
        self.assert_nobody_is_left()

    def test_what_outlasts_the_grace_is_failed_or_tried_again(self):
        self.s.insert_actions(4, "demo_webhook")
        self.s.insert_actions(4, "demo_option")
        rest = ("[route]\ndemo_webhook = webhook %s\n"
                "demo_option = webhook %s\n[policy demo_webhook]\n"
                "idempotent = no\nretries = 0\n[policy demo_option]\n"
                "idempotent = yes\nretries = 2\nbackoff = 10s..20s\n") % (
                    self.receiver.url("/ok?hold=20000"),
                    self.receiver.url("/ok?hold=20000"))
        self.start(rest, daemon=FAST + "shutdown_grace = 1s\n")
        self.wait_running(8)
        self.stop(12)
        self.assertEqual(self.s.statuses("hook = 'demo_webhook'"),
                         {"failed": 4})
        self.assertEqual(self.s.statuses("hook = 'demo_option'"),
                         {"failed": 4, "pending": 4})
        for row in self.s.actions("status = 'failed'"):
            self.assertRegex(self.s.logs(row["action_id"])[-1],
                             "^%sno answer: given up" % re.escape(FAILED))
        self.assert_nobody_is_left()

    def test_php_jobs_finish_or_go_back(self):
        n = 40
        first = self.s.insert_actions(n, "demo_sleep_ms", "[400,{i}]")
        self.start(daemon=FAST + "shutdown_grace = 20s\n")
        self.s.wait_until(lambda: len(self.pids()) >= 2)
        took = self.stop(22)
        ran = self.ran()
        statuses = self.s.statuses()
        print("       stopped in %.1f s: %s" % (took, statuses), flush=True)
        self.assertEqual(set(statuses), {"complete", "pending"})
        for row in self.s.actions("action_id >= %s", (first,)):
            self.assertEqual(ran.get(row["args"], 0),
                             int(row["status"] == "complete"), row)
        self.assert_nobody_is_left()

    def test_php_job_that_outlasts_the_grace_is_ended(self):
        self.s.insert_actions(1, "demo_sleep_ms", '[20000,"long"]',
                              due_in=-90)
        self.s.insert_actions(5, "demo_nothing", '["b",{i}]', due_in=-70)
        self.start(daemon=FAST.replace("php_children = 2", "php_children = 1")
                   + "shutdown_grace = 1s\n")
        self.s.wait_until(lambda: len(self.pids()) >= 1)
        self.stop(12)
        self.assertEqual(self.s.statuses(), {"failed": 1, "pending": 5})
        self.assert_nobody_is_left()

    def write(self, rest):
        with open(self.daemon.config, "w") as f:
            f.write(self.s.config_text(FAST, "cron = no", rest))
        self.daemon.send_signal(signal.SIGHUP)

    def wait_log(self, event, times=1):
        self.s.wait_until(
            lambda: self.daemon.log_text().count(event) >= times, 30,
            what=event)

    def test_reload_takes_a_new_policy_and_route(self):
        self.s.insert_actions(20, "demo_webhook")
        self.start(self.route("/ok", "paused = yes"))
        time.sleep(1)
        self.assertEqual(self.s.statuses(), {"pending": 20})
        self.write(self.route("/status/404"))
        self.wait_log("daemon.reloaded")
        self.s.wait_until(lambda: self.s.statuses() == {"failed": 20}, 20)
        self.assertEqual(self.receiver.report()["requests"], 20)

    def test_reload_in_mid_batch_loses_nothing(self):
        n = 600
        self.s.insert_actions(n, "demo_webhook")
        self.start(self.route("/ok?hold=50", "idempotent = no\nretries = 0"))
        self.wait_running()
        for i in range(20):
            self.write(self.route("/ok?hold=%d" % (50 + i),
                                  "idempotent = no\nretries = 0"))
            time.sleep(0.05)
        self.wait_empty()
        self.assertEqual(self.s.statuses(), {"complete": n})
        got = self.receiver.report()
        self.assertEqual((got["requests"], got["distinct"]), (n, n))
        self.assert_nothing_held()

    def test_bad_configuration_is_refused_and_the_old_one_stays(self):
        self.start(self.route("/ok"))
        self.write("[policy demo_webhook]\nretires = 3\n")
        self.wait_log("daemon.reload_refused")
        self.assertIn("retries", self.daemon.log_text())
        self.s.insert_actions(10, "demo_webhook")
        self.wait_empty(30)
        self.assertEqual(self.s.statuses(), {"complete": 10})
        self.assertEqual(self.receiver.report()["requests"], 10)


if __name__ == "__main__":
    unittest.main()
