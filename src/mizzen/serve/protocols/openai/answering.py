"""From requests to an answer: all prompts of a request are asked at once, and what comes back is put together.

An answer in one piece and a stream differ only in what is done with each chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mizzen.http.errors import Disconnected
from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.serve.codecs import bodies
from mizzen.serve.generation import model
from mizzen.serve.generation.lane import GenerationLane
from mizzen.serve.generation.model import Chunk, GenerationRequest
from mizzen.serve.protocols.openai import errors
from mizzen.serve.protocols.openai.events import EventStream
from mizzen.serve.protocols.openai.forms import Choice, Form

Take = Callable[[Choice, Chunk], Awaitable[None]]


async def whole(exchange: Exchange, lane: GenerationLane, requests: list[GenerationRequest], form: Form) -> None:
    """Answer in one piece."""

    async def take(choice: Choice, chunk: Chunk) -> None:
        choice.texts.append(chunk.text)
        choice.tokens += chunk.tokens

    try:
        choices, usage = await _all(lane, requests, take)
        body = bodies.encode(form.whole(choices, usage))
    except Exception as error:
        errors.refuse(exchange, error)
    else:
        exchange.respond(200, body, JSON)


async def stream(exchange: Exchange, lane: GenerationLane, requests: list[GenerationRequest], form: Form) -> None:
    """Answer piece by piece."""
    events = EventStream(exchange)

    async def take(choice: Choice, chunk: Chunk) -> None:
        for part in form.parts(choice, chunk):
            await events.send(part)

    try:
        _, usage = await _all(lane, requests, take)
        if form.include_usage and usage is not None:
            await events.send(form.counted(usage))
        events.end()
    except Disconnected:
        return
    except Exception as error:
        events.fail(error)


async def _all(
    lane: GenerationLane, requests: list[GenerationRequest], take: Take
) -> tuple[list[Choice], list[model.Usage] | None]:
    """Generate for every prompt; the choices in their order, and the tokens where the model counts them."""
    choices = [Choice(index) for index in range(sum(request.n for request in requests))]
    counted: list[model.Usage] = []

    async def ask(request: GenerationRequest, mine: list[Choice]) -> None:
        async with lane.generate(request) as chunks:
            async for chunk in chunks:
                choice = mine[chunk.index]
                if choice.finish is not None:
                    chunk = Chunk(index=chunk.index, usage=chunk.usage)
                choice.finish = chunk.finish or choice.finish
                if chunk.usage is not None:
                    counted.append(chunk.usage)
                await take(choice, chunk)
        for choice in mine:
            if choice.finish is None:  # a model that just stops has come to its end
                choice.finish = "stop"
                await take(choice, Chunk(index=choice.index, finish="stop"))

    groups = []
    at = 0
    for request in requests:
        groups.append((request, choices[at : at + request.n]))
        at += request.n
    if len(groups) == 1:
        await ask(*groups[0])
    else:
        await _together([ask(*group) for group in groups])
    return choices, counted if len(counted) == len(requests) else None


async def _together(jobs: list[Awaitable[None]]) -> None:
    """All at once; the first that fails ends the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(_awaited(job))
    except BaseExceptionGroup as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


async def _awaited(job: Awaitable[None]) -> None:
    await job
