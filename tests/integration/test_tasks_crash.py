"""Tasks of a transient queue where somebody dies, or somebody else works."""

import threading
import time
import unittest

from tasks_case import QUEUE, TasksCase, task


class Crashes(TasksCase):
    config = "allow_hosts = 127.0.0.1\ntimeout = 30s\n"

    def calls(self, n):
        return [task("http_request", {"url": self.server.url("/%d" % i)})
                for i in range(n)]

    def end_terms(self):
        """The terms of leases and claims of who died are over."""
        self.s.mysql("UPDATE wp_wpcron_leases SET expires_at ="
                     " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND"
                     " WHERE name LIKE 'tasks/%%'")
        self.s.mysql("UPDATE wp_wpcron_tasks SET claimed_until ="
                     " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND"
                     " WHERE claim_id <> 0")
        self.s.mysql("DELETE FROM wp_options WHERE option_name LIKE %s",
                     ("%\\_" + QUEUE + "\\_lock",))

    def test_killed_at_the_fifth_of_ten_calls_four_are_not_repeated(self):
        killed = threading.Event()

        def answer(call):
            if call["path"] == "/4":
                killed.wait(25)
            return 200, {}, b""
        self.server.answer = answer
        self.put(*self.calls(10))
        process = self.begin_tasks()
        self.s.wait_until(lambda: "/4" in self.server.paths())
        process.kill()
        process.communicate()
        killed.set()
        self.assertEqual(self.states(), ["done"] * 4 + ["running"] +
                         ["claimed"] * 5)
        self.end_terms()
        report = self.run_tasks()
        # What was begun counts as a try, and waits as after any.
        self.assertEqual(report["done"], 5, self.said)
        self.make_due()
        self.assertEqual(self.run_tasks()["done"], 1)
        paths = self.server.paths()
        self.assertEqual([paths.count("/%d" % i) for i in range(10)],
                         [1] * 4 + [2] + [1] * 5)
        self.assertEqual(self.states(), ["done"] * 10)

    def test_a_stop_ends_after_the_task_in_hand(self):
        told = threading.Event()

        def answer(call):
            if call["path"] == "/2":
                told.wait(25)
            return 200, {}, b""
        self.server.answer = answer
        self.put(*self.calls(20))
        process = self.begin_tasks()
        self.s.wait_until(lambda: len(self.server.paths()) >= 3)
        process.terminate()
        told.set()
        report = self.end_tasks(process)
        self.assertEqual(report["done"], len(self.server.paths()))
        self.assertLess(report["done"], 10)
        self.assertEqual(set(self.states()), {"done", "ready"})
        self.assertIsNone(self.lock())
        self.assertEqual(self.run_tasks()["done"], 20 - report["done"])
        self.assertEqual(len(self.server.paths()), 20)

    def test_a_stop_ends_what_takes_longer_than_its_grace(self):
        self.configure(config="allow_hosts = 127.0.0.1\ntimeout = 60s",
                       daemon="shutdown_grace = 1s\n")
        self.server.answer = lambda c: (time.sleep(50), (200, {}, b""))[1]
        for slow, begun in (
                (self.calls(1)[0], self.server.paths),
                (task("sleep", {"seconds": 50}), self.log)):
            self.s.mysql("DELETE FROM wp_wpcron_tasks")
            self.put(slow, task("note", 2))
            process = self.begin_tasks()
            self.s.wait_until(begun)
            began = time.time()
            process.terminate()
            report = self.end_tasks(process)
            self.assertLess(time.time() - began, 15)
            self.assertEqual((report["done"], report["failed"]), (0, 1))
            self.assertEqual(self.states(), ["delayed", "ready"])

    def test_who_waited_too_long_for_php_runs_none_twice(self):
        self.configure(config="lock_ttl = 5s")
        self.put(*[task("note", i) for i in range(3)])
        late = self.begin_tasks(place=10000)
        self.s.wait_until(lambda: self.states() == ["claimed"] * 3)
        self.end_terms()
        self.assertEqual(self.run_tasks()["done"], 3)
        self.assertEqual(self.end_tasks(late)["done"], 0)
        self.assertEqual(self.log(), ["note 0", "note 1", "note 2"])

    def test_two_processes_beside_each_other_run_none_twice(self):
        self.put(*self.calls(60), *[task("note", i) for i in range(60)])
        both = [self.begin_tasks(**{"for": 6000}) for _ in range(2)]
        reports = [self.end_tasks(p) for p in both]
        self.assertEqual(sum(r["done"] for r in reports), 120, reports)
        self.assertEqual(len(set(self.server.paths())), 60)
        self.assertEqual(len(self.server.paths()), 60)
        self.assertEqual(len(self.log()), 60)

    def test_a_lost_connection_loses_no_outcome(self):
        def answer(call):
            if call["path"] == "/2":
                for row in self.s.mysql(
                        "SELECT id FROM information_schema.processlist"
                        " WHERE user = 'wp' AND id <> CONNECTION_ID()"):
                    self.s.mysql("KILL %d" % row["id"])
            return 200, {}, b""
        self.server.answer = answer
        self.put(*self.calls(5))
        self.run_tasks()
        self.end_terms()
        self.run_tasks()
        self.assertEqual(self.server.paths(), ["/%d" % i for i in range(5)])
        self.assertEqual(self.states(), ["done"] * 5)

    # ---- PHP's lock -----------------------------------------------------

    def hold_lock(self, age=0, ttl=60, timeout_row=True):
        now = int(time.time())
        name = QUEUE + "_lock"
        if timeout_row:
            self.set_option("_transient_timeout_" + name,
                            str(now - age + ttl))
        self.set_option("_transient_" + name, str(now - age))

    def test_php_at_work_is_waited_for(self):
        self.put(task("note", 1))
        self.hold_lock()
        report = self.run_tasks()
        self.assertEqual((report["taken"], report["done"]), (0, 0))
        self.assertIn("_lock", report["held"])
        self.assertGreater(report["wait_ms"], 0)
        self.assertEqual(len(self.stored()), 1)
        self.assertIsNotNone(self.lock())

    def test_an_orphan_of_a_lock_is_taken_over(self):
        for age, row in ((61, True), (61, False), (5, False)):
            self.put(task("note", age))
            self.hold_lock(age=age, timeout_row=row)
            self.assertEqual(self.run_tasks()["done"], 1, (age, row))
            self.assertIsNone(self.lock())

    def test_the_lock_is_ours_while_we_work(self):
        seen = []

        def answer(call):
            seen.append(self.lock())
            self.s.php("require '%s/wp-load.php';"
                       " do_action( 'myplugin_process_queue' );" % self.s.root)
            return 200, {}, b""
        self.server.answer = answer
        self.configure(config="allow_hosts = 127.0.0.1\ntimeout = 20s")
        self.put(*self.calls(2), task("note", 1))
        self.assertEqual(self.run_tasks()["done"], 3)
        self.assertEqual([bool(v) for v in seen], [True, True])
        self.assertEqual(self.log(), ["note 1"])


if __name__ == "__main__":
    unittest.main()
