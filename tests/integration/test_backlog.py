"""Long queues: what nobody may run does not hold up what is due, limits hold
over daemons, and the order is priority, date, id on every schema."""

import collections
import http.server
import json
import os
import threading
import time
import unittest

from stack import Stack

CONTEXT = "WP Cron FCGI"
STARTED = "action started via " + CONTEXT
QUICK = """
workers = 4
php_children = 2
heartbeat = 500ms
node_expiry = 10s
log_level = info
"""


class Keeper(http.server.ThreadingHTTPServer):
    """Keeps what it is sent: [(body, monotonic time)]."""

    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.kept.append((json.loads(body), time.monotonic()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.kept = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self):
        return "http://127.0.0.1:%d/" % self.server_port

    def close(self):
        self.shutdown()
        self.server_close()


class Backlog(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        cls.notes = s.path("notes.txt")
        with open(cls.notes, "w"):
            os.chmod(cls.notes, 0o666)
        s.start_site(config_extra="define( 'WPCRON_DEMO_LOG', '%s' );"
                     % cls.notes)
        cls.receiver = s.start_receiver()

    def setUp(self):
        self.s.install_action_scheduler()
        self.receiver.forget()
        with open(self.notes, "w"):
            pass
        self.daemons = []

    def tearDown(self):
        codes = [d.stop() for d in self.daemons]
        for d in self.daemons:
            self.s.servers.remove(d)
        self.assertEqual(codes, [0] * len(codes))

    def start(self, rest="", daemon=QUICK, site="cron = no"):
        d = self.s.start_daemon(daemon=daemon, site=site, rest=rest)
        self.daemons.append(d)
        return d

    def route(self, path="/ok", policy=""):
        return "[route]\ndemo_webhook = webhook %s\n[policy demo_webhook]\n" \
            "%s\n" % (self.receiver.url(path), policy)

    def status(self, action):
        return self.s.actions("action_id = %s", (action,))[0]["status"]

    def wait_complete(self, action, timeout=30):
        """Seconds until the action was complete."""
        begun = time.monotonic()
        self.s.wait_until(lambda: self.status(action) == "complete", timeout,
                          what="action %d is complete" % action)
        return time.monotonic() - begun

    def wait_all(self, where="1=1", timeout=60):
        self.s.wait_until(lambda: self.s.count(
            where + " AND status IN ('pending', 'in-progress')") == 0,
            timeout, what="all have ended: " + where)

    def started_order(self):
        """Ids of actions in the order of their starts."""
        return [r["action_id"] for r in self.s.mysql(
            "SELECT action_id FROM wp_actionscheduler_logs"
            " WHERE message = %s ORDER BY log_id", (STARTED,))]

    def slower(self):
        """How much longer than on an idle machine things may take here."""
        build = 1 if self.s.variant == "release" else 3
        return build * max(1, os.getloadavg()[0] / os.cpu_count())

    def damage(self, first, n, column, value):
        self.s.mysql("UPDATE wp_actionscheduler_actions SET %s = %%s WHERE"
                     " action_id >= %%s AND action_id < %%s" % column,
                     (value, first, first + n))


class BehindTest(Backlog):
    """One due row behind rows that nobody may run."""

    PAUSED = "[policy demo_nothing]\npaused = yes\n"

    def insert_obstacles(self, n):
        self.s.insert_actions(n, "demo_nothing", due_in=-7200, spread=3600)
        for hook in ("demo_webhook", "demo_option"):
            first = self.s.insert_actions(250, hook, due_in=-3600)
            self.damage(first, 250, "args", '{"broken')
            first = self.s.insert_actions(250, hook, due_in=-3600)
            self.damage(first, 250, "schedule", 'O:30:"Action')

    def due_row(self, hook):
        action = self.s.insert_actions(1, hook, due_in=-1)
        return self.wait_complete(action)

    def assert_quick(self, rest):
        """Both lanes, met by a fresh daemon and by one that knows them."""
        # Tables and pages are warm, as before a restart.
        self.start(rest)
        self.due_row("demo_option")
        self.assertEqual(self.daemons.pop().stop(), 0)
        native = self.s.insert_actions(1, "demo_webhook", due_in=-1)
        php = self.s.insert_actions(1, "demo_option", due_in=-1)
        begun = time.monotonic()
        daemon = self.start(rest)
        took = {"fresh native": self.wait_complete(native)}
        self.wait_complete(php)
        took["fresh php"] = time.monotonic() - begun
        for i in range(4):
            # Also across the moments at which the cursor starts again.
            time.sleep(1.7)
            took["native %d" % i] = self.due_row("demo_webhook")
            took["php %d" % i] = self.due_row("demo_option")
        print("       " + ", ".join("%s %.2f s" % t for t in took.items()),
              flush=True)
        for what, seconds in took.items():
            self.assertLess(seconds, 2 * self.slower(), what)
        return daemon

    def assert_obstacles_stand(self, daemon, n):
        self.assertEqual(self.s.count(
            "hook = 'demo_nothing' AND status = 'pending'"
            " AND claim_id = 0 AND attempts = 0"), n)
        self.assertEqual(self.s.count(
            "status = 'pending' AND claim_id = 0 AND attempts = 0"
            " AND hook <> 'demo_nothing'"), 1000)
        said = daemon.log_text().count("action.left_to_php")
        self.assertEqual(said, 1000, "each is said once")

    def test_due_row_behind_101000_rows_runs_within_2_s(self):
        self.insert_obstacles(100000)
        daemon = self.assert_quick(self.route() + self.PAUSED)
        self.assert_obstacles_stand(daemon, 100000)

    def test_likewise_on_schema_8(self):
        self.s.mysql("ALTER TABLE wp_actionscheduler_actions " + SCHEMA_8)
        self.insert_obstacles(100000)
        daemon = self.assert_quick(self.route() + self.PAUSED)
        self.assert_obstacles_stand(daemon, 100000)

    def test_long_queue_for_php_does_not_delay_native_rows(self):
        self.s.insert_actions(5000, "demo_sleep_ms", "[20,{i}]",
                              due_in=-3600, spread=1800)
        self.start(self.route())
        self.s.wait_until(lambda: self.s.count("status = 'complete'") > 10)
        took = [self.due_row("demo_webhook") for _ in range(5)]
        print("       native rows took " + ", ".join(
            "%.2f s" % t for t in took), flush=True)
        self.assertLess(max(took), 2 * self.slower())
        self.assertGreater(self.s.count("status = 'pending'"), 4000)

    def test_urgent_row_behind_a_native_backlog_surfaces(self):
        self.s.insert_actions(3000, "demo_webhook", due_in=-7200,
                              spread=3600)
        self.start(self.route("/ok?hold=200"),
                   daemon=QUICK + "host_concurrency = 4\nnative_batch = 8\n")
        self.s.wait_until(lambda: self.s.count("status = 'complete'") > 10)
        urgent = self.s.insert_actions(1, "demo_webhook", due_in=-1,
                                       priority=0)
        took = self.wait_complete(urgent)
        print("       %.2f s" % took, flush=True)
        self.assertLess(took, 8 * self.slower())
        self.assertGreater(self.s.count("status = 'pending'"), 2000)

    def test_urgent_row_behind_a_php_backlog_surfaces(self):
        self.s.insert_actions(3000, "demo_sleep_ms", "[50,{i}]",
                              due_in=-7200, spread=3600)
        self.start(daemon=QUICK + "php_batch = 10\n")
        self.s.wait_until(lambda: self.s.count("status = 'complete'") > 10)
        urgent = self.s.insert_actions(1, "demo_nothing", due_in=-1,
                                       priority=0)
        took = self.wait_complete(urgent)
        print("       %.2f s" % took, flush=True)
        self.assertLess(took, 8 * self.slower())
        self.assertGreater(self.s.count("status = 'pending'"), 2000)


class PolicyTest(Backlog):
    """Pauses, limits and filters."""

    def test_rate_holds_in_every_second_over_two_daemons(self):
        n = 60
        self.s.insert_actions(n, "demo_webhook")
        rest = self.route(policy="rate = 5/s")
        begun = time.monotonic()
        self.start(rest)
        self.start(rest)
        self.wait_all()
        took = time.monotonic() - begun
        starts = collections.Counter(r["log_date_gmt"] for r in self.s.mysql(
            "SELECT log_date_gmt FROM wp_actionscheduler_logs"
            " WHERE message = %s", (STARTED,)))
        print("       %d starts in %.1f s, a second: %s" % (
            n, took, sorted(starts.values())), flush=True)
        self.assertEqual(sum(starts.values()), n)
        # Where the machine pauses between a claim and its starts, a later
        # second has them beside its own.
        begin = min(starts)
        for at in starts:
            until = sum(k for t, k in starts.items() if t <= at)
            self.assertLessEqual(
                until, 5 * (1 + (at - begin).total_seconds()), at)
        self.assertLessEqual(max(starts.values()), 10)
        self.assertLessEqual(sum(k > 5 for k in starts.values()), 1)
        self.assertLess(took, 16 * self.slower())
        self.assertEqual(self.receiver.report()["requests"], n)

    def test_concurrency_of_one_holds_over_two_daemons(self):
        n = 20
        self.s.insert_actions(n, "demo_webhook")
        rest = self.route("/ok?hold=100", "concurrency = 1")
        begun = time.monotonic()
        self.start(rest)
        self.start(rest)
        self.wait_all()
        took = time.monotonic() - begun
        got = self.receiver.report()
        print("       %d jobs of 0.1 s in %.1f s, %d at once" % (
            n, took, got["peak"]), flush=True)
        self.assertEqual((got["requests"], got["distinct"]), (n, n))
        self.assertEqual(got["peak"], 1)
        self.assertLess(took, n * 0.3 * self.slower())

    def test_concurrency_of_one_holds_in_php(self):
        n = 20
        self.s.insert_actions(n, "demo_sleep_ms", "[100,{i}]")
        rest = "[policy demo_sleep_ms]\nconcurrency = 1\n"
        begun = time.monotonic()
        self.start(rest)
        self.start(rest)
        most = 0
        while self.s.count("status <> 'complete'") > 0:
            most = max(most, self.s.count("status = 'in-progress'"))
            self.assertLess(time.monotonic() - begun, 60)
        took = time.monotonic() - begun
        print("       %d jobs of 0.1 s in %.1f s" % (n, took), flush=True)
        self.assertEqual(most, 1)
        self.assertLess(took, n * 0.3 * self.slower())

    def test_limited_hook_does_not_hold_up_another(self):
        self.s.insert_actions(2000, "demo_option", due_in=-3600)
        other = self.s.insert_actions(100, "demo_webhook", due_in=-60)
        self.start("[route]\ndemo_option = webhook %s\ndemo_webhook ="
                   " webhook %s\n[policy demo_option]\nrate = 2/min\n" % (
                       self.receiver.url(), self.receiver.url()))
        begun = time.monotonic()
        self.wait_all("hook = 'demo_webhook'", 30)
        took = time.monotonic() - begun
        print("       %.2f s" % took, flush=True)
        self.assertLess(took, 4 * self.slower())
        self.assertLessEqual(self.s.count(
            "hook = 'demo_option' AND status <> 'pending'"), 4)
        self.assertEqual(self.status(other), "complete")

    def assert_runs(self, want, site, groups=("",)):
        """That these, (hook, group), run with these [site] lines, and no
        others."""
        s = self.s
        hooks = ("demo_webhook", "demo_option", "demo_nothing")
        for hook in hooks:
            for group in groups:
                s.insert_actions(2, hook, group=group)
        self.start("[route]\n* = webhook %s\n" % self.receiver.url(),
                   site="cron = no\n" + site)
        s.wait_until(lambda: self.ran() >= want, what="%r ran" % want)
        # Two looks for the others.
        time.sleep(2)
        self.assertEqual(self.ran(), want)

    def ran(self):
        """(hook, group) of what is complete."""
        return {(r["hook"], r["slug"] or "") for r in self.s.mysql(
            "SELECT DISTINCT a.hook, g.slug FROM wp_actionscheduler_actions"
            " a LEFT JOIN wp_actionscheduler_groups g USING (group_id)"
            " WHERE a.status = 'complete'")}

    def test_hooks_filter(self):
        self.assert_runs({("demo_webhook", ""), ("demo_nothing", "")},
                         "hooks = demo_web*, demo_nothing")

    def test_except_filter(self):
        self.assert_runs({("demo_option", ""), ("demo_nothing", "")},
                         "except = demo_web*")

    def test_groups_filter(self):
        self.assert_runs(
            {("demo_webhook", "shop-1"), ("demo_option", "shop-1")},
            "groups = shop*\nexcept = demo_nothing",
            ("", "shop-1", "other"))

    def test_except_groups_filter(self):
        self.assert_runs(
            {("demo_option", ""), ("demo_option", "shop-1")},
            "except_groups = other\nhooks = demo_option",
            ("", "shop-1", "other"))


SCHEMA_6 = "DROP COLUMN priority"
SCHEMA_8 = (
    "ADD KEY claim_id_status_priority_scheduled_date_gmt"
    " (claim_id, status, priority, scheduled_date_gmt),"
    " ADD KEY status_last_attempt_gmt (status, last_attempt_gmt),"
    " ADD KEY status_claim_id (status, claim_id)")
# Type and length of the column are not published: a stand-in.
SCHEMA_9 = SCHEMA_8 + (
    ", ADD COLUMN unique_key varchar(191) DEFAULT NULL,"
    " ADD UNIQUE KEY unique_key (unique_key)")


class SchemaTest(Backlog):
    """The same rows on each schema."""

    ONE_BY_ONE = QUICK.replace("workers = 4", "workers = 2").replace(
        "php_children = 2", "php_children = 1") + "native_batch = 5\n"

    def insert_mixed(self):
        """Rows whose order of insertion is not that of execution; returns
        [(priority, age, id)]."""
        rows = []
        for i in range(40):
            priority, age = (i * 7) % 4 * 5, 60 + (i * 11) % 5 * 60
            rows.append((priority, -age, self.s.insert_actions(
                1, "demo_webhook", due_in=-age, priority=priority)))
        return rows

    def order_on(self, ddl):
        rows = self.insert_mixed()
        if ddl:
            self.s.mysql("ALTER TABLE wp_actionscheduler_actions " + ddl)
        self.start(self.route(), daemon=self.ONE_BY_ONE)
        self.wait_all()
        self.assertEqual(self.s.statuses(), {"complete": 40})
        return rows, self.started_order()

    def test_priority_then_date_then_id_on_schema_7(self):
        rows, order = self.order_on(None)
        self.assertEqual(order, [r[2] for r in sorted(rows)])

    def test_priority_then_date_then_id_on_schema_8(self):
        rows, order = self.order_on(SCHEMA_8)
        self.assertEqual(order, [r[2] for r in sorted(rows)])

    def test_priority_then_date_then_id_on_schema_9(self):
        rows, order = self.order_on(SCHEMA_9)
        self.assertEqual(order, [r[2] for r in sorted(rows)])

    def test_date_then_id_on_schema_6(self):
        rows, order = self.order_on(SCHEMA_6)
        self.assertEqual(order, [r[2] for r in sorted(
            rows, key=lambda r: r[1:])])

    def test_unique_key_is_null_on_terminal_states_alone(self):
        s = self.s
        s.mysql("ALTER TABLE wp_actionscheduler_actions " + SCHEMA_9)
        done = s.insert_actions(1, "demo_webhook")
        php = s.insert_actions(1, "demo_option")
        thrown = s.insert_actions(1, "demo_fail", '["x"]')
        refused = s.insert_actions(1, "demo_exit")
        gone = s.insert_actions(1, "demo_notify")
        later = s.insert_actions(1, "demo_webhook", due_in=3600)
        s.mysql("UPDATE wp_actionscheduler_actions SET unique_key ="
                " CONCAT('v1:', action_id)")
        self.start("[route]\ndemo_webhook = webhook %s\ndemo_notify ="
                   " webhook %s\n[policy demo_notify]\nretries = 1\n"
                   "backoff = 1h..2h\n" % (
                       self.receiver.url(), self.receiver.url("/status/500")))
        self.wait_all("action_id <= %d" % gone)
        keys = {r["action_id"]: (r["status"], r["unique_key"])
                for r in s.actions()}
        self.assertEqual(keys.pop(done), ("complete", None))
        self.assertEqual(keys.pop(php), ("complete", None))
        self.assertEqual(keys.pop(thrown), ("failed", None))
        self.assertEqual(keys.pop(refused), ("failed", None))
        self.assertEqual(keys.pop(gone), ("failed", None))
        self.assertEqual(keys.pop(later), ("pending", "v1:%d" % later))
        self.assertEqual(list(keys.values()), [("pending", None)])

    def test_schema_upgraded_while_the_daemon_runs(self):
        self.s.mysql("ALTER TABLE wp_actionscheduler_actions " + SCHEMA_6)
        self.start(self.route())
        self.insert_plain()
        self.wait_all()
        self.s.mysql("ALTER TABLE wp_actionscheduler_actions"
                     " ADD COLUMN priority tinyint(3) unsigned NOT NULL"
                     " DEFAULT 10 AFTER scheduled_date_local, " + SCHEMA_9)
        self.insert_plain()
        self.wait_all()
        self.s.mysql("ALTER TABLE wp_actionscheduler_actions"
                     " DROP KEY claim_id_status_priority_scheduled_date_gmt,"
                     " DROP KEY claim_id_status_scheduled_date_gmt,"
                     " DROP KEY unique_key, DROP COLUMN unique_key,"
                     " DROP COLUMN priority")
        self.insert_plain()
        self.wait_all()
        self.assertEqual(self.s.statuses(), {"complete": 30})
        self.assertEqual(self.receiver.report()["requests"], 30)

    def insert_plain(self):
        self.s.mysql(
            "INSERT INTO wp_actionscheduler_actions (hook, status,"
            " scheduled_date_gmt, scheduled_date_local, args, schedule)"
            " SELECT 'demo_webhook', 'pending', d, d, '[1]', CONCAT("
            "'O:30:\"ActionScheduler_SimpleSchedule\":2:{s:22:\"', CHAR(0),"
            " '*', CHAR(0), 'scheduled_timestamp\";i:1700000000;s:41:\"',"
            " CHAR(0), 'ActionScheduler_SimpleSchedule', CHAR(0),"
            " 'timestamp\";i:1700000000;}') FROM (SELECT UTC_TIMESTAMP() -"
            " INTERVAL 60 SECOND AS d FROM seq_1_to_10) AS s")

    def test_extended_args_reach_hook_and_webhook(self):
        keeper = Keeper()
        self.addCleanup(keeper.close)
        long = ["é" * 300, {"a": [1, None, "x\"y\\z"]}]
        text = json.dumps(long, ensure_ascii=False)
        for hook in ("demo_webhook", "demo_nothing"):
            first = self.s.insert_actions(1, hook, "d41d8cd98f00b204e980")
            self.damage(first, 1, "extended_args", text)
        self.start("[route]\ndemo_webhook = webhook %s\n" % keeper.url())
        self.wait_all()
        self.assertEqual(self.s.statuses(), {"complete": 2})
        self.assertEqual([k[0]["args"] for k in keeper.kept], [long])
        with open(self.notes) as f:
            noted = f.read()
        self.assertEqual(json.loads(
            noted.split(" ", 1)[1].rsplit(" ", 1)[0]), long)


if __name__ == "__main__":
    unittest.main()
