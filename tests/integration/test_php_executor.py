"""The php executor against a real php-fpm, MariaDB and WordPress: what becomes
of a batch when a callback misbehaves, PHP dies, or nobody is there."""

import hashlib
import hmac
import json
import os
import signal
import socket
import struct
import subprocess
import time
import unittest

from stack import REPO, ROOT, SALTS, Stack, connectable, wait_until

CLAIM = 77


class Outcome:
    def __init__(self, line):
        _, job, self.kind, strike, verbatim, *rest = line.split(" ", 5)
        self.job, self.strike = int(job), strike == "1"
        self.verbatim = verbatim == "1"
        self.message = rest[0] if rest else ""

    def __repr__(self):
        return "%d %s strike=%d %r" % (
            self.job, self.kind, self.strike, self.message)


class Reply:
    """What the driver printed."""

    def __init__(self, text, status=0):
        self.text, self.status = text, status
        lines = text.splitlines()
        self.outcomes = [Outcome(x) for x in lines if x.startswith("outcome ")]
        self.requests = sum(x.startswith("request ") for x in lines)
        self.exports = [json.loads(x[7:]) for x in lines
                        if x.startswith("export ")]
        self.takes = [json.loads(x[5:]) for x in lines
                      if x.startswith("took ")]
        state = next((x for x in lines if x.startswith("state ")), "state ")
        head, _, self.error = state.partition(" error=")
        self.state = dict(x.split("=", 1) for x in head.split()[1:])

    def kinds(self):
        return [o.kind for o in sorted(self.outcomes, key=lambda o: o.job)]


def nobody(argv):
    """The driver as a user who may not end php-fpm's children."""
    return [x.replace("=www-data", "=nobody", 1)
            if x.startswith("--reuid") else
            x.replace("=www-data", "=nogroup", 1)
            if x.startswith("--regid") else x for x in argv]


