"""A full disk, seen by a client: writes are refused in words, deletes work, and nothing that was answered is lost."""

from __future__ import annotations

from small_disk import run_on_small_disk

_STORY = """
import asyncio, sys
from pathlib import Path
from api_client import DEFAULT, Api, config_map
from apiserver_fixture import serving

MAPS = f"{DEFAULT}/configmaps"

async def main():
    home = Path(sys.argv[1])
    ballast = home / "ballast"
    ballast.write_bytes(b"x" * 20 * 1024 * 1024)
    stored = []
    async with serving(home) as server, server.session() as session:
        api = Api(session)
        await api.create(MAPS, config_map("held", finalizers=["example.com/hold"]))
        for number in range(1000):
            answer = await api.create(MAPS, config_map(f"n{number}", {"x": "x" * 200_000}))
            if answer.code != 201:
                break
            stored.append(f"n{number}")
        assert answer.code == 507 and answer["kind"] == "Status", answer
        assert "disk full" in answer.message and "delete" in answer.message and str(home) in answer.message
        assert len(stored) > 5, stored
        assert (await api.get(f"{MAPS}/n0")).ok()["data"]
        # Both kinds of deletion are let through: at once, and in two steps around a finalizer.
        assert (await api.delete(f"{MAPS}/n0")).ok()["status"] == "Success"
        assert (await api.delete(f"{MAPS}/held")).ok()["metadata"]["deletionTimestamp"]
        assert (await api.patch(f"{MAPS}/held", {"metadata": {"finalizers": None}})).ok()
        assert (await api.get(f"{MAPS}/held")).code == 404
    # A restart on a disk that is still full.
    async with serving(home) as server, server.session() as session:
        api = Api(session)
        assert set((await api.get(MAPS)).ok().names) == set(stored[1:])
        assert (await api.create(MAPS, config_map("late", {"x": "x" * 500_000}))).code == 507
        assert (await api.delete(f"{MAPS}/n1")).ok()
        ballast.unlink()
        assert (await api.create(MAPS, config_map("late", {"x": "x" * 500_000}))).ok()
        assert (await api.get(f"{MAPS}/late")).ok()
    print("held")

asyncio.run(main())
"""


def test_a_full_disk_refuses_writes_in_words_and_lets_deletes_through() -> None:
    assert run_on_small_disk(_STORY, megabytes=40).strip() == "held"
