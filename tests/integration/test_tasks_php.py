"""Tasks of a transient queue whose handlers are functions of the site."""

import datetime
import unittest

from tasks_case import TasksCase, task


class Functions(TasksCase):
    def test_tasks_run_once_in_the_order_of_their_arrival(self):
        self.put(*[task("note", {"n": i}) for i in range(25)])
        report = self.run_tasks()
        self.assertEqual((report["rc"], report["held"]), ("ok", ""), self.said)
        self.assertEqual((report["taken"], report["done"]), (25, 25))
        self.assertEqual(self.log(), ['note {"n":%d}' % i for i in range(25)])
        self.assertEqual(self.stored(), {})
        self.assertIsNone(self.lock())
        self.assertEqual(self.run_tasks()["done"], 0)

    def test_a_method_of_a_class_is_a_function(self):
        self.put(task("method", ["x"]))
        self.assertEqual(self.run_tasks()["done"], 1)
        self.assertEqual(self.log(), ['method ["x"]'])

    def test_what_fails_waits_and_then_is_a_dead_letter(self):
        self.put(task("fail", {"n": 1}, extra="kept", backoff=60),
                 task("note"))
        begun = self.now()
        report = self.run_tasks()
        self.assertEqual((report["done"], report["failed"]), (1, 1))
        self.assertEqual(report["wait_ms"], 0, report)
        for wait, failed, dead in ((60, 1, 0), (120, 0, 1)):
            wait = datetime.timedelta(seconds=wait)
            due = self.s.value("SELECT available_at FROM wp_wpcron_tasks"
                               " WHERE state = 'delayed'")
            self.assertTrue(begun + wait <= due <= self.now() + wait,
                            (begun, due))
            self.assertEqual(self.run_tasks()["failed"], 0)
            self.make_due()
            begun = self.now()
            report = self.run_tasks()
            self.assertEqual((report["failed"], report["dead"]),
                             (failed, dead))
        self.assertEqual(self.log().count('fail {"n":1}'), 3)
        letter, = self.dead()
        self.assertEqual((letter["title"], letter["attempts"]), ("fail", 3))
        self.assertIn(b's:5:"extra";s:4:"kept";', letter["payload"])
        self.assertIn("returned false", letter["reason"])

    def now(self):
        return self.s.value("SELECT UTC_TIMESTAMP(6)")

    def test_one_that_throws_or_ends_php_costs_only_itself(self):
        kinds = ["throw", "error", "exit", "kill", "absent"]
        tasks = []
        for i, kind in enumerate(kinds):
            tasks += [task(kind, i, max_attempts=1), task("note", i)]
        self.put(*tasks)
        report = self.run_tasks()
        self.assertEqual((report["done"], report["dead"]), (5, 5), self.said)
        ran = [line.split()[0] for line in self.log()]
        self.assertEqual(ran, ["throw", "note", "error", "note", "exit",
                               "note", "kill", "note", "note"])
        reasons = {r["title"]: r["reason"] for r in self.dead()}
        self.assertIn("thrown by a task", reasons["throw"])
        self.assertIn("myplugin_is_not_defined", reasons["error"])
        self.assertIn("exit or die", reasons["exit"])
        self.assertIn("PHP ended", reasons["kill"])
        self.assertIn("no function myplugin_absent", reasons["absent"])

    def test_one_does_not_colour_the_next(self):
        self.put(task("hooks", 1), task("hooks", 2))
        self.assertEqual(self.run_tasks()["done"], 2)
        self.assertEqual(self.log(), ["plain 1", "plain 2"])

    def test_what_is_put_off_to_shutdown_ends_the_boot(self):
        self.put(task("later", 1), task("note", 2))
        self.assertEqual(self.run_tasks()["done"], 2)
        self.assertEqual(self.log(), ["later 1", "shutdown 1", "note 2"])

    def test_what_fails_at_shutdown_has_failed(self):
        self.put(task("later", "kill", max_attempts=1),
                 task("later", "throw", max_attempts=1), task("note", 2))
        report = self.run_tasks()
        self.assertEqual((report["done"], report["dead"]), (1, 2), self.said)
        self.assertEqual(self.log(), [
            'later "kill"', 'shutdown "kill"', 'later "throw"',
            'shutdown "throw"', "note 2"])
        killed, thrown = sorted(r["reason"] for r in self.dead())
        self.assertIn("PHP ended", killed)
        self.assertIn("thrown at shutdown", thrown)

    def test_one_that_is_over_its_time_has_failed(self):
        # What follows has no more time than that.
        self.configure(config="timeout = 5s")
        self.put(task("sleep", {"seconds": 20}), task("note", 2))
        report = self.run_tasks()
        self.assertEqual((report["done"], report["failed"]), (1, 1), self.said)
        self.assertEqual(self.log()[1], "note 2")

    def test_a_delayed_task_does_not_hold_up_others(self):
        later = 4000000000
        self.put(*[task("note", i, available_after=later)
                   for i in range(1000)], task("note", "ready"))
        report = self.run_tasks()
        self.assertEqual((report["taken"], report["done"]), (1001, 1))
        self.assertEqual(self.log(), ['note "ready"'])


if __name__ == "__main__":
    unittest.main()
