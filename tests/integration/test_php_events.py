"""Cron events in the PHP worker, against a real php-fpm, MariaDB and
WordPress: fired as wp-cron.php does, one apart from the other."""

import json
import subprocess
import time
import unittest

import events_table
from events_table import CLAIM
from stack import ROOT
from test_php_executor import PhpCase, Reply, nobody, php_site, tcp_pool

NONE = "a:0:{}"


def one(text):
    """Serialized arguments: one string."""
    data = text if isinstance(text, bytes) else text.encode()
    return b'a:1:{i:0;s:%d:"%s";}' % (len(data), data)


class EventCase(PhpCase):
    @classmethod
    def setUpClass(cls):
        cls.s = php_site(cls, plugins=cls.plugins)
        events_table.create(cls.s)

    plugins = ("wpcron-misbehave",)

    def setUp(self):
        super().setUp()
        self.s.mysql("DELETE FROM wp_wpcron_events")

    def event(self, hook, args=NONE, recurrence="", prefix="misbehave_",
              blog=1):
        """A taken event of ours: (id, its line)."""
        with self.s.connect() as db, db.cursor() as c:
            c.execute(events_table.insert_sql(
                self.s, 1700000000, prefix + hook, "k", "", recurrence,
                claim=CLAIM, blog=blog))
            event = c.lastrowid
        return event, events_table.job_line(
            self.s, event, prefix + hook, args, recurrence)

    def run_events(self, events, **options):
        return self.finish(self.start_lines(
            [line for _, line in events], **options))

    def ten_events(self, hook, args=NONE, **options):
        """Ten events of which the 7th is `hook`; (reply, its outcome)."""
        events = [self.event(hook, args) if i == 6 else
                  self.event("ok", "a:1:{i:0;i:%d;}" % i) for i in range(10)]
        reply = self.run_events(events, **options)
        return reply, next(o for o in reply.outcomes
                           if o.job == events[6][0])

    def states(self):
        return events_table.states(self.s)


