"""Mails through a relay: what becomes of each, at every stage, and that the
bytes arrive as they were."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from mail_server import MailServer
from smtp_stand_in import SmtpStandIn, make_certificates
from stack import wait_until

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
DRIVER = os.path.join(REPO, "build", os.environ.get("VARIANT", "release"),
                      "drivers", "smtp_send")
TEXT = "Subject: hello\r\nMessage-ID: <1@site.test>\r\n\r\nHello\r\n"


def mail(*recipients, text=TEXT, sender="shop@site.test", **more):
    return dict(sender=sender, recipients=list(recipients or ["a@to.test"]),
                text=text, **more)


def begin(port, *mails, security="none", host="127.0.0.1", **options):
    """The driver, at work."""
    asked = dict(host=host, port=port, security=security, ehlo="site.test",
                 mails=list(mails), **options)
    driver = subprocess.Popen([DRIVER], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    driver.stdin.write(json.dumps(asked).encode())
    driver.stdin.close()
    return driver


def end(driver):
    """What it says."""
    driver.stdin = None  # or it would be closed once more
    said, _ = driver.communicate(timeout=120)
    if driver.returncode:
        raise AssertionError("the driver ended with %d" % driver.returncode)
    return json.loads(said)


def send(port, *mails, **options):
    return end(begin(port, *mails, **options))


class Case(unittest.TestCase):
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.tls = tempfile.mkdtemp(prefix="wpc-smtp-")
        cls.addClassCleanup(shutil.rmtree, cls.tls)
        os.chmod(cls.tls, 0o755)
        make_certificates(cls.tls)

    def relay(self, **options):
        relay = SmtpStandIn(**options)
        self.addCleanup(relay.close)
        self.addCleanup(lambda: self.assertEqual(relay.violations, []))
        return relay

    def certificate(self):
        return {"certificate": os.path.join(self.tls, "server.pem"),
                "key": os.path.join(self.tls, "server.key")}

    def ca(self, name="ca"):
        return os.path.join(self.tls, name + ".pem")

    def send(self, relay, *mails, **options):
        answer = send(relay.port, *(mails or [mail()]),
                      **dict(self.options, **options))
        return answer["mails"]

    def one(self, relay, *recipients, text=TEXT, **options):
        return self.send(relay, mail(*recipients, text=text), **options)[0]

    def hears(self, relay, *verbs):
        """The last commands; QUIT comes in when the driver has ended."""
        wait_until(lambda: relay.verbs()[-len(verbs):] == list(verbs),
                   what="%s, not %s" % (verbs, relay.verbs()))

    def ends(self, answer, stage, verdict, code=None):
        self.assertEqual((answer["stage"], answer["verdict"]),
                         (stage, verdict), answer)
        if code is not None:
            self.assertEqual(answer["code"], code, answer)
        self.assertEqual(
            [e["verdict"] for e in answer["each"]],
            [verdict] * len(answer["each"]), answer)


class Refusals(Case):
    """Each row: what the relay says and where, and what it comes to."""

    ROWS = (
        ("greeting", 421, "busy", "greeting", "away"),
        ("greeting", 554, "no", "greeting", "away"),
        ("ehlo", 421, "busy", "ehlo", "away"),
        ("auth", 535, "5.7.8 bad credentials", "auth", "config"),
        ("auth", 534, "5.7.9 too weak", "auth", "config"),
        ("auth", 454, "4.7.0 temporary failure", "auth", "away"),
        ("mail", 451, "later", "mail", "transient"),
        ("mail", 452, "storage", "mail", "transient"),
        ("mail", 421, "closing", "mail", "transient"),
        ("mail", 550, "no", "mail", "permanent"),
        ("mail", 553, "5.7.1 sender not yours", "mail", "permanent"),
        ("mail", 530, "5.7.0 authentication required", "mail", "config"),
        ("mail", 550, "5.7.1 your IP is on a blocklist", "mail", "away"),
        ("rcpt", 450, "greylisted", "rcpt", "transient"),
        ("rcpt", 451, "later", "rcpt", "transient"),
        ("rcpt", 452, "4.5.3 too many recipients", "rcpt", "transient"),
        ("rcpt", 550, "5.1.1 no such user", "rcpt", "permanent"),
        ("rcpt", 551, "moved", "rcpt", "permanent"),
        ("rcpt", 553, "name", "rcpt", "permanent"),
        ("rcpt", 554, "no", "rcpt", "permanent"),
        ("rcpt", 552, "5.2.2 mailbox full", "rcpt", "transient"),
        ("rcpt", 552, "too many recipients", "rcpt", "transient"),
        ("data", 451, "later", "data", "transient"),
        ("data", 554, "no", "data", "permanent"),
        ("end", 451, "later", "end", "transient"),
        ("end", 452, "storage", "end", "transient"),
        ("end", 550, "content", "end", "permanent"),
        ("end", 552, "5.3.4 too big", "end", "permanent"),
        ("end", 554, "5.7.1 content", "end", "permanent"),
        ("end", 554, "greylisted, try again", "end", "transient"),
    )

    def test_what_the_relay_says_decides(self):
        for stage, code, words, where, verdict in self.ROWS:
            with self.subTest(stage=stage, code=code, words=words):
                relay = self.relay(user="u", password="p")
                relay.fail(stage, code, words, times=None)
                answer = self.one(relay, user="u", password="p")
                self.ends(answer, where, verdict, code)
                self.assertIn(words, answer["words"])
                self.assertEqual(relay.mails, [])

    def test_the_next_mail_goes_once_the_relay_is_well(self):
        for stage in ("greeting", "mail", "rcpt", "data", "end"):
            with self.subTest(stage=stage):
                relay = self.relay()
                relay.fail(stage, 450)
                first, second = self.send(relay, mail(), mail())
                self.assertNotEqual(first["verdict"], "accepted")
                self.ends(second, "end", "accepted", 250)
                self.assertEqual(len(relay.mails), 1)

    def test_a_relay_that_asks_for_less_is_heard(self):
        relay = self.relay()
        for stage, words, limited in (
                ("mail", "4.7.0 rate limit exceeded", True),
                ("end", "Throttling failure: Daily quota", True),
                ("rcpt", "4.2.1 unusual rate of mail", True),
                ("rcpt", "4.5.3 too many recipients", False),
                ("end", "cannot be generated now", False)):
            relay.fail(stage, 454 if stage != "rcpt" else 452, words)
            answer = self.one(relay)
            self.assertEqual(answer["rate_limited"], limited, words)

    def test_words_of_many_lines_are_joined_and_addresses_masked(self):
        relay = self.relay()
        relay.fail("rcpt", 550,
                   "5.1.1 <anna@to.test>: no such user\x1b[31m here")
        answer = self.one(relay, "anna@to.test")
        self.assertEqual(answer["words"],
                         "5.1.1 <a***@to.test>: no such user [31m here")


class Cut(Case):
    def test_before_the_mail_nothing_is_lost(self):
        for stage, where in (("connect", "greeting"), ("greeting",) * 2,
                             ("ehlo",) * 2, ("mail",) * 2, ("rcpt",) * 2,
                             ("data",) * 2):
            with self.subTest(stage=stage):
                relay = self.relay()
                relay.drop(stage)
                self.ends(self.one(relay), where, "away")

    def test_after_the_dot_nobody_knows(self):
        for stored in (False, True):
            relay = self.relay()
            relay.drop("end", stored=stored)
            answer = self.one(relay)
            self.ends(answer, "end", "unknown", 354)
            self.assertEqual(len(relay.mails), int(stored))

    def test_in_the_middle_of_a_large_mail_it_cannot_have_arrived(self):
        relay = self.relay()
        relay.drop("body")
        answer = self.one(relay, text=TEXT + "x" * 70 + "\r\n" * 6000000)
        self.ends(answer, "data", "away")

    def test_nobody_listens(self):
        # It stays ours: nobody else gets it meanwhile.
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            answer = send(s.getsockname()[1], mail())["mails"][0]
        self.ends(answer, "connect", "away", 0)

    def test_no_such_host(self):
        answer = send(25, mail(), host="nowhere.invalid")["mails"][0]
        self.ends(answer, "connect", "away", 0)

    def test_a_mail_that_cannot_be_read_to_its_end_is_not_sent(self):
        relay = self.relay()
        answers = self.send(relay, mail(break_after=10, piece=10), mail())
        self.ends(answers[0], "data", "transient")
        self.ends(answers[1], "end", "accepted")
        self.assertEqual(len(relay.mails), 1)


class Slow(Case):
    # What does not stall has so long, too.
    options = {"connect_ms": 4000, "reply_ms": 4000, "data_ms": 6000}

    def stalled(self, stage):
        """What the driver says of a relay that stalls there."""
        relay = self.relay()
        relay.stall(stage, 40)
        return self.one(relay)

    def test_every_step_has_its_time(self):
        rows = (("greeting", "greeting", "away"), ("ehlo", "ehlo", "away"),
                ("mail", "mail", "away"), ("rcpt", "rcpt", "away"),
                ("data", "data", "away"), ("end", "end", "unknown"))
        # Side by side, for it is time that they take.
        with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
            answers = pool.map(self.stalled, [row[0] for row in rows])
            for (stage, where, verdict), answer in zip(rows, answers):
                with self.subTest(stage=stage):
                    self.ends(answer, where, verdict)
                    self.assertLess(answer["ms"], 20000)
                    self.assertIn("no answer in time", answer["words"])

    def test_the_verdict_may_take_longer_than_a_reply(self):
        relay = self.relay()
        relay.stall("end", 4.5)
        self.ends(self.one(relay, data_ms=20000), "end", "accepted")

    def test_a_verdict_that_came_while_we_stood_still_counts(self):
        relay = self.relay()
        here, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        relay.decide = lambda _session: here.set() or go_on.wait(60) and None
        driver = begin(relay.port, mail(), data_ms=6000)
        self.addCleanup(driver.kill)
        self.assertTrue(here.wait(30))
        driver.send_signal(signal.SIGSTOP)
        go_on.set()
        wait_until(lambda: relay.mails)
        time.sleep(7)
        driver.send_signal(signal.SIGCONT)
        self.ends(end(driver)["mails"][0], "end", "accepted")

    def test_a_slow_banner_in_time_is_no_trouble(self):
        relay = self.relay()
        relay.stall("greeting", 4.5)
        self.ends(self.one(relay, reply_ms=20000), "end", "accepted")

    def test_goodbye_is_not_waited_for(self):
        for mails in (1, 100):
            relay = self.relay()
            relay.stall("quit", 30)
            began = time.monotonic()
            answer = self.one(relay, mails_per_connection=mails)
            self.ends(answer, "end", "accepted")
            self.assertLess(time.monotonic() - began, 15)
            self.hears(relay, "QUIT")

    def test_a_host_that_does_not_answer_at_all(self):
        with socket.socket() as full:
            # A full queue of connections: further ones are not answered.
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            others = [socket.socket() for _ in range(4)]
            for s in others:
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", port))
            answer = send(port, mail(), **dict(
                self.options, connect_ms=600))["mails"][0]
            for s in others:
                s.close()
        self.ends(answer, "connect", "away", 0)
        self.assertLess(answer["ms"], 15000)


class Recipients(Case):
    def verdicts(self, answer):
        return [e["verdict"] for e in answer["each"]]

    def test_each_has_an_answer_of_its_own(self):
        relay = self.relay()
        relay.fail("rcpt", 550, "5.1.1 unknown", where="b@to.test")
        relay.fail("rcpt", 450, "later", where="c@to.test")
        answer = self.one(relay, "a@to.test", "b@to.test", "c@to.test",
                          "d@to.test")
        self.assertEqual(answer["verdict"], "accepted")
        self.assertEqual(self.verdicts(answer), ["accepted", "permanent",
                                                 "transient", "accepted"])
        self.assertEqual([e["code"] for e in answer["each"]],
                         [250, 550, 450, 250])
        self.assertEqual(relay.mails[0].recipients,
                         ["a@to.test", "d@to.test"])

    def test_all_refused_is_as_the_mildest_refusal(self):
        relay = self.relay()
        relay.fail("rcpt", 450, "later", where=1)
        relay.fail("rcpt", 550, "unknown", where=2)
        answer = self.one(relay, "a@to.test", "b@to.test")
        self.assertEqual((answer["verdict"], answer["code"]),
                         ("transient", 450))
        self.assertEqual(self.verdicts(answer), ["transient", "permanent"])

    def test_who_was_refused_stays_so_when_the_rest_fails(self):
        relay = self.relay()
        relay.fail("rcpt", 550, "unknown", where=1)
        relay.drop("end")
        answer = self.one(relay, "a@to.test", "b@to.test")
        self.assertEqual(self.verdicts(answer), ["permanent", "unknown"])

    def test_cut_between_two(self):
        relay = self.relay()
        relay.fail("rcpt", 550, "unknown", where=1)
        relay.drop("rcpt", where=3)
        answer = self.one(relay, "a@to.test", "b@to.test", "c@to.test")
        self.assertEqual(self.verdicts(answer), ["permanent", "away", "away"])

    def test_what_is_no_address_never_reaches_the_wire(self):
        bad = ["a@to.test\r\nRCPT TO:<evil@to.test>", "a@to.test>\r\nDATA",
               "a b@to.test", "a@to.test\n", "<a@to.test>", "a", "@to.test",
               "a@", "a,b@to.test", "\"a b\"@to.test", "a@to.test\0",
               "a@to_test.test x", "", "x" * 65 + "@to.test",
               "a@" + "b" * 64 + ".test"]
        relay = self.relay()
        answer = self.one(relay, "good@to.test", *bad)
        self.assertEqual(self.verdicts(answer),
                         ["accepted"] + ["permanent"] * len(bad))
        self.assertEqual(relay.verbs().count("RCPT"), 1)
        answer = self.one(relay, *bad)
        self.ends(answer, "rcpt", "permanent", 0)
        for sender in bad:
            if sender:
                answer = self.send(relay, mail(sender=sender))[0]
                self.ends(answer, "mail", "permanent", 0)
        self.assertEqual(len(relay.mails), 1)
        self.assertEqual(relay.connections, 1)

    def test_nobody(self):
        relay = self.relay()
        answer = self.send(relay, dict(mail(), recipients=[]))[0]
        self.ends(answer, "rcpt", "permanent", 0)

    def test_the_null_sender(self):
        relay = self.relay()
        self.ends(self.send(relay, mail(sender=""))[0], "end", "accepted")
        self.assertEqual(relay.mails[0].sender, "")

    def test_a_hundred(self):
        relay = self.relay()
        for i in range(100):
            if i % 3 == 0:
                relay.fail("rcpt", 550, where="r%d@to.test" % i)
        answer = self.one(relay, *("r%d@to.test" % i for i in range(100)))
        self.assertEqual(self.verdicts(answer),
                         ["permanent", "accepted", "accepted"] * 33 +
                         ["permanent"])

    def test_a_domain_in_utf8_is_written_in_a_labels(self):
        relay = self.relay()
        answer = self.send(relay, mail("anna@bücher.example",
                                       sender="shop@müller.example"))[0]
        self.ends(answer, "end", "accepted")
        self.assertEqual((relay.mails[0].sender, relay.mails[0].recipients),
                         ("shop@xn--mller-kva.example",
                          ["anna@xn--bcher-kva.example"]))

    def test_a_local_part_in_utf8_needs_smtputf8(self):
        relay = self.relay(utf8=True)
        self.ends(self.one(relay, "jörg@bücher.example"), "end", "accepted")
        self.assertEqual(relay.mails[0].recipients,
                         ["jörg@xn--bcher-kva.example"])
        self.assertIn("SMTPUTF8", relay.mails[0].parameters)

    def test_without_it_that_one_alone_is_refused(self):
        relay = self.relay()
        answers = self.send(relay, mail("a@to.test", "jörg@to.test"),
                            mail("jörg@to.test"), mail("b@to.test"))
        self.assertEqual(self.verdicts(answers[0]),
                         ["accepted", "permanent"])
        self.ends(answers[1], "rcpt", "permanent")
        self.ends(answers[2], "end", "accepted")
        self.assertEqual([m.recipients for m in relay.mails],
                         [["a@to.test"], ["b@to.test"]])


class Connections(Case):
    def test_mails_share_one(self):
        relay = self.relay()
        answers = self.send(relay, mail(times=20))
        self.assertEqual({a["verdict"] for a in answers}, {"accepted"})
        self.assertEqual(relay.connections, 1)
        self.assertEqual(answers[-1]["left"], 80)
        self.assertEqual(relay.verbs().count("EHLO"), 1)
        self.hears(relay, "QUIT")

    def test_after_so_many_a_fresh_one(self):
        relay = self.relay()
        answers = self.send(relay, mail(times=7), mails_per_connection=3)
        self.assertEqual([m.connection for m in relay.mails],
                         [1, 1, 1, 2, 2, 2, 3])
        self.assertEqual([a["left"] for a in answers],
                         [2, 1, 0, 2, 1, 0, 2])

    def test_one_that_was_closed_while_idle_is_opened_again(self):
        relay = self.relay(idle_s=0.2)
        answers = self.send(relay, mail(), mail(wait_ms=3000),
                            mail(wait_ms=3000))
        self.assertEqual([a["verdict"] for a in answers], ["accepted"] * 3)
        self.assertEqual([m.connection for m in relay.mails], [1, 2, 3])

    def test_one_that_is_cut_at_mail_is_opened_once_more(self):
        relay = self.relay()
        relay.drop("mail", where=lambda s: s.nmails == 2)
        answers = self.send(relay, mail(times=5))
        self.assertEqual([a["verdict"] for a in answers], ["accepted"] * 5)
        self.assertEqual([m.connection for m in relay.mails],
                         [1, 1, 2, 2, 2])

    def test_only_once(self):
        relay = self.relay()
        relay.drop("mail", times=2, where=lambda s: s.nmails == 2 or
                   s.number == 2)
        answers = self.send(relay, mail(times=4))
        self.assertEqual([a["verdict"] for a in answers],
                         ["accepted", "accepted", "away", "accepted"])

    def test_a_relay_that_has_enough_of_a_connection(self):
        relay = self.relay(max_mails=3)
        answers = self.send(relay, mail(times=10))
        self.assertEqual([a["verdict"] for a in answers], ["accepted"] * 10)
        self.assertEqual(relay.connections, 4)

    def test_a_relay_that_knows_no_ehlo(self):
        relay = self.relay(ehlo=False)
        self.ends(self.one(relay), "end", "accepted")
        self.assertIn("HELO", relay.verbs())

    def test_the_name_that_is_said(self):
        relay = self.relay()
        self.one(relay)
        self.assertEqual(relay.mails[0].ehlo, "site.test")

    def test_options_that_are_no_names_are_refused(self):
        for bad in ({"host": "a b"}, {"host": "h/../x"}, {"host": "u@h"}):
            self.assertIn("error", send(25, mail(), **bad))
        for ehlo in ("", "a b", "a\r\nMAIL FROM:<x>", "a/b", "ü"):
            asked = dict(host="127.0.0.1", port=25, security="none",
                         ehlo=ehlo, mails=[])
            done = subprocess.run([DRIVER], input=json.dumps(asked).encode(),
                                  stdout=subprocess.PIPE, timeout=60)
            self.assertIn(b"error", done.stdout)


class Encryption(Case):
    def test_starttls(self):
        relay = self.relay(starttls=True, **self.certificate())
        answers = self.send(relay, mail(times=2), security="starttls",
                            ca_file=self.ca())
        self.ends(answers[1], "end", "accepted")
        self.assertEqual([m.tls for m in relay.mails], [True, True])
        self.assertEqual(relay.connections, 1)

    def test_from_the_first_byte(self):
        relay = self.relay(implicit_tls=True, **self.certificate())
        answers = self.send(relay, mail(times=2), security="tls",
                            ca_file=self.ca())
        self.ends(answers[1], "end", "accepted")
        self.assertEqual(relay.connections, 1)

    def test_a_relay_without_starttls_gets_nothing(self):
        relay = self.relay(user="u", password="p")
        answer = self.one(relay, security="starttls", user="u", password="p")
        self.ends(answer, "ehlo", "config")
        self.assertNotIn("AUTH", relay.verbs())
        self.assertNotIn("MAIL", relay.verbs())

    def test_a_certificate_of_somebody_else(self):
        for security, options in (("starttls", {"starttls": True}),
                                  ("tls", {"implicit_tls": True})):
            for name in ("other", None):
                relay = self.relay(**self.certificate(), **options)
                more = {"ca_file": self.ca(name)} if name else {}
                answer = self.one(relay, security=security, **more)
                self.ends(answer, "tls", "config")
                self.assertNotIn("MAIL", relay.verbs())

    def test_starttls_refused(self):
        for code, verdict in ((454, "away"), (502, "config")):
            relay = self.relay(starttls=True, **self.certificate())
            relay.fail("starttls", code)
            answer = self.one(relay, security="starttls", ca_file=self.ca())
            self.ends(answer, "tls", verdict, code)

    def test_cut_at_starttls(self):
        relay = self.relay(starttls=True, **self.certificate())
        relay.drop("starttls")
        answer = self.one(relay, security="starttls", ca_file=self.ca())
        self.ends(answer, "tls", "away")

    def test_cut_in_the_handshake(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            driver = begin(port, mail(), security="tls")
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()
            answer = end(driver)["mails"][0]
        self.ends(answer, "tls", "away")

    def test_who_we_are(self):
        for auth in (None, "plain", "login", "xoauth2"):
            relay = self.relay(user="me@site.test", password="p\u00e4ss w",
                               starttls=True, auth_after_tls=True,
                               mechanisms=("PLAIN", "LOGIN", "XOAUTH2"),
                               **self.certificate())
            more = {"auth": auth} if auth else {}
            answer = self.one(relay, security="starttls", ca_file=self.ca(),
                              user="me@site.test", password="p\u00e4ss w",
                              **more)
            self.ends(answer, "end", "accepted")
            self.assertEqual(relay.mails[0].user, "me@site.test")
            said = [line.split(" ")[1] for _, line in relay.commands
                    if line.startswith("AUTH")]
            if auth:
                self.assertEqual(said, [auth.upper()])

    def test_a_wrong_password_is_not_told_to_the_log(self):
        relay = self.relay(user="u", password="p")
        answer = self.one(relay, user="u", password="s3cret")
        self.ends(answer, "auth", "config", 535)
        self.assertNotIn("s3cret", answer["words"])

    def test_a_relay_that_offers_no_auth(self):
        relay = self.relay()
        answer = self.one(relay, user="u", password="p")
        self.ends(answer, "ehlo", "config")
        self.assertEqual(relay.verbs(), ["EHLO"])

    def test_a_relay_that_offers_another(self):
        relay = self.relay(user="u", password="p", mechanisms=("XOAUTH2",))
        answer = self.one(relay, user="u", password="p", auth="plain")
        self.ends(answer, "ehlo", "config")


class Bytes(Case):
    """What arrives is what was given."""

    def arrives(self, relay, text, **options):
        answer = self.send(relay, mail(text=text, **options))[0]
        self.ends(answer, "end", "accepted")
        got = relay.mails[-1].data
        want = re.sub(r"\r\n|\r|\n", "\r\n", text)
        if not want.endswith("\r\n"):
            want += "\r\n"
        self.assertEqual(got, want.encode())

    def test_dots_and_line_ends(self):
        relay = self.relay()
        for text in (".\r\n", "..\r\n", ".", "a\r\n.\r\nb\r\n", "a\n.\nb",
                     "a\r.\rb", "\n\n\n", "\r", "a\r\r\n.b", ".\n.\n.\n.",
                     "a\n\r.b", "x\r\n.\r\n.\r\nRSET\r\n", "",
                     "a\r\n..\r\n...\r\n"):
            for piece in (1, 2, 3, 1000000):
                with self.subTest(text=text, piece=piece):
                    self.arrives(relay, text, piece=piece)

    def test_a_line_of_dots_at_every_place(self):
        # libcurl counts the dots it doubles against SIZE; see smtp_body.h.
        relay = self.relay(size=10 ** 8)
        lines = ("x" * 75 + "\r\n") * 2000
        for n in list(range(65520, 65540)) + [131070, 131072, 16383, 16384]:
            self.arrives(relay, "." + lines[:n - 3] + "\r\n")
            self.arrives(relay, ".\r\n" * 5 + lines[:n - 17] + "\r\n")
            self.arrives(relay, lines[:n - 9] + "\r\n.\r\n.y")

    def test_a_mail_of_dots_arrives_whole(self):
        relay = self.relay(size=10 ** 8)
        self.arrives(relay, ".\r\n" * 30000)
        self.arrives(relay, ".\n" * 15000)

    def test_with_more_dots_than_fit_it_is_refused_not_cut(self):
        relay = self.relay(size=10 ** 8)
        answer = self.send(relay, mail(text=".\r\n" * 400000))[0]
        if answer["verdict"] == "accepted":
            self.assertEqual(len(relay.mails[0].data), 1200000)
        else:
            self.ends(answer, "data", "permanent")
            self.assertEqual(relay.mails, [])
        self.arrives(relay, ".\r\n" * 400000, size=0)

    def test_size_is_said(self):
        relay = self.relay(size=1000)
        self.one(relay, text="x" * 70 + "\r\n")
        self.assertEqual(relay.mails[0].parameters, ["SIZE=72"])
        answer = self.one(relay, text=("x" * 70 + "\r\n") * 20)
        self.ends(answer, "mail", "permanent", 552)
        self.hears(relay, "EHLO", "MAIL", "QUIT")

    def test_twelve_megabytes(self):
        path = os.path.join(self.tls, "large")
        with open(path, "wb") as f:
            f.write(b"Subject: large\r\n\r\n")
            for i in range(170000):
                f.write(b".%075d\r\n" % i if i % 1000 == 0 else
                        b"%076d\r\n" % i)
        with open(path, "rb") as f:
            whole = f.read()
        for size in (None, 0):
            for options in ({}, {"starttls": True, **self.certificate()}):
                relay = self.relay(size=10 ** 9, **options)
                more = {} if size is None else {"size": 0}
                m = dict(sender="a@site.test", recipients=["b@to.test"],
                         file=path, **more)
                answer = self.send(
                    relay, m, ca_file=self.ca(),
                    security="starttls" if options else "none")[0]
                self.ends(answer, "end", "accepted")
                self.assertTrue(relay.mails[0].data == whole)


class RealServer(Case):
    """exim4 takes what we send, and keeps it byte for byte."""

    def start(self, **options):
        d = tempfile.mkdtemp(prefix="wpc-mail-")
        self.addCleanup(shutil.rmtree, d)
        os.chmod(d, 0o755)
        server = MailServer(**options).start(d)
        self.addCleanup(server.stop)
        return server

    def test_mails_arrive(self):
        server = self.start()
        text = TEXT + ".dot\r\n..\r\nä\r\n"
        answer = self.send(server, mail("a@to.test", "b@else.test",
                                        text=text, times=25))
        self.assertEqual({a["verdict"] for a in answer}, {"accepted"})
        self.assertEqual(server.messages(),
                         [("shop@site.test", ["a@to.test", "b@else.test"],
                           text.encode())] * 25)

    def test_with_tls_and_a_password(self):
        server = self.start(user="shop", password="p w",
                            certificate=self.certificate()["certificate"],
                            key=self.certificate()["key"])
        for auth in ("plain", "login"):
            answer = self.send(server, mail(), security="starttls",
                               ca_file=self.ca(), user="shop",
                               password="p w", auth=auth)[0]
            self.ends(answer, "end", "accepted")
        answer = self.send(server, mail(), security="starttls",
                           ca_file=self.ca(), user="shop",
                           password="wrong")[0]
        self.ends(answer, "auth", "config", 535)
        self.assertEqual(len(server.messages()), 2)

    def test_over_its_size(self):
        server = self.start(size_limit="100K")
        answer = self.send(server, mail(text="x" * 70 + "\r\n" * 90000))[0]
        self.ends(answer, "mail", "permanent", 552)

    def test_twelve_megabytes(self):
        server = self.start()
        body = "".join("%076d\r\n" % i for i in range(160000))
        answer = self.send(server, mail(text="Subject: x\r\n\r\n" + body))[0]
        self.ends(answer, "end", "accepted")
        got = server.messages()[0][2]
        self.assertTrue(got == ("Subject: x\r\n\r\n" + body).encode())

    def test_in_parallel(self):
        server = self.start()
        began = time.monotonic()
        drivers = [begin(server.port, mail(times=50)) for _ in range(4)]
        for d in drivers:
            self.assertEqual({a["verdict"] for a in end(d)["mails"]},
                             {"accepted"})
        self.assertEqual(len(server.messages(settle=120)), 200)
        print("200 mails to exim4 in %.1f s" % (time.monotonic() - began))


if __name__ == "__main__":
    unittest.main()
