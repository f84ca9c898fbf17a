"""From a record to what follows from it: decoded, found to be meant for this replica, and handed on by its type.

What is not for us goes by without a word: both sides read their own messages on the operation topic. What cannot be
read, or fails on the way, is told in the log and passed over: reading it again would change nothing, and what comes
after it must not wait.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from mizzen.acm.messages.acks import DeregisterAck, RegisterAck
from mizzen.acm.messages.codec import AnyMessage, Undecodable, decode
from mizzen.acm.messages.envelope import Ack
from mizzen.acm.messages.orders import Deploy, Migration, Prepare, Prime, PropertiesUpdate, StateChange
from mizzen.acm.messages.reports import RequestSync
from mizzen.acm.messages.states import DeployOrder, PrimeOrder
from mizzen.acm.messages.sync import StatusRequest, Sync
from mizzen.acm.participant import answers
from mizzen.acm.participant.cache import Cache
from mizzen.acm.participant.execution import Execution
from mizzen.acm.participant.held import Holding
from mizzen.acm.participant.identity import Identity
from mizzen.acm.participant.lifecycle import Lifecycle
from mizzen.acm.participant.metrics import Metrics
from mizzen.acm.participant.orders import InstanceOrder, calls, prime_call
from mizzen.acm.participant.revisions import Missing, missing
from mizzen.acm.participant.sender import Sender
from mizzen.acm.participant.sync import Synchronisation
from mizzen.acm.participant.tasks import Place, Tasks
from mizzen.acm.participant.watching import Watching
from mizzen.bus.errors import BusError
from mizzen.bus.record import Record

_log = logging.getLogger(__name__)


class Dispatch:
    """The handler of both listeners."""

    def __init__(
        self,
        me: Identity,
        cache: Cache,
        holding: Holding,
        execution: Execution,
        watching: Watching,
        lifecycle: Lifecycle,
        requests: Tasks,
        sender: Sender,
        metrics: Metrics,
    ) -> None:
        self._me = me
        self._cache = cache
        self._holding = holding
        self._execution = execution
        self._lifecycle = lifecycle
        self._requests = requests
        self._sender = sender
        self._metrics = metrics
        self._sync = Synchronisation(me, cache, holding, execution, watching, self._carry_out)

    async def record(self, record: Record) -> None:
        """Take one record of either topic."""
        try:
            message = decode(record.value)
        except Undecodable as error:
            self._metrics.undecodable += 1
            where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
            _log.warning("a record is passed over (%s): %s", where, error)
            return
        self.message(message)

    def message(self, message: AnyMessage) -> None:
        """Take one message; nothing that it brings about raises here."""
        if not self._me.is_meant(message):
            return
        with self._metrics.timed(type(message)):
            try:
                self._take(message)
            except Exception:
                _log.exception("%s could not be carried out", type(message).__name__)

    def _take(self, message: AnyMessage) -> None:
        match message:
            case Deploy() | StateChange() | PropertiesUpdate() | Prepare() | Migration():
                self._order(message)
            case Prime():
                self._prime(message)
            case Sync():
                self._sync.take(message)
            case RegisterAck():
                self._lifecycle.acknowledged()
            case StatusRequest():
                self._lifecycle.asked()
            case DeregisterAck():
                _log.debug("a replica has left: %s", message.message)
            case _:
                _log.debug("%s is not for participants", type(message).__name__)

    def _order(self, message: InstanceOrder) -> None:
        instance = message.automation_composition_id
        if instance is None:
            _log.warning("%s names no instance", type(message).__name__)
            return
        deletes = isinstance(message, StateChange) and message.deploy_ordered_state is DeployOrder.DELETE
        if deletes and instance not in self._cache.instances:
            self._tell(instance, answers.never_used(self._me, instance, message.message_id))
            return
        needs = missing(message, self._cache)
        if needs:
            _log.info("%s of instance %s waits for what it needs to be told", type(message).__name__, instance)
            self._holding.hold(message, needs, asyncio.get_running_loop().time())
            self.request(needs)
            return
        self._carry_out(message)

    def _carry_out(self, message: InstanceOrder) -> None:
        self._execution.run(calls(message, self._cache))

    def _prime(self, message: Prime) -> None:
        call = prime_call(message, self._cache)
        if call is not None:
            self._execution.run_definition(call)
        elif message.composition_id and _is_deprime(message):
            ack = answers.never_primed(self._me, message.composition_id, message.message_id)
            self._tell(message.composition_id, ack)

    def _tell(self, key: UUID, ack: Ack) -> None:
        """Send an acknowledgement for which nothing has to be done."""

        async def work(place: Place) -> None:
            place.give_up()
            await self._sender.deliver(ack)

        self._requests.start(key, None, work)

    def request(self, needs: Missing) -> None:
        """Ask the runtime for what is missing. If the broker does not take it, it is asked for again by and by."""
        message = RequestSync(
            participant_id=self._me.participant_id,
            replica_id=self._me.replica_id,
            composition_id=needs.composition,
            automation_composition_id=needs.instance,
            composition_target_id=needs.target,
        )

        async def work(place: Place) -> None:
            try:
                await self._sender.send(message)
            except BusError as error:
                _log.warning("the runtime could not be asked for what is missing: %s", error)

        self._requests.start(needs, None, work)


def _is_deprime(message: Prime) -> bool:
    if message.prime_order is None:
        return not message.participant_definition_updates
    return message.prime_order is PrimeOrder.DEPRIME
