"""Two sites on two databases in one daemon: while one database hangs, the
other site's work is not late, and afterwards everything is caught up."""

import http.server
import json
import os
import signal
import threading
import time
import unittest

from stack import Daemon, Stack, connectable

SETTINGS = """
workers = 4
php_children = 2
native_batch = 20
php_batch = 5
heartbeat = 500ms
node_expiry = 3s
shutdown_grace = 2s
log_level = info
"""
LATE_S = 1.5  # 1 s between looks, and a little


class Clocked(http.server.ThreadingHTTPServer):
    """Notes how long after args[0], a Unix time, each request came."""

    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            now = time.time()
            body = json.loads(self.rfile.read(
                int(self.headers["Content-Length"])))
            self.server.delays.setdefault(body["hook"], []).append(
                now - body["args"][0])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.delays = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self):
        return "http://127.0.0.1:%d/" % self.server_port


class TwoSitesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.clocked = Clocked()
        cls.addClassCleanup(cls.clocked.server_close)
        cls.addClassCleanup(cls.clocked.shutdown)
        cls.a, cls.b = cls.sites = Stack(), Stack()
        for s in cls.sites:
            cls.addClassCleanup(s.close)
            cls.make_site(s)
        cls.receiver = cls.a.start_receiver()

    @classmethod
    def make_site(cls, s):
        s.notes = s.path("notes.txt")
        with open(s.notes, "w"):
            os.chmod(s.notes, 0o666)
        # demo_webhook is PHP's here, and posts by itself.
        s.start_site(config_extra="define( 'WPCRON_DEMO_WEBHOOK', '%s' );\n"
                     "define( 'WPCRON_DEMO_LOG', '%s' );"
                     % (cls.clocked.url(), s.notes))
        s.install_action_scheduler()

    def setUp(self):
        self.clocked.delays.clear()
        self.receiver.forget()
        for s in self.sites:
            for table in ("actions", "logs", "claims"):
                s.mysql("DELETE FROM wp_actionscheduler_" + table)

    def tearDown(self):
        self.a.mariadb.send_signal(signal.SIGCONT)
        self.daemon.stop(timeout=90)
        self.a.servers.remove(self.daemon)

    def config(self):
        text = "[daemon]\n" + SETTINGS
        for name, s in (("a", self.a), ("b", self.b)):
            text += ("[site %s]\nroot = %s\nphp_fpm = unix:%s\n"
                     "worker_script = %s\ncron = no\n" % (
                         name, s.root, s.php_socket, s.worker_script()))
        return text + (
            "[route]\ndemo_native = webhook %s\ndemo_slow = webhook %s\n"
            "[policy demo_slow]\nidempotent = no\nretries = 0\n" % (
                self.clocked.url(), self.receiver.url("/ok?hold=400")))

    def start(self, wait=("a", "b")):
        s = self.a
        conf, sock = s.path("two.conf"), s.path("run", "two.sock")
        os.makedirs(s.path("run"), exist_ok=True)
        os.chmod(s.path("run"), 0o777)
        with open(conf, "w") as f:
            f.write(self.config())
        argv = s.as_web_user([s.binary(), "--listen", "unix:" + sock, "-c",
                              conf, "--foreground"])
        self.begun = time.monotonic()
        self.log_from = os.path.getsize(s.path("two.log")) if os.path.exists(
            s.path("two.log")) else 0
        self.daemon = Daemon(s, "two", argv, env=s.sanitizer_env())
        self.daemon.wait_ready(lambda: connectable(sock))
        for name in wait:
            s.wait_until(lambda n=name: "site.ready site=%s" % n in
                         self.log(), 30, what="site %s is ready" % name)

    def log(self):
        return self.daemon.log_text()[self.log_from:]

    def slower(self):
        build = 1 if self.a.variant == "release" else 3
        return build * max(1, os.getloadavg()[0] / os.cpu_count())

    def feed(self, seconds):
        """A native and a PHP row for site b every quarter of a second."""
        n, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            for hook in ("demo_native", "demo_webhook"):
                self.b.insert_actions(1, hook, "[%.3f,{i}]" % time.time(),
                                      due_in=0)
            n += 1
            time.sleep(0.25)
        return n

    def assert_not_late(self, n):
        self.b.wait_until(lambda: self.b.count("status <> 'complete'") == 0,
                          30, what="site b has done all")
        for hook in ("demo_native", "demo_webhook"):
            delays = sorted(self.clocked.delays[hook])
            self.assertEqual(len(delays), n)
            p95 = delays[int(len(delays) * 0.95)]
            print("       %s: p50 %.2f s, p95 %.2f s, worst %.2f s of %d" % (
                hook, delays[n // 2], p95, delays[-1], n), flush=True)
            self.assertLess(p95, LATE_S * self.slower(), hook)

    def load_a(self):
        """Work that binds as many workers as site a may have."""
        native = self.a.insert_actions(120, "demo_slow")
        php = self.a.insert_actions(60, "demo_sleep_ms", "[200,{i}]")
        self.a.wait_until(lambda: self.a.count(
            "status = 'complete' AND hook = 'demo_slow'") >= 10)
        self.a.wait_until(lambda: self.a.count(
            "status = 'complete' AND hook = 'demo_sleep_ms'") >= 2)
        return native, php

    def assert_a_recovers(self):
        begun = time.monotonic()
        self.a.wait_until(lambda: self.a.count(
            "status IN ('pending', 'in-progress')") == 0, 90,
            what="site a has caught up")
        print("       caught up after %.1f s" % (time.monotonic() - begun),
              flush=True)
        self.assertEqual(self.a.statuses("hook = 'demo_slow'"),
                         {"complete": 120})
        got = self.receiver.report()
        self.assertEqual((got["requests"], got["distinct"]), (120, 120))
        self.assertEqual(self.a.statuses("hook = 'demo_sleep_ms'"),
                         {"complete": 60})
        with open(self.a.notes) as f:
            ran = [line.rsplit(" ", 1)[0] for line in f]
        self.assertEqual(len(ran), len(set(ran)))

    def test_database_that_hangs_stalls_its_own_site_alone(self):
        with open(self.a.notes, "w"):
            pass
        self.start()
        self.load_a()
        self.a.mariadb.send_signal(signal.SIGSTOP)
        n = self.feed(15)
        self.assert_not_late(n)
        self.a.mariadb.send_signal(signal.SIGCONT)
        self.assert_a_recovers()

    def test_locked_tables_stall_their_own_site_alone(self):
        with open(self.a.notes, "w"):
            pass
        self.start()
        self.load_a()
        with self.a.connect() as db, db.cursor() as c:
            c.execute("FLUSH TABLES WITH READ LOCK")
            n = self.feed(12)
            self.assert_not_late(n)
            c.execute("UNLOCK TABLES")
        self.assert_a_recovers()

    def test_start_beside_a_database_that_hangs(self):
        self.a.mariadb.send_signal(signal.SIGSTOP)
        self.start(wait=("b",))
        self.assertLess(time.monotonic() - self.begun, 3 * self.slower())
        n = self.feed(6)
        self.assert_not_late(n)
        self.a.mariadb.send_signal(signal.SIGCONT)
        self.a.wait_until(lambda: "site.ready site=a" in self.log(), 30)
        first = self.a.insert_actions(5, "demo_sleep_ms", "[1,{i}]")
        self.a.wait_until(lambda: self.a.statuses(
            "action_id >= %s", (first,)) == {"complete": 5})

    def test_stop_beside_a_database_that_hangs(self):
        self.start()
        self.load_a()
        self.a.mariadb.send_signal(signal.SIGSTOP)
        time.sleep(1)
        begun = time.monotonic()
        self.assertEqual(self.daemon.stop(timeout=90), 0)
        took = time.monotonic() - begun
        print("       stopped in %.1f s" % took, flush=True)
        self.assertLess(took, 45)


if __name__ == "__main__":
    unittest.main()
