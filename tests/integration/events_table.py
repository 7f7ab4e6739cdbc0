"""{base}wpcron_events for tests of the PHP worker, which run without the
daemon that would make it."""

import base64
import os
import re

from stack import REPO

CLAIM = 77


def statement(stack, name):
    """A statement of sql/schema.sql, for the stack's prefix."""
    with open(os.path.join(REPO, "sql", "schema.sql")) as f:
        text = f.read()
    found = re.search(r"-- name: schema\.%s\n(?:--.*\n)*((?:[^-\n].*\n)+)"
                      % name, text)
    return found.group(1).replace("{base}", stack.prefix)


def create(stack):
    stack.mysql(statement(stack, "create_events"))


def b64(text):
    data = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(data).decode()


def literal(value):
    """A value as SQL: any bytes, in ASCII."""
    data = value if isinstance(value, bytes) else str(value).encode()
    return "X'%s'" % data.hex() if data else "''"


def insert_sql(stack, ts, hook, key, event, recurrence="", state="taken",
               claim=0, blog=1):
    return (
        "INSERT INTO %swpcron_events (blog_id, state, claim_id, scheduled_at,"
        " hook, event_key, slot, recurrence, event, not_before, taken_at)"
        " VALUES (%d, '%s', %d, %d, %s, %s, UNHEX(MD5(CONCAT(%d, '\\0', %s,"
        " '\\0', %s))), %s, %s, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))" % (
            stack.prefix, blog, state, claim, ts, literal(hook), literal(key),
            ts, literal(hook), literal(key), literal(recurrence),
            literal(event)))


def job_line(stack, event_id, hook, args, recurrence="", claim=CLAIM):
    """An event's line for tests/drivers/php_run.c."""
    table = stack.prefix + "wpcron_events"
    start = ("UPDATE %s SET state='running', started_at=UTC_TIMESTAMP(6)"
             " WHERE event_id=%d AND state='taken' AND claim_id=%d" % (
                 table, event_id, claim))
    running = ("SELECT COUNT(*) FROM %s WHERE event_id=%d AND state='running'"
               " AND claim_id=%d" % (table, event_id, claim))
    end = ("UPDATE %s SET state='%s', ended_at=UTC_TIMESTAMP(6),"
           " duration_ms=TIMESTAMPDIFF(MICROSECOND, started_at,"
           " UTC_TIMESTAMP(6)) DIV 1000, message=%s"
           " WHERE event_id=%d AND state='running' AND claim_id=%d")
    fields = [x if isinstance(x, bytes) else x.encode()
              for x in (hook, args, recurrence)]
    return "\t".join(["event", str(event_id)] + [x.hex() for x in fields] +
                     [start, running, end % (
                         table, "done", "''", event_id, claim), end % (
                         table, "failed", "_binary'{message}'", event_id,
                         claim)])


def states(stack):
    """{state: number of events}."""
    return {r["state"]: r["n"] for r in stack.mysql(
        "SELECT state, COUNT(*) AS n FROM %swpcron_events GROUP BY state" %
        stack.prefix)}
