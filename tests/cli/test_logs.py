"""``mizzen logs``: of a pod, of a service, of a container, while it runs."""

import json
import re

import pytest

from installed import until


def pod(name: str, script: str, **spec) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"serving.kserve.io/inferenceservice": "several"}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": "busybox", "command": ["sh", "-c", script]}],
            }
            | spec,
        }
    )


@pytest.fixture
def running(mizzen):
    """Run a pod until it is past its start; it is deleted in the end."""
    made = []

    def run(name: str, script: str, **spec) -> str:
        mizzen.apply(pod(name, script, **spec))
        made.append(name)
        until(lambda: mizzen.object("pod", name).get("status", {}).get("phase") not in (None, "Pending"))
        return name

    yield run
    mizzen("delete", "pod", *made)


def test_the_log_of_a_service_and_of_its_pod_and_containers(mizzen, iris):
    told = mizzen("logs", "isvc/iris")
    assert "model iris" in told
    [name] = mizzen("get", "pods", "-o", "name").split()
    assert mizzen("logs", name) == mizzen("logs", name.removeprefix("pod/")) == told
    assert "fetched" in mizzen("logs", name, "-c", "storage-initializer")
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z .*model iris", mizzen("logs", name, "--timestamps"))


def test_it_is_followed_until_the_container_ends(mizzen, running):
    running("once", "for i in 1 2 3; do echo line $i; sleep 0.3; done; printf unended")
    assert mizzen("logs", "-f", "once") == "line 1\nline 2\nline 3\nunended"
    assert mizzen("logs", "once", "--tail", "2") == "line 3\nunended"


def test_lines_of_any_length_and_bytes_of_any_kind(mizzen, running):
    running("long", "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf '\\377\\n'")
    until(lambda: mizzen.object("pod", "long")["status"]["phase"] == "Succeeded")
    told = mizzen.run("logs", "long", text=False).stdout
    assert told == b"x" * 3_000_000 + b"\n\xff\n"


def test_several_pods_of_a_service_are_told_apart(mizzen, running):
    for name in ("first", "second"):
        running(name, f"echo I am {name}; head -c 300000 /dev/zero | tr '\\0' x; echo; sleep 100")
    until(lambda: mizzen("logs", "isvc/several").count("\n") == 4)
    told = mizzen("logs", "isvc/several").splitlines()
    assert {line[:16] for line in told} == {
        "first: I am firs",
        "second: I am sec",
        "first: xxxxxxxxx",
        "second: xxxxxxxx",
    }
    following = mizzen.start("logs", "-f", "isvc/several")
    seen = {following.stdout.readline().split(":")[0] for _ in range(4)}
    assert seen == {"first", "second"}
    following.terminate()
    following.communicate()


@pytest.fixture
def web(mizzen):
    """A Deployment of two pods, and one pod beside it that is not its own."""
    labels = {"app": "web"}
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", "echo served; exec sleep 100"]}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    mizzen.apply(json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}))
    until(lambda: mizzen.object("deploy", "web").get("status", {}).get("readyReplicas") == 2)
    yield {found["metadata"]["name"] for found in mizzen.objects("pods", "-l", "app=web")}
    mizzen("delete", "deploy", "web")


def test_the_pods_of_a_deployment_and_of_a_replica_set(mizzen, iris, web):
    [replicas] = [name for name in mizzen("get", "rs", "-o", "name").split() if "/web-" in name]
    for name in ("deploy/web", "deployment/web", "deployments/web", "deployment.apps/web", replicas):
        told = mizzen("logs", name).splitlines()
        assert sorted(told) == sorted(f"{pod}: served" for pod in web), name
    [pod, _] = web
    for name in (f"pod/{pod}", f"po/{pod}", f"pods/{pod}"):
        assert mizzen("logs", name) == "served\n"
    assert mizzen("logs", "inferenceservice.serving.kserve.io/iris") == mizzen("logs", "isvc/iris")


@pytest.mark.parametrize("name", ["svc/web", "deploy/", "deployment.example.com/web", "a/b/c"])
def test_what_has_no_log_is_said_with_what_has(mizzen, name):
    refused = mizzen.run("logs", name)
    assert refused.returncode == 2
    assert "logs takes a POD, isvc/NAME, deploy/NAME or rs/NAME" in refused.stderr
    assert name in refused.stderr


def test_the_run_before(mizzen, running):
    running("again", "test -e seen && exec sleep 100; echo first run; touch seen; exit 1", restartPolicy="Always")
    until(lambda: mizzen.object("pod", "again")["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert mizzen("logs", "again", "--previous") == "first run\n"


def test_a_reader_that_has_seen_enough(mizzen, running):
    running("endless", "while :; do echo again; sleep 0.01; done")
    following = mizzen.start("logs", "-f", "endless")
    assert following.stdout.readline() == "again\n"
    following.stdout.close()
    assert following.wait(timeout=30) == 0


def test_what_cannot_be_read_is_said(mizzen, iris):
    for arguments, says in (
        (("nobody",), 'pods "nobody" not found'),
        (("isvc/nobody",), "nobody has no pods"),
        (("deploy/nobody",), 'deployments.apps "nobody" not found'),
        (("isvc/iris", "-c", "nobody"), "nobody"),
    ):
        refused = mizzen.run("logs", *arguments)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert says in refused.stderr
        assert "Traceback" not in refused.stderr
