"""Rows that the plugin writes in PHP, as the program counts and retries them."""

import json
import time
import unittest

from stack import Stack

TOKEN = "word-of-a-test"


class PluginRowsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(plugins=("wpcron-demo", "wpcron-contract"))
        s.start_php_fpm()
        s.install_action_scheduler()
        cls.daemon = s.start_daemon(
            site="cron_token = " + TOKEN,
            # Not while the first ones are waited for.
            rest="[policy demo_fail]\nretries = 1\nbackoff = 5s..5s\n")
        s.start_nginx(daemon=cls.daemon)

    def wait(self):
        status, _, body = self.s.request(
            "GET", "/wp-cron.php?wait=20",
            headers={"Authorization": "Bearer " + TOKEN})
        return status, json.loads(body)["queues"]["actions"]

    def test_a_failure_that_php_wrote_is_a_failure(self):
        first = self.s.insert_actions(1, "demo_fail", logs=True)
        ok = self.s.insert_actions(2, "demo_nothing")
        status, counts = self.wait()
        self.assertEqual(
            (status, counts["done"], counts["failed"]), (207, 2, 1))
        self.assertEqual(self.s.statuses("action_id >= %s", (ok,))["complete"],
                         2)
        failures = [x for x in self.s.logs(first) if " failed via " in x]
        self.assertEqual(len(failures), 1)
        self.s.wait_until(lambda: "job.not_done" in self.daemon.log_text(), 20)
        # The policy's one retry is a fresh row, and the last.
        self.s.wait_until(
            lambda: self.s.statuses("hook = 'demo_fail'") == {"failed": 2},
            30, what="the retry has failed too")
        self.assertEqual(self.s.count("hook = 'demo_fail'"), 2)


class ReplacedStoreTest(unittest.TestCase):
    """A site whose actions are kept elsewhere, with rows left in the tables."""

    def test_nothing_is_claimed_once_php_has_said_so(self):
        s = Stack()
        self.addCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(plugins=("wpcron-demo", "wpcron-contract"))
        s.start_php_fpm()
        s.install_action_scheduler()
        s.wp_eval("update_option( 'wpcron_contract_other_store', 1 );")
        receiver = s.start_receiver()
        s.insert_actions(1, "demo_nothing")
        d = s.start_daemon(
            daemon="look_interval = 100ms\n",
            rest="[route]\ndemo_webhook = webhook %s\n" % receiver.url())
        off = "queue.off site=default queue=actions"
        s.wait_until(lambda: off in d.log_text())
        self.assertIn("WPCron_Contract_Other_Store", d.log_text())
        # What was claimed before that is given back.
        s.wait_until(lambda: s.count("claim_id = 0") == 1)
        s.insert_actions(5, "demo_webhook")
        s.insert_actions(5, "demo_nothing")
        time.sleep(1)
        self.assertEqual(s.count("status = 'pending' AND claim_id = 0 AND"
                                 " attempts = 0"), 11)
        self.assertEqual(receiver.report()["requests"], 0)
        self.assertEqual(d.log_text().count(off), 1)


if __name__ == "__main__":
    unittest.main()
