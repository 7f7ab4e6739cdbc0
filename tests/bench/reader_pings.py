"""Readers' page loads through nginx: pings from memory, pings that stage, and
what the mirror costs a page."""

import json
import os
import re
import statistics
import subprocess
import time

import readers
import visitors
from stack import tool, wait_until

COOKIES_LUA = """
local cookies, n = {}, 0
for line in io.lines(%r) do n = n + 1; cookies[n] = line end
local i = 0
request = function()
    i = i %% n + 1
    return wrk.format(%r, %r, { Cookie = cookies[i] })
end
"""
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def wrk(s, path, cookie="", connections=16, seconds=3, script=None):
    """(requests a second, p99 in ms)"""
    argv = [tool("wrk"), "-t1", "-c%d" % connections, "-d%ds" % seconds,
            "--latency", s.url(path)]
    if cookie:
        argv += ["-H", "Cookie: " + cookie]
    if script:
        argv += ["-s", script]
    out = subprocess.run(argv, capture_output=True, text=True,
                         check=True).stdout
    if "Non-2xx" in out or re.search(r"timeout [1-9]", out):
        raise RuntimeError("wrk %s:\n%s" % (path, out))
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            float(p99.group(1)) * UNITS[p99.group(2)])


def start(site, mirror, extra=""):
    site.stop()
    s = site.s
    site.daemon = s.start_daemon(
        daemon="log_level = warn\n", site="unproven_cookies = 1000000/s\n")
    readers.start_nginx(s, site.daemon, mirror=mirror, extra=extra + """
        location = /ok { mirror off; include fastcgi_params;
            fastcgi_pass unix:%s; }
        """ % s.path("ok.sock"))


def many_cookies(s, n):
    name, salt = json.loads(s.wp_eval(
        "echo json_encode( array( LOGGED_IN_COOKIE,"
        " wp_salt( 'logged_in' ) ) );"))
    return ["%s=%s" % (name, visitors.cookie(
        salt, "reader%d" % i).replace("|", "%7C")) for i in range(1, n + 1)]


def staged_a_second(site, cookies):
    """All of them were staged ten minutes ago, and come again."""
    s = site.s
    now = int(time.time())
    s.mysql("UPDATE wp_usermeta SET meta_value = %s WHERE meta_key = %s",
            (str(now - 600), readers.KEYS["last"]))
    path = s.path("cookies")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(cookies) + "\n")
    script = s.path("cookies.lua")
    with open(script, "w", encoding="ascii") as f:
        f.write(COOKIES_LUA % (path, "GET", readers.PING))
    start(site, mirror=True)
    s.get(readers.PING, {"Cookie": cookies[0]})
    wait_until(lambda: s.value("SELECT COUNT(*) FROM wp_usermeta WHERE"
                               " meta_key = %s", (readers.KEYS["push"],)), 10)
    load = subprocess.Popen(
        [tool("wrk"), "-t1", "-c16", "-d60s", "-s", script,
         s.url(readers.PING)], stdout=subprocess.DEVNULL)
    begun = time.monotonic()
    try:
        wait_until(lambda: s.value(
            "SELECT COUNT(*) FROM wp_usermeta WHERE meta_key = %s",
            (readers.KEYS["push"],)) == len(cookies), 60, 0.05)
        return len(cookies) / (time.monotonic() - begun)
    finally:
        load.kill()
        load.wait()


def measure(site, row, rounds, quick):
    s = site.s
    seconds = 1 if quick else 3
    readers.put_plugin(s)
    readers.add_user(s, "busy")
    os.makedirs(os.path.join(s.root, "static"), exist_ok=True)
    with open(os.path.join(s.root, "static/page.html"), "w",
              encoding="ascii") as f:
        f.write("<p>static</p>" * 500)
    cookie = readers.make_cookies(s, ["busy"])["busy"]
    pings, ok = [], []
    start(site, mirror=True)
    s.get(readers.PING, {"Cookie": cookie})
    for _ in range(rounds):
        pings.append(wrk(s, readers.PING, cookie, seconds=seconds)[0])
        ok.append(wrk(s, "/ok", cookie, seconds=seconds)[0])
    row("reader pings/s, from memory", statistics.median(pings), "/s",
        'libfcgi "ok"', statistics.median(ok), 0.85)
    pages(site, row, rounds, seconds, cookie)
    n = 2000 if quick else 10000
    cookies = many_cookies(s, n)
    with visitors.many_users(s, n):
        row("readers staged, each seen for the first time",
            staged_a_second(site, cookies), "/s",
            remark="%d readers, three rows each; through nginx" % n)
        site.stop()


def pages(site, row, rounds, seconds, cookie):
    """p99 of a logged-in reader's pages, with and without the mirror."""
    found = {}
    for _ in range(rounds):
        for mirror in (True, False):
            start(site, mirror)
            for path in ("/static/page.html", "/?p=1"):
                wrk(site.s, path, cookie, 2, 1)
                found.setdefault((path, mirror), []).append(
                    wrk(site.s, path, cookie, 2, seconds)[1])
    for path, what in (("/static/page.html", "a file"), ("/?p=1", "PHP")):
        row("page load p99 with mirror, " + what,
            statistics.median(found[path, True]), "ms", "without",
            statistics.median(found[path, False]), 1.2, at_least=False)
