"""Drive a runtime of automation compositions through the whole life cycle, over its REST API, and say what is seen.

Made to be run against ONAP's own runtime with Mizzen's KServe participant on the same Kafka, which Mizzen's tests
cannot do; Mizzen's own runtime passes it, too (``tests/docs/test_acm_script.py``):

    python scripts/acm_against_onap.py --url http://HOST:6969 --user runtimeUser --storage-uri s3://models/iris

The password is taken from MIZZEN_ACM_PASSWORD or asked for. A definition and an instance are made under names of their
own, deployed, looked at, changed, taken down and removed again. Each step is a line; ``--record FILE`` keeps every
request and answer as JSON, for a report. Exit code 1 when anything is not as ONAP's documents and code say.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from mizzen.acm import samples

BASE = "/onap/policy/clamp/acm/v2"
ELEMENT_TYPE = ("org.onap.policy.clamp.acm.KserveAutomationCompositionElement", "1.0.1")
LOOK = 0.5


class NotAsExpected(Exception):
    """The sentence says what was seen, and what should have been."""


class Runtime:
    """A REST API, and a record of what was said over it."""

    def __init__(self, url: str, user: str, password: str, *, base: str = BASE) -> None:
        self._url = url.rstrip("/") + base
        word = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {word}", "Accept": "application/json"}
        self.record: list[dict[str, Any]] = []

    def ask(self, verb: str, path: str, body: Any = None, *, expect: int) -> Any:
        """The decoded answer.

        Raises:
            NotAsExpected: another status, or an answer that is not JSON.
        """
        status, headers, told = self._exchange(verb, path, body)
        self.record.append({"verb": verb, "path": path, "body": body, "status": status, "answer": told})
        if status != expect:
            details = told.get("errorDetails") if isinstance(told, dict) else None
            raise NotAsExpected(f"{verb} {path}: {status} instead of {expect}: {details or told}")
        if status == 201 and not headers.get("location"):
            raise NotAsExpected(f"{verb} {path}: 201 without a Location")
        return told

    def _exchange(self, verb: str, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": "application/json"} if data is not None else {})
        request = urllib.request.Request(self._url + path, data=data, headers=headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _lower(answer.headers), _decoded(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _lower(error.headers), _decoded(error.read())
        except (OSError, urllib.error.URLError) as error:
            raise NotAsExpected(f"{self._url} does not answer: {error}") from None


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text.decode("utf-8", "replace")


class LifeCycle:
    """The steps, in their order. Each says what it saw.

    Args:
        patience: seconds for each order.
    """

    def __init__(self, runtime: Runtime, arguments: argparse.Namespace) -> None:
        self._runtime = runtime
        self._arguments = arguments
        self._patience: float = arguments.timeout
        self._mark = uuid4().hex[:8]
        self._element = str(uuid4())
        self.composition = self.instance = ""

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("a participant takes the KServe element type", self.participant),
            ("commission", self.commission),
            ("prime", lambda: self.prime("PRIME", "PRIMED")),
            ("an instance", self.instantiate),
            ("an order that is not allowed", self.refused),
            ("deploy", lambda: self.order("deployOrder", "DEPLOY", "DEPLOYED", "LOCKED")),
            ("what the element tells", self.told),
            ("deploy once more", self.refused_again),
            ("update with equal properties", self.update),
            ("unlock", lambda: self.order("lockOrder", "UNLOCK", "DEPLOYED", "UNLOCKED")),
            ("lock", lambda: self.order("lockOrder", "LOCK", "DEPLOYED", "LOCKED")),
            ("deprime while there is an instance", self.refused_deprime),
            ("undeploy", lambda: self.order("deployOrder", "UNDEPLOY", "UNDEPLOYED", "NONE")),
            ("delete the instance", self.delete_instance),
            ("deprime", lambda: self.prime("DEPRIME", "COMMISSIONED")),
            ("delete the definition", self.delete_composition),
        ]

    def participant(self) -> str:
        found = []
        for one in self._runtime.ask("GET", "/participants", expect=200):
            about = one["participant"]
            types = about["participantSupportedElementTypes"].values()
            if ELEMENT_TYPE in {(kind["typeName"], kind["typeVersion"]) for kind in types}:
                states = [replica["participantState"] for replica in (about.get("replicas") or {}).values()]
                found.append((about["participantId"], states))
        if not found:
            raise NotAsExpected(f"nobody has registered for {' '.join(ELEMENT_TYPE)}: is a participant on this Kafka?")
        if not any("ON_LINE" in states for _, states in found):
            raise NotAsExpected(f"it is registered, but offline: {found}")
        return "; ".join(f"{identifier}: {', '.join(states)}" for identifier, states in found)

    def commission(self) -> str:
        template = yaml.safe_load(samples.kserve_composition())
        template |= {"name": f"MizzenCheck{self._mark}", "version": "1.0.0"}
        answer = self._runtime.ask("POST", "/compositions", template, expect=201)
        self.composition = answer["compositionId"]
        affected = {one["name"] for one in answer["affectedAutomationCompositionDefinitions"]}
        if missing := set(template["topology_template"]["node_templates"]) - affected:
            raise NotAsExpected(f"the answer leaves out {', '.join(sorted(missing))}")
        body = self._runtime.ask("GET", self._of_composition, expect=200)
        _same(body, state="COMMISSIONED", stateChangeResult="NO_ERROR")
        return self.composition

    def prime(self, order: str, goal: str) -> str:
        self._runtime.ask("PUT", self._of_composition, {"primeOrder": order}, expect=202)
        body = self._until(self._of_composition, lambda body: body["state"] == goal)
        messages = {one.get("message") for one in body["elementStateMap"].values()}
        return f"{body['state']}: {_listed(messages)}"

    def instantiate(self) -> str:
        answer = self._runtime.ask("POST", f"{self._of_composition}/instances", self._instance_body(), expect=201)
        self.instance = answer["instanceId"]
        body = self._runtime.ask("GET", self._of_instance, expect=200)
        _same(body, deployState="UNDEPLOYED", lockState="NONE", subState="NONE", stateChangeResult="NO_ERROR")
        return self.instance

    def _instance_body(self) -> dict[str, Any]:
        body = yaml.safe_load(samples.kserve_instance(self.composition, self._arguments.storage_uri))
        (element,) = body["elements"].values()
        (entity,) = element["properties"]["kserveInferenceEntities"]
        name, namespace = f"mizzen-check-{self._mark}", self._arguments.namespace
        payload = json.loads(entity["payload"])
        payload["metadata"] |= {"name": name, "namespace": namespace}
        entity |= {"name": name, "namespace": namespace, "payload": json.dumps(payload)}
        element["id"] = self._element
        return body | {"name": f"MizzenCheck{self._mark}", "elements": {self._element: element}}

    def refused(self) -> str:
        return self._refused("PUT", self._of_instance, {"deployOrder": "UNDEPLOY"}, "Not valid order")

    def refused_again(self) -> str:
        return self._refused("PUT", self._of_instance, {"deployOrder": "DEPLOY"}, "Not valid order")

    def refused_deprime(self) -> str:
        return self._refused("PUT", self._of_composition, {"primeOrder": "DEPRIME"}, "There are instances")

    def _refused(self, verb: str, path: str, body: Any, beginning: str) -> str:
        details = str(self._runtime.ask(verb, path, body, expect=400)["errorDetails"])
        if not details.startswith(beginning):
            raise NotAsExpected(f"the reason is {details!r}, and should begin with {beginning!r}")
        return f"400 {details}"

    def order(self, field: str, order: str, deploy: str, lock: str) -> str:
        self._runtime.ask("PUT", self._of_instance, {field: order}, expect=202)
        return self._settled(deploy, lock)

    def update(self) -> str:
        body = self._instance_body() | {"instanceId": self.instance}
        self._runtime.ask("POST", f"{self._of_composition}/instances", body, expect=200)
        return self._settled("DEPLOYED", "LOCKED")

    def _settled(self, deploy: str, lock: str) -> str:
        body = self._until(self._of_instance, lambda body: (body["deployState"], body["lockState"]) == (deploy, lock))
        return f"{deploy}/{lock}: {_listed({one.get('message') for one in body['elements'].values()})}"

    def told(self) -> str:
        """Java's participant tells nothing here; Mizzen's tells where the model answers."""
        body = self._runtime.ask("GET", self._of_instance, expect=200)
        (element,) = body["elements"].values()
        _same(element, deployState="DEPLOYED")
        out = element.get("outProperties") or {}
        return f"operationalState {element.get('operationalState')}, outProperties {json.dumps(out)}"

    def delete_instance(self) -> str:
        self._runtime.ask("DELETE", self._of_instance, expect=202)
        deadline = time.monotonic() + self._patience
        while (left := self._left()) is not None:
            if left["stateChangeResult"] != "NO_ERROR" or time.monotonic() > deadline:
                messages = {one.get("message") for one in left["elements"].values()}
                raise NotAsExpected(f"still there: {_state(left)}, {left['stateChangeResult']}: {_listed(messages)}")
            time.sleep(LOOK)
        self._runtime.ask("GET", self._of_instance, expect=404)
        self.instance = ""
        return "404"

    def _left(self) -> Any:
        listed = self._runtime.ask("GET", f"{self._of_composition}/instances", expect=200)
        return next((one for one in listed["automationCompositionList"] if one["instanceId"] == self.instance), None)

    def delete_composition(self) -> str:
        path = self._of_composition
        self._runtime.ask("DELETE", path, expect=200)
        self._runtime.ask("GET", path, expect=404)
        self.composition = ""
        return "404"

    def clean_up(self) -> None:
        """Take back what a failed step has left, as far as it goes."""
        attempts: list[Callable[[], Any]] = []
        if self.instance:
            attempts += [
                lambda: self.order("deployOrder", "UNDEPLOY", "UNDEPLOYED", "NONE"),
                self.delete_instance,
            ]
        if self.composition:
            attempts += [lambda: self.prime("DEPRIME", "COMMISSIONED"), self.delete_composition]
        for attempt in attempts:
            try:
                attempt()
            except NotAsExpected as error:
                print(f"         while cleaning up: {error}")

    @property
    def _of_composition(self) -> str:
        return f"/compositions/{self.composition}"

    @property
    def _of_instance(self) -> str:
        return f"{self._of_composition}/instances/{self.instance}"

    def _until(self, path: str, reached: Callable[[Any], bool]) -> Any:
        """The first body of a GET that has got there.

        Raises:
            NotAsExpected: it failed, timed out, or takes too long.
        """
        deadline = time.monotonic() + self._patience
        while True:
            body = self._runtime.ask("GET", path, expect=200)
            if body["stateChangeResult"] != "NO_ERROR":
                elements = body.get("elements") or body.get("elementStateMap") or {}
                messages = {one.get("message") for one in elements.values()}
                raise NotAsExpected(f"{_state(body)}, {body['stateChangeResult']}: {_listed(messages)}")
            if reached(body):
                return body
            if time.monotonic() > deadline:
                raise NotAsExpected(f"still {_state(body)} after {self._patience:g} s")
            time.sleep(LOOK)


def _state(body: Any) -> str:
    return str(body.get("state") or f"{body.get('deployState')}/{body.get('lockState')}")


def _listed(messages: set[str | None]) -> str:
    return "; ".join(sorted(message for message in messages if message)) or "nothing is said"


def _same(body: Any, **expected: str) -> None:
    for name, value in expected.items():
        if body.get(name) != value:
            raise NotAsExpected(f"{name} is {body.get(name)}, and should be {value}")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", required=True, help="of the runtime, such as http://127.0.0.1:6969")
    parser.add_argument("--user", required=True)
    parser.add_argument("--storage-uri", required=True, help="of a scikit-learn model that KServe there can fetch")
    parser.add_argument("--namespace", default="default", help="for the InferenceService; it has to exist")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for each order")
    parser.add_argument("--record", metavar="FILE", help="every request and answer, as JSON")
    arguments = parser.parse_args(words)
    password = os.environ.get("MIZZEN_ACM_PASSWORD") or getpass.getpass(f"password of {arguments.user}: ")
    runtime = Runtime(arguments.url, arguments.user, password)
    life = LifeCycle(runtime, arguments)
    code = 0
    for title, step in life.steps():
        began = time.monotonic()
        try:
            seen = step()
        except NotAsExpected as error:
            print(f"  WRONG  {title}: {error}")
            life.clean_up()
            code = 1
            break
        print(f"  ok     {title} ({time.monotonic() - began:.1f} s): {seen}", flush=True)
    if arguments.record:
        Path(arguments.record).write_text(json.dumps(runtime.record, indent=2))
    print("all as expected" if code == 0 else "not as expected")
    return code


if __name__ == "__main__":
    sys.exit(main())
