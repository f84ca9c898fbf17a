"""What is refused: status, ``errorDetails`` as ONAP has it, and ``errors`` for a person."""

from __future__ import annotations

from typing import Any

import pytest

from acm.rest.asking import NOBODY, YAML, client, commissioned, instantiated, primed
from acm.web.double import PARTICIPANT, Double
from mizzen.acm import samples
from mizzen.acm.runtime.rest.settings import PREFIX

JSON = {"Content-Type": "application/json"}
_UUID_TEXT = (
    "org.springframework.web.method.annotation.MethodArgumentTypeMismatchException Method parameter '{name}': Failed "
    "to convert value of type 'java.lang.String' to required type 'java.util.UUID'; Invalid UUID string: {text}"
)

# Verb, path, further arguments, status, what errorDetails begin with.
TABLE: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/compositions/abc", {}, 400, _UUID_TEXT.format(name="compositionId", text="abc")),
    ("PUT", "/compositions/1-2-3", {"json": {}}, 400, _UUID_TEXT.format(name="compositionId", text="1-2-3")),
    ("DELETE", "/compositions/x", {}, 400, _UUID_TEXT.format(name="compositionId", text="x")),
    ("GET", "/compositions?participantId=me", {}, 400, _UUID_TEXT.format(name="participantId", text="me")),
    ("GET", f"/compositions/{NOBODY}/instances/x", {}, 400, _UUID_TEXT.format(name="instanceId", text="x")),
    ("GET", "/participants/x", {}, 400, _UUID_TEXT.format(name="participantId", text="x")),
    ("PUT", "/participants/sync/x", {}, 400, _UUID_TEXT.format(name="participantId", text="x")),
    ("GET", "/instances?instanceIds=a", {}, 400, _UUID_TEXT.format(name="instanceIds", text="a")),
    ("GET", f"/participants/{'a' * 40}", {}, 400, "org.springframework.web.method.annotation"),
    (
        "GET",
        "/instances?deployState=GONE",
        {},
        500,
        "java.lang.IllegalArgumentException No enum constant "
        "org.onap.policy.clamp.models.acm.concepts.DeployState.GONE",
    ),
    (
        "GET",
        "/instances?stateChangeResult=x",
        {},
        500,
        "java.lang.IllegalArgumentException No enum constant "
        "org.onap.policy.clamp.models.acm.concepts.StateChangeResult.x",
    ),
    ("GET", "/participants?page=x&size=1", {}, 400, "org.springframework.web.method.annotation"),
    ("GET", "/participants?page=-1&size=1", {}, 400, "org.springframework.web.method.annotation"),
    ("GET", "/compositions?page=0&size=0", {}, 400, "org.springframework.web.method.annotation"),
    ("GET", "/compositions?page=99999999999&size=1", {}, 400, "org.springframework.web.method.annotation"),
    (
        "GET",
        f"/compositions/{NOBODY}",
        {},
        404,
        f'Get serviceTemplate "{NOBODY}" failed, serviceTemplate does not exist',
    ),
    ("GET", f"/compositions/{NOBODY}/instances/{NOBODY}", {}, 404, "AutomationComposition not found"),
    ("POST", f"/compositions/{NOBODY}/instances/{NOBODY}/rollback", {}, 404, "AutomationComposition not found"),
    ("GET", f"/participants/{NOBODY}", {}, 404, f"Participant Not Found with ID: {NOBODY}"),
    ("GET", "/nothing", {}, 404, "org.springframework.web.servlet.resource.NoResourceFoundException"),
    ("GET", "/participants/", {}, 404, "org.springframework.web.servlet.resource.NoResourceFoundException"),
    (
        "PATCH",
        "/compositions",
        {},
        405,
        "org.springframework.web.HttpRequestMethodNotSupportedException Request method 'PATCH' is not supported",
    ),
    ("DELETE", "/participants", {}, 405, "org.springframework.web.HttpRequestMethodNotSupportedException"),
    (
        "GET",
        "/participants",
        {"headers": {"Accept": "text/plain"}},
        406,
        "org.springframework.web.HttpMediaTypeNotAcceptableException No acceptable representation",
    ),
    (
        "GET",
        "/participants",
        {"headers": {"Accept": "application/json;q=0"}},
        406,
        "org.springframework.web.HttpMediaTypeNotAcceptableException",
    ),
    (
        "POST",
        "/compositions",
        {"content": b"x", "headers": {"Content-Type": "text/plain"}},
        415,
        "org.springframework.web.HttpMediaTypeNotSupportedException Content-Type 'text/plain' is not supported",
    ),
    ("POST", "/compositions", {"content": b"x"}, 415, "org.springframework.web.HttpMediaTypeNotSupportedException"),
    (
        "PUT",
        f"/compositions/{NOBODY}",
        {"data": {"primeOrder": "PRIME"}},
        415,
        "org.springframework.web.HttpMediaTypeNotSupportedException",
    ),
    (
        "POST",
        "/compositions",
        {"content": b"", "headers": JSON},
        400,
        "org.springframework.http.converter.HttpMessageNotReadableException Required request body is missing",
    ),
    (
        "PUT",
        f"/compositions/{NOBODY}",
        {"json": {"primeOrder": "GO"}},
        400,
        "org.springframework.http.converter.HttpMessageNotReadableException JSON parse error: Cannot deserialize value "
        'of type `org.onap.policy.clamp.models.acm.messages.rest.commissioning.PrimeOrder` from String "GO": not one '
        "of the values accepted for Enum class: [NONE, PRIME, DEPRIME]",
    ),
    (
        "PUT",
        f"/compositions/{NOBODY}",
        {"content": b"{", "headers": JSON},
        400,
        "org.springframework.http.converter.HttpMessageNotReadableException JSON parse error",
    ),
    (
        "PUT",
        f"/compositions/{NOBODY}",
        {"json": ["PRIME"]},
        400,
        "org.springframework.http.converter.HttpMessageNotReadableException",
    ),
    (
        "PUT",
        f"/compositions/{NOBODY}",
        {"json": {"primeOrder": {"a": 1}}},
        400,
        "org.springframework.http.converter.HttpMessageNotReadableException",
    ),
    (
        "PUT",
        f"/compositions/{NOBODY}",
        {"content": b"a: &a [1]\nb: *a", "headers": YAML},
        400,
        "org.springframework.http.converter.HttpMessageNotReadableException YAML parse error",
    ),
    (
        "PUT",
        f"/compositions/{NOBODY}",
        {"content": b"\xff\xfe: x", "headers": YAML},
        400,
        "org.springframework.http.converter.HttpMessageNotReadableException YAML parse error",
    ),
    (
        "PUT",
        f"/compositions/{NOBODY}",
        {"content": b"[" * 50_000, "headers": JSON},
        400,
        "org.springframework.http.converter.HttpMessageNotReadableException JSON parse error",
    ),
    ("PUT", f"/compositions/{NOBODY}", {"content": b" " * 70_000, "headers": JSON}, 413, "The body is larger than"),
]


