"""The verdicts once more, as a user meets them: kubectl, a real API server, and the controller that says why."""

from __future__ import annotations

import asyncio
import copy
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from inference_objects import SHARED
from inference_world import INFERENCE_SERVICE, World, condition, world
from mizzen.apis.core import NAMESPACE
from mizzen.control.inference.manifests import objects
from verdict_table import CODES, TABLE, document, name_of

KUBECTL = shutil.which("kubectl")
# What is judged is deleted again, and these are the installation's own.
SHIPPED = {found["metadata"]["name"] for found in objects() if found["kind"] == "ClusterServingRuntime"}
AT_ONCE = 4

pytestmark = [
    pytest.mark.skipif(not SHARED.exists(), reason="KServe's manifests are not beside this checkout"),
    pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on this machine"),
]


async def kubectl(here: World, *arguments: str, manifest: dict[str, Any]) -> tuple[int | None, str]:
    """The exit status of a command and all that it printed."""
    assert KUBECTL is not None
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=here.server.environment,
    )
    async with asyncio.timeout(120):
        printed, _ = await process.communicate(yaml.safe_dump(manifest).encode())
    return process.returncode, printed.decode()


async def judge(here: World, row: dict[str, Any], place: int) -> list[str]:
    """What differs from the verdict, in words; each manifest has a namespace of its own."""
    manifest = copy.deepcopy(document(row))
    if row["kind"] == "InferenceService":
        manifest["metadata"]["namespace"] = f"n{place}"
        await here.client.create(NAMESPACE, {"metadata": {"name": f"n{place}"}})
    fields = row.get("unknown_fields", [])
    found = []
    if fields:
        code, printed = await kubectl(here, "apply", "-f", "-", manifest=manifest)
        found += [f"a strict client is not told of {field}: {printed}" for field in fields if field not in printed]
        if not code:
            found.append("a strict client is not refused")
    code, printed = await kubectl(here, "apply", "--validate=warn", "-f", "-", manifest=manifest)
    if bool(code) is not (row["verdict"] in CODES):
        found.append(f"kubectl ended with {code}: {printed}")
    if row["verdict"] == "stored":
        found += [f"no warning of {field}: {printed}" for field in fields if field not in printed]
    match row["verdict"]:
        case "rejected":
            if f"refused: {row['field']}:" not in printed:
                found.append(f"{row['field']} is not to blame: {printed}")
        case "not served":
            if "no matches for kind" not in printed:
                found.append(f"kubectl does not say that it is not served: {printed}")
        case "stored" if row["kind"] == "InferenceService" and "not_ready" in row:
            found += await unready(here, row, f"n{place}")
    await kubectl(here, "delete", "--ignore-not-found", "-f", "-", manifest=manifest)
    return [f"{name_of(row)}: {words}" for words in found]


async def unready(here: World, row: dict[str, Any], namespace: str) -> list[str]:
    """What the service fails to say about not being ready."""
    expected = row["not_ready"]
    service = await here.have(
        INFERENCE_SERVICE, row["name"], lambda one: condition(one, expected["condition"]).get("reason"), namespace
    )
    told = condition(service, expected["condition"])
    found = []
    if (told["status"], told["reason"]) != ("False", expected["reason"]):
        found.append(f"{told} instead of {expected['reason']}")
    message = condition(service, "Ready").get("message", "")
    found += [f"Ready does not name {field}: {message}" for field in expected["fields"] if field not in message]
    if service["status"]["observedGeneration"] != service["metadata"]["generation"]:
        found.append("the answer is not for this generation")
    return found


async def test_every_manifest_meets_its_verdict(tmp_path):
    async with world(tmp_path) as here, here.controlled():
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(row: dict[str, Any], place: int) -> list[str]:
            async with turns:
                return await judge(here, row, place)

        services = [row for row in TABLE if row["kind"] == "InferenceService"]
        found = await asyncio.gather(*(in_turn(row, place) for place, row in enumerate(services)))
        # Runtimes are the cluster's: one at a time, or they would be compared with each other.
        for row in TABLE:
            if row not in services and row["name"] not in SHIPPED:
                found.append(await judge(here, row, 0))
        assert [words for one in found for words in one] == []
