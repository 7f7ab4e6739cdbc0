"""The daemon works off Event Espresso's queue by itself: urgent messages at
once, the others by the plugin's schedule, and gives it back at the end."""

import time
import unittest

import espresso
import messages

DAEMON = ("node_expiry = 5s\nheartbeat = 1s\nlook_interval = 200ms\n"
          "workers = 4\nphp_children = 2\n")


class DaemonTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = messages.site(cls, daemon=DAEMON,
                              site="messages_rate = 100000/h\n")

    def setUp(self):
        messages.forget(self.s)
        espresso.install(self.s)

    def test_urgent_at_once_and_the_others_at_the_tick(self):
        s = self.s
        d = s.start_daemon(daemon=DAEMON, site="messages_rate = 100000/h\n")
        try:
            time.sleep(3)
            espresso.mic(s, priority=10, message_type="payment", many=2)
            low = espresso.mic(s, priority=30, message_type="newsletter",
                               many=3)
            s.wait_until(lambda: espresso.count(s, "MSN") == 2, 30)
            self.assertEqual(espresso.statuses(s)[low], "MIC")
            self.assertEqual(espresso.window(s)[0], 0)
            espresso.schedule(s, "send")
            espresso.schedule(s, "generate")
            s.wait_until(lambda: espresso.count(s, "MSN") == 5, 30)
        finally:
            d.stop()
        self.assertEqual(messages.letters(s), {})


if __name__ == "__main__":
    unittest.main()
