"""Paths and queries are read as Kubernetes reads them."""

from __future__ import annotations

from typing import Any

import pytest

from mizzen.cluster.apiserver.requests import ResourcePath, list_options, resource_path, write_options
from mizzen.kube.errors import ApiError


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ResourcePath("", "v1", "pods")),
        ("/api/v1/pods/", ResourcePath("", "v1", "pods")),
        ("/api/v1/namespaces", ResourcePath("", "v1", "namespaces")),
        ("/api/v1/namespaces/a", ResourcePath("", "v1", "namespaces", "", "a")),
        ("/api/v1/namespaces/a/status", ResourcePath("", "v1", "namespaces", "", "a", "status")),
        ("/api/v1/namespaces/a/finalize", ResourcePath("", "v1", "namespaces", "", "a", "finalize")),
        ("/api/v1/namespaces/a/pods", ResourcePath("", "v1", "pods", "a")),
        ("/api/v1/namespaces/a/pods/p/log", ResourcePath("", "v1", "pods", "a", "p", "log")),
        ("/api/v1/namespaces/a/pods/p/proxy/x/y", ResourcePath("", "v1", "pods", "a", "p", "proxy", ("x", "y"))),
        ("/apis/apps/v1/deployments", ResourcePath("apps", "v1", "deployments")),
        ("/apis/apps/v1/namespaces/a/deployments/d", ResourcePath("apps", "v1", "deployments", "a", "d")),
        ("/apis/x.io/v1/namespaces/a/status", ResourcePath("x.io", "v1", "status", "a")),
        ("/apis/apps/v1", None),
        ("/api/v1", None),
        ("/apis", None),
        ("/version", None),
        ("/", None),
    ],
)
def test_paths(path: str, expected: ResourcePath | None) -> None:
    assert resource_path(path) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"resourceVersion": "0"}, 0),
        ({"resourceVersion": "7", "resourceVersionMatch": "NotOlderThan"}, 0),
        ({"resourceVersion": "7", "resourceVersionMatch": "Exact"}, 0),
        ({"resourceVersion": "0", "resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "NotOlderThan"}, 422),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Newest", "resourceVersion": "7"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "7", "continue": "x"}, 422),
        ({"sendInitialEvents": "true"}, 422),
        ({"sendInitialEvents": "true", "watch": "true"}, 422),
        ({"sendInitialEvents": "true", "watch": "1", "resourceVersionMatch": "NotOlderThan"}, 0),
        ({"watch": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "7"}, 422),
        ({"resourceVersion": "seven"}, 400),
        ({"resourceVersion": "-1"}, 400),
        ({"limit": "many"}, 400),
        ({"watch": "perhaps"}, 400),
        ({"labelSelector": "a in b"}, 400),
        ({"fieldSelector": "metadata.name"}, 400),
    ],
)
def test_list_options(query: dict[str, str], code: int) -> None:
    if not code:
        list_options(query)
        return
    with pytest.raises(ApiError) as raised:
        list_options(query)
    assert raised.value.code == code


def test_a_watch_without_a_value_is_a_watch() -> None:
    assert list_options({"watch": ""}).watch
    assert not list_options({"watch": "false"}).watch
    assert not list_options({}).watch


@pytest.mark.parametrize(
    ("query", "agent", "expected"),
    [
        ({}, "kubectl/v1.33.0 (linux/amd64)", "kubectl"),
        ({}, "python-requests/2.31", "python-requests"),
        ({}, "", "unknown"),
        ({"fieldManager": "me"}, "kubectl/v1.33.0", "me"),
    ],
)
def test_the_manager_is_named_or_guessed(query: dict[str, str], agent: str, expected: str) -> None:
    assert write_options(query, agent, "").manager == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"fieldManager": "x" * 129}, "fieldManager"),
        ({"fieldManager": "a\tb"}, "fieldManager"),
        ({"dryRun": "Some"}, "dryRun"),
        ({"fieldValidation": "Lax"}, "fieldValidation"),
    ],
)
def test_write_options_that_do_not_exist(query: dict[str, str], field: str) -> None:
    with pytest.raises(ApiError) as raised:
        write_options(query, "", "")
    assert raised.value.code == 422
    details: dict[str, Any] = raised.value.details or {}
    assert [cause["field"] for cause in details["causes"]] == [field]
