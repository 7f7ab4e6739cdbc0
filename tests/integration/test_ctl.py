"""wp-cronctl on a real site: every command, format and exit code."""

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import time
import unittest

from stack import DB_PASSWORD, REPO, Stack, free_port

ROUTES = """
[route]
nat_* = queue:actions
hook_* = webhook http://127.0.0.1:9/closed
[policy nat_paused]
paused = yes
[policy php_outbound]
outbound = yes
"""
DONE, FAILED, USAGE, UNAVAILABLE, AGAIN, CONFIG = 0, 1, 64, 69, 75, 78


class CtlTest(unittest.TestCase):
    """One site for a class; each test leaves an empty queue behind."""

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site(children=2)
        s.install_action_scheduler()
        cls.conf = cls.write_conf("ctl.conf")
        cls.call("install")

    @classmethod
    def write_conf(cls, name, daemon="", site="", rest=ROUTES, **kwargs):
        path = cls.s.path(name)
        with open(path, "w") as f:
            f.write(cls.s.config_text(daemon, site, rest, **kwargs))
        return path

    @classmethod
    def call(cls, *args, code=DONE, config=None, timeout=120):
        """Run it; what it printed, when it ended with `code`."""
        r = cls.s.ctl(*args, config=config or cls.conf, timeout=timeout)
        if r.returncode != code:
            raise AssertionError("%s: exit %d, not %d\n%s%s" % (
                " ".join(args), r.returncode, code, r.stdout, r.stderr))
        cls.stderr = r.stderr
        return r.stdout

    @classmethod
    def json(cls, *args, **kwargs):
        return json.loads(cls.call(*args, "--format=json", **kwargs))

    def setUp(self):
        for name in ("actionscheduler_actions", "actionscheduler_claims",
                     "actionscheduler_logs", "wpcron_claims", "wpcron_tries",
                     "wpcron_nodes", "wpcron_leases"):
            self.s.mysql("DELETE FROM " + self.s.table(name))

    def row(self, action):
        return self.s.actions("action_id = %s", (action,))[0]


class UsageTest(CtlTest):
    def test_version_and_help_need_no_site(self):
        for args in (["version"], ["--version"], ["status", "--version"]):
            r = subprocess.run([self.s.binary("wp-cronctl")] + args,
                               capture_output=True, text=True)
            self.assertEqual(r.returncode, DONE, r.stderr)
            self.assertRegex(r.stdout, r"^wp-cronctl \d+\.\d+\.\d+\n$")
        r = subprocess.run([self.s.binary("wp-cronctl"), "help"],
                           capture_output=True, text=True)
        self.assertIn("action retry", r.stdout)
        self.assertEqual(r.stderr, "")

    def test_a_wrong_command_line_is_64_and_prints_no_data(self):
        for args in (["nothing"], ["action", "show", "x"],
                     ["action", "show", "-1"], ["action", "show", "0"],
                     ["status", "--format=xml"], ["run", "--limit=0"],
                     ["run", "--limit=many"], ["run", "--batch-size=0"],
                     ["action", "list", "--status=odd"],
                     ["action", "list", "--orderby=hook"],
                     ["action", "list", "--per-page=0"],
                     ["action", "retry"], ["action", "retry", "--hook=h"],
                     ["action", "retry", "1", "--hook=h", "--yes"],
                     ["action", "retry", "--hook=h", "--status=pending",
                      "--yes"], ["uninstall"],
                     ["site", "adopt", "--discard-pending"]):
            self.assertEqual(self.call(*args, code=USAGE), "", args)
            self.assertTrue(self.stderr.startswith("wp-cronctl: "), args)

    def test_a_wrong_configuration_is_78(self):
        self.call("status", config=self.s.path("missing.conf"), code=CONFIG)
        odd = self.write_conf("odd.conf", site="php_fmp = unix:/x")
        self.call("status", config=odd, code=CONFIG)
        self.assertIn("php_fpm", self.stderr)
        wrong = self.write_conf("wrong.conf", site="db_password = wrong")
        self.call("check", config=wrong, code=CONFIG)

    def test_a_database_that_is_away_is_69(self):
        away = self.write_conf(
            "away.conf", site="db_host = 127.0.0.1:%d" % free_port())
        for args in (["check"], ["status"], ["run"], ["action", "list"],
                     ["install"], ["action", "run", "1"]):
            self.assertEqual(
                self.call(*args, config=away, code=UNAVAILABLE), "", args)

    def test_a_site_is_chosen_by_name(self):
        text = self.s.config_text() + "\n[site other]\nroot = %s\n" % (
            self.s.path("other"))
        shutil.copytree(self.s.root, self.s.path("other"),
                        ignore=shutil.ignore_patterns("wp-admin"),
                        dirs_exist_ok=True)
        path = self.s.path("two.conf")
        with open(path, "w") as f:
            f.write(text)

        def run(*args):
            return subprocess.run(
                [self.s.binary("wp-cronctl"), "-c", path] + list(args),
                capture_output=True, text=True, env=self.s.sanitizer_env())
        self.assertEqual(run("status").returncode, USAGE)
        one = run("status", "--site", "other", "--format=json")
        self.assertEqual(json.loads(one.stdout)["site"], "other")
        self.assertEqual(run("status", "--site=third").returncode, CONFIG)
        both = json.loads(run("check", "--format=json").stdout)
        self.assertEqual([r["site"] for r in both], ["default", "other"])


