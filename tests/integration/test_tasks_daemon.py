"""Tasks of a transient queue, worked off by the program as PHP appends them."""

import os
import time
import unittest

from test_tasks_gates import install_companion
from tasks_case import HOOK, QUEUE, TasksCase, task


class Daemon(TasksCase):
    config = "allow_hosts = 127.0.0.1"

    def start_daemon(self):
        with open(self.conf) as f:
            return self.s.start_daemon(config=f.read())

    def test_what_php_appends_is_done_within_seconds(self):
        d = self.start_daemon()
        self.addCleanup(d.stop)
        self.s.wp_eval("""
            for ( $i = 0; $i < 20; $i++ ) {
                myplugin_enqueue_task( array( 'type' => 'note',
                    'payload' => $i ) );
            }
            myplugin_enqueue_task( array( 'type' => 'http_request',
                'payload' => array( 'url' => %r ) ) );
            myplugin_enqueue_task( array( 'type' => 'fail', 'backoff' => 1,
                'max_attempts' => 2 ) );""" % self.server.url("/x"))
        self.s.wait_until(lambda: len(self.dead()) == 1 and
                          len(self.server.paths()) == 1, 30)
        self.assertEqual([line for line in self.log()
                          if line.startswith("note")],
                         ["note %d" % i for i in range(20)])
        self.assertEqual(self.log().count("fail null"), 2)
        # Its own event is ours, ahead, and never reaches the plugin. PHP may
        # have added it when we had looked.
        self.s.wait_until(lambda: self.ahead() > 200, 30, 0.5,
                          what="the event is moved ahead")
        self.s.wait_until(lambda: self.lock() is None)

    def test_a_task_that_waits_holds_up_no_other(self):
        s = self.s
        self.addCleanup(self.start_daemon().stop)
        enqueue = ("myplugin_enqueue_task( array( 'type' => '%s',"
                   " 'payload' => %d, 'backoff' => 600 ) );")
        s.wp_eval(enqueue % ("fail", 0))
        s.wait_until(lambda: self.states() == ["delayed"], 30)
        for i in range(3):
            s.wp_eval(enqueue % ("note", i))
            s.wait_until(lambda: "note %d" % i in self.log(), 30)

    def test_a_queue_that_is_held_holds_up_no_other(self):
        s = self.s
        self.configure(rest="[tasks default/other]\nhook = other\n"
                            "handler note = php:myplugin_note")
        self.set_option("_transient_other", "no list")
        self.addCleanup(s.mysql, "DELETE FROM wp_options WHERE option_name ="
                        " '_transient_other'")
        d = self.start_daemon()
        self.addCleanup(d.stop)
        s.wait_until(lambda: "chore.held" in d.log_text(), 30)
        began = time.time()
        for i in range(4):
            self.put(task("note", i))
            s.wait_until(lambda: "note %d" % i in self.log(), 30)
        self.assertLess(time.time() - began, 28)

    def ahead(self):
        """Seconds until the queue's event."""
        return int(self.s.wp_eval("echo (int) wp_next_scheduled( '%s' );"
                                  % HOOK)) - time.time()

    def test_an_idle_queue_keeps_its_event_and_wordpress_takes_over(self):
        s = self.s
        d = self.start_daemon()
        self.addCleanup(d.stop)
        s.wait_until(lambda: self.ahead() > 200, 30, 0.5)
        s.wp_eval("wp_clear_scheduled_hook( %r );"
                  "wp_schedule_single_event( time() + 1, %r );" % (HOOK, HOOK))
        s.wait_until(lambda: self.ahead() > 200, 60, 0.5,
                     what="the event is moved ahead")
        self.assertEqual(self.log(), [])
        d.kill()
        # Amid a turn it left the plugin's lock behind, for a minute, and maybe
        # the one of cron.
        s.mysql("DELETE FROM wp_options WHERE option_name LIKE %s OR"
                " option_name = '_transient_doing_cron'",
                ("%\\_" + QUEUE + "\\_lock",))
        # What is appended now schedules nothing: the event is there.
        s.wp_eval("myplugin_enqueue_task( array( 'type' => 'note',"
                  " 'payload' => 1 ) );")
        self.assertGreater(self.ahead(), 200)
        # Its time comes.
        s.wp_eval("wp_clear_scheduled_hook( %r );"
                  "wp_schedule_single_event( time() - 1, %r );" % (HOOK, HOOK))
        s.php("require %r;" % os.path.join(s.root, "wp-cron.php"))
        self.assertEqual(self.log(), ["note 1"])


class Companion(TasksCase):
    def test_what_is_only_observed_is_handed_over_no_more(self):
        install_companion(self.s)

        def announced():
            return self.s.option("wpcron_fcgi_task_queues")
        with open(self.conf) as f:
            d = self.s.start_daemon(config=f.read())
        self.addCleanup(d.stop)
        self.s.wait_until(announced, 30)
        d.stop()
        self.configure(site="mode = observe")
        with open(self.conf) as f:
            d = self.s.start_daemon(config=f.read())
        self.addCleanup(d.stop)
        self.s.wait_until(lambda: announced() is None, 30)


class Redis(TasksCase):
    @classmethod
    def start(cls):
        super().start()
        cls.s.start_redis()
        cls.s.install_object_cache()

    def enqueue(self, *payloads):
        self.s.wp_eval("foreach ( array( %s ) as $p ) {"
                       " myplugin_enqueue_task( array( 'type' => 'note',"
                       " 'payload' => $p ) ); }" % ", ".join(
                           str(p) for p in payloads))

    def test_what_nobody_here_may_take_the_plugin_works_off(self):
        with open(self.conf) as f:
            d = self.s.start_daemon(config=f.read())
        self.addCleanup(d.stop)
        self.enqueue(1, 2)
        self.s.wait_until(lambda: self.log() == ["note 1", "note 2"], 60)
        # By its next event, too.
        self.enqueue(3)
        self.s.wait_until(lambda: self.log()[2:] == ["note 3"], 60)


if __name__ == "__main__":
    unittest.main()
