"""A receiver of contacts as JSON, signed as Standard Webhooks has it."""

import base64
import hashlib
import hmac
import time

from .base import StandIn

CONTACT = {"user_id": (int, True), "id": str, "email": (str, True),
           "previous_email": str, "name": (str, True),
           "fields": (dict, True)}


class Webhook(StandIn):
    """
    received: what came, in order; data of accepted requests. ids: webhook-id
    of each request. refuse: addresses whose presence refuses the request
    whole (status refuse_status). results: address to a result object, for
    single outcomes.
    """

    limit = 4
    max_body = 1024 * 1024
    path = "/contacts"

    def __init__(self, secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                 key=None, **more):
        self.secret, self.key = secret, key
        self.received, self.ids = [], []
        self.refused = set()
        self.refuse_status = 422
        self.results = {}
        super().__init__(**more)

    @property
    def account(self):
        a = {"api": self.url + self.path, "loopback": True}
        if self.secret:
            a["secret"] = self.secret
        if self.key:
            a["key"] = self.key
        return a

    def emails(self):
        return [c["email"] for c in self.received]

    def signed(self, call, body):
        h = call.headers
        if not self.secret:
            if "webhook-signature" in h:
                raise self.violation(call, "signed without a secret")
            return
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            if name not in h:
                raise self.violation(call, "%s is missing" % name, 401)
        if abs(time.time() - int(h["webhook-timestamp"])) > 300:
            raise self.violation(call, "the timestamp is not now", 401)
        key = base64.b64decode(self.secret[len("whsec_"):])
        text = "%s.%s." % (h["webhook-id"], h["webhook-timestamp"])
        want = "v1," + base64.b64encode(hmac.new(
            key, text.encode() + call.body, hashlib.sha256).digest()).decode()
        if h["webhook-signature"] != want:
            raise self.violation(call, "bad signature", 401)
        if h["webhook-id"] != body["id"]:
            raise self.violation(call, "webhook-id is not the body's id")

    def handle(self, call):
        if call.method != "POST" or call.path != self.path:
            raise self.violation(call, "no such path or method", 404)
        body = self.require_json(call, {
            "type": (str, True), "id": (str, True), "timestamp": (str, True),
            "data": (list, True)})
        if list(body) != ["type", "id", "timestamp", "data"]:
            raise self.violation(call, "the order of keys")
        if call.headers.get("idempotency-key") != body["id"]:
            raise self.violation(call, "Idempotency-Key is not the id")
        if "." in body["id"] or not body["id"]:
            raise self.violation(call, "id is %r" % body["id"])
        self.signed(call, body)
        if self.key and call.headers.get("authorization") != \
                "Bearer " + self.key:
            raise self.violation(call, "not authorised", 401)
        if body["type"] == "contacts.test":
            return 200, {}
        return self.contacts(call, body)

    def contacts(self, call, body):
        if body["type"] != "contacts.updated":
            raise self.violation(call, "type is %r" % body["type"])
        if not 1 <= len(body["data"]) <= 100:
            raise self.violation(call, "%d contacts" % len(body["data"]))
        for c in body["data"]:
            self.check(call, c, CONTACT, "contact")
        self.ids.append(body["id"])
        if any(c["email"] in self.refused for c in body["data"]):
            raise self.refuse(self.refuse_status, "there is somebody we "
                              "do not want: %s" % sorted(self.refused)[0])
        self.received += body["data"]
        results = [dict(self.results[c["email"]], index=i)
                   for i, c in enumerate(body["data"])
                   if c["email"] in self.results]
        return 200, {"results": results} if results else {}