class EventTest(EventCase):
    def test_events_run_in_their_order_in_one_request(self):
        reply, _ = self.ten_events("ok")
        self.assertEqual(reply.kinds(), ["done"] * 10)
        self.assertEqual(reply.requests, 1)
        self.assertEqual(self.notes(), ["ok [%d]" % i if i != 6 else "ok []"
                                        for i in range(10)])
        self.assertEqual(self.states(), {"running": 10})

    def test_arguments_arrive_byte_for_byte(self):
        every_byte = bytes(range(256))
        for args in (
                one("plain"), one("tab\tquote\"newline\n"), one(every_byte),
                one("žluťoučký"), b'a:2:{i:0;s:1:"a";i:1;i:1;}',
                b'a:1:{i:0;a:1:{s:1:"x";a:1:{i:0;d:0.1;}}}',
                b'a:3:{i:0;b:1;i:1;N;i:2;d:1.5;}',
                b'a:1:{i:0;O:8:"stdClass":1:{s:1:"a";i:1;}}',
                b'a:1:{i:0;O:10:"Not_Loaded":1:{s:4:"\0*\0a";i:1;}}'):
            with self.subTest(args[:40]):
                open(self.s.notes, "w").close()
                reply = self.run_events([self.event("bytes", args)])
                self.assertEqual(reply.kinds(), ["done"])
                self.assertEqual(self.notes()[-1], "bytes are " + args.hex())

    def test_a_hook_of_any_bytes_without_callbacks_is_done(self):
        reply = self.run_events(
            [self.event("nobody"), self.event("žluťoučký", prefix="")])
        self.assertEqual(reply.kinds(), ["done", "done"])

    def test_arguments_that_are_none_fail(self):
        for args in (b"", b"a:1:{i:0;", b"i:1;", b"b:0;"):
            with self.subTest(args):
                reply = self.run_events([self.event("ok", args)])
                self.assertEqual(reply.kinds(), ["failed"])
                self.assertIn("arguments", reply.outcomes[0].message)
        self.assertEqual(self.notes(), [])

    def test_an_exception_costs_its_event_alone_and_says_where(self):
        for hook, words in (
                ("throw", "thrown"),
                ("undefined", "Call to undefined function"),
                ("parse", "syntax error, unexpected identifier")):
            with self.subTest(hook):
                reply, o = self.ten_events(hook)
                self.assertEqual(
                    reply.kinds(), ["done"] * 6 + ["failed"] + ["done"] * 3)
                self.assertRegex(o.message, "^%s.* in .*wpcron-misbehave.php"
                                 ".* on line [0-9]+$" % words)

    def test_a_fatal_error_costs_its_event_alone_and_says_where(self):
        for hook, words in (("memory", "Allowed memory size of"),
                            ("redeclare", "Cannot declare class"),
                            ("user_error", "asked for")):
            with self.subTest(hook):
                self.s.mysql("DELETE FROM wp_wpcron_events")
                reply, o = self.ten_events(hook)
                self.assertEqual(
                    reply.kinds(),
                    ["done"] * 6 + ["failed"] + ["released"] * 3)
                self.assertTrue(o.verbatim)
                self.assertRegex(
                    o.message, "^PHP Fatal error %s.* in .*"
                    "wpcron-misbehave.php.* on line [0-9]+$" % words)
                self.assertEqual(self.states(), {"running": 7, "taken": 3})

    def test_exit_costs_its_event_alone(self):
        for hook in ("exit", "die"):
            with self.subTest(hook):
                reply, o = self.ten_events(hook)
                self.assertEqual(
                    reply.kinds(),
                    ["done"] * 6 + ["failed"] + ["released"] * 3)
                self.assertIn("exit or die", o.message)

    def test_a_killed_child_is_a_strike_for_its_event_alone(self):
        reply, o = self.ten_events("kill")
        self.assertEqual(reply.kinds(),
                         ["done"] * 6 + ["died"] + ["released"] * 3)
        self.assertTrue(o.strike)
        self.assertEqual(self.states(), {"running": 7, "taken": 3})

    def test_the_row_runs_for_all_to_see_before_the_callback_does(self):
        p = self.start_lines([self.event("sleep", "a:1:{i:0;i:1;}")[1]])
        self.wait_note("sleep [1]")
        self.assertEqual(self.states(), {"running": 1})
        self.assertEqual(self.finish(p).kinds(), ["done"])

    def test_a_row_that_is_not_ours_is_skipped(self):
        events = [self.event("ok") for _ in range(3)]
        self.s.mysql("UPDATE wp_wpcron_events SET claim_id=5 WHERE event_id=%s",
                     (events[1][0],))
        reply = self.run_events(events)
        self.assertEqual(reply.kinds(), ["done", "lost", "done"])
        self.assertEqual(self.notes(), ["ok []", "ok []"])

    def test_one_event_does_not_colour_the_next(self):
        for hook in ("user", "handler", "echo", "add_closure", "remove",
                     "throw", "warning", "flush", "settings"):
            with self.subTest(hook):
                open(self.s.notes, "w").close()
                reply = self.run_events([self.event(hook), self.event("look")],
                                        again=1)
                self.assertEqual(len(reply.outcomes),
                                 reply.requests + 1, reply.text)
                look = next(json.loads(n[5:]) for n in self.notes()
                            if n.startswith("look {"))
                self.assertEqual(
                    look, {"user": 0, "blog": 1, "level": 1, "value": "plain",
                           "present": "present", "zone": "UTC",
                           "secret": False, "cron": True, "depth": 1,
                           "host": "127.0.0.1:%d" % self.s.http_port})

    def test_an_open_transaction_is_rolled_back_and_the_start_is_not(self):
        reply = self.run_events([
            self.event("transaction"), self.event("transaction", one("throw")),
            self.event("ok")])
        self.assertEqual(reply.kinds(), ["done", "failed", "done"])
        self.assertEqual(self.states(), {"running": 3})
        self.assertIsNone(self.s.option("misbehave_transaction"))

    def test_work_at_shutdown_belongs_to_the_event(self):
        reply, _ = self.ten_events("shutdown")
        self.assertEqual(reply.kinds(), ["done"] * 7 + ["released"] * 3)
        self.assertEqual(self.notes()[-2:],
                         ["at shutdown", "shutdown function"])
        reply, o = self.ten_events("shutdown", one("throw"))
        self.assertEqual(o.kind, "failed")
        self.assertIn("thrown at shutdown in ", o.message)

    def test_an_overrunning_event_is_ended(self):
        begun = time.monotonic()
        reply, o = self.ten_events("sleep", "a:1:{i:0;i:30;}", limit_ms=2000)
        self.assertLess(time.monotonic() - begun, 25)
        self.assertEqual(o.kind, "failed")
        self.assertTrue(o.strike)

    def test_the_budget_bounds_when_events_begin(self):
        events = [self.event("sleep", "a:1:{i:0;d:2.5;}")] + [
            self.event("ok") for _ in range(3)]
        reply = self.run_events(events, budget_ms=2000)
        self.assertEqual(reply.kinds(), ["done"] + ["released"] * 3)
        self.assertEqual(self.states(), {"running": 1, "taken": 3})

    def test_a_lost_connection_does_not_run_an_event_that_is_not_ours(self):
        event, line = self.event("ok")
        gone = self.start_lines([self.event("disconnect")[1], line])
        self.assertEqual(self.finish(gone).kinds(), ["done", "done"])
        self.assertEqual(self.states(), {"running": 2})


