"""The option `cron` as bytes, the events of the daemon's ledger, and what the
hooks of tests/fixtures/plugins/wpcron-tick wrote down.

    s = tick_site()                     # a Stack with that plugin
    put(s, [Event(now - 5, "tick_a", [1])])
    s.wait_until(lambda: states(s) == {"done": 1})
    s.ticks.names()                     # ["tick_a"]
"""

import hashlib
import json
import os
import shutil

from stack import FIXTURES, Stack

EMPTY = b'a:1:{s:7:"version";i:2;}'


# ---- PHP's serialization, as far as the option needs it --------------------

def serialize(value):
    """bytes of a list, dict, str, bytes, int, float, bool or None."""
    if value is None:
        return b"N;"
    if isinstance(value, bool):
        return b"b:%d;" % value
    if isinstance(value, int):
        return b"i:%d;" % value
    if isinstance(value, float):
        return b"d:%s;" % repr(value).encode()
    if isinstance(value, (str, bytes)):
        raw = value.encode() if isinstance(value, str) else value
        return b's:%d:"%s";' % (len(raw), raw)
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return b"a:%d:{%s}" % (len(value), b"".join(
        serialize(k) + serialize(v) for k, v in items))


def unserialize(data):
    """The opposite; arrays become dicts, strings stay bytes."""
    value, end = _read(data, 0)
    if end != len(data):
        raise ValueError("%d bytes behind the value" % (len(data) - end))
    return value


def _read(data, at):
    kind = data[at:at + 1]
    if kind == b"N":
        return None, at + 2
    if kind in b"ibd":
        end = data.index(b";", at)
        text = data[at + 2:end]
        value = (float(text) if kind == b"d" else bool(int(text))
                 if kind == b"b" else int(text))
        return value, end + 1
    colon = data.index(b":", at + 2)
    n = int(data[at + 2:colon])
    if kind == b"s":
        return data[colon + 2:colon + 2 + n], colon + 4 + n
    if kind != b"a":
        raise ValueError("%r at %d" % (kind, at))
    out, at = {}, colon + 2
    for _ in range(n):
        key, at = _read(data, at)
        out[key], at = _read(data, at)
    return out, at + 1


# ---- the option ------------------------------------------------------------

class Event:
    """One slot of the option; `interval` makes it recurring."""

    def __init__(self, ts, hook, args=(), interval=None, schedule=None,
                 key=None):
        self.ts, self.hook, self.args = int(ts), hook, list(args)
        self.interval = interval
        self.schedule = schedule or (
            "tick_%d" % interval if interval else False)
        self.key = key or hashlib.md5(serialize(self.args)).hexdigest()

    def bytes(self):
        event = {"schedule": self.schedule, "args": self.args}
        if self.interval:
            event["interval"] = self.interval
        return serialize(event)

    def __repr__(self):
        return "Event(%d, %r, %r, %r)" % (
            self.ts, self.hook, self.args, self.interval)


def render(events):
    """The option's value: by timestamp, `version` last."""
    tree = {}
    for e in sorted(events, key=lambda e: e.ts):
        tree.setdefault(e.ts, {}).setdefault(e.hook, {})[e.key] = e.bytes()
    out = [b"a:%d:{" % (len(tree) + 1)]
    for ts, hooks in tree.items():
        out.append(b"i:%d;a:%d:{" % (ts, len(hooks)))
        for hook, keys in hooks.items():
            out.append(serialize(hook) + b"a:%d:{" % len(keys))
            for key, event in keys.items():
                out.append(serialize(key) + event)
            out.append(b"}")
        out.append(b"}")
    out.append(b's:7:"version";i:2;}')
    return b"".join(out)


def parse(value):
    """The Events of an option's value, in order."""
    out = []
    for ts, hooks in unserialize(value).items():
        if not isinstance(ts, int):
            continue
        for hook, keys in hooks.items():
            for key, event in keys.items():
                out.append(Event(
                    ts, hook.decode(), [
                        a.decode() if isinstance(a, bytes) else a
                        for a in event[b"args"].values()],
                    event.get(b"interval"),
                    (event[b"schedule"] or b"").decode(), key.decode()))
    return out


def options(s, blog=1):
    return s.prefix + ("" if blog == 1 else "%d_" % blog) + "options"


def value(s, blog=1):
    """The option's bytes."""
    found = s.value("SELECT CAST(option_value AS BINARY) FROM %s"
                    " WHERE option_name = 'cron'" % options(s, blog))
    return found


def events(s, blog=1):
    """What is in the option beside core's own events."""
    core = {e.hook for e in s.core_events}
    return [e for e in parse(value(s, blog)) if e.hook not in core]


