"""Messages and tasks are worked off by the whole program: without a ping, by
one of several nodes, through the outbox, and given back when it stops."""

import os
import signal
import time
import unittest

import espresso
from mail_server import MailServer
from stack import FIXTURES, Stack

TSAN = True

RELAY = """
[smtp relay]
host = 127.0.0.1
port = %d
security = none
ehlo = shop.test
"""
TASKS = """
[tasks default/myplugin_task_queue]
hook = myplugin_process_queue
handler note = php:myplugin_note
handler send_email = native
handler fail = php:myplugin_fail
"""


def task_log(s):
    """A file that the plugin in PHP may write."""
    path = s.path("tasks.log")
    open(path, "w").close()
    os.chmod(path, 0o666)
    return path


def enqueue(s, *tasks):
    for kind, payload in tasks:
        s.wp_eval("myplugin_enqueue_task( array( 'type' => %r, 'payload' =>"
                  " json_decode( %r, true ), 'max_attempts' => 1 ) );" % (
                      kind, payload))


class Chores(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s = cls.s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.log = task_log(s)
        s.install_wordpress(plugins=("wpcron-demo",), config_extra=(
            "define( 'MYPLUGIN_LOG', '%s' );" % s.log))
        s.install_action_scheduler()
        espresso.install(s)
        s.add_plugin(os.path.join(FIXTURES, "plugins", "wpcron-task-queue"))
        s.start_php_fpm(children=4)
        cls.server = MailServer()
        cls.server.start(s.path("mail"))
        cls.addClassCleanup(cls.server.stop)
        cls.config = s.config_text(
            # No node dies here; none is taken for dead by a busy machine.
            daemon="node_expiry = 30s\nheartbeat = 500ms\n",
            site="smtp = relay\n", rest=RELAY % cls.server.port + TASKS)
        cls.nodes = [s.start_daemon(config=cls.config) for _ in range(2)]
        # The look by which the program learns what only PHP knows.
        s.wait_until(lambda: espresso.window(s), 60,
                     what="PHP's own batches are kept idle")

    def mails(self, n, timeout=60):
        self.s.wait_until(lambda: len(self.server.messages()) >= n, timeout,
                          what="%d mails" % n)
        return self.server.messages()

    def done(self):
        with open(self.s.log) as f:
            return f.read().splitlines()

    def test_an_urgent_message_is_made_and_sent_without_a_ping(self):
        s, before = self.s, len(self.server.messages())
        espresso.forget(s)
        one = espresso.mic(s, priority=10, message_type="payment", many=2)
        got = self.mails(before + 2)
        self.assertEqual(len(got), before + 2)
        s.wait_until(lambda: sorted(espresso.statuses(s).values()) == [
            "MSN", "MSN"], what="both are sent for the plugin")
        self.assertNotIn(one, espresso.statuses(s))
        s.wait_until(lambda: s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox WHERE job LIKE 'message:%%'"
            " AND state = 'sent'") >= 2, what="both are sent by the outbox")

    def test_what_may_wait_is_sent_at_the_plugins_tick(self):
        s, before = self.s, len(self.server.messages())
        espresso.forget(s)
        ids = [espresso.message(s, "MID", priority=30) for _ in range(5)]
        time.sleep(3)
        self.assertEqual(set(espresso.statuses(s).values()), {"MID"})
        espresso.schedule(s, "send", next_in=-1)
        self.mails(before + 5)
        s.wait_until(lambda: espresso.statuses(s) == {
            i: "MSN" for i in ids}, what="all are sent")

    def test_tasks_are_taken_out_of_the_transient_and_run_once(self):
        s, before = self.s, len(self.done())
        enqueue(s, *[("note", '{"n":%d}' % i) for i in range(12)])
        s.wait_until(lambda: len(self.done()) >= before + 12, 60,
                     what="all tasks ran")
        time.sleep(1.5)
        ran = self.done()[before:]
        self.assertEqual(sorted(ran), sorted(
            'note {"n":%d}' % i for i in range(12)))

    def test_a_native_mail_and_a_dead_letter(self):
        s, before = self.s, len(self.server.messages())
        dead = ("SELECT COUNT(*) FROM wp_wpcron_dead_letters WHERE kind ="
                " 'task'")
        had = s.value(dead)
        enqueue(s, ("send_email", '{"to":"ann@example.org","subject":"Caf'
                    '\\u00e9","message":"hello"}'), ("fail", '{"x":1}'))
        self.assertIn(b"hello", self.mails(before + 1)[-1][2])
        s.wait_until(lambda: s.value(dead) == had + 1, 30,
                     what="the task that failed is a dead letter")


