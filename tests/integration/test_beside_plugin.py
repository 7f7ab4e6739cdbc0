"""With Action Scheduler itself active: its runner and the program side by
side, the program through the plugin, and what administrators do meanwhile."""

import collections
import json
import re
import statistics
import threading
import time
import unittest

import beside
from beside import CONTEXT, OURS, PHP_CONTEXT, BesideCase
from stack import StackError, wait_until

load_tests = beside.load_tests
tearDownModule = beside.close_site
OFF = "queue.off site=default queue=actions"


class SideBySideTest(BesideCase):
    """PHP's runner and the program on one queue at once."""

    ROWS = 5000
    RUNNERS = 2

    def php_runner(self, errors):
        while self.site.left():
            try:
                self.s.wp_eval(
                    "ActionScheduler_QueueRunner::instance()->run( '%s' );"
                    % PHP_CONTEXT)
            except StackError as e:
                errors.append(str(e))

    def test_every_action_is_executed_once(self):
        self.site.filters(queue_runner_concurrent_batches=1000)
        self.addCleanup(self.site.filters)
        half = self.ROWS // 2
        first = self.s.insert_actions(half, "beside_native", spread=10)
        self.s.insert_actions(half, "beside_ok", spread=10)
        self.assertEqual(self.s.count(), self.ROWS)
        self.site.start(
            rest=self.site.routes(beside_native="/ok"),
            daemon="native_batch = 10\nphp_batch = 10\n")
        errors = []
        runners = [threading.Thread(target=self.php_runner, args=(errors,))
                   for _ in range(self.RUNNERS)]
        for thread in runners:
            thread.start()
        self.site.drain(240)
        for thread in runners:
            thread.join()
        self.site.stop_daemons()
        self.judge(first, half, errors)

    def judge(self, first, half, errors):
        ids = {r["action_id"]: r for r in self.site.rows()}
        runs = collections.Counter(self.site.posted())
        offset = {"beside_native": first - 1}
        offset["beside_ok"] = min(i for i, r in ids.items()
                                  if r["hook"] == "beside_ok") - 1
        for _, hook, args in self.site.notes("ran"):
            runs[offset[hook] + args[0]] += 1
        who = collections.Counter()
        both = 0
        logs = self.site.log_rows()
        for i, row in ids.items():
            started = [log["message"] for log in logs[i]
                       if log["message"].startswith("action started")]
            both += len(set(started)) > 1
            ours = any(m.endswith(CONTEXT) for m in started)
            who["PHP's runner" if not ours else
                "the program, natively" if row["hook"] == "beside_native"
                else "the program, through PHP"] += 1
        twice = [i for i in ids if runs[i] > 1]
        never = [i for i in ids if runs[i] == 0]
        print("note: side by side, %d actions: %s; executed twice %d, never "
              "%d; %s; %d requests of PHP's runner ended early: %s" % (
                  len(ids), ", ".join("%s %d" % x for x in sorted(
                      who.items())), len(twice), len(never),
                  self.s.statuses(OURS), len(errors),
                  sorted({re.sub(r"\s+", " ", e)[-160:] for e in errors})),
              flush=True)
        self.assertEqual(never, [])
        # Only rows that both sides started may have run twice.
        self.assertLessEqual(len(twice), both)
        self.assertLessEqual(len(twice), self.ROWS // 1000)
        self.assertEqual(self.s.statuses(OURS), {"complete": len(ids)})
        self.assertEqual(self.s.count("claim_id <> 0 AND status IN"
                                      " ('pending', 'in-progress')"), 0)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_actionscheduler_claims"), 0)
        for i in ids:
            if i not in twice:
                self.assertEqual(len(logs[i]), 2, logs[i])
                self.assertEqual(ids[i]["attempts"], 1)
        for name, n in who.items():
            self.assertGreater(n, half // 50, name)


class PluginModeTest(BesideCase):
    """The plugin's process_action() does the row; the program reads back."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.site.filters)

    def insert(self, hook, *args, **kwargs):
        return self.s.insert_actions(1, hook, json.dumps(args), **kwargs)

    def test_hooks_of_the_plugin_fire(self):
        self.site.set_option("wpcron_beside_listen", 1)
        self.addCleanup(self.site.set_option, "wpcron_beside_listen", None)
        good = self.insert("beside_ok", "good")
        bad = self.insert("beside_fail", "bad")
        d = self.site.start()
        self.site.drain()
        self.assertIn(["before_execute", good, CONTEXT], self.site.notes())
        self.assertIn(["begin_execute", good, CONTEXT], self.site.notes())
        self.assertIn(["after_execute", good, CONTEXT], self.site.notes())
        self.assertIn(["completed_action", good], self.site.notes())
        self.assertIn(["failed_execution", bad, "no: bad", CONTEXT],
                      self.site.notes())
        line = wait_until(lambda: next(
            (x for x in d.log_text().splitlines()
             if "job=%d " % bad in x and "outcome=" in x), None), 10)
        self.assertIn("job.not_done", line)
        self.assertIn("no: bad", line)

    def test_who_waits_hears_of_a_failure(self):
        d = self.site.start(site="cron_token = secret\n")
        self.s.start_nginx(daemon=d)
        self.addCleanup(self.s.nginx.stop)

        def ask():
            status, _, body = self.s.get("/wp-cron.php?wait=20", {
                "Authorization": "Bearer secret"})
            return status, json.loads(body)
        self.insert("beside_ok", "good")
        self.assertEqual(ask()[0], 200)
        self.insert("beside_fail", "bad")
        self.assertEqual(ask()[0], 207)

    def test_policy_grants_a_fresh_try(self):
        bad = self.insert("beside_fail", "bad")
        self.site.start(rest="[policy beside_fail]\nretries = 2\n"
                        "backoff = 1s..1s\n")
        self.s.wait_until(lambda: self.s.count(
            OURS + " AND status = 'failed'") == 3, 30)
        time.sleep(1.5)
        self.assertEqual(self.s.statuses(OURS), {"failed": 3})
        self.assertEqual(
            self.s.mysql("SELECT origin_id, try FROM wp_wpcron_tries"
                         " ORDER BY try"),
            [{"origin_id": bad, "try": 2}, {"origin_id": bad, "try": 3}])

    def test_fatal_error_is_written_as_the_plugin_does(self):
        self.site.set_option("wpcron_beside_listen", 1)
        self.addCleanup(self.site.set_option, "wpcron_beside_listen", None)
        for hook in ("beside_fatal", "beside_memory"):
            with self.subTest(hook):
                bad = self.insert(hook, "bad", due_in=-100)
                after = self.insert("beside_ok", "after", due_in=-50)
                self.site.start(daemon="php_children = 1\n")
                self.site.drain()
                self.site.stop_daemons()
                self.assertEqual(self.status(bad), "failed")
                self.assertEqual(self.status(after), "complete")
                messages = self.s.logs(bad)
                self.assertRegex(
                    messages[-1], r"(?s)^unexpected shutdown: PHP Fatal error "
                    r".* in .*wpcron-beside\.php.* on line \d+$")
                self.assertEqual(len(messages), 2, messages)
                self.assertEqual(
                    [n[:2] for n in self.site.notes("unexpected_shutdown")
                     if n[1] == bad], [["unexpected_shutdown", bad]])

    def test_fatal_error_ends_no_series(self):
        """PHP's runner would end it; the program's default goes on."""
        self.s.wp_eval("as_schedule_recurring_action( time() - 9, 3600,"
                       " 'beside_fatal', array( 'series' ) );")
        self.site.start()
        self.site.drain()
        self.site.stop_daemons()
        self.assertEqual(self.s.statuses(OURS), {"failed": 1, "pending": 1})

    def test_export_is_taken(self):
        self.site.filters(
            retention_period=60, default_cleaner_statuses=["canceled"],
            timeout_period=5, failure_period=5,
            recurring_action_failure_threshold=2)
        old = "UTC_TIMESTAMP() - INTERVAL 1 HOUR"
        canceled = self.insert("beside_ok", 1, status="canceled", logs=True)
        complete = self.insert("beside_ok", 2, status="complete")
        stuck = self.insert("beside_ok", 3, status="in-progress")
        claimed = self.insert("beside_ok", 4, due_in=3600)
        self.s.mysql("INSERT INTO wp_actionscheduler_claims"
                     " (date_created_gmt) VALUES (%s)" % old)
        self.s.mysql("UPDATE wp_actionscheduler_actions SET"
                     " last_attempt_gmt = %s" % old)
        self.s.mysql("UPDATE wp_actionscheduler_actions SET claim_id = 1"
                     " WHERE action_id IN (%s, %s)", (stuck, claimed))
        self.insert("beside_ok", "tells what only PHP knows")
        self.site.start(rest=self.site.routes(beside_native="/status/400"))
        self.s.wait_until(lambda: not self.s.count(
            "action_id = %s", (canceled,)), 90, what="retention")
        self.s.wp_eval("as_schedule_recurring_action( time() - 9, 1,"
                       " 'beside_native', array( 'series' ) );")
        self.s.wait_until(lambda: self.s.count(
            "action_id = %s AND status = 'failed'", (stuck,)), 90)
        self.s.wait_until(lambda: self.s.count(
            "action_id = %s AND claim_id = 0", (claimed,)), 90)
        self.assertEqual(self.s.logs(canceled), [])
        self.assertEqual(self.status(complete), "complete")
        self.assertEqual(self.s.logs(claimed), ["action reset"])
        words = ("action marked as failed after 5 seconds. Unknown error"
                 " occurred. Check server, PHP and database error logs to"
                 " diagnose cause.")
        if self.site.version[0] >= "4":
            words = ("action was in-progress for at least 5 seconds without"
                     " completing and has been marked as failed. Check"
                     " server, PHP and database error logs to diagnose"
                     " cause.")
        self.assertEqual(self.s.logs(stuck), [words])
        self.s.wait_until(lambda: self.s.count(
            "hook = 'beside_native' AND status = 'failed'") == 2, 30)
        self.site.stop_daemons()
        series = self.s.actions("hook = 'beside_native'")
        self.assertEqual([r["status"] for r in series], ["failed"] * 2)
        self.assertTrue(self.s.logs(series[-1]["action_id"])[-1].startswith(
            "This action appears to be consistently failing."))

    def test_replaced_store_switches_the_queue_off(self):
        self.site.filters(store_class="WPCron_Beside_Store")
        # In the plugin's posts, where only its own runner looks.
        self.s.wp_eval("as_schedule_single_action( time() - 9, 'beside_ok',"
                       " array( 'post' ) );")
        self.assertEqual(self.s.count(OURS), 0)
        d = self.site.start(rest=self.site.routes(beside_native="/ok"))
        self.s.wp_eval("wp_unschedule_hook( 'action_scheduler_run_queue' );"
                       "wp_schedule_event( time() - 5, 'every_minute',"
                       " 'action_scheduler_run_queue', array( 'WP Cron' ) );")
        self.s.wait_until(lambda: OFF in d.log_text(), 30)
        self.assertIn("WPCron_Beside_Store", d.log_text())
        for hook in ("beside_native", "beside_ok"):
            self.s.insert_actions(5, hook)
        time.sleep(2.5)
        self.assertEqual(self.s.count(
            OURS + " AND status = 'pending' AND claim_id = 0 AND"
            " last_attempt_gmt < '1000-01-01'"), 10)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_actionscheduler_claims"), 0)
        self.assertEqual(self.site.posted(), {})
        self.assertEqual(d.log_text().count(OFF), 1)
        # Nobody but the plugin's runner knows that store: its event fires.
        self.s.wait_until(lambda: ["ran", "beside_ok", ["post"]]
                          in self.site.notes(), 30)

    def test_work_goes_on_while_the_plugin_migrates(self):
        self.s.wp_eval("delete_option( '%s' );" % beside.FLAG)
        self.addCleanup(self.site.settle_migration)
        self.s.insert_actions(20, "beside_native")
        self.s.insert_actions(20, "beside_ok")
        d = self.site.start(rest=self.site.routes(beside_native="/ok"))
        self.site.drain()
        self.s.insert_actions(20, "beside_ok")
        self.site.drain()
        self.assertEqual(self.s.statuses(OURS), {"complete": 60})
        self.assertEqual(len(self.site.notes("ran")), 40)
        self.assertEqual(len(self.site.posted()), 20)
        self.assertNotIn(OFF, d.log_text())


class AdminTest(BesideCase):
    """What an administrator does to rows that the program holds."""

    ADMIN = """
        $store = ActionScheduler::store();
        $store->cancel_action( %d );
        as_unschedule_action( 'beside_%s', array( 3 ) );
        $store->cancel_action( %d );
        $store->delete_action( %d );
        """

    def meddle(self, hook, first):
        """Rows 1 (running), 2 and 3 are canceled, 4 is deleted, 5 stays."""
        self.s.wp_eval(self.ADMIN % (first + 1, hook, first, first + 3))
        self.site.drain()
        self.s.wait_until(lambda: self.status(first) == "complete", 30)
        self.site.stop_daemons()
        self.assertEqual(
            [self.status(first + i) for i in (1, 2, 4)],
            ["canceled", "canceled", "complete"])
        self.assertEqual(self.s.logs(first + 1), ["action canceled"])
        self.assertEqual(self.s.logs(first + 2), ["action canceled"])
        self.assertEqual(self.s.logs(first + 3), [])
        self.assertEqual(self.s.logs(first), [
            "action started via " + CONTEXT, "action canceled",
            "action complete via " + CONTEXT])
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_actionscheduler_claims"), 0)
        self.assertEqual(self.site.unfetchable(), [])

    def wait_claimed(self):
        self.s.wait_until(lambda: self.s.count(
            OURS + " AND status = 'in-progress'") == 1 and self.s.count(
            OURS + " AND claim_id <> 0") == 5, 20)

    def test_claimed_rows_in_php(self):
        first = self.s.insert_actions(1, "beside_sleep_ms", "[8000]", -100)
        self.s.insert_actions(4, "beside_ok", first=2)
        self.site.start(daemon="php_children = 1\nphp_batch = 5\n")
        self.wait_claimed()
        self.meddle("ok", first)
        self.assertEqual([n[2] for n in self.site.notes("ran")
                          if n[1] == "beside_ok"], [[5]])

    def test_claimed_native_rows(self):
        first = self.s.insert_actions(5, "beside_native")
        self.site.start(
            rest=self.site.routes(beside_native="/ok?hold=8000"),
            daemon="host_concurrency = 1\nnative_batch = 5\n")
        self.wait_claimed()
        self.meddle("native", first)
        self.assertEqual(sorted(self.site.posted()), [first, first + 4])

    def test_deleted_while_it_runs(self):
        for how, hook, args, rest in (
                ("php", "beside_sleep_ms", "[6000]", ""),
                ("native", "beside_native", "[1]", self.site.routes(
                    beside_native="/ok?hold=6000"))):
            with self.subTest(how):
                self.site.empty()
                gone = self.s.insert_actions(1, hook, args, -100)
                after = self.s.insert_actions(3, "beside_ok")
                self.site.start(rest=rest, daemon="php_children = 1\n")
                self.s.wait_until(lambda: self.s.count(
                    "action_id = %s AND status = 'in-progress'", (gone,)), 20)
                self.s.wp_eval("ActionScheduler::store()->delete_action( %d );"
                               % gone)
                self.s.wait_until(lambda: self.s.statuses(OURS) == {
                    "complete": 3}, 40)
                self.site.stop_daemons()
                self.assertEqual(self.s.count("action_id = %s", (gone,)), 0)
                if how == "native":
                    self.assertEqual(self.s.logs(gone), [])
                self.assertEqual(self.status(after), "complete")

    def test_run_by_hand_beside_the_program(self):
        """The admin screen's Run: whoever is second finds it not pending."""
        first = self.s.insert_actions(1, "beside_sleep_ms", "[8000]", -100)
        second = self.s.insert_actions(1, "beside_ok")
        self.site.start(daemon="php_children = 1\nphp_batch = 2\n")
        self.s.wait_until(lambda: self.status(first) == "in-progress", 20)
        self.s.wp_eval("ActionScheduler::runner()->process_action( %d,"
                       " 'Admin List Table' );" % second)
        self.site.drain()
        self.site.stop_daemons()
        self.assertEqual(self.s.logs(second), [
            "action started via Admin List Table",
            "action complete via Admin List Table"])
        self.assertEqual([n for n in self.site.notes("ran")
                          if n[1] == "beside_ok"], [["ran", "beside_ok", [1]]])


class MeasureTest(BesideCase):
    """For orientation: actions a second with callbacks that do nothing, each
    runner alone, in one run. Nothing here passes or fails by its speed. Two of
    PHP's runners tell what the disk allows: an action is four commits in the
    plugin, and a fifth makes it ours."""

    ROWS = 1000
    ROUNDS = 3

    def php(self, runners=1):
        self.s.insert_actions(self.ROWS, "beside_empty")
        spans = []

        def run():
            # Beside each other they meet deadlocks, which end a run.
            spans.append([float(x) for x in self.s.wp_eval("""
                echo microtime( true ), ' ';
                do {
                    try {
                        $n = ActionScheduler_QueueRunner::instance()->run(
                            '%s' );
                    } catch ( RuntimeException $e ) {
                        $n = 1;
                    }
                } while ( $n );
                echo microtime( true );""" % PHP_CONTEXT).split()])
        threads = [threading.Thread(target=run) for _ in range(runners)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = max(e for _, e in spans) - min(b for b, _ in spans)
        return (self.ROWS - self.site.left()) / took

    def program(self, hook, rest, children=2):
        self.s.insert_actions(self.ROWS, hook)
        self.s.start_daemon(rest=rest, daemon="log_level = warn\n"
                            "php_children = %d\n" % children)
        done = OURS + " AND status = 'complete'"
        begun = wait_until(lambda: self.s.count(done), 30, 0.002)
        start = time.monotonic()
        self.s.wait_until(lambda: self.s.count(done) == self.ROWS, 120, 0.005)
        took = time.monotonic() - start
        self.site.stop_daemons()
        return (self.ROWS - begun) / took

    def test_actions_a_second(self):
        routes = self.site.routes(beside_native_empty="/ok")
        ways = {
            "PHP's runner": self.php,
            "two of PHP's runners": lambda: self.php(2),
            "natively": lambda: self.program("beside_native_empty", routes),
            "through PHP, 2 children": lambda: self.program("beside_empty", ""),
            "through PHP, 1 child": lambda: self.program(
                "beside_empty", "", 1),
        }
        self.site.filters(queue_runner_concurrent_batches=1000)
        self.addCleanup(self.site.filters)
        rates = {name: [] for name in ways}
        for _ in range(self.ROUNDS):
            for name, way in ways.items():
                self.site.empty()
                rates[name].append(way())
        medians = {n: statistics.median(r) for n, r in rates.items()}
        base = medians["PHP's runner"]
        for name, rate in medians.items():
            print("note: %-24s %6.0f actions/s, %5.2f x PHP's runner" % (
                name, rate, rate / base), flush=True)


if __name__ == "__main__":
    unittest.main()
