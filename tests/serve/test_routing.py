"""Paths to functions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.serve import routing
from mizzen.serve.errors import MethodNotAllowed, NotFound
from mizzen.serve.routing import Redirect, Router


@pytest.fixture
def router():
    router = Router()
    for method, template in [
        ("GET", "/"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{model}"),
        ("POST", "/v1/models/{model}:predict"),
        ("GET", "/v2/models/{model}/versions/{version}"),
    ]:
        router.add(
            method, template, lambda exchange, *found, template=template: exchange.found.append((template, found))
        )
    return router


def find(router: Router, method: str, target: str):
    exchange = SimpleNamespace(method=method.encode(), target=target.encode(), found=[])
    router.find(exchange)(exchange)
    return exchange.found[0]


@pytest.mark.parametrize(
    ("method", "target", "template", "found"),
    [
        ("GET", "/", "/", ()),
        ("GET", "/?a=b", "/", ()),
        ("GET", "/v1/models", "/v1/models", ()),
        ("GET", "/v1/models/m", "/v1/models/{model}", ("m",)),
        ("GET", "/v1/models/m?x=/y", "/v1/models/{model}", ("m",)),
        ("GET", "/v1/models/a%2Fb", "/v1/models/{model}", ("a/b",)),
        ("GET", "/v1/models/%C3%BC", "/v1/models/{model}", ("ü",)),
        ("POST", "/v1/models/m:predict", "/v1/models/{model}:predict", ("m",)),
        ("POST", "/v1/models/a:b:predict", "/v1/models/{model}:predict", ("a:b",)),
        ("POST", "/v1/models/m%3Apredict", "/v1/models/{model}:predict", ("m",)),
        ("GET", "http://host:80/v1/models/m", "/v1/models/{model}", ("m",)),
        ("HEAD", "/v1/models/m", "/v1/models/{model}", ("m",)),
        ("GET", "/v2/models/m/versions/1", "/v2/models/{model}/versions/{version}", ("m", "1")),
    ],
)
def test_what_is_found(router, method, target, template, found):
    for _ in range(2):  # the second time it is remembered
        assert find(router, method, target) == (template, found)


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        ("GET", "/nothing", NotFound),
        ("GET", "/v1/models/a/b", NotFound),
        ("GET", "/v1/models/a%00b", NotFound),
        ("GET", "/v2/models/m%00versions%001", NotFound),
        ("GET", "/V1/models", NotFound),
        ("GET", "//v1/models", NotFound),
        ("POST", "/v1/models", MethodNotAllowed),
        ("GET", "/v1/models/m:predict", MethodNotAllowed),
        ("HEAD", "/v1/models/m:predict", MethodNotAllowed),
        ("GET", "/v1/models/m%3Apredict", MethodNotAllowed),
        ("POST", "/v1/models/m:other", MethodNotAllowed),
        ("HEAD", "/nothing", NotFound),
        ("OPTIONS", "/nothing", NotFound),
        ("GET", "/v1/models/", Redirect),
        ("GET", "/v1/models/m/", Redirect),
    ],
)
def test_what_is_not(router, method, target, error):
    with pytest.raises(error):
        find(router, method, target)


def test_what_is_remembered_has_an_end(router, monkeypatch):
    monkeypatch.setattr(routing, "_REMEMBERED", 10)
    for number in range(100):
        assert find(router, "GET", f"/v1/models/m{number}")[1] == (f"m{number}",)
    assert len(router._found) <= 10


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)))
def test_any_target_is_found_or_refused(target):
    router = Router()
    router.add("GET", "/v1/models/{model}", lambda exchange, model: exchange.found.append(model))
    try:
        found = find(router, "GET", target)
    except (NotFound, Redirect):
        return
    assert found
