"""Event Espresso's messages, generated and sent by its own classes in a real
php-fpm: rows of every status, every way in which PHP can end, locks, the
plugin's request to itself, mails that PHP sends and mails that are stored."""

import email
import email.policy
import hashlib
import json
import os
import subprocess
import time
import unittest

import espresso
import events_table
from newspack import set_option
from stack import SALTS, Stack

DEATHS = (("fatal", "PHP Fatal error Cannot redeclare"),
          ("memory", "PHP Fatal error Allowed memory size"),
          ("exit", "PHP ended by exit or die"),
          ("kill", "PHP ended without an answer"))


class Answer:
    """What the driver printed."""

    def __init__(self, text):
        lines = [json.loads(line) for line in text.split("\n") if line]
        self.rc, self.error = lines[-1]["rc"], lines[-1]["error"]
        self.entries = lines[:-1]

    def __repr__(self):
        return "%s %r %r" % (self.rc, self.error, self.entries[:3])

    def of(self, *keys):
        return [tuple(e[k] for k in keys) if len(keys) > 1 else e[keys[0]]
                for e in self.entries]


def site(case, plugins=("wpcron-demo",), real=False, **options):
    s = Stack()
    case.addClassCleanup(s.close)
    s.start_mariadb()
    s.install_wordpress(plugins=plugins, **options)
    for table in ("outbox", "outbox_chunks"):
        s.mysql(events_table.statement(s, "create_" + table))
    espresso.install_real(s) if real else espresso.install(s)
    s.start_php_fpm(children=3, extra="php_admin_value[memory_limit] = 256M")
    return s


def ask(s, op, entries=((),), **options):
    """The driver's answer; entries are tuples of fields."""
    salts = "".join(hashlib.sha256((s.dir + n).encode()).hexdigest()
                    for n in SALTS)
    settings = {"address": "unix:" + s.php_socket,
                "worker": s.worker_script(), "root": s.root, "salts": salts,
                "home": s.url("").rstrip("/")}
    settings.update(options)
    p = subprocess.run(
        s.as_web_user([s.binary("drivers/php_messages"), op] + [
            "%s=%s" % i for i in settings.items()]),
        input="".join("\t".join(map(str, e)) + "\n" for e in entries),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=s.sanitizer_env(), cwd=s.dir, timeout=120)
    if p.returncode:
        raise AssertionError(p.stderr)
    return Answer(p.stdout)


class MessagesCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = site(cls)

    def setUp(self):
        s = self.s
        espresso.install(s)
        for table in "outbox", "outbox_chunks":
            s.mysql("DELETE FROM wp_wpcron_" + table)
        for name in os.listdir(s.mailed):
            os.unlink(os.path.join(s.mailed, name))

    def ask(self, op, entries=((),), **options):
        return ask(self.s, op, entries, **options)

    def generate(self, *ids, **options):
        return self.ask("generate", [(i,) for i in ids], **options)

    def send(self, *ids, **options):
        return self.ask("send", [(i,) for i in ids], **options)

    def mailed(self):
        """What PHP's sendmail was given, in its order."""
        mails = []
        for name in sorted(n for n in os.listdir(self.s.mailed)
                           if n[0] != "."):
            with open(os.path.join(self.s.mailed, name), "rb") as f:
                mails.append(email.message_from_binary_file(
                    f, policy=email.policy.default))
        return mails


