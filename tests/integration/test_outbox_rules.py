"""What may be sent, to whom and how fast: rates over processes, copies of the
site, sealed mails, pauses, and who is told what became of a mail."""

import base64
import collections
import os
import threading
import time
import unittest

import test_outbox_send
from outboxes import Outbox
from smtp_stand_in import SmtpStandIn

KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
SEAL = """
list( , $key, $context, $text ) = $argv;
$nonce = random_bytes( 12 );
$sealed = openssl_encrypt( base64_decode( $text ), 'aes-256-gcm',
    hex2bin( $key ), OPENSSL_RAW_DATA, $nonce, $tag, $context, 16 );
echo base64_encode( $nonce . $tag . $sealed );
"""


class Case(test_outbox_send.Case):
    def keep_waiting(self, relay):
        """The relay answers no mail until the event is set."""
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        relay.decide = lambda _session: go_on.wait(50) and None
        return go_on


class Rates(Case):
    def test_two_processes_share_a_rate(self):
        relay = self.relay()
        boxes = [self.box(relay, more="rate = 20/s\n", concurrency=2,
                          name="rate%d.conf" % i) for i in range(2)]
        boxes[0].put_many(90)
        begin = time.monotonic()
        running = [b.start("sender%d" % i) for i, b in enumerate(boxes)]
        mails = relay.wait(90, 60)
        took = time.monotonic() - begin
        for p in running:
            p.stop()
        self.assertEqual(len(mails), 90)
        # A fifth of the rate is kept for urgent mail: 16 a second.
        offset = self.ahead()
        windows = collections.Counter(int(m.at + offset) for m in mails)
        self.assertGreaterEqual(took, 90 / 16 - 2)
        for window, n in windows.items():
            # One of each process may arrive just after its second.
            self.assertLessEqual(n, 16 + 4, windows)
        self.assertGreater(len({m.connection for m in mails}), 1)
        self.assertLessEqual(relay.peak, 2)

    def ahead(self):
        """What the server's clock shows more than time.monotonic(), by the
        quickest of some answers: a window's first mails come right at its
        beginning."""
        found = []
        with self.s.connect() as db, db.cursor() as c:
            for _ in range(50):
                before = time.monotonic()
                c.execute("SELECT UNIX_TIMESTAMP(UTC_TIMESTAMP(6))")
                now = float(c.fetchone()[0])
                took = time.monotonic() - before
                found.append((took, now - before - took / 2))
                time.sleep(0.005)
        return min(found)[1]

    def test_the_last_fifth_is_for_urgent_mail(self):
        relay = self.relay()
        box = self.box(relay, more="rate = 10/d\n")
        box.put_many(20, priority=30)
        report = box.send()
        self.assertEqual(report["sent"], 8, report)
        self.assertEqual(report["wait_ms"], "some")
        self.assertIn("rate", report["why"])
        urgent = box.put_many(5, priority=10)
        self.assertEqual(box.send()["sent"], 2)
        self.assertEqual([box.row(m)["state"] for m in urgent],
                         ["sent", "sent", "ready", "ready", "ready"])
        self.assertEqual(box.send()["sent"], 0)
        self.assertEqual(box.states(), {"sent": 10, "ready": 15})

    def test_recipients_are_counted_and_only_those_taken(self):
        relay = self.relay()
        relay.fail("rcpt", 550, times=None, where="b@to.test")
        box = self.box(relay, more="rate = 8/d\n")
        box.put(to=("a@to.test", "b@to.test", "c@to.test"))
        box.send()
        self.assertEqual(self.used(), {"rate": 2})
        box.put(to=("b@to.test",))
        box.send()
        self.assertEqual(self.used(), {"rate": 2})

    def used(self):
        return {r["name"].split("/", 2)[2]: r["used"] for r in self.s.mysql(
            "SELECT name, used FROM wp_wpcron_buckets")}

    def test_a_domain_has_a_rate_of_its_own(self):
        relay = self.relay()
        box = self.box(
            relay, more="domain_rates = slow.test 3/d, *.sub.test 1/d\n")
        for i in range(5):
            box.put(to=("u%d@SLOW.test" % i,))
            box.put(to=("u%d@fast.test" % i,))
            box.put(to=("u%d@x.sub.test" % i,))
        report = box.send()
        self.assertEqual(report["sent"], 3 + 5 + 1, report)
        self.assertEqual(box.states(), {"sent": 9, "later": 6})
        self.assertEqual(self.s.value(
            "SELECT SUM(tries) FROM wp_wpcron_outbox WHERE state ="
            " 'later'"), 0)

    def test_whose_domain_may_not_yet_waits_and_the_others_go(self):
        relay = self.relay()
        box = self.box(relay, more="domain_rates = slow.test 2/d\n")
        mail = box.put(to=["u%d@slow.test" % i for i in range(4)] +
                       ["a@to.test"])
        box.send()
        self.assertEqual(box.recipients(mail),
                         ["sent", "sent", "open", "open", "sent"])
        self.assertEqual((box.row(mail)["state"], box.row(mail)["tries"]),
                         ("later", 0))
        self.s.mysql("DELETE FROM wp_wpcron_buckets")
        box.hurry()
        box.send()
        self.assertEqual(box.recipients(mail), ["sent"] * 5)
        self.assertEqual([len(m.recipients) for m in relay.mails], [3, 2])

    def test_a_pace_is_waited_for(self):
        relay = self.relay()
        box = self.box(relay, more="pace = 5/s\n")
        box.put_many(12)
        begin = time.monotonic()
        self.assertEqual(box.send()["sent"], 12)
        self.assertGreater(time.monotonic() - begin, 1)

    def test_a_relay_that_asks_for_less_gets_less(self):
        relay = self.relay()
        relay.fail("rcpt", 450, "4.7.1 rate limit exceeded, too many",
                   times=1)
        box = self.box(relay)
        box.put_many(5)
        report = box.send()
        self.assertEqual(report["wait_ms"], "some", report)
        self.assertLessEqual(len(relay.mails), 1)


