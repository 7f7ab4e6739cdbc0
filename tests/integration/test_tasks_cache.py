"""Tasks of a transient queue where a persistent object cache keeps it."""

import json
import os
import shutil
import time
import unittest

from stack import REPO
from tasks_case import HANDLERS, HOOK, QUEUE, TasksCase

COMPANION = "wp-cron-fcgi-companion.php"


class CacheCase(TasksCase):
    config = "accept_loss = yes"

    @classmethod
    def start(cls):
        super().start()
        cls.s.start_redis()
        cls.s.install_object_cache()

    def setUp(self):
        super().setUp()
        self.s.wp_eval("wp_cache_flush();")
        self.s.mysql("DELETE FROM wp_options WHERE option_name ="
                     " 'wpcron_fcgi_task_queues'")

    def enqueue(self, kind, *payloads):
        self.s.wp_eval("""
            foreach ( json_decode( %r ) as $p ) {
                myplugin_enqueue_task( array( 'type' => '%s',
                    'payload' => $p ) );
            }""" % (json.dumps(payloads), kind))

    def cached(self):
        return json.loads(self.s.wp_eval(
            "echo wp_json_encode( get_transient( '%s' ) );" % QUEUE))


class WithoutCompanion(CacheCase):
    def test_it_is_the_plugins_until_loss_is_accepted(self):
        self.enqueue("note", 1, 2)
        self.configure(config="")
        report = self.run_tasks()
        self.assertIn("object cache", report["held"])
        self.assertEqual((report["taken"], self.log()),
                         (0, ["note 1", "note 2"]))
        self.configure()
        self.enqueue("note", 3, 4)
        report = self.run_tasks()
        self.assertEqual((report["taken"], report["done"]), (2, 2), self.said)
        self.assertEqual(self.log(), ["note %d" % i for i in range(1, 5)])
        self.assertEqual(self.cached(), [])
        self.assertEqual(self.run_tasks()["done"], 0)

    def test_an_unknown_type_leaves_it_to_the_plugin(self):
        self.enqueue("note", 1)
        self.enqueue("strange", 2)
        report = self.run_tasks()
        self.assertIn("strange", report["held"])
        self.assertEqual(report["taken"], 0)
        self.assertEqual(self.log(), ["note 1"])
        self.assertFalse(self.cached())

    def test_what_is_no_list_of_tasks_stays_where_it_is(self):
        for stored in ("array( 'job_7' => array( 'type' => 'note' ) )",
                       "array( array( 'type' => 1.5 ) )",
                       "array( array( 'type' => true ) )",
                       "array( array( 'payload' => 1 ) )",
                       "'{\"job_7\":{\"type\":\"note\"}}'"):
            with self.subTest(stored):
                self.s.wp_eval("set_transient( '%s', %s, 600 );" % (
                    QUEUE, stored))
                before = self.cached()
                self.assertIn("no list", self.run_tasks()["held"])
                self.assertEqual((self.cached(), self.rows()), (before, []))

    def test_what_was_taken_before_goes_on_all_the_same(self):
        self.enqueue("fail", 1)
        self.assertEqual(self.run_tasks()["failed"], 1)
        self.make_due()
        self.configure(config="")
        self.assertEqual(self.run_tasks()["failed"], 1)

    def test_the_plugin_at_work_is_waited_for(self):
        self.enqueue("note", 1)
        self.s.wp_eval("set_transient( MYPLUGIN_LOCK, time(), 60 );")
        self.assertIn("_lock", self.run_tasks()["held"])
        self.s.wp_eval("delete_transient( MYPLUGIN_LOCK );")
        self.assertEqual(self.run_tasks()["done"], 1)
        self.assertEqual(self.s.wp_eval(
            "var_dump( get_transient( MYPLUGIN_LOCK ) );").strip(),
            "bool(false)")

    def test_a_large_list_arrives_whole(self):
        self.s.wp_eval("""
            $list = array();
            for ( $i = 0; $i < 200; $i++ ) {
                $list[] = array( 'type' => 'note', 'payload' => $i,
                    'created' => time(), 'x' => str_repeat( "\\xff$i", 3000 ) );
            }
            set_transient( '%s', $list, 600 );""" % QUEUE)
        self.assertEqual(self.run_tasks()["done"], 200, self.said)
        self.assertEqual(self.log(), ["note %d" % i for i in range(200)])


