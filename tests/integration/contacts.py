"""A publisher's site whose readers go to a stand-in of a provider, tick by
tick: the batch is run by `wp-cronctl contacts run`, so that a test knows when
it begins and when it is over.

    class SomeTest(ContactCase):
        def test_x(self):
            ids = self.readers(3)
            self.stage(ids)
            self.tick()
            self.assertEqual(self.flags(), {})
            self.assertEqual(sorted(self.sent()), self.addresses(ids))
"""

import json
import re
import time
import unittest

import newspack
from esp import mailchimp
from stack import Stack

DONE, FAILED, USAGE, UNAVAILABLE, AGAIN, CONFIG = 0, 1, 64, 69, 75, 78
KEY = "0123456789abcdef-us1"
LIST = "list1"
LOG_LEVEL = "define( 'NEWSPACK_LOG_LEVEL', 1 );"


class Provider(mailchimp.Mailchimp):
    """Mailchimp, and the addresses that were pushed, once a push."""

    def __init__(self):
        self.log, self.hashes = [], {}
        self.lag = 0.0  # seconds from what was done to its answer
        super().__init__(key=KEY, audience=LIST)
        for tag in ("COLOR", "CITY", "OTHER"):
            self.add_field(tag.title(), tag=tag)

    def answer(self, call):
        reply = super().answer(call)
        time.sleep(self.lag)
        return reply

    # The stand-in looks through all members; here are thousands.

    def find(self, call, name):
        if name in self.hashes:
            return self.members.get(self.hashes[name])
        return self.members.get(name)

    def put(self, email, status="subscribed", **merge_fields):
        self.hashes[mailchimp.md5(email)] = email.lower()
        super().put(email, status, **merge_fields)

    def put_member(self, call, known, name, body):
        email = body["email_address"].lower()
        self.log.append(email)
        shown = super().put_member(call, known, name, body)
        self.hashes[mailchimp.md5(email)] = email
        return shown

    def pushed(self):
        with self.lock:
            return list(self.log)

    def forget(self):
        super().forget()
        with self.lock:
            self.log = []

    def reset(self):
        """Nobody is a member, nothing was asked, and it behaves."""
        self.forget()
        with self.lock:
            self.members, self.batches, self.refused = {}, {}, {}
            self.hashes = {}
            self.violations, self.faults = [], []
        self.before = self.on_operation = None
        self.delay, self.batch_s, self.lag = 0.0, 0.0, 0.0

    def hash_of(self, email):
        return mailchimp.md5(email)

    def settle(self):
        """Do what was submitted, also what nobody has asked for."""
        with self.lock:
            for b in self.batches.values():
                b["ends"] = 0
                if b["results"] is None:
                    self.execute(None, b)

    def submitted(self):
        """How many bulk calls it took."""
        with self.lock:
            return len(self.batches)