@pytest.mark.parametrize(("verb", "path", "arguments", "status", "details"), TABLE)
async def test_a_refusal(verb: str, path: str, arguments: dict[str, Any], status: int, details: str) -> None:
    async with client(Double()) as asked:
        answer = await asked.request(verb, path, **arguments)
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["errorDetails"].startswith(details)
    assert answer.headers["Content-Type"] == "application/json"
    for problem in body.get("errors", []):
        assert problem.keys() == {"path", "line", "column", "message", "hint"}
        assert problem["message"]


async def test_a_verb_that_is_wrong_is_told_the_right_ones() -> None:
    async with client(Double()) as asked:
        answer = await asked.request("PATCH", f"/compositions/{NOBODY}")
    assert answer.headers["Allow"] == "DELETE, GET, PUT"
    assert answer.json()["errors"][0]["hint"] == "It takes DELETE, GET, PUT."


async def test_a_wrong_definition_is_told_line_by_line() -> None:
    text = samples.kserve_composition().replace("type: string", "type: String", 1)
    line = text.splitlines().index("        type: String") + 1
    async with client(Double()) as asked:
        answer = await asked.post("/compositions", content=text, headers=YAML)
    assert answer.status_code == 400
    body = answer.json()
    assert body["errorDetails"].splitlines()[0] == '"AutomationCompositionDefinition" INVALID, item has status INVALID'
    assert [problem["line"] for problem in body["errors"]] == [line]