class GenerateTest(MessagesCase):
    def test_a_row_becomes_messages(self):
        s = self.s
        one = espresso.mic(s, priority=20, many=3)
        reply = self.generate(one)
        self.assertEqual(reply.rc, "ok", reply)
        self.assertEqual(reply.of("ok", "answered", "begun", "status"),
                         [(True, True, True, "")])
        rows = espresso.rows(s)
        self.assertEqual([r["STS_ID"] for r in rows], ["MID"] * 3)
        self.assertEqual({r["TXN_ID"] for r in rows}, {7})
        self.assertEqual(espresso.meta(s, one), {})
        self.assertEqual(espresso.locks(s), {})

    def test_rows_are_generated_in_the_callers_order(self):
        ids = [espresso.mic(self.s, priority=p) for p in (30, 10, 20, 10)]
        order = [ids[1], ids[3], ids[2], ids[0]]
        self.assertEqual(self.generate(*order).of("ok"), [True] * 4)
        self.assertEqual(
            [i for i, _ in espresso.calls(self.s, "generate")], order)

    def test_only_what_is_named_is_generated(self):
        ids = [espresso.mic(self.s) for _ in range(4)]
        self.generate(ids[2])
        left = espresso.statuses(self.s)
        self.assertEqual([left.get(i) for i in ids],
                         ["MIC", "MIC", None, "MIC"])

    def test_what_the_plugin_does_not_generate_says_why(self):
        s = self.s
        no_data = espresso.mic(s, data={})
        no_handler = espresso.mic(s, handler="Nobody")
        no_type = espresso.mic(s, message_type="of_an_addon")
        nobody = espresso.mic(s, many=0)
        set_option(s, "wpcron_espresso_debug", "1")
        kept = espresso.mic(s, many=0)
        reply = self.generate(no_data, no_handler, no_type, nobody, kept)
        self.assertEqual(reply.rc, "ok", reply)
        self.assertEqual(reply.of("ok", "status"), [
            (True, "MFL"), (True, "MFL"), (True, "MFL"), (True, "MDO"),
            (True, "MDO")])
        for entry, words in zip(reply.entries, (
                "no generation data", "no class Nobody", "its type",
                "nobody to write to", "nobody to write to")):
            self.assertIn(words, entry["message"])

    def test_nobody_to_write_to_leaves_nothing(self):
        one = espresso.mic(self.s, many=0)
        self.assertEqual(self.generate(one).of("ok", "status"), [(True, "")])
        self.assertEqual(espresso.rows(self.s), [])

    def test_a_row_that_waits_for_nothing_is_left_alone(self):
        s = self.s
        ids = [espresso.message(s, x) for x in
               ("MID", "MRS", "MEX", "MSN", "MRT", "MFL", "MDO")]
        reply = self.generate(*ids, 999999)
        self.assertEqual(reply.of("ok"), [True] * 8)
        self.assertEqual(reply.of("status"), [
            "MID", "MRS", "MEX", "MSN", "MRT", "MFL", "MDO", ""])
        self.assertEqual(espresso.calls(s, "generate"), [])

    def test_one_row_does_not_write_the_messages_of_the_one_before(self):
        """What was generated may be sent by another process meanwhile."""
        s = self.s
        first, second = espresso.mic(s), espresso.mic(s)
        s.mysql("CREATE TRIGGER sent AFTER INSERT ON wp_wpcron_espresso_calls"
                " FOR EACH ROW BEGIN IF NEW.what = 'generate' AND NEW.msg_id ="
                " %d THEN UPDATE wp_esp_message SET STS_ID='MSN'"
                " WHERE STS_ID='MID'; END IF; END" % second)
        self.addCleanup(s.mysql, "DROP TRIGGER sent")
        self.assertEqual(self.generate(first, second).of("ok"), [True] * 2)
        self.assertEqual(
            [r["STS_ID"] for r in espresso.rows(s)], ["MSN"] * 2 + ["MID"] * 2)

    def test_the_plugins_request_to_itself_is_answered_here(self):
        s = self.s
        low = espresso.mic(s, priority=20, message_type="registration")
        high = espresso.mic(s, priority=10, message_type="payment")
        set_option(s, "siteurl", "http://127.0.0.1:1")
        self.addCleanup(set_option, s, "siteurl", s.url("").rstrip("/"))
        began = time.monotonic()
        reply = self.generate(low, high)
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(reply.of("ok", "kick"), [(True, False), (True, True)])
        self.assertEqual(espresso.calls(s, "trigger"), [])
        self.assertEqual(s.value(
            "SELECT COUNT(*) FROM wp_options WHERE option_name LIKE"
            " '%%ee\\_trans%%'"), 0)
        self.assertEqual(espresso.count(s, "MID"), 4)

    def test_an_exception_costs_one_row_and_gives_the_lock_back(self):
        s = self.s
        for do in "throw", "error":
            with self.subTest(do):
                espresso.forget(s)
                ids = [espresso.mic(s) for _ in range(3)]
                espresso.knobs(s, {"on": "generate", "ids": [ids[1]],
                                   "do": do, "with": "no such thing"})
                reply = self.generate(*ids)
                self.assertEqual(reply.rc, "ok", reply)
                self.assertEqual(reply.of("ok", "answered"), [
                    (True, True), (False, False), (True, True)])
                self.assertIn("no such thing", reply.entries[1]["message"])
                self.assertEqual(espresso.statuses(s)[ids[1]], "MIC")
                self.assertEqual(espresso.locks(s), {})

    def test_who_ends_php_is_not_asked_for_twice(self):
        s = self.s
        for do, words in DEATHS:
            for on, left in (("generate", "MIC"), ("deleted", None)):
                with self.subTest(do, on=on):
                    espresso.forget(s)
                    ids = [espresso.mic(s) for _ in range(3)]
                    espresso.knobs(s, {"on": on, "ids": [ids[1]], "do": do})
                    reply = self.generate(*ids)
                    self.assertEqual(reply.rc, "ok", reply)
                    self.assertEqual(
                        reply.of("answered", "begun", "ok")[:2],
                        [(True, True, True), (False, True, False)])
                    self.assertRegex(reply.entries[1]["message"], words)
                    self.assertEqual(
                        [i for i, _ in espresso.calls(s, "generate")].count(
                            ids[1]), 1)
                    self.assertEqual(espresso.statuses(s).get(ids[1]), left)
                    if do == "kill":
                        self.check_lock_stays(reply.entries[2])
                    else:
                        self.assertTrue(reply.entries[2]["ok"])
                        self.assertEqual(espresso.locks(s), {})

    def check_lock_stays(self, after):
        """Not as long as the plugin's own would."""
        self.assertEqual((after["ok"], after["locked"]), (False, True))
        held = espresso.locks(self.s)["generate"] - time.time()
        self.assertTrue(850 < held <= 900, held)

    def test_php_may_die_when_all_is_saved(self):
        one = espresso.mic(self.s, many=3)
        espresso.knobs(self.s, {"on": "saved", "do": "kill"})
        reply = self.generate(one)
        self.assertEqual(reply.of("answered", "begun"), [(False, True)])
        self.assertEqual(espresso.count(self.s, "MID"), 3)

    def test_time_that_is_over_is_said_and_nothing_is_asked_again(self):
        s = self.s
        ids = [espresso.mic(s) for _ in range(3)]
        espresso.knobs(s, {"on": "generate", "ids": [ids[1]],
                           "do": "sleep_ms", "with": 20000})
        reply = self.generate(*ids, timeout_ms=8000)
        self.assertEqual(reply.rc, "retry", reply)
        self.assertEqual(reply.of("answered", "begun"), [
            (True, True), (False, True), (False, False)])

    def test_the_lock_of_another_is_respected_and_survives(self):
        s = self.s
        one = espresso.mic(s)
        espresso.lock(s, "generate", 600)
        before = espresso.locks(s)
        reply = self.generate(one)
        self.assertEqual(reply.of("ok", "answered", "locked", "status"),
                         [(False, True, True, "MIC")])
        self.assertEqual(espresso.locks(s), before)
        espresso.lock(s, "generate", -1)
        self.assertEqual(self.generate(one).of("ok", "locked"),
                         [(True, False)])
        self.assertEqual(espresso.locks(s), {})

    def test_the_lock_of_sending_is_another(self):
        espresso.lock(self.s, "send", 600)
        self.assertEqual(self.generate(espresso.mic(self.s)).of("ok"), [True])

    def test_a_lock_that_appears_between_two_rows_is_seen(self):
        s = self.s
        ids = [espresso.mic(s) for _ in range(2)]
        s.mysql("CREATE TRIGGER held AFTER DELETE ON wp_options FOR EACH ROW"
                " BEGIN IF OLD.option_name = '_ee_lock_generation' THEN"
                " INSERT INTO wp_wpcron_espresso_calls (at, what, msg_id,"
                " text, pid) VALUES (0, 'unlocked', 0, '', 0); END IF; END")
        self.addCleanup(s.mysql, "DROP TRIGGER held")
        espresso.knobs(s, {"on": "generate", "ids": [ids[0]],
                           "do": "sleep_ms", "with": 300})
        self.assertEqual(self.generate(*ids).of("ok"), [True, True])
        self.assertEqual(len(espresso.calls(s, "unlocked")), 2)

    def test_a_version_whose_locks_are_transients(self):
        s = self.s
        espresso.install(s, version="4.9.57.p")
        one = espresso.mic(s)
        s.wp_eval("set_transient( '_ee_lock_generation', 1, 60 );")
        self.assertEqual(self.generate(one).of("locked"), [True])
        s.mysql("UPDATE wp_options SET option_value = '1' WHERE option_name ="
                " '_transient_timeout__ee_lock_generation'")
        self.assertEqual(self.generate(one).of("ok"), [True])
        two = espresso.mic(s)
        espresso.knobs(s, {"on": "generate", "do": "exit"})
        self.assertEqual(self.generate(two).of("answered"), [False])
        self.assertIsNone(s.option("_transient__ee_lock_generation"))

    def test_five_hundred_rows_in_one_call(self):
        ids = [espresso.mic(self.s) for _ in range(500)]
        reply = self.generate(*ids, timeout_ms=110000)
        self.assertEqual((reply.rc, reply.of("ok")), ("ok", [True] * 500))
        self.assertEqual(espresso.count(self.s, "MID"), 1000)

    def test_what_does_not_fit_into_the_callers_memory_is_said(self):
        ids = [espresso.mic(self.s, data={}) for _ in range(100)]
        reply = self.generate(*ids, arena=2000)
        self.assertEqual((reply.rc, reply.error), (
            "retry", "PHP's answers do not fit into memory"))


