"""What the sender makes of a relay's answers: order, tries, partial results,
what a staging site sends, and what it leaves in the tables."""

import unittest

import pymysql
from mail_server import MailServer
from outboxes import Outbox, site
from smtp_stand_in import SmtpStandIn


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = site()
        cls.addClassCleanup(cls.s.close)
        Outbox(cls.s, 1).send(tend_only=1)  # the tables

    def setUp(self):
        for table in ("outbox", "outbox_chunks", "dead_letters", "leases",
                      "buckets", "tries"):
            self.s.mysql("DELETE FROM wp_wpcron_" + table)
        self.s.mysql("DELETE FROM wp_wpcron_meta WHERE name LIKE 'smtp/%'")

    def relay(self, **options):
        relay = SmtpStandIn(**options)
        self.addCleanup(relay.close)
        self.addCleanup(lambda: self.assertEqual(relay.violations, []))
        return relay

    def box(self, relay, **options):
        return Outbox(self.s, relay.port, **options)

    def subjects(self, relay):
        return [m.header("Subject") for m in relay.mails]


class Order(Case):
    def test_urgent_mails_go_first_then_the_oldest(self):
        relay = self.relay()
        box = self.box(relay)
        for priority in (30, 20, 10, 30, 10, 20):
            box.put(priority=priority)
        report = box.send()
        self.assertEqual(report["sent"], 6, report)
        self.assertEqual(self.subjects(relay),
                         ["mail %d" % i for i in (3, 5, 2, 6, 1, 4)])
        self.assertEqual(relay.connections, 1)
        self.assertEqual(box.states(), {"sent": 6})
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox_chunks"), 0)

    def test_bytes_arrive_as_they_are_stored(self):
        relay = self.relay()
        box = self.box(relay)
        body = "\r\n".join([".", "..two", "tail ", "x" * 900] * 1500)
        box.put(body=body, chunk=10007, to=("a@to.test", "b@to.test"))
        box.send()
        self.assertTrue(relay.mails[0].data.endswith(
            b"\r\n\r\n" + body.encode() + b"\r\n"))
        self.assertEqual(relay.mails[0].recipients,
                         ["a@to.test", "b@to.test"])
        self.assertEqual(relay.mails[0].sender, "shop@site.test")
        self.assertEqual(relay.mails[0].ehlo, "[127.0.0.1]")

    def test_a_real_server_has_them_all(self):
        server = MailServer().start(self.s.path("mail"))
        self.addCleanup(server.stop)
        box = self.box(server, concurrency=2)
        box.put_many(30)
        self.assertEqual(box.send()["sent"], 30)
        got = sorted(m[2].split(b"Subject: ")[1].split(b"\r\n")[0].decode()
                     for m in server.wait(30))
        self.assertEqual(got, sorted("mail %d" % (i + 1)
                                     for i in range(30)))

    def test_what_the_relay_said_is_kept(self):
        relay = self.relay()
        box = self.box(relay)
        mail = box.put()
        box.send(debug=1)
        row = box.row(mail)
        self.assertRegex(row["reply"], r"^250 ")
        self.assertEqual(row["recipients"][0]["state"], "sent")
        self.assertIn("outbox.sent", box.log)
        self.assertNotIn("a@to.test", box.log)


