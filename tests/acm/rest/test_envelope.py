"""Who may ask, what every answer has, and which format it comes in."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest

from acm.rest.asking import NOBODY, PASSWORD, USER, client
from acm.web.double import Double
from mizzen.acm.runtime.rest.app import actuator, app
from mizzen.acm.runtime.rest.formats import YAML
from mizzen.acm.runtime.rest.settings import PREFIX, NoPassword, Settings


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


GOOD = f"{USER}:{PASSWORD}"


@pytest.mark.parametrize(
    ("authorization", "admitted"),
    [
        (None, False),
        ("", False),
        ("Basic", False),
        ("Basic !!!", False),
        ("Bearer " + basic(GOOD)[6:], False),
        (basic(GOOD), True),
        (basic(GOOD).replace("Basic", "basic"), True),
        (basic(f"{USER}:"), False),
        (basic(f"{USER}:{PASSWORD} "), False),
        (basic(f"{USER.upper()}:{PASSWORD}"), False),
        (basic(USER), False),
        (basic(b"\xff\xfe:x"), False),
        (basic(f"{USER}{PASSWORD}:"), False),
    ],
)
@pytest.mark.parametrize("path", ["/v2/participants", "/v2/nothing", "/actuator/health", "/v3/api-docs"])
async def test_credentials(authorization: str | None, admitted: bool, path: str) -> None:
    async with client(Double(), auth=False, base=PREFIX) as asked:
        headers = {"Authorization": authorization} if authorization is not None else {}
        answer = await asked.get(path, headers=headers)
    if admitted:
        assert answer.status_code != 401
    else:
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_without_authentication_everybody_may_ask() -> None:
    async with client(Double(), auth=False, basic_auth=False) as asked:
        assert (await asked.get("/participants")).status_code == 200


@pytest.mark.parametrize("given", [{}, {"user": "a"}, {"password": "b"}])
def test_there_is_no_built_in_password(given: dict[str, str]) -> None:
    with pytest.raises(NoPassword, match="a user and a password"):
        app(Double(), Settings(**given))
    with pytest.raises(NoPassword):
        actuator(Double(), Settings(**given))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_sites_page_gives_no_orders(site: str) -> None:
    double = Double()
    async with client(double) as asked:
        answer = await asked.put("/participants", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403
        assert (await asked.get("/participants", headers={"Sec-Fetch-Site": site})).status_code == 200
        assert double.asked == []
        for own in ("same-origin", "none"):
            assert (await asked.put("/participants", headers={"Sec-Fetch-Site": own})).status_code == 202


async def test_the_headers_of_the_version() -> None:
    async with client(Double()) as asked:
        for answer in (await asked.get("/participants"), await asked.get("/nothing"), await asked.put("/participants")):
            assert answer.headers["X-MinorVersion"] == "0"
            assert answer.headers["X-PatchVersion"] == "0"
            assert answer.headers["X-LatestVersion"] == "1.0.0"
            assert UUID(answer.headers["X-ONAP-RequestID"])


async def test_the_id_of_a_request_comes_back() -> None:
    async with client(Double()) as asked:
        answer = await asked.get("/participants", headers={"X-onap-RequestId": str(NOBODY)})
        assert answer.headers["X-ONAP-RequestID"] == str(NOBODY)
        answer = await asked.get("/participants", headers={"X-onap-RequestId": "mine"})
        assert answer.status_code == 400
        assert "Invalid UUID string: mine" in answer.json()["errorDetails"]
        assert UUID(answer.headers["X-ONAP-RequestID"])


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("application/yaml", YAML),
        ("APPLICATION/YAML", YAML),
        ("application/yaml, application/json", "application/json"),
        ("application/yaml;q=0.9, application/json;q=0.5", YAML),
        ("application/json;q=0, */*", YAML),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("text/plain, application/yaml;q=0.1", YAML),
        ("text/plain", None),
        ("application/xml, text/*", None),
        ("application/json;q=nonsense", None),
    ],
)
async def test_the_format_of_an_answer(accept: str | None, media_type: str | None) -> None:
    async with client(Double()) as asked:
        asked.headers.pop("Accept")
        answer = await asked.get("/participants", headers={} if accept is None else {"Accept": accept})
    if media_type is None:
        assert answer.status_code == 406
    else:
        assert answer.headers["Content-Type"] == media_type


@pytest.mark.parametrize("content_type", ["application/yaml", "application/yaml; charset=UTF-8", "APPLICATION/YAML"])
async def test_orders_come_in_yaml_too(content_type: str) -> None:
    async with client(Double()) as asked:
        answer = await asked.put(
            f"/compositions/{NOBODY}", content=b"primeOrder: PRIME\n", headers={"Content-Type": content_type}
        )
    assert answer.status_code == 404


async def test_an_order_for_a_refused_answer_is_not_carried_out() -> None:
    """Who cannot read what came of it should not have made it."""
    double = Double()
    async with client(double) as asked:
        headers = {"Accept": "text/html", "Content-Type": "application/yaml"}
        assert (await asked.post("/compositions", content=b"a: b", headers=headers)).status_code == 406
    assert double.definitions == {}
