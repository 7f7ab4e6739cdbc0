"""The daemon works off Event Espresso's queue by itself: urgent messages at
once, the others by the plugin's schedule, and gives it back at the end."""

import re
import time
import unittest

import espresso
import messages
from newspack import set_option

DAEMON = ("node_expiry = 20s\nheartbeat = 1s\nlook_interval = 200ms\n"
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
            s.wait_until(lambda: self.left() == 0, 10)
            espresso.schedule(s, "send")
            espresso.schedule(s, "generate")
            s.wait_until(lambda: espresso.count(s, "MSN") == 5, 30)
        finally:
            d.stop()
        self.assertEqual(messages.letters(s), {})

    def test_the_interval_is_the_clock_where_the_events_are_lost(self):
        s = self.s
        low = espresso.message(s, "MID", 30)
        d = s.start_daemon(daemon=DAEMON, site="messages_rate = 100000/h\n")
        try:
            s.wait_until(lambda: self.tick() is not None, 30)
            time.sleep(2)
            self.assertEqual(espresso.statuses(s)[low], "MID")
            s.mysql("UPDATE wp_wpcron_meta SET value = value - 400"
                    " WHERE name = 'messages/1/tick'")
            s.wait_until(lambda: espresso.statuses(s)[low] == "MSN", 30)
            self.assertAlmostEqual(int(self.tick()), time.time(), delta=20)
        finally:
            d.stop()

    def test_php_is_kept_idle_while_the_window_is_used_up(self):
        s = self.s
        site = "messages_rate = 1/h\n"
        d = s.start_daemon(daemon=DAEMON, site=site)
        try:
            for _ in range(3):
                espresso.message(s, "MID", 10)
            s.wait_until(lambda: espresso.count(s, "MSN") == 1, 30)
            time.sleep(3)
            until = int(time.time()) + 100
            set_option(s, espresso.RATE, {0: 0, 1: until})
            s.wait_until(lambda: espresso.window(s)[1] > until + 500, 60)
            self.assertEqual(espresso.count(s, "MSN"), 1)
        finally:
            d.stop()

    def test_in_same_request_mode_php_s_batches_go_on(self):
        """What was queued before is sent by nobody else."""
        s = self.s
        d = s.start_daemon(daemon=DAEMON, site="messages_rate = 100000/h\n")
        try:
            s.wait_until(lambda: espresso.window(s), 30)
            espresso.same_request(s)
            ids = [espresso.message(s, "MID", 10), espresso.mic(s, 30, many=1)]
            s.wait_until(lambda: espresso.window(s) is None, 30)
            self.assertEqual(list(espresso.statuses(s)), ids)
            espresso.schedule(s, "generate")
            # Two events may run side by side.
            s.wait_until(lambda: espresso.count(s, "MID", "MSN") == 2, 60)
            espresso.schedule(s, "send")
            s.wait_until(lambda: espresso.count(s, "MSN") == 2, 60)
            espresso.same_request(s, False)
            s.wait_until(lambda: self.left() == 0, 90)
            espresso.message(s, "MID", 10)
            s.wait_until(lambda: espresso.count(s, "MSN") == 3, 30)
        finally:
            d.stop()

    def test_what_replaces_the_plugin_s_batches_has_its_turn(self):
        s = self.s
        set_option(s, "wpcron_test_replaced", "1")
        d = s.start_daemon(daemon=DAEMON, site="messages_rate = 100000/h\n")
        try:
            s.wait_until(lambda: "chore.held" in d.log_text(), 30)
            espresso.schedule(s, "send")
            s.wait_until(lambda: espresso.calls(s, "instead"), 60)
        finally:
            d.stop()

    def test_without_the_plugin_or_its_tables_it_is_off_and_says_so(self):
        s = self.s
        off = re.compile(r"queue\.off .*queue=messages")
        plugins = s.option("active_plugins")
        for name in "the plugin", "its tables":
            with self.subTest(without=name):
                if name == "the plugin":
                    set_option(s, "active_plugins", [])
                else:
                    s.mysql("RENAME TABLE wp_esp_message TO wp_away")
                d = s.start_daemon(daemon=DAEMON)
                try:
                    s.wait_until(lambda: off.search(d.log_text()), 30)
                    time.sleep(3)
                finally:
                    d.stop()
                    set_option(s, "active_plugins", plugins)
                    if name == "its tables":
                        s.mysql("RENAME TABLE wp_away TO wp_esp_message")
                self.assertEqual(len(off.findall(d.log_text())), 1)
            messages.forget(s)

    def left(self):
        """What PHP's own batches may send; None: no limit is stored."""
        window = espresso.window(self.s)
        return window and window[0]

    def tick(self):
        return self.s.value("SELECT MAX(value) FROM wp_wpcron_meta"
                            " WHERE name = 'messages/1/tick'")


if __name__ == "__main__":
    unittest.main()
