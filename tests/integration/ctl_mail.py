"""A site with a relay, for tests of wp-cronctl's commands on mails, messages
and tasks; and mails in the outbox without PHP.

    class SomeTest(MailCtl):
        def test_x(self):
            mail = self.store(to=["a@example.org"])
            self.call("outbox", "send")
            self.assertEqual(len(self.relay.mails), 1)
"""

import hashlib
import itertools
import json
import unittest

from smtp_stand_in import SmtpStandIn
from stack import Stack

DONE, FAILED, USAGE, UNAVAILABLE, AGAIN, CONFIG = 0, 1, 64, 69, 75, 78
CHUNK = 512 * 1024
OURS = ("outbox", "outbox_chunks", "messages", "tasks", "task_snapshots",
        "dead_letters", "policies", "leases", "buckets", "nodes", "events",
        "tries")


class MailCtl(unittest.TestCase):
    """One site for a class; each test begins with empty tables of ours."""

    SITE = ""   # lines of [site]
    SMTP = ""   # lines of [smtp main]
    REST = ""   # more sections
    NUMBER = itertools.count(1)

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site(children=2)
        cls.prepare()
        cls.relay = SmtpStandIn()
        cls.addClassCleanup(cls.relay.close)
        cls.conf = cls.write_conf("ctl.conf")
        cls.call("install")

    @classmethod
    def prepare(cls):
        """What the site needs besides."""

    @classmethod
    def smtp(cls):
        return ("[smtp main]\nhost = 127.0.0.1\nport = %d\nsecurity = none\n"
                "ehlo = cron.example.org\n%s\n" % (cls.relay.port, cls.SMTP))

    @classmethod
    def write_conf(cls, name, site=None, rest=None, smtp=True):
        path = cls.s.path(name)
        site = cls.SITE if site is None else site
        with open(path, "w", encoding="ascii") as f:
            f.write(cls.s.config_text(
                site=("smtp = main\n" if smtp else "") + site,
                rest=(cls.smtp() if smtp else "") +
                (cls.REST if rest is None else rest)))
        return path

    @classmethod
    def call(cls, *args, code=DONE, config=None, timeout=120):
        """Run it; what it printed, when it ended with `code`."""
        r = cls.s.ctl(*args, config=config or cls.conf, timeout=timeout)
        codes = code if isinstance(code, tuple) else (code,)
        if r.returncode not in codes:
            raise AssertionError("%s: exit %d, not %s\n%s%s" % (
                " ".join(args), r.returncode, code, r.stdout, r.stderr))
        cls.stderr = r.stderr
        return r.stdout

    @classmethod
    def json(cls, *args, **kwargs):
        return json.loads(cls.call(*args, "--format=json", **kwargs))

    def setUp(self):
        for name in OURS:
            self.s.mysql("DELETE FROM " + self.s.table("wpcron_" + name))
        self.relay.heal()
        self.relay.forget()

    def tearDown(self):
        self.assertEqual(self.relay.violations, [])

    # ---- rows ----------------------------------------------------------

    def store(self, to=("a@example.org",), state="ready", job=None, body=None,
              sender="shop@example.org", subject="Subject", age=0, **columns):
        """A mail in the outbox; its id."""
        n = next(self.NUMBER)
        body = body if body is not None else (
            "From: %s\r\nTo: %s\r\nSubject: %s\r\n"
            "Message-ID: <%d@example.org>\r\n\r\nhello\r\n" % (
                sender, ", ".join(to), subject, n)).encode()
        recipients = json.dumps([
            {"to": t, "state": "open", "code": 0, "words": ""} for t in to])
        row = {"blog_id": 1, "state": state, "priority": 20,
               "job": job or "action:%d" % n, "ordinal": 1,
               "digest": hashlib.sha256(b"%d" % n).digest(),
               "message_id": "<%d@example.org>" % n, "sender": sender,
               "recipients": recipients, "subject": subject,
               "size": len(body)}
        row.update(columns)
        with self.s.connect(self.s.db_name) as db, db.cursor() as cursor:
            cursor.execute(
                "INSERT INTO wp_wpcron_outbox (%s, created_at, not_before,"
                " ended_at) VALUES (%s, UTC_TIMESTAMP(6) - INTERVAL %d SECOND,"
                " UTC_TIMESTAMP(6) - INTERVAL %d SECOND, %s)" % (
                    ", ".join(row), ", ".join(["%s"] * len(row)), age, age,
                    "UTC_TIMESTAMP(6)" if state in ("sent", "dead", "held")
                    else "NULL"), list(row.values()))
            mail = cursor.lastrowid
            for i in range(0, len(body), CHUNK):
                cursor.execute(
                    "INSERT INTO wp_wpcron_outbox_chunks VALUES"
                    " (1, %s, %s, %s)", (mail, i // CHUNK,
                                         body[i:i + CHUNK]))
            db.commit()
        return mail

    def mail(self, mail):
        rows = self.s.mysql("SELECT * FROM wp_wpcron_outbox"
                            " WHERE mail_id = %s", (mail,))
        return rows[0] if rows else None

    def letter(self, kind, source, queue="", payload=b"", title="title",
               reason="reason", attempts=3):
        """A dead letter; its id."""
        with self.s.connect(self.s.db_name) as db, db.cursor() as cursor:
            cursor.execute(
                "INSERT INTO wp_wpcron_dead_letters (blog_id, kind, queue,"
                " source, title, reason, attempts, created_at, died_at,"
                " payload) VALUES (1, %s, %s, %s, %s, %s, %s,"
                " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), %s)",
                (kind, queue, source, title, reason, attempts, payload))
            db.commit()
            return cursor.lastrowid

    def letters(self):
        return [r["letter_id"] for r in self.s.mysql(
            "SELECT letter_id FROM wp_wpcron_dead_letters ORDER BY 1")]