class StatusTest(CtlTest):
    def test_status_counts_what_waits(self):
        self.s.insert_actions(3, "nat_a", due_in=-500)
        self.s.insert_actions(2, "nat_a", due_in=-5)
        self.s.insert_actions(4, "nat_a", due_in=1000)
        self.s.insert_actions(1, "nat_a", status="failed")
        got = self.json("status")
        self.assertEqual(
            {k: got[k] for k in ("pending", "failed", "complete", "due",
                                 "past_due", "standing", "foreign_claims")},
            {"pending": 9, "failed": 1, "complete": 0, "due": 5,
             "past_due": 3, "standing": "original", "foreign_claims": 0})
        self.assertAlmostEqual(got["oldest_due_s"], 500, delta=10)
        self.assertEqual(got["nodes"], [])

    def test_next_due_is_the_first_in_the_future(self):
        self.s.insert_actions(1, "nat_a", due_in=1000)
        got = self.json("status")
        self.assertEqual(got["due"], 0)
        self.assertIsNone(got["oldest_due_s"])
        self.assertEqual(got["next_due"], self.s.value(
            "SELECT CAST(scheduled_date_gmt AS CHAR) FROM "
            "wp_actionscheduler_actions"))

    def test_a_daemon_and_foreign_claims_are_shown(self):
        self.s.mysql("INSERT INTO wp_actionscheduler_claims"
                     " (date_created_gmt) VALUES (UTC_TIMESTAMP())")
        d = self.s.start_daemon(config=open(self.conf).read())
        try:
            self.s.wait_until(lambda: self.json("status")["nodes"], 20)
            got = self.json("status")
            self.assertEqual(len(got["nodes"]), 1)
            self.assertLess(got["nodes"][0]["heartbeat_age_ms"], 20000)
            self.assertEqual(got["nodes"][0]["pid"], d.pid)
            self.assertEqual(got["foreign_claims"], 1)
            self.assertIn("pid=%d" % d.pid, self.call("status"))
            # Its tables are not taken from under it.
            self.call("uninstall", "--yes", code=AGAIN)
        finally:
            d.stop()
        self.assertEqual(self.json("status")["nodes"], [])

    def test_every_format_has_the_same_rows(self):
        first = self.s.insert_actions(3, "nat_a", args='["a,\\"b\\"",{i}]')
        rows = self.json("action", "list")
        self.assertEqual([r["id"] for r in rows],
                         [first + 2, first + 1, first])
        self.assertEqual(rows[0]["args"], ['a,"b"', 3])
        parsed = list(csv.DictReader(io.StringIO(
            self.call("action", "list", "--format=csv"))))
        self.assertEqual([int(r["id"]) for r in parsed],
                         [r["id"] for r in rows])
        self.assertEqual(json.loads(parsed[0]["args"]), rows[0]["args"])
        self.assertEqual(self.call("action", "list", "--format=ids"),
                         "%d %d %d\n" % (first + 2, first + 1, first))
        self.assertEqual(self.call("action", "list", "--format=count"), "3\n")
        table = self.call("action", "list", "--fields=hook,id").splitlines()
        self.assertEqual(table[0].split(), ["hook", "id"])
        self.assertEqual(table[1].split(), ["nat_a", str(first + 2)])
        self.assertEqual(self.call("status", "--format=csv",
                                   "--fields=pending,due"),
                         "pending,due\n3,3\n")

    def test_a_hook_cannot_write_to_the_terminal(self):
        self.s.insert_actions(1, "nat_\x1b[2Jx")
        self.assertNotIn("\x1b", self.call("action", "list"))
        self.assertEqual(self.json("action", "list")[0]["hook"],
                         "nat_\x1b[2Jx")


