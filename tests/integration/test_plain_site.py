"""A WordPress without Action Scheduler, until a plugin brings it."""

import json
import time
import unittest

from stack import Stack


class PlainSiteTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site()
        cls.daemon = s.start_daemon()
        s.start_nginx(daemon=cls.daemon)

    def test_1_core_s_own_events_run(self):
        self.s.wp_eval("wp_schedule_single_event( time() - 1,"
                       " 'demo_nothing', array( 'plain' ) );")
        self.s.wait_until(
            lambda: "demo_nothing" not in self.s.option("cron"), 40,
            what="the event is not in the cron row")

    def health(self):
        status, _, body = self.s.get("/wp-cron-fcgi/healthz")
        return status, json.loads(body)

    def test_2_the_site_is_well_and_nothing_is_due(self):
        # WordPress' own recurring events have their next times.
        self.s.wait_until(
            lambda: self.health()[1]["running"] == 0 and
            (self.health()[1]["next_due"] or time.time()) > time.time() - 2,
            20, what="what was due has run")
        status, health = self.health()
        self.assertEqual((status, health["status"], health["outbound"]),
                         (200, "ok", "open"))
        self.assertIn("queue.off site=default queue=actions",
                      self.daemon.log_text())

    def test_3_tables_that_appear_are_found(self):
        self.s.install_action_scheduler()
        first = self.s.insert_actions(5, "demo_nothing")
        self.s.wait_until(
            lambda: self.s.statuses("action_id >= %s", (first,)) ==
            {"complete": 5}, 90, what="actions of the new tables have run")


if __name__ == "__main__":
    unittest.main()
