"""Eight writers of the option `cron` and a runner of what is due, all at once;
and a checker that knows what must be there in the end.

Every version of the option is kept by a trigger, with who wrote it, so that
an event that vanished or came back has an author. Arguments are unique, and
so is the key (their MD5) under which an event stands in the option.
"""

import collections
import json
import os
import re
import shutil
import threading
import time
import zlib

import cronrow
from companion import NAME, copy_patient
from stack import FIXTURES

WRITERS = 8
DAEMON_USER, DAEMON_PASSWORD = "wpdaemon", "d"
KEY = re.compile(rb's:32:"([0-9a-f]{32})"')
# A series' run may be under way when it is cleared.
GRACE_S = 10


class Outcome:
    """What a run came to; lists hold (key, words)."""

    def __init__(self):
        self.boots = self.changes = self.conflicts = 0
        self.due = self.ran = self.series = self.series_ran = 0
        self.far = 0
        self.lost, self.resurrected, self.doubled = [], [], []
        self.refused = []
        self.seconds = 0.0

    def line(self, name):
        return ("races: %-26s %4.0f s, %d boots, %d changes, %d conflicts;"
                " %d one-shots due, %d ran; %d series ran %d times; %d far"
                " events; lost %d, came back %d, doubled %d" % (
                    name, self.seconds, self.boots, self.changes,
                    self.conflicts, self.due, self.ran, self.series,
                    self.series_ran, self.far, len(self.lost),
                    len(self.resurrected), len(self.doubled)))


