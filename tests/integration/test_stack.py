"""The harness itself: a real site comes up and cron runs the stock way."""

import base64
import os
import time
import unittest

from stack import Stack, StackError


class StackTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Stack()
        cls.addClassCleanup(cls.s.close)
        cls.s.start_site(config_extra="define( 'WPCRON_DEMO_LOG', '%s' );"
                         % cls.s.path("demo.txt"))
        with open(cls.s.path("demo.txt"), "w"):
            pass
        os.chmod(cls.s.path("demo.txt"), 0o666)
        cls.s.start_nginx(stock_cron=True)

    def test_page_is_served_by_wordpress(self):
        status, headers, body = self.s.get("/")
        self.assertEqual(status, 200, headers.items())
        self.assertIn(b"<h1>Test site</h1>", body)

    def test_stock_cron_runs_an_event(self):
        self.s.wp_eval("wp_schedule_single_event( time() - 1,"
                       " 'demo_nothing', array( 7 ) );")
        self.assertEqual(self.s.get("/wp-cron.php")[0], 200)

        def ran():
            with open(self.s.path("demo.txt")) as f:
                return "demo_nothing [7]" in f.read()
        self.s.wait_until(ran, 30)

    def test_actions_are_inserted_as_php_writes_them(self):
        self.s.install_action_scheduler("before")
        first = self.s.insert_actions(1000, "demo_nothing", '["a",{i}]',
                                      due_in=-100, spread=50, group="g")
        rows = self.s.actions("action_id >= %s", (first,))
        self.assertEqual(len(rows), 1000)
        self.assertEqual(rows[0]["args"], '["a",1]')
        self.assertEqual(rows[999]["args"], '["a",1000]')
        gmt = rows[999]["scheduled_date_gmt"]
        self.assertAlmostEqual(
            gmt.timestamp() - time.timezone, time.time() - 50, delta=10)
        out = self.s.php(
            "class ActionScheduler_SimpleSchedule {"
            " protected $scheduled_timestamp; private $timestamp; }"
            "$o = unserialize(stream_get_contents(fopen('data:,'."
            "rawurlencode(base64_decode(%r)), 'r'))); echo get_class($o);"
            % base64.b64encode(rows[0]["schedule"].encode()).decode())
        self.assertEqual(out, "ActionScheduler_SimpleSchedule")

    def test_plugin_is_activated(self):
        plugin = self.s.path("sample")
        os.mkdir(plugin)
        with open(os.path.join(plugin, "sample.php"), "w") as f:
            f.write("<?php /* Plugin Name: sample */"
                    " add_action( 'wp_head', function () {"
                    " echo 'from the sample'; } );")
        self.s.add_plugin(plugin)
        self.assertIn(b"from the sample", self.s.get("/")[2])


class SanitizerTest(unittest.TestCase):
    def test_report_at_the_end_of_a_server_is_not_lost(self):
        s = Stack()
        s.spawn("leaky", ["/bin/sh", "-c",
                          "echo 'ERROR: LeakSanitizer: detected' >&2"])
        s.servers[0].process.wait()
        with self.assertRaisesRegex(StackError, "leaky.log"):
            s.close()
        self.assertFalse(os.path.exists(s.dir))


class NetworkTest(unittest.TestCase):
    def test_network_has_its_blogs(self):
        with Stack() as s:
            s.start_site()
            self.assertEqual(s.make_network(2), [2, 3])
            s.start_nginx(stock_cron=True)
            self.assertEqual(s.get("/")[0], 200)
            self.assertEqual(
                s.value("SELECT option_value FROM wp_3_options WHERE"
                        " option_name = 'siteurl'"), s.url("/b2"))


if __name__ == "__main__":
    unittest.main()