class RunTest(CtlTest):
    def test_nothing_due_is_done(self):
        self.s.insert_actions(1, "nat_a", due_in=1000)
        got = self.json("run")
        self.assertEqual((got["done"], got["failed"], got["left"]), (0, 0, 0))

    def test_native_and_php_actions_run_to_the_end(self):
        self.s.insert_actions(300, "nat_a")
        self.s.insert_actions(200, "demo_nothing")
        got = self.json("run")
        self.assertEqual(
            {k: got[k] for k in ("done", "native", "php", "failed", "left")},
            {"done": 500, "native": 300, "php": 200, "failed": 0, "left": 0})
        self.assertEqual(self.s.statuses(), {"complete": 500})
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_actionscheduler_claims"), 0)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_nodes"), 0)

    def test_a_failure_is_exit_1(self):
        self.s.insert_actions(2, "demo_fail")
        self.s.insert_actions(2, "demo_nothing")
        got = self.json("run", code=FAILED)
        self.assertEqual((got["done"], got["failed"]), (2, 2))

    def test_limit_hooks_group_and_batch_size(self):
        self.s.insert_actions(20, "nat_a")
        self.s.insert_actions(20, "nat_b", group="g1")
        self.s.insert_actions(20, "nat_c", group="g2")
        self.assertEqual(self.json("run", "--limit=7")["done"], 7)
        self.assertEqual(self.json("run", "--hooks=nat_b,nat_x",
                                   "--limit=5")["done"], 5)
        left = self.s.count("status='pending' AND hook='nat_c'")
        got = self.json("run", "--group=g2", "--batch-size=3")
        self.assertEqual(got["done"], left)
        self.assertEqual(self.s.count("status='pending' AND hook='nat_c'"), 0)
        self.assertGreater(self.s.count("status='pending'"), 0)
        self.json("run")
        self.assertEqual(self.s.statuses(), {"complete": 60})

    def test_what_may_not_run_is_left_and_said(self):
        self.s.insert_actions(3, "nat_paused")
        got = self.json("run")
        self.assertEqual((got["done"], got["left"]), (0, 3))
        self.assertIn("3 due jobs were left", self.stderr)
        self.json("run", "--quiet")
        self.assertEqual(self.stderr, "")

    def test_two_runs_do_not_overlap(self):
        self.s.insert_actions(1, "demo_sleep_ms", args='[6000]')
        argv = self.s.as_web_user([
            self.s.binary("wp-cronctl"), "run", "--root", self.s.root,
            "-c", self.conf])
        first = subprocess.Popen(argv, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL,
                                 env=self.s.sanitizer_env())
        try:
            self.s.wait_until(
                lambda: self.s.count("status = 'in-progress'"), 20)
            # Else it might end meanwhile, or run what is the other's.
            first.send_signal(signal.SIGSTOP)
            self.call("run", code=AGAIN)
            self.assertIn("another", self.stderr)
            # Other work is another matter.
            self.s.insert_actions(1, "nat_a")
            self.assertEqual(self.json("run", "--hooks=nat_a")["done"], 1)
        finally:
            first.send_signal(signal.SIGCONT)
            self.assertEqual(first.wait(60), DONE)
        self.assertEqual(self.s.statuses(), {"complete": 2})

    def test_a_signal_ends_it_and_gives_back_what_was_not_begun(self):
        self.s.insert_actions(50, "demo_sleep_ms", args='[300]')
        argv = self.s.as_web_user([
            self.s.binary("wp-cronctl"), "run", "--root", self.s.root,
            "-c", self.conf, "--quiet",
            "--batch-size=4"])
        run = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True,
                               env=self.s.sanitizer_env())
        self.s.wait_until(lambda: self.s.count("status='complete'"), 30)
        run.send_signal(signal.SIGTERM)
        out = run.communicate(timeout=60)[0]
        self.assertEqual(run.returncode, AGAIN, out)
        got = self.s.statuses()
        self.assertEqual(set(got), {"complete", "pending"}, got)
        self.assertEqual(self.s.count("claim_id > 0 AND status='pending'"), 0)

    def test_without_php_it_ends_with_69(self):
        away = self.write_conf("nophp.conf")
        with open(away) as f:
            text = f.read()
        with open(away, "w") as f:
            f.write(text.replace(self.s.php_socket, self.s.path("no.sock")))
        self.s.insert_actions(2, "demo_nothing")
        self.s.insert_actions(2, "nat_a")
        got = self.json("run", config=away, code=UNAVAILABLE)
        self.assertEqual((got["done"], got["left"]), (2, 2))
        self.assertEqual(self.s.count("status='pending' AND claim_id=0"), 2)

    def test_a_terminal_gets_a_bar_and_others_lines(self):
        self.s.insert_actions(4, "demo_sleep_ms", args='[1000]')
        argv = self.s.as_web_user([
            self.s.binary("wp-cronctl"), "run", "--root", self.s.root,
            "-c", self.conf])
        master, slave = pty.openpty()
        run = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=slave,
                               env=self.s.sanitizer_env())
        os.close(slave)
        seen = b""
        try:
            while True:
                seen += os.read(master, 4096)
        except OSError:
            pass
        os.close(master)
        run.communicate(timeout=60)
        self.assertIn(b"\r\x1b[K[", seen)
        self.assertIn(b"/4 done", seen)
        self.s.insert_actions(6, "demo_sleep_ms", args='[2000]')
        self.call("run")
        self.assertRegex(self.stderr, r"(?m)^\d+/6 done, \d+ failed")
        self.assertNotIn("\r", self.stderr)

    def test_own_tables_are_made_on_the_way(self):
        self.call("uninstall", "--yes")
        self.s.insert_actions(2, "nat_a")
        self.call("action", "list", code=CONFIG)
        self.assertIn("wp-cronctl install", self.stderr)
        self.assertEqual(self.json("run")["done"], 2)


