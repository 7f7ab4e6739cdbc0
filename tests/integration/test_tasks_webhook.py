"""Tasks of a transient queue that are HTTP calls."""

import time
import unittest

from tasks_case import TasksCase, task

ALLOW = "allow_hosts = 127.0.0.1\n"
FORM = "application/x-www-form-urlencoded"


def call(url, **payload):
    more = payload.pop("task", {})
    return task("http_request", dict({"url": url}, **payload), **more)


class Webhooks(TasksCase):
    config = ALLOW

    def send(self, *tasks, **counts):
        self.put(*tasks)
        report = self.run_tasks()
        for name, n in counts.items():
            self.assertEqual(report[name], n, self.said)
        return self.server.calls

    def test_a_body_is_sent_as_wordpress_would(self):
        body = {"id": 7, "n": {"a b": "x&y", "l": [1, 2]}, "t": True,
                "f": False, "z": None}
        url = self.server.url("/hook?a=1#part")
        form, text, none = self.send(
            call(url, body=body), call(url, body="{\"a\":1}"), call(url),
            done=3)
        self.assertEqual(
            form["body"], b"id=7&n%5Ba+b%5D=x%26y&n%5Bl%5D%5B0%5D=1&"
            b"n%5Bl%5D%5B1%5D=2&t=1&f=0")
        self.assertEqual((form["method"], form["path"]),
                         ("POST", "/hook?a=1"))
        self.assertEqual(form["headers"]["Content-Type"], FORM)
        self.assertEqual(text["body"], b"{\"a\":1}")
        self.assertEqual(text["headers"]["Content-Type"], FORM)
        self.assertEqual((none["body"], none["headers"]["Content-Length"]),
                         (b"", "0"))

    def test_method_and_headers_are_honoured(self):
        url = self.server.url("/x")
        put, get, lines = self.send(
            call(url, method="put", body="b", headers={
                "Content-Type": "text/plain", "X-One": "1", "X-Two": 2,
                "Host": "elsewhere", "Content-Length": "99"}),
            call(url + "?q=1", method="GET", body={"a": "b c"}),
            call(url, headers="X-One: 1\r\nX-Two: two\r\n"), done=3)
        self.assertEqual((put["method"], put["body"]), ("PUT", b"b"))
        self.assertEqual(put["headers"]["Content-Type"], "text/plain")
        self.assertEqual((put["headers"]["X-One"], put["headers"]["X-Two"]),
                         ("1", "2"))
        self.assertNotEqual(put["headers"]["Host"], "elsewhere")
        self.assertEqual((get["method"], get["path"], get["body"]),
                         ("GET", "/x?q=1&a=b+c", b""))
        self.assertEqual(lines["headers"]["X-Two"], "two")

    def test_a_repeat_has_the_key_of_the_first_try(self):
        self.server.answer = lambda c: (503, {}, b"later a@example.org")
        url = self.server.url("/same")
        self.send(call(url), call(url), failed=2)
        self.make_due()
        self.run_tasks()
        keys = [c["headers"]["Idempotency-Key"] for c in self.server.calls]
        self.assertEqual(len(set(keys)), 2)
        self.assertEqual(keys[:2], keys[2:])
        error = self.rows()[0]["error"].decode()
        self.assertIn("HTTP status 503: later a***@example.org", error)

    def test_only_200_to_299_is_done(self):
        def answer(c):
            return int(c["path"][1:]), {}, b""
        self.server.answer = answer
        codes = [200, 201, 204, 299, 304, 400, 404, 500]
        self.send(*[call(self.server.url("/%d" % n)) for n in codes],
                  done=4, failed=4)

    def test_redirects_are_followed_as_wordpress_does(self):
        def answer(c):
            parts = c["path"].strip("/").split("/")
            if parts[0].isdigit():
                return (int(parts[0]), {"Location": "../end/%s" % parts[0]},
                        b"")
            if parts[0] == "round":
                return 302, {"Location": "/round"}, b""
            return 200, {}, b""
        self.server.answer = answer
        codes = [301, 302, 303, 307, 308]
        self.send(*[call(self.server.url("/%d/x" % n), body={"a": 1})
                    for n in codes], done=5)
        ends = {c["path"]: (c["method"], c["body"])
                for c in self.server.calls if c["path"].startswith("/end")}
        again, get = ("POST", b"a=1"), ("GET", b"")
        self.assertEqual(ends, {"/end/301": again, "/end/302": get,
                                "/end/303": get, "/end/307": again,
                                "/end/308": again})
        self.server.calls.clear()
        self.send(call(self.server.url("/round")), failed=1)
        self.assertEqual(len(self.server.calls), 6)
        self.assertIn(b"redirects", self.rows()[-1]["error"])

    def test_addresses_inside_are_refused_unless_allowed(self):
        self.configure(config="")
        urls = [self.server.url(), "http://localhost:%d/" % self.server.port,
                "http://0x7f000001:%d/" % self.server.port,
                "http://[::1]/", "http://[::ffff:127.0.0.1]/",
                "http://169.254.169.254/latest", "ftp://127.0.0.1/",
                "file:///etc/passwd", "gopher://127.0.0.1/", "nonsense", ""]
        self.send(*[call(u) for u in urls], dead=len(urls))
        self.assertEqual(self.server.calls, [])
        reasons = [r["reason"] for r in self.dead()]
        self.assertIn("not one of the Internet", reasons[0])
        # Allowed by one name, not by another; and with its port.
        self.configure(config="allow_hosts = localhost:%d" %
                       self.server.port)
        self.send(call(urls[0]), dead=1)
        self.send(call(urls[1]), done=1)

    def test_a_redirect_does_not_lead_inside(self):
        other = "http://127.0.0.2:%d/in" % self.server.port
        self.server.answer = lambda c: (302, {"Location": other}, b"")
        self.send(call(self.server.url("/out")), dead=1)
        self.assertEqual(self.server.paths(), ["/out"])
        self.server.answer = lambda c: (302, {"Location": "file:///etc"}, b"")
        self.send(call(self.server.url("/file")), dead=1)

    def test_credentials_do_not_go_to_another_host(self):
        self.configure(config="allow_hosts = 127.0.0.1, localhost")

        def answer(c):
            to = "http://localhost:%d/end" % self.server.port
            return (307, {"Location": to}, b"") if c["path"] == "/" else (
                200, {}, b"")
        self.server.answer = answer
        first, last = self.send(call(
            self.server.url("/"), headers={"Authorization": "Bearer x",
                                           "Cookie": "a=b", "X-A": "1"}),
            done=1)
        self.assertIn("Authorization", first["headers"])
        self.assertEqual(
            [last["headers"].get(n) for n in
             ("Authorization", "Cookie", "X-A")], [None, None, "1"])

    def test_what_could_split_a_header_is_refused(self):
        url = self.server.url()
        self.send(call(url, headers={"X-A": "1\r\nX-B: 2"}),
                  call(url, headers={"X A": "1"}),
                  call(url, method="BREW"), task("http_request", "text"),
                  task("http_request", None), call(url, body=["x"]),
                  dead=5, done=1)
        self.assertEqual(len(self.server.calls), 1)

    def test_a_timeout_is_a_failure(self):
        def answer(c):
            time.sleep(30)
            return 200, {}, b""
        self.server.answer = answer
        began = time.monotonic()
        self.send(call(self.server.url("/slow"), timeout=1), failed=1)
        self.assertLess(time.monotonic() - began, 15)

    def test_order_is_kept_and_long_answers_are_cut(self):
        self.server.answer = lambda c: (200, {}, b"x" * 600000)
        self.send(*[call(self.server.url("/%d" % i)) for i in range(30)],
                  done=30)
        self.assertEqual(self.server.paths(), ["/%d" % i for i in range(30)])


if __name__ == "__main__":
    unittest.main()
