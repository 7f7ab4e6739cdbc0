"""Tasks of a transient queue that are mails: built here and put into the
outbox, or made by the site's function, whose mails go there too."""

import email
import email.policy
import os
import unittest

from cronrow import serialize
from tasks_case import HANDLERS, TasksCase, task

NATIVE = HANDLERS + "handler send_email = native\n"
RELAY = """[smtp relay]
host = 127.0.0.1
port = 2525
security = none
%s
"""


def mail(**payload):
    more = payload.pop("task", {})
    payload.setdefault("to", "ana@example.test")
    return task("send_email", payload, **more)


class Mails(TasksCase):
    handlers = NATIVE
    site = "smtp = relay"
    rest = RELAY % ""

    def outbox(self):
        """(row, message) of each mail."""
        found = []
        for row in self.s.mysql(
                "SELECT * FROM wp_wpcron_outbox ORDER BY mail_id"):
            chunks = self.s.mysql(
                "SELECT bytes FROM wp_wpcron_outbox_chunks WHERE mail_id = %s"
                " ORDER BY chunk", (row["mail_id"],))
            data = b"".join(c["bytes"] for c in chunks)
            found.append((row, email.message_from_bytes(
                data, policy=email.policy.default)))
        return found

    def sent(self, *tasks, **counts):
        self.put(*tasks)
        report = self.run_tasks()
        for name, n in counts.items():
            self.assertEqual(report[name], n, (report, self.said))
        return self.outbox()

    def reason(self):
        return self.dead()[-1]["reason"]

    def test_a_mail_is_in_the_outbox_as_wp_mail_would_send_it(self):
        (row, m), = self.sent(mail(
            to="Ana <ana@example.test>, bob@example.test", subject="Holá",
            message="Línea 1", headers="Cc: c@example.test\n"
            "Bcc: d@example.test\nReply-To: r@example.test"), done=1)
        self.assertEqual((row["state"], row["blog_id"]), ("ready", 1))
        task_id = self.rows()[0]["task_id"]
        self.assertEqual(row["job"], b"task:%d" % task_id)
        for name in ("ana", "bob", "c", "d"):
            self.assertIn(b"%s@example.test" % name.encode(),
                          row["recipients"])
        self.assertEqual(m["Subject"], "Holá")
        self.assertEqual(m.get_content().strip(), "Línea 1")
        self.assertEqual(m["From"], "WordPress <wordpress@127.0.0.1>")
        self.assertEqual((m["Cc"], m["Bcc"], m["Reply-To"]),
                         ("c@example.test", None, "r@example.test"))
        self.assertIn("@127.0.0.1>", m["Message-ID"])

    def test_lists_of_addresses_and_headers_are_taken(self):
        (row, m), = self.sent(mail(
            to=["a@example.test", "B <b@example.test>"], subject="s",
            body="<b>x</b>", headers={
                "Content-Type": "text/html; charset=UTF-8", "X-One": "1"}),
            done=1)
        self.assertIn(b"b@example.test", row["recipients"])
        self.assertEqual((m.get_content_type(), m["X-One"]),
                         ("text/html", "1"))

    def test_attachments_are_of_the_uploads_alone(self):
        uploads = os.path.join(self.s.root, "wp-content", "uploads")
        os.makedirs(os.path.join(uploads, "2026"), exist_ok=True)
        path = os.path.join(uploads, "2026", "a b.txt")
        with open(path, "wb") as f:
            f.write(b"hello\n")
        out = os.path.join(uploads, "out")
        if not os.path.lexists(out):
            os.symlink(self.s.root, out)
        (_, m), = self.sent(mail(subject="s", message="m",
                                 attachments=[path]), done=1)
        part, = m.iter_attachments()
        self.assertEqual((part.get_filename(), part.get_payload(decode=True)),
                         ("a b.txt", b"hello\n"))
        config = os.path.join(self.s.root, "wp-config.php")
        for bad in (config, "/etc/passwd", uploads + "/../../wp-config.php",
                    out + "/wp-config.php", uploads, uploads + "/none.txt"):
            self.sent(mail(subject="s", message="m", attachments=bad), dead=1)
            self.assertIn("attachment", self.reason(), bad)
        self.assertEqual(len(self.outbox()), 1)

    def test_what_cannot_be_a_mail_is_a_dead_letter(self):
        for payload in ({"to": ""}, {"to": "no address"}, {"to": []}):
            self.sent(mail(**payload), dead=1)
        self.sent(task("send_email", "text"), task("send_email"), dead=2)
        self.assertEqual(self.outbox(), [])

    def test_a_repeat_stores_no_second_mail(self):
        self.sent(mail(subject="s", message="m"), done=1)
        self.s.mysql("UPDATE wp_wpcron_tasks SET state = 'ready',"
                     " element = %s",
                     (serialize(mail(subject="s", message="m")),))
        self.assertEqual(self.run_tasks()["done"], 1)
        self.assertEqual(len(self.outbox()), 1)

    def test_a_foreign_from_follows_the_relays_rule(self):
        foreign = dict(subject="s", message="m",
                       headers=["From: Ann <ann@other.test>"])
        domains = "from_domains = example.org\nfrom = shop@example.org\n"
        self.configure(rest=RELAY % domains)
        self.sent(mail(**foreign), dead=1)
        self.assertIn("from_domains", self.reason())
        self.configure(rest=RELAY % (domains + "foreign_from = rewrite"))
        (row, m), = self.sent(mail(**foreign), done=1)
        self.assertEqual(m["From"], "Ann <shop@example.org>")
        self.assertIn("ann@other.test", m["Reply-To"])
        self.assertEqual(row["sender"], b"shop@example.org")
        self.configure(rest=RELAY % (domains + "foreign_from = send"))
        m = self.sent(mail(**foreign), done=1)[-1][1]
        self.assertEqual(m["From"], "Ann <ann@other.test>")

    def test_a_domain_is_the_same_in_capitals(self):
        for written, allowed in (("Example.ORG", "example.org"),
                                 ("mail.example.org", "*.EXAMPLE.org")):
            self.configure(rest=RELAY % ("from_domains = " + allowed))
            m = self.sent(mail(subject="s", message="m",
                               headers=["From: info@" + written]),
                          done=1)[-1][1]
            self.assertIn(written, m["From"])

    def test_and_none_where_all_mails_go_to_one_address(self):
        self.configure(rest=RELAY % (
            "from_domains = example.org\nredirect_to = test@own.test"))
        (_, m), = self.sent(mail(subject="s", message="m",
                                 headers=["From: ann@other.test"]), done=1)
        self.assertIn("ann@other.test", m["From"])

    def test_mails_of_a_function_go_to_the_outbox(self):
        self.configure(handlers=HANDLERS)
        (row, m), = self.sent(
            task("mail", {"to": "ana@example.test", "subject": "Hola",
                          "message": "Línea 1"}), done=1)
        self.assertEqual(row["job"], b"task:%d" % self.rows()[0]["task_id"])
        self.assertEqual((row["state"], m["Subject"]), ("ready", "Hola"))


if __name__ == "__main__":
    unittest.main()
