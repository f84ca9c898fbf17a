"""What the code has, the pages name, and what the pages name, the code has."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from doc_pages import DOCS
from mizzen.acm.participant.configuration import load, read
from mizzen.acm.participant.configuration.settings import canonical
from mizzen.acm.participant.kserve import settings as kserve
from mizzen.acm.runtime import config as acm_runtime
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.cli import cli
from mizzen.cli.acm import acm
from mizzen.cluster.apiserver import builtin
from mizzen.cluster.apiserver.builtin.addresses import Addresses
from mizzen.cluster.apiserver.builtin.services import Services
from mizzen.cluster.gateway.metrics import Metrics
from mizzen.cluster.node import recipes
from mizzen.cluster.node.runtime.spec import Isolation
from mizzen.control.inference import config, manifests
from mizzen.control.inference.support import ignored, unsupported
from mizzen.serve import arguments
from mizzen.serve.codecs.datatypes import NUMPY
from mizzen.serve.observing import metrics
from mizzen.storage import uris
from mizzen.up import installation

SOURCES = Path(__file__).parent.parent.parent / "src"


def text(name: str) -> str:
    return (DOCS / name).read_text()


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next one that is not below it."""
    level = len(heading.partition(" ")[0])
    end = rf"^#{{1,{level}}} |\Z"
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?={end})", text(page), re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no heading {heading!r}"
    return found[1]


