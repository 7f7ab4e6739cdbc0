"""Networks with the plugin of cronrow.py, for the tests of networks."""

import os
import time
import unittest

import cronrow
from cronrow import Event

REWRITE = r"rewrite ^/[^/]+(/wp-cron\.php)$ $1 last;"


def rewritten(text):
    """The snippet with its line for sub-directories."""
    assert "#" + REWRITE in text
    return text.replace("#" + REWRITE, REWRITE)


def network_site(case, blogs, name=None, subdomains=False, **mariadb):
    s = cronrow.tick_site(case, children=6, **mariadb)
    if name:
        s.config_extra += ("define( 'WPCRON_TICK_CONNECT_TO',"
                           " '127.0.0.1:%d' );\n" % s.http_port)
    s.blogs = s.make_network(blogs, name, subdomains)
    for blog in s.blogs:
        s.mysql("INSERT INTO wp_%d_options (option_name, option_value)"
                " VALUES ('tick_option', 'of %d')" % (blog, blog))
        cronrow.put(s, [], blog)
    return s


class NetworkCase(unittest.TestCase):
    serial = 0

    @classmethod
    def due(cls, hook="tick_where", ago=5):
        NetworkCase.serial += 1
        return Event(time.time() - ago, hook, [NetworkCase.serial])

    @classmethod
    def ticks_of(cls, events):
        serials = [e.args[0] for e in events]
        return [x for x in cls.s.ticks.all()
                if x["args"] and x["args"][0] in serials]

    @classmethod
    def wait_ran(cls, events, timeout=20):
        cls.s.wait_until(
            lambda: len(cls.ticks_of(events)) >= len(events), timeout, 0.05,
            "%d events run" % len(events))
        return cls.ticks_of(events)

    def wait_settled(self):
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0, 20)

    def slower(self):
        build = 1 if self.s.variant == "release" else 3
        return build * max(1, os.getloadavg()[0] / os.cpu_count())
