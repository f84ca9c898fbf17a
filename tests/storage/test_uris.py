from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.storage.uris import file_name, kind_of, one_line, scheme_of, shown


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://bucket/key", "s3"),
        ("HTTPS://host/x", "https"),
        ("oci+native://registry/x", "oci+native"),
        ("/models/iris", ""),
        ("models/a://b", ""),
        ("s3:/one-slash", ""),
        ("", ""),
    ],
)
def test_scheme(uri: str, expected: str) -> None:
    assert scheme_of(uri) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://host/m.bin", "https://host/m.bin"),
        ("https://user:pass@host:8443/m.bin", "https://***@host:8443/m.bin"),
        ("https://user:p@ss@host/m.bin", "https://***@host/m.bin"),
        ("https://user:pa/ss@host/m.bin", "https://***"),
        ("https://user:pa?ss@host/m.bin", "https://***"),
        ("https://user:pa#ss@host/m.bin", "https://***"),
        ("https://host/m?X-Amz-Signature=abc&v=1#part", "https://host/m?X-Amz-Signature=***&v=***"),
        ("https://host/m?secret", "https://host/m?***"),
        ("https://[::1]:80/a@b", "https://[::1]:80/a@b"),
        ("hf://owner/model@main", "hf://owner/model@main"),
        ("file:///models/who?#@me", "file:///models/who?#@me"),
        ("/models/user:x@y", "/models/user:x@y"),
        ("/models/two\nlines\x1b[31m", "/models/two\\nlines\\x1b[31m"),
    ],
)
def test_what_is_shown(uri: str, expected: str) -> None:
    assert shown(uri) == expected


secrets = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).map(lambda text: f"S3cr3t{text}")


@given(secrets, secrets, st.sampled_from(["http", "https", "s3", "oci"]))
def test_no_secret_is_ever_shown(password: str, signature: str, scheme: str) -> None:
    uri = f"{scheme}://user:{quote(password, safe='')}@host/model?sig={quote(signature, safe='')}#{signature}"
    assert "S3cr3t" not in shown(uri)


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    assert one_line(text).isprintable()
    assert one_line(one_line(text)) == one_line(text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.tar", "tar"),
        ("model.tar.gz", "tar"),
        ("MODEL.TGZ", "tar"),
        ("model.tar.bz2", "tar"),
        ("model.tar.xz", "tar"),
        ("model.zip", "zip"),
        ("model.pt", None),
        ("mnist.gz", None),
        ("tar", None),
    ],
)
def test_the_kind_of_archive(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_the_file_name_is_decoded() -> None:
    assert file_name("https://host/a/my%20model.bin?x=1") == "my model.bin"
    assert file_name("https://host/a/") == ""