class Races:
    """A site with writers; a test starts what runs the events."""

    def __init__(self, case):
        self.s = s = cronrow.tick_site(
            case, children=WRITERS + 4, actions=False,
            config_extra="define( 'DISABLE_WP_CRON', true );\n"
            "define( 'WPCRON_RACES', ABSPATH . '../races' );")
        self.dir = s.path("races")
        shutil.copyfile(os.path.join(FIXTURES, "races", "writer.php"),
                        os.path.join(s.root, "race-writer.php"))
        s.mysql("CREATE TABLE race_writes (id BIGINT PRIMARY KEY"
                " AUTO_INCREMENT, connection BIGINT, author VARCHAR(100))")
        s.mysql("CREATE TABLE race_values (id BIGINT PRIMARY KEY,"
                " value LONGBLOB)")
        s.mysql("CREATE TRIGGER race_writes AFTER UPDATE ON wp_options FOR"
                " EACH ROW IF NEW.option_name = 'cron' THEN"
                " INSERT INTO race_writes (connection, author)"
                " VALUES (CONNECTION_ID(), USER());"
                " INSERT INTO race_values VALUES (LAST_INSERT_ID(),"
                " COMPRESS(NEW.option_value)); END IF")
        for host in ("localhost", "127.0.0.1"):
            s.mysql("CREATE USER %s@%s IDENTIFIED BY %s",
                    (DAEMON_USER, host, DAEMON_PASSWORD))
            s.mysql("GRANT ALL ON *.* TO %s@%s", (DAEMON_USER, host))
        s.daemon_site = "db_user = %s\ndb_password = %s" % (
            DAEMON_USER, DAEMON_PASSWORD)

    def begin(self, companion):
        s = self.s
        shutil.rmtree(self.dir, ignore_errors=True)
        os.mkdir(self.dir)
        s.give_to_web_user(self.dir)
        path = os.path.join(s.root, "wp-content", "mu-plugins", NAME)
        if companion:
            # Without the lock something may be lost, by design: here all wait,
            # also while the machine pauses.
            copy_patient(path, 20)
            # No PHP process of before it is left.
            os.utime(path, (time.time() - 3600,) * 2)
        elif os.path.exists(path):
            os.unlink(path)
        cronrow.forget(s)
        cronrow.drop_lock(s)
        cronrow.put(s, [])
        s.mysql("TRUNCATE race_writes")
        s.mysql("TRUNCATE race_values")
        s.ticks.clear()

    # ---- writing -------------------------------------------------------

    def write(self, seconds, conflicts=1000, at_most=120):
        """So long, and until there were so many conflicts."""
        out, lock = Outcome(), threading.Lock()
        begun = time.monotonic()
        errors = []

        def writer(number):
            boot = 0
            while not errors:
                spent = time.monotonic() - begun
                if spent > at_most or (spent > seconds and
                                       self.conflicts() >= conflicts):
                    return
                boot += 1
                status, _, body = self.s.get(
                    "/race-writer.php?writer=%d&boot=%d" % (number, boot),
                    timeout=120)
                try:
                    told = json.loads(body)
                except ValueError:
                    errors.append((status, body))
                    return
                with lock:
                    out.boots += 1
                    out.changes += told["changes"]
        threads = [threading.Thread(target=writer, args=(n,))
                   for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise AssertionError(errors)
        out.seconds = time.monotonic() - begun
        out.conflicts = self.conflicts()
        return out

    def conflicts(self):
        """Writes by a process that had written before, with another's write
        in between: it cannot know of that."""
        return self.s.value("""
            SELECT COUNT(*) FROM (
                SELECT connection, author,
                       LAG(connection) OVER (ORDER BY id) AS before_it,
                       ROW_NUMBER() OVER (PARTITION BY connection
                                          ORDER BY id) AS nth
                  FROM race_writes) AS w
             WHERE nth > 1 AND before_it <> connection
               AND author NOT LIKE %s""", (DAEMON_USER + "@%",))

    def notes(self):
        """What the writers did, in each writer's order."""
        found = []
        for number in range(WRITERS):
            path = os.path.join(self.dir, "writer-%d.txt" % number)
            with open(path) as f:
                found += [json.loads(line) for line in f]
        return found

    # ---- checking ------------------------------------------------------

    def settle(self, idle_s=4, timeout=90):
        """Until nothing is due, and nothing ran for a while but series."""
        end = time.monotonic() + timeout
        quiet = time.monotonic()
        last = None
        while time.monotonic() < end:
            now = time.time()
            due = [e for e in cronrow.events(self.s)
                   if e.ts <= now and e.hook == "tick_one"]
            taken = self.in_hand()
            state = (len(due), taken, self.s.ticks.count("tick_one"))
            if due or taken or state != last:
                quiet, last = time.monotonic(), state
            elif time.monotonic() - quiet > idle_s:
                return
            time.sleep(0.2)
        raise AssertionError("%d events still wait, %d are in hand" % (
            len(due), taken))

    def in_hand(self):
        """Of the daemon: out of the option, and not over. Its tables are
        there when it has run."""
        there = self.s.value(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE"
            " TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            (self.s.db_name, self.s.prefix + "wpcron_events"))
        return there and cronrow.unfinished(self.s, "hook = 'tick_one'")

    def check(self, out):
        """Fill in the outcome by what the notes say must be."""
        notes = self.notes()
        out.refused = [n for n in notes if not n["ok"]]
        there = collections.Counter(
            e.key for e in cronrow.events(self.s))
        runs = collections.defaultdict(list)
        for tick in self.s.ticks.all():
            runs[tick["hook"], tuple(tick["args"])].append(tick["at"])
        added = [n for n in notes if n["what"] == "add" and n["ok"]]
        cleared = {n["key"]: n for n in notes
                   if n["what"] == "clear" and n["ok"]}
        tried = {n["key"] for n in notes if n["what"] == "clear"}
        for n in added:
            ran = runs[n["hook"], tuple(n["args"])]
            self.check_one(out, n, there[n["key"]], ran,
                           cleared.get(n["key"]), n["key"] in tried)
        return out

    def check_one(self, out, n, there, ran, cleared, tried):
        key, name = n["key"], "%s %s" % (n["hook"], n["args"])
        if n["hook"] == "tick_one":
            out.due += 1
            out.ran += bool(ran)
            if not ran:
                out.lost.append((key, name + " never ran"))
            if len(ran) > 1:
                out.doubled.append((key, "%s ran %d times" % (
                    name, len(ran))))
            if there:
                out.resurrected.append((key, name + " is back"))
            return
        if n["hook"] == "tick_series":
            out.series += 1
            out.series_ran += len(ran)
            late = [t for t in ran if cleared and t >
                    cleared["at"] + GRACE_S]
            if late:
                out.resurrected.append((key, "%s ran %d times after it was"
                                        " cleared" % (name, len(late))))
            # Its times are two seconds apart; any may run late.
            if ran and len(ran) > (max(ran) - n["time"]) / 2 + 2:
                out.doubled.append((key, "%s ran %d times in %.1f s" % (
                    name, len(ran), max(ran) - min(ran))))
        else:
            out.far += 1
        if cleared and there:
            out.resurrected.append((key, name + " is back"))
        elif not tried and not there:
            out.lost.append((key, name + " is gone"))
        if there > 1:
            out.doubled.append((key, "%s is there %d times" % (name, there)))

    def authors(self, keys):
        """{key: [(version, author, "+" or "-")]}: each coming and going."""
        found = collections.defaultdict(list)
        before = set()
        wanted = {k.encode() for k in keys}
        with self.s.connect() as db, db.cursor() as c:
            c.execute("SELECT id, author, value FROM race_writes JOIN"
                      " race_values USING (id) ORDER BY id")
            for number, author, packed in c:
                value = zlib.decompress(packed[4:])
                keys = wanted.intersection(KEY.findall(value))
                for key in keys ^ before:
                    found[key.decode()].append((
                        number, author.split("@")[0],
                        "+" if key in keys else "-"))
                before = keys
        return found