def tcp_pool(case):
    """The address of the site's pool on a port, until the test's end."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % s.getsockname()[1]
    conf = case.s.path("tcp.conf")
    with open(case.s.path("php-fpm.conf")) as f:
        text = f.read()
    with open(conf, "w") as f:
        f.write(text.replace(case.s.php_socket, address))
    server = case.s.spawn("php-tcp", [
        case.s.php_fpm.argv[0], "--nodaemonize", "--force-stderr",
        "--fpm-config", conf])
    case.addCleanup(server.stop)
    server.wait_ready(lambda: connectable(
        ("127.0.0.1", int(address.split(":")[1]))))
    return address


def php_site(case, plugins=("wpcron-misbehave",), pool="", **mariadb):
    """A stack with an installed site and a pool, closed after the class."""
    s = Stack()
    case.addClassCleanup(s.close)
    s.start_mariadb(**mariadb)
    s.notes = s.path("notes.txt")
    with open(s.notes, "w"):
        pass
    os.chmod(s.notes, 0o666)
    s.install_wordpress(
        plugins=plugins,
        config_extra="define( 'WPCRON_MISBEHAVE_LOG', '%s' );" % s.notes)
    s.install_action_scheduler()
    s.start_php_fpm(children=3, extra=pool)
    return s


class PhpCase(unittest.TestCase):
    s = None

    def setUp(self):
        self.s.mysql("DELETE FROM wp_actionscheduler_actions")
        self.s.mysql("DELETE FROM wp_actionscheduler_logs")
        open(self.s.notes, "w").close()
        self.flag("")

    def flag(self, text):
        """What the plugin is to do; see wpcron-misbehave.php."""
        with open(self.s.notes + ".flag", "w") as f:
            f.write(text)

    def notes(self):
        with open(self.s.notes) as f:
            return f.read().splitlines()

    def job(self, hook, *args):
        """A claimed row; returns its id."""
        first = self.s.insert_actions(1, "misbehave_" + hook,
                                      json.dumps(list(args)), due_in=-10)
        self.s.mysql("UPDATE wp_actionscheduler_actions SET claim_id=%s"
                     " WHERE action_id=%s", (CLAIM, first))
        return first

    def line(self, job):
        row = self.s.actions("action_id=%s", (job,))[0]
        where = "WHERE action_id=%d AND claim_id=%d AND status='pending'" % (
            job, CLAIM)
        own = ("UPDATE wp_actionscheduler_actions SET last_attempt_gmt="
               "GREATEST(UTC_TIMESTAMP(), last_attempt_gmt + INTERVAL 1 SECOND"
               ") " + where)
        start = ("UPDATE wp_actionscheduler_actions SET status='in-progress',"
                 " attempts=attempts+1 " + where)
        log = ("INSERT INTO wp_actionscheduler_logs (action_id, message)"
               " VALUES (%d, 'action started via WP Cron FCGI')" % job)
        return "\t".join([str(job), row["hook"], row["args"], own, start, log])

    def salts(self):
        return "".join(hashlib.sha256((self.s.dir + n).encode()).hexdigest()
                       for n in SALTS)

    def argv(self, **options):
        settings = {
            "address": "unix:" + self.s.php_socket,
            "worker": self.s.worker_script(), "root": self.s.root,
            "salts": self.salts(), "home": self.s.url("").rstrip("/"),
        }
        settings.update(options)
        driver = os.environ.get("PHP_RUN") or self.s.binary("drivers/php_run")
        return self.s.as_web_user(
            [driver] + ["%s=%s" % i for i in settings.items()])

    def start(self, jobs, **options):
        return self.start_lines(map(self.line, jobs), **options)

    def start_lines(self, lines, **options):
        p = subprocess.Popen(
            self.argv(**options), stdin=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=self.s.sanitizer_env(), cwd=self.s.dir)
        p.stdin.write("".join(line + "\n" for line in lines))
        p.stdin.close()
        p.stdin = None
        return p

    def finish(self, p, timeout=60):
        out, err = p.communicate(timeout=timeout)
        self.assertEqual(p.returncode, 0, err)
        return Reply(out)

    def run_jobs(self, jobs, **options):
        return self.finish(self.start(jobs, **options))

    def ten(self, hook, *args, **options):
        """Ten jobs of which the 7th is `hook`; (reply, ids)."""
        jobs = [self.job(hook, *args) if i == 6 else self.job("ok", i)
                for i in range(10)]
        return self.run_jobs(jobs, **options), jobs

    def killed_in_first(self, jobs, **options):
        """The program is killed while the first, `hold`, runs; no other
        begins."""
        self.flag("hold")
        p = self.start(jobs, **options)
        self.wait_note("hold []")
        p.kill()
        p.communicate()
        self.flag("")
        self.wait_note("held")
        time.sleep(0.5)
        self.assertEqual(self.notes(), ["hold []", "held"])

    def seventh(self, reply, jobs):
        return next(o for o in reply.outcomes if o.job == jobs[6])

    def wait_note(self, text, timeout=20):
        wait_until(lambda: text in self.notes(), timeout,
                   what="note " + text)


class HookModeTest(PhpCase):
    """Without the plugin: the worker fires the hook, C writes the row."""

    @classmethod
    def setUpClass(cls):
        cls.s = php_site(
            cls, pool="php_admin_value[max_execution_time] = 0")

    def test_ten_jobs_are_done_in_one_request(self):
        reply, jobs = self.ten("ok", "seventh", export=1)
        self.assertEqual(reply.kinds(), ["done"] * 10)
        self.assertEqual(reply.requests, 1)
        self.assertEqual([n.split()[0] for n in self.notes()], ["ok"] * 10)
        self.assertEqual(self.s.statuses(), {"in-progress": 10})
        self.assertEqual(self.s.logs(jobs[0])[-1],
                         "action started via WP Cron FCGI")
        self.assertEqual(reply.state["mode"], "hook")
        self.assertEqual(reply.state["ok"], "1")
        export = reply.exports[0]
        self.assertEqual(export["home"], self.s.url("").rstrip("/"))
        self.assertEqual(export["retention_s"], 2678400)
        self.assertEqual(export["cleaner_statuses"], ["complete", "canceled"])
        self.assertEqual((export["timeout_s"], export["failure_s"]),
                         (300, 300))
        self.assertEqual(export["prefix"], "wp_")
        self.assertIsNone(export["store_class"])

    def test_a_callback_that_throws_costs_its_job_alone(self):
        for hook, words in (
                ("throw", "thrown"),
                ("undefined",
                 "Call to undefined function misbehave_is_not_defined()"),
                ("parse", "syntax error, unexpected identifier"),
                ("user_error", "asked for"),
                ("nobody", "Scheduled action for misbehave_nobody will not be"
                           " executed as no callbacks are registered.")):
            with self.subTest(hook):
                reply, jobs = self.ten(hook)
                self.assertEqual(
                    reply.kinds(), ["done"] * 6 + ["failed"] + ["done"] * 3)
                self.assertIn(words, self.seventh(reply, jobs).message)
                self.assertFalse(self.seventh(reply, jobs).verbatim)

    def test_a_fatal_error_fails_its_job_and_gives_the_rest_back(self):
        for hook, words in (
                ("memory", "Allowed memory size of 41943040 bytes exhausted"),
                ("redeclare", "Cannot declare class Misbehave_Twice")):
            with self.subTest(hook):
                reply, jobs = self.ten(hook)
                self.assertEqual(reply.kinds(),
                                 ["done"] * 6 + ["failed"] + ["released"] * 3)
                o = self.seventh(reply, jobs)
                self.assertTrue(o.verbatim)
                self.assertRegex(
                    o.message,
                    "^unexpected shutdown: PHP Fatal error " + words +
                    ".* in .*wpcron-misbehave.php.* on line [0-9]+$")
                self.assertEqual(
                    self.s.statuses("action_id>=%s", (jobs[0],)),
                    {"in-progress": 7, "pending": 3})
                self.assertEqual(reply.state["ok"], "1")

    def test_exit_fails_its_job_and_gives_the_rest_back(self):
        for hook in ("exit", "die"):
            with self.subTest(hook):
                reply, jobs = self.ten(hook)
                self.assertEqual(reply.kinds(),
                                 ["done"] * 6 + ["failed"] + ["released"] * 3)
                o = self.seventh(reply, jobs)
                self.assertEqual(o.message,
                                 "the callback ended PHP by exit or die")
                self.assertFalse(o.strike)

    def test_a_killed_child_is_a_strike_for_its_job_alone(self):
        reply, jobs = self.ten("kill")
        self.assertEqual(reply.kinds(),
                         ["done"] * 6 + ["died"] + ["released"] * 3)
        o = self.seventh(reply, jobs)
        self.assertEqual(o.message, "PHP ended without an answer")
        self.assertTrue(o.strike)

    def test_an_overrunning_job_is_ended_by_a_signal(self):
        begun = time.monotonic()
        # The jobs before it must not take as long, whatever happens.
        reply, jobs = self.ten("sleep", 30, limit_ms=2000)
        self.assertLess(time.monotonic() - begun, 25)
        self.assertEqual(reply.kinds(),
                         ["done"] * 6 + ["failed"] + ["released"] * 3)
        o = self.seventh(reply, jobs)
        self.assertEqual(o.message, "timed out after 2 s")
        self.assertTrue(o.strike)
        self.assertEqual(reply.state["limit"], "signal")
        time.sleep(0.2)
        self.assertNotIn("slept", self.notes())

    @unittest.skipUnless(ROOT, "needs two users, so root")
    def test_a_child_of_another_user_is_left_to_its_own_limit(self):
        jobs = [self.job("sleep", 4), self.job("ok")]
        r = subprocess.run(
            nobody(self.argv(limit_ms=300)),
            input="".join(self.line(j) + "\n" for j in jobs), text=True,
            capture_output=True, timeout=60, env=self.s.sanitizer_env(),
            cwd=self.s.dir)
        reply = Reply(r.stdout)
        self.assertEqual(reply.state["limit"], "pool", r.stderr)
        self.assertEqual(reply.kinds(), ["done", "done"])
        self.assertIn("as another user", r.stderr)

    def test_what_was_given_back_runs_in_the_next_request(self):
        reply, jobs = self.ten("exit", again=1)
        self.assertEqual(reply.requests, 2)
        self.assertEqual(sorted(o.kind for o in reply.outcomes),
                         ["done"] * 9 + ["failed"] + ["released"] * 3)

    def test_output_of_callbacks_is_noise(self):
        for hook in ("echo", "flush", "warning"):
            with self.subTest(hook):
                reply, _ = self.ten(hook)
                self.assertEqual(reply.kinds(), ["done"] * 10)
                self.assertEqual(reply.requests, 1)

    def test_a_row_that_is_not_ours_is_skipped_and_left_alone(self):
        jobs = [self.job("ok", i) for i in range(3)]
        lines = "".join(self.line(j) + "\n" for j in jobs)
        self.s.mysql("UPDATE wp_actionscheduler_actions SET claim_id=5"
                     " WHERE action_id=%s", (jobs[1],))
        r = subprocess.run(self.argv(), input=lines, text=True,
                           capture_output=True, timeout=60,
                           env=self.s.sanitizer_env())
        reply = Reply(r.stdout)
        self.assertEqual(reply.kinds(), ["done", "lost", "done"])
        self.assertEqual(len(self.notes()), 2)

    def test_state_does_not_reach_the_next_job(self):
        for hook in ("user", "handler", "echo", "add_closure", "remove",
                     "throw", "warning"):
            with self.subTest(hook):
                open(self.s.notes, "w").close()
                reply = self.run_jobs([self.job(hook), self.job("look")],
                                      again=1)
                self.assertEqual(len(reply.outcomes),
                                 reply.requests + 1, reply.text)
                look = next(json.loads(n[5:]) for n in self.notes()
                            if n.startswith("look {"))
                self.assertEqual(
                    look, {"user": 0, "blog": 1, "level": 1, "value": "plain",
                           "present": "present", "zone": "UTC",
                           "secret": False, "cron": True, "depth": 1,
                           "host": "127.0.0.1:%d" % self.s.http_port})

    def test_settings_of_a_job_end_with_it(self):
        reply = self.run_jobs([self.job("settings"), self.job("spin", 1.5),
                               self.job("limits")])
        self.assertEqual(reply.kinds(), ["done"] * 3)
        self.assertEqual(self.notes()[-1], "limits 268435456 1 0")

    def test_a_forgotten_closure_is_removed_within_the_request(self):
        reply = self.run_jobs([self.job("add_closure"), self.job("look")])
        self.assertEqual(reply.requests, 1)
        self.assertEqual(reply.kinds(), ["done", "done"])
        self.assertIn('"value":"plain"', self.notes()[-1])

    def test_a_hook_that_may_be_remembered_ends_the_batch(self):
        for hook in ("add_named", "lazy"):
            with self.subTest(hook):
                open(self.s.notes, "w").close()
                reply = self.run_jobs(
                    [self.job(hook), self.job(hook), self.job("look")],
                    again=1)
                self.assertEqual(reply.requests, 3)
                self.assertEqual(
                    [o.kind for o in reply.outcomes if o.kind != "released"],
                    ["done"] * 3)
                self.assertIn('"value":"plain"', self.notes()[-1])
                if hook == "lazy":
                    self.assertEqual(self.notes().count(
                        "lazy is plain+lazy"), 2)

    def test_an_open_transaction_is_rolled_back(self):
        jobs = [self.job("transaction"), self.job("transaction", "throw"),
                self.job("ok")]
        reply = self.run_jobs(jobs)
        self.assertEqual(reply.kinds(), ["done", "failed", "done"])
        self.assertEqual(self.s.statuses(), {"in-progress": 3})
        self.assertIsNone(self.s.value(
            "SELECT option_value FROM wp_options"
            " WHERE option_name='misbehave_transaction'"))

    def test_work_at_shutdown_belongs_to_the_job(self):
        reply, jobs = self.ten("shutdown")
        self.assertEqual(reply.kinds(), ["done"] * 7 + ["released"] * 3)
        self.assertEqual(self.notes()[-2:],
                         ["at shutdown", "shutdown function"])
        for how, kind in (("throw", "failed"), ("exit", "done"),
                          ("fatal", "failed")):
            with self.subTest(how):
                reply, jobs = self.ten("shutdown", how)
                self.assertEqual(
                    reply.kinds(),
                    ["done"] * 6 + [kind] + ["released"] * 3)

    def test_the_time_limit_covers_work_at_shutdown(self):
        reply, jobs = self.ten("shutdown", "long", limit_ms=2000)
        self.assertEqual(reply.kinds(),
                         ["done"] * 6 + ["failed"] + ["released"] * 3)
        self.assertIn("timed out", self.seventh(reply, jobs).message)

    def test_finishing_the_request_ends_the_batch(self):
        reply, jobs = self.ten("finish")
        self.assertEqual(reply.kinds(),
                         ["done"] * 6 + ["died"] + ["released"] * 3)
        self.assertEqual(reply.state["finish"], "1")
        self.wait_note("finish true")
        time.sleep(0.3)
        self.assertEqual(sum(n.startswith("ok") for n in self.notes()), 6)

    def test_the_budget_bounds_when_jobs_begin(self):
        jobs = [self.job("sleep", 2.5)] + [self.job("ok") for _ in range(3)]
        reply = self.run_jobs(jobs, budget_ms=2000)
        self.assertEqual(reply.kinds(), ["done"] + ["released"] * 3)

    def test_an_orphaned_worker_begins_no_further_job(self):
        jobs = [self.job("hold")] + [self.job("ok") for _ in range(5)]
        self.killed_in_first(jobs)
        self.assertEqual(self.s.statuses(),
                         {"in-progress": 1, "pending": 5})

    def test_stopping_ends_the_child_and_releases_the_rest(self):
        jobs = [self.job("sleep", 30), self.job("ok")]
        reply = self.run_jobs(jobs, abandon_ms=200)
        self.assertEqual(reply.kinds(), ["died", "released"])
        self.assertFalse(reply.outcomes[0].strike)
        time.sleep(0.3)
        self.assertNotIn("slept", self.notes())


class ReloadTest(PhpCase):
    """php-fpm is reloaded, killed, away, full."""

    @classmethod
    def setUpClass(cls):
        cls.s = php_site(cls)

    def tearDown(self):
        if not self.s.php_fpm.alive:
            self.s.start_php_fpm(children=3)

    def in_mid_job(self, act):
        jobs = [self.job("ok"), self.job("sleep", 30), self.job("ok")]
        p = self.start(jobs)
        self.wait_note("sleep [30]")
        act()
        return self.finish(p)

    def test_a_reload_in_mid_job_is_a_death_of_that_job(self):
        reply = self.in_mid_job(
            lambda: self.s.php_fpm.send_signal(signal.SIGUSR2))
        self.assertEqual(reply.kinds(), ["done", "died", "released"])
        self.assertTrue(reply.outcomes[1].strike)
        wait_until(lambda: connectable(self.s.php_socket))
        reply = self.run_jobs([self.job("ok")])
        self.assertEqual(reply.kinds(), ["done"])

    def test_php_fpm_killed_in_mid_job(self):
        def act():
            os.killpg(self.s.php_fpm.pid, signal.SIGKILL)
            self.s.php_fpm.kill()
        reply = self.in_mid_job(act)
        self.assertEqual(reply.kinds(), ["done", "died", "released"])

    def test_nobody_there_charges_nobody_and_backs_off(self):
        jobs = [self.job("ok") for _ in range(3)]
        for address, words in (
                ("unix:" + self.s.path("none.sock"), "not running"),
                ("127.0.0.1:1", "Connection refused")):
            with self.subTest(address):
                reply = self.run_jobs(jobs, address=address)
                self.assertEqual(reply.kinds(), ["released"] * 3)
                self.assertEqual(reply.state["wait"], "1")
                self.assertEqual(reply.state["ok"], "0")
                self.assertIn(words, reply.error)
        self.assertEqual(self.s.statuses(), {"pending": 3})

    def test_a_missing_or_forbidden_script_is_said_in_words(self):
        for script, status, words in (
                ("/nonexistent/worker.php", "404", "Primary script unknown"),
                (self.s.notes, "403", "security.limit_extensions")):
            with self.subTest(script):
                reply = self.run_jobs([self.job("ok")], worker=script)
                self.assertEqual(reply.kinds(), ["released"])
                self.assertEqual(reply.state["status"], status)
                self.assertIn(words, reply.error)

    def test_the_export_can_be_asked_for_alone(self):
        reply = self.run_jobs([], ask=1)
        self.assertEqual(reply.exports[0]["prefix"], "wp_")
        reply = self.run_jobs([], ask=1, salts="wrong")
        self.assertEqual(reply.exports, [])
        self.assertIn("404", reply.error)

    def test_a_full_pool_is_silence(self):
        self.flag("hold")
        busy = [self.start([self.job("hold")]) for _ in range(3)]
        wait_until(lambda: self.notes().count("hold []") == 3)
        reply = self.run_jobs([self.job("ok")], first_byte_ms=300)
        self.flag("")
        self.assertEqual(reply.kinds(), ["released"])
        self.assertIn("no free child", reply.error)
        for p in busy:
            self.assertEqual(self.finish(p).kinds(), ["done"])
        time.sleep(0.3)
        self.assertNotIn("ok []", self.notes())

    def test_a_site_that_does_not_boot_charges_nobody(self):
        maintenance = os.path.join(self.s.root, ".maintenance")
        with open(maintenance, "w") as f:
            f.write("<?php $upgrading = time();")
        try:
            reply = self.run_jobs([self.job("ok")])
        finally:
            os.unlink(maintenance)
        self.assertEqual(reply.kinds(), ["released"])
        self.assertEqual(reply.state["status"], "503")
        self.assertEqual(reply.state["wait"], "1")
        self.assertEqual(reply.state["maintenance"], "1")
        self.assertEqual(reply.state["failures"], "0")
        self.assertIn("maintenance mode", reply.error)
        self.assertIn("maintenance mode", reply.outcomes[0].message)
        broken = os.path.join(self.s.root, "wp-content", "mu-plugins")
        os.makedirs(broken, exist_ok=True)
        with open(os.path.join(broken, "broken.php"), "w") as f:
            f.write("<?php misbehave_not_there();")
        try:
            reply = self.run_jobs([self.job("ok")])
        finally:
            os.unlink(os.path.join(broken, "broken.php"))
        self.assertEqual(reply.kinds(), ["released"])
        self.assertEqual(reply.state["status"], "500")
        self.assertEqual(reply.state["maintenance"], "0")
        self.assertEqual(reply.state["failures"], "1")

    def test_tcp_is_as_good_as_a_socket(self):
        address = tcp_pool(self)
        jobs = [self.job("ok"), self.job("sleep", 1), self.job("ok")]
        reply = self.run_jobs(jobs, address=address)
        self.assertEqual(reply.kinds(), ["done"] * 3)
        open(self.s.notes, "w").close()
        self.killed_in_first(
            [self.job("hold"), self.job("ok"), self.job("ok")],
            address=address)


class LockTest(PhpCase):
    """The job's row is locked by somebody else."""

    @classmethod
    def setUpClass(cls):
        cls.s = php_site(cls, innodb_lock_wait_timeout="1")

    def test_a_row_that_stays_locked_is_given_back_unstarted(self):
        jobs = [self.job("ok", i) for i in range(3)]
        with self.s.connect(autocommit=False) as db, db.cursor() as c:
            c.execute("SELECT status FROM wp_actionscheduler_actions"
                      " WHERE action_id=%s FOR UPDATE", (jobs[1],))
            reply = self.run_jobs(jobs)
        self.assertEqual(reply.kinds(), ["done", "released", "done"])
        self.assertIn("Lock wait timeout", next(
            o.message for o in reply.outcomes if o.job == jobs[1]))

    def test_a_short_lock_is_waited_for(self):
        # As long as it takes us to give it back.
        self.s.mysql("SET GLOBAL innodb_lock_wait_timeout = 30")
        self.addCleanup(
            self.s.mysql, "SET GLOBAL innodb_lock_wait_timeout = 1")
        jobs = [self.job("ok", i) for i in range(2)]
        with self.s.connect(autocommit=False) as db, db.cursor() as c:
            c.execute("SELECT status FROM wp_actionscheduler_actions"
                      " WHERE action_id=%s FOR UPDATE", (jobs[1],))
            p = self.start(jobs)
            self.wait_note("ok [0]")
            db.rollback()
            reply = self.finish(p)
        self.assertEqual(reply.kinds(), ["done", "done"])


