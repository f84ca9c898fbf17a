"""Header fields: found, passed on, and never able to forge a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.http.headers import date_line, encode, end_to_end, find, status_line


def test_the_first_of_several_is_found():
    assert find([(b"a", b"1"), (b"b", b"2"), (b"b", b"3")], b"b") == b"2"
    assert find([], b"b") is None


def test_a_proxy_drops_what_speaks_of_one_hop_and_what_connection_names():
    headers = [
        (b"host", b"a"),
        (b"connection", b"keep-alive, X-Secret"),
        (b"connection", b"other"),
        (b"x-secret", b"1"),
        (b"other", b"1"),
        (b"keep-alive", b"timeout=5"),
        (b"te", b"trailers"),
        (b"transfer-encoding", b"chunked"),
        (b"content-length", b"3"),
        (b"upgrade", b"h2c"),
        (b"expect", b"100-continue"),
        (b"set-cookie", b"1"),
        (b"set-cookie", b"2"),
    ]
    assert end_to_end(headers) == [(b"host", b"a"), (b"set-cookie", b"1"), (b"set-cookie", b"2")]


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_a_field_is_one_line_or_refused(name, value):
    try:
        line = encode([(name, value)])
    except ValueError:
        assert any(byte in name + value for byte in b"\r\n\0")
    else:
        assert line.count(b"\n") == 1
        assert line.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("status", "line"),
    [(200, b"HTTP/1.1 200 OK\r\n"), (404, b"HTTP/1.1 404 Not Found\r\n"), (499, b"HTTP/1.1 499 \r\n")],
)
def test_status_lines(status, line):
    assert status_line(status) == line


def test_the_date_is_the_rfcs_own_example():
    assert date_line(784111777) == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
