from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.storage import StorageError
from mizzen.storage.settings import authorities, flag, number, scrubbed, with_storage_spec


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("1", True), ("FALSE", False), ("0", False), ("", True)]
)
def test_switches(text: str, expected: bool) -> None:
    assert flag({"X": text}, "X", default=True) is expected


@pytest.mark.parametrize("text", ["tru", "2", "nein"])
def test_switches_that_are_none(text: str) -> None:
    with pytest.raises(StorageError, match=f"X must be true or false, not '{text}'"):
        flag({"X": text}, "X")


def test_numbers() -> None:
    assert number({}, "X", 4) == 4
    assert number({"X": " 7 "}, "X", 4) == 7
    with pytest.raises(StorageError, match=r"X must be a whole number \(of bytes\), not '-1'"):
        number({"X": "-1"}, "X", 4, meaning="of bytes")


def test_a_storage_spec_is_another_spelling_of_variables() -> None:
    environ = {
        "STORAGE_CONFIG": json.dumps({"type": "s3", "access_key_id": "a", "region": "r", "verify_ssl": "0"}),
        "STORAGE_OVERRIDE_CONFIG": json.dumps({"region": "other", "anonymous": True, "bucket": "b"}),
        "AWS_DEFAULT_REGION": "mine",
        "OTHER": "kept",
    }
    found = with_storage_spec(environ, "s3")
    assert found["AWS_ACCESS_KEY_ID"] == "a"
    assert found["AWS_DEFAULT_REGION"] == "other"
    assert found["S3_VERIFY_SSL"] == "0"
    assert found["awsAnonymousCredential"] == "true"
    assert found["OTHER"] == "kept"
    assert with_storage_spec(environ, "gs") is environ
    environ["STORAGE_CONFIG"] = json.dumps({"type": "hdfs", "region": "r"})
    assert with_storage_spec(environ, "s3") is environ


@pytest.mark.parametrize("variable", ["STORAGE_CONFIG", "STORAGE_OVERRIDE_CONFIG"])
@pytest.mark.parametrize("text", ["{S3cr3t", '["S3cr3t"]', '"S3cr3t"'])
def test_a_storage_spec_that_is_none(variable: str, text: str) -> None:
    with pytest.raises(StorageError, match=f"{variable} must be a JSON object") as raised:
        with_storage_spec({variable: text}, "s3")
    assert "S3cr3t" not in str(raised.value)


secrets = st.text(st.characters(codec="ascii", exclude_categories=["C"], exclude_characters=';="\\ *'), min_size=4)


@given(secrets)
def test_what_a_library_says_is_scrubbed(secret: str) -> None:
    for environ in (
        {"AWS_SECRET_ACCESS_KEY": secret},
        {"HF_TOKEN": secret},
        {"GIT_PASSWORD": secret},
        {"AZ_CLIENT_SECRET": secret},
        {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=a;AccountKey={secret}"},
        {"STORAGE_CONFIG": json.dumps({"type": "s3", "secret_access_key": secret})},
    ):
        assert scrubbed(f"<{secret}>", environ) == "<***>"


def test_the_authorities_of_a_library(tmp_path: object) -> None:
    file = f"{tmp_path}/bundle"
    assert authorities({}) is None
    with pytest.raises(StorageError, match=f"cannot read the authorities in {file}, set by AWS_CA_BUNDLE"):
        authorities({"AWS_CA_BUNDLE": file, "SSL_CERT_FILE": "/etc"}, "AWS_CA_BUNDLE")
    with open(file, "w"):
        pass
    assert authorities({"AWS_CA_BUNDLE": file, "SSL_CERT_FILE": "/etc"}, "AWS_CA_BUNDLE") == file
    assert authorities({"SSL_CERT_FILE": file}) == file
