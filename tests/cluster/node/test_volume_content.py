"""What is in the volumes that Kubernetes fills, and how a folder changes all at once."""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mizzen.cluster.node import atomicdir, podfolder, projections
from mizzen.cluster.node.errors import ConfigMissing
from mizzen.cluster.node.podspec import Facts
from mizzen.cluster.node.projections import File
from mizzen.cluster.node.references import Objects, Reference

OBJECTS: Objects = {
    Reference("configmap", "settings"): {"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAE="}},
    Reference("secret", "words"): {"data": {"x": base64.b64encode(b"s").decode()}},
}
FACTS = Facts(pod={"metadata": {"name": "web", "labels": {"app": "shop"}}, "spec": {"containers": [{"name": "main"}]}})


def content(volume: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    return {path: tuple(file) for path, file in projections.payload(volume, OBJECTS, FACTS).files.items()}


@pytest.mark.parametrize(
    ("volume", "wanted"),
    [
        (
            {"configMap": {"name": "settings"}},
            {"a": (b"1", 0o644), "b": (b"2", 0o644), "c": (b"\0\x01", 0o644)},
        ),
        (
            {"configMap": {"name": "settings", "defaultMode": 0o600, "items": [{"key": "a", "path": "x/y"}]}},
            {"x/y": (b"1", 0o600)},
        ),
        (
            {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x", "mode": 0o400}]}},
            {"x": (b"1", 0o400)},
        ),
        ({"configMap": {"name": "none", "optional": True}}, {}),
        ({"configMap": {"name": "settings", "optional": True, "items": [{"key": "no", "path": "x"}]}}, {}),
        ({"secret": {"secretName": "words"}}, {"x": (b"s", 0o644)}),
        (
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"l": (b'app="shop"', 0o644)},
        ),
        (
            {
                "projected": {
                    "defaultMode": 0o440,
                    "sources": [
                        {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x"}]}},
                        {"secret": {"name": "words"}},
                        {"serviceAccountToken": {"path": "token"}},
                    ],
                }
            },
            {"x": (b"s", 0o440)},
        ),
    ],
)
def test_content(volume: dict[str, Any], wanted: dict[str, tuple[bytes, int]]) -> None:
    assert content({"name": "v"} | volume) == wanted


def test_a_token_is_told_to_be_missing() -> None:
    volume = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    assert projections.payload(volume, {}, FACTS).missing == ["serviceAccountToken: nothing on this node provides it"]


def test_what_a_volume_needs() -> None:
    volume = {"projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "words"}}]}}
    assert projections.references(volume) == set(OBJECTS)
    assert projections.references({"secret": {"secretName": "words"}}) == {Reference("secret", "words")}
    assert projections.references({"emptyDir": {}}) == set()
    assert projections.is_downward({"projected": {"sources": [{"downwardAPI": {}}]}})
    assert not projections.is_downward(volume)


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "words", "items": [{"key": "y", "path": "y"}]}}, "non-existent secret key: y"),
        ({"configMap": {"name": "settings", "items": [{"key": "a", "path": "../x"}]}}, "leads out of its volume"),
        ({"configMap": {"name": "settings", "items": [{"key": "a", "path": "/x"}]}}, "leads out of its volume"),
        ({"configMap": {"name": "settings", "items": [{"key": "a", "path": "..data"}]}}, "leads out of its volume"),
    ],
)
def test_content_that_cannot_be(volume: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigMissing) as caught:
        content(volume)
    assert said in str(caught.value)


def seen(folder: Path) -> dict[str, bytes]:
    """What a program sees that does not look at hidden names."""
    found = {}
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith("..")]
        for name in files:
            found[str(Path(root, name).relative_to(folder))] = Path(root, name).read_bytes()
    return found


_NAME = st.text("abc", min_size=1, max_size=2)
_TREE = st.dictionaries(
    st.one_of(_NAME.map(lambda name: f"f{name}"), st.tuples(_NAME, _NAME).map(lambda pair: f"d{pair[0]}/{pair[1]}")),
    st.binary(max_size=3),
    max_size=4,
)


@settings(max_examples=40)
@given(st.lists(_TREE, min_size=1, max_size=4))
def test_a_folder_shows_its_newest_content(tmp_path_factory: pytest.TempPathFactory, trees: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("volume")
    before = None
    for tree in trees:
        changed = atomicdir.write(folder, {path: File(data, 0o644) for path, data in tree.items()})
        assert seen(folder) == tree
        assert changed == (tree != before)
        before = tree
    assert len([entry for entry in folder.iterdir() if entry.name.startswith("..")]) == 2


def test_a_reader_sees_all_of_the_old_or_all_of_the_new(tmp_path: Path) -> None:
    def write(number: int) -> None:
        atomicdir.write(tmp_path, {name: File(str(number).encode(), 0o644) for name in ("a", "b")})

    write(0)
    done = threading.Event()
    torn = []

    def read() -> None:
        while not done.is_set():
            # One look through the link, as a program that cares takes it.
            data = (tmp_path / "..data").resolve()
            try:
                pair = (data / "a").read_bytes(), (data / "b").read_bytes()
            except FileNotFoundError:
                continue
            if pair[0] != pair[1]:
                torn.append(pair)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        write(number)
    done.set()
    reader.join()
    assert torn == []


def test_modes_are_kept(tmp_path: Path) -> None:
    atomicdir.write(tmp_path, {"a": File(b"x", 0o400)})
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o400
    assert atomicdir.write(tmp_path, {"a": File(b"x", 0o440)})
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o440


def test_a_folder_without_rights_is_removed_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "pod"
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "inner" / "deep" / "file").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model").touch()
    (folder / "link").symlink_to(outside)
    (folder / "inner" / "deep").chmod(0)
    (folder / "inner").chmod(0o500)
    podfolder.remove(folder)
    assert not folder.exists()
    assert (outside / "model").exists()
