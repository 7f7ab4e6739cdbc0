"""doctor on mails, messages and tasks: what is wrong is named, with what to
do about it."""

import json
import os
import shutil
import time
import unittest

import espresso
from ctl_mail import DONE, FAILED, MailCtl
from newspack import set_option
from stack import WEB_USER, free_port
from tasks_case import HOOK, QUEUE, task

PRE = "_transient_"


class DoctorCase(MailCtl):
    def doctor(self, *checks, config=None):
        """[(severity, what)] of these checks."""
        rows = self.json("doctor", code=(DONE, FAILED), config=config)
        return [(r["severity"], r["what"]) for r in rows
                if r["check"] in checks]

    def assertFound(self, severity, words, found):
        for have, what in found:
            if have == severity and words in what:
                return
        self.fail("no %s: %s among %s" % (severity, words, found))

    def assertNotFound(self, words, found):
        self.assertEqual([w for _, w in found if words in w], [])


class RelayTest(DoctorCase):
    def test_a_relay_that_answers_and_sends_nothing(self):
        found = self.doctor("smtp")
        self.assertFound("ok", "answers", found)
        self.assertEqual(self.relay.mails, [])
        self.assertNotIn("MAIL", self.relay.verbs())

    def test_a_site_without_a_relay(self):
        conf = self.write_conf("none.conf", smtp=False)
        self.assertFound("info", "no relay",
                         self.doctor("smtp", config=conf))

    def test_a_relay_that_is_away(self):
        port = self.relay.port
        try:
            self.relay.port = free_port()
            conf = self.write_conf("away.conf")
        finally:
            self.relay.port = port
        self.assertFound("error", "main: 127.0.0.1",
                         self.doctor("smtp", config=conf))

    def test_starttls_that_is_missing_and_a_wrong_password(self):
        type(self).SMTP = "security = starttls"
        try:
            conf = self.s.path("tls.conf")
            with open(self.write_conf("tls.conf"), encoding="ascii") as f:
                text = f.read().replace("security = none\n", "")
            with open(conf, "w", encoding="ascii") as f:
                f.write(text)
        finally:
            type(self).SMTP = ""
        self.assertFound("error", "main: 127.0.0.1",
                         self.doctor("smtp", config=conf))
        self.assertEqual(self.relay.mails, [])

    def test_a_paused_relay(self):
        self.call("outbox", "pause", "main")
        self.assertFound("warn", "paused", self.doctor("smtp"))

    def test_a_greeting_that_says_no(self):
        self.relay.fail("greeting", 554, "go away someone@example.org",
                        times=None)
        found = self.doctor("smtp")
        self.assertFound("error", "go away", found)
        self.assertNotFound("someone@", found)


