"""What an installation decides, from files and variables, where all values may be text."""

import pytest

from mizzen.acm.participant.configuration import load
from mizzen.acm.participant.kserve.settings import Settings, SettingsError, configured, read


def test_nothing_said_is_what_java_s_participant_has():
    settings, warnings = read(None, None)
    assert (settings, warnings) == (Settings(), [])
    assert settings.resource.path("a") == "/apis/serving.kserve.io/v1beta1/namespaces/a/inferenceservices"
    assert settings.grace_period == 10


def test_everything_said():
    custom = {"group": "serving.example.com", "version": "v2", "plural": "services", "grace-period": "30"}
    kserve = {
        "namespaces": "models, tests",
        "defaultNamespace": "models",
        "readiness": "index-2",
        "updates": "reject",
        "readyTimeoutSeconds": "600",
        "statusIntervalSeconds": 5,
        "undeployTimeoutSeconds": "40",
        "keepFailed": "true",
        "debounceSeconds": "0.5",
        "callTimeoutSeconds": "10",
        "kubeconfig": "/etc/kubeconfig",
        "generationGraceSeconds": "30",
    }
    settings, warnings = read(custom, kserve)
    assert warnings == []
    assert settings.resource.path() == "/apis/serving.example.com/v2/services"
    assert settings.resource.kind == "InferenceService"
    assert (settings.grace_period, settings.namespaces) == (30, ("models", "tests"))
    assert (settings.readiness, settings.updates, settings.keep_failed) == ("index-2", "reject", True)
    assert (settings.ready_timeout, settings.debounce) == (600, 0.5)


def test_a_list_of_namespaces():
    assert read({}, {"namespaces": ["a", "b"]})[0].namespaces == ("a", "b")


def test_what_is_empty_is_not_said():
    assert read({"group": ""}, {"namespaces": "", "keepFailed": None})[0] == Settings()


def test_what_is_not_known_is_named():
    _, warnings = read({"kind": "x"}, {"namespace": "a"})
    assert [warning.partition(" is not known")[0] for warning in warnings] == [
        "customresourcedefinition.kind",
        "mizzen.kserve.namespace",
    ]


@pytest.mark.parametrize(
    ("custom", "kserve", "told"),
    [
        ({"grace-period": "soon"}, {}, "customresourcedefinition.grace-period: 'soon' is no whole number"),
        ({"grace-period": -1}, {}, "customresourcedefinition.grace-period: -1 is no whole number"),
        ({}, {"readyTimeoutSeconds": "0"}, "mizzen.kserve.readyTimeoutSeconds: '0' must be more than 0"),
        ({}, {"readyTimeoutSeconds": "nan"}, "mizzen.kserve.readyTimeoutSeconds"),
        ({}, {"readyTimeoutSeconds": True}, "mizzen.kserve.readyTimeoutSeconds"),
        ({}, {"readiness": "index-3"}, "'index-3' is not one of ready-by-type, index-2"),
        ({}, {"updates": "maybe"}, "'maybe' is not one of patch, reject"),
        ({}, {"keepFailed": "perhaps"}, "'perhaps' is neither true nor false"),
        ({}, {"namespaces": [1]}, "[1] is no list of namespaces"),
        ({}, {"namespaces": "a", "defaultNamespace": "b"}, "'b' is not among mizzen.kserve.namespaces"),
    ],
)
def test_what_cannot_be(custom, kserve, told):
    with pytest.raises(SettingsError) as caught:
        read(custom, kserve)
    assert told in str(caught.value)


def test_all_that_cannot_be_is_told_at_once():
    with pytest.raises(SettingsError, match=r"readiness.*updates"):
        read({}, {"readiness": "x", "updates": "y"})


def test_from_a_file_and_from_variables_however_they_are_written(tmp_path):
    file = tmp_path / "application.yaml"
    file.write_text(
        """
        customresourcedefinition: {group: serving.kserve.io, gracePeriod: "${GRACE:20}"}
        mizzen:
          kserve:
            namespaces: [models, tests]
            ready-timeout-seconds: 600
            speed: high
        """
    )
    source = load([file], {"MIZZEN_KSERVE_DEFAULTNAMESPACE": "tests"})
    assert configured(source) == Settings(
        grace_period=20, namespaces=("models", "tests"), ready_timeout=600, default_namespace="tests"
    )
    assert [warning.partition(" is")[0] for warning in source.warnings] == ["mizzen.kserve.speed"]
    assert source.unread() == []
