"""Brevo, API v3, as its documentation has it.

Consent: a list or emailBlacklisted for a contact the account knew before is a
violation, in an import too.

    with Brevo() as esp:
        esp.put("a@example.org", lists=[7], blacklisted=True)
        ... esp.account() for the driver
    esp.contacts["a@example.org"].attributes
"""

import collections
import datetime
import re
import time

from .base import StandIn

KEY = "xkeysib-of-the-account"
LIST = 7


class Contact:
    def __init__(self, number, email, lists=(), blacklisted=False,
                 attributes=None):
        self.id = number
        self.email = email
        self.lists = list(lists)
        self.blacklisted = blacklisted
        self.attributes = dict(attributes or {})
        self.touch()

    def touch(self):
        self.modified = datetime.datetime.now(datetime.timezone.utc)


class Brevo(StandIn):
    per_s = 10
    max_body = 8 * 1024 * 1024

    def __init__(self, rates=False, **knobs):
        self.contacts = {}
        self.attributes = {"FIRSTNAME": "text", "LASTNAME": "text"}
        self.lists = {LIST: "Readers"}
        self.processes = {}
        self.has_batch = True
        self.polls = 2
        self.end = "completed"
        self.refuse = {}  # address: (code, message)
        self.rates = rates
        self.max_attributes = 1000
        self.next = collections.Counter()
        self.stamps = []
        super().__init__(**knobs)

    # ---- for tests ------------------------------------------------------

    def account(self, **more):
        return dict({"api": self.url, "key": KEY, "list": str(LIST),
                     "prefix": "NP_", "create_fields": True}, **more)

    def put(self, email, **more):
        self.next["contact"] += 1
        c = Contact(self.next["contact"], email, **more)
        self.contacts[email.lower()] = c
        return c

    def unsubscribe(self, email):
        c = self.contacts[email.lower()]
        c.blacklisted = True
        c.touch()

    # ---- requests -------------------------------------------------------

    def error_body(self, status, text):
        return {"code": "invalid_parameter", "message": text}

    def handle(self, call):
        if call.headers.get("api-key") != KEY:
            return 401, {"code": "unauthorized", "message": "Key not found"}
        self.rate(call)
        parts = call.parts
        if parts[:1] != ["v3"]:
            raise self.violation(call, "not under /v3", 404)
        name = call.method + " " + "/".join(parts[1:])
        for pattern, do in self.routes:
            found = re.fullmatch(pattern, name)
            if found:
                return do(self, call, *found.groups())
        raise self.violation(call, "no such request", 404)

    def rate(self, call):
        now = time.monotonic()
        self.stamps.append(now)
        del self.stamps[:-self.per_s - 1]
        if self.rates and len(self.stamps) > self.per_s and \
                now - self.stamps[-self.per_s - 1] < 1.0:
            raise self.violation(call, "more than %d a second" % self.per_s,
                                 429)

    # ---- attributes and lists -------------------------------------------

    def get_attributes(self, call):
        rows = [{"name": k, "category": "normal", "type": v}
                for k, v in self.attributes.items()]
        rows.append({"name": "BLACKLIST", "category": "global"})
        return 200, {"attributes": rows}

    def post_attribute(self, call, name):
        body = self.require_json(call, {"type": (str, True)})
        if not re.fullmatch("[A-Z0-9_]+", name):
            raise self.violation(call, "the name %r" % name)
        if body["type"] not in ("text", "date", "float", "boolean"):
            raise self.violation(call, "the type %r" % body["type"])
        if name in self.attributes:
            raise self.violation(call, "the attribute exists")
        if len(self.attributes) >= self.max_attributes:
            raise self.refuse_with("invalid_parameter", "too many")
        self.attributes[name] = body["type"]
        return 201, None

    def get_list(self, call, number):
        if int(number) not in self.lists:
            return 404, {"code": "document_not_found", "message": "no list"}
        return 200, {"id": int(number), "name": self.lists[int(number)]}

    def refuse_with(self, code, message, status=400):
        from .base import Refusal
        return Refusal(status, {"code": code, "message": message})

    # ---- values ---------------------------------------------------------

    def check_value(self, call, name, value):
        """Real ones ignore what has another type; here it is an error."""
        kind = self.attributes.get(name)
        if kind is None:
            raise self.violation(call, "no attribute %r" % name)
        if value == "":
            return
        fits = {"text": isinstance(value, str),
                "date": isinstance(value, str) and re.fullmatch(
                    r"\d{4}-\d\d-\d\d", value),
                "float": isinstance(value, (int, float)) and
                not isinstance(value, bool),
                "boolean": isinstance(value, bool)}[kind]
        if not fits:
            raise self.violation(call, "%s %s = %r" % (kind, name, value))

    def set_values(self, call, c, values, may_clear=True):
        for name, value in values.items():
            if name == "EMAIL":
                continue
            self.check_value(call, name, value)
            if value == "" and not may_clear:
                continue
            c.attributes[name] = value
        c.touch()

    def refused(self, email):
        if email.lower() in self.refuse:
            raise self.refuse_with(*self.refuse[email.lower()])

    # ---- one contact ----------------------------------------------------

    def get_contact(self, call, email):
        c = self.contacts.get(email.lower())
        if not c:
            raise self.refuse_with(
                "document_not_found", "Contact does not exist", 404)
        return 200, self.contact_json(c)

    def contact_json(self, c):
        stamp = c.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {"email": c.email, "id": c.id, "emailBlacklisted":
                c.blacklisted, "smsBlacklisted": False, "listIds": c.lists,
                "listUnsubscribed": None, "modifiedAt": stamp,
                "createdAt": stamp, "attributes": c.attributes}

    def put_contact(self, call, email):
        body = self.require_json(call, {
            "attributes": (dict, True), "emailBlacklisted": bool,
            "listIds": list, "unlinkListIds": list})
        for name in ("emailBlacklisted", "listIds", "unlinkListIds"):
            if name in body:
                raise self.violation(call, "%s for a known contact" % name)
        c = self.contacts.get(email.lower())
        if not c:
            raise self.refuse_with(
                "document_not_found", "Contact does not exist", 404)
        self.refused(email)
        new = body["attributes"].get("EMAIL")
        if new and new.lower() != email.lower():
            if new.lower() in self.contacts:
                raise self.refuse_with(
                    "duplicate_parameter", "email is already associated")
            del self.contacts[email.lower()]
            c.email = new
            self.contacts[new.lower()] = c
        self.set_values(call, c, body["attributes"])
        return 204, None

    def post_contact(self, call):
        body = self.require_json(call, {
            "email": (str, True), "attributes": dict, "listIds": list,
            "emailBlacklisted": bool, "updateEnabled": (bool, True)})
        email = body["email"]
        self.refused(email)
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
            raise self.refuse_with("invalid_parameter", "Invalid email")
        if email.lower() in self.contacts:
            if body["updateEnabled"]:
                raise self.violation(call, "an update that may hold a list")
            raise self.refuse_with(
                "duplicate_parameter", "Contact already exist")
        for number in body.get("listIds", ()):
            if number not in self.lists:
                raise self.violation(call, "no list %r" % number)
        c = self.put(email, lists=body.get("listIds", ()),
                     blacklisted=body.get("emailBlacklisted", False))
        self.set_values(call, c, body.get("attributes", {}))
        return 201, {"id": c.id}

    def get_contacts(self, call):
        for key in call.query:
            if key not in ("limit", "offset", "sort", "modifiedSince"):
                raise self.violation(call, "parameter %r" % key)
        limit = int(call.query.get("limit", 50))
        if not 1 <= limit <= 1000:
            raise self.violation(call, "limit %d" % limit)
        rows = list(self.contacts.values())
        since = call.query.get("modifiedSince")
        if since:
            at = datetime.datetime.strptime(
                since, "%Y-%m-%dT%H:%M:%S.%fZ").replace(
                    tzinfo=datetime.timezone.utc)
            rows = [c for c in rows if c.modified >= at]
        offset = int(call.query.get("offset", 0))
        return 200, {"contacts": [self.contact_json(c)
                                  for c in rows[offset:offset + limit]],
                     "count": len(rows)}

    # ---- many -----------------------------------------------------------

    def post_import(self, call):
        body = self.require_json(call, {
            "jsonBody": (list, True), "listIds": (list, True),
            "updateExistingContacts": (bool, True),
            "emptyContactsAttributes": (bool, True),
            "disableNotification": (bool, True), "notifyUrl": str})
        if body["emptyContactsAttributes"]:
            raise self.violation(call, "empty attributes would clear")
        if not body["updateExistingContacts"]:
            raise self.violation(call, "known contacts are not updated")
        if not body["disableNotification"]:
            raise self.violation(call, "the owner gets a mail")
        if not body["listIds"] or not body["jsonBody"]:
            raise self.violation(call, "no list or no contacts")
        seen = set()
        for row in body["jsonBody"]:
            self.check(call, row, {"email": (str, True),
                                   "attributes": (dict, True)}, "jsonBody[]")
            email = row["email"].lower()
            if email in seen:
                raise self.violation(call, "an address twice")
            seen.add(email)
            for name, value in row["attributes"].items():
                self.check_value(call, name, value)
            c = self.contacts.get(email)
            if c:
                raise self.violation(call, "a list for a known contact")
        bad = [e for e in seen if e in self.refuse]
        if bad:
            raise self.refuse_with(*self.refuse[bad[0]])
        self.next["process"] += 1
        number = self.next["process"]
        self.processes[number] = {"polls": self.polls, "body": body}
        return 202, {"processId": number}

    def post_batch(self, call):
        rows = self.require_json(call, {"contacts": (list, True)})["contacts"]
        if not self.has_batch:
            raise self.refuse_with("not_found", "no such call", 404)
        if not 1 <= len(rows) <= 100:
            raise self.violation(call, "%d contacts" % len(rows))
        seen = set()
        for row in rows:
            self.check(call, row, {"email": (str, True),
                                   "attributes": (dict, True)}, "contacts[]")
            email = row["email"].lower()
            if email in seen:
                raise self.violation(call, "an address twice")
            seen.add(email)
            if email not in self.contacts:
                raise self.violation(call, "an update of nobody")
            self.refused(email)
            for name, value in row["attributes"].items():
                self.check_value(call, name, value)
        for row in rows:
            self.set_values(call, self.contacts[row["email"].lower()],
                            row["attributes"])
        return 204, None

    def work(self, number):
        body = self.processes[number].pop("body", None)
        for row in (body or {}).get("jsonBody", ()):
            c = self.contacts.get(row["email"].lower())
            if not c:
                c = self.put(row["email"], lists=body["listIds"])
            else:
                c.lists = sorted(set(c.lists) | set(body["listIds"]))
            self.set_values(None, c, row["attributes"], may_clear=False)

    def get_process(self, call, number):
        p = self.processes.get(int(number))
        if not p:
            raise self.refuse_with(
                "document_not_found", "Process not found", 404)
        if p["polls"] > 0:
            p["polls"] -= 1
            status = "in_process" if p["polls"] == 0 else "queued"
        else:
            status = self.end
            if status == "completed":
                self.work(int(number))
        return 200, {"id": int(number), "status": status, "name": "import"}

    routes = [
        ("GET contacts/attributes", get_attributes),
        ("POST contacts/attributes/normal/([^/]+)", post_attribute),
        (r"GET contacts/lists/(\d+)", get_list),
        ("POST contacts/import", post_import),
        ("POST contacts/batch", post_batch),
        ("GET contacts", get_contacts), ("POST contacts", post_contact),
        ("GET contacts/(.+)", get_contact), ("PUT contacts/(.+)", put_contact),
        (r"GET processes/(\d+)", get_process)]


__all__ = ["Brevo", "KEY", "LIST"]