class ActionTest(CtlTest):
    def test_show_decodes_schedule_args_and_log(self):
        self.s.install_action_scheduler("before")
        row = next(r for r in self.s.actions() if '"two"' in r["args"])
        got = self.json("action", "show", str(row["action_id"]))
        self.assertEqual(got["args"],
                         [1, "two", 3.5, None, True, {"k": "v", "n": [1, 2]}])
        self.assertEqual(got["schedule"]["kind"], "single")
        self.assertEqual(got["log"][0]["message"], "action created")
        self.assertEqual(got["route"]["executor"], "php")
        kinds = {}
        for row in self.s.actions():
            show = self.json("action", "show", str(row["action_id"]))
            kinds.setdefault(show["schedule"]["kind"], show)
        self.assertEqual(set(kinds), {"single", "async", "interval", "cron"})
        self.assertGreater(kinds["interval"]["schedule"]["every_s"], 0)
        self.assertRegex(kinds["cron"]["schedule"]["next"], r"^20\d\d-")
        table = self.call("action", "show", str(kinds["cron"]["id"]))
        self.assertRegex(table, r"(?m)^id +%d$" % kinds["cron"]["id"])
        self.call("action", "show", "999999", code=FAILED)

    def test_list_filters_sorts_and_pages(self):
        self.s.insert_actions(5, "nat_a", due_in=-100, spread=50)
        first = self.s.insert_actions(5, "nat_b", due_in=-1000, group="g")
        self.s.insert_actions(2, "nat_b", status="failed")

        def ids(*args):
            return [int(i) for i in self.call(
                "action", "list", "--format=ids", *args).split()]
        self.assertEqual(len(ids()), 12)
        self.assertEqual(len(ids("--hook=nat_b")), 7)
        self.assertEqual(len(ids("--hook=nat_b", "--status=failed")), 2)
        self.assertEqual(ids("--group=g"),
                         list(range(first + 4, first - 1, -1)))
        self.assertEqual(ids("--group=nothing"), [])
        self.assertEqual(ids("--orderby=date", "--per-page=5"),
                         list(range(first, first + 5)))
        pages = [ids("--per-page=5", "--page=%d" % n) for n in (1, 2, 3, 4)]
        self.assertEqual([len(p) for p in pages], [5, 5, 2, 0])
        self.assertEqual(sum(pages, []), ids())

    def test_run_takes_one_action_whatever_its_date(self):
        first = self.s.insert_actions(3, "nat_a", due_in=5000)
        got = self.json("action", "run", str(first + 1))
        self.assertEqual((got["status"], got["executor"]),
                         ("complete", "queue"))
        self.assertEqual(self.s.logs(first + 1), [
            "action started via WP Cron FCGI",
            "action complete via WP Cron FCGI"])
        self.assertEqual(self.s.count("status='pending'"), 2)
        self.call("action", "run", str(first + 1), code=FAILED)
        self.assertIn("complete", self.stderr)
        self.call("action", "run", "999999", code=FAILED)

    def test_run_in_php_tells_success_from_failure(self):
        good = self.s.insert_actions(1, "demo_nothing", due_in=5000)
        bad = self.s.insert_actions(1, "demo_fail", due_in=5000)
        self.assertEqual(self.json("action", "run", str(good))["executor"],
                         "php")
        got = self.json("action", "run", str(bad), code=FAILED)
        self.assertEqual(got["status"], "failed")
        self.assertTrue(got["message"].startswith(
            "action failed via WP Cron FCGI: "), got)

    def test_run_refuses_what_is_paused_or_claimed(self):
        paused = self.s.insert_actions(1, "nat_paused")
        self.call("action", "run", str(paused), code=FAILED)
        self.assertIn("paused", self.stderr)
        taken = self.s.insert_actions(1, "nat_a")
        self.s.mysql("UPDATE wp_actionscheduler_actions SET claim_id=77"
                     " WHERE action_id=%s", (taken,))
        self.call("action", "run", str(taken), code=AGAIN)
        self.assertEqual(self.s.statuses(), {"pending": 2})

    def test_a_series_run_early_goes_on(self):
        self.s.install_action_scheduler("before")
        row = next(r for r in self.s.actions("hook='g_ok'")
                   if "IntervalSchedule" in r["schedule"])
        before = self.s.count()
        self.s.mysql("UPDATE wp_actionscheduler_actions SET hook='nat_x'"
                     " WHERE action_id=%s", (row["action_id"],))
        self.json("action", "run", str(row["action_id"]))
        self.assertEqual(self.row(row["action_id"])["status"], "complete")
        self.assertEqual(self.s.count(), before + 1)

    def test_retry_makes_a_fresh_row_once(self):
        old = self.s.insert_actions(1, "nat_a", status="failed", due_in=-900,
                                    group="g", priority=3)
        got = self.json("action", "retry", str(old))[0]
        fresh, row = self.row(got["new_id"]), self.row(old)
        self.assertEqual(row["status"], "failed")
        self.assertEqual(fresh["status"], "pending")
        for name in ("hook", "args", "group_id", "priority"):
            self.assertEqual(fresh[name], row[name], name)
        self.assertAlmostEqual(
            (fresh["scheduled_date_gmt"] - row["scheduled_date_gmt"])
            .total_seconds(), 900, delta=10)
        self.assertEqual(self.s.logs(got["new_id"]), ["action created"])
        again = self.json("action", "retry", str(old), code=FAILED)[0]
        self.assertIn("action %d" % got["new_id"], again["why"])
        self.assertEqual(self.s.count(), 2)
        self.assertEqual(self.json("action", "run",
                                   str(got["new_id"]))["status"], "complete")
        self.assertEqual(self.json("action", "show",
                                   str(got["new_id"]))["origin"], old)

    def test_retry_of_what_did_not_end_badly_is_refused(self):
        a = self.s.insert_actions(1, "nat_a")
        b = self.s.insert_actions(1, "nat_a", status="complete")
        c = self.s.insert_actions(1, "nat_a", status="canceled")
        got = self.json("action", "retry", str(a), str(b), str(c), "999999",
                        code=FAILED)
        self.assertEqual([r["changed"] for r in got],
                         [False, False, True, False])

    def test_retry_of_a_hook_wants_a_yes(self):
        self.s.insert_actions(1200, "nat_a", status="failed")
        self.s.insert_actions(5, "nat_b", status="failed")
        self.call("action", "retry", "--hook=nat_a", code=USAGE)
        self.assertEqual(self.s.count("status='pending'"), 0)
        self.assertEqual(self.call("action", "retry", "--hook=nat_a", "--yes",
                                   "--format=count"), "1200\n")
        self.assertEqual(self.s.count("status='pending'"), 1200)
        self.assertEqual(self.call("action", "retry", "--hook=nat_a", "--yes",
                                   "--format=count"), "0\n")
        self.assertIn("1200 were tried again already", self.stderr)

    def test_cancel_leaves_what_runs_alone(self):
        ids = [self.s.insert_actions(1, "nat_a", due_in=100),
               self.s.insert_actions(1, "nat_a", status="complete"),
               self.s.insert_actions(1, "nat_a")]
        self.s.mysql("UPDATE wp_actionscheduler_actions SET claim_id=77"
                     " WHERE action_id=%s", (ids[2],))
        got = self.json("action", "cancel", *map(str, ids), code=FAILED)
        self.assertEqual([r["changed"] for r in got], [True, False, False])
        self.assertEqual(self.row(ids[0])["status"], "canceled")
        self.assertEqual(self.s.logs(ids[0]), ["action canceled"])
        self.assertEqual(self.row(ids[2])["status"], "pending")
        many = self.s.insert_actions(1500, "nat_a", due_in=100)
        self.assertEqual(self.call(
            "action", "cancel", "--format=count",
            *map(str, range(many, many + 1500))), "1500\n")
        self.assertEqual(self.s.count("status='canceled'"), 1501)