def put(s, new, blog=1, keep=False):
    """Write the option, as a writer without a cache does. keep: add to what
    is there, under a row lock. Core's own events stay in it, far away: where
    they miss, the next boot adds them as due."""
    table = options(s, blog)
    with s.connect(autocommit=False) as db, db.cursor() as c:
        if keep:
            c.execute("SELECT CAST(option_value AS BINARY) FROM %s WHERE"
                      " option_name = 'cron' FOR UPDATE" % table)
            new = parse(c.fetchone()[0]) + list(new)
        else:
            new = s.core_events + list(new)
        c.execute("INSERT INTO %s (option_name, option_value, autoload)"
                  " VALUES ('cron', %%s, 'yes') ON DUPLICATE KEY UPDATE"
                  " option_value = VALUES(option_value)" % table,
                  (render(new).decode(),))
        db.commit()


def lock(s, blog=1):
    """The value of the transient doing_cron, None without one."""
    return s.value("SELECT option_value FROM %s WHERE option_name ="
                   " '_transient_doing_cron'" % options(s, blog))


def set_lock(s, text, blog=1):
    table = options(s, blog)
    drop_lock(s, blog)
    s.mysql("INSERT INTO %s (option_name, option_value, autoload) VALUES"
            " ('_transient_doing_cron', %%s, 'yes')" % table, (text,))


def drop_lock(s, blog=1):
    s.mysql("DELETE FROM %s WHERE option_name IN ('_transient_doing_cron',"
            " '_transient_timeout_doing_cron')" % options(s, blog))


# ---- the ledger ------------------------------------------------------------

def ledger(s, where="1=1", args=None):
    """Rows of {base}wpcron_events by id, bytes as text."""
    rows = s.mysql("SELECT * FROM %swpcron_events WHERE %s ORDER BY event_id"
                   % (s.prefix, where), args)
    for row in rows:
        for name, field in row.items():
            if isinstance(field, bytes) and name != "slot":
                row[name] = field.decode("utf-8", "replace")
    return rows


def states(s, where="1=1", args=None):
    """{state: number of events}."""
    return {r["state"]: r["n"] for r in s.mysql(
        "SELECT state, COUNT(*) AS n FROM %swpcron_events WHERE %s"
        " GROUP BY state" % (s.prefix, where), args)}


def unfinished(s, where="1=1", args=None):
    return s.value("SELECT COUNT(*) FROM %swpcron_events WHERE state IN"
                   " ('taken', 'running') AND %s" % (s.prefix, where), args)


def forget(s):
    """An empty ledger; no daemon may run."""
    if s.value("SELECT COUNT(*) FROM information_schema.TABLES WHERE"
               " TABLE_SCHEMA = %s AND TABLE_NAME = %s",
               (s.db_name, s.prefix + "wpcron_events")):
        s.mysql("DELETE FROM %swpcron_events" % s.prefix)


# ---- what ran --------------------------------------------------------------

class Ticks:
    """The file that the plugin's hooks write."""

    def __init__(self, path):
        self.path = path
        self.clear()

    def clear(self):
        with open(self.path, "w"):
            os.chmod(self.path, 0o666)

    def all(self, hook=None):
        with open(self.path) as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        return [x for x in lines if hook is None or x["hook"] == hook]

    def names(self):
        return [x["hook"] for x in self.all()]

    def count(self, hook=None):
        return len(self.all(hook))


def add_plugin(s):
    """wpcron-tick as a must-use plugin: on every blog, before all others."""
    to = os.path.join(s.root, "wp-content", "mu-plugins")
    os.makedirs(to, exist_ok=True)
    shutil.copy(os.path.join(FIXTURES, "plugins", "wpcron-tick",
                             "wpcron-tick.php"), to)
    s.give_to_web_user(to)


def tick_site(case=None, children=4, config_extra="", actions=True, pool="",
              **mariadb):
    """A Stack with an installed site, its plugin and an empty option; `case`:
    closed after that TestCase class. .ticks and .boots: see Ticks."""
    s = Stack()
    if case:
        case.addClassCleanup(s.close)
    s.start_mariadb(**mariadb)
    s.ticks = Ticks(s.path("ticks.txt"))
    s.boots = s.path("boots.txt")
    with open(s.boots, "w"):
        os.chmod(s.boots, 0o666)
    s.install_wordpress(config_extra="define( 'WPCRON_TICK_LOG', '%s' );\n"
                        "define( 'WPCRON_TICK_BOOTS', '%s' );\n%s" % (
                            s.ticks.path, s.boots, config_extra))
    add_plugin(s)
    if actions:
        s.install_action_scheduler()
    s.start_php_fpm(children=children, extra=pool)
    s.core_events = parse(value(s))
    return s


def boots(s, kind=None):
    """[(blog, "cron" or "page")], one a boot of WordPress by php-fpm."""
    with open(s.boots) as f:
        lines = [line.split() for line in f]
    return [(int(blog), what) for blog, what, sapi in lines
            if sapi != "cli" and kind in (None, what)]
