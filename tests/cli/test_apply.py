"""``mizzen apply``: what is right is stored, and what is wrong is told with its file, line, field and value."""

import json

import pytest

from installed import iris_manifest

SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: %s}
data: {colour: %s}
"""


def settings(name: str, colour: str = "red") -> str:
    return SETTINGS % (name, colour)


def names(mizzen) -> set[str]:
    return {found["metadata"]["name"] for found in mizzen.objects("cm")} - {"kube-root-ca.crt"}


@pytest.fixture
def clean(mizzen):
    """No configuration maps are left for the tests to come."""
    yield
    left = names(mizzen)
    if left:
        mizzen("delete", "cm", *left)


def test_a_file_is_created_left_and_configured(mizzen, tmp_path, clean):
    file = tmp_path / "settings.yaml"
    file.write_text(settings("one"))
    assert mizzen("apply", "-f", str(file)) == "configmap/one created\n"
    assert mizzen("apply", "-f", str(file)) == "configmap/one unchanged\n"
    file.write_text(settings("one", "blue"))
    assert mizzen("apply", "--dry-run", "-f", str(file)) == "configmap/one configured (dry run)\n"
    assert mizzen.object("cm", "one")["data"] == {"colour": "red"}
    assert mizzen("apply", "-f", str(file)) == "configmap/one configured\n"
    assert mizzen.object("cm", "one")["data"] == {"colour": "blue"}
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n")
    mizzen("apply", "-f", str(file))
    assert "data" not in mizzen.object("cm", "one"), "what the manifest leaves out now is gone"


def test_an_inference_service_applied_again_is_unchanged(mizzen, model):
    for verb in ("created", "unchanged", "unchanged"):
        told = mizzen("apply", "-f", "-", input=iris_manifest(model))
        assert told == f"inferenceservice.serving.kserve.io/iris {verb}\n"
    assert mizzen.object("isvc", "iris")["metadata"]["generation"] == 1
    mizzen("delete", "isvc", "iris")


def test_folders_lists_several_files_and_several_documents(mizzen, tmp_path, clean):
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "b.yaml").write_text(f"---\n{settings('b1')}---\n---\n{settings('b2')}...\n")
    (folder / "a.json").write_text(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))
    (folder / "README.md").write_text("no manifest")
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in ("c1", "c2")]
    (tmp_path / "list.yml").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent="\t"))
    told = mizzen("apply", "-f", str(folder), "-f", str(tmp_path / "list.yml"), "-f", "-", input=settings("d"))
    assert [line.split()[0] for line in told.splitlines()] == [
        f"configmap/{name}" for name in ("a", "b1", "b2", "c1", "c2", "d")
    ]
    assert names(mizzen) == {"a", "b1", "b2", "c1", "c2", "d"}


def test_a_manifest_may_name_its_namespace_or_be_told_one(mizzen):
    mizzen("apply", "-f", "-", input="apiVersion: v1\nkind: Namespace\nmetadata: {name: apart}\n")
    mizzen("apply", "-n", "apart", "-f", "-", input=settings("told"))
    mizzen("apply", "-f", "-", input=settings("named").replace("{name: named}", "{name: named, namespace: apart}"))
    assert mizzen.object("cm", "told", "apart")["data"] == mizzen.object("cm", "named", "apart")["data"]
    refused = mizzen.run("apply", "-n", "nowhere", "-f", "-", input=settings("lost"))
    assert refused.returncode == 1
    assert 'namespaces "nowhere" not found' in refused.stderr
    mizzen("delete", "ns", "apart")


def test_values_are_read_as_kubectl_reads_them(mizzen, clean):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: v, annotations: {day: 2024-01-01}}\ndata: {1: 'x', on: y}"
    refused = mizzen.run("apply", "-f", "-", input=text)
    assert refused.returncode == 1
    assert "data.true" in refused.stderr
    mizzen("apply", "-f", "-", input=text.replace("on: y", "'on': 'y'"))
    stored = mizzen.object("cm", "v")
    assert stored["data"] == {"1": "x", "on": "y"}
    assert stored["metadata"]["annotations"] == {"day": "2024-01-01"}


MALFORMED = {
    "yaml": ("a: b\n  c: d\n", ["line 2, column 4", "mapping values are not allowed", "`c: d`"]),
    "unclosed": ("a: [1, 2\nb: 3\n", ["line 2", "is not valid YAML"]),
    "tab": ("a:\n\tb: 1\n", ["line 2, column 1", "a tab"]),
    "json": ('{"a": 1,,}', ["line 1, column 9"]),
    "bytes": (b"a: \xff\xfe\n", ["not UTF-8", "line 1, column 4", "0xff"]),
    "list": ("- a\n- b\n", ["a list, not an object"]),
    "text": ("hello\n", ["a text, not an object"]),
    "nothing": ("# only a comment\n", ["holds no object"]),
    "nameless": ("kind: ConfigMap\nmetadata: {}\n", ["apiVersion and metadata.name are missing"]),
    "twice": (settings("x").replace("\ndata:", "\nkind: Secret\ndata:"), ["the key kind stands twice"]),
    "number": (settings("x").replace("red", "123456789012345678901234"), ["64 bits", "123456789012345678901234"]),
    "alias": ("a: *b\n", ["line 1", "b"]),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_manifest_is_told_with_its_file_and_line(mizzen, tmp_path, case):
    text, says = MALFORMED[case]
    file = tmp_path / "wrong.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused = mizzen.run("apply", "-f", str(file))
    assert refused.returncode == 1
    assert refused.stdout == ""
    for part in [str(file), *says]:
        assert part in refused.stderr
    assert "Traceback" not in refused.stderr


def test_standard_input_is_named_as_such(mizzen):
    refused = mizzen.run("apply", "-f", "-", input=b"a: \xff", text=False)
    assert refused.returncode == 1
    assert b"standard input is not UTF-8: line 1, column 4" in refused.stderr


def test_all_mistakes_are_told_at_once_and_nothing_is_sent(mizzen, tmp_path):
    (tmp_path / "good.yaml").write_text(settings("good"))
    (tmp_path / "one.yaml").write_text("a: b: c\n")
    (tmp_path / "two.yaml").write_text(f"{settings('fine')}---\n\n# a comment\nkind: Pod\n---\n- x\n")
    refused = mizzen.run("apply", "-f", str(tmp_path), "-f", str(tmp_path / "absent.yaml"), "-f", str(tmp_path / "no"))
    assert refused.returncode == 1
    assert "5 mistakes" in refused.stderr
    for part in (
        "one.yaml is not valid YAML: line 1",
        "two.yaml:9 (document 2): apiVersion and metadata are missing",
        "two.yaml:11 (document 3): is a list",
        "absent.yaml: No such file",
        "no: No such file",
    ):
        assert part in refused.stderr
    assert names(mizzen) == set()


def service(**fields) -> str:
    whole = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "wrong"},
        "spec": {"predictor": {"sklearn": {"storageUri": "file:///x"}}},
    }
    return json.dumps(whole | fields)


REFUSED = {
    "an unknown kind": (service(kind="Nonsense"), ['no matches for kind "Nonsense"', "serving.kserve.io/v1beta1"]),
    "a version that is not served": (
        service(apiVersion="serving.kserve.io/v1"),
        ["InferenceService is served as serving.kserve.io/v1beta1"],
    ),
    "an unknown field": (
        service(spec={"predictor": {"sklearn": {"storageUrl": "x"}}}),
        ['unknown field "spec.predictor.sklearn.storageUrl"'],
    ),
    "a wrong type": (
        service(spec={"predictor": {"minReplicas": "many", "sklearn": {}}}),
        ["spec.predictor.minReplicas", "integer", '"many"'],
    ),
    "wrong types, all of them": (
        service(spec={"predictor": {"minReplicas": "many", "maxReplicas": 1.5, "sklearn": {}}}),
        ["spec.predictor.minReplicas", '"many"', "spec.predictor.maxReplicas", "1.5"],
    ),
    "a wrong type of a built-in kind": (
        json.dumps(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": "two"}}
        ),
        ["spec.replicas of type int32", '"two"'],
    ),
    "two frameworks": (service(spec={"predictor": {"sklearn": {}, "xgboost": {}}}), ["sklearn, xgboost"]),
    "a name that is no label": (service(metadata={"name": "Iris_1"}), ["metadata.name", "Iris_1"]),
    "more at least than at most": (
        service(spec={"predictor": {"minReplicas": 3, "maxReplicas": 2, "sklearn": {}}}),
        ["spec.predictor.minReplicas", "3", "2"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_api_refuses_is_told_with_file_field_and_value(mizzen, tmp_path, case):
    text, says = REFUSED[case]
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    refused = mizzen.run("apply", "-f", str(file))
    assert refused.returncode == 1
    assert refused.stdout == ""
    for part in [f"{file}: ", *says]:
        assert part in refused.stderr
    assert "could not be applied" not in refused.stderr, "one object is not counted"
    assert mizzen.objects("deploy" if "built-in" in case else "isvc") == [], "nothing is stored"


def test_of_several_documents_the_right_ones_are_applied_and_every_wrong_one_told(mizzen, tmp_path, clean):
    file = tmp_path / "several.yaml"
    wrong = settings("w1").replace("\ndata:", "\ndat:"), settings("w2").replace("red", "[1]")
    file.write_text("---".join([settings("one"), wrong[0], settings("two"), wrong[1]]))
    refused = mizzen.run("apply", "-f", str(file))
    assert refused.returncode == 1
    assert refused.stdout.splitlines() == ["configmap/one created", "configmap/two created"]
    assert f'{file}:7 (document 2): strict decoding error: unknown field "dat"' in refused.stderr
    assert f"{file}:17 (document 4)" in refused.stderr
    assert "data.colour" in refused.stderr
    assert "2 of 4 objects could not be applied" in refused.stderr
    assert names(mizzen) == {"one", "two"}


def test_the_usage_is_told(mizzen):
    refused = mizzen.run("apply")
    assert refused.returncode == 2
    assert "-f FILE" in refused.stderr