class InstallTest(CtlTest):
    def test_install_is_repeatable_and_uninstall_leaves_nothing(self):
        def tables():
            return self.s.value(
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE"
                " TABLE_SCHEMA=%s AND TABLE_NAME LIKE 'wp\\_wpcron\\_%%'"
                " AND TABLE_NAME <> 'wp_wpcron_demo'", (self.s.db_name,))
        self.assertEqual(self.json("install")[0]["tables"], "were there")
        self.assertEqual(self.json("uninstall", "--yes")[0]["tables"],
                         "dropped")
        self.assertEqual(tables(), 0)
        self.assertEqual(self.json("check")[0]["own_tables"], False)
        self.assertEqual(tables(), 0)
        got = self.json("install")[0]
        self.assertEqual((got["tables"], got["standing"]),
                         ("created", "original"))
        self.assertEqual(tables(), 17)

    def test_without_the_create_right_the_ddl_is_printed(self):
        self.call("uninstall", "--yes")
        self.s.mysql("CREATE USER poor@localhost IDENTIFIED BY 'wp'")
        self.s.mysql("GRANT SELECT, INSERT, UPDATE, DELETE ON wp.*"
                     " TO poor@localhost")
        poor = self.write_conf("poor.conf", site="db_user = poor")
        ddl = self.call("install", config=poor, code=CONFIG)
        self.assertEqual(ddl, self.call("install", "--print"))
        for statement in ddl.split(";\n"):
            if statement.strip():
                self.s.mysql(statement)
        self.assertEqual(self.json("install", config=poor)[0]["tables"],
                         "were there")
        self.s.mysql("DROP USER poor@localhost")

    def test_worker_install_copies_the_script(self):
        source = self.s.worker_script()
        got = self.json("worker", "install", "--from", source)
        path = os.path.join(self.s.root, "wp-content", "wp-cron-fcgi",
                            "worker.php")
        self.assertEqual(got["worker_script"], path)
        self.assertIn("worker_script = " + path, self.stderr)
        with open(path) as a, open(source) as b:
            self.assertEqual(a.read(), b.read())
        conf = self.write_conf("worker.conf", worker=False,
                               site="worker_script = " + path)
        self.s.insert_actions(1, "demo_nothing")
        self.assertEqual(self.json("run", config=conf)["php"], 1)
        os.makedirs(self.s.path("else"), exist_ok=True)
        self.s.give_to_web_user(self.s.path("else"))
        self.json("worker", "install", "--from", source,
                  "--to", self.s.path("else"))
        self.assertEqual(sorted(os.listdir(self.s.path("else"))),
                         ["contacts.php", "mail.php", "mailer.php",
                          "messages.php", "tasks.php", "worker.php"])
        self.call("worker", "install", "--from", self.conf, code=CONFIG)
        self.call("worker", "install", "--from", source, "--to", "relative",
                  code=CONFIG)