class Backlog(unittest.TestCase):
    def test_jobs_in_php_leave_a_place_to_tasks(self):
        s = Stack()
        self.addCleanup(s.close)
        s.start_mariadb()
        log = task_log(s)
        s.install_wordpress(plugins=("wpcron-demo",), config_extra=(
            "define( 'MYPLUGIN_LOG', '%s' );" % log))
        s.install_action_scheduler()
        s.add_plugin(os.path.join(FIXTURES, "plugins", "wpcron-task-queue"))
        s.start_php_fpm(children=4)
        s.insert_actions(4000, "demo_sleep_ms", args="[50,{i}]")
        s.start_daemon(daemon="php_batch = 20\n", rest=TASKS)
        s.wait_until(lambda: s.statuses().get("complete", 0) > 20, 60)
        enqueue(s, ("note", '{"n":1}'))

        def ran():
            with open(log) as f:
                return f.read().count("\n")
        s.wait_until(lambda: ran() == 1, 35, what="the task ran")
        self.assertGreater(s.statuses().get("pending", 0), 1000)


class Forgetting(unittest.TestCase):
    def test_a_queue_that_nobody_names_any_more_is_the_plugins_again(self):
        s = Stack()
        self.addCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(plugins=("wpcron-demo",))
        s.start_php_fpm(children=2)
        option = "wpcron_fcgi_task_queues"
        s.wp_eval("update_option( '%s', array( 'former_queue',"
                  " 'myplugin_task_queue' ) );" % option)
        s.start_daemon(rest=TASKS)
        s.wait_until(lambda: "former_queue" not in (s.option(option) or ""),
                     30, what="the former queue is not announced")
        self.assertIn("myplugin_task_queue", s.option(option) or "")

    def test_also_when_a_reload_drops_its_section(self):
        s = Stack()
        self.addCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(plugins=("wpcron-demo",))
        s.start_php_fpm(children=2)
        option = "wpcron_fcgi_task_queues"
        daemon = s.start_daemon(rest=TASKS)
        s.wait_until(lambda: "daemon.started" in daemon.log_text())
        time.sleep(2)
        s.wp_eval("update_option( '%s', array( 'myplugin_task_queue' ) );"
                  % option)
        with open(daemon.config, "w") as f:
            f.write(s.config_text())
        daemon.send_signal(signal.SIGHUP)
        s.wait_until(lambda: s.option(option) is None, 30,
                     what="nothing is announced")


class Stopping(unittest.TestCase):
    def test_a_stop_amid_work_loses_nothing(self):
        s = Stack()
        self.addCleanup(s.close)
        s.start_mariadb()
        log = task_log(s)
        s.install_wordpress(plugins=("wpcron-demo",), config_extra=(
            "define( 'MYPLUGIN_LOG', '%s' );" % log))
        s.add_plugin(os.path.join(FIXTURES, "plugins", "wpcron-task-queue"))
        s.start_php_fpm(children=3)
        rest = TASKS + "handler sleep = php:myplugin_sleep\n"
        s.wp_eval("for ( $i = 0; $i < 40; $i++ ) { myplugin_enqueue_task("
                  " array( 'type' => 'sleep', 'payload' => array( 'n' => $i,"
                  " 'seconds' => 0.3 ) ) ); }")

        def ran():
            with open(log) as f:
                return f.read().count("\n")
        one = s.start_daemon(rest=rest)
        s.wait_until(lambda: ran() >= 5, 60, what="some tasks ran")
        one.stop()
        self.assertLess(ran(), 40)
        s.start_daemon(rest=rest)
        s.wait_until(lambda: s.value(
            "SELECT COUNT(*) FROM wp_wpcron_tasks WHERE state = 'done'") == 40,
            90, what="all tasks are done")
        self.assertEqual(ran(), 40)


if __name__ == "__main__":
    unittest.main()