class SecretTest(PhpCase):
    """Who may ask the worker."""

    @classmethod
    def setUpClass(cls):
        cls.s = php_site(cls)

    def ask(self, secret, body=None, key=None, expiry=None):
        """(status, text) of one request; secret True: a right one."""
        body = body if body is not None else json.dumps({
            "v": 1, "token": "0" * 32, "root": self.s.root, "jobs": []})
        if secret is True:
            head = "%d.%s." % (expiry or time.time() + 30, "a" * 32)
            text = head + hashlib.sha256(body.encode()).hexdigest()
            secret = head + hmac.new((key or self.salts()).encode(),
                                     text.encode(), "sha256").hexdigest()
        params = {"SCRIPT_FILENAME": self.s.worker_script(),
                  "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)),
                  "CONTENT_TYPE": "application/json",
                  "REQUEST_URI": "/wp-cron.php"}
        if secret is not None:
            params["WPCRON_SECRET"] = secret

        def record(kind, data):
            return struct.pack(">BBHHBB", 1, kind, 1, len(data), 0, 0) + data

        def size(n):
            return bytes([n]) if n < 128 else struct.pack(">I", n | 1 << 31)
        pairs = b"".join(size(len(k)) + size(len(v)) + k.encode() + v.encode()
                         for k, v in params.items())
        out = b""
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(self.s.php_socket)
            c.sendall(record(1, struct.pack(">HB5x", 1, 0)) +
                      record(4, pairs) + record(4, b"") +
                      record(5, body.encode()) + record(5, b""))
            while True:
                head = c.recv(8, socket.MSG_WAITALL)
                if len(head) < 8:
                    break
                _, kind, _, n, pad, _ = struct.unpack(">BBHHBB", head)
                data = c.recv(n + pad, socket.MSG_WAITALL)[:n]
                out += data if kind == 6 else b""
        head, _, text = out.partition(b"\r\n\r\n")
        status = next((int(x.split()[1]) for x in head.decode().split("\r\n")
                       if x.lower().startswith("status:")), 200)
        return status, text.decode()

    def test_the_right_secret_is_let_in(self):
        status, text = self.ask(True)
        self.assertEqual(status, 200)
        self.assertIn('{"frame":"hello"', text)
        self.assertIn('{"frame":"end"', text)

    def test_any_other_gets_404_and_nothing_else(self):
        now = int(time.time())
        for name, answer in (
                ("missing", self.ask(None)),
                ("empty", self.ask("")),
                ("garbage", self.ask("x")),
                ("wrong hmac", self.ask("%d.n.%s" % (now + 30, "0" * 64))),
                ("other salts", self.ask(True, key="not the salts")),
                ("expired", self.ask(True, expiry=now - 1)),
                ("valid for too long", self.ask(True, expiry=now + 3600)),
                ("other root", self.ask(True, json.dumps({
                    "v": 1, "token": "0" * 32, "root": "/nonexistent",
                    "jobs": []}))),
                ("bad token", self.ask(True, json.dumps({
                    "v": 1, "token": "x", "root": self.s.root,
                    "jobs": []}))),
                ("no JSON", self.ask(True, "{"))):
            with self.subTest(name):
                self.assertEqual(answer, (404, ""))

    def test_a_changed_body_is_not_the_one_that_was_signed(self):
        body = json.dumps({"v": 1, "token": "0" * 32, "root": self.s.root,
                           "jobs": []})
        head = "%d.n." % (time.time() + 30)
        mac = hmac.new(self.salts().encode(), (head + hashlib.sha256(
            body.encode()).hexdigest()).encode(), "sha256").hexdigest()
        self.assertEqual(self.ask(head + mac, body)[0], 200)
        self.assertEqual(self.ask(head + mac, body + " "), (404, ""))

    def test_refused_jobs_are_given_back(self):
        reply = self.run_jobs([self.job("ok")], salts="wrong")
        self.assertEqual(reply.kinds(), ["released"])
        self.assertIn("404", reply.error)
        self.assertEqual(self.notes(), [])