class SiteTest(CtlTest):
    def tearDown(self):
        self.set_home(self.s.url("").rstrip("/"))
        self.s.mysql("DELETE FROM wp_wpcron_site")
        self.call("install")

    def set_home(self, url):
        self.s.mysql("UPDATE wp_options SET option_value=%s WHERE"
                     " option_name IN ('home','siteurl')", (url,))

    def test_show_tells_what_was_recorded(self):
        got = self.json("site", "show")
        self.assertEqual(got["standing"], "original")
        self.assertEqual(got["home"], got["recorded_home"])
        self.assertEqual(len(got["identity"]), 64)

    def test_a_copy_is_held_until_adopted(self):
        hook = self.s.insert_actions(1, "hook_a", due_in=5000)
        php = self.s.insert_actions(1, "php_outbound")
        self.set_home("http://copy.example")
        got = self.json("site", "show")
        self.assertEqual(got["standing"], "copy")
        self.assertNotEqual(got["home"], got["recorded_home"])
        self.call("install")
        self.assertIn("copy", self.stderr)
        self.assertEqual(self.json("run")["left"], 1)
        self.call("action", "run", str(hook), code=FAILED)
        self.assertIn("held", self.stderr)
        self.call("action", "run", str(php), code=FAILED)
        self.assertEqual(self.s.statuses(), {"pending": 2})
        self.assertEqual(self.json("site", "adopt")["standing"], "original")
        # Nobody listens there: it was tried.
        self.json("action", "run", str(hook), code=FAILED)
        self.assertEqual(self.row(hook)["status"], "failed")

    def test_a_copy_of_a_shop_mails_no_customer(self):
        hook = "woocommerce_send_queued_transactional_email"
        args = '["woocommerce_order_status_completed",[1]]'
        mail = self.s.insert_actions(1, hook, args)
        self.set_home("http://copy.example")
        self.assertEqual(self.json("run")["left"], 1)
        self.call("action", "run", str(mail), code=FAILED)
        self.assertIn("held", self.stderr)
        self.assertEqual(self.s.statuses(), {"pending": 1})
        self.assertEqual(self.json("site", "adopt", "--discard-pending",
                                   "--yes")["discarded"], 1)

    def test_what_was_held_can_be_discarded(self):
        self.s.insert_actions(1100, "hook_a", spread=100)
        self.s.insert_actions(3, "php_outbound", due_in=9000)
        self.s.insert_actions(5, "nat_a")
        self.set_home("http://copy.example")
        got = self.json("site", "adopt", "--discard-pending", "--yes")
        self.assertEqual((got["discarded"], got["standing"]),
                         (1103, "original"))
        self.assertEqual(self.s.statuses(), {"canceled": 1103, "pending": 5})

    def test_a_staging_site_is_held_until_adopted(self):
        self.s.write_config("define( 'WP_ENVIRONMENT_TYPE', 'staging' );")
        try:
            self.assertEqual(self.json("site", "show")["standing"], "staging")
            self.assertEqual(self.json("site", "adopt")["standing"],
                             "original")
        finally:
            self.s.write_config()


