"""What needs no runtime: ``mizzen acm validate``, help, and what is said when a package is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acm_set import SAMPLES
from installed import Mizzen, new_home


@pytest.fixture(scope="module")
def mizzen() -> Iterator[Mizzen]:
    with new_home() as found:
        yield found


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    file = tmp_path / "definition.yaml"
    file.write_text((SAMPLES / "kserve-composition.yaml").read_text())
    return file


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    file = tmp_path / "instance.yaml"
    file.write_text((SAMPLES / "kserve-instance.yaml").read_text())
    return file


def test_what_is_right(mizzen: Mizzen, definition: Path, instance: Path) -> None:
    assert mizzen("acm", "validate", str(definition)) == f"{definition}: a runtime takes it\n"
    assert mizzen("acm", "validate", str(instance)) == f"{instance}: a runtime takes it\n"
    assert mizzen("acm", "validate", str(instance), "--definition", str(definition)).endswith("takes it\n")
    assert mizzen("acm", "validate", "-", input=definition.read_text()) == "-: a runtime takes it\n"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("type: org.onap.policy.clamp.acm.KserveAutomationCompositionElement", "type: nobody", "nobody"),
        ("version: 1.2.3", "version: one", '"one" is no version'),
        ("node_types:", "note_types:", "node_types"),
        ("topology_template:", "topology_template: [", "no YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    mizzen: Mizzen, definition: Path, before: str, after: str, says: str
) -> None:
    definition.write_text(definition.read_text().replace(before, after))
    done = mizzen.run("acm", "validate", str(definition))
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert f"--> {definition}:" in done.stderr
    assert "\x1b[" not in done.stderr
    assert done.stderr.rstrip().endswith(("1 error", "errors", "warnings", "warning"))


def test_an_instance_that_does_not_fit_its_definition(mizzen: Mizzen, definition: Path, instance: Path) -> None:
    instance.write_text(instance.read_text().replace("version: 1.2.3", "version: 3.2.1"))
    assert mizzen("acm", "validate", str(instance))
    done = mizzen.run("acm", "validate", str(instance), "--definition", str(definition))
    assert done.returncode == 1
    assert "in version 1.2.3, not 3.2.1" in done.stderr


def test_a_file_that_cannot_be_read(mizzen: Mizzen, tmp_path: Path) -> None:
    done = mizzen.run("acm", "validate", "nowhere")
    assert done.stderr == "mizzen: nowhere cannot be read: No such file or directory\n"
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "bomb").write_text(
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8))
    )
    for name in ("bytes", "empty", "bomb"):
        done = mizzen.run("acm", "validate", str(tmp_path / name))
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["runtime", "participant", "up"])
def test_a_package_that_is_missing_is_named(mizzen: Mizzen, tmp_path: Path, command: str) -> None:
    """As where Mizzen is installed without its extra."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['uvicorn'] = None\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [mizzen.environment.get("PYTHONPATH")])])
    done = mizzen.run("acm", command, env=mizzen.environment | {"PYTHONPATH": path})
    assert done.returncode == 1
    assert done.stderr == "mizzen: this needs the package uvicorn: pip install 'mizzen[acm]'\n"


def test_every_command_has_help(mizzen: Mizzen) -> None:
    listed = mizzen("acm", "--help").partition("Commands:")[2].split("\n")
    names = [line.split()[0] for line in listed if line.strip()]
    assert len(names) >= 22
    for name in ("up", "deploy", "migrate", "participant", "runtime"):
        assert name in names
        assert mizzen("acm", name, "--help").startswith(f"Usage: mizzen acm {name} ")


def test_nobody_answers_where_nothing_runs(mizzen: Mizzen) -> None:
    done = mizzen.run("acm", "deploy", "anything", "--wait")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"mizzen: no runtime runs in {mizzen.home}/acm; start one with `mizzen acm up -d`")
    assert mizzen("acm", "down") == f"nothing runs in {mizzen.home}/acm\n"
