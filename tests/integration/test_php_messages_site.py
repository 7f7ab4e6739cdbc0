"""Event Espresso's messages and what a site is: races for its locks, options
that an object cache holds, what it describes, refusals of the relay."""

import json
import os
import time
import unittest

import cronrow
import espresso
from newspack import set_option
from test_php_messages import MessagesCase, ask, site


class FallBackTest(MessagesCase):
    """Where another has taken the lock between our look and the plugin's, the
    plugin falls back to a batch of whatever waits."""

    def check(self, version):
        s = self.s
        espresso.install(s, version=version)
        named, other = espresso.message(s), espresso.message(s)
        # Not held when the worker looks, held from then on.
        path = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "race.php"), "w") as f:
            f.write("""<?php
                add_filter( 'FHEE__EE_Messages_Queue__is_locked',
                    function ( $held ) {
                        static $n = 0;
                        return 2 === ++$n ? true : $held;
                    } );""")
        s.give_to_web_user(path)
        self.addCleanup(os.unlink, os.path.join(path, "race.php"))
        reply = self.send(named)
        self.assertEqual(reply.of("ok", "status"), [(False, "MID")])
        self.assertEqual(espresso.statuses(s), {named: "MID", other: "MID"})
        self.assertEqual(espresso.calls(s, "send"), [])

    def test_it_finds_no_rate_left(self):
        self.check("4.10.11.p")

    def test_neither_where_the_limit_is_a_transient(self):
        self.check("4.9.57.p")


class CachedTest(unittest.TestCase):
    """Options as a persistent object cache has them."""

    @classmethod
    def setUpClass(cls):
        s = cls.s = site(cls)
        s.start_redis()
        s.install_object_cache()

    def php(self, code):
        return self.s.wp_eval(code)

    def test_what_is_written_is_what_other_processes_read(self):
        self.php("update_option( '_ee_rate_limit', array( 200, 1 ) );"
                 "get_option( '_ee_lock_sending' );")
        value = cronrow.serialize([0, int(time.time()) + 900]).decode()
        reply = ask(self.s, "options", [("_ee_rate_limit", value),
                                        ("_ee_lock_sending", "1900000000")])
        self.assertEqual(reply.rc, "ok", reply)
        out = self.php("echo serialize( get_option( '_ee_rate_limit' ) ), ' ',"
                       " get_option( '_ee_lock_sending' );")
        self.assertEqual(out.split(), [value, "1900000000"])
        reply = ask(self.s, "options", [("_ee_rate_limit",),
                                        ("_ee_lock_sending",)])
        self.assertEqual(reply.rc, "ok", reply)
        self.assertEqual(self.php(
            "var_export( array( get_option( '_ee_rate_limit' ),"
            " get_option( '_ee_lock_sending' ) ) );").split(),
            "array ( 0 => false, 1 => false, )".split())

    def test_a_lock_in_the_cache_is_seen_and_given_back(self):
        s = self.s
        one = espresso.mic(s)
        self.php("update_option( '_ee_lock_generation', time() + 60 );")
        reply = ask(s, "generate", [(one,)])
        self.assertEqual(reply.of("locked"), [True], reply)
        self.php("delete_option( '_ee_lock_generation' );")
        self.assertEqual(ask(s, "generate", [(one,)]).of("ok"), [True])
        self.assertEqual(self.php(
            "var_export( get_option( '_ee_lock_generation' ) );"), "false")


class AdministrationTest(MessagesCase):
    def describe(self):
        reply = self.ask("describe")
        self.assertEqual(reply.rc, "ok", reply)
        return reply.entries[0]

    def test_what_only_php_knows(self):
        told = self.describe()
        installed = told.pop("installed")
        self.assertIn(["email", "registration"], installed)
        self.assertNotIn(["email", "of_an_addon"], installed)
        self.assertEqual(told, {
            "version": "4.10.11.p", "same_request": False,
            "same_request_filter": False, "maintenance": 0, "batch": 50,
            "rate": {"default": 200, "window_s": 3600}, "interval_s": 300,
            "lock_expiry_s": 3600, "use_wp_cron": True,
            "lock_format": "option", "stati": {
                "generate": ["MIC"], "send": ["MID", "MRS"], "sent": ["MSN"],
                "failed": ["MFL", "MRT", "MEX"]}})

    def test_what_a_site_has_changed(self):
        s = self.s
        espresso.install(s, version="4.9.57.p", types=("payment",))
        espresso.same_request(s)
        for name, value in (("wpcron_espresso_rate", "30"),
                            ("wpcron_espresso_interval", "600"),
                            ("wpcron_espresso_filter", "1"),
                            ("ee_maintenance_mode", "2")):
            set_option(s, name, value)
        told = self.describe()
        self.assertEqual(told["installed"],
                         [["email", "payment"], ["html", "payment"]])
        self.assertEqual(
            (told["same_request"], told["same_request_filter"],
             told["maintenance"], told["rate"]["default"], told["interval_s"],
             told["lock_format"]), (True, True, 2, 30, 600, "transient"))

    def test_options_are_written_as_they_are(self):
        s = self.s
        value = cronrow.serialize([0, int(time.time()) + 900]).decode()
        reply = self.ask("options", [
            ("_ee_rate_limit", value), ("_ee_lock_sending", "1800000000")])
        self.assertEqual(reply.rc, "ok", reply)
        self.assertEqual(s.option("_ee_rate_limit"), value)
        self.assertEqual(s.option("_ee_lock_sending"), "1800000000")
        self.assertEqual({r["autoload"] for r in s.mysql(
            "SELECT autoload FROM wp_options WHERE option_name LIKE"
            " '\\_ee\\_%%'")}, {"no"})
        self.ask("options", [("_ee_rate_limit",), ("_ee_lock_sending",)])
        self.assertIsNone(s.option("_ee_rate_limit"))
        self.assertIsNone(s.option("_ee_lock_sending"))

    def test_an_option_that_is_changed_as_it_is_written_is_no_success(self):
        s = self.s
        s.mysql("CREATE TRIGGER crooked BEFORE INSERT ON wp_options FOR EACH"
                " ROW BEGIN IF NEW.option_name = '_ee_rate_limit' THEN"
                " SET NEW.option_value = 'x'; END IF; END")
        self.addCleanup(s.mysql, "DROP TRIGGER crooked")
        reply = self.ask("options", [("_ee_rate_limit", "a:0:{}")])
        self.assertEqual(reply.rc, "retry", reply)
        self.assertIn("another value", reply.error)

    def test_a_refusal_of_the_relay_reaches_those_who_listen(self):
        s = self.s
        listener = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(listener, exist_ok=True)
        with open(os.path.join(listener, "listen.php"), "w") as f:
            f.write("""<?php
                add_action( 'wp_mail_failed', function ( $error ) {
                    update_option( 'heard', wp_json_encode( array(
                        $error->get_error_message(),
                        $error->get_error_data()['to'],
                        $error->get_error_data()['subject'] ) ) );
                } );""")
        s.give_to_web_user(listener)
        self.addCleanup(os.unlink, os.path.join(listener, "listen.php"))
        reply = self.ask("failed", [
            ("message:5:1", "Subject", "550 no such user",
             '["a@example.org"]')])
        self.assertEqual(reply.rc, "ok", reply)
        self.assertEqual(json.loads(s.option("heard")), [
            "550 no such user", ["a@example.org"], "Subject"])
        self.assertEqual(self.ask("failed", [
            ("action:1", "S", "r", "not json")]).rc, "ok")


if __name__ == "__main__":
    unittest.main()