class LoginTest(DoctorCase):
    """The relay wants a password."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.relay.close()
        from smtp_stand_in import SmtpStandIn
        cls.relay = SmtpStandIn(user="box@mailer.example", password="right")
        cls.addClassCleanup(cls.relay.close)

    def with_password(self, password, more=""):
        type(self).SMTP = ("user = box@mailer.example\npassword = %s\n%s" % (
            password, more))
        try:
            return self.write_conf("login.conf")
        finally:
            type(self).SMTP = ""

    def test_the_right_one_and_a_file_that_everybody_may_read(self):
        conf = self.with_password("right")
        os.chmod(conf, 0o644)
        found = self.doctor("smtp", config=conf)
        self.assertFound("ok", "takes user and password", found)
        self.assertFound("warn", "readable by everybody", found)
        self.assertFound("warn", "in clear text", found)

    def test_a_wrong_one(self):
        found = self.doctor("smtp", config=self.with_password("wrong"))
        self.assertFound("error", "main: 127.0.0.1", found)
        self.assertNotFound("wrong", found)

    def test_from_domains_that_do_not_align(self):
        self.store(sender="shop@other.example")
        conf = self.with_password("right", "from = box@mailer.example\n")
        found = self.doctor("smtp from", config=conf)
        self.assertFound("warn", "other.example", found)
        self.assertNotFound("are from mailer.example", found)
        conf = self.with_password(
            "right", "from = box@mailer.example\nfrom_domains ="
            " mailer.example, other.example\n")
        self.assertEqual(self.doctor("smtp from", config=conf), [])
        conf = self.with_password(
            "right", "from = box@mailer.example\nfrom_domains ="
            " mailer.example\nforeign_from = rewrite\n")
        self.assertFound("warn", "they get the address of `from`",
                         self.doctor("smtp from", config=conf))


class OutboxTest(DoctorCase):
    def test_what_waits_too_long_is_held_or_is_dead(self):
        self.store(age=7200)
        self.store(state="held")
        self.letter("mail", 1)
        self.letter("mail", 2)
        found = self.doctor("outbox", "dead letters")
        self.assertFound("warn", "waits for 120 minutes", found)
        self.assertFound("warn", "1 mails are held", found)
        self.assertFound("warn", "2 of kind mail", found)

    def test_what_was_left_to_php_is_counted(self):
        self.assertNotFound("left to PHP", self.doctor("outbox"))
        self.s.mysql("INSERT INTO wp_wpcron_meta (name, value)"
                     " VALUES ('mails_left/1', '3'), ('mails_left/2', '5')")
        self.addCleanup(self.s.mysql, "DELETE FROM wp_wpcron_meta"
                        " WHERE name LIKE 'mails_left/%'")
        self.assertFound("info", "3 mails of jobs were left to PHP",
                         self.doctor("outbox"))

    def test_a_key_file(self):
        key = self.s.path("doctor.key")
        conf = self.write_conf("key.conf", site="outbox_key_file = " + key)
        self.assertFound("error", "outbox_key_file",
                         self.doctor("outbox", config=conf))
        with open(key, "w", encoding="ascii") as f:
            f.write("ab" * 32)
        os.chmod(key, 0o644)
        self.assertFound("warn", "readable by everybody",
                         self.doctor("outbox", config=conf))
        os.chmod(key, 0o640)
        if os.geteuid() == 0:
            shutil.chown(key, group=WEB_USER)
        self.assertFound("ok", "sealed", self.doctor("outbox", config=conf))


class PluginTest(DoctorCase):
    PLUGIN = """<?php
