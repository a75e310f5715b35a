"""The testclient of the client for threads: each request has one."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from testclient import Object, Program, count, failure, span, wire

import distributed_lock_client as dl


class Threads(Program):
    """Answers requests."""

    def answer(self, q: Object) -> None:
        try:
            ok = self.do(q)
        except Exception as error:
            self.write({"id": q["id"], "error": failure(error)})
        else:
            self.write({"id": q["id"], "ok": ok or {}})

    def do(self, q: Object) -> Object | None:
        a, client = q["args"], self.client
        lock: Any = self.locks.get(a.get("target", 0))
        match q["op"]:
            case "open":
                url, settings = self.settings(a)
                self.client = dl.DistributedLockClient(url, **settings)
                return {"clientId": self.client.client_id}
            case "close":
                client.close()
            case "leaks":
                return {"tasks": count()}
            case "acquire" | "do" | "try":
                return self.acquire(q)
            case "release":
                lock.release()
            case "renew":
                lock.renew(span(a, "ttlMs"))
                return {"leftMs": lock.expires_in * 1000}
            case "check":
                return self.check(lock)
            case "cancel":
                self.cancel(a["target"])
            case "subscribe":
                subscription = client.subscribe(a["locks"], a.get("events") or ())
                self.cancels[q["id"]] = subscription.close
                threading.Thread(target=self.listen, args=(q["id"], subscription), daemon=True).start()
            case _:
                return self.plain(q)
        return None

    def plain(self, q: Object) -> Object:
        """The calls without a lock of this process."""
        a, client = q["args"], self.client
        match q["op"]:
            case "releaseById":
                return {"heldForMs": client.release(a["name"], a["lockId"]) * 1000}
            case "renewByToken":
                renewal = client.renew(a["name"], a["renewalToken"], span(a, "ttlMs"))
                return {"fencingToken": renewal.fencing_token, "ttlMs": renewal.ttl * 1000}
            case "status":
                return self.status(client.status(a["name"]))
            case "list":
                return {"names": sorted(s.lock_name for s in client.list_locks(a.get("prefix", "")))}
            case "force":
                return {"holders": wire(client.force_release(a["name"], a.get("reason", "")))}
        raise NotImplementedError(q["op"])

    def acquire(self, q: Object) -> Object:
        a, id_ = q["args"], q["id"]
        token = dl.CancelToken()
        self.cancels[id_] = token.cancel
        try:
            if q["op"] == "do":
                return self.block(q, token)
            with self.owner(q):
                return self.granted(id_, self.client.acquire(a["name"], cancel=token, **self.options(q)))
        finally:
            self.cancels.pop(id_, None)

    def block(self, q: Object, token: dl.CancelToken) -> Object:
        """Run the SDK's block for holdMs, or until it is told to stop."""
        with self.client.lock(q["args"]["name"], cancel=token, **self.options(q)) as lock:
            self.push("entered", q["id"], fencingToken=lock.fencing_token)
            try:
                lost = lock.wait_lost(q["args"]["holdMs"] / 1000)
            finally:
                self.push("left", q["id"])
        return {"finished": not lost}

    def listen(self, id_: int, subscription: Any) -> None:
        try:
            for event in subscription:
                self.event(id_, event)
        except dl.LockError as error:
            self.push("ended", id_, **failure(error))
        else:
            self.push("ended", id_)


def main() -> None:
    program = Threads()
    for line in sys.stdin:
        q = json.loads(line)
        if q["op"] == "leaks":  # not beside itself
            program.answer(q)
        else:
            threading.Thread(target=program.answer, args=(q,), daemon=True).start()
