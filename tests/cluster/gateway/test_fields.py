"""Header fields on their way through, both ways."""

import re

import pytest

from mizzen.cluster.gateway.action import HeaderEdits
from mizzen.cluster.gateway.fields import request_fields, response_fields


def passed(*headers, host=b"a.example.com", asked=b"a.example.com"):
    return request_fields([(b"host", asked), *headers], host, asked, b"127.0.0.9")


def values(headers, name):
    return [value for field, value in headers if field == name]


def test_what_is_for_the_server_is_passed_in_order_with_repeats():
    found = passed((b"accept", b"a"), (b"cookie", b"1"), (b"cookie", b"2"), (b"authorization", b"Bearer x"))
    assert found[:5] == [
        (b"host", b"a.example.com"),
        (b"accept", b"a"),
        (b"cookie", b"1"),
        (b"cookie", b"2"),
        (b"authorization", b"Bearer x"),
    ]


@pytest.mark.parametrize(
    "field",
    [
        (b"connection", b"keep-alive"),
        (b"connection", b"close"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-authorization", b"Basic x"),
        (b"proxy-connection", b"keep-alive"),
        (b"te", b"trailers"),
        (b"trailer", b"x-sum"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"expect", b"100-continue"),
        (b"content-length", b"3"),
    ],
)
def test_what_is_for_this_hop_stops_here(field):
    assert values(passed(field), field[0]) == []


def test_what_connection_names_stops_here_too():
    found = passed(
        (b"x-secret", b"1"), (b"connection", b"X-Secret, http2-settings"), (b"http2-settings", b"AAM"), (b"x", b"1")
    )
    names = [name for name, _ in found]
    assert b"x-secret" not in names and b"http2-settings" not in names and b"x" in names


def test_the_server_learns_who_asked_for_what():
    found = passed(host=b"rewritten.example.com")
    assert values(found, b"host") == [b"rewritten.example.com"]
    assert values(found, b"x-forwarded-for") == [b"127.0.0.9"]
    assert values(found, b"x-forwarded-host") == [b"a.example.com"]
    assert values(found, b"x-forwarded-proto") == [b"http"]
    [request_id] = values(found, b"x-request-id")
    assert re.fullmatch(rb"[0-9a-f]{32}", request_id)
    assert values(passed(), b"x-request-id") != [request_id]


def test_what_proxies_before_have_said_stays():
    found = passed(
        (b"x-forwarded-for", b"10.0.0.1, 10.0.0.2"),
        (b"x-forwarded-for", b"10.0.0.3"),
        (b"x-forwarded-host", b"outside.example.com"),
        (b"x-forwarded-proto", b"https"),
        (b"x-request-id", b"abc"),
    )
    assert values(found, b"x-forwarded-for") == [b"10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.9"]
    assert values(found, b"x-forwarded-host") == [b"outside.example.com"]
    assert values(found, b"x-forwarded-proto") == [b"https"]
    assert values(found, b"x-request-id") == [b"abc"]


def test_answers_keep_their_fields_but_those_of_the_hop():
    found = response_fields(
        [
            (b"content-type", b"application/json"),
            (b"set-cookie", b"a"),
            (b"set-cookie", b"b"),
            (b"server", b"model"),
            (b"content-length", b"3"),
            (b"transfer-encoding", b"chunked"),
            (b"date", b"long ago"),
            (b"connection", b"x-hop"),
            (b"x-hop", b"1"),
        ]
    )
    assert found == [
        (b"content-type", b"application/json"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"server", b"model"),
    ]


def test_edits_set_add_and_remove():
    edits = HeaderEdits(set=((b"a", b"new"),), add=((b"b", b"2"),), remove=(b"c",))
    assert edits.apply([(b"a", b"1"), (b"a", b"2"), (b"b", b"1"), (b"c", b"1"), (b"d", b"1")]) == [
        (b"b", b"1"),
        (b"d", b"1"),
        (b"a", b"new"),
        (b"b", b"2"),
    ]
