"""The testclient of the client for asyncio: each request has a task."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from testclient import Object, Program, count, failure, span, wire

import distributed_lock_client as dl


class Tasks(Program):
    """Answers requests."""

    async def answer(self, q: Object) -> None:
        try:
            ok = await self.do(q)
        except (Exception, asyncio.CancelledError) as error:
            self.write({"id": q["id"], "error": failure(error)})
        else:
            self.write({"id": q["id"], "ok": ok or {}})
        finally:
            if q["op"] != "subscribe":
                self.cancels.pop(q["id"], None)

    async def do(self, q: Object) -> Object | None:
        a, client = q["args"], self.client
        lock: Any = self.locks.get(a.get("target", 0))
        match q["op"]:
            case "open":
                url, settings = self.settings(a)
                self.client = dl.AsyncDistributedLockClient(url, **settings)
                return {"clientId": self.client.client_id}
            case "close":
                await client.close()
            case "acquire" | "try":
                with self.owner(q):
                    return self.granted(q["id"], await client.acquire(a["name"], **self.options(q)))
            case "do":
                return await self.block(q)
            case "release":
                await lock.release()
            case "renew":
                await lock.renew(span(a, "ttlMs"))
                return {"leftMs": lock.expires_in * 1000}
            case "check":
                return self.check(lock)
            case "cancel":
                self.cancel(a["target"])
            case "subscribe":
                subscription = client.subscribe(a["locks"], a.get("events") or ())
                self.cancels[q["id"]] = subscription.close
                begin(self.listen(q["id"], subscription))
            case _:
                return await self.plain(q)
        return None

    async def plain(self, q: Object) -> Object:
        """The calls without a lock of this process."""
        a, client = q["args"], self.client
        match q["op"]:
            case "releaseById":
                return {"heldForMs": await client.release(a["name"], a["lockId"]) * 1000}
            case "renewByToken":
                renewal = await client.renew(a["name"], a["renewalToken"], span(a, "ttlMs"))
                return {"fencingToken": renewal.fencing_token, "ttlMs": renewal.ttl * 1000}
            case "status":
                return self.status(await client.status(a["name"]))
            case "list":
                return {"names": sorted([s.lock_name async for s in client.list_locks(a.get("prefix", ""))])}
            case "force":
                return {"holders": wire(await client.force_release(a["name"], a.get("reason", "")))}
        raise NotImplementedError(q["op"])

    async def block(self, q: Object) -> Object:
        """Run the SDK's block for holdMs, or until it is told to stop."""
        async with self.client.lock(q["args"]["name"], **self.options(q)) as lock:
            self.push("entered", q["id"], fencingToken=lock.fencing_token)
            try:
                await asyncio.sleep(q["args"]["holdMs"] / 1000)
            finally:
                self.push("left", q["id"])
        return {"finished": True}

    async def listen(self, id_: int, subscription: Any) -> None:
        try:
            async for event in subscription:
                self.event(id_, event)
        except dl.LockError as error:
            self.push("ended", id_, **failure(error))
        else:
            self.push("ended", id_)


tasks: set[asyncio.Task[None]] = set()


def begin(work: Any) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


async def main() -> None:
    program = Tasks()
    lines = asyncio.StreamReader(limit=4 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        q = json.loads(line)
        if q["op"] == "leaks":  # not beside itself
            program.write({"id": q["id"], "ok": {"tasks": count()}})
        else:
            program.cancels[q["id"]] = begin(program.answer(q)).cancel