class Later(Case):
    """4xx at each stage: tried again, the same bytes to whom it was said."""

    ROWS = ("mail", "rcpt", "data", "end")

    def test_a_mail_that_is_put_off_is_sent_later(self):
        for stage in self.ROWS:
            with self.subTest(stage=stage):
                self.setUp()
                relay = self.relay()
                relay.fail(stage, 451, "4.3.0 come back")
                # Its time does not come by itself.
                box = self.box(relay, backoff="60s..240s")
                mail = box.put()
                self.assertEqual(box.send()["later"], 1)
                row = box.row(mail)
                self.assertEqual((row["state"], row["tries"]), ("later", 1))
                self.assertIn("come back", row["reply"])
                self.assertEqual(box.send()["due"], 0)
                box.hurry()
                self.assertEqual(box.send()["sent"], 1)
                self.assertEqual(len(relay.mails), 1)
                self.assertEqual(relay.mails[0].header("Message-ID"),
                                 "<1@site.test>")

    def test_waits_double_up_to_the_longest(self):
        relay = self.relay()
        relay.fail("rcpt", 450, times=None)
        box = self.box(relay, backoff="100s..400s")
        mail = box.put()
        waits = []
        for _ in range(5):
            box.send()
            waits.append(float(self.s.value(
                "SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6),"
                " not_before) / 1e6 FROM wp_wpcron_outbox")))
            box.hurry()
        self.assertEqual(box.row(mail)["tries"], 5)
        # They are looked at when the process has ended.
        for wait, most in zip(waits, (100, 200, 400, 400, 400)):
            self.assertLessEqual(wait, most * 1.2 + 1, waits)
            self.assertGreaterEqual(wait, most * 0.8 - 15, waits)

    def test_after_max_age_it_is_dead(self):
        relay = self.relay()
        relay.fail("rcpt", 450, "4.2.0 greylisted", times=None)
        box = self.box(relay, more="max_age = 1h\n")
        mail = box.put()
        box.send()
        self.s.mysql("UPDATE wp_wpcron_outbox SET created_at ="
                     " created_at - INTERVAL 2 HOUR")
        box.hurry()
        self.assertEqual(box.send()["dead"], 1)
        row = box.row(mail)
        self.assertEqual(row["state"], "dead")
        self.assertIn("greylisted", row["reply"])
        self.assertEqual(len(box.letters()), 1)

    def test_one_that_waited_for_a_relay_is_sent_however_old(self):
        relay = self.relay()
        box = self.box(relay, more="max_age = 1h\n")
        box.put()
        self.s.mysql("UPDATE wp_wpcron_outbox SET created_at ="
                     " created_at - INTERVAL 2 HOUR")
        self.assertEqual(box.send()["sent"], 1)


class Parts(Case):
    def test_one_of_three_refused_for_good_is_told(self):
        relay = self.relay()
        relay.fail("rcpt", 550, "5.1.1 no such user b@to.test", times=None,
                   where="b@to.test")
        box = self.box(relay)
        mail = box.put(to=("a@to.test", "b@to.test", "c@to.test"))
        self.assertEqual(box.send()["sent"], 1)
        self.assertEqual(box.recipients(mail), ["sent", "dead", "sent"])
        row = box.row(mail)
        self.assertEqual(row["recipients"][1]["code"], 550)
        self.assertNotIn("b@to.test", row["recipients"][1]["words"])
        self.assertEqual(relay.mails[0].recipients,
                         ["a@to.test", "c@to.test"])
        self.assertEqual(box.letters(), [])

    def test_who_has_it_never_gets_it_again(self):
        relay = self.relay()
        relay.fail("rcpt", 450, times=2, where="b@to.test")
        box = self.box(relay)
        mail = box.put(to=("a@to.test", "b@to.test", "c@to.test"))
        self.assertEqual(box.send()["later"], 1)
        self.assertEqual(box.recipients(mail), ["sent", "open", "sent"])
        for _ in range(2):
            box.hurry()
            box.send()
        self.assertEqual(box.recipients(mail), ["sent"] * 3)
        self.assertEqual([m.recipients for m in relay.mails],
                         [["a@to.test", "c@to.test"], ["b@to.test"]])
        self.assertEqual(relay.mails[0].data, relay.mails[1].data)
        self.assertEqual(box.states(), {"sent": 1})

    def test_all_refused_is_dead_and_in_the_letters(self):
        relay = self.relay()
        relay.fail("rcpt", 550, "5.1.1 who is a@to.test?", times=None)
        box = self.box(relay)
        mail = box.put(to=("a@to.test", "b@to.test"),
                       subject="for a@to.test")
        self.assertEqual(box.send()["dead"], 1)
        self.assertEqual(box.states(), {"dead": 1})
        (source, title, reason), = box.letters()
        self.assertEqual(source, mail)
        self.assertIn("550 5.1.1", reason)
        self.assertNotIn("a@to.test", title + reason + box.log)
        self.assertIn("outbox.refused", box.log)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox_chunks"), 1)

    def test_a_long_list_goes_in_portions(self):
        relay = self.relay()
        box = self.box(relay)
        to = ["r%d@to.test" % i for i in range(230)]
        mail = box.put(to=to)
        box.send()
        self.assertEqual([len(m.recipients) for m in relay.mails],
                         [100, 100, 30])
        self.assertEqual(sum((m.recipients for m in relay.mails), []), to)
        self.assertEqual(box.row(mail)["state"], "sent")
        self.assertEqual(box.row(mail)["tries"], 1)

    def test_a_hundred_who_put_us_off_do_not_keep_the_others_waiting(self):
        relay = self.relay()
        relay.fail("rcpt", 450, "4.2.0 greylisted", times=None,
                   where=lambda session: "slow" in session.asked[-1])
        box = self.box(relay)
        mail = box.put(to=["r%d@slow.test" % i for i in range(110)]
                       + ["a@to.test", "b@to.test"])
        box.send()
        self.assertEqual(box.recipients(mail)[110:], ["sent", "sent"])
        row = box.row(mail)
        self.assertEqual((row["state"], row["tries"]), ("later", 1))

    def test_what_is_no_address_never_reaches_the_relay(self):
        relay = self.relay()
        box = self.box(relay)
        mail = box.put(to=("a@to.test", "x@to.test>\r\nRCPT TO:<evil@x.test"))
        box.send()
        self.assertEqual(box.recipients(mail), ["sent", "dead"])
        self.assertEqual(relay.mails[0].recipients, ["a@to.test"])


