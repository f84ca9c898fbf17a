"""Images and their recipes on a running node."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mizzen.apis.core import EVENT
from node_world import World, shell, status_of, waiting


async def test_an_unknown_image_waits_for_a_recipe(node: World, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys; print('as told', *sys.argv[1:])")
    await node.run("job", {"image": "registry.example.com:5000/acme/server:v2", "args": ["a"]}, restartPolicy="Never")
    pod = await node.until("job", lambda pod: waiting(pod) == "ErrImagePull")
    message = status_of(pod)["state"]["waiting"]["message"]
    assert 'image "registry.example.com:5000/acme/server:v2" has no recipe' in message
    assert str(node.home / "recipes.yaml") in message
    # What the message shows is what works.
    example = message[message.index("recipes:\n") :]
    await node.until("job", lambda pod: waiting(pod) == "ImagePullBackOff")
    assert "has no recipe" in await node.event("job", "Failed")
    (node.home / "recipes.yaml").write_text(example.replace("/path/to/program.py", str(program)))
    pod = await node.finished("job")
    assert pod["status"]["phase"] == "Succeeded"
    assert await node.log("job") == "as told a\n"


async def test_a_mistake_in_the_recipes_is_told_and_does_no_harm(node: World) -> None:
    file = node.home / "recipes.yaml"
    file.write_text("recipes:\n- images: [acme/server]\n  comand: [true]\n")
    await node.run("job", {"image": "acme/server"}, restartPolicy="Never")
    pod = await node.until("job", waiting)
    assert f"{file}:3: recipes[0]: unknown field 'comand'" in status_of(pod)["state"]["waiting"]["message"]
    assert await node.output("other", shell("echo fine")) == "fine\n"
    file.write_text("recipes:\n- images: [acme/server]\n  command: ['true']\n")
    assert (await node.finished("job"))["status"]["phase"] == "Succeeded"


async def test_a_mistake_that_is_there_from_the_beginning(bare: World) -> None:
    bare.home.mkdir(parents=True)
    (bare.home / "recipes.yaml").write_text("recipes: 7\n")
    await bare.start()

    async def told() -> bool:
        events = await bare.client.list(EVENT, "default")
        return any(event["reason"] == "InvalidRecipes" for event in events)

    while not await told():
        pass
    assert await bare.output("job", shell("echo fine")) == "fine\n"


async def test_an_image_whose_package_is_missing(node: World) -> None:
    file = node.home / "recipes.yaml"
    file.write_text(
        "recipes:\n- images: [acme/server]\n  entry: no_such_package.main:run\n  requires: [no_such_package]\n"
        "  install: acme[server]\n"
    )
    await node.run("job", {"image": "acme/server"})
    pod = await node.until("job", waiting)
    message = status_of(pod)["state"]["waiting"]["message"]
    assert "needs no_such_package, which is not installed" in message
    assert "-m pip install 'acme[server]'" in message


async def test_programs_of_this_machine(node: World) -> None:
    python = {"image": "docker.io/library/python:3.12", "command": ["python", "-c", "print('python')"]}
    assert await node.output("python", python) == "python\n"
    assert await node.output("busybox", {"image": "busybox:1.36", "args": ["echo", "busybox"]}) == "busybox\n"
    assert await node.output("host", {"image": "acme/mizzen-host", "command": ["echo", "host"]}) == "host\n"


async def test_an_image_without_a_command(node: World) -> None:
    await node.run("job", {"image": "mizzen/host"})
    pod = await node.until("job", lambda pod: waiting(pod) == "CreateContainerError")
    assert "no command specified" in status_of(pod)["state"]["waiting"]["message"]


def zygote_recipe(*preload: str) -> str:
    return (
        f"zygotes:\n  mine: {{preload: [{', '.join(preload)}]}}\n"
        "recipes:\n- {images: [acme/server], entry: 'subprocess:call', zygote: mine}\n"
    )


def zygotes(node: World) -> set[str]:
    return {path.stem for path in (node.home / "run/parents").glob("mine-*.sock")}


@pytest.mark.parametrize("meanwhile", ["the agent lives", "the agent is killed"])
async def test_a_zygote_lives_as_long_as_it_is_needed(bare: World, meanwhile: str) -> None:
    file = bare.home / "recipes.yaml"
    bare.home.mkdir(parents=True)
    file.write_text(zygote_recipe("json"))
    await bare.start()
    server = {"image": "acme/server", "args": ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"]}
    await bare.run("first", server)
    await bare.says("first", "up")
    (before,) = zygotes(bare)
    file.write_text(zygote_recipe("json", "http.client"))
    await bare.run("second", server)
    await bare.says("second", "up")
    assert len(zygotes(bare)) == 2
    await bare.delete("first")
    if meanwhile == "the agent is killed":
        await bare.until_gone("first")
        await bare.stop()
        await bare.start()
    async with asyncio.timeout(30):
        while before in zygotes(bare):
            await asyncio.sleep(0.02)
    assert len(zygotes(bare)) == 1
    await bare.ready("second")


async def test_a_zygote_that_cannot_be_made(node: World) -> None:
    (node.home / "recipes.yaml").write_text(zygote_recipe("no_such_module"))
    await node.run("server", {"image": "acme/server", "args": ["true"]})
    pod = await node.until("server", lambda pod: waiting(pod) == "CreateContainerError")
    message = status_of(pod)["state"]["waiting"]["message"]
    assert "no_such_module cannot be preloaded: ModuleNotFoundError" in message


async def test_a_recipe_with_variables_and_an_entry(node: World, tmp_path: Path) -> None:
    file = node.home / "recipes.yaml"
    file.write_text(
        "recipes:\n- images: [acme/*]\n  entry: os:system\n  env: {WORD: recipe, OTHER: recipe}\n"
        "- images: [spread]\n  entry: shlex:join\n"
    )
    # os.system takes a text, not a list of arguments: the entry is called, and fails by itself.
    await node.run("job", {"image": "acme/x", "args": ["true"]}, restartPolicy="Never")
    pod = await node.finished("job")
    assert status_of(pod)["state"]["terminated"]["exitCode"] == 1
    command = shell("echo $WORD $OTHER", image="acme/x", env=[{"name": "WORD", "value": "pod"}])
    assert await node.output("other", command) == "pod recipe\n"