class DoctorTest(CtlTest):
    def findings(self, code=DONE, **kwargs):
        return self.json("doctor", code=code, **kwargs)

    def assertFinds(self, severity, check, words, code=None, **kwargs):
        if code is None:
            code = FAILED if severity == "error" else DONE
        got = self.findings(code=code, **kwargs)
        hit = [f for f in got if f["severity"] == severity
               and f["check"] == check and words in f["what"]]
        self.assertTrue(hit, "no %s of %s with %r in\n%s" % (
            severity, check, words, json.dumps(got, indent=1)))
        return hit[0]

    def test_a_good_site_has_no_error(self):
        got = self.findings()
        self.assertNotIn("error", {f["severity"] for f in got})
        checks = {f["check"] for f in got if f["severity"] == "ok"}
        self.assertLessEqual({"config", "salts", "database", "server",
                              "actions", "writable", "plan", "own tables",
                              "clock", "php", "time limit", "identity",
                              "runners"}, checks)
        table = self.call("doctor")
        self.assertIn("ok     salts", table)
        self.assertIn("-> ", table)

    def test_a_missing_index_shows_in_the_plan(self):
        self.s.mysql("ALTER TABLE wp_actionscheduler_actions DROP KEY"
                     " claim_id_status_scheduled_date_gmt")
        try:
            f = self.assertFinds("warn", "plan", "its own index is missing")
            self.assertIn("ADD KEY", f["remedy"])
        finally:
            self.s.mysql(
                "ALTER TABLE wp_actionscheduler_actions ADD KEY"
                " claim_id_status_scheduled_date_gmt"
                " (claim_id, status, scheduled_date_gmt)")

    def test_tables_that_are_missing_or_not_innodb(self):
        self.s.mysql("RENAME TABLE wp_actionscheduler_claims TO wp_away")
        try:
            self.assertFinds("warn", "actions", "there are no tables")
        finally:
            self.s.mysql("RENAME TABLE wp_away TO wp_actionscheduler_claims")
        self.s.mysql("ALTER TABLE wp_actionscheduler_groups ENGINE=MyISAM")
        try:
            self.assertFinds("error", "tables", "InnoDB")
        finally:
            self.s.mysql("ALTER TABLE wp_actionscheduler_groups"
                         " ENGINE=InnoDB")
        self.call("uninstall", "--yes")
        try:
            f = self.assertFinds("error", "own tables", "0 of")
            self.assertEqual(f["remedy"], "wp-cronctl install")
        finally:
            self.call("install")

    def test_a_database_away_or_read_only(self):
        away = self.write_conf(
            "away.conf", site="db_host = 127.0.0.1:%d" % free_port())
        self.assertFinds("error", "database", "connect", config=away)
        self.s.mysql("CREATE USER reader@localhost IDENTIFIED BY %s",
                     (DB_PASSWORD,))
        self.s.mysql("GRANT SELECT ON wp.* TO reader@localhost")
        reader = self.write_conf("reader.conf", site="db_user = reader")
        self.assertFinds("error", "writable", "denied", config=reader)
        self.s.mysql("DROP USER reader@localhost")

    def test_php_that_is_away_or_sees_another_script(self):
        gone = self.write_conf("gone.conf")
        with open(gone) as f:
            text = f.read()
        with open(gone, "w") as f:
            f.write(text.replace(self.s.php_socket, self.s.path("no.sock")))
        self.assertFinds("error", "php", "no.sock", config=gone)
        with open(gone, "w") as f:
            f.write(text.replace(self.s.worker_script(), "/nowhere.php"))
        f = self.assertFinds("error", "php", "/nowhere.php", config=gone)
        self.assertIn("wp-cronctl worker install", f["remedy"])
        with open(gone, "w") as f:
            f.write("\n".join(line for line in text.splitlines()
                              if not line.startswith("php_fpm")))
        self.assertFinds("warn", "php", "no php_fpm", config=gone)

    def test_salts_that_php_sees_otherwise(self):
        self.s.write_config()
        path = os.path.join(self.s.root, "wp-config.php")
        with open(path) as f:
            text = f.read()
        key = text.index("'AUTH_KEY'")
        try:
            with open(path, "w") as f:
                f.write(text[:key] + "'AUTH_KEY', rand() );\ndefine( 'X'" +
                        text[key + len("'AUTH_KEY'"):])
            self.assertFinds("error", "salts", "computed")
            # Here a literal, in PHP another: the secret is refused.
            with open(path, "w") as f:
                f.write(text.replace(
                    "<?php", "<?php\nif ( PHP_SAPI === 'fpm-fcgi' ) {"
                    " define( 'AUTH_KEY', rand() ); }", 1))
            got = self.findings(code=FAILED)
            self.assertTrue([f for f in got if f["severity"] == "error"
                             and f["check"] in ("php", "salts")], got)
        finally:
            with open(path, "w") as f:
                f.write(text)

    def test_identity(self):
        self.s.mysql("UPDATE wp_wpcron_site SET identity=REPEAT('0', 64)")
        try:
            self.assertFinds("error", "identity", "not those recorded")
        finally:
            self.s.mysql("DELETE FROM wp_wpcron_site")
        self.assertFinds("warn", "identity", "no identity")
        self.call("install")

    def test_other_runners(self):
        self.s.mysql("INSERT INTO wp_actionscheduler_claims"
                     " (date_created_gmt) VALUES (UTC_TIMESTAMP())")
        self.assertFinds("warn", "runners", "another runner, the newest")
        self.s.mysql("UPDATE wp_actionscheduler_claims SET date_created_gmt ="
                     " UTC_TIMESTAMP() - INTERVAL 1 HOUR")
        self.assertFinds("info", "runners", "none younger")
        self.s.mysql("INSERT INTO wp_options (option_name, option_value)"
                     " VALUES ('_transient_doing_cron', %s)",
                     ("%.22f" % time.time(),))
        self.assertFinds("warn", "doing_cron", "core's own cron")
        self.s.mysql("DELETE FROM wp_options WHERE option_name ="
                     " '_transient_doing_cron'")
        self.s.mysql("CREATE TABLE wp_cavalcade_jobs (id INT)")
        self.assertFinds("error", "cron storage", "wp_cavalcade_jobs")
        self.s.mysql("DROP TABLE wp_cavalcade_jobs")

    def test_constants_object_cache_and_zone(self):
        self.s.write_config("define( 'ALTERNATE_WP_CRON', true );")
        self.assertFinds("warn", "wp-cron", "ALTERNATE_WP_CRON")
        self.s.write_config("define( 'DISABLE_WP_CRON', true );")
        self.assertFinds("ok", "wp-cron", "DISABLE_WP_CRON")
        self.s.write_config()
        cache = os.path.join(self.s.root, "wp-content", "object-cache.php")
        with open(cache, "w") as f:
            f.write("<?php require_once ABSPATH . WPINC . '/cache.php';\n")
        self.assertFinds("info", "object cache", "object-cache.php")
        os.unlink(cache)
        self.s.mysql("UPDATE wp_options SET option_value='Mars/Olympus'"
                     " WHERE option_name='timezone_string'")
        try:
            # WordPress itself does not boot with it.
            self.assertFinds("warn", "timezone", "Mars/Olympus", code=FAILED)
        finally:
            self.s.mysql("UPDATE wp_options SET option_value=''"
                         " WHERE option_name='timezone_string'")

    def test_what_php_sees_otherwise(self):
        other = self.write_conf("other.conf", site="home = http://x.example")
        # Another home is another site: a copy, too.
        f = self.assertFinds("warn", "agreement", "home is", code=FAILED,
                             config=other)
        self.assertIn(self.s.url("").rstrip("/"), f["what"])
        self.s.write_config("define( 'WP_ENVIRONMENT_TYPE',"
                            " strtolower( 'STAGING' ) );")
        try:
            self.assertFinds("warn", "agreement", "environment is")
        finally:
            self.s.write_config()

    def test_the_pool_and_php_fpm_are_judged(self):
        self.assertFinds("warn", "php pool", "fastcgi_finish_request")
        sock = self.s.path("strict.sock")
        before = self.s.php_fpm
        pool = self.s.start_php_fpm(
            children=1, name="strict", sock=sock,
            extra="php_admin_value[disable_functions] ="
                  " fastcgi_finish_request")
        self.s.php_fpm = before
        conf = self.write_conf("strict.conf")
        with open(conf) as f:
            text = f.read()
        with open(conf, "w") as f:
            f.write(text.replace(self.s.php_socket, sock))
        self.assertNotIn("php pool",
                         {f["check"] for f in self.findings(config=conf)})
        pool.stop()
        self.s.servers.remove(pool)

    def test_migration(self):
        self.s.mysql("INSERT INTO wp_options (option_name, option_value)"
                     " VALUES ('action_scheduler_migration_status',"
                     " 'running')")
        self.assertFinds("warn", "migration", "running")
        self.s.mysql("DELETE FROM wp_options WHERE option_name ="
                     " 'action_scheduler_migration_status'")

    def test_a_clock_that_is_wrong(self):
        argv = self.s.as_web_user([
            self.s.binary("wp-cronctl"), "doctor", "--root", self.s.root,
            "-c", self.conf, "--format=json"])
        faketime = shutil.which("faketime")
        if not faketime:
            # The server's own session clock cannot be turned from outside:
            # the database is told that it is another time.
            self.s.mysql("SET GLOBAL init_connect ="
                         " 'SET @@timestamp = UNIX_TIMESTAMP() + 30'")
            try:
                self.s.mysql("REVOKE ALL ON *.* FROM wp@localhost")
                self.s.mysql("GRANT ALL ON wp.* TO wp@localhost")
                self.assertFinds("error", "clock", "ahead of")
            finally:
                self.s.mysql("SET GLOBAL init_connect = ''")
                self.s.mysql("GRANT ALL ON *.* TO wp@localhost")
        else:
            r = subprocess.run([faketime, "-f", "-30s"] + argv,
                               capture_output=True, text=True)
            self.assertEqual(r.returncode, FAILED)
            self.assertIn("clock", r.stdout)

    def test_nodes(self):
        self.assertFinds("info", "nodes", "no daemon")
        self.s.mysql("INSERT INTO wp_wpcron_nodes (host, pid, version,"
                     " started_at, heartbeat_at) VALUES ('h', 1, 'v',"
                     " UTC_TIMESTAMP(), UTC_TIMESTAMP() - INTERVAL 1 HOUR)")
        self.assertFinds("warn", "nodes", "without a word")



