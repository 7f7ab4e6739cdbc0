"""Hours under mixed load: everything ends, nothing grows.

SOAK_SECONDS (an hour by `make soak`). Batches of native, PHP and failing
actions, pings all the time, and now and then a neighbour that goes away:
php-fpm killed, MariaDB stopped and started, the daemon killed.
"""

import os
import random
import signal
import time
import unittest

from stack import Stack, rss_anon_kib

SECONDS = float(os.environ.get("SOAK_SECONDS", "3600"))
RSS_MAX_KIB = 10 * 1024


class MixedSoak(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("SOAK_SEED", time.time()))
        self.random = random.Random(self.seed)
        self.s = s = Stack()
        self.addCleanup(s.close)
        self.receiver = s.start_receiver()
        s.start_site()
        s.install_action_scheduler()
        self.start_daemon()
        s.start_nginx(daemon=self.daemon)

    def start_daemon(self):
        self.daemon = self.s.start_daemon(
            name="d1", daemon="log_level = warn\nnode_expiry = 3s\n"
            "heartbeat = 1s",
            rest="[route]\ndemo_webhook = webhook %s\n"
            "[policy demo_webhook]\nbackoff = 1s..2s\n" % self.receiver.url())

    def php_fpm_dies(self):
        self.s.php_fpm.kill()
        time.sleep(self.random.uniform(0, 2))
        self.s.start_php_fpm()

    def mariadb_restarts(self):
        self.s.mariadb.stop(number=signal.SIGTERM)
        time.sleep(self.random.uniform(0, 2))
        self.s.start_mariadb()

    def daemon_dies(self):
        self.daemon.kill()
        self.start_daemon()

    def left(self):
        return self.s.count("status IN ('pending', 'in-progress')")

    def test_mixed(self):
        s, n, turn = self.s, 0, 0
        troubles = (self.php_fpm_dies, self.mariadb_restarts,
                    self.daemon_dies)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            turn += 1
            for hook, most in (("demo_webhook", 500), ("demo_nothing", 100),
                               ("demo_fail", 5)):
                k = self.random.randint(1, most)
                s.insert_actions(k, hook, spread=2)
                n += k
            for _ in range(20):
                self.assertEqual(s.get("/wp-cron.php")[0], 200)
            if turn % 5 == 0:
                trouble = self.random.choice(troubles)
                print("soak: seed %d, turn %d: %s, %d actions, %d KiB" % (
                    self.seed, turn, trouble.__name__, n,
                    rss_anon_kib(self.daemon.pid)), flush=True)
                trouble()
            # What PHP ran for a daemon that died is only taken back when PHP's
            # own time for it is over.
            s.wait_until(lambda: not self.left(), 900,
                         what="turn %d has ended" % turn)
            # The sanitizers' shadows are theirs.
            if s.variant == "release":
                self.assertLess(rss_anon_kib(self.daemon.pid), RSS_MAX_KIB)
        # Retries are rows of their own; nothing that was asked is missing.
        self.assertGreaterEqual(s.count(), n)
        self.assertEqual(s.count("status NOT IN ('complete', 'failed',"
                                 " 'canceled')"), 0)
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
