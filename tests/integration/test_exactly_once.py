"""Four daemons on one database, one of them killed every 300 ms: no action is
executed twice, none is lost, and what was running when its owner died is said.
"""

import collections
import os
import random
import threading
import time
import unittest

import pymysql
from stack import Stack, connectable

DAEMONS = 4
CONCURRENCY = 32
KILLS = int(os.environ.get("KILLS", "60"))
DIED = "its owner died while it ran"
FAST = """
heartbeat = 200ms
node_expiry = 1s
look_interval = 100ms
host_concurrency = %d
native_batch = %d
workers = 3
php_children = 2
log_level = warn
""" % (CONCURRENCY, CONCURRENCY)


class Killer:
    """Daemons that are killed at random and started again."""

    def __init__(self, stack, rest, daemon=FAST, daemons=DAEMONS):
        self.stack, self.rest, self.settings = stack, rest, daemon
        self.random = random.Random(7)
        self.kills = self.loaded_kills = self.rows_lost = 0
        self.daemons = [self.start(i) for i in range(daemons)]

    def start(self, i):
        return self.stack.start_daemon(
            name="k%d" % i, daemon=self.settings, rest=self.rest,
            ready=False)

    def running_of(self, pid):
        try:
            return self.stack.value(
                "SELECT COUNT(*) FROM wp_actionscheduler_actions a"
                " JOIN wp_wpcron_claims c ON c.claim_id = a.claim_id"
                " JOIN wp_wpcron_nodes n ON n.node_id = c.node_id"
                " WHERE a.status = 'in-progress' AND n.pid = %s", (pid,))
        except pymysql.err.ProgrammingError:
            return 0  # nobody has made the tables yet

    def one_at_work(self):
        """Index of a daemon with rows in flight, None if there is none."""
        return next((i for i, d in enumerate(self.daemons)
                     if self.running_of(d.pid) > 0), None)

    def kill_one(self, i=None):
        if i is None:
            i = self.random.randrange(len(self.daemons))
        victim = self.daemons[i]
        if self.running_of(victim.pid) > 0:
            self.loaded_kills += 1
        victim.kill()
        self.stack.servers.remove(victim)
        self.kills += 1
        self.daemons[i] = self.start(i)

    def run(self, kills, over, every=0.3):
        """Kill until `kills` hit a node at work, or the work is over."""
        while self.loaded_kills < kills and not over():
            time.sleep(every)
            self.kill_one()

    def run_aimed(self, kills, over):
        """Kill whoever is at work, until it was `kills` times. What PHP may
        still run for the dead is taken back after 95 s only."""
        while self.loaded_kills < kills and not over():
            i = self.stack.wait_until(
                lambda: over() or (self.one_at_work() is not None and
                                   (self.one_at_work(),)), 120)
            if i is not True and i[0] is not None:
                time.sleep(0.1 * self.random.random())
                self.kill_one(i[0])

    def stop(self):
        # One that was just started may not hear the signal yet.
        for d in self.daemons:
            d.wait_ready(lambda sock=d.sock: connectable(sock))
        codes = [d.stop(timeout=60) for d in self.daemons]
        for d in self.daemons:
            self.stack.servers.remove(d)
        return codes


def surely(c, statement, number):
    """Also after a deadlock: what it claimed would be left behind."""
    while True:
        try:
            c.execute(statement, (number,))
            return
        except pymysql.err.OperationalError as e:
            if e.args[0] not in (1205, 1213):
                raise


class ExactlyOnceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        cls.notes = s.path("once.txt")
        with open(cls.notes, "w"):
            os.chmod(cls.notes, 0o666)
        s.start_site(
            children=8,
            config_extra="define( 'WPCRON_DEMO_LOG', '%s' );" % cls.notes)
        s.install_action_scheduler()
        cls.receiver = s.start_receiver()

    def setUp(self):
        for table in ("actions", "logs", "claims"):
            self.s.mysql("DELETE FROM wp_actionscheduler_" + table)
        self.receiver.forget()

    def route(self, hold, policy):
        return "[route]\ndemo_webhook = webhook %s?hold=%d\n%s" % (
            self.receiver.url(), hold, policy)

    def left(self):
        return self.s.count("status IN ('pending', 'in-progress')"
                            " AND scheduled_date_gmt <= UTC_TIMESTAMP()")

    def received(self):
        """{action id: how often the receiver got it}"""
        return {int(key.rsplit("_", 1)[1]): n for key, n in
                self.receiver.report(keys=True)["keys"].items()}

    def died(self):
        return {r["action_id"] for r in self.s.mysql(
            "SELECT DISTINCT action_id FROM wp_actionscheduler_logs"
            " WHERE message LIKE %s", ("%" + DIED + "%",))}

    def assert_once(self, killer, received, first, n):
        rows = self.s.actions("action_id >= %s", (first,))
        died = self.died()
        self.assertEqual(len(rows), n)
        for row in rows:
            got = received.get(row["action_id"], 0)
            if row["status"] == "complete":
                self.assertEqual(got, 1, row["action_id"])
            else:
                self.assertEqual(row["status"], "failed", row)
                self.assertIn(row["action_id"], died)
                self.assertLessEqual(got, 1)
        self.assertLessEqual(len(died), killer.kills * CONCURRENCY)
        print("       %d kills, %d with rows in flight, %d owner-died, "
              "%d rows" % (killer.kills, killer.loaded_kills, len(died), n),
              flush=True)

    def test_no_action_runs_twice_while_daemons_are_killed(self):
        n = int(os.environ.get("ACTIONS", "20000"))
        first = self.s.insert_actions(n, "demo_webhook")
        killer = Killer(self.s, self.route(
            150, "[policy demo_webhook]\nidempotent = no\nretries = 0\n"))
        killer.run(KILLS, lambda: self.left() == 0)
        self.s.wait_until(lambda: self.left() == 0, 180,
                          what="the queue is empty")
        self.assertEqual(killer.stop(), [0] * DAEMONS)
        self.assertGreaterEqual(killer.loaded_kills, min(50, KILLS))
        self.assert_once(killer, self.received(), first, n)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_actionscheduler_claims"), 0)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_claims"), 0)

    def test_beside_a_runner_that_claims_as_php_did(self):
        """PHP's old ordered UPDATE takes rows, executes or releases them."""
        n = 3000
        first = self.s.insert_actions(n, "demo_webhook")
        foreign = collections.Counter()
        over = threading.Event()

        def old_runner():
            rnd = random.Random(3)
            db = self.s.connect()
            while not over.is_set():
                try:
                    self.old_claim(db, rnd, foreign)
                except pymysql.err.OperationalError as e:
                    if e.args[0] not in (1205, 1213):
                        raise
        runner = threading.Thread(target=old_runner)
        killer = Killer(self.s, self.route(
            150, "[policy demo_webhook]\nidempotent = no\nretries = 0\n"))
        runner.start()
        try:
            killer.run(10, lambda: self.left() == 0)
            self.s.wait_until(lambda: self.left() == 0, 180)
        finally:
            over.set()
            runner.join()
            killer.stop()
        received = collections.Counter(self.received())
        received.update(foreign)
        self.assertGreater(len(foreign), 0)
        self.assert_once(killer, received, first, n)

    def old_claim(self, db, rnd, foreign):
        with db.cursor() as c:
            c.execute("INSERT INTO wp_actionscheduler_claims"
                      " (date_created_gmt) VALUES (UTC_TIMESTAMP())")
            claim = c.lastrowid
            c.execute(
                "UPDATE wp_actionscheduler_actions SET claim_id = %s,"
                " last_attempt_gmt = UTC_TIMESTAMP() WHERE claim_id = 0 AND"
                " scheduled_date_gmt <= UTC_TIMESTAMP() AND status ="
                " 'pending' ORDER BY priority, attempts, scheduled_date_gmt,"
                " action_id LIMIT 25", (claim,))
            c.execute("SELECT action_id FROM wp_actionscheduler_actions"
                      " WHERE claim_id = %s", (claim,))
            for (action,) in c.fetchall():
                if rnd.random() < 0.5:
                    continue
                surely(c, "UPDATE wp_actionscheduler_actions SET attempts ="
                       " attempts + 1, status = 'in-progress' WHERE"
                       " action_id = %s", action)
                foreign[action] += 1
                time.sleep(0.002)
                surely(c, "UPDATE wp_actionscheduler_actions SET status ="
                       " 'complete' WHERE action_id = %s", action)
            surely(c, "UPDATE wp_actionscheduler_actions SET claim_id = 0"
                   " WHERE claim_id = %s AND status = 'pending'", claim)
            surely(c, "DELETE FROM wp_actionscheduler_claims WHERE"
                   " claim_id = %s", claim)
        time.sleep(0.05)

    def test_idempotent_work_is_tried_again_under_the_same_key(self):
        n = 3000
        self.s.insert_actions(n, "demo_webhook")
        killer = Killer(self.s, self.route(150, ""))
        killer.run(15, lambda: self.left() == 0)
        self.s.wait_until(lambda: self.left() == 0, 180)
        killer.stop()
        received = self.received()
        retried = self.s.count("1=1") - n
        self.assertEqual(len(received), n)
        self.assertEqual(self.s.value(
            "SELECT COUNT(DISTINCT COALESCE(t.origin_id, a.action_id))"
            " FROM wp_actionscheduler_actions a LEFT JOIN wp_wpcron_tries t"
            " ON t.action_id = a.action_id WHERE a.status = 'complete'"), n)
        self.assertLessEqual(sum(received.values()), n + retried)
        print("       %d kills, %d tried again" % (killer.kills, retried),
              flush=True)

    def insert_series(self, hook, args, every):
        """One due instance of an interval schedule."""
        now = int(time.time())
        name = "ActionScheduler_IntervalSchedule"
        fields = (("\0*\0scheduled_timestamp", now),
                  ("\0*\0first_timestamp", now), ("\0*\0recurrence", every),
                  ("\0%s\0start_timestamp" % name, now),
                  ("\0%s\0interval_in_seconds" % name, every))
        schedule = 'O:%d:"%s":5:{%s}' % (len(name), name, "".join(
            's:%d:"%s";i:%d;' % (len(k), k, v) for k, v in fields))
        self.s.mysql(
            "INSERT INTO wp_actionscheduler_actions (hook, status,"
            " scheduled_date_gmt, scheduled_date_local, args, schedule,"
            " last_attempt_gmt, last_attempt_local) VALUES (%s, 'pending',"
            " UTC_TIMESTAMP(), UTC_TIMESTAMP(), %s, %s, 0, 0)",
            (hook, args, schedule))

    def test_series_keeps_its_rhythm_through_kills(self):
        for i in range(3):
            self.insert_series("demo_webhook", "[%d]" % i, 1)
        killer = Killer(self.s, self.route(
            300, "[policy demo_webhook]\nidempotent = no\nretries = 0\n"),
            daemons=2)
        # Five failed instances and none complete would end the series.
        self.s.wait_until(lambda: self.s.count("status='complete'") >= 3)
        killer.run_aimed(20, lambda: False)
        self.s.wait_until(lambda: self.s.count("status = 'in-progress'") == 0)
        killer.stop()
        rows = self.s.actions("hook = 'demo_webhook'")
        alive = [r for r in rows if r["status"] == "pending"]
        self.assertEqual(len(alive), 3, [r["status"] for r in rows])
        self.assertEqual(len({r["args"] for r in alive}), 3)
        received = self.received()
        for row in rows:
            self.assertLessEqual(received.get(row["action_id"], 0), 1)

    def test_php_jobs_run_once_while_daemons_are_killed(self):
        n = 800
        first = self.s.insert_actions(n, "demo_sleep_ms", '[20,{i}]')
        # None may time out, or it fails for another reason.
        killer = Killer(self.s, "[policy demo_sleep_ms]\ntimeout = 5s\n")
        killer.run_aimed(15, lambda: self.left() == 0)
        self.s.wait_until(lambda: self.left() == 0, 240)
        killer.stop()
        with open(self.notes) as f:
            ran = collections.Counter(
                line.split(" ", 1)[1].rsplit(" ", 1)[0] for line in f
                if line.startswith("demo_sleep_ms "))
        self.assertEqual(max(ran.values()), 1)
        rows = self.s.actions("action_id >= %s", (first,))
        died = self.died()
        self.assertEqual(len(rows), n)
        for row in rows:
            if row["status"] == "complete":
                self.assertEqual(ran[row["args"]], 1)
            else:
                self.assertEqual(row["status"], "failed")
                self.assertIn(row["action_id"], died)
        print("       %d kills, %d owner-died, %d rows" % (
            killer.kills, len(died), n), flush=True)


if __name__ == "__main__":
    unittest.main()