class UnheardTest(EventCase):
    """The program is gone when an event ends: PHP writes the row's end."""

    def late(self, then, *args):
        parts = [b"d:0.6;"] + [b's:%d:"%s";' % (len(x), x) for x in (
            text.encode() for text in (then,) + args)]
        return self.event("late", b"a:%d:{%s}" % (
            len(parts), b"".join(b"i:%d;%s" % x for x in enumerate(parts))))

    def killed_under(self, events, **options):
        """The rows after the program was killed while the first ran."""
        open(self.s.notes, "w").close()
        self.flag("hold")
        p = self.start_lines([line for _, line in events], **options)
        self.s.wait_until(lambda: self.notes())
        self.kill(p)
        return self.ended(events)

    def kill(self, p):
        """The program; then what PHP runs may end."""
        p.kill()
        p.communicate()
        self.flag("")

    def ended(self, events):
        def row(event):
            return self.s.mysql("SELECT * FROM wp_wpcron_events"
                                " WHERE event_id=%s", (event,))[0]
        first = events[0][0]
        self.s.wait_until(lambda: row(first)["state"] != "running", 20, 0.05,
                          "an end")
        return [row(event) for event, _ in events]

    def assertEnd(self, row, state, message="^$"):
        self.assertEqual(row["state"], state)
        self.assertEqual(row["claim_id"], CLAIM)
        self.assertIsNotNone(row["ended_at"])
        self.assertGreaterEqual(row["duration_ms"], 600)
        self.assertRegex(row["message"].decode(), message)

    def test_it_is_done_and_the_next_is_not_begun(self):
        for address in ("unix:" + self.s.php_socket, tcp_pool(self)):
            with self.subTest(address):
                rows = self.killed_under(
                    [self.late("ok"), self.event("ok")], address=address)
                self.assertEnd(rows[0], "done")
                self.assertEqual(rows[1]["state"], "taken")
                self.assertIsNone(rows[1]["ended_at"])

    def test_the_last_of_a_batch_is_written_too(self):
        for address in ("unix:" + self.s.php_socket, tcp_pool(self)):
            with self.subTest(address):
                self.assertEnd(self.killed_under(
                    [self.late("ok")], address=address)[0], "done")

    def test_what_was_told_and_not_settled_is_written_too(self):
        events = [self.event("ok"), self.event("throw"), self.late("ok")]
        self.flag("hold")
        p = self.start_lines([line for _, line in events])
        self.wait_note('late [0.6,"ok"]')
        self.kill(p)
        self.ended(events[2:])
        self.assertEqual(self.states(), {"done": 2, "failed": 1})

    def test_a_failure_says_why(self):
        place = " in .*wpcron-misbehave.php.* on line [0-9]+$"
        for then, words in (
                (("throw", "100% '{message}' \\\nčau"),
                 r"^100% '\{message\}' \\ čau" + place),
                (("throw", "x" * 279 + "č" * 300), "^x{279}" + place),
                (("throw", ""), "^DomainException" + place),
                (("memory",), "^PHP Fatal error Allowed memory size.*" + place),
                (("redeclare",), "^PHP Fatal error Cannot declare.*" + place),
                (("exit",), "^the callback ended PHP by exit or die$"),
                (("shutdown", "throw"), "^thrown at shutdown" + place),
                (("transaction", "throw"), "^inside a transaction" + place)):
            with self.subTest(then):
                self.assertEnd(
                    self.killed_under([self.late(*then)])[0], "failed", words)

    def test_what_the_callback_left_does_not_keep_it_from_being_written(self):
        for then in ("transaction", "disconnect", "flush", "shutdown"):
            with self.subTest(then):
                self.assertEnd(
                    self.killed_under([self.late(then)])[0], "done")

    def test_a_row_that_somebody_took_or_ended_is_left_alone(self):
        for change in ("claim_id = 5", "state = 'failed'",
                       "state = 'taken', claim_id = 0"):
            with self.subTest(change):
                self.s.mysql("DELETE FROM wp_wpcron_events")
                open(self.s.notes, "w").close()
                self.flag("hold")
                p = self.start_lines([self.late("sleep", "0")[1]])
                self.s.wait_until(lambda: self.notes())
                self.s.mysql("UPDATE wp_wpcron_events SET " + change)
                before = self.s.mysql("SELECT * FROM wp_wpcron_events")
                self.kill(p)
                self.wait_note("slept")
                time.sleep(0.3)
                self.assertEqual(
                    self.s.mysql("SELECT * FROM wp_wpcron_events"), before)

    def test_where_it_is_heard_php_writes_nothing(self):
        events = [self.late("ok"), self.late("throw"), self.late("exit")]
        for address in ("unix:" + self.s.php_socket, tcp_pool(self)):
            with self.subTest(address):
                self.s.mysql("UPDATE wp_wpcron_events SET state='taken'")
                reply = self.run_events(events, address=address)
                self.assertEqual(reply.kinds(), ["done", "failed", "failed"])
                self.assertEqual(self.states(), {"running": 3})

    def test_a_stop_leaves_it_to_php_where_that_cannot_be_ended(self):
        events = [self.late("throw"), self.event("ok")]
        argv = self.argv(abandon_ms=200)
        for how, kind, state in ((nobody, "lost", "failed"),
                                 (list, "died", "running")):
            if how is nobody and not ROOT:
                continue
            with self.subTest(kind):
                self.s.mysql("UPDATE wp_wpcron_events SET state='taken'")
                self.flag("hold")
                r = subprocess.run(
                    how(argv), input="".join(x[1] + "\n" for x in events),
                    text=True, capture_output=True, timeout=60,
                    env=self.s.sanitizer_env(), cwd=self.s.dir)
                self.flag("")
                self.assertEqual(Reply(r.stdout).kinds(), [kind, "released"],
                                 r.stderr)
                self.s.wait_until(lambda: self.states().get(state))
                time.sleep(1)
                self.assertEqual(self.states(), {state: 1, "taken": 1})


