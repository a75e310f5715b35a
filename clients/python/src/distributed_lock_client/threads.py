"""Threads for what blocks."""

from __future__ import annotations

import asyncio
import collections
import logging
import threading
from collections.abc import Callable

log = logging.getLogger("distributed_lock_client")

#: Seconds that a thread waits for more to do.
IDLE = 1.0


class Threads:
    """Daemon threads. Each does one job after another, and ends when none comes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: collections.deque[Callable[[], object]] = collections.deque()
        self._news = threading.Condition()
        self._idle = 0
        self._closed = False
        self._threads: set[threading.Thread] = set()

    def run(self, job: Callable[[], object]) -> None:
        """Do something at once, in a thread that has nothing to do or in a new one."""
        if not self.queue(job):
            self.grow()

    def queue(self, job: Callable[[], object]) -> bool:
        """Do something when a thread has nothing to do. It reports whether one has now."""
        with self._news:
            self._jobs.append(job)
            self._news.notify()
            return self._idle >= len(self._jobs)

    def grow(self) -> bool:
        """Begin another thread for the jobs that wait. It reports whether there were any."""
        with self._news:
            if not self._jobs:
                return False
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.add(thread)
        thread.start()
        return True

    @property
    def any(self) -> bool:
        """Whether there is a thread, busy or not."""
        return bool(self._threads)

    def _work(self) -> None:
        while True:
            with self._news:
                self._idle += 1
                self._news.wait_for(lambda: self._jobs or self._closed, IDLE)
                self._idle -= 1
                if not self._jobs:
                    self._threads.discard(threading.current_thread())
                    return
                job = self._jobs.popleft()
            try:
                job()
            except Exception:
                log.exception("a callback failed")

    async def close(self, patience: float) -> None:
        """End the threads that have nothing to do, and wait for the others a little."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while self._threads and loop.time() < end:  # noqa: ASYNC110 - the threads that end may not touch the loop
            await asyncio.sleep(0.002)