class Connections(Case):
    def test_no_more_than_concurrency_over_all_processes(self):
        relay = self.relay(max_connections=3)
        boxes = [self.box(relay, concurrency=3, name="c%d.conf" % i)
                 for i in range(6)]
        relay.stall("end", 0.02, times=None)
        boxes[0].put_many(120)
        running = [b.start("c%d" % i) for i, b in enumerate(boxes)]
        self.assertEqual(len(relay.wait(120, 60)), 120)
        for p in running:
            p.stop()
        self.assertEqual(relay.peak, 3)
        self.assertEqual(len({m.header("Subject") for m in relay.mails}),
                         120)

    def test_all_in_use_is_no_failure(self):
        relay = self.relay()
        go_on = self.keep_waiting(relay)
        box = self.box(relay, reply="30s", data="60s")
        box.put_many(12)
        slow = threading.Thread(target=Outbox.send, args=(box,))
        slow.start()
        self.s.wait_until(lambda: relay.connections == 1)
        self.assertEqual(box.send()["rc"], "none")
        go_on.set()
        slow.join()


class Standing(Case):
    def test_a_copy_of_the_site_sends_nothing(self):
        relay = self.relay()
        box = self.box(relay)
        mail = box.put()
        for standing in ("copy", "staging", "unknown"):
            report = box.send(standing=standing)
            self.assertEqual(report["sent"], 0, report)
            self.assertTrue(report["why"], report)
        self.assertEqual(relay.connections, 0)
        self.assertEqual((box.row(mail)["state"], box.row(mail)["tries"]),
                         ("ready", 0))

    def test_redirected_mails_go_to_one_address_from_anywhere(self):
        relay = self.relay()
        box = self.box(relay, more="redirect_to = test@own.test\n")
        for standing in ("original", "copy", "staging"):
            mail = box.put(to=("a@to.test", "b@to.test"))
            self.assertEqual(box.send(standing=standing)["sent"], 1)
            self.assertEqual(box.recipients(mail), ["sent", "sent"])
        self.assertEqual([m.recipients for m in relay.mails],
                         [["test@own.test"]] * 3)
        self.assertEqual([m.asked for m in relay.mails],
                         [["test@own.test"]] * 3)
        box.put()
        self.assertEqual(box.send(standing="unknown")["sent"], 0)

    def test_others_than_the_allowed_get_nothing(self):
        relay = self.relay()
        box = self.box(relay, more="allow_recipients = *@OWN.test, "
                                   "boss@to.test\n")
        one = box.put(to=("a@to.test", "Test@own.test", "boss@to.test"))
        other = box.put(to=("a@to.test",), job="action:1")
        report = box.send()
        self.assertEqual((report["sent"], report["dropped"]), (1, 1))
        self.assertEqual([m.asked for m in relay.mails],
                         [["Test@own.test", "boss@to.test"]])
        self.assertEqual(box.recipients(one), ["dead", "sent", "sent"])
        self.assertIn("allow_recipients",
                      box.row(one)["recipients"][0]["words"])
        self.assertEqual(box.row(other)["state"], "dropped")
        self.assertEqual(box.letters(), [])

    def test_the_envelope_sender_is_the_configured_one(self):
        relay = self.relay()
        box = self.box(relay, more="envelope_from = bounces@own.test\n")
        box.put()
        box.send()
        self.assertEqual(relay.mails[0].sender, "bounces@own.test")

    def test_a_paused_relay_gets_nothing(self):
        relay = self.relay()
        box = self.box(relay)
        box.put()
        for name in ("relay", "*"):
            self.s.mysql(
                "INSERT INTO wp_wpcron_policies (blog_id, kind, pattern,"
                " paused_at) VALUES (0, 'smtp', %s, UTC_TIMESTAMP(6))",
                (name,))
            self.assertIn("paused", box.send()["why"])
            self.s.mysql("DELETE FROM wp_wpcron_policies")
        self.assertEqual(box.send()["sent"], 1)


    def test_a_pause_stops_a_run_after_the_mail_in_hand(self):
        relay = self.relay()
        go_on = self.keep_waiting(relay)
        box = self.box(relay, reply="30s", data="60s")
        box.put_many(15)
        sender = box.start("paused", for_ms=60000)
        self.s.wait_until(lambda: "DATA" in relay.verbs(), 20)
        self.s.mysql(
            "INSERT INTO wp_wpcron_policies (blog_id, kind, pattern,"
            " paused_at) VALUES (0, 'smtp', 'relay', UTC_TIMESTAMP(6))")
        self.addCleanup(self.s.mysql, "DELETE FROM wp_wpcron_policies")
        go_on.set()
        self.s.wait_until(
            lambda: box.states() == {"sent": 1, "ready": 14}, 20)
        sender.stop()
        self.assertEqual(len(relay.mails), 1)


