"""Names of images, and the recipes that they are matched with."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.cluster.node import images, recipes
from mizzen.cluster.node.errors import ImageUnavailable, RecipeError
from mizzen.cluster.node.images import Image
from mizzen.cluster.node.recipes import RecipeBook


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "digest"),
    [
        ("python", "", "python", "", ""),
        ("python:3.12", "", "python", "3.12", ""),
        ("library/python", "", "python", "", ""),
        ("docker.io/library/python:3", "docker.io", "python", "3", ""),
        ("index.docker.io/kserve/sklearnserver", "index.docker.io", "kserve/sklearnserver", "", ""),
        ("kserve/sklearnserver:v0.15.0", "", "kserve/sklearnserver", "v0.15.0", ""),
        ("ghcr.io/kserve/sklearnserver@sha256:ab12", "ghcr.io", "kserve/sklearnserver", "", "sha256:ab12"),
        ("localhost/acme/server", "localhost", "acme/server", "", ""),
        ("localhost:5000/server", "localhost:5000", "server", "", ""),
        ("registry:5000/a/b/server:v1@sha256:ab", "registry:5000", "a/b/server", "v1", "sha256:ab"),
        ("ghcr.io/library/python", "ghcr.io", "library/python", "", ""),
    ],
)
def test_names_of_images(text: str, registry: str, path: str, tag: str, digest: str) -> None:
    assert images.parse(text) == Image(path=path, registry=registry, tag=tag, digest=digest)


@given(st.text())
def test_every_text_is_a_name(text: str) -> None:
    assert images.parse(text).names


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recipes.yaml"


def book(file: Path, *missing: str) -> RecipeBook:
    return RecipeBook(file, installed=lambda module: module not in missing)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("kserve/sklearnserver:v0.15.0", "sklearnserver"),
        ("docker.io/kserve/sklearnserver:latest", "sklearnserver"),
        ("mizzen/sklearnserver", "sklearnserver"),
        ("sklearnserver", "sklearnserver"),
        ("registry.example.com:5000/team/a/sklearnserver@sha256:00", "sklearnserver"),
        ("kserve-sklearnserver:replace", "sklearnserver"),
        ("kserve/xgbserver:v0.15.0", "xgbserver"),
        ("kserve-xgbserver:replace", "xgbserver"),
        ("docker.io/kserve/lgbserver", "lgbserver"),
        ("mizzen/catboostserver:0.1.0", "catboostserver"),
        ("mizzen/pytorchserver", "pytorchserver"),
        ("kserve/huggingfaceserver:latest-gpu", "huggingfaceserver"),
        ("huggingfaceserver:replace", "huggingfaceserver"),
        ("tensorflow/serving:2.6.2", "tensorflow-serving"),
        ("docker.io/tensorflow/serving", "tensorflow-serving"),
        ("mizzen/tensorflow-serving", "tensorflow-serving"),
        ("kserve/predictiveserver", "predictiveserver"),
        ("docker.io/seldonio/mlserver:1.7.1", "mlserver"),
        ("mlserver:replace", "mlserver"),
        ("nvcr.io/nvidia/tritonserver:23.05-py3", "tritonserver"),
        ("kserve-tritonserver:replace", "tritonserver"),
        ("kserve/storage-initializer:v0.15.0", "storage-initializer"),
        ("python:3.12-slim", "python"),
        ("docker.io/library/busybox:1.36", "busybox"),
        ("acme/mizzen-host", "host"),
        ("registry.k8s.io/pause:3.9", "pause"),
    ],
)
def test_what_is_shipped(file: Path, image: str, name: str) -> None:
    found = book(file).find(image)
    assert found.recipe.title == name
    assert bool(found.zygote) == (name.endswith(("server", "serving")))


@pytest.mark.parametrize(
    ("image", "said", "zygote"),
    [
        ("kserve/predictiveserver", ["--model_dir=/mnt/models", "--framework=xgboost"], "xgboost"),
        ("kserve/predictiveserver", ["--framework=sklearn"], "sklearn"),
        ("kserve/predictiveserver", ["--framework=lightgbm"], "lightgbm"),
        ("kserve/predictiveserver", [], "server"),
        ("seldonio/mlserver", ["MLSERVER_MODEL_IMPLEMENTATION=mlserver_sklearn.SKLearnModel"], "sklearn"),
        ("seldonio/mlserver", ["MLSERVER_MODEL_IMPLEMENTATION=mlserver_xgboost.XGBoostModel"], "xgboost"),
        ("seldonio/mlserver", ["MLSERVER_MODEL_IMPLEMENTATION=mlserver_lightgbm.LightGBMModel"], "lightgbm"),
        ("seldonio/mlserver", ["MLSERVER_MODEL_IMPLEMENTATION=mlserver_mlflow.MLflowRuntime"], "mlflow"),
        ("seldonio/mlserver", ["MLSERVER_MODEL_IMPLEMENTATION=acme.Model"], "server"),
        ("seldonio/mlserver", ["start", "/mnt/models"], "server"),
    ],
)
def test_a_server_of_several_frameworks_is_forked_from_the_one_that_it_is_told(
    file: Path, image: str, said: list[str], zygote: str
) -> None:
    assert book(file).find(image, said).recipe.zygote == zygote


def test_what_a_container_is_told() -> None:
    container = {
        "image": "x",
        "args": ["--framework=xgboost"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}, {"name": "C"}],
    }
    assert recipes.told(container) == ["--framework=xgboost", "A=1"]
    assert recipes.told({"image": "x", "args": None, "env": None}) == []


@pytest.mark.parametrize("image", ["acme/python", "nginx", "kserve/pmmlserver", "acme/serving", "sklearnserver-x", ""])
def test_what_is_not(file: Path, image: str) -> None:
    with pytest.raises(ImageUnavailable) as caught:
        book(file).find(image)
    assert f'image "{image}" has no recipe' in str(caught.value)
    assert str(file) in str(caught.value)


RUNTIMES = [name for name in recipes.shipped().zygotes if name != "server"]


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_shipped_zygote_imports_what_its_server_asks_for(name: str) -> None:
    runtime = pytest.importorskip(f"mizzen.serve.runtimes.{name}")
    assert recipes.shipped().zygotes[name].preload == [*runtime.PRELOAD, "mizzen.serve.running.rehearsal"]


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_shipped_zygote_says_what_is_missing_and_only_one_is_warm(name: str) -> None:
    zygote = recipes.shipped().zygotes[name]
    assert zygote.install == f"mizzen[{name}]"
    assert {one.partition(".")[0] for one in zygote.preload} >= set(zygote.requires) - {"joblib"}
    assert zygote.requires
    assert zygote.warm == (name == "sklearn")


def test_shipped_entries_are_there() -> None:
    for recipe in recipes.shipped().recipes:
        if recipe.entry:
            module, _, function = recipe.entry.partition(":")
            assert callable(getattr(importlib.import_module(module), function)), recipe.name


def test_an_initializer_shares_the_homes_cache_and_its_settings() -> None:
    cache = importlib.import_module("mizzen.storage.cache")
    initializer = next(found for found in recipes.shipped().recipes if found.name == "storage-initializer")
    assert {"MIZZEN_HOME", cache.FOLDER, cache.MAX_BYTES, cache.OFFLINE} <= set(initializer.inherit)


def test_the_users_own_come_first_and_are_read_again_when_they_change(file: Path) -> None:
    known = book(file)
    file.write_text("recipes:\n- {images: [python], command: [python3.99]}\n")
    assert known.find("python:3").recipe.command == ["python3.99"]
    file.write_text("recipes:\n- {images: [python], command: [python4, -u]}\n")
    assert known.find("python:3").recipe.command == ["python4", "-u"]
    file.unlink()
    assert known.find("python:3").recipe.name == "python"


def test_patterns_may_name_a_registry_or_a_tag(file: Path) -> None:
    file.write_text(
        """
