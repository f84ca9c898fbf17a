"""How files of the cache come into a model's folder, in the places where pods have it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mizzen.cluster.node.runtime import namespaces
from mizzen.cluster.node.runtime.spec import Mount, ProcessSpec
from mizzen.storage.initializer import main
from mizzen.storage.placing import Placer, seen_from
from storage.hub import served
from storage.served import Site
from storage.users import as_nobody, place_for_all

MODEL = bytes(range(256)) * 300


@pytest.fixture
def home() -> Iterator[Path]:
    with place_for_all() as folder:
        yield folder


def test_in_a_pod_of_the_embedded_cluster(site: Site, home: Path) -> None:
    """``/mnt/models`` is a mount there, and the model is shared with the cache all the same."""
    site.answers["/m.bin"] = served(MODEL, ETag='"1"')

    def pod() -> str:
        isolation = namespaces.probe()
        if isolation.mode == "none":
            return f"namespaces are not permitted here: {isolation.reason}"
        os.environ["MIZZEN_MODEL_CACHE"] = str(home / "mine" / "cache")
        Placer._reflink = lambda *arguments, **more: False  # type: ignore[method-assign]  # this process ends soon
        volume = home / "mine" / "volume"
        volume.mkdir(parents=True)
        (home / "mine" / "state").mkdir()
        mounts = [Mount(str(volume), "/mnt/models")]
        spec = ProcessSpec(id="x", state_dir=str(home / "mine" / "state"), log_path="/dev/null", mounts=mounts)
        namespaces.enter(spec)
        status = main([site.url("/m.bin"), "/mnt/models"])
        placed = Path("/mnt/models/m.bin")
        (blob,) = (home / "mine" / "cache" / "v1" / "blobs").glob("*/*")
        assert placed.read_bytes() == MODEL
        assert os.listdir("/mnt/models") == ["m.bin"]
        return f"{status} {placed.samefile(blob)} {os.access(placed, os.W_OK)}"

    result = as_nobody(pod)
    if result.startswith("namespaces are not permitted"):
        pytest.skip(result)
    assert result == "0 True False"


def test_a_folder_that_is_on_the_same_mount_needs_no_other_name(tmp_path: Path) -> None:
    assert seen_from(tmp_path, tmp_path) is None
    assert seen_from(Path("/proc"), tmp_path) is None


def test_another_disk(tmp_path: Path) -> None:
    """Where neither links nor reflinks are possible, there is a copy."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second disk")
    blob = tmp_path / "blob"
    blob.write_bytes(MODEL)
    blob.chmod(0o444)
    target = shared / f"mizzen-test-{os.getpid()}"
    target.mkdir()
    try:
        with blob.open("rb") as file:
            Placer(tmp_path, target).place(blob, file, target / "m", executable=False)
        assert (target / "m").read_bytes() == MODEL
        assert os.access(target / "m", os.W_OK)
    finally:
        for path in (*target.iterdir(), target):
            path.unlink() if path.is_file() else path.rmdir()
