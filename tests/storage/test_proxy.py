from __future__ import annotations

import pytest

from mizzen.storage import StorageError
from mizzen.storage.proxy import proxy_for

PROXY = {"http_proxy": "http://proxy:3128", "https_proxy": "http://secure:3129"}


@pytest.mark.parametrize(
    ("environ", "scheme", "host", "expected"),
    [
        ({}, "http", "models.example", None),
        (PROXY, "http", "models.example", "proxy"),
        (PROXY, "https", "models.example", "secure"),
        ({"HTTP_PROXY": "proxy:3128"}, "http", "models.example", "proxy"),
        ({"http_proxy": "http://low", "HTTP_PROXY": "http://up"}, "http", "models.example", "low"),
        ({"ALL_PROXY": "http://all"}, "https", "models.example", "all"),
        (PROXY, "http", "localhost", None),
        (PROXY, "http", "127.3.4.5", None),
        (PROXY, "http", "::1", None),
        (PROXY | {"no_proxy": "*"}, "http", "models.example", None),
        (PROXY | {"no_proxy": "example"}, "http", "models.example", None),
        (PROXY | {"NO_PROXY": ".example"}, "http", "models.example", None),
        (PROXY | {"no_proxy": "a.example, models.example"}, "http", "models.example", None),
        (PROXY | {"no_proxy": "dels.example"}, "http", "models.example", "proxy"),
        (PROXY | {"no_proxy": "models.example:80"}, "http", "models.example", None),
        (PROXY | {"no_proxy": "models.example:8080"}, "http", "models.example", "proxy"),
        (PROXY | {"no_proxy": "10.0.0.0/8"}, "http", "10.1.2.3", None),
        (PROXY | {"no_proxy": "10.0.0.0/8"}, "http", "11.1.2.3", "proxy"),
        (PROXY | {"no_proxy": "10.1.2.3:80"}, "http", "10.1.2.3", None),
    ],
)
def test_which_proxy(environ: dict[str, str], scheme: str, host: str, expected: str | None) -> None:
    proxy = proxy_for(scheme, host, 80, environ)
    assert (proxy.host if proxy else None) == expected


def test_credentials_are_sent_and_not_shown() -> None:
    proxy = proxy_for("http", "models.example", 80, {"http_proxy": "http://me:S3cr3t@proxy:1"})
    assert proxy is not None
    assert proxy.headers == {"Proxy-Authorization": "Basic bWU6UzNjcjN0"}
    assert proxy.shown == "http://***@proxy:1"


@pytest.mark.parametrize("text", ["socks5://me:S3cr3t@proxy:1080", "http://:99", "http://proxy:none"])
def test_a_proxy_of_another_kind_is_named_without_its_secret(text: str) -> None:
    with pytest.raises(StorageError, match="http_proxy must be http://HOST:PORT") as raised:
        proxy_for("http", "models.example", 80, {"http_proxy": text})
    assert "S3cr3t" not in str(raised.value)