class Unknown(Case):
    def test_an_answer_outlives_the_connection_to_the_database(self):
        relay = self.relay()
        relay.stall("end", 5)
        box = self.box(relay, data="30s")
        mail = box.put()
        # What comes of this one is known without asking anybody.
        box.put(recipients="what?")
        sender = box.start("late", for_ms=60000)
        self.s.wait_until(lambda: "DATA" in relay.verbs(), 20)
        for row in self.s.mysql(
                "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s"
                " AND ID <> CONNECTION_ID()", (self.s.db_name,)):
            try:
                self.s.mysql("KILL %d" % row["ID"])
            except pymysql.MySQLError as e:
                if e.args[0] != 1094:  # it left by itself
                    raise
        self.s.wait_until(lambda: box.row(mail)["state"] != "sending", 40)
        sender.stop()
        row = box.row(mail)
        self.assertEqual((row["state"], row["unknown"]), ("sent", 0))

    def test_a_mail_to_many_is_not_taken_for_lost_before_each_has_his_time(
            self):
        relay = self.relay()
        for first in ("a@to.test", "r0@to.test"):
            relay.stall("rcpt", 6, where=first)
        box = self.box(relay, reply="20s")
        one = box.put()
        many = box.put(to=["r%d@to.test" % i for i in range(230)])
        sender = box.start("many", for_ms=60000)
        terms = []
        for mail in (one, many):
            terms.append(self.s.wait_until(lambda: self.s.value(
                "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6),"
                " claimed_until) FROM wp_wpcron_outbox WHERE mail_id = %s"
                " AND begun = 1", (mail,)), 30))
        sender.stop(60)
        # reply_timeout is 20 s, and at most 100 are named in one go.
        self.assertGreater(terms[1] - terms[0], 99 * 20 - 10, terms)

    def test_an_answer_lost_is_tried_once_more_after_the_wait(self):
        relay = self.relay()
        relay.drop("end", stored=True)
        box = self.box(relay, unknown="8s")
        mail = box.put()
        self.assertEqual(box.send()["unknown"], 1)
        row = box.row(mail)
        self.assertEqual((row["state"], row["unknown"]), ("later", 1))
        self.assertEqual(box.send()["due"], 0)
        self.s.wait_until(lambda: box.send()["sent"] == 1, 40)
        ids = [m.header("Message-ID") for m in relay.mails]
        self.assertEqual(ids, ["<1@site.test>"] * 2)

    def test_a_second_time_it_is_held(self):
        relay = self.relay()
        relay.drop("end", times=2)
        box = self.box(relay)
        mail = box.put()
        box.send()
        box.hurry()
        self.assertEqual(box.send()["held"], 1)
        self.assertEqual(box.row(mail)["state"], "held")
        self.assertEqual(len(box.letters()), 1)
        self.assertIn("outbox.held", box.log)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox_chunks"), 1)

    def test_hold_means_at_once(self):
        relay = self.relay()
        relay.drop("end")
        box = self.box(relay, more="on_unknown = hold\n")
        box.put()
        self.assertEqual(box.send()["held"], 1)