class Sealed(Case):
    def key_file(self, text=KEY):
        path = self.s.path("key")
        with open(path, "w") as f:
            f.write(text + "\n")
        return "outbox_key_file = %s\n" % path

    def seal(self, box, mail):
        """What is stored, as PHP would have sealed it."""
        row = self.s.mysql("SELECT job, ordinal FROM wp_wpcron_outbox WHERE"
                           " mail_id = %s", (mail,))[0]
        for c in self.s.mysql("SELECT chunk, bytes FROM"
                              " wp_wpcron_outbox_chunks WHERE mail_id = %s",
                              (mail,)):
            context = "mail %s %d %d" % (row["job"].decode(), row["ordinal"],
                                         c["chunk"])
            sealed = base64.b64decode(self.s.php(
                SEAL, KEY, context, base64.b64encode(c["bytes"]).decode()))
            self.s.mysql("UPDATE wp_wpcron_outbox_chunks SET bytes ="
                         " _binary %s WHERE mail_id = %s AND chunk = %s",
                         (sealed, mail, c["chunk"]))
        self.s.mysql("UPDATE wp_wpcron_outbox SET sealed = 1"
                     " WHERE mail_id = %s", (mail,))

    def test_a_sealed_mail_arrives_open(self):
        relay = self.relay()
        box = self.box(relay, site=self.key_file())
        mail = box.put(body="secret\r\n" * 1000, chunk=1000)
        self.seal(box, mail)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox_chunks WHERE bytes LIKE"
            " '%%secret%%'"), 0)
        self.assertEqual(box.send()["sent"], 1)
        self.assertIn(b"secret\r\n" * 1000, relay.mails[0].data)

    def test_without_the_right_key_it_is_held(self):
        relay = self.relay()
        for key in ("", self.key_file("f" * 64)):
            with self.subTest(key=key):
                self.setUp()
                box = self.box(relay, site=key)
                mail = box.put()
                other = box.put()
                self.seal(box, mail)
                report = box.send()
                self.assertEqual((report["held"], report["sent"]), (1, 1))
                self.assertEqual(box.row(mail)["state"], "held")
                self.assertEqual(box.row(other)["state"], "sent")

    def test_a_key_file_that_is_none_stops_all(self):
        relay = self.relay()
        box = self.box(relay, site=self.key_file("12"))
        mail = box.put()
        report = box.send()
        self.assertIn("outbox_key_file", report["why"])
        self.assertEqual(box.row(mail)["state"], "ready")
        os.unlink(self.s.path("key"))
        self.assertIn("outbox_key_file", box.send()["why"])