class WithCompanion(CacheCase):
    config = ""

    @classmethod
    def start(cls):
        super().start()
        directory = os.path.join(cls.s.root, "wp-content", "mu-plugins")
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, COMPANION)
        shutil.copy(os.path.join(REPO, "fcgi", "php", "companion.php"), path)
        os.chmod(path, 0o644)
        # It counts once no process runs that does not know it.
        os.utime(path, (time.time() - 3600,) * 2)

    def setUp(self):
        super().setUp()
        # The driver is none of our processes that others see.
        self.s.mysql("REPLACE INTO wp_wpcron_nodes (node_id, host, pid,"
                     " version, started_at, heartbeat_at) VALUES (1, 'h', 1,"
                     " '1', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))")

    def test_what_others_wrote_before_they_knew_is_not_overwritten(self):
        self.enqueue("note", 1)
        self.assertEqual(self.run_tasks()["done"], 1, self.said)
        # The cache still says that nobody takes them.
        self.s.wp_eval("wp_cache_set( 'wpcron_fcgi_task_queues', array(),"
                       " 'wpcron_fcgi' );")
        self.enqueue("note", 2, 3)
        self.s.wp_eval("wp_cache_delete( 'wpcron_fcgi_task_queues',"
                       " 'wpcron_fcgi' );")
        self.enqueue("note", 4)
        self.enqueue("note", 5)
        end = time.monotonic() + 30
        self.run_tasks(**{"for": 3000})
        while len(self.log()) < 5 and time.monotonic() < end:
            self.run_tasks(**{"for": 3000})
        self.assertEqual(self.log(), ["note %d" % i for i in range(1, 6)])
        # What was taken is there no longer, to be taken again one day.
        self.assertEqual(self.s.wp_eval(
            "echo wp_json_encode( wp_cache_get( '%s', 'transient' ) );"
            % QUEUE), "[]")

    def test_appenders_at_once_lose_nothing(self):
        self.enqueue("note", -1)
        self.assertEqual(self.run_tasks()["done"], 1, self.said)
        names = self.s.option("wpcron_fcgi_task_queues")
        self.assertIn(QUEUE, str(names))
        self.s.wp_eval("wp_cache_flush();")
        runner = self.begin_tasks(**{"for": 15000})
        code = """require '%s/wp-load.php';
            for ( $i = 0; $i < 100; $i++ ) {
                myplugin_enqueue_task( array( 'type' => 'note',
                    'payload' => $argv[1] * 1000 + $i ) );
                usleep( 2000 );
            }""" % self.s.root
        writers = [self.s.spawn("writer%d" % k, self.s.as_web_user(
            ["/usr/bin/php", "-r", code, str(k)])) for k in range(4)]
        for w in writers:
            self.assertEqual(w.process.wait(60), 0, w.tail())
        self.end_tasks(runner)
        self.run_tasks()
        want = ["note -1"] + ["note %d" % (k * 1000 + i)
                              for k in range(4) for i in range(100)]
        self.assertEqual(sorted(self.log()), sorted(want))

    def test_a_type_without_a_handler_holds_up_no_other(self):
        self.enqueue("note", 1)
        self.assertEqual(self.run_tasks()["done"], 1, self.said)
        self.s.wp_eval("wp_cache_flush();")
        self.enqueue("strange", 2)
        self.enqueue("note", 3)
        report = self.run_tasks()
        self.assertIn("strange", report["held"])
        self.assertEqual(report["done"], 1)
        # And what comes now is the plugin's.
        self.s.wp_eval("wp_cache_flush();")
        self.enqueue("note", 4)
        self.assertEqual(self.run_tasks()["done"], 0)
        self.assertEqual(self.log(), ["note 1", "note 3", "note 4"])
        self.assertEqual(self.states(), ["done", "ready", "done"])
        # Until it has a handler.
        self.configure(handlers=HANDLERS + "handler strange = "
                       "php:myplugin_note\n")
        self.assertEqual(self.run_tasks()["done"], 1)

    def test_it_is_not_announced_while_it_is_the_plugins(self):
        self.enqueue("note", 1)
        self.assertEqual(self.run_tasks()["done"], 1, self.said)
        self.configure(site="mode = observe")
        self.run_tasks()
        self.assertIsNone(self.s.option("wpcron_fcgi_task_queues"))
        self.s.wp_eval("wp_cache_flush();")
        self.enqueue("note", 2)
        self.s.wp_eval("do_action( '%s' );" % HOOK)
        self.assertEqual(self.log(), ["note 1", "note 2"])


if __name__ == "__main__":
    unittest.main()