class SendTest(MessagesCase):
    def test_php_sends_what_has_no_outbox(self):
        s = self.s
        one = espresso.message(
            s, to="A <a@example.org>, b@example.org", subject="5 &lt; 6",
            meta={"MSG_cc": "c@example.org"})
        reply = self.send(one)
        self.assertEqual(reply.of("ok", "status", "mails"),
                         [(True, "MSN", 0)], reply)
        mail, = self.mailed()
        self.assertEqual(mail["From"], espresso.FROM)
        self.assertEqual(mail["Reply-To"], espresso.FROM)
        self.assertEqual(mail["To"], "A <a@example.org>, b@example.org")
        self.assertEqual(mail["Cc"], "c@example.org")
        self.assertEqual(mail["Subject"], "5 < 6")
        self.assertIn("You are expected.", mail.get_content())
        self.assertEqual(espresso.locks(s), {})

    def test_mails_are_stored_under_the_name_of_the_message(self):
        s = self.s
        high = espresso.message(s, priority=10)
        low = espresso.message(s, "MRS", priority=30)
        reply = self.ask("send", [(high, "message:%d:1" % high),
                                  (low, "message:%d:4" % low)], outbox=1)
        self.assertEqual(reply.of("ok", "mails"), [(True, 1)] * 2, reply)
        self.assertEqual(espresso.statuses(s), {high: "MSN", low: "MSN"})
        self.assertEqual(self.mailed(), [])
        rows = s.mysql("SELECT job, priority, state FROM wp_wpcron_outbox"
                       " ORDER BY mail_id")
        self.assertEqual(
            [(r["job"].decode(), r["priority"], r["state"]) for r in rows],
            [("message:%d:1" % high, 10, "ready"),
             ("message:%d:4" % low, 30, "ready")])

    def test_a_priority_that_the_sender_does_not_know_is_the_nearest(self):
        s = self.s
        rows = [espresso.message(s, priority=p) for p in (0, 40)]
        self.ask("send", [(m, "message:%d:1" % m) for m in rows], outbox=1)
        self.assertEqual([r["priority"] for r in s.mysql(
            "SELECT priority FROM wp_wpcron_outbox ORDER BY mail_id")],
            [10, 30])

    def test_a_message_without_a_name_is_not_stored(self):
        one = espresso.message(self.s)
        reply = self.ask("send", [(one,)], outbox=1)
        self.assertEqual(reply.of("ok", "mails"), [(True, 0)])
        self.assertEqual(len(self.mailed()), 1)

    def test_messages_are_sent_in_the_callers_order(self):
        ids = [espresso.message(self.s, age_s=a) for a in (5, 50, 500)]
        self.assertEqual(self.send(ids[2], ids[0], ids[1]).of("ok"),
                         [True] * 3)
        self.assertEqual([i for i, _ in espresso.calls(self.s, "send")],
                         [ids[2], ids[0], ids[1]])

    def test_what_does_not_wait_is_not_sent(self):
        s = self.s
        stati = ("MIC", "MEX", "MSN", "MRT", "MFL", "MDO")
        ids = [espresso.message(s, x) for x in stati]
        reply = self.send(*ids, 999999)
        self.assertEqual(reply.of("status"), list(stati) + [""])
        self.assertEqual(reply.of("ok"), [x == "MSN" for x in stati] + [False])
        self.assertEqual(espresso.calls(s, "send"), [])
        self.assertEqual(list(espresso.statuses(s).values()), list(stati))

    def test_a_message_of_what_is_not_installed_blocks_nobody(self):
        s = self.s
        ids = [espresso.message(s, message_type="of_an_addon"),
               espresso.message(s, messenger="pigeon"),
               espresso.message(s)]
        reply = self.send(*ids)
        self.assertEqual(reply.of("ok", "status"), [
            (False, "MID"), (False, "MID"), (True, "MSN")])
        self.assertIn("of_an_addon", reply.entries[0]["message"])
        self.assertIn("pigeon", reply.entries[1]["message"])
        self.assertEqual([i for i, _ in espresso.calls(s, "send")], ids[2:])

    def test_a_messenger_that_says_no(self):
        s = self.s
        ids = [espresso.message(s) for _ in range(3)]
        espresso.knobs(s, {"on": "execute", "ids": [ids[1]], "do": "value",
                           "with": False})
        reply = self.send(*ids)
        self.assertEqual(reply.of("ok", "status"), [
            (True, "MSN"), (False, "MRT"), (True, "MSN")])
        self.assertIn("not sent", reply.entries[1]["message"])

    def test_a_messenger_that_throws(self):
        s = self.s
        ids = [espresso.message(s) for _ in range(3)]
        espresso.knobs(s, {"on": "execute", "ids": [ids[1]], "do": "throw",
                           "with": "no wrapper"})
        reply = self.send(*ids)
        self.assertEqual(reply.of("status"), ["MSN", "MFL", "MSN"])
        self.assertIn("no wrapper", reply.entries[1]["message"])

    def test_the_reasons_of_one_are_not_those_of_the_next(self):
        s = self.s
        ids = [espresso.message(s) for _ in range(2)]
        espresso.knobs(s, *[{"on": "execute", "ids": [i], "do": "throw",
                             "with": "reason %d" % i} for i in ids])
        self.send(*ids)
        self.assertIn("reason %d" % ids[0], espresso.meta(
            s, ids[0])["MSG_error"])
        self.assertNotIn("reason %d" % ids[0], espresso.meta(
            s, ids[1])["MSG_error"])

    def test_an_error_of_php_costs_one_message_and_leaves_it_executing(self):
        s = self.s
        ids = [espresso.message(s) for _ in range(3)]
        espresso.knobs(s, {"on": "execute", "ids": [ids[1]], "do": "error",
                           "with": "no such thing"})
        reply = self.send(*ids)
        self.assertEqual(reply.of("answered", "ok"), [
            (True, True), (False, False), (True, True)])
        self.assertEqual(list(espresso.statuses(s).values()),
                         ["MSN", "MEX", "MSN"])
        self.assertEqual(espresso.locks(s), {})

    def test_who_ends_php_is_not_sent_twice(self):
        s = self.s
        for do, words in DEATHS:
            for on in "execute", "sent":
                with self.subTest(do, on=on):
                    espresso.forget(s)
                    ids = [espresso.message(s) for _ in range(3)]
                    espresso.knobs(s, {"on": on, "ids": [ids[1]], "do": do})
                    reply = self.send(*ids)
                    self.assertEqual(reply.rc, "ok", reply)
                    self.assertEqual(reply.of("answered", "begun")[:2],
                                     [(True, True), (False, True)])
                    self.assertRegex(reply.entries[1]["message"], words)
                    self.assertEqual(espresso.statuses(s)[ids[1]], "MEX")
                    self.assertEqual(
                        [i for i, _ in espresso.calls(s, "send")].count(
                            ids[1]), on == "sent")
                    self.assertEqual(reply.entries[2]["locked"], do == "kill")

    def test_a_mail_that_was_stored_before_php_died_is_there(self):
        s = self.s
        one = espresso.message(s)
        espresso.knobs(s, {"on": "sent", "do": "kill"})
        reply = self.ask("send", [(one, "message:%d:1" % one)], outbox=1)
        self.assertEqual(reply.of("answered", "begun"), [(False, True)])
        self.assertEqual(s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox WHERE state='ready'"), 1)

    def test_the_lock_of_another_is_respected(self):
        s = self.s
        one, other = espresso.message(s), espresso.message(s)
        espresso.lock(s, "send", 600)
        before = espresso.locks(s)
        reply = self.send(one)
        self.assertEqual(reply.of("ok", "locked", "status"),
                         [(False, True, "MID")])
        self.assertEqual(espresso.locks(s), before)
        self.assertEqual(espresso.statuses(s), {one: "MID", other: "MID"})

    def test_the_window_is_neither_asked_nor_spent(self):
        s = self.s
        set_option(s, espresso.RATE, [0, int(time.time()) + 900])
        before = espresso.window(s)
        self.assertEqual(self.send(espresso.message(s)).of("ok"), [True])
        self.assertEqual(espresso.window(s), before)

    def test_same_request_mode_and_maintenance_refuse_all(self):
        s = self.s
        one = espresso.message(s)
        espresso.same_request(s)
        for op in "send", "generate":
            reply = self.ask(op, [(one,)])
            self.assertEqual(reply.rc, "reject")
            self.assertIn("same request", reply.error)
        espresso.forget(s)
        set_option(s, "wpcron_espresso_filter", "1")
        self.assertEqual(self.send(one).rc, "reject")
        espresso.forget(s)
        set_option(s, "ee_maintenance_mode", "2")
        self.assertIn("maintenance", self.send(one).error)

    def test_without_the_plugin_all_is_refused(self):
        s = self.s
        plugins = s.option("active_plugins")
        set_option(s, "active_plugins", [])
        self.addCleanup(set_option, s, "active_plugins", plugins)
        for op in "send", "generate", "describe":
            reply = self.ask(op, [(1,)])
            self.assertEqual((reply.rc, reply.error), (
                "reject", "there is no class EED_Messages: Event Espresso is"
                " not active"))


if __name__ == "__main__":
    unittest.main()
