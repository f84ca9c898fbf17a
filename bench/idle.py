"""What an installation that nobody asks costs: processor time, and how often it makes the disk write through.

One scikit-learn service is Ready and has answered; then nobody sends anything. Its probes, the node's heartbeat and
all watches go on. *Processor time* is what all processes of the installation, the model server included, have used
over a window (``schedstat`` of their threads, which has nanoseconds), in percent of one core.

*Flushes* are counted by ``strace`` attached to all threads of all processes: ``fsync``, ``fdatasync``, ``msync``,
``sync``, ``syncfs``, ``sync_file_range``, each call one. That window comes after the others, because tracing costs
time. Where there is no ``strace`` or it may not attach, the commits in the store's write-ahead log are counted instead
(each is flushed once, and two flushes more when the log begins anew); nothing else of an installation flushes
regularly.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import processes
import service
from figures import Figure, Say
from home import Home, new_home
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from startup import wait_warm

CPU_LIMIT, FLUSH_LIMIT = 1.0, 6.0
_CALLS = "fsync,fdatasync,msync,sync,syncfs,sync_file_range"
_LOOK = 0.5


def measure(quick: bool, say: Say) -> list[Figure]:
    settling, window, windows, minutes = (1.0, 2.0, 1, 0.05) if quick else (30.0, 60.0, 3, 6)
    with new_home() as home:
        asyncio.run(_serve(home))
        time.sleep(settling)
        cpu = []
        for turn in range(windows):
            cpu.append(_processor_share(home, window))
            say(f"window {turn + 1} of {windows}: {cpu[-1]:.2f} % of a core")
        say(f"counting flushes for {minutes} minutes")
        flushes, how = _flushes(home, minutes)
    return [
        Figure(name="idle with one model: processor", unit="%", readings=cpu, at_most=CPU_LIMIT),
        Figure(name="idle with one model: flushes a minute", unit="", readings=flushes, at_most=FLUSH_LIMIT, note=how),
    ]


async def _serve(home: Home) -> None:
    expected = service.train(home.models)
    home.up()
    await asyncio.to_thread(wait_warm, home)
    async with service.client(home) as api:
        applied = await api.apply(INFERENCE_SERVICE, service.manifest("iris", home.models))
        await service.until_ready(api, applied)
    asker = service.Asker(home, expected)
    asker.until_answered("iris")
    asker.close()


def _processor_share(home: Home, seconds: float) -> float:
    """Percent of a core. A process that comes and goes within the window is in its parent's time."""
    before = {pid: processes.busy(pid) for pid in home.processes()}
    begun = time.perf_counter()
    time.sleep(seconds)
    took = time.perf_counter() - begun
    used = sum(processes.busy(pid) - before.get(pid, 0.0) for pid in home.processes())
    return used / took * 100


def _flushes(home: Home, minutes: float) -> tuple[list[float], str]:
    """Flushes of each minute, and how they were counted."""
    length = min(minutes, 1.0) * 60
    if shutil.which("strace"):
        traced = _traced(home, minutes * 60)
        if traced is not None:
            return _by_window(traced, length, minutes), "counted by strace"
    return _by_window(_committed(home, minutes * 60), length, minutes), "counted in the store's log: no strace here"


def _by_window(moments: list[float], length: float, minutes: float) -> list[float]:
    windows = max(1, round(minutes * 60 / length))
    return [sum(at * length <= moment < (at + 1) * length for moment in moments) * 60 / length for at in range(windows)]


def _traced(home: Home, seconds: float) -> list[float] | None:
    """When each flushing call was made, in seconds; ``None`` if this user may not trace."""
    with tempfile.TemporaryDirectory(prefix="mzb-") as folder:
        log = Path(folder, "calls")
        command = ["strace", "-f", "-qq", "-ttt", "-e", f"trace={_CALLS}", "-o", str(log)]
        for pid in home.processes():
            command += ["-p", str(pid)]
        begun = time.time()
        tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            tracer.wait(seconds)
            return None  # it goes on unless it could not attach
        except subprocess.TimeoutExpired:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
        finally:
            if tracer.poll() is None:
                tracer.kill()
                tracer.wait()
        # A call that is interrupted by another thread's is written in two lines; only the first has its begin.
        lines = (line.split(maxsplit=2) for line in log.read_text().splitlines() if "resumed>" not in line)
        return [float(line[1]) - begun for line in lines if line[2].partition("(")[0] in _CALLS.split(",")]


def _committed(home: Home, seconds: float) -> list[float]:
    """When flushes of the store were due, as its write-ahead log shows, looked at often enough to miss none."""
    (log,) = (home.root / "store").glob("*-wal")
    moments: list[float] = []
    salt, seen = _commits(log)
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        time.sleep(_LOOK)
        new_salt, count = _commits(log)
        fresh = count - seen if new_salt == salt else count + 2
        moments += [now] * fresh
        salt, seen = new_salt, count
    return moments


def _commits(log: Path) -> tuple[bytes, int]:
    """Of SQLite's write-ahead log, the salt of its present run and the transactions in it.

    https://www.sqlite.org/fileformat2.html#walformat: a header of 32 bytes; frames of 24 bytes and a page each; the
    frame that ends a transaction has the size of the database in bytes 4 to 8, all others have 0 there.
    """
    data = log.read_bytes()
    page, salt = int.from_bytes(data[8:12], "big"), data[16:24]
    count = 0
    for at in range(32, len(data) - 23, 24 + page):
        if data[at + 8 : at + 16] != salt:
            break
        count += any(data[at + 4 : at + 8])
    return salt, count
