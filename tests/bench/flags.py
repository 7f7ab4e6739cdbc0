"""What a tick costs that finds the waiting readers among many rows of usermeta:
one read by the index of the key, no sort."""

import time

KEY = "newspack_contact_cron_push_pending"
FLAGS = 10000
READ = ("SELECT um.umeta_id, um.user_id, um.meta_value FROM %susermeta AS um"
        " WHERE um.meta_key = %%s LIMIT 50001")


def fill(s, have, rows):
    """usermeta up to so many rows, ten a user, as plugins leave them."""
    with s.connect() as db, db.cursor() as c:
        c.execute("INSERT INTO " + s.prefix + "usermeta (user_id, meta_key,"
                  " meta_value) SELECT 100 + seq DIV 10,"
                  " CONCAT('some_plugin_key_', seq MOD 10), seq"
                  " FROM seq_%d_to_%d" % (have + 1, rows))


def read(s):
    """The median of nine reads, in ms."""
    times = []
    with s.connect() as db, db.cursor() as c:
        for _ in range(9):
            begun = time.monotonic()
            c.execute(READ % s.prefix, (KEY,))
            if len(c.fetchall()) != FLAGS:
                raise AssertionError("not every flag was read")
            times.append((time.monotonic() - begun) * 1000)
    return sorted(times)[4]


def measure(s, row, sizes):
    """sizes: rows of usermeta, ascending; the first is what others are
    compared with."""
    with s.connect() as db, db.cursor() as c:
        c.execute("INSERT INTO " + s.prefix + "usermeta (user_id, meta_key,"
                  " meta_value) SELECT 100 + seq * 7, %s, 1700000000"
                  " FROM seq_1_to_" + str(FLAGS), (KEY,))
    have, first = 0, None
    for rows in sizes:
        fill(s, have, rows)
        have = rows
        ms = read(s)
        first = first or ms
        row("10,000 flags among %s M rows" % (rows / 1e6), ms, "ms",
            "among %s M rows" % (sizes[0] / 1e6), first)
