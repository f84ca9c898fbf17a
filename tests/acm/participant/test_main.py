"""A participant as a process: started with a file, asked over HTTP, ended by a signal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import httpx
import pytest

from mizzen.bus import Broker
from participant_world import GROUP, P, golden, runtime_over

PROGRAM = """
import logging, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from mizzen.acm.participant.main import configured, main
from mizzen.errors import MizzenError
from participant_world import StubHandler
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
class Reading(StubHandler):
    def __init__(self, configuration):
        super().__init__()
        configuration.settings.number("stub.size", 1)
servers = "participant.intermediaryParameters.kafka.bootstrapServers"
try:
    main(configured([Path(name) for name in sys.argv[3:]], [(servers, sys.argv[2], "--broker")]), Reading)
except MizzenError as error:
    sys.exit(str(error))
"""
FILE = f"""
participant:
  intermediaryParameters:
    participantId: {P}
    kafka:
      consumer: {{groupId: {GROUP}}}
      properties: {{client.flavour: sweet}}
    participantSupportedElementTypes:
      - {{typeName: org.onap.policy.clamp.acm.KserveAutomationCompositionElement, typeVersion: 1.0.1}}
spring.security.user: {{name: me, password: mine}}
server: {{port: 0, address: 127.0.0.1, servlet: {{context-path: /here}}}}
mizzen.embeddedBroker: true
stub: {{size: 3, colour: red}}
"""


async def start(broker: str, *files: Path, environment: dict[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        str(Path(__file__).parents[2]),
        broker,
        *map(str, files),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | (environment or {}),
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_from_start_to_end(broker: Broker, tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "application.yaml"
    path.write_text(FILE)
    async with runtime_over(broker.settings) as runtime:
        process = await start(broker.address, path)
        try:
            asked = await runtime.next("PARTICIPANT_REGISTER")
            assert asked["intermediaryVersion"].startswith("mizzen")
            await runtime.say(golden("02", replicaId=asked["replicaId"]))
            await runtime.next("PARTICIPANT_STATUS")
            assert process.stdout is not None
            said = ""
            while "endpoints at port" not in said:
                said += (await process.stdout.readline()).decode()
            assert f"stub.colour ({path}): not supported, and ignored" in said
            assert "client.flavour has no counterpart" in said
            assert "stub.size" not in said
            assert "mine" not in said
            port = re.search(r"endpoints at port (\d+)/here", said)
            assert port is not None
            async with httpx.AsyncClient(trust_env=False, auth=("me", "mine")) as client:
                answer = await client.get(f"http://127.0.0.1:{port[1]}/here/health/readiness")
                assert answer.json() == {"status": "UP"}
            process.send_signal(number)
            await runtime.next("PARTICIPANT_DEREGISTER")
            async with asyncio.timeout(30):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.parametrize(
    ("text", "environment", "says"),
    [
        (FILE.replace(str(P), "nobody"), {}, "participant.intermediaryParameters.participantId: 'nobody' is no UUID"),
        (FILE, {"STUB_SIZE": "big"}, "stub.size: 'big' is not a whole number of at least 0 (environment variable"),
        (FILE, {"SERVER_ADDRESS": "203.0.113.1"}, "server.port: 203.0.113.1:0 cannot be listened at"),
        (
            FILE.replace(
                "client.flavour: sweet",
                "security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.jaas.config: nonsense",
            ),
            {},
            "sasl.jaas.config cannot be read",
        ),
        (FILE.replace("client.flavour: sweet", "fetch.min.bytes: many"), {}, "fetch.min.bytes"),
    ],
)
async def test_what_keeps_it_from_starting_is_a_sentence(
    tmp_path: Path, text: str, environment: dict[str, str], says: str
) -> None:
    path = tmp_path / "application.yaml"
    path.write_text(text)
    process = await start("127.0.0.1:1", path, environment=environment)
    async with asyncio.timeout(60):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert says in said.decode()
    assert "Traceback" not in said.decode()