recipes:
- {images: ["ghcr.io/acme/server"], command: [registry]}
- {images: ["acme/server:v2*"], command: [tag]}
- {images: ["acme/*"], command: [any]}
"""
    )
    known = book(file)
    commands = [
        known.find(image).recipe.command[0] for image in ("ghcr.io/acme/server:v2", "acme/server:v2.1", "acme/x")
    ]
    assert commands == ["registry", "tag", "any"]


def test_a_zygote_of_ones_own(file: Path) -> None:
    file.write_text(
        """
zygotes:
  mine: {preload: [json], warm: true}
recipes:
- {images: [acme/server], entry: "acme:run", zygote: mine}
- {images: [acme/other], entry: "acme:run", zygote: sklearn}
"""
    )
    known = book(file)
    found = known.find("acme/server")
    assert found.zygote is not None and found.zygote.preload == ["json"]
    assert set(known.warm()) == {"mine", "sklearn"}
    assert set(book(file, "sklearn").warm()) == {"mine"}


def test_a_recipe_of_ones_own_for_what_a_container_is_told(file: Path) -> None:
    file.write_text(
        """
recipes:
- {images: [acme/server], when: ["--kind=a*", KIND=a], command: [a]}
- {images: [acme/server], command: [rest]}
"""
    )
    known = book(file)
    said = [["--kind=abc"], ["x", "KIND=a"], ["KIND=ab"], []]
    assert [known.find("acme/server", words).recipe.command[0] for words in said] == ["a", "a", "rest", "rest"]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (("sklearn",), "needs sklearn, which is not installed"),
        (("sklearn", "joblib"), "needs sklearn and joblib, which are not installed"),
    ],
)
def test_what_is_required_and_missing(file: Path, missing: tuple[str, ...], said: str) -> None:
    with pytest.raises(ImageUnavailable) as caught:
        book(file, *missing).find("kserve/sklearnserver")
    assert said in str(caught.value)
    assert "-m pip install 'mizzen[sklearn]'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("recipes: [", ":1: no YAML: "),
        ("a: 1\nrecipes:\n- {images: [x]\n", ":4: no YAML: "),
        ("recipes: 7", ":1: recipes: Expected `array`, got `int`"),
        ("- {images: [x]}", ":1: Expected `object`, got `array`"),
        ("recipes:\n- images: [x]\n  commands: [y]\n", ":3: recipes[0]: unknown field 'commands'"),
        (
            "recipes:\n- images: [x]\n- images: [y]\n  env:\n    A: 1\n",
            ":4: recipes[1].env: Expected `str`, got `int`",
        ),
        ("recipes:\n- command: [y]\n", ":2: recipes[0]: Object missing required field `images`"),
        ("recipes:\n- images: x\n", ":2: recipes[0].images: Expected `array`, got `str`"),
        ("recipes:\n- images: []\n", ":2: recipe 0: it names no image"),
        ("recipes:\n- images: [x]\n  entry: run\n", ":3: recipe x: an entry is written 'package.module:function'"),
        ("recipes:\n- images: [x]\n  entry: a:b\n  command: [y]\n", ":4: recipe x: it has an entry and a command"),
        ("recipes:\n- images: [x]\n  zygote: sklearn\n", ":3: recipe x: a zygote is forked to call an entry"),
        ("recipes:\n- images: [x]\n  entry: a:b\n  zygote: nope\n", ":4: recipe x: no zygote 'nope' is declared"),
        ("recipes: []\nzygotes: {}\nrecipes: []\n", ":3: 'recipes' stands here again (first in line 1)"),
        ("zygotes:\n  a: {preload: [x], warn: true}\n", ":2: zygotes.a: unknown field 'warn'"),
    ],
)
def test_mistakes_are_told_by_their_line(text: str, complaint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.read(text, "/home/me/recipes.yaml", ["sklearn"])
    assert f"/home/me/recipes.yaml{complaint}" in str(caught.value)


def test_a_mistake_leaves_what_was_read_before(file: Path) -> None:
    file.write_text("recipes:\n- {images: [acme/server], command: [server]}\n")
    known = book(file)
    file.write_text("recipes:\n- {images: [acme/server], comand: [server]}\n")
    assert known.find("acme/server").recipe.command == ["server"]
    assert known.problem.startswith(f"{file}:2: ")
    with pytest.raises(ImageUnavailable, match="That file has a mistake and is not read"):
        known.find("acme/other")


def test_a_file_that_cannot_be_read(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    assert "cannot be read" in book(file).problem
    file.unlink()
    file.mkdir()
    assert "cannot be read" in book(file).problem


def test_an_empty_file(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert book(file).problem == ""


def test_what_is_installed() -> None:
    assert recipes.is_installed("json")
    assert not recipes.is_installed("no_such_module")
    assert not recipes.is_installed("no_such_package.module")
    assert not recipes.is_installed("")
