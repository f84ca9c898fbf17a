"""``mizzen up`` in the foreground: what it prints while it starts, while something dies, and when it ends."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Thread

import pytest

from installed import ANY_PORTS, Mizzen, new_home

ROLES = {"apiserver", "node", "controllers", "gateway"}


class Screen:
    """The lines that a command prints, as they come."""

    def __init__(self, mizzen: Mizzen) -> None:
        self.process = mizzen.start("up", *ANY_PORTS)
        self._lines: Queue[str] = Queue()
        self.seen: list[str] = []
        Thread(target=lambda: [self._lines.put(line) for line in self.process.stdout], daemon=True).start()

    def until(self, pattern: str) -> re.Match[str]:
        while True:
            try:
                line = self._lines.get(timeout=30).rstrip("\n")
            except Empty:
                raise AssertionError(f"no line like {pattern!r} in 30 s after {self.seen}") from None
            self.seen.append(line)
            if found := re.search(pattern, line):
                return found


@contextmanager
def screen() -> Iterator[tuple[Mizzen, Screen]]:
    with new_home() as mizzen:
        shown = Screen(mizzen)
        yield mizzen, shown
        shown.process.wait(timeout=30)
        shown.process.stdout.close()


def test_it_shows_what_starts_what_dies_and_that_it_ends():
    with screen() as (mizzen, shown):
        assert shown.until(r"^mizzen \S+ in (.+)")[1] == str(mizzen.home)
        shown.until(r"^ready in \d+\.\d s")
        started = {found[1] for line in shown.seen if (found := re.match(r"(\w+) is ready after \d+\.\d s", line))}
        assert started == ROLES
        assert shown.until(r"API +(\S+)")[1] == mizzen.status()["api"]["url"]
        assert shown.until(r"models +(\S+)")[1] == mizzen.status()["gateway"]["url"]
        os.kill(mizzen.status()["roles"]["node"]["pid"], signal.SIGKILL)
        shown.until(r"the node role ended \(signal 9\); it is started again")
        shown.until(r"^node is ready again")
        shown.process.send_signal(signal.SIGINT)
        shown.until("^stopped")
        assert shown.process.wait(timeout=30) == 0
        assert mizzen.processes() == {}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_while_it_starts(signum):
    """At any moment of the start: it is never overheard, and what has begun is ended in order."""
    for pause in (0, 40, 80, 120, 200):
        with screen() as (mizzen, shown):
            shown.until(r"^mizzen ")
            time.sleep(pause / 1000)
            shown.process.send_signal(signum)
            shown.until("^stopped")
            assert shown.process.wait(timeout=30) == 0
            assert mizzen.processes() == {}


def test_down_ends_it_from_another_terminal():
    with screen() as (mizzen, shown):
        shown.until(r"^ready in ")
        assert mizzen("down") == "stopped\n"
        shown.until("^stopped")
        assert shown.process.wait(timeout=30) == 0
        assert mizzen.processes() == {}
