"""What the PHP worker tells of a site's cron: recurrences, constants, and
whether a plugin keeps events somewhere else than in the option."""

import contextlib
import os
import shutil
import unittest

from stack import REPO
from test_php_executor import PhpCase, php_site

# As far as they matter here: the classes of plugins that are known by name,
# and the filters by which any plugin can replace WordPress' storage.
CAVALCADE = """
namespace HM\\Cavalcade\\Plugin;
class Job {}
"""
CRON_CONTROL = """
namespace Automattic\\WP\\Cron_Control;
class Events_Store {}
"""
FILTERS = (
    "pre_schedule_event", "pre_reschedule_event", "pre_unschedule_event",
    "pre_clear_scheduled_hook", "pre_unschedule_hook",
    "pre_get_scheduled_event", "pre_get_ready_cron_jobs", "pre_option_cron",
    "pre_update_option_cron")


class ExportTest(PhpCase):
    @classmethod
    def setUpClass(cls):
        cls.s = php_site(cls)

    def export(self):
        return self.run_jobs([], ask=1).exports[0]

    @contextlib.contextmanager
    def mu_plugin(self, code=None, file=None):
        directory = os.path.join(self.s.root, "wp-content", "mu-plugins")
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, "under-test.php")
        if file:
            shutil.copy(file, path)
        else:
            with open(path, "w") as f:
                f.write("<?php\n" + code)
        try:
            yield
        finally:
            os.unlink(path)

    @contextlib.contextmanager
    def config(self, text):
        self.s.write_config(self.s.config_extra + text)
        try:
            yield
        finally:
            self.s.write_config(self.s.config_extra)

    def test_a_plain_site(self):
        export = self.export()
        self.assertEqual(
            {k: export["recurrences"][k] for k in (
                "hourly", "twicedaily", "daily", "weekly")},
            {"hourly": 3600, "twicedaily": 43200, "daily": 86400,
             "weekly": 604800})
        self.assertIsNone(export["cron_replaced"])
        self.assertIsNone(export["companion"])
        self.assertEqual(export["lock_timeout"], 60)
        self.assertIs(export["disable_wp_cron"], False)
        self.assertIs(export["alternate_wp_cron"], False)
        self.assertIs(export["object_cache"], False)

    def test_recurrences_of_plugins(self):
        with self.mu_plugin(
                "add_filter('cron_schedules', function ($all) {"
                "  return $all + array('every_minute' => array("
                "    'interval' => 60, 'display' => 'x'),"
                "    'odd' => array('interval' => '90'), 'none' => array());"
                "});"):
            found = self.export()["recurrences"]
        self.assertEqual((found["every_minute"], found["odd"], found["none"]),
                         (60, 90, 0))

    def test_constants_of_wp_config(self):
        with self.config("define('WP_CRON_LOCK_TIMEOUT', 90);"
                         "define('DISABLE_WP_CRON', true);"
                         "define('ALTERNATE_WP_CRON', true);"):
            export = self.export()
        self.assertEqual(export["lock_timeout"], 90)
        self.assertIs(export["disable_wp_cron"], True)
        self.assertIs(export["alternate_wp_cron"], True)

    def test_plugins_with_tables_of_their_own_are_named(self):
        for code, name in ((CAVALCADE, "Cavalcade"),
                           (CRON_CONTROL, "Cron Control")):
            with self.subTest(name), self.mu_plugin(code):
                self.assertEqual(
                    self.export()["cron_replaced"],
                    "the plugin %s keeps cron events in a table of its own"
                    % name)

    def test_tables_that_such_a_plugin_left_behind_do_not_matter(self):
        for table in ("wp_cavalcade_jobs", "wp_a8c_cron_control_jobs"):
            self.s.mysql("CREATE TABLE %s (id INT)" % table)
        self.addCleanup(self.s.mysql, "DROP TABLE wp_cavalcade_jobs,"
                        " wp_a8c_cron_control_jobs")
        self.assertIsNone(self.export()["cron_replaced"])

    def test_every_filter_that_can_replace_the_option_is_noticed(self):
        for name in FILTERS:
            with self.subTest(name), self.mu_plugin(
                    "class Elsewhere { static function look($x) {"
                    " return $x; } }"
                    "add_filter('%s', array('Elsewhere', 'look'));" % name):
                self.assertEqual(
                    self.export()["cron_replaced"],
                    "Elsewhere::look() is on the filter %s, so cron events"
                    " may be kept elsewhere" % name)

    def test_callbacks_of_any_kind_have_a_name(self):
        for callback, words in (
                ("'strrev'", "strrev() is"),
                ("function ($x) { return $x; }",
                 "a closure in %s line 2 is" % os.path.join(
                     self.s.root, "wp-content", "mu-plugins",
                     "under-test.php")),
                ("new class { function __invoke($x) { return $x; } }",
                 "class@anonymous is on"),
                ("array(new ArrayObject, 'count')", "ArrayObject::count()")):
            with self.subTest(words), self.mu_plugin(
                    "add_filter('pre_schedule_event', %s);" % callback):
                self.assertIn(words, self.export()["cron_replaced"])

    def test_the_companion_is_known_and_replaces_nothing(self):
        with self.mu_plugin(file=os.path.join(
                REPO, "fcgi", "php", "companion.php")):
            export = self.export()
        self.assertIsNone(export["cron_replaced"])
        self.assertRegex(export["companion"], r"^\d+\.\d+")


if __name__ == "__main__":
    unittest.main()
