"""Variables and volumes of running containers, with real paths of volumes and with rewritten ones."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mizzen.apis.core import CONFIG_MAP, POD, SECRET
from node_world import Object, World, shell, status_of, waiting


def secret_text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
async def settings(either: World) -> World:
    """A world with a config map and a secret."""
    data = {"colour": "blue", "size": "large"}
    await either.client.create(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": data}, "default")
    words = {"password": secret_text("s3cret")}
    await either.client.create(SECRET, {"metadata": {"name": "words"}, "data": words}, "default")
    return either


def mounted(volume: Object, path: str = "/mnt/v", **mount: object) -> tuple[Object, list[Object]]:
    """The fields of a container and the volumes of its pod, for one volume at one path."""
    return {"volumeMounts": [{"name": "v", "mountPath": path} | mount]}, [{"name": "v"} | volume]


async def test_variables_of_every_kind(settings: World) -> None:
    wanted = {
        "PLAIN": {"value": "1"},
        "EXPANDED": {"value": "$(PLAIN)-$(UNKNOWN)-$$(PLAIN)"},
        "NAME": {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        "IP": {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        "NODE": {"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        "LABEL": {"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        "CPU": {"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        "COLOUR": {"valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        "PASSWORD": {"valueFrom": {"secretKeyRef": {"name": "words", "key": "password"}}},
        "NONE": {"valueFrom": {"configMapKeyRef": {"name": "nowhere", "key": "x", "optional": True}}},
    }
    container = {
        "command": ["sh", "-c", "env; echo ARG=$0 FROM=$FROM_size", "$(COLOUR)"],
        "env": [{"name": name} | source for name, source in wanted.items()],
        "envFrom": [{"prefix": "FROM_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "words"}}],
        "resources": {"limits": {"cpu": "1500m"}},
    }
    text = await settings.output("job", container, metadata={"labels": {"app": "web"}})
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    pod = await settings.pod("job")
    assert pod is not None
    assert found["PLAIN"] == "1"
    assert found["EXPANDED"] == "1-$(UNKNOWN)-$(PLAIN)"
    assert found["NAME"] == found["HOSTNAME"] == "job"
    assert found["IP"] == found["POD_IP"] == found["MIZZEN_BIND_ADDRESS"] == pod["status"]["podIP"]
    assert found["NODE"] == "n1"
    assert found["LABEL"] == "web"
    assert found["CPU"] == "2"
    assert found["MIZZEN_CPU"] == "1.5"
    assert found["MIZZEN_NAMESPACE"] == "default"
    assert found["MIZZEN_CLUSTER_GATEWAY"] == "127.0.0.1:9"
    assert found["COLOUR"] == "blue"
    assert found["FROM_colour"] == "blue"
    assert found["PASSWORD"] == found["password"] == "s3cret"
    assert "NONE" not in found
    assert "KUBERNETES_SERVICE_HOST" not in found
    assert found["ARG"] == "blue FROM=large"


async def test_a_variable_that_is_not_there_yet(settings: World) -> None:
    source = {"valueFrom": {"configMapKeyRef": {"name": "later", "key": "word"}}}
    await settings.run("job", shell("echo $WORD", env=[{"name": "WORD"} | source]), restartPolicy="Never")
    pod = await settings.until("job", lambda pod: waiting(pod) == "CreateContainerConfigError")
    assert status_of(pod)["state"]["waiting"]["message"] == 'configmap "later" not found'
    assert await settings.event("job", "Failed") == 'configmap "later" not found'
    await settings.client.create(CONFIG_MAP, {"metadata": {"name": "later"}, "data": {"other": "x"}}, "default")
    await settings.until("job", lambda pod: "couldn't find key word in ConfigMap default/later" in str(pod))
    await settings.client.patch(CONFIG_MAP, "later", "default", {"data": {"word": "now"}})
    await settings.finished("job")
    assert await settings.log("job") == "now\n"


@pytest.mark.parametrize(
    ("volume", "script", "wanted"),
    [
        ({"configMap": {"name": "settings"}}, "cat /mnt/v/colour", "blue"),
        ({"configMap": {"name": "settings", "items": [{"key": "size", "path": "a/b"}]}}, "cat /mnt/v/a/b", "large"),
        ({"configMap": {"name": "nowhere", "optional": True}}, "ls -A /mnt/v | grep -v '^[.][.]' | wc -l", "0\n"),
        ({"secret": {"secretName": "words"}}, "cat /mnt/v/password", "s3cret"),
        ({"secret": {"secretName": "words", "defaultMode": 0o400}}, "stat -L -c %a /mnt/v/password", "400\n"),
        (
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            "cat /mnt/v/labels",
            'app="web"',
        ),
        (
            {
                "projected": {
                    "sources": [
                        {"configMap": {"name": "settings"}},
                        {"secret": {"name": "words", "items": [{"key": "password", "path": "secret/word"}]}},
                        {"downwardAPI": {"items": [{"path": "pod", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                    ]
                }
            },
            "cat /mnt/v/colour /mnt/v/secret/word /mnt/v/pod",
            "blues3cretjob",
        ),
        ({"emptyDir": {"medium": "Memory"}}, "echo x > /mnt/v/there && cat /mnt/v/there", "x\n"),
        ({"hostPath": {"path": "/etc", "type": "Directory"}}, "test -e /mnt/v/passwd && echo there", "there\n"),
    ],
)
async def test_volumes_of_every_kind(settings: World, volume: Object, script: str, wanted: str) -> None:
    fields, volumes = mounted(volume)
    text = await settings.output("job", shell(script, **fields), volumes=volumes, metadata={"labels": {"app": "web"}})
    assert text == wanted


async def test_a_part_of_a_volume(settings: World) -> None:
    mounts = [
        {"name": "v", "mountPath": "/mnt/colour.txt", "subPath": "colour"},
        {"name": "scratch", "mountPath": "/mnt/scratch", "subPathExpr": "of/$(POD)"},
    ]
    container = shell(
        "cat /mnt/colour.txt; touch /mnt/scratch/there",
        volumeMounts=mounts,
        env=[{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    )
    volumes = [{"name": "v", "configMap": {"name": "settings"}}, {"name": "scratch", "emptyDir": {}}]
    assert await settings.output("job", container, volumes=volumes) == "blue"
    pod = await settings.pod("job")
    assert pod is not None
    assert (settings.folder(pod) / "volumes/scratch/of/job/there").exists()


async def test_volumes_that_change_are_seen_to_change(settings: World) -> None:
    labels = {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
    container = shell(
        "while :; do echo $(cat /mnt/v/colour /mnt/l/labels); sleep 0.05; done",
        volumeMounts=[{"name": "v", "mountPath": "/mnt/v"}, {"name": "l", "mountPath": "/mnt/l"}],
    )
    volumes = [{"name": "v", "configMap": {"name": "settings"}}, {"name": "l"} | labels]
    await settings.run("reader", container, volumes=volumes, metadata={"labels": {"app": "web"}})
    await settings.says("reader", 'blueapp="web"')
    await settings.client.patch(CONFIG_MAP, "settings", "default", {"data": {"colour": "red"}})
    await settings.says("reader", 'redapp="web"')
    await settings.client.patch(POD, "reader", "default", {"metadata": {"labels": {"app": "shop"}}})
    await settings.says("reader", 'redapp="shop"')


async def test_a_volume_whose_source_comes_later(settings: World) -> None:
    fields, volumes = mounted({"secret": {"secretName": "later"}})
    await settings.run("job", shell("cat /mnt/v/x", **fields), volumes=volumes, restartPolicy="Never")
    sentence = 'MountVolume.SetUp failed for volume "v": secret "later" not found'
    assert await settings.event("job", "FailedMount") == sentence
    pod = await settings.until("job", waiting)
    assert status_of(pod)["state"]["waiting"]["message"] == sentence
    await settings.client.create(
        SECRET, {"metadata": {"name": "later"}, "data": {"x": secret_text("found")}}, "default"
    )
    await settings.finished("job")
    assert await settings.log("job") == "found"


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"persistentVolumeClaim": {"claimName": "models"}}, "persistentVolumeClaim volumes are not built yet"),
        ({"hostPath": {"path": "/no/such/place"}}, "hostPath /no/such/place does not exist on this machine"),
        ({"hostPath": {"path": "/etc", "type": "File"}}, "hostPath type check failed: /etc is not a File"),
        ({"configMap": {"name": "settings", "items": [{"key": "no", "path": "x"}]}}, "non-existent configmap key: no"),
    ],
)
async def test_a_volume_that_cannot_be(settings: World, volume: Object, said: str) -> None:
    fields, volumes = mounted(volume)
    await settings.run("job", shell("true", **fields), volumes=volumes)
    assert said in await settings.event("job", "FailedMount")


async def test_a_container_starts_in_a_folder_of_its_own(settings: World) -> None:
    text = await settings.output("job", shell("pwd; touch here"))
    pod = await settings.pod("job")
    assert pod is not None
    assert Path(text.strip()) == settings.folder(pod) / "containers/main/0/work"


async def test_a_working_directory_in_a_volume(settings: World) -> None:
    fields, volumes = mounted({"emptyDir": {}})
    text = await settings.output("job", shell("touch there; ls /mnt/v", workingDir="/mnt/v", **fields), volumes=volumes)
    assert text == "there\n"


async def test_a_message_from_a_path_of_ones_own(settings: World) -> None:
    container = shell("echo why > /mnt/last-words; exit 1", terminationMessagePath="/mnt/last-words")
    await settings.run("job", container, restartPolicy="Never")
    pod = await settings.finished("job")
    assert status_of(pod)["state"]["terminated"]["message"] == "why\n"