class PoolFileTest(PhpCase):
    """The pool file that is shipped, but for the user and the socket."""

    @classmethod
    def setUpClass(cls):
        with open(os.path.join(REPO, "conf",
                               "php-fpm-wp-cron-fcgi.conf")) as f:
            lines = [x.strip() for x in f]
        cls.s = php_site(cls, pool="\n".join(
            x for x in lines if x and not x.startswith(
                (";", "[", "user", "group", "listen =", "listen.owner",
                 "listen.group", "listen.mode"))))

    def test_finishing_the_request_does_nothing(self):
        reply, _ = self.ten("finish")
        self.assertEqual(reply.kinds(), ["done"] * 10)
        self.assertIn("finish true", self.notes())
        self.assertEqual(reply.state["finish"], "0")

    def test_jobs_are_reported_as_they_end(self):
        self.flag("hold")
        p = self.start([self.job("ok"), self.job("hold")])
        self.wait_note("hold []")
        seen = [p.stdout.readline().split()[0] for _ in range(2)]
        self.assertEqual(seen, ["request", "outcome"])
        self.assertNotIn("held", self.notes())
        self.flag("")
        self.assertEqual(self.finish(p).kinds(), ["done"])


class PluginModeTest(PhpCase):
    """With a plugin that has process_action()'s contract."""

    @classmethod
    def setUpClass(cls):
        cls.s = php_site(cls, plugins=("wpcron-misbehave", "wpcron-contract"))

    def test_the_plugin_writes_its_rows(self):
        reply, jobs = self.ten("throw", "why")
        self.assertEqual(reply.kinds(), ["settled"] * 10)
        self.assertEqual(reply.state["mode"], "plugin")
        self.assertEqual(self.s.statuses(), {"complete": 9, "failed": 1})
        self.assertEqual(self.seventh(reply, jobs).message, "why")
        self.assertEqual(self.s.logs(jobs[6])[-2:], [
            "action started via WP Cron FCGI",
            "action failed via WP Cron FCGI: why"])

    def test_fatal_exit_and_death_are_left_to_the_program(self):
        for hook, kind, words, status in (
                ("memory", "failed", "unexpected shutdown: PHP Fatal error",
                 "failed"),
                ("exit", "failed", "exit or die", "in-progress"),
                ("kill", "died", "PHP ended without an answer",
                 "in-progress")):
            with self.subTest(hook):
                reply, jobs = self.ten(hook)
                self.assertEqual(
                    reply.kinds(),
                    ["settled"] * 6 + [kind] + ["released"] * 3)
                self.assertIn(words, self.seventh(reply, jobs).message)
                self.assertEqual(
                    self.s.actions("action_id=%s", (jobs[6],))[0]["status"],
                    status)

    def test_an_open_transaction_does_not_undo_the_outcome_unseen(self):
        for then, words in (("throw", "inside a transaction"),
                            ("", "the callback left a database transaction")):
            with self.subTest(then):
                reply, jobs = self.ten("transaction", then)
                self.assertEqual(
                    reply.kinds(),
                    ["settled"] * 6 + ["failed"] + ["settled"] * 3)
                self.assertIn(words, self.seventh(reply, jobs).message)
                self.assertEqual(
                    self.s.actions("action_id=%s", (jobs[6],))[0]["status"],
                    "in-progress")

    def test_work_at_shutdown_is_reported_after_it(self):
        for how in ("note", "throw", "exit", "fatal"):
            with self.subTest(how):
                reply, jobs = self.ten("shutdown", how)
                self.assertEqual(reply.kinds(),
                                 ["settled"] * 7 + ["released"] * 3)

    def test_a_replaced_store_refuses_the_jobs(self):
        self.s.wp_eval("update_option('wpcron_contract_other_store', 1);")
        try:
            reply, _ = self.ten("ok", export=1)
        finally:
            self.s.wp_eval("delete_option('wpcron_contract_other_store');")
        self.assertEqual(reply.kinds(), ["released"] * 10)
        self.assertEqual(reply.state["mode"], "none")
        self.assertEqual(reply.exports[0]["store_class"],
                         "WPCron_Contract_Other_Store")
        self.assertEqual(self.notes(), [])


class NetworkTest(PhpCase):
    """A network: jobs run in the blog whose rows they are."""

    @classmethod
    def setUpClass(cls):
        cls.s = php_site(cls)
        cls.blog = cls.s.make_network(1)[0]

    def test_jobs_run_in_their_blog_and_do_not_leave_it(self):
        for blog in (1, self.blog):
            with self.subTest(blog):
                open(self.s.notes, "w").close()
                self.run_jobs([self.job("look"), self.job("blog"),
                               self.job("look")], blog=blog)
                looks = [json.loads(n[5:]) for n in self.notes()
                         if n.startswith("look {")]
                self.assertEqual([x["blog"] for x in looks], [blog, blog])

    def test_a_blog_that_is_not_there_runs_nothing(self):
        reply = self.run_jobs([self.job("ok")], blog=99)
        self.assertEqual(reply.kinds(), ["released"])
        self.assertIn("no blog 99", reply.outcomes[0].message)
        self.assertEqual(self.notes(), [])


if __name__ == "__main__":
    unittest.main()
