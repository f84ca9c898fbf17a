"""Sensitive values: nowhere in clear but on their way to the participant."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.acm.messages.orders import Deploy, PropertiesUpdate, StateChange
from mizzen.acm.messages.sync import Sync
from mizzen.acm.runtime.config import Misconfigured, Settings
from mizzen.acm.runtime.encryption import MASK, PREFIX, Cipher, Undecipherable, is_sealed, masked
from runtime_world import TYPE, World, definition, failing, obedient

SECRET = "hunter2-very-secret"
TEMPLATE = definition(
    {"name": "one"},
    types={
        TYPE: {
            "token": {"type": "string", "metadata": {"sensitive": True}},
            "plain": {"type": "string"},
        }
    },
)


@given(st.text())
def test_there_and_back(value: str) -> None:
    closed = CIPHER.encrypt(value)
    assert closed.startswith(PREFIX)
    assert CIPHER.decrypt(closed) == value
    assert CIPHER.encrypt(closed) == closed
    assert Cipher("key").decrypt(closed) == value


CIPHER = Cipher("key")


def test_another_key_is_said() -> None:
    with pytest.raises(Undecipherable, match="encrypted with another key"):
        Cipher("other").decrypt(CIPHER.encrypt("x"))


@pytest.mark.parametrize("value", ["plain", "ENCRYPTED:", "ENCRYPTED:what somebody wrote", "ENCRYPTED:aGVsbG8="])
def test_what_was_never_encrypted_stays(value: str) -> None:
    assert CIPHER.decrypt(value) == value
    assert not is_sealed(value)


def test_masking() -> None:
    told = {"a": [CIPHER.encrypt("x"), "y"], "b": {"c": "z"}}
    assert masked(told, {"z"}) == {"a": [MASK, "y"], "b": {"c": MASK}}


def everything(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return "\n".join(connection.iterdump())


async def whole_life(world: World) -> list[Any]:
    """Every message that carries the value, in clear."""
    participant = await world.present()
    composition = await world.primed(TEMPLATE)
    key = uuid4()
    made = await world.post(composition, (key, "one", {"token": SECRET, "plain": "seen"}), name="n")
    instance = UUID(made.body["instanceId"])
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    participant.answer = failing
    await world.post(composition, (key, "one", {"plain": "changed"}), name="n", instanceId=str(instance))
    await world.instance_is(composition, instance, "UPDATING", "FAILED")
    participant.answer = obedient
    await world.instances.rollback(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    await world.undeploy(composition, instance)
    await world.instance_is(composition, instance, "UNDEPLOYED")
    bodies = [participant.body(await participant.hears(kind)) for kind in (Deploy, PropertiesUpdate, StateChange)]
    bodies.append(participant.body(await participant.hears(Sync, lambda one: one.automation_composition_id)))
    for log in await world.service.messages(limit=1000):
        assert SECRET not in str(log.body), log
    return [await world.instances.get(composition, instance), *bodies]


async def test_encrypted_wherever_it_is_kept_and_clear_in_every_message(world: World, tmp_path: Path) -> None:
    await world.start(encryption=True, encryption_key="key")
    shown, *bodies = await whole_life(world)
    (element,) = shown["elements"].values()
    assert element["properties"]["token"].startswith(PREFIX)
    assert element["properties"]["plain"] == "seen"
    for body in bodies:
        assert SECRET in str(body), body["messageType"]
        assert PREFIX not in str(body)
    assert SECRET not in everything(tmp_path / "acm.db")
    # As REST shows it, it may be sent back.
    key = next(iter(shown["elements"]))
    back = {**element["properties"], "plain": "again"}
    composition = UUID(shown["compositionId"])
    await world.post(composition, (UUID(key), "one", back), name="n", instanceId=shown["instanceId"])
    again = await world.instances.get(composition, UUID(shown["instanceId"]))
    assert again["elements"][key]["properties"] == back


async def test_without_a_key_the_log_masks_all_the_same(world: World) -> None:
    await world.start()
    shown, *_ = await whole_life(world)
    (element,) = shown["elements"].values()
    assert element["properties"]["token"] == SECRET


async def test_a_database_that_was_encrypted_wants_its_key(world: World) -> None:
    async with world.another(encryption=True, encryption_key="key") as runtime:
        world.runtime = runtime
        await world.present()
        composition = await world.primed(TEMPLATE)
        await world.post(composition, (uuid4(), "one", {"token": SECRET}))
    with pytest.raises(Misconfigured, match="encrypted with another key"):
        await world.start(encryption=True, encryption_key="other")
    with pytest.raises(Misconfigured, match="but encryption is off"):
        await world.start()
    await world.start(encryption=True, encryption_key="key")


def test_encryption_without_a_key_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="set MSG_ENCRYPTION_KEY"):
        Settings(encryption=True).secret()
    with pytest.raises(Misconfigured, match="No such file"):
        Settings(encryption=True, encryption_key_file=str(tmp_path / "none")).secret()
    (tmp_path / "key").write_text("from a file\n")
    assert Settings(encryption=True, encryption_key_file=str(tmp_path / "key")).secret() == "from a file"
    assert Settings(encryption_key="unused").secret() is None