def rows(part: str) -> list[list[str]]:
    """The cells of the tables in a part of a page."""
    lines = [line for line in part.splitlines() if line.startswith("| ") and not line.startswith("|---")]
    return [[cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    return {name: command for name in cli.list_commands(context) if (command := cli.get_command(context, name))}


def test_every_command_has_its_section() -> None:
    headings = re.findall(r"^## mizzen (\S+)$", text("cli.md"), re.MULTILINE)
    assert headings == list(commands())


@pytest.mark.parametrize("name", [name for name in commands() if name != "acm"])
def test_every_option_is_documented_and_no_other(name: str) -> None:
    options = [found for found in commands()[name].params if isinstance(found, click.Option)]
    known = {spelling for option in options for spelling in (*option.opts, *option.secondary_opts)}
    part = section("cli.md", f"## mizzen {name}")
    listed = [row for row in rows(part) if codes(row[0]) and codes(row[0])[0].startswith("-")]
    documented = {word.split()[0] for row in listed for word in codes(row[0])}
    if name == "serve":  # its arguments are the server's
        known = {option for one in arguments._parser("mizzen serve", True)._actions for option in one.option_strings}
        assert documented <= known
        return
    assert documented == known
    for option in options:
        row = next(row for row in listed if {word.split()[0] for word in codes(row[0])} & set(option.opts))
        if option.show_default and option.name not in ("wait",):
            assert str(option.default) in row[1], f"the default of {option.opts} is {option.default}"


def acm_commands() -> dict[str, click.Command]:
    context = click.Context(acm)
    return {name: found for name in acm.list_commands(context) if (found := acm.get_command(context, name))}


def acm_options(name: str) -> list[click.Option]:
    """Those that are shown; the others are between the parts of a set."""
    return [one for one in acm_commands()[name].params if isinstance(one, click.Option) and not one.hidden]


def acm_rows(heading: str) -> dict[str, list[str]]:
    """The rows of options below a heading, up to the next one of any level, by the long spelling of the option."""
    part = re.split(r"^#", section("cli.md", heading), maxsplit=1, flags=re.MULTILINE)[0]
    named = [([word.split()[0] for word in codes(row[0])], row) for row in rows(part)]
    return {words[-1]: row for words, row in named if words and words[0].startswith("-")}


def test_every_command_of_acm_has_its_section_and_its_row() -> None:
    part = section("cli.md", "## mizzen acm")
    assert re.findall(r"^### mizzen acm (\S+)$", part, re.MULTILINE) == list(acm_commands())
    listed = [row for row in rows(part) if re.match(r"\[`\w+`\]\(#mizzen-acm-", row[0])]
    assert [codes(row[0])[0] for row in listed] == list(acm_commands())
    for row in listed:
        spelt = {word for option in acm_options(codes(row[0])[0]) for word in option.opts}
        assert (("--url" in spelt), ("--wait" in spelt)) == ("asks" in row[2], "waits" in row[2]), row[0]


@pytest.mark.parametrize("name", acm_commands())
def test_every_option_of_a_command_of_acm_is_documented_and_no_other(name: str) -> None:
    options = acm_options(name)
    known = {option.opts[-1] for option in options}
    asking, waiting = acm_rows("### Which runtime is asked"), acm_rows("### Waiting")
    documented = acm_rows(f"### mizzen acm {name}")
    shared = (asking if "--url" in known else {}) | (waiting if "--wait" in known else {})
    assert set(documented) | set(shared) == known
    assert not set(documented) & set(shared)
    for option in options:
        row = (documented | shared)[option.opts[-1]]
        assert {word.split()[0] for word in codes(row[0])} == {*option.opts, *option.secondary_opts}
        if option.show_default:
            assert f"{option.default:g}" if isinstance(option.default, float) else str(option.default) in row[1]
        if isinstance(option.type, click.Choice):
            assert all(choice in row[0] for choice in option.type.choices)
        if option.envvar:
            assert str(option.envvar) in row[2]


def test_every_variable_of_ours_is_documented_and_no_other() -> None:
    found = {name for file in _sources() for name in re.findall(r"\bMIZZEN_[A-Z_]+\b", file.read_text())}
    table = section("cli.md", "## Environment variables")
    assert set(re.findall(r"\bMIZZEN_[A-Z_]+\b", table)) == found


def test_variables_of_others_that_we_read_are_documented() -> None:
    """Those that stand as texts in the code of what a user starts."""
    table = section("cli.md", "## Environment variables")
    read = {"CONFIDENTIAL_ENABLED"}
    for file in _sources():
        # The kserve package's constants have such names, and are none.
        if {"storage", "serve"} & set(file.parts) and "kserve" not in file.parts:
            read |= set(re.findall(r'"((?:STORAGE|CA_BUNDLE|REQUESTS|KSERVE|PREDICT)_[A-Z_]+)"', file.read_text()))
    assert len(read) > 8
    assert {name for name in read if name not in table} == set()
    assert "-headers" in table


def test_variables_and_settings_of_the_acm_runtime_are_documented() -> None:
    listed = rows(section("acm.md", "### The runtime"))
    documented = {codes(row[0])[0]: row for row in listed if codes(row[0])}
    fields = {field.name: field for field in msgspec.structs.fields(acm_runtime.Settings)}
    assert set(documented) == set(fields)
    variables = dict(acm_runtime.ENVIRONMENT)
    variables |= dict.fromkeys(acm_runtime._KAFKA, "kafka")
    variables |= dict.fromkeys(acm_runtime._SQL, "database")
    assert {variable: name for name, row in documented.items() for variable in codes(row[1])} == variables
    for name, row in documented.items():
        default = fields[name].default
        assert default in (msgspec.NODEFAULT, "") or f"`{_shown(default)}`" in row[2], f"the default of {name}"
    table = section("cli.md", "## Environment variables")
    assert {variable for variable in variables if f"`{variable}`" not in table} == set()


def _shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


# What of both shapes is only asked for where it is there.
_EVERY_KEY = """
participant.intermediaryParameters:
  clampAutomationCompositionTopics:
    topicSources:
      - &source {topic: a, servers: [b], topicCommInfrastructure: kafka, useHttps: false, allowTracing: false,
                 fetchTimeout: 1, fetchLimit: 1, selfSerializer: true, additionalProps: {group.id: g}}
      - *source
    topicSinks: [*source]
  kafka.consumer.properties: {client.id: a}
  kafka.producer.properties: {client.id: a}
"""


def test_keys_of_the_participant_are_those_that_are_asked_for(tmp_path: Path) -> None:
    older = tmp_path / "older.yaml"
    older.write_text(_EVERY_KEY)
    shipped = SOURCES / "mizzen" / "acm" / "participant" / "kserve" / "application.yaml"
    settings = load([shipped, older], {"POD_UID": "1"})
    read(settings)
    kserve.configured(settings)
    ours = [f"{kserve.CUSTOM_RESOURCE}.{key}" for key in kserve.CUSTOM_RESOURCE_KEYS]
    ours += [f"{kserve.KSERVE}.{key}" for key in kserve.KSERVE_KEYS]
    asked = {re.sub(r"\.\d+", ".0", key).removesuffix(".0") for key in settings._read} | {
        canonical(key) for key in ours
    }

    # Whole branches are written with a star: maps for the Kafka client, and what is passed over.
    branches, listed = set(), {}
    for heading, above in (
        ("#### Who it is and what it hears", "participant.intermediaryParameters."),
        ("#### The shape up to release 9.1.0", "participant.intermediaryParameters.clampAutomationCompositionTopics."),
        ("#### Beside these", ""),
        ("#### Passed over", ""),
    ):
        for row in rows(section("acm.md", heading))[1:]:
            for key in codes(row[0]):
                path = canonical(above + key.replace("[]", "[0]"))
                listed[path.removesuffix(".*")] = row
                branches |= {path.removesuffix(".*")} if key.endswith(".*") else set()
    known = {key for key in asked if key in listed or any(key.startswith(f"{branch}.") for branch in branches)}
    assert asked - known == set()
    assert {key for key in listed if not any(one == key or one.startswith(f"{key}.") for one in asked)} == set()

    defaults = {field.name: field.default for field in msgspec.structs.fields(kserve.Settings)}
    for key, (name, _) in kserve.KSERVE_KEYS.items():
        default = defaults[name]
        shown = _shown(int(default) if isinstance(default, float) else default)
        assert default in ((), "") or f"`{shown}`" in listed[canonical(f"{kserve.KSERVE}.{key}")][1], key


def _sources() -> Iterator[Path]:
    yield from SOURCES.rglob("*.py")
    yield from SOURCES.rglob("*.yaml")


def test_settings_are_those_that_are_read() -> None:
    documented = {
        (codes(row[0])[0], name.split(".")[-1])
        for row in rows(section("inference-services.md", "## Settings"))
        if codes(row[0])
        for name in codes(row[1])
    }
    assert documented == set(_settings())


def _settings() -> Iterator[tuple[str, str]]:
    for key in msgspec.structs.fields(config.Config):
        if isinstance(key.type, type) and issubclass(key.type, msgspec.Struct):
            camel = re.sub(r"_(\w)", lambda found: found[1].upper(), key.name)
            for name in _leaves(key.type):
                yield camel, name


def _leaves(struct: type[msgspec.Struct]) -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        inner = [kind for kind in (field.type, *getattr(field.type, "__args__", ())) if isinstance(kind, type)]
        structs = [kind for kind in inner if issubclass(kind, msgspec.Struct)]
        if structs:
            yield from _leaves(structs[0])
        else:
            yield field.encode_name


_EVERYTHING = {
    "metadata": {"name": "x", "annotations": {config.MODE_ANNOTATION: "Serverless"}},
    "spec": {
        "transformer": {"containers": [{"name": "c"}]},
        "explainer": {"containers": [{"name": "c"}]},
        "canary": [{"predictor": {"name": "c"}, "trafficPercent": 1}],
        "predictor": {
            "canaryTrafficPercent": 1,
            "logger": {"mode": "all"},
            "batcher": {"maxBatchSize": 1},
            "workerSpec": {"pipelineParallelSize": 1},
            "storageUris": [{"uri": "x"}],
            "storageContainerName": "c",
            "maxReplicas": 9,
            "scaleTarget": 1,
            "scaleMetric": "cpu",
            "autoScaling": {"metrics": []},
            "model": {
                "modelFormat": {"name": "sklearn"},
                "storage": {"key": "k"},
                "confidential": {"enabled": True},
                "storageUri": "hdfs://x/y",
            },
        },
    },
}


def test_what_is_not_served_is_listed() -> None:
    isvc = msgspec.convert(_EVERYTHING, InferenceService)
    part = section("inference-services.md", "### Stored, but not served yet")
    sentences = unsupported(isvc, "Knative")
    assert len(sentences) == 13
    for sentence in sentences:
        field = sentence.split()[0].rstrip(":")
        leaf = re.sub(r"^metadata\.annotations\[(.*)\]$", r"\1", field).removeprefix("spec.predictor.model.storageU")
        assert leaf in part or f"storageU{leaf}" in part, f"{field} is not served, and the page does not say so"


def test_what_is_accepted_without_effect_is_listed() -> None:
    part = section("inference-services.md", "### Accepted without effect")
    fields = ignored(msgspec.convert(_EVERYTHING, InferenceService))
    assert len(fields) == 4
    assert [field for field in fields if f"`{field.rpartition('.')[2]}`" not in part] == []


def test_metrics_are_those_that_are_exposed() -> None:
    listed = {codes(row[0])[0] for row in rows(section("serve.md", "## Metrics")) if codes(row[0])}
    assert listed == set(metrics.names())
    ours = re.findall(r"^# TYPE (\S+)", Metrics(lambda: 0).text().decode(), re.MULTILINE)
    assert [name for name in ours if name not in text("inference-services.md")] == []


def test_datatypes_are_those_of_the_protocol() -> None:
    cells = [row[0] for row in rows(section("protocols-rest.md", "## Datatypes"))]
    assert {code for cell in cells for code in codes(cell) if code.isupper() and " " not in code} == set(NUMPY)


def test_arguments_of_the_server_are_documented() -> None:
    listed = {code for row in rows(section("serve.md", "## Arguments")) for code in codes(row[0])}
    options = {
        spelling
        for action in arguments._parser("mizzen.serve", positional=False)._actions
        for spelling in action.option_strings
        if spelling not in arguments._IDLE
    }
    assert listed == options


def test_schemes_and_archives_are_those_of_the_code() -> None:
    page = text("storage.md")
    download = importlib.import_module("mizzen.storage.download")  # the package has a function of this name
    assert [scheme for scheme in download._NOT_YET if f"`{scheme}://`" not in page] == []
    assert [suffix for suffix in uris._ARCHIVES if f"`{suffix}`" not in page] == []


def test_shipped_recipes_are_listed() -> None:
    listed = {codes(row[0])[0]: codes(row[1]) for row in rows(section("recipes.md", "## The shipped ones"))[1:]}
    assert listed == {recipe.name: recipe.images for recipe in recipes.shipped().recipes}


@pytest.mark.parametrize(("heading", "struct"), [("## Fields", recipes.Recipe), ("### Zygotes", recipes.Zygote)])
def test_fields_of_recipes_are_documented(heading: str, struct: type[msgspec.Struct]) -> None:
    part = section("recipes.md", heading).partition("### ")[0]
    listed = {codes(row[0])[0] for row in rows(part) if codes(row[0])}
    assert listed == {field.encode_name for field in msgspec.structs.fields(struct)}


def test_kinds_are_those_that_are_served() -> None:
    served = {found.definition.kind for found in builtin.resources(Services(Addresses("127.1.128.0/17")))}
    served |= {crd["spec"]["names"]["kind"] for crd in manifests.crds()} | {"CustomResourceDefinition"}
    cells = [row[0] for row in rows(section("kubernetes.md", "## Kinds"))[1:]]
    assert {kind for cell in cells for kind in cell.split(", ")} == served


@pytest.mark.parametrize("page", ["recipes.md", "troubleshooting.md"])
def test_what_is_said_without_namespaces_is_what_the_pages_print(page: str) -> None:
    reason = "a mount namespace is refused"
    assert installation._mounts(Isolation("none", reason)) in text(page)


def test_the_names_of_rows_are_not_lost() -> None:
    """The tests above read tables; here is what they make of one."""
    table = "| a | b |\n|---|---|\n| `x`, `y\\|z` | one |\n"
    assert rows(table) == [["a", "b"], ["`x`, `y|z`", "one"]]
    assert codes("`x`, `y|z`") == ["x", "y|z"]
