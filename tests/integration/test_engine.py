"""What the engine decides: who gets work, when, and for how long."""

import os
import time
import unittest

from stack import Stack


class WorkersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        cls.notes = s.path("notes.txt")
        with open(cls.notes, "w"):
            os.chmod(cls.notes, 0o666)
        s.start_site(config_extra="define( 'WPCRON_DEMO_LOG', '%s' );"
                     % cls.notes)
        s.install_action_scheduler()
        s.start_daemon()

    def left(self):
        return self.s.count("status IN ('pending', 'in-progress')")

    def pids(self, hook):
        """Which PHP processes ran the hook, in order."""
        with open(self.notes) as f:
            return [line.rsplit(" ", 1)[1].strip() for line in f
                    if line.startswith(hook + " ")]

    def test_due_rows_go_to_every_free_php_worker(self):
        first = self.s.insert_actions(50, "demo_sleep_ms", "[40]")
        self.s.wait_until(lambda: self.left() == 0, 20)
        self.assertEqual(self.s.statuses("action_id >= %s", (first,)),
                         {"complete": 50})
        self.assertEqual(len(set(self.pids("demo_sleep_ms"))), 2)
        both = set(self.pids("demo_sleep_ms")[:10])
        self.assertEqual(len(both), 2, "one worker ran before the other")

    def test_a_backlog_for_php_is_not_left_to_the_clock(self):
        """20 batches of 25: if each waited for the next look at the clock,
        this would take 10 s and more."""
        begun = time.monotonic()
        self.s.insert_actions(500, "demo_nothing")
        self.s.insert_actions(300, "action_scheduler_run_queue")
        self.s.wait_until(lambda: self.left() == 0, 60)
        print("       800 rows in %.1f s" % (time.monotonic() - begun),
              flush=True)

    def test_an_index_that_goes_away_is_noticed_and_costs_no_claim(self):
        """Error 1176 makes the claimer probe anew; it stays the same node, so
        that what its workers hold stays theirs."""
        nodes = "SELECT GROUP_CONCAT(node_id) AS n FROM wp_wpcron_nodes"
        before = self.s.value(nodes)
        key = "claim_id_status_scheduled_date_gmt"
        self.s.mysql("ALTER TABLE wp_actionscheduler_actions DROP KEY " + key)
        try:
            first = self.s.insert_actions(5, "demo_nothing")
            self.s.wait_until(lambda: self.left() == 0, 20)
            self.assertEqual(self.s.statuses("action_id >= %s", (first,)),
                             {"complete": 5})
            self.assertEqual(self.s.value(nodes), before)
        finally:
            self.s.mysql(
                "ALTER TABLE wp_actionscheduler_actions ADD KEY %s"
                " (claim_id, status, scheduled_date_gmt)" % key)


if __name__ == "__main__":
    unittest.main()
