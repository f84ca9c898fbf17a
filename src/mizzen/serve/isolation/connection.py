"""The server's end of a process that is asked many things at once: requests go out, answers come in, processes change.

Requests go to the child as they come, by a thread that also starts its successors; another reads what it answers. Both
hand over on the server's loop. Which process a request was sent to is kept with it, so that those of one that dies are
answered with its fate, and those that still wait with what its successor says.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable

from mizzen.serve.custom.servable import STOP_WITHIN
from mizzen.serve.custom.thread import Outbox
from mizzen.serve.errors import InvalidInput, ModelNotReady
from mizzen.serve.isolation import wire
from mizzen.serve.isolation.child import Child, Lineage
from mizzen.serve.lanes.scheduling import Scheduling

# How often within its limit a child that has requests is asked for a sign of life.
_LOOKS = 4


class Asking:
    """A request on its way. Each kind of request derives its own.

    Attributes:
        number: by which both sides know it.
        child: to whom it was sent.
    """

    __slots__ = ("child", "number")

    def __init__(self) -> None:
        self.number = -1
        self.child: Child | None = None

    @property
    def settled(self) -> bool:
        """Whether nobody waits for it any more."""
        raise NotImplementedError

    def message(self) -> wire.Message:
        """What it is to the child. On the thread that sends; whatever it raises, :meth:`fail` is told."""
        raise NotImplementedError

    def hear(self, message: wire.Message) -> None:
        """Take what the child says to it. On the loop."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """There is no answer, or no more of it. On the loop."""
        raise NotImplementedError


class Connection:
    """Args:
    name: the model's.
    lineage: starts the successors of ``child``, which has loaded the model.
    scheduling: the child's; its limit is that of each child, too, to give a sign of life.
    say: told what the child says of its model, from any thread: why it is not well, or, with no reason, that it is.
    note: told of the model's numbers, on the loop.
    """

    def __init__(
        self,
        name: str,
        lineage: Lineage,
        child: Child,
        scheduling: Scheduling,
        say: Callable[[str], None],
        note: Callable[[wire.Noted], None] | None = None,
    ) -> None:
        self._name = name
        self._lineage = lineage
        self._scheduling = scheduling
        self._say = say
        self._note = note
        self._numbers = itertools.count()
        self._asking: dict[int, Asking] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._back: Outbox | None = None
        # Requests, and what is said of them later to the child that has them; None is the end.
        self._outgoing: queue.SimpleQueue[Asking | tuple[Asking, wire.Message] | None] = queue.SimpleQueue()
        # Of the current child; a dead one is nobody's.
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False
        self._reader: threading.Thread | None = None
        self._adopt(child)
        threading.Thread(target=self._write, name=f"to model {name}", daemon=True).start()

    # On the server's loop.

    @property
    def waiting(self) -> int:
        """Requests that have no answer yet."""
        return len(self._asking)

    def ask(self, asking: Asking) -> None:
        """Send a request to the child, or to the next if that has died."""
        loop = asyncio.get_running_loop()
        if self._back is None:
            self._back = Outbox(loop)
        if not self._asking:
            self._heard = time.monotonic()
        asking.number = next(self._numbers)
        self._asking[asking.number] = asking
        self._outgoing.put(asking)
        if self._watch is None:
            self._watch = loop.call_later(self._scheduling.limit / _LOOKS, self._look)

    def tell(self, asking: Asking, message: wire.Message) -> None:
        """Say something more of a request to the child that has it."""
        self._outgoing.put((asking, message))

    def drop(self, asking: Asking) -> None:
        """Nobody waits for it any more."""
        if self._asking.pop(asking.number, None) is not None:
            self.tell(asking, wire.Cancelled(asking.number))

    def close(self) -> None:
        """Let the child stop its model and end, after what it is at. Does not wait."""
        if self._watch is not None:
            self._watch.cancel()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            child = self._child
        self._outgoing.put(None)
        if child is not None:
            child.channel.finish()

    def join(self) -> None:
        """Wait until the model has stopped and its process is gone, and make sure that it goes. Blocking."""
        with self._lock:
            child, reader = self._child, self._reader
        if reader is not None:
            reader.join(STOP_WITHIN + 2)
            if reader.is_alive() and child is not None:
                child.kill("it has not stopped")
                reader.join()

    def _hear(self, message: wire.Message) -> None:
        if isinstance(message, wire.Noted):
            if self._note is not None:
                self._note(message)
            return
        assert isinstance(message, wire.ToRequest)
        asking = self._asking.get(message.number)
        if asking is None:
            return
        if isinstance(message, wire.Last):
            del self._asking[asking.number]
        asking.hear(message)

    def _fail(self, asking: Asking, error: BaseException) -> None:
        if self._asking.pop(asking.number, None) is not None:
            asking.fail(error)

    def _bereave(self, child: Child) -> None:
        """Answer the requests that a dead child had."""
        assert child.error is not None
        for asking in [asking for asking in self._asking.values() if asking.child is child]:
            self._fail(asking, child.error)

    def _look(self) -> None:
        """Does the child live? That its model is stuck it says itself, unless that keeps it from saying anything."""
        self._watch = None
        if not self._asking:
            return
        now, limit, child = time.monotonic(), self._scheduling.limit, self._child
        asked = next((asking for asking in self._asking.values() if asking.child is child), None)
        if child is None or asked is None:
            self._heard = now
        elif now - self._heard >= limit:
            child.kill(f"predict has not returned for {limit:g} s")
        else:
            self.tell(asked, wire.Ping())
        self._watch = asyncio.get_running_loop().call_later(limit / _LOOKS, self._look)

    # On the thread that sends.

    def _write(self) -> None:
        while (item := self._outgoing.get()) is not None:
            if isinstance(item, tuple):
                asking, message = item
                if asking.child is not None:
                    with contextlib.suppress(OSError):  # it is dead, and its reader says so
                        asking.child.channel.send(message)
            elif not item.settled:
                self._send(item)

    def _send(self, asking: Asking) -> None:
        try:
            data = wire.encode(asking.message())
        except Exception as error:
            self._post(self._fail, asking, InvalidInput(f"the request cannot be handed to the model: {error}"))
            return
        try:
            child = self._living()
        except ModelNotReady as error:
            self._post(self._fail, asking, error)
            return
        asking.child = child
        with contextlib.suppress(OSError):
            child.channel.write(data)
        if child.error is not None:
            # It died before this was known to be its own.
            self._post(self._fail, asking, child.error)

    def _living(self) -> Child:
        """Raises:
        ModelNotReady: the last one has died, and there is no other.
        """
        with self._lock:
            child = self._child
        if child is None:
            if self._closed:
                raise ModelNotReady(self._name, "it is being unloaded")
            child = self._lineage.again()
            self._adopt(child)
        return child

    def _adopt(self, child: Child) -> None:
        with contextlib.suppress(OSError):
            child.channel.send(wire.Opened(self._scheduling))
        reader = threading.Thread(target=self._read, args=(child,), name=f"model {self._name}", daemon=True)
        self._heard = time.monotonic()
        with self._lock:
            self._child, self._reader = child, reader
            if self._closed:
                child.channel.finish()
        reader.start()

    # On the thread that reads, one of each child.

    def _read(self, child: Child) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                message = child.channel.receive()
                self._heard = time.monotonic()
                match message:
                    case wire.Told(reason):
                        self._pass_on(child, reason)
                    case wire.Lost(reason):
                        self._leave(child)
                        child.kill(reason)
                    case wire.Pong():
                        pass
                    case _:
                        self._post(self._hear, message)
        self._leave(child)
        if self._closed:
            child.end(STOP_WITHIN)
            child.error = ModelNotReady(self._name, "it is being unloaded")
        else:
            child.error = self._lineage.bury(child)
        self._post(self._bereave, child)

    def _leave(self, child: Child) -> None:
        with self._lock:
            if self._child is child:
                self._child = None
                if not self._closed:
                    # What it said of itself was its own: a model that is not ready is not asked, and would have no
                    # successor for ever.
                    self._say("")

    def _pass_on(self, child: Child, reason: str) -> None:
        with self._lock:
            if self._child is child:
                self._say(reason)

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        if self._back is not None:
            self._back.put(function, *arguments)
