"""An order carried out: the handler is called, what came of it is remembered, and the runtime is told.

There is one task for an element at a time, and one for a composition. A newer order takes the older one's place, which
then says nothing any more. The place that a task has among those that work at once is free again while its
acknowledgement waits for the broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from uuid import UUID

from msgspec import Struct

from mizzen.acm.messages.states import PrimeOrder
from mizzen.acm.participant import answers
from mizzen.acm.participant.answers import Answer, Policy
from mizzen.acm.participant.cache import Cache
from mizzen.acm.participant.calls import Call, DefinitionCall
from mizzen.acm.participant.handler import ElementHandler, Failed, Outcome, Unsupported
from mizzen.acm.participant.identity import Identity
from mizzen.acm.participant.operations import Operation
from mizzen.acm.participant.sender import Sender
from mizzen.acm.participant.tasks import Place, Tasks

_log = logging.getLogger(__name__)

# An element that a migration brings may be unknown when its turn is over; it is told of all the same.
_MIGRATIONS = (Operation.MIGRATE, Operation.ROLLBACK_MIGRATE, Operation.PRECHECK)


class _Going(Struct, eq=False):
    """What a task does; ``answering`` once the handler has done its part, and only the acknowledgement is due."""

    call: Call | DefinitionCall
    answering: bool = False


class Execution:
    """
    Args:
        on_start: told of each element before the handler is called about it.
    """

    def __init__(
        self,
        me: Identity,
        cache: Cache,
        tasks: Tasks,
        handler: ElementHandler,
        sender: Sender,
        policy: Policy,
        on_start: Callable[[UUID], None],
    ) -> None:
        self._me = me
        self._cache = cache
        self._tasks = tasks
        self._handler = handler
        self._sender = sender
        self._policy = policy
        self._on_start = on_start

    def run(self, calls: Iterable[Call]) -> None:
        """Begin with every call, in place of what is going on about its element."""
        for call in calls:
            key = call.element.element_id
            if call.order is not None and self._order(key) == call.order:
                _log.info("%s of element %s came twice, and goes on", call.operation.value, key)
                continue
            self._on_start(key)
            going = _Going(call)
            self._tasks.start(key, going, partial(self._element, call, going))

    def run_definition(self, call: DefinitionCall) -> None:
        key = call.composition.composition_id
        if self._order(key) != call.order:
            going = _Going(call)
            self._tasks.start(key, going, partial(self._definition, call, going))

    def call_for(self, element: UUID) -> Call | None:
        """What the handler is at about an element."""
        going = self._tasks.running(element)
        if isinstance(going, _Going) and isinstance(going.call, Call) and not going.answering:
            return going.call
        return None

    def cancel(self, key: UUID, before: int, why: str) -> None:
        """End what the handler is at under ``key``, unless it was ordered after the moment ``before``."""
        going = self._tasks.running(key)
        if isinstance(going, _Going) and not going.answering and going.call.at <= before:
            _log.warning("what is done about %s is cancelled: %s", key, why)
            self._tasks.cancel(key)

    def _order(self, key: UUID) -> UUID | None:
        going = self._tasks.running(key)
        return going.call.order if isinstance(going, _Going) else None

    async def _element(self, call: Call, going: _Going, place: Place) -> None:
        element = call.element
        _log.info("%s of element %s of instance %s", call.operation.value, element.element_id, element.instance_id)
        answer = await self._answer(call)
        if _is_replaced():
            return
        going.answering = True
        place.give_up()
        known = self._cache.element(element.instance_id, element.element_id)
        if known is None and call.operation not in _MIGRATIONS:
            _log.warning("element %s is not known any more: %s", element.element_id, answer.outcome.message)
            return
        if known is not None:
            answers.settle(call, answer, known)
            self._drop(call, answer)
        ack = answers.state_change_ack(self._me, call, answer, known)
        (_log.warning if answer.failed else _log.info)(
            "%s of element %s: %s %s", call.operation.value, element.element_id, ack.state_change_result, ack.message
        )
        await self._sender.deliver(ack)

    async def _answer(self, call: Call) -> Answer:
        try:
            return Answer(outcome=await self._ask(call))
        except Unsupported:
            return answers.unsupported(call, self._policy)
        except Failed as error:
            return answers.failure(error, call.operation.rule.failure, self._policy)
        except Exception as error:
            _log.exception("%s of element %s", call.operation.value, call.element.element_id)
            return answers.failure(error, call.operation.rule.failure, self._policy)

    async def _ask(self, call: Call) -> Outcome:
        handler, before, after = self._handler, call.before, call.after
        match call.operation:
            case Operation.UPDATE | Operation.ROLLBACK_UPDATE:
                method = handler.update if call.operation is Operation.UPDATE else handler.rollback_update
                return await method(before or call.element, call.element)
            case Operation.MIGRATE:
                return await handler.migrate(before, after, call.stage)
            case Operation.ROLLBACK_MIGRATE:
                return await handler.rollback_migrate(before, after, call.stage)
            case Operation.PRECHECK:
                return await handler.precheck(before, after)
            case Operation.PREPARE:
                return await handler.prepare(call.element, call.stage)
            case _:
                outcome: Outcome = await getattr(handler, call.operation.value)(call.element)
                return outcome

    def _drop(self, call: Call, answer: Answer) -> None:
        """Forget an element that a migration has removed."""
        if call.operation in (Operation.MIGRATE, Operation.ROLLBACK_MIGRATE) and call.removes and not answer.failed:
            self._cache.instances[call.element.instance_id].elements.pop(call.element.element_id, None)

    async def _definition(self, call: DefinitionCall, going: _Going, place: Place) -> None:
        try:
            method = self._handler.prime if call.prime is PrimeOrder.PRIME else self._handler.deprime
            answer = Answer(outcome=await method(call.composition))
        except Unsupported:
            answer = answers.unsupported_definition(self._policy)
        except Exception as error:
            if not isinstance(error, Failed):
                _log.exception("%s of composition %s", call.prime, call.composition.composition_id)
            answer = answers.failure(error, answers.definition_failure(call), self._policy)
        if _is_replaced():
            return
        going.answering = True
        place.give_up()
        await self._sender.deliver(answers.prime_ack(self._me, call, answer))


def _is_replaced() -> bool:
    """Whether this task has been cancelled, and the handler has taken that for something else."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