class PluginTest(CtlTest):
    """With a plugin that runs its rows itself."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.add_plugin(os.path.join(
            REPO, "tests", "fixtures", "plugins", "wpcron-contract"))

    def checks(self, code):
        return {(f["severity"], f["check"])
                for f in self.json("doctor", code=code)}

    def test_doctor_knows_the_plugin_and_its_store(self):
        self.assertLessEqual({("ok", "php mode"), ("ok", "store")},
                             self.checks(DONE))
        self.s.wp_eval("update_option('wpcron_contract_other_store', 1);")
        try:
            self.assertIn(("error", "store"), self.checks(FAILED))
        finally:
            self.s.wp_eval("delete_option('wpcron_contract_other_store');")

    def test_a_failure_that_php_wrote_is_exit_1(self):
        self.s.insert_actions(3, "demo_nothing")
        self.assertEqual(self.json("run")["done"], 3)
        self.s.insert_actions(2, "demo_fail")
        got = self.json("run", code=FAILED)
        self.assertEqual((got["done"], got["failed"]), (0, 2))
        one = self.s.insert_actions(1, "demo_fail", due_in=5000)
        self.assertEqual(self.json("action", "run", str(one), code=FAILED)
                         ["status"], "failed")


if __name__ == "__main__":
    unittest.main()
