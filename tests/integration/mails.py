"""Jobs that send mail, run by the php executor in a real php-fpm: what is in
the outbox' tables after them, and what PHP's own mail() was given."""

import email
import email.policy
import json
import os

import events_table
from stack import Stack
from test_php_executor import CLAIM, PhpCase


def site(case, plugins, pool="", **mariadb):
    s = Stack()
    case.addClassCleanup(s.close)
    s.start_mariadb(**mariadb)
    s.notes = s.path("notes.txt")
    with open(s.notes, "w"):
        os.chmod(s.notes, 0o666)
    s.install_wordpress(
        plugins=plugins,
        config_extra="define( 'WPCRON_MISBEHAVE_LOG', '%s' );" % s.notes)
    s.install_action_scheduler()
    for table in ("outbox", "outbox_chunks", "meta"):
        s.mysql(events_table.statement(s, "create_" + table))
    s.start_php_fpm(
        children=3, extra=pool + "\nphp_admin_value[memory_limit] = 256M")
    return s


class MailCase(PhpCase):
    plugins = ("wpcron-mail",)
    pool = ""
    mariadb = {}

    @classmethod
    def setUpClass(cls):
        cls.s = site(cls, cls.plugins, cls.pool, **cls.mariadb)

    def setUp(self):
        super().setUp()
        self.s.mysql("DELETE FROM wp_wpcron_outbox")
        self.s.mysql("DELETE FROM wp_wpcron_outbox_chunks")
        self.s.mysql("DELETE FROM wp_wpcron_meta")
        for name in os.listdir(self.s.mailed):
            os.unlink(os.path.join(self.s.mailed, name))

    def tearDown(self):
        with open(self.s.path("php-errors.log")) as f:
            said = f.read()
        self.assertNotRegex(said, "(?i)fatal|warning|notice|deprecated", said)
        # Nothing of a mail, as a failed query would have it.
        self.assertNotRegex(said, "(?i)database error|@example|subject", said)

    def job(self, hook, *args):
        first = self.s.insert_actions(1, hook, json.dumps(list(args)),
                                      due_in=-10)
        self.claim(first)
        return first

    def claim(self, job):
        self.s.mysql(
            "UPDATE wp_actionscheduler_actions SET claim_id=%s,"
            " status='pending' WHERE action_id=%s", (CLAIM, job))

    def send(self, *jobs, **options):
        """Run them with the outbox; the driver's reply."""
        options.setdefault("outbox", 1)
        reply = self.run_jobs(list(jobs), **options)
        reply.why = next((x[4:] for x in reply.text.splitlines()
                          if x.startswith("why ")), "")
        reply.counts = tuple(int(reply.state[k]) for k in ("mails", "left"))
        return reply

    def rows(self):
        rows = self.s.mysql("SELECT * FROM wp_wpcron_outbox ORDER BY mail_id")
        for row in rows:
            for name in ("job", "sender", "subject", "message_id"):
                row[name] = row[name].decode()
            row["to"] = [r["to"] for r in json.loads(row["recipients"])]
        return rows

    def chunks(self, mail_id):
        return [r["bytes"] for r in self.s.mysql(
            "SELECT bytes FROM wp_wpcron_outbox_chunks WHERE mail_id=%s"
            " ORDER BY chunk", (mail_id,))]

    def stored(self):
        """[(row, parsed message, its bytes)]"""
        found = []
        for row in self.rows():
            data = b"".join(self.chunks(row["mail_id"]))
            found.append((row, parse(data), data))
        return found

    def only(self):
        found = self.stored()
        self.assertEqual(len(found), 1, [r for r, _, _ in found])
        return found[0]

    def subjects(self):
        return [r["subject"] for r in self.rows()]

    def mailed(self):
        """What PHP's mail() was given, parsed."""
        found = []
        for name in sorted(os.listdir(self.s.mailed)):
            with open(os.path.join(self.s.mailed, name), "rb") as f:
                found.append(parse(f.read()))
        return found

    def option(self, name, value):
        self.s.mysql("REPLACE INTO wp_options (option_name, option_value,"
                     " autoload) VALUES (%s, %s, 'yes')", (name, value))


def parse(data):
    return email.message_from_bytes(data, policy=email.policy.default)