class ContactCase(unittest.TestCase):
    """One site for a class, of one provider; each test begins with nobody
    staged and nothing remembered."""

    GENERATION = "g2"
    INCOMING = ("COLOR", "CITY")
    CRM = False  # a second integration, that only PHP knows
    CONSTANTS = newspack.CRON_DISABLE + LOG_LEVEL
    METADATA = True
    CHILDREN = 3

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site(children=cls.CHILDREN, config_extra=cls.CONSTANTS)
        s.install_action_scheduler()
        newspack.install(
            s, generation=cls.GENERATION, metadata=cls.METADATA,
            list_id=LIST,
            integrations=("esp", "crm") if cls.CRM else ("esp",),
            incoming={"esp": cls.INCOMING, "crm": cls.INCOMING})
        cls.esp = cls.make_esp()
        cls.addClassCleanup(cls.esp.close)
        cls.conf = cls.write_conf()
        cls.call("install")
        # The plugin's own events, and the first boot's writes.
        s.wp_eval("")

    @classmethod
    def make_esp(cls):
        return Provider()

    @classmethod
    def integration_lines(cls):
        return ["api = " + cls.esp.url]

    @classmethod
    def write_conf(cls, name="contacts.conf", site="", extra=(), rest="",
                   daemon=""):
        path = cls.s.path(name)
        lines = ["[integration default/esp]"] + cls.integration_lines()
        with open(path, "w", encoding="utf-8") as f:
            f.write(cls.s.config_text(
                daemon, site, "\n".join(lines + list(extra) + [rest])))
        return path

    def setUp(self):
        self.clean()

    def clean(self):
        s = self.s
        s.mysql("DELETE FROM wp_usermeta WHERE meta_key LIKE"
                " 'newspack\\_%%'", ())
        s.mysql("DELETE FROM wp_usermeta WHERE user_id > 1")
        s.mysql("DELETE FROM wp_users WHERE ID > 1")
        for name in ("actions", "claims", "logs", "groups"):
            s.mysql("DELETE FROM wp_actionscheduler_" + name)
        for name in ("wpcron_fingerprints", "wpcron_batches", "wpcron_leases",
                     "wpcron_buckets"):
            s.mysql("DELETE FROM wp_" + name)
        newspack.knobs(s)
        newspack.forget_calls(s)
        self.esp.reset()

    def tearDown(self):
        self.assertEqual(self.esp.violations, [])

    # ---- readers ---------------------------------------------------------

    def readers(self, n=1, **kwargs):
        return newspack.users(self.s, n, **kwargs)

    def stage(self, ids, directions=("push", "pull"), **kwargs):
        newspack.stage(self.s, ids, directions, **kwargs)

    def flags(self, direction=None):
        return newspack.flags(self.s, direction)

    def address(self, user):
        return newspack.email(self.s, user)

    def addresses(self, ids):
        rows = self.s.mysql("SELECT user_email FROM wp_users WHERE ID IN (%s)"
                            % ",".join(str(u) for u in ids))
        return sorted(r["user_email"] for r in rows)

    def waiting(self, direction):
        return newspack.retries(self.s, direction)

    # ---- the provider -----------------------------------------------------

    def sent(self):
        """Addresses that the stand-in got by a push, once a push."""
        return self.esp.pushed()

    def member(self, user, status="subscribed", **merge_fields):
        """What the provider has of a reader before anything is sent."""
        self.esp.put(self.address(user), status, **merge_fields)

    def data(self, user):
        """Reader data without what is empty at the provider."""
        return {k: v for k, v in newspack.reader_data(self.s, user).items()
                if v != '""'}

    # ---- wp-cronctl -------------------------------------------------------

    @classmethod
    def call(cls, *args, code=DONE, config=None, timeout=120):
        r = cls.s.ctl(*args, config=config or cls.conf, timeout=timeout)
        cls.stderr = r.stderr
        codes = code if isinstance(code, tuple) else (code,)
        if r.returncode not in codes:
            raise AssertionError("%s: exit %d, not %s\n%s%s" % (
                " ".join(args), r.returncode, code, r.stdout, r.stderr))
        return r.stdout

    @classmethod
    def json(cls, *args, **kwargs):
        return json.loads(cls.call(*args, "--format=json", **kwargs))

    def tick(self, *args, code=DONE, **kwargs):
        """One batch; {direction: counts}, and the lines of Newspack in
        self.lines."""
        rows = self.json("contacts", "run", "--log-level=info",
                         "--fields=direction,readers,done,unchanged,pending,"
                         "retried,refused,skipped,orphans,php,held_by,more",
                         *args, code=code, **kwargs)
        self.lines = lines_of(self.stderr)
        return {r["direction"]: r for r in rows}

    def ticks(self, most=20, code=(DONE, FAILED)):
        """Batches until the provider has finished what it was handed."""
        for _ in range(most):
            counts = self.tick(code=code)
            if not self.s.value("SELECT COUNT(*) FROM wp_wpcron_batches"):
                return counts
            self.s.mysql("UPDATE wp_wpcron_batches SET ask_at ="
                         " UTC_TIMESTAMP(6)")
        raise AssertionError("bulk calls are still under way")

    def run_retries(self, direction="push", code=(DONE, FAILED)):
        """Run what waits of a retry hook now, whatever its date."""
        self.s.mysql("UPDATE wp_actionscheduler_actions SET"
                     " scheduled_date_gmt = UTC_TIMESTAMP() - INTERVAL 5"
                     " SECOND WHERE status = 'pending' AND hook = %s",
                     (newspack.RETRY[direction],))
        self.call("run", "--hooks=" + newspack.RETRY[direction],
                  "--log-level=info", code=code)
        self.lines = lines_of(self.stderr)


def lines_of(log):
    """The texts of Newspack's own lines in a log, with their header."""
    found = []
    for line in log.splitlines():
        m = re.search(r' contacts\.line .*header=(\S+) line=("(?:[^"\\]|\\.)*"'
                      r'|\S+)', line)
        if m:
            text = m[2]
            if text.startswith('"'):
                text = re.sub(r"\\(.)", r"\1", text[1:-1])
            found.append((m[1], text))
    return found


def texts(lines):
    return [text for _, text in lines]


def now():
    return int(time.time())
