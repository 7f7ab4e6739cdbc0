"""A site whose outbox is filled by hand and sent by the driver outbox_send.

    box = Outbox(stack, port=relay.port, more="rate = 5/s\\n")
    box.put("event:1", priority=10)
    box.send()                          # upkeep and one run
    box.states()                        # {"sent": 1}
"""

import hashlib
import json
import os
import re
import subprocess

from stack import REPO, Stack

CONFIG = """
[site default]
root = {root}
smtp = relay
{site}
[smtp relay]
host = 127.0.0.1
port = {port}
security = none
concurrency = {concurrency}
reply_timeout = {reply}
data_timeout = {data}
backoff = {backoff}
unknown_retry_after = {unknown}
{more}
"""


def site():
    """MariaDB, WordPress' tables and the program's; no PHP, no daemon."""
    s = Stack()
    try:
        s.start_mariadb()
        s.install_wordpress()
        s.install_action_scheduler()
    except BaseException:
        s.close()
        raise
    return s


class Outbox:
    def __init__(self, stack, port, site="", more="", concurrency=1,
                 reply="5s", data="5s", unknown="2s", backoff="1s..4s",
                 name="outbox.conf"):
        self.s = stack
        self.n = 0
        self.path = stack.path(name)
        with open(self.path, "w") as f:
            f.write(CONFIG.format(
                root=stack.root, site=site, port=port, more=more,
                concurrency=concurrency, reply=reply, data=data,
                unknown=unknown, backoff=backoff))

    # ---- mails ----------------------------------------------------------

    def put(self, job="event:1", to=("a@to.test",), priority=20, body="Hello",
            state="ready", chunk=512 * 1024, **columns):
        """A whole mail; its id."""
        self.n += 1
        text = ("Date: Sun, 22 Nov 2026 01:02:03 +0000\r\n"
                "Message-ID: <%d@site.test>\r\nSubject: mail %d\r\n\r\n%s\r\n"
                % (self.n, self.n, body)).encode()
        row = {
            "blog_id": 1, "state": state, "priority": priority, "job": job,
            "ordinal": self.n, "digest": hashlib.sha256(text).digest(),
            "message_id": "<%d@site.test>" % self.n,
            "sender": "shop@site.test",
            "recipients": json.dumps([{"to": t, "state": "open"}
                                      for t in to]),
            "subject": "mail %d" % self.n, "size": len(text)}
        row.update(columns)
        with self.s.connect(self.s.db_name) as db, db.cursor() as c:
            c.execute(
                "INSERT INTO wp_wpcron_outbox (%s, created_at, not_before)"
                " VALUES (%s, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"
                % (", ".join(row), ", ".join(["%s"] * len(row))),
                list(row.values()))
            mail = c.lastrowid
            for i in range(0, len(text), chunk):
                c.execute("INSERT INTO wp_wpcron_outbox_chunks VALUES"
                          " (1, %s, %s, _binary %s)",
                          (mail, i // chunk, text[i:i + chunk]))
            db.commit()
        return mail

    def put_many(self, n, **options):
        return [self.put(**options) for _ in range(n)]

    def states(self):
        return {r["state"]: r["n"] for r in self.s.mysql(
            "SELECT state, COUNT(*) AS n FROM wp_wpcron_outbox"
            " GROUP BY state")}

    def row(self, mail):
        """The columns that tests ask for, recipients as a list."""
        row = self.s.mysql(
            "SELECT state, tries, unknown, reply, recipients, told, size,"
            " claim_id FROM wp_wpcron_outbox WHERE mail_id = %s", (mail,))[0]
        row["recipients"] = json.loads(row["recipients"])
        row["reply"] = row["reply"].decode()
        return row

    def recipients(self, mail):
        return [r["state"] for r in self.row(mail)["recipients"]]

    def letters(self):
        return [(r["source"], r["title"].decode(), r["reason"].decode())
                for r in self.s.mysql(
                    "SELECT source, title, reason FROM"
                    " wp_wpcron_dead_letters ORDER BY letter_id")]

    def hurry(self):
        """What waits for its time waits no longer."""
        self.s.mysql("UPDATE wp_wpcron_outbox SET not_before ="
                     " UTC_TIMESTAMP(6) WHERE state = 'later'")

    def wake(self):
        """The relay has rested enough."""
        self.s.mysql("UPDATE wp_wpcron_leases SET node = 0, expires_at ="
                     " '1970-01-01 00:00:01' WHERE name LIKE 'smtp/%rest'")

    # ---- sending --------------------------------------------------------

    def argv(self, **options):
        return [os.path.join(REPO, "build", self.s.variant, "drivers",
                             "outbox_send"),
                "config=" + self.path, "root=" + self.s.root] + [
                    "%s=%s" % item for item in options.items()]

    def send(self, **options):
        """Upkeep and one run; what it reported, and its log."""
        done = subprocess.run(self.argv(**options), timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.s.sanitizer_env())
        if done.returncode:
            raise AssertionError("outbox_send ended with %d: %s %s" % (
                done.returncode, done.stdout, done.stderr))
        self.log = done.stderr.decode()
        line = done.stdout.decode().splitlines()[-1]
        report = dict(re.findall(r"(\w+)=(\S*)", line.split(" why=")[0]))
        report = {k: int(v) if v.isdigit() else v for k, v in report.items()}
        report["why"] = line.split(" why=")[1]
        report["rc"] = line.split()[1]
        return report

    def start(self, name, **options):
        """A process that sends until it is stopped."""
        options.setdefault("for_ms", 120000)
        return self.s.spawn(name, self.argv(**options),
                            env=self.s.sanitizer_env())
