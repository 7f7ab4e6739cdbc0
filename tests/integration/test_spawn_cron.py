"""WordPress itself, and what hosts put into crontabs, as callers of the
endpoint: page loads reach the daemon with their key and are not slowed, Site
Health is content, and the constants of wp-config.php mean what they meant."""

import http.client
import os
import re
import socket
import statistics
import subprocess
import time
import unittest

import cronrow
from cronrow import Event
from stack import tool

# The daemon looks when it is asked to, and never by itself.
ASKED = "look_interval = 1h\nlog_level = debug\n"
BYSELF = "log_level = debug\n"
PING_LOG = ("log_format ping '$request_method\\t$request_uri\\t$status\\t"
            "$sent_http_x_wp_cron\\t$request_time\\t$http_user_agent';")
# What the page may take longer with a ping than without.
PAGE_MAX_S = 0.5


class Ping:
    def __init__(self, line):
        (self.method, self.uri, self.status, self.said, self.took,
         self.agent) = line.rstrip("\n").split("\t")
        found = re.search(r"doing_wp_cron=([^&]*)", self.uri)
        self.key = found.group(1) if found else ""

    def __repr__(self):
        return " ".join((self.method, self.uri, self.status, self.said))


class SpawnCase(unittest.TestCase):
    daemon_settings = ASKED

    @classmethod
    def setUpClass(cls):
        cls.s = s = cronrow.tick_site(cls)
        cls.pings_log = s.path("ping.txt")
        cls.serial = 0
        cls.start()

    @classmethod
    def start(cls):
        cls.daemon = cls.s.start_daemon(daemon=cls.daemon_settings)
        cls.nginx(cls.daemon)
        cls.s.wait_until(lambda: "site.ready" in cls.daemon.log_text())
        # Its first look, which nobody asked for, is over then.
        cls.s.wait_until(
            lambda: cls.s.get("/wp-cron-fcgi/healthz")[0] == 200)

    @classmethod
    def nginx(cls, daemon):
        if cls.s.nginx:
            cls.s.nginx.stop()
            cls.s.servers.remove(cls.s.nginx)
        cls.s.start_nginx(
            daemon=daemon, http_extra=PING_LOG, edit=lambda text:
            text.replace("access_log off", "access_log %s ping"
                         % cls.pings_log))

    def setUp(self):
        cronrow.put(self.s, [])
        cronrow.drop_lock(self.s)
        self.s.ticks.clear()
        open(self.pings_log, "w").close()

    def pings(self):
        with open(self.pings_log) as f:
            return [Ping(line) for line in f if line.endswith("\n")]

    @classmethod
    def due(cls, hook="tick_a", ago=5):
        cls.serial += 1
        return Event(time.time() - ago, hook, [cls.serial])

    def put_due(self, hook="tick_a"):
        event = self.due(hook)
        cronrow.put(self.s, [event])
        return event

    def wait_ran(self, event, timeout=30):
        self.s.wait_until(
            lambda: event.args in [x["args"] for x in
                                   self.s.ticks.all(event.hook)],
            timeout, what="%r runs" % event)

    def wait_settled(self):
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0, 30,
                          what="all that was taken is settled")

    def assert_still(self, event, seconds=2.0):
        """The event stays where it is, and nothing runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertEqual(self.s.ticks.names(), [])
            time.sleep(0.1)
        self.assertIn(event.args, [e.args for e in cronrow.events(self.s)])


class PageLoadTest(SpawnCase):
    def test_page_load_reaches_us_with_the_key_it_stored(self):
        event = self.put_due()
        begun = time.time()
        self.assertEqual(self.s.get("/")[0], 200)
        self.wait_ran(event)
        self.s.wait_until(self.pings)
        ping, = self.pings()
        self.assertEqual((ping.method, ping.status), ("POST", "200"))
        self.assertRegex(ping.key, r"^\d{10}\.\d{22}$")
        self.assertIn(ping.said, ("started", "queued"))
        self.assertIn("WordPress/", ping.agent)
        tick, = self.s.ticks.all()
        self.assertTrue(tick["cron"])
        self.assertLess(tick["at"] - begun, 10)
        self.wait_settled()
        row = cronrow.ledger(self.s)[-1]
        self.assertEqual((row["state"], row["woken_by"]), ("done", "page"))

    def test_lock_of_the_page_load_is_given_back_when_all_is_done(self):
        for _ in range(2):
            event = self.put_due()
            self.s.get("/")
            self.wait_ran(event)
            self.s.wait_until(lambda: cronrow.lock(self.s) is None, 20,
                              what="the lock is gone")
        self.assertEqual(len({p.key for p in self.pings()}), 2)

    def test_page_loads_ping_once_while_the_lock_is_held(self):
        event = self.put_due("tick_a")
        # Longer than five page loads take.
        slow = Event(event.ts, "tick_sleep", [8, self.serial])
        cronrow.put(self.s, [event, slow])
        self.s.get("/")
        self.s.wait_until(lambda: "tick_sleep" in self.s.ticks.names())
        for _ in range(5):
            # Something is due, or page loads would not ask at all.
            cronrow.put(self.s, [self.due("tick_b")], keep=True)
            self.assertEqual(self.s.get("/")[0], 200)
        self.assertEqual(len(self.pings()), 1, self.pings())
        self.assertIsNotNone(cronrow.lock(self.s))
        self.s.wait_until(lambda: "slept" in self.s.ticks.names())

    def test_page_without_due_events_asks_nothing(self):
        cronrow.put(self.s, [Event(time.time() + 600, "tick_a", [0])])
        self.assertEqual(self.s.get("/")[0], 200)
        self.assertEqual(self.pings(), [])

    def test_disable_wp_cron_ends_pings_and_leaves_direct_calls(self):
        event = self.put_due()
        self.assertEqual(self.s.get("/?nocron=1")[0], 200)
        self.assert_still(event)
        self.assertEqual(self.pings(), [])
        self.assertEqual(self.s.get("/wp-cron.php?doing_wp_cron")[0], 200)
        self.wait_ran(event)
        self.wait_settled()
        self.assertEqual(cronrow.ledger(self.s)[-1]["woken_by"], "call")

    def page_seconds(self, path, n=15, pings=True):
        """Median of n pages with something due; pings: of those that sent
        one, for our own lock may keep a page from it."""
        took = []
        while len(took) < n:
            self.wait_settled()
            cronrow.drop_lock(self.s)
            self.put_due()
            before = len(self.pings())
            begun = time.monotonic()
            self.assertEqual(self.s.get(path)[0], 200)
            now = time.monotonic()
            if not pings or len(self.pings()) > before:
                took.append(now - begun)
        return statistics.median(took)

    def test_page_is_not_slowed_by_its_ping(self):
        self.page_seconds("/", 3)
        before = len(self.pings())
        without = self.page_seconds("/?nocron=1", pings=False)
        self.assertEqual(len(self.pings()), before)
        with_ping = self.page_seconds("/")
        silent = self.silent_page()
        print("       page %.0f ms without a ping, %.0f ms with one, %.0f ms"
              " with an endpoint that says nothing" % (
                  without * 1000, with_ping * 1000, silent * 1000),
              flush=True)
        self.assertGreater(silent, 1.0)
        self.assertLess(with_ping - without, PAGE_MAX_S)

    def silent_page(self):
        """The time of a page whose ping nobody answers."""
        class Silent:
            sock = self.s.path("run", "silent.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(Silent.sock)
            os.chmod(Silent.sock, 0o777)
            listener.listen(16)
            self.nginx(Silent)
            try:
                return self.page_seconds("/", 3, pings=False)
            finally:
                self.nginx(self.daemon)


class CallTest(SpawnCase):
    """Every way hosts and tools ask."""

    def health(self):
        return self.s.wp_eval("""
            require_once ABSPATH .
                'wp-admin/includes/class-wp-site-health.php';
            $r = ( new WP_Site_Health() )->can_perform_loopback();
            echo $r->status, ' ', $r->message;
            """)

    def test_site_health_is_content_and_runs_nothing(self):
        event = self.put_due()
        said = self.health()
        self.assertTrue(said.startswith("good "), said)
        self.s.wait_until(self.pings)
        ping, = self.pings()
        self.assertEqual((ping.method, ping.status, ping.said),
                         ("POST", "200", "-"))
        self.assert_still(event)

    def test_multipart_form_runs_nothing(self):
        event = self.put_due()
        status, _, body = self.s.request(
            "POST", "/wp-cron.php", "--x\r\nContent-Disposition: form-data;"
            " name=\"a\"\r\n\r\nb\r\n--x--\r\n",
            {"Content-Type": "multipart/form-data; boundary=x"})
        self.assertEqual((status, body), (200, b""))
        self.assert_still(event)

    def test_answer_is_that_of_core(self):
        status, headers, body = self.s.get("/wp-cron.php?doing_wp_cron")
        self.assertEqual((status, body), (200, b""))
        self.assertEqual(headers["Expires"], "Wed, 11 Jan 1984 05:00:00 GMT")
        self.assertEqual(headers["Cache-Control"],
                         "no-cache, must-revalidate, max-age=0")
        self.assertEqual(headers["Content-Type"], "text/html; charset=UTF-8")

    def test_each_form_of_a_call_wakes(self):
        url = self.s.url("/wp-cron.php?doing_wp_cron")
        curl, wget = tool("curl"), tool("wget")
        calls = [
            ("HEAD", lambda: self.s.request("HEAD", "/wp-cron.php")),
            ("a JSON body", lambda: self.s.request(
                "POST", "/wp-cron.php", "{}",
                {"Content-Type": "application/json"})),
            ("an empty POST", lambda: self.s.request(
                "POST", "/wp-cron.php", None, {"Content-Length": "0"})),
            ("a key that nobody stored", lambda: self.s.get(
                "/wp-cron.php?doing_wp_cron=1795278773.5")),
            ("a key that is none", lambda: self.s.get(
                "/wp-cron.php?doing_wp_cron=%3Cx%3E")),
        ] + [(" ".join(argv[1:-1]) or "curl", lambda a=argv: subprocess.run(
            a, check=True, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=20)) for argv in (
                [wget, "-q", "-O", "-", url], [wget, "-q", "--spider", url],
                [wget, "-q", "--delete-after", url], [curl, "-s", url],
                [curl, "-sI", url], [curl, "-fsS", "-o", "/dev/null", url],
                [curl, "-s", "-X", "POST", url])]
        for what, call in calls:
            with self.subTest(what):
                event = self.put_due()
                call()
                self.wait_ran(event)
        self.wait_settled()
        self.assertNotIn("failed", cronrow.states(self.s))

    def test_caller_that_hangs_up_at_once_is_heard(self):
        event = self.put_due()
        with socket.create_connection(("127.0.0.1", self.s.http_port)) as c:
            c.sendall(b"GET /wp-cron.php HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                      b"Connection: close\r\n\r\n")
        self.wait_ran(event)

    def test_flood_of_calls_runs_each_event_once(self):
        events = [self.due() for _ in range(20)]
        cronrow.put(self.s, events)
        c = http.client.HTTPConnection("127.0.0.1", self.s.http_port)
        for _ in range(500):
            c.request("GET", "/wp-cron.php?doing_wp_cron")
            r = c.getresponse()
            r.read()
            self.assertEqual(r.status, 200)
        c.close()
        for event in events:
            self.wait_ran(event)
        self.wait_settled()
        self.assertEqual(self.s.ticks.count(), 20)
        # The last calls may ask for one more look, in a second at most: not
        # in the midst of the next test.
        time.sleep(2)


class LockTest(SpawnCase):
    """A lock that somebody else holds, and for how long it counts."""

    daemon_settings = BYSELF

    @classmethod
    def start(cls):
        cls.s.write_config(cls.s.config_extra +
                           "define( 'WP_CRON_LOCK_TIMEOUT', 40 );")
        super().start()

    def stamp(self, ago=0.0):
        return "%.22f" % (time.time() - ago)

    def test_fresh_lock_of_a_php_runner_is_waited_for(self):
        theirs = self.stamp()
        cronrow.set_lock(self.s, theirs)
        event = self.put_due()
        self.s.get("/wp-cron.php?doing_wp_cron")
        self.assert_still(event, 4)
        self.assertEqual(cronrow.lock(self.s), theirs)
        cronrow.drop_lock(self.s)
        # Long before it would have grown old.
        self.wait_ran(event, 20)

    def test_lock_older_than_its_timeout_is_taken_over(self):
        begun = time.monotonic()
        cronrow.set_lock(self.s, self.stamp(ago=36))
        event = self.put_due()
        self.wait_ran(event, 20)
        self.assertGreater(time.monotonic() - begun, 2)
        self.s.wait_until(lambda: cronrow.lock(self.s) is None, 20)

    def test_lock_from_the_far_future_does_not_hold(self):
        cronrow.set_lock(self.s, self.stamp(ago=-3600))
        self.wait_ran(self.put_due(), 20)

    def test_lock_that_arrives_as_a_ping_s_key_is_ours(self):
        theirs = self.stamp()
        cronrow.set_lock(self.s, theirs)
        event = self.put_due()
        self.assert_still(event, 2)
        self.s.get("/wp-cron.php?doing_wp_cron=" + theirs)
        self.wait_ran(event, 20)

    def test_core_s_own_runner_stands_aside_while_we_work(self):
        # Longer than a boot of PHP takes.
        event = Event(time.time() - 5, "tick_sleep", [8])
        cronrow.put(self.s, [event])
        self.s.wait_until(lambda: "tick_sleep" in self.s.ticks.names())
        later = self.due("tick_b")
        cronrow.put(self.s, [later], keep=True)
        self.s.php("$_GET = array(); require %r;" % os.path.join(
            self.s.root, "wp-cron.php"))
        self.wait_ran(later)
        self.wait_settled()
        self.assertEqual(sorted(self.s.ticks.names()),
                         ["slept", "tick_b", "tick_sleep"])
        row = [r for r in cronrow.ledger(self.s) if r["hook"] == "tick_b"][-1]
        self.assertEqual(row["state"], "done")


class AlternateTest(unittest.TestCase):
    def test_alternate_wp_cron_is_warned_of(self):
        s = cronrow.tick_site(self)
        s.write_config(s.config_extra +
                       "define( 'ALTERNATE_WP_CRON', true );")
        d = s.start_daemon()
        s.wait_until(lambda: "site.ready" in d.log_text())
        line, = [x for x in d.log_text().splitlines()
                 if "site.alternate_cron" in x]
        self.assertRegex(line, r"\bwarn\b")
        # WordPress runs it in the page, the daemon by its clock: one of them.
        event = Event(time.time() - 5, "tick_a", [1])
        cronrow.put(s, [event])
        s.wait_until(lambda: s.ticks.count() > 0, 30)


class MaintenanceTest(SpawnCase):
    daemon_settings = BYSELF

    @classmethod
    def start(cls):
        cls.receiver = cls.s.start_receiver()
        cls.daemon = cls.s.start_daemon(
            daemon=cls.daemon_settings,
            rest="[route]\ntick_native = webhook %s\n" % cls.receiver.url())
        cls.nginx(cls.daemon)
        cls.s.wait_until(lambda: "site.ready" in cls.daemon.log_text())

    def setUp(self):
        super().setUp()
        self.receiver.forget()
        self.addCleanup(self.end)

    def begin(self, upgrading):
        path = os.path.join(self.s.root, ".maintenance")
        with open(path + "-", "w") as f:
            f.write("<?php $upgrading = %s; ?>" % upgrading)
        os.rename(path + "-", path)

    def end(self):
        path = os.path.join(self.s.root, ".maintenance")
        if os.path.exists(path):
            os.unlink(path)

    def test_php_waits_and_native_work_goes_on(self):
        self.begin(int(time.time()))
        self.assertEqual(self.s.get("/")[0], 503)
        held, native = self.due(), self.due("tick_native")
        cronrow.put(self.s, [held, native])
        self.s.wait_until(lambda: self.receiver.report()["requests"] == 1,
                          20, what="the webhook is sent")
        time.sleep(4)
        self.assertEqual(self.s.ticks.names(), [])
        self.end()
        self.wait_ran(held, 30)
        self.wait_settled()
        self.assertEqual(self.s.ticks.names(), ["tick_a"])
        self.assertEqual(self.receiver.report()["requests"], 1)
        row = [r for r in cronrow.ledger(self.s) if r["hook"] == "tick_a"][-1]
        self.assertEqual((row["state"], row["try"]), ("done", 1))

    def test_file_that_was_forgotten_is_ignored(self):
        self.begin(int(time.time()) - 601)
        self.assertEqual(self.s.get("/")[0], 200)
        self.wait_ran(self.put_due(), 20)

    def test_file_that_computes_its_time_holds(self):
        self.begin("time()")
        held = self.put_due()
        time.sleep(4)
        self.assertEqual(self.s.ticks.names(), [])
        self.end()
        self.wait_ran(held, 30)


if __name__ == "__main__":
    unittest.main()
