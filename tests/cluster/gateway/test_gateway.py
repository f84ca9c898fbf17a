"""The whole gateway on a real API: it learns what is applied, serves it, says so, and follows every change."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from apiserver_fixture import serving
from gateway_front import PATIENCE, Raw, named, until
from gateway_objects import (
    backend,
    gateway_body,
    http_route_body,
    ingress_body,
    listener,
    matching,
    ref,
    rule,
    service_body,
    slice_body,
)
from mizzen.apis import gateway, httproute
from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.apis.core import SERVICE
from mizzen.apis.crd import crd
from mizzen.apis.gateway import GATEWAY, GATEWAY_CLASS
from mizzen.apis.httproute import HTTP_ROUTE
from mizzen.apis.networking import ENDPOINT_SLICE, INGRESS
from mizzen.cluster.gateway.attachment import CONTROLLER
from mizzen.cluster.gateway.gateway import GatewayConfig, run
from mizzen.http.server import Server
from mizzen.kube.client import Client
from mizzen.kube.config import ClusterConfig
from mizzen.kube.errors import ApiError


class Installation:
    """An API, a gateway that learns from it, and servers that answer for services."""

    def __init__(self, server):
        self.config = ClusterConfig(server=server.url, ca=server.ca.read_text(), token=server.token)
        self.client = Client(self.config, field_manager="test")
        self.port = 0
        self.tasks = []
        self.servers = []
        self.clients = []

    async def start(self, sock=None, **options):
        sock = sock or socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = sock.getsockname()[1]
        ready = asyncio.Event()
        config = GatewayConfig(cluster=self.config, sock=sock, address="127.0.0.1", port=self.port, **options)
        task = asyncio.create_task(run(config, ready=ready.set))
        self.tasks.append(task)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert ready.is_set()
        return task

    async def stop(self):
        task = self.tasks.pop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    async def server(self, name):
        """A server that answers for a Service, with the Service and its slice."""
        server = Server(named(name))
        [(_, port)] = await server.listen("127.0.0.1", 0)
        self.servers.append(server)
        await self.client.create(SERVICE, service_body(name, 80))
        await self.client.create(ENDPOINT_SLICE, slice_body(name, ["127.0.0.1"], port, ready=True))
        return port

    async def install_gateway_api(self):
        for kind, definition in (
            (gateway.GatewayClass, GATEWAY_CLASS),
            (gateway.Gateway, GATEWAY),
            (httproute.HTTPRoute, HTTP_ROUTE),
        ):
            await self.client.create(CUSTOM_RESOURCE_DEFINITION, crd(kind, definition))
        body = {
            "apiVersion": GATEWAY_CLASS.api_version,
            "kind": "GatewayClass",
            "metadata": {"name": "mizzen"},
            "spec": {"controllerName": CONTROLLER},
        }
        await self.eventually(lambda: self.created(GATEWAY_CLASS, body))
        await self.eventually(lambda: self.created(GATEWAY, gateway_body("gate", listener())))

    async def created(self, resource, body):
        try:
            return await self.client.create(resource, body)
        except ApiError as error:
            if error.code != 404:
                raise
            return None  # the definition is not served yet

    async def ask(self, host, path="/"):
        raw = Raw(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(raw)
        return await raw.ask(host, path)

    async def eventually(self, check):
        async with asyncio.timeout(PATIENCE):
            while True:
                if found := await check():
                    return found
                await asyncio.sleep(0.02)

    async def answers(self, host, name, path="/"):
        async def check():
            answer = await self.ask(host, path)
            return answer.status == 200 and answer.json["name"] == name

        await self.eventually(check)

    async def status(self, resource, name, check):
        async def found():
            status = (await self.client.get(resource, name, "default")).get("status") or {}
            return status if check(status) else None

        return await self.eventually(found)

    async def close(self):
        for raw in self.clients:
            raw.reset()
        while self.tasks:
            await self.stop()
        await self.client.close()
        for server in self.servers:
            await server.close(0)


@asynccontextmanager
async def installation(path):
    async with serving(path, reserve=0) as server:
        found = Installation(server)
        try:
            yield found
        finally:
            await found.close()


@pytest.fixture
async def home(tmp_path):
    async with installation(tmp_path) as found:
        yield found


def conditions(found):
    return {one["type"]: (one["status"], one["reason"]) for one in found}


async def test_an_ingress_is_served_and_says_so_and_follows_every_change(home):
    await home.start()
    await home.server("iris")
    await home.server("other")
    body = ingress_body("iris", rule("iris.example.com", ("/", "Prefix", backend("iris"))))
    made = await home.client.create(INGRESS, body)
    status = await home.status(INGRESS, "iris", lambda status: status.get("loadBalancer"))
    assert status == {
        "loadBalancer": {"ingress": [{"ip": "127.0.0.1", "ports": [{"port": home.port, "protocol": "TCP"}]}]}
    }
    # Whoever has read the status can send the request.
    assert (await home.ask("iris.example.com")).json["name"] == "iris"
    change = {"spec": {"rules": [rule("iris.example.com", ("/", "Prefix", backend("other")))]}}
    await home.client.patch(INGRESS, "iris", "default", change)
    await home.answers("iris.example.com", "other")
    await home.client.delete(INGRESS, "iris", "default", uid=made["metadata"]["uid"])

    async def gone():
        return (await home.ask("iris.example.com")).status == 404

    await home.eventually(gone)


async def test_services_are_reached_by_name_and_endpoints_come_and_go(home):
    await home.start()
    await home.server("iris")
    await home.answers("iris.default.svc.cluster.local", "iris")
    await home.client.delete(ENDPOINT_SLICE, "iris-abcde", "default")

    async def empty():
        answer = await home.ask("iris.default")
        return answer.status == 503 and "no pod runs for it" in answer.error

    await home.eventually(empty)


async def test_what_was_there_before_is_served_from_the_first_request_on(home):
    await home.install_gateway_api()
    await home.server("iris")
    await home.client.create(INGRESS, ingress_body("iris", rule("iris.example.com", ("/", "Prefix", backend("iris")))))
    await home.client.create(
        HTTP_ROUTE, http_route_body("r", {"backendRefs": [ref("iris")]}, hostnames=["r.example.com"])
    )
    await home.start()
    assert (await home.ask("iris.example.com")).json["name"] == "iris"
    assert (await home.ask("r.example.com")).json["name"] == "iris"
    old = home.port
    await home.stop()
    await home.start()
    assert home.port != old
    # A gateway at another port says so.
    await home.status(
        INGRESS,
        "iris",
        lambda status: status["loadBalancer"]["ingress"][0]["ports"][0]["port"] == home.port,
    )


async def test_the_gateway_api_may_be_installed_later_and_its_routes_are_served_and_told(home):
    await home.start()
    await home.server("iris")
    await home.install_gateway_api()
    await home.client.create(
        HTTP_ROUTE,
        http_route_body("r", {"matches": [matching("/v1")], "backendRefs": [ref("iris")]}, hostnames=["r.example.com"]),
    )
    status = await home.status(HTTP_ROUTE, "r", lambda status: status.get("parents"))
    assert conditions(status["parents"][0]["conditions"]) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }
    assert (await home.ask("r.example.com", "/v1/models")).json["name"] == "iris"
    status = await home.status(
        GATEWAY,
        "gate",
        lambda status: status.get("listeners") and status["listeners"][0]["attachedRoutes"] == 1,
    )
    assert status["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]
    assert conditions(status["conditions"]) == {"Accepted": ("True", "Accepted"), "Programmed": ("True", "Programmed")}
    found = (await home.client.get(GATEWAY_CLASS, "mizzen"))["status"]
    assert conditions(found["conditions"]) == {"Accepted": ("True", "Accepted")}


async def test_a_route_hears_of_its_service_and_of_its_gateway(home):
    await home.start()
    await home.install_gateway_api()
    await home.client.create(
        HTTP_ROUTE, http_route_body("r", {"backendRefs": [ref("iris")]}, hostnames=["r.example.com"])
    )

    def resolved(expected):
        def check(status):
            parents = status.get("parents") or [{"conditions": []}]
            return conditions(parents[0]["conditions"]).get("ResolvedRefs") == expected

        return check

    await home.status(HTTP_ROUTE, "r", resolved(("False", "BackendNotFound")))
    await home.server("iris")
    await home.status(HTTP_ROUTE, "r", resolved(("True", "ResolvedRefs")))
    await home.answers("r.example.com", "iris")
    narrower = {"spec": {"listeners": [listener(hostname="*.example.org")]}}
    await home.client.patch(GATEWAY, "gate", "default", narrower)
    await home.status(
        HTTP_ROUTE,
        "r",
        lambda status: (
            conditions(status["parents"][0]["conditions"])["Accepted"] == ("False", "NoMatchingListenerHostname")
        ),
    )
    assert (await home.ask("r.example.com")).status == 404


async def test_a_route_that_asks_for_too_much_is_told_where(home):
    await home.start()
    await home.install_gateway_api()
    await home.client.create(
        HTTP_ROUTE, http_route_body("r", {"backendRefs": [ref("iris")], "filters": [{"type": "ExtensionRef"}]})
    )
    status = await home.status(HTTP_ROUTE, "r", lambda status: status.get("parents"))
    accepted = next(one for one in status["parents"][0]["conditions"] if one["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "UnsupportedValue")
    assert "spec.rules[0].filters[0]" in accepted["message"]


async def test_a_status_that_is_right_is_not_written_again(home):
    await home.install_gateway_api()
    await home.server("iris")
    await home.client.create(INGRESS, ingress_body("iris", rule("iris.example.com", ("/", "Prefix", backend("iris")))))
    await home.client.create(
        HTTP_ROUTE, http_route_body("r", {"backendRefs": [ref("iris")]}, hostnames=["r.example.com"])
    )
    await home.start()
    await home.status(INGRESS, "iris", lambda status: status.get("loadBalancer"))
    await home.status(HTTP_ROUTE, "r", lambda status: status.get("parents"))
    await home.status(
        GATEWAY, "gate", lambda status: status.get("listeners") and status["listeners"][0]["attachedRoutes"] == 1
    )

    async def versions():
        found = []
        for resource, name in ((INGRESS, "iris"), (HTTP_ROUTE, "r"), (GATEWAY, "gate"), (GATEWAY_CLASS, "mizzen")):
            found.append((await home.client.get(resource, name, "default"))["metadata"]["resourceVersion"])
        return found

    before = await versions()
    # A change that concerns nothing of it, and the time that a needless write would have taken.
    await home.client.patch(SERVICE, "iris", "default", {"metadata": {"annotations": {"a": "b"}}})
    await asyncio.sleep(1)
    assert await versions() == before


async def test_cluster_ips_answer_for_what_the_api_gives_them(home):
    await home.start()
    port = await home.server("iris")
    made = await home.client.create(SERVICE, service_body("high", 18081, selector={"a": "b"}))
    await home.client.create(ENDPOINT_SLICE, slice_body("high", ["127.0.0.1"], port, ready=True))
    ip = made["spec"]["clusterIP"]
    home.clients.append(await connected(ip, 18081))
    # Layer 4: the host means nothing here.
    assert (await home.clients[-1].ask("whatever")).json["name"] == "iris"


async def connected(ip, port):
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return Raw(*await asyncio.open_connection(ip, port))
            except ConnectionError:
                await asyncio.sleep(0.02)


async def test_it_ends_by_finishing_what_is_under_way(home):
    gate = asyncio.Event()

    def slow(exchange):
        async def answer():
            await gate.wait()
            exchange.respond(200, b"done")

        exchange.spawn(answer())

    task = await home.start()
    server = Server(slow)
    [(_, port)] = await server.listen("127.0.0.1", 0)
    home.servers.append(server)
    await home.client.create(SERVICE, service_body("slow", 80))
    await home.client.create(ENDPOINT_SLICE, slice_body("slow", ["127.0.0.1"], port, ready=True))

    async def known():
        raw = Raw(*await asyncio.open_connection("127.0.0.1", home.port))
        home.clients.append(raw)
        raw.get("slow.default")
        await asyncio.sleep(0.05)
        return server.connections and raw

    raw = await home.eventually(known)
    home.tasks.remove(task)
    task.cancel()
    await asyncio.sleep(0.1)
    assert not task.done()
    gate.set()
    assert (await raw.answer()).body == b"done"
    raw.reset()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_clients_wait_while_one_gateway_takes_the_place_of_another(home):
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as kept:
        await home.start(kept.dup())
        await home.server("iris")
        await home.answers("iris.default", "iris")
        await home.stop()
        raw = Raw(*await asyncio.open_connection("127.0.0.1", home.port))
        home.clients.append(raw)
        raw.get("iris.default")
        await home.start(kept.dup())
        assert (await raw.answer()).json["name"] == "iris"


async def test_an_api_that_is_away_at_the_start_is_waited_for_and_clients_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("mizzen.cluster.gateway.gateway._PATIENCE", 0.1)
    async with serving(tmp_path, reserve=0) as server:
        port = int(server.url.rpartition(":")[2])
    found = Installation(server)
    starting = asyncio.create_task(found.start())
    await until(lambda: found.port)
    answer = await found.ask("iris.default")
    assert answer.status == 503 and "not learned its routes" in answer.error
    async with serving(tmp_path, reserve=0, port=port):
        await starting
        answer = await found.ask("iris.default")
        assert answer.status == 404
        await found.close()


async def test_an_api_that_goes_away_leaves_the_routes_as_they_were(tmp_path):
    async with serving(tmp_path, reserve=0) as server:
        port = int(server.url.rpartition(":")[2])
        found = Installation(server)
        await found.start()
        await found.server("iris")
        await found.answers("iris.default", "iris")
    assert (await found.ask("iris.default")).json["name"] == "iris"
    async with serving(tmp_path, reserve=0, port=port):
        await found.client.create(
            INGRESS, ingress_body("late", rule("late.example.com", ("/", "Prefix", backend("iris"))))
        )
        await found.answers("late.example.com", "iris")
        await found.close()
