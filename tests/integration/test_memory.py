"""Memory does not grow with what was done: 100,000 native jobs and as many
pings as the time allows."""

import http.client
import os
import threading
import time
import unittest

from stack import Stack, rss_anon_kib

JOBS = int(os.environ.get("JOBS", "100000"))
PING_SECONDS = 15
MOST_KIB = 16 * 1024
GROWTH_KIB = 2 * 1024


class MemoryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site()
        s.install_action_scheduler()
        cls.receiver = s.start_receiver()
        cls.daemon = s.start_daemon(
            daemon="log_level = warn\nhost_concurrency = 64\n",
            site="cron = no",
            rest="[route]\ndemo_webhook = webhook %s\n" % cls.receiver.url())
        s.start_nginx(daemon=cls.daemon, http_extra="keepalive_timeout 60;")

    def rss(self):
        return rss_anon_kib(self.daemon.pid)

    def run_jobs(self, n):
        first = self.s.insert_actions(n, "demo_webhook")
        self.s.wait_until(lambda: self.s.count(
            "status <> 'complete' AND action_id >= %s", (first,)) == 0,
            280, interval=0.5)

    def ping(self, seconds, threads=4):
        """Pings over connections that are kept; their number."""
        counts = [0] * threads
        end = time.monotonic() + seconds

        def run(i):
            c = http.client.HTTPConnection("127.0.0.1", self.s.http_port)
            while time.monotonic() < end:
                c.request("GET", "/wp-cron.php?doing_wp_cron")
                r = c.getresponse()
                r.read()
                assert r.status == 200, r.status
                counts[i] += 1
            c.close()
        pool = [threading.Thread(target=run, args=(i,))
                for i in range(threads)]
        for t in pool:
            t.start()
        for t in pool:
            t.join()
        return sum(counts)

    def test_memory_is_flat(self):
        if self.s.variant != "release":
            self.skipTest("a sanitizer keeps what was freed")
        self.run_jobs(JOBS // 10)
        self.ping(2)
        warm = self.rss()
        begun = time.monotonic()
        self.run_jobs(JOBS - JOBS // 10)
        took = time.monotonic() - begun
        jobs = self.rss()
        pings = self.ping(PING_SECONDS)
        after = self.rss()
        print("       RssAnon %d KiB after %d jobs, %d after %d (%.0f/s), %d"
              " after %d pings (%.0f/s)" % (
                  warm, JOBS // 10, jobs, JOBS, JOBS * 0.9 / took, after,
                  pings, pings / PING_SECONDS), flush=True)
        self.assertEqual(self.receiver.report()["distinct"], JOBS)
        self.assertLess(max(jobs, after), MOST_KIB)
        self.assertLess(max(jobs, after) - warm, GROWTH_KIB)


if __name__ == "__main__":
    unittest.main()
