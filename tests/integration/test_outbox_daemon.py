"""The daemon is killed while mails go out over several connections: every mail
arrives, and what does twice was on its way when a daemon died."""

import collections
import random
import time
import unittest

from outboxes import Outbox, site
from smtp_stand_in import SmtpStandIn

CONNECTIONS = 4
KILLS = 4
MAILS = 600
RELAY = """
[smtp relay]
host = 127.0.0.1
port = %d
security = none
concurrency = %d
connect_timeout = 2s
reply_timeout = 2s
data_timeout = 4s
backoff = 1s..4s
unknown_retry_after = 1s
"""


class Crash(unittest.TestCase):
    def test_kill_9_with_several_connections(self):
        s = site()
        self.addCleanup(s.close)
        relay = SmtpStandIn()
        self.addCleanup(relay.close)
        # As long as mails are on their way, several are.
        relay.stall("end", 0.05, times=None)
        box = Outbox(s, relay.port)
        box.send(tend_only=1)  # the tables
        mails = box.put_many(MAILS)

        def start(n):
            return s.start_daemon(
                name="crash%d" % n, daemon="node_expiry = 2s\n",
                site="smtp = relay\n", rest=RELAY % (relay.port, CONNECTIONS))

        random.seed(7)
        daemon = start(0)
        for n in range(1, KILLS + 1):
            seen = len(relay.mails)
            s.wait_until(lambda: len(relay.mails) >= seen + 20, 60,
                         what="the daemon sends")
            time.sleep(random.uniform(0, 0.2))
            daemon.kill()
            # Its connections do not count beside those of the next.
            s.wait_until(lambda: relay.open == 0)
            daemon = start(n)
        s.wait_until(lambda: box.states() == {"sent": MAILS}, 180,
                     what="all are sent: %s" % box.states())
        got = collections.Counter(m.header("Message-ID") for m in relay.mails)
        self.assertEqual(len(got), len(mails))
        doubles = sum(got.values()) - len(mails)
        print("%d kills, %d connections, %d mails, %d doubles"
              % (KILLS, relay.peak, MAILS, doubles))
        self.assertLessEqual(doubles, KILLS * CONNECTIONS)
        self.assertGreater(relay.peak, 1, "one connection at a time")
        self.assertLessEqual(relay.peak, CONNECTIONS)
        self.assertEqual(relay.violations, [])


if __name__ == "__main__":
    unittest.main()
