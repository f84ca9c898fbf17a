from __future__ import annotations

from io import StringIO

import pytest

from mizzen.storage import progress
from mizzen.storage.progress import Console, Meter, Transfer


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_meter_reports_at_most_once_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((100.0, 100.2, 100.9, 101.1, 101.5, 102.2, 102.5))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    seen: list[Transfer] = []
    meter = Meter(seen.append, "download", "m.bin", 400)
    for _ in range(5):
        meter.add(50)
    meter.finish()
    assert [(each.done, each.finished) for each in seen] == [(150, False), (250, False), (250, True)]
    assert seen[-1].rate == 100


def test_lines_of_log() -> None:
    stream = StringIO()
    console = Console(stream)
    console(Transfer("download", "m.bin", 3 << 20, 12 << 20, 2.0))
    console(Transfer("download", "m.bin", 0, None, 0.0, trouble="cut off"))
    console(Transfer("download", "m.bin", 12 << 20, 12 << 20, 4.0, finished=True))
    console.last("the end")
    lines = stream.getvalue().splitlines()
    assert [line.partition(" ")[2] for line in lines[:3]] == [
        "download m.bin: 3.0 MiB of 12.0 MiB (25 %), 1.5 MiB/s",
        "download m.bin: cut off; trying again",
        "download m.bin: 12.0 MiB, 3.0 MiB/s",
    ]
    assert lines[3] == "the end"


def test_a_terminal_sees_one_line_that_renews_itself() -> None:
    stream = Terminal()
    console = Console(stream)
    console(Transfer("download", "m.bin", 1024, 4096, 1.0))
    console(Transfer("download", "m.bin", 2048, 4096, 2.0))
    console.last("failed")
    assert stream.getvalue().count("\n") == 2
    assert stream.getvalue().count("\r") == 2
    assert stream.getvalue().endswith("(50 %), 1.0 KiB/s\nfailed\n")


def test_a_long_name_does_not_wrap() -> None:
    stream = Terminal()
    Console(stream)(Transfer("download", "m" * 300, 1024, 4096, 1.0))
    assert len(stream.getvalue()) < 100
