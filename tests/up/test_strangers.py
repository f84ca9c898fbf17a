"""Strangers on ports that a pod or a service wants: it is said who they are, and all goes on when they have left."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from installed import ANY_PORTS, installation, iris_manifest, new_home, train, until

FLOWER = [[5.1, 3.5, 1.4, 0.2]]


@contextmanager
def stranger() -> Iterator[int]:
    """Somebody who listens at every address, on a port that nobody else has."""
    with socket.create_server(("0.0.0.0", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_of_pods_that_a_stranger_has_everywhere(tmp_path):
    train(tmp_path)
    with installation() as mizzen:
        with stranger() as port:
            model = {"modelFormat": {"name": "sklearn"}, "storageUri": f"file://{tmp_path}"}
            model |= {"args": [f"--http_port={port}"], "ports": [{"containerPort": port}]}
            mizzen.apply(iris_manifest(tmp_path, sklearn=None, model=model))
            words = f"port {port} is taken on every loopback address by process {os.getpid()}"
            until(lambda: words in mizzen.condition("iris").get("message", ""), lambda: mizzen.condition("iris"))
            assert words in mizzen("describe", "isvc", "iris")
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", FLOWER) == (200, {"predictions": [0]}))


def test_a_stranger_never_answers_for_a_pod():
    """A port that is probed and not declared: the stranger who listens there would have said that all is well."""
    with installation() as mizzen:
        with stranger() as port:
            container = {"name": "main", "image": "busybox", "command": ["sleep", "100"]}
            container |= {"readinessProbe": {"tcpSocket": {"port": port}}}
            spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
            mizzen.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}))
            until(lambda: f"process {os.getpid()}" in mizzen("describe", "pod", "p"))
            assert mizzen.object("pod", "p")["status"]["phase"] == "Pending"
        until(lambda: mizzen.object("pod", "p")["status"]["phase"] == "Running")


def test_a_stranger_at_one_address_of_the_block_is_passed_over(tmp_path):
    train(tmp_path)
    with new_home() as mizzen:
        mizzen.up()
        network = mizzen.status()["addresses"].split("/")[0].rsplit(".", 2)[0]
        mizzen("down")
        strangers = [socket.create_server((f"{network}.0.{last}", 8080)) for last in range(1, 20)]
        try:
            mizzen.up()
            assert mizzen.status()["addresses"].startswith(network), "the home has its block again"
            mizzen.apply(iris_manifest(tmp_path))
            mizzen.wait_ready("iris")
            address = mizzen.objects("pods")[0]["status"]["podIP"]
            assert address not in {stranger.getsockname()[0] for stranger in strangers}
        finally:
            for stranger in strangers:
                stranger.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_gateways_port_at_one_address_or_at_all(host):
    with new_home() as mizzen, socket.create_server((host, 0)) as stranger:
        port = stranger.getsockname()[1]
        refused = mizzen.run("up", *ANY_PORTS[:3], str(port))
        assert refused.returncode == 1
        assert f"port {port} of 127.0.0.1 is taken by process {os.getpid()}" in refused.stderr
        assert f"which listens at {host}" in refused.stderr
        assert mizzen.processes() == {}


def test_the_same_port_twice():
    with new_home() as mizzen, socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
        free.close()
        refused = mizzen.run("up", "-d", "--api-port", port, "--gateway-port", port)
        assert refused.returncode == 1
        assert f"both ports are {port}; choose two" in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none(port):
    with new_home() as mizzen:
        refused = mizzen.run("up", "-d", "--api-port", port)
        assert refused.returncode == 2
        assert port in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may have every port")
def test_a_port_for_root_alone():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as setting:
        if int(setting.read()) <= 80:
            pytest.skip("every user may have every port here")
    with new_home() as mizzen:
        refused = mizzen.run("up", "-d", "--api-port", "0", "--gateway-port", "80")
        assert refused.returncode == 1
        assert "port 80 needs privileges" in refused.stderr