class Away(Case):
    def rests(self, report):
        self.assertEqual(report["sent"], 0, report)
        self.assertEqual(report["wait_ms"], "some", report)

    def test_a_relay_that_is_away_costs_no_try(self):
        relay = self.relay()
        relay.fail("greeting", 421, times=2)
        box = self.box(relay)
        mails = box.put_many(3)
        self.rests(box.send())
        self.assertIn("outbox.relay", box.log)
        for mail in mails:
            row = box.row(mail)
            self.assertEqual((row["state"], row["tries"]), ("ready", 0))
        # It rests: nobody even connects.
        self.rests(box.send())
        self.assertEqual(relay.connections, 1)
        self.assertNotIn("outbox.relay", box.log)
        self.assertEqual(self.rest_s(), 30)
        # One probe; it is away still, and rests for longer.
        box.wake()
        self.rests(box.send())
        self.assertEqual(relay.connections, 2)
        self.assertEqual(self.rest_s(), 60)
        box.wake()
        self.assertEqual(box.send()["sent"], 3)
        self.assertIn("state=back", box.log)
        self.assertEqual(self.s.value("SELECT COUNT(*) FROM wp_wpcron_meta"
                                      " WHERE name LIKE 'smtp/%'"), 0)

    def rest_s(self):
        return int(self.s.value(
            "SELECT value FROM wp_wpcron_meta WHERE name LIKE"
            " 'smtp/%'").split()[0])

    def test_nobody_listens(self):
        relay = SmtpStandIn()
        relay.close()
        box = self.box(relay)
        mail = box.put()
        self.rests(box.send())
        self.assertEqual(box.row(mail)["tries"], 0)

    def test_without_starttls_nothing_is_said_in_clear_text(self):
        relay = self.relay()
        box = self.box(relay)
        with open(box.path) as f:
            text = f.read().replace("security = none", "security = starttls")
        with open(box.path, "w") as f:
            f.write(text)
        mail = box.put()
        self.rests(box.send())
        self.assertEqual(box.row(mail)["state"], "ready")
        self.assertNotIn("MAIL", relay.verbs())

    def test_a_wrong_password_is_no_mails_fault(self):
        relay = self.relay(user="shop", password="right")
        box = self.box(relay, more="user = shop\npassword = wrong\n")
        mail = box.put()
        self.rests(box.send())
        self.assertEqual(box.row(mail)["tries"], 0)
        self.assertIn("refuses us", box.log)

    def test_a_mail_that_makes_the_relay_hang_up_holds_up_no_others(self):
        relay = self.relay()
        relay.drop("rcpt", times=None,
                   where=lambda session: "bad@to.test" in session.asked)
        box = self.box(relay)
        bad = box.put(to=("bad@to.test",))
        box.put_many(3)
        self.rests(box.send())
        row = box.row(bad)
        self.assertEqual((row["state"], row["tries"], row["unknown"]),
                         ("later", 1, 0))
        box.wake()
        self.s.mysql("UPDATE wp_wpcron_outbox SET not_before ="
                     " UTC_TIMESTAMP(6) + INTERVAL 60 SECOND"
                     " WHERE state = 'later'")
        self.assertEqual(box.send()["sent"], 3)
        self.assertEqual(box.states(), {"later": 1, "sent": 3})

    def test_a_connection_that_was_closed_meanwhile_is_opened_anew(self):
        relay = self.relay(max_mails=5)
        box = self.box(relay)
        box.put_many(17)
        self.assertEqual(box.send()["sent"], 17)
        self.assertEqual(len(relay.mails), 17)
        self.assertEqual(relay.connections, 4)


if __name__ == "__main__":
    unittest.main()
