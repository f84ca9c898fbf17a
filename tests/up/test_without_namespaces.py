"""An installation where mount namespaces are refused says what is missing and what works, and serves all the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import contextmanager

import pytest

from installed import ANY_PORTS, Mizzen, iris_manifest, new_home, train, until

FLOWER = [[5.1, 3.5, 1.4, 0.2]]
# A user namespace in which the system's limit of mount namespaces is none.
_REFUSING = 'echo 0 > /proc/sys/user/max_mnt_namespaces && exec "$@"'


@contextmanager
def refused():
    """A home whose installation may make no mount namespace, whatever this machine permits otherwise."""
    unshare = shutil.which("unshare")
    with new_home() as mizzen:
        prefix = [unshare, "-Ur", "sh", "-ec", _REFUSING, "sh"]
        if unshare and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            mizzen.prefix = prefix
        told = mizzen.run("up", "-d", *ANY_PORTS)
        mizzen.prefix = []
        assert told.returncode == 0, told.stderr
        if "rewritten" not in told.stdout:
            pytest.skip(
                "mount namespaces are permitted, and user namespaces are not permitted, in which to forbid them"
            )
        yield mizzen, told.stdout


def volumes(mizzen: Mizzen) -> str:
    return mizzen.status()["volumes"]


def test_it_is_told_and_a_model_is_served(tmp_path):
    train(tmp_path)
    with refused() as (mizzen, told):
        for text in (told, mizzen("status"), volumes(mizzen)):
            assert "a mount namespace is refused" in text, "what is missing, and why"
            assert "models are served" in text, "what works"
            assert "such as /mnt/models" in text, "what does not"
        condition = next(
            found
            for found in mizzen.objects("nodes")[0]["status"]["conditions"]
            if "namespace" in found.get("message", "")
        )
        assert "a mount namespace is refused" in condition["message"]
        mizzen.apply(iris_manifest(tmp_path))
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", FLOWER) == (200, {"predictions": [0]}))
        mizzen("delete", "isvc", "iris")
        until(lambda: mizzen.objects("pods") == [])
        mizzen("down")
        assert mizzen.processes() == {}


def test_volumes_are_found_by_rewritten_paths():
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "main",
                    "image": "busybox",
                    "command": ["cat", "/etc/settings/colour"],
                    "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
                }
            ],
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        },
    }
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "blue"}}
    with refused() as (mizzen, _):
        mizzen.apply(json.dumps(settings))
        mizzen.apply(json.dumps(pod))
        until(lambda: mizzen.object("pod", "reader").get("status", {}).get("phase") == "Succeeded")
        assert mizzen("logs", "reader") == "blue"