/* Plugin Name: mailer */
add_filter( 'pre_wp_mail', 'mailer_take' );
function mailer_take( $x ) { return $x; }
class Mailer_Setup { static function init( $m ) {} }
add_action( 'phpmailer_init', array( 'Mailer_Setup', 'init' ) );
class Mailer_Mailer {}
add_action( 'init', function () { $GLOBALS['phpmailer'] = new Mailer_Mailer(); } );
function wp_mail() { return true; }
"""

    def test_each_shape_is_named(self):
        self.assertEqual(self.doctor("mail plugin"), [])
        where = os.path.join(self.s.root, "wp-content", "mu-plugins")
        os.makedirs(where, exist_ok=True)
        path = os.path.join(where, "mailer.php")
        with open(path, "w", encoding="ascii") as f:
            f.write(self.PLUGIN)
        os.chmod(path, 0o644)
        try:
            found = self.doctor("mail plugin")
        finally:
            os.unlink(path)
        self.assertFound("warn", "mu-plugins/mailer.php", found)
        self.assertFound("warn", "pre_wp_mail: mailer_take", found)
        self.assertFound("info", "phpmailer_init: Mailer_Setup::init", found)
        self.assertFound("warn", "Mailer_Mailer", found)


class EspressoTest(DoctorCase):
    @classmethod
    def prepare(cls):
        espresso.install(cls.s)

    def setUp(self):
        super().setUp()
        espresso.forget(self.s)

    def test_a_quiet_site(self):
        found = self.doctor("messages")
        self.assertFound("ok", "there is none", found)
        self.assertEqual([w for s, w in found if s == "error"], [])

    def test_same_request_mode(self):
        espresso.same_request(self.s)
        row, = [r for r in self.json("doctor", code=(DONE, FAILED))
                if "on the same request" in r["what"]]
        self.assertEqual(row["severity"], "error")
        self.assertIn("wp-cronctl messages restore --yes", row["remedy"])

    def test_what_may_lead_to_it(self):
        path = os.path.join(self.s.root, "wp-config.php")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        try:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text.replace(
                    "<?php", "<?php define( 'DISABLE_WP_CRON', true );", 1))
            found = self.doctor("messages")
        finally:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        self.assertFound("warn", "DISABLE_WP_CRON is set", found)

    def test_what_the_site_s_filters_do(self):
        self.told(filter=True)
        self.assertFound("warn", "do_immediate_processing",
                         self.doctor("messages"))
        self.told(replaced=True)
        self.assertFound("info", "use_wp_cron", self.doctor("messages"))
        self.told(absent=True)
        self.assertFound("info", "is not active", self.doctor("messages"))
        self.told()
        self.s.mysql("RENAME TABLE wp_esp_message TO wp_away", ())
        try:
            self.assertFound("info", "is not installed",
                             self.doctor("messages"))
        finally:
            self.s.mysql("RENAME TABLE wp_away TO wp_esp_message", ())

    def told(self, **what):
        self.s.mysql("REPLACE INTO wp_wpcron_meta (name, value) VALUES"
                     " ('messages/1/told', %s)",
                     (json.dumps(dict(what, at=int(time.time()))),))

    def test_locks_and_left_over_rows(self):
        espresso.lock(self.s, "send", 1800)
        espresso.message(self.s, "MEX")
        espresso.message(self.s, "MID", age_s=3 * 3600)
        found = self.doctor("messages")
        self.assertFound("info", "_ee_lock_sending", found)
        self.assertFound("info", "30 minutes", found)
        self.assertFound("warn", "1 messages were left by a PHP", found)
        self.assertFound("warn", "3 hours ago", found)


class TasksTest(DoctorCase):
    REST = """
[tasks default/mine]
queue = %s
hook = %s
handler note = php:myplugin_note
""" % (QUEUE, HOOK)

    def setUp(self):
        super().setUp()
        self.s.mysql("DELETE FROM wp_options WHERE option_name LIKE"
                     " '%%myplugin%%'", ())

    def test_orphan_lock_unmapped_type_and_expired_inbox(self):
        set_option(self.s, PRE + QUEUE + "_lock",
                   str(int(time.time()) - 5000))
        set_option(self.s, PRE + "timeout_" + QUEUE,
                   str(int(time.time()) - 10))
        set_option(self.s, PRE + QUEUE, [task("strange", 1)])
        found = self.doctor("tasks")
        self.assertFound("warn", "an orphan", found)
        self.assertFound("warn", "type strange", found)
        self.assertFound("warn", "has expired", found)

    def test_a_value_that_is_no_list(self):
        set_option(self.s, PRE + QUEUE, "nonsense")
        self.assertFound("error", "no list of tasks", self.doctor("tasks"))

    def test_an_object_cache_without_the_companion(self):
        drop = os.path.join(self.s.root, "wp-content", "object-cache.php")
        with open(drop, "w", encoding="ascii") as f:
            f.write("<?php require ABSPATH . WPINC . '/cache.php';"
                    " wp_using_ext_object_cache( true );")
        os.chmod(drop, 0o644)
        try:
            found = self.doctor("tasks")
        finally:
            os.unlink(drop)
        self.assertFound("error", "companion", found)


class LegacyTest(DoctorCase):
    def test_batches_and_old_events(self):
        set_option(self.s, "woocommerce_version", "10.8.0")
        set_option(self.s, "wp_1_wc_emailer_batch_ab", [
            {"filter": "woocommerce_order_status_completed", "args": [1]}])
        self.s.wp_eval("wp_schedule_single_event( time() + 900,"
                       " 'wp_1_wc_emailer_cron' );")
        found = self.doctor("woocommerce")
        self.assertFound("warn", "1 mails in 1 batches", found)
        self.assertFound("info", "wp_1_wc_emailer_cron", found)


if __name__ == "__main__":
    unittest.main()