@pytest.mark.parametrize("size", [0, 1, 64 * 1024])
async def test_a_body_above_the_limit(size: int) -> None:
    limit = 100_000
    async with client(Double(), body_limit=limit) as asked:
        fits = await asked.post("/compositions", content=b"#" * limit, headers=YAML)
        assert fits.status_code == 400
        answer = await asked.post("/compositions", content=b"#" * (limit + 1 + size), headers=YAML)
    assert answer.status_code == 413
    assert answer.json()["errorDetails"] == "The body is larger than 100000 bytes, which is the most that is read."


async def test_five_megabytes_are_refused_with_a_sentence() -> None:
    async with client(Double()) as asked:
        answer = await asked.post("/compositions", content=b"#" * (5 * 1024 * 1024 + 1), headers=YAML)
    assert answer.status_code == 413
    assert answer.json()["errorDetails"] == "The body is larger than 5 MB, which is the most that is read."


async def test_orders_on_what_is_offline_or_not_allowed() -> None:
    double = Double()
    async with client(double) as asked:
        composition, instance = await instantiated(asked, double)
        here = f"/compositions/{composition}/instances/{instance}"
        answer = await asked.put(here, json={"deployOrder": "UNDEPLOY"})
        assert answer.status_code == 400
        assert answer.json()["errorDetails"] == (
            "Not valid order AcInstanceStateUpdate(deployOrder=UNDEPLOY, lockOrder=null, subOrder=null); "
            "DeployState: UNDEPLOYED; LockState: NONE; SubState: NONE; StateChangeResult: NO_ERROR"
        )
        double.go_offline()
        answer = await asked.put(here, json={"deployOrder": "DEPLOY"})
        assert answer.status_code == 409
        assert answer.json() == {"errorDetails": f"Participant: {PARTICIPANT} is OFFLINE"}
        double.go_online()
        assert (await asked.put(f"/compositions/{composition}", json={"primeOrder": "PRIME"})).status_code == 400
        assert (await asked.delete(f"/compositions/{composition}")).status_code == 400


async def test_names_that_are_taken_and_definitions_that_are_not_primed() -> None:
    double = Double()
    async with client(double) as asked:
        unprimed = await commissioned(asked)
        document = samples.kserve_instance(unprimed, "s3://x")
        answer = await asked.post(f"/compositions/{unprimed}/instances", content=document, headers=YAML)
        assert answer.json()["errorDetails"] == (
            f"{unprimed} Commissioned automation composition definition not primed"
        )
        composition = await primed(asked, double)
        document = samples.kserve_instance(composition, "s3://x")
        path = f"/compositions/{composition}/instances"
        assert (await asked.post(path, content=document, headers=YAML)).status_code == 201
        answer = await asked.post(path, content=document, headers=YAML)
        assert (answer.status_code, answer.json()["errorDetails"]) == (400, "KserveIris 1.0.0 already defined")


async def test_a_defect_is_answered_without_what_is_inside(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Double):
        async def health(self) -> dict[str, str | None]:
            raise RuntimeError("the password is sesame")

    async with client(Broken(), base=PREFIX) as asked:
        answer = await asked.get("/actuator/health")
    assert answer.status_code == 500
    assert "sesame" not in answer.text
    number = answer.headers["X-ONAP-RequestID"]
    assert number in answer.json()["errorDetails"]
    assert any(number in record.getMessage() for record in caplog.records)
