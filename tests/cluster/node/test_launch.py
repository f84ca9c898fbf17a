"""From a container of a manifest to a process."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mizzen.cluster.node import launch, recipes
from mizzen.cluster.node.errors import NotStartable
from mizzen.cluster.node.launch import Launch, Place
from mizzen.cluster.node.podspec import Facts
from mizzen.cluster.node.recipes import Found, Recipe, Zygote
from mizzen.cluster.node.runtime.spec import Mount

SERVER = Found(
    Recipe(images=["server"], entry="acme:run", zygote="z", env={"A": "recipe"}), Zygote(preload=["json", "http"])
)
INITIALIZER = Found(Recipe(images=["init"], entry="acme:fetch"))
PROGRAM = Found(Recipe(images=["program"], command=["serve", "--quiet"], args=["default"]))
SHELL = Found(Recipe(images=["shell"], args=["sh"]))
NOTHING = Found(Recipe(images=["nothing"]))
POD = {
    "metadata": {"name": "web-0", "namespace": "shop", "uid": "u"},
    "spec": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db", "db.example.com"]}]},
}
FACTS = Facts(pod=POD, address="127.9.0.20", host="127.9.0.1", allocatable={"cpu": Decimal(8)})
MODELS = Mount("/home/me/.mizzen/pods/u/volumes/m", "/mnt/models", read_only=True)


def planned(found: Found, *, isolated: bool = True, declared: dict[str, str] | None = None, **container: Any) -> Launch:
    container = {"name": "main", "image": "x"} | container
    place = Place(id="u/main/0", folder=Path("/pods/u/0"), log=Path("/pods/u/0.log"), isolated=isolated, cpus=8.0)
    own = launch.own_environment(FACTS, found, {"PATH": "/bin"}, gateway="127.0.0.1:80", container=container)
    return launch.plan(
        container,
        FACTS,
        found,
        place,
        own=own,
        declared=declared or {},
        mounts=[MODELS],
        machine_hosts="127.0.0.1 localhost\n",
    )


@pytest.mark.parametrize(
    ("found", "container", "argv"),
    [
        (PROGRAM, {}, ["serve", "--quiet", "default"]),
        (PROGRAM, {"args": ["a"]}, ["serve", "--quiet", "a"]),
        (PROGRAM, {"command": ["run"]}, ["run"]),
        (PROGRAM, {"command": ["run"], "args": ["a"]}, ["run", "a"]),
        (SHELL, {}, ["sh"]),
        (SHELL, {"args": ["echo", "x"]}, ["echo", "x"]),
        (SHELL, {"command": ["sh", "-c"], "args": ["$(POD_IP) $(NO)"]}, ["sh", "-c", "127.9.0.20 $(NO)"]),
        (SHELL, {"command": ["python", "-m", "http.server"]}, [sys.executable, "-m", "http.server"]),
        (SHELL, {"command": ["python3"]}, [sys.executable]),
        (SERVER, {"command": ["sh"]}, ["sh"]),
    ],
)
def test_what_is_executed(found: Found, container: dict[str, Any], argv: list[str]) -> None:
    result = planned(found, **container)
    assert (result.spec.argv, result.spec.entry, result.parent.name) == (argv, "", "launcher")


def test_what_is_forked() -> None:
    result = planned(SERVER, args=["--dir=/mnt/models", "$(A)"])
    assert result.spec.entry == "acme:run"
    assert result.spec.argv == ["--dir=/mnt/models", "recipe"]
    assert (result.parent.name, result.parent.preload) == ("z", ("json", "http"))
    assert planned(INITIALIZER).parent.name == "launcher"
    assert planned(INITIALIZER).spec.entry == "acme:fetch"


def test_a_zygote_of_other_modules_is_another_one() -> None:
    other = Found(SERVER.recipe, Zygote(preload=["json"]))
    assert planned(other).parent.key != planned(SERVER).parent.key
    assert planned(SERVER).parent.key.startswith("z-")


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "PYTHONPATH", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES"])
def test_what_is_read_at_import_needs_an_interpreter_of_its_own(name: str) -> None:
    result = planned(SERVER, declared={name: "1"}, args=["a"])
    assert result.spec.argv == [sys.executable, "-P", "-m", "mizzen.cluster.node.entry", "acme:run", "a"]
    assert (result.spec.entry, result.parent.name) == ("", "launcher")
    assert planned(SERVER, declared={"PYTHONUNBUFFERED": "1"}).spec.entry == "acme:run"


def test_nothing_to_run() -> None:
    with pytest.raises(NotStartable, match="no command specified: the recipe 'nothing'"):
        planned(NOTHING)


def test_variables() -> None:
    env = planned(SERVER, declared={"A": "pod", "POD_IP": "mine"}).spec.env
    assert env["A"] == "pod"
    assert env["POD_IP"] == "mine"
    assert env["MIZZEN_BIND_ADDRESS"] == "127.9.0.20"
    assert env["MIZZEN_CLUSTER_GATEWAY"] == "127.0.0.1:80"
    assert env["MIZZEN_NAMESPACE"] == "shop"
    assert env["HOSTNAME"] == "web-0"
    assert env["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert planned(SERVER).spec.env["A"] == "recipe"


def test_what_a_recipe_passes_on() -> None:
    found = Found(Recipe(images=["x"], args=["y"], inherit=["HTTPS_PROXY", "NONE"]))
    env = launch.own_environment(FACTS, found, {"HTTPS_PROXY": "p", "SECRET": "s"}, gateway="", container={})
    assert env["HTTPS_PROXY"] == "p"
    assert not {"SECRET", "NONE", "MIZZEN_CLUSTER_GATEWAY"} & set(env)


def test_resources() -> None:
    spec = planned(SERVER, resources={"limits": {"cpu": "1500m", "memory": "1Gi"}, "requests": {"cpu": "250m"}}).spec
    assert (spec.cpu, spec.cpu_weight, spec.memory_bytes) == (1.5, 0.25, 2**30)
    spec = planned(SERVER).spec
    assert (spec.cpu, spec.cpu_weight, spec.memory_bytes) == (8.0, None, None)


def test_real_paths() -> None:
    spec = planned(PROGRAM, args=["--dir", "/mnt/models"], workingDir="/mnt/models").spec
    assert spec.isolate and spec.mounts == [MODELS]
    assert spec.argv[-1] == "/mnt/models"
    assert spec.cwd == "/mnt/models"
    assert spec.termination_message_path == "/dev/termination-log"
    assert spec.hosts == "127.0.0.1 localhost\n127.9.0.20\tweb-0\n10.0.0.1\tdb db.example.com\n"
    assert planned(PROGRAM).spec.cwd == "/pods/u/0/work"


def test_rewritten_paths() -> None:
    spec = planned(
        PROGRAM,
        isolated=False,
        args=["--dir=/mnt/models/iris", "/mnt/models2"],
        declared={"URI": "file:///mnt/models", "SAY": "/last/words"},
        workingDir="/mnt/models",
        terminationMessagePath="/last/words",
    ).spec
    assert not spec.isolate and not spec.mounts and not spec.hosts and not spec.termination_message_path
    assert spec.argv == ["serve", "--quiet", f"--dir={MODELS.source}/iris", "/mnt/models2"]
    assert spec.cwd == MODELS.source
    assert spec.env["URI"] == f"file://{MODELS.source}"
    assert spec.env["SAY"] == spec.env["MIZZEN_TERMINATION_LOG"] == "/pods/u/0/termination-log"


def test_commands_that_are_run_later() -> None:
    assert launch.rewritten(["cat", "/mnt/models/x"], [MODELS], isolated=True) == ["cat", "/mnt/models/x"]
    assert launch.rewritten(["cat", "/mnt/models/x"], [MODELS], isolated=False) == ["cat", f"{MODELS.source}/x"]


def test_every_shipped_recipe_can_be_planned() -> None:
    shipped = recipes.shipped()
    for recipe in shipped.recipes:
        found = Found(recipe, shipped.zygotes.get(recipe.zygote))
        assert planned(found, command=["true"]).spec.argv == ["true"]
        assert planned(found, args=["x"]).spec.argv[-1] == "x"