class Broken(Case):
    def test_a_mail_without_bytes_is_dead(self):
        relay = self.relay()
        box = self.box(relay)
        first, mail = box.put(body="x" * 5000, chunk=1000), box.put()
        self.s.mysql("DELETE FROM wp_wpcron_outbox_chunks WHERE mail_id = %s",
                     (mail,))
        # The relay has heard half of it, and never its end.
        self.s.mysql("DELETE FROM wp_wpcron_outbox_chunks WHERE mail_id = %s"
                     " AND chunk = 3", (first,))
        last = box.put()
        report = box.send()
        self.assertEqual((report["dead"], report["sent"]), (2, 1), report)
        self.assertEqual(self.subjects(relay), ["mail 3"])
        self.assertEqual(box.row(last)["state"], "sent")

    def test_recipients_that_cannot_be_read_hold_the_mail(self):
        relay = self.relay()
        box = self.box(relay)
        mail = box.put(recipients="what?")
        box.put()
        report = box.send()
        self.assertEqual((report["held"], report["sent"]), (1, 1), report)
        self.assertEqual(self.s.value(
            "SELECT state FROM wp_wpcron_outbox WHERE mail_id = %s",
            (mail,)), "held")


class Told(Case):
    def test_an_actions_log_has_the_relays_words(self):
        relay = self.relay()
        relay.fail("rcpt", 550, "5.1.1 no such user", where="b@to.test")
        relay.fail("rcpt", 554, "5.7.1 not this one", where="c@to.test")
        box = self.box(relay)
        ids = self.s.insert_actions(4, "hook_of_mails")
        ids = [r["action_id"] for r in self.s.actions(
            "hook = 'hook_of_mails'")][-4:]
        # The second has been tried again, and is an action by itself.
        self.s.mysql("INSERT INTO wp_wpcron_tries (blog_id, action_id,"
                     " origin_id, try, created_at) VALUES (1, %s, %s, 2,"
                     " UTC_TIMESTAMP(6))", (ids[3], ids[1]))
        box.put("action:%d" % ids[0])
        box.put("action:%d" % ids[1], to=("b@to.test",))
        box.put("action:%d" % ids[2], to=("a@to.test", "c@to.test"))
        box.put("action:999999999")
        box.send()
        self.assertEqual(self.lines(ids[0])[0][:40],
                         "mail accepted by the relay: 250 2.0.0 ok")
        self.assertEqual(self.lines(ids[1]), [])
        self.assertEqual(self.lines(ids[3]),
                         ["mail refused: 550 5.1.1 no such user"])
        self.assertRegex(self.lines(ids[2])[0],
                         "not for everybody.*5.7.1 not this one")
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox WHERE told = 0"), 0)
        box.send()
        self.assertEqual(len(self.lines(ids[0])), 1)

    def test_it_tells_of_whom_we_refused_and_not_of_whom_we_left_out(self):
        relay = self.relay()
        box = self.box(relay, more="allow_recipients = *@to.test, wrong\n")
        self.s.insert_actions(2, "hook_of_parts")
        left, wrong = [r["action_id"] for r in self.s.actions(
            "hook = 'hook_of_parts'")][-2:]
        box.put("action:%d" % left, to=("a@else.test", "a@to.test"))
        box.put("action:%d" % wrong,
                to=("b@else.test", "wrong", "a@to.test"))
        self.assertEqual(box.send()["sent"], 2)
        self.assertRegex(self.lines(left)[0], "^mail accepted by the relay:")
        self.assertRegex(self.lines(wrong)[0],
                         "not for everybody: not a mail address")

    def test_several_senders_tell_a_verdict_once(self):
        relay = self.relay()
        relay.stall("end", 0.2, times=None)
        box = self.box(relay, concurrency=4)
        self.s.insert_actions(1, "hook_of_senders")
        action = self.s.actions("hook = 'hook_of_senders'")[-1]["action_id"]
        box.put_many(40, job="action:%d" % action)
        senders = [box.start("teller%d" % i, for_ms=60000) for i in range(4)]
        self.s.wait_until(lambda: box.states() == {"sent": 40}, 30)
        for sender in senders:
            sender.stop()
        box.send()
        self.assertEqual(box.states(), {"sent": 40})
        self.assertEqual(len(self.lines(action)), 40)

    def test_other_blogs_of_a_network_are_told_in_their_tables(self):
        relay = self.relay()
        box = self.box(relay)
        for table in ("options", "actionscheduler_actions",
                      "actionscheduler_logs"):
            self.s.mysql("CREATE TABLE wp_7_%s LIKE wp_%s" % (table, table))
            self.addCleanup(self.s.mysql, "DROP TABLE wp_7_" + table)
        self.s.mysql("INSERT INTO wp_7_actionscheduler_actions (action_id,"
                     " hook, status, scheduled_date_gmt, schedule)"
                     " VALUES (41, 'h', 'complete', UTC_TIMESTAMP(), '')")
        mails = [box.put("action:41"), box.put("action:41")]
        self.s.mysql("UPDATE wp_wpcron_outbox SET blog_id = 7")
        self.s.mysql("UPDATE wp_wpcron_outbox_chunks SET blog_id = 7")
        # A blog that was deleted has nobody to tell.
        gone = box.put("action:41")
        self.s.mysql("UPDATE wp_wpcron_outbox SET blog_id = 8"
                     " WHERE mail_id = %s", (gone,))
        self.s.mysql("UPDATE wp_wpcron_outbox_chunks SET blog_id = 8"
                     " WHERE mail_id = %s", (gone,))
        self.assertEqual(box.send()["sent"], 3)
        self.assertEqual([box.row(m)["told"] for m in mails + [gone]],
                         [1, 1, 1])
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_7_actionscheduler_logs WHERE action_id"
            " = 41 AND message LIKE 'mail accepted%%'"), 2)

    def lines(self, action):
        return [line for line in self.s.logs(action) if "mail" in line]


if __name__ == "__main__":
    unittest.main()