class WithPluginTest(EventCase):
    """Where Action Scheduler runs its own rows, and where it keeps them
    elsewhere: neither is of any matter to events."""

    plugins = ("wpcron-misbehave", "wpcron-contract")

    def test_events_are_fired_beside_the_plugin(self):
        reply, o = self.ten_events("throw")
        self.assertEqual(reply.state["mode"], "plugin")
        self.assertEqual(reply.kinds(),
                         ["done"] * 6 + ["failed"] + ["done"] * 3)
        reply, o = self.ten_events("memory")
        self.assertTrue(o.message.startswith("PHP Fatal error"), o)

    def test_a_foreign_store_refuses_actions_alone(self):
        self.s.wp_eval("update_option('wpcron_contract_other_store', 1);")
        self.addCleanup(self.s.wp_eval,
                        "delete_option('wpcron_contract_other_store');")
        reply, _ = self.ten_events("ok")
        self.assertEqual(reply.state["mode"], "none")
        self.assertEqual(reply.kinds(), ["done"] * 10)
        reply = self.run_jobs([self.job("ok")])
        self.assertEqual(reply.kinds(), ["released"])


class NetworkTest(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.blog = cls.s.make_network(1)[0]
        cls.s.wp_eval("update_blog_option(%d, 'active_plugins',"
                      " get_option('active_plugins'));" % cls.blog)

    def test_events_run_in_their_blog_and_do_not_leave_it(self):
        for blog, home in ((1, ""), (self.blog, "/b1"), (self.blog, "")):
            with self.subTest((blog, home)):
                open(self.s.notes, "w").close()
                reply = self.run_events(
                    [self.event("look", blog=blog),
                     self.event("blog", blog=blog),
                     self.event("look", blog=blog)], blog=blog,
                    home=self.s.url(home))
                self.assertEqual(reply.kinds(), ["done"] * 3)
                looks = [json.loads(n[5:]) for n in self.notes()
                         if n.startswith("look {")]
                self.assertEqual([x["blog"] for x in looks], [blog, blog])
                # Booted as that blog by its URL; switched to it without.
                self.assertEqual({x["depth"] for x in looks}, {1})

    def test_events_of_a_blog_that_is_not_there_are_given_back(self):
        reply = self.run_events([self.event("ok", blog=99)], blog=99)
        self.assertEqual(reply.kinds(), ["released"])
        self.assertIn("no blog 99", reply.outcomes[0].message)
        self.assertEqual(self.notes(), [])
        self.assertEqual(self.states(), {"taken": 1})


if __name__ == "__main__":
    unittest.main()
