"""Cookies that say who is signed in, and tokens that make a form one of ours."""

from __future__ import annotations

import base64

import msgspec
import pytest

from mizzen.acm.runtime.rest.settings import Settings
from mizzen.acm.runtime.web.sessions import Session, Sessions

SETTINGS = Settings(user="demo", password="secret", session_seconds=100)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_is_read_back_until_it_is_over() -> None:
    clock = Clock()
    sessions = Sessions(SETTINGS, clock)
    session = sessions.begin("demo")
    text = sessions.text(session)
    assert sessions.read(text) == session
    clock.now += 99
    assert sessions.read(text) == session
    clock.now += 1
    assert sessions.read(text) is None


@pytest.mark.parametrize("text", [None, "", ".", "a", "a.b", "a.b.c", "ä.ö", "!!!!.!!!!", "YWJj.YWJj"])
def test_what_is_not_ours_is_none(text: str | None) -> None:
    assert Sessions(SETTINGS).read(text) is None


def test_no_sign_of_it_can_be_changed() -> None:
    sessions = Sessions(SETTINGS)
    text = sessions.text(sessions.begin("demo"))
    # The last sign of each half has bits that mean nothing.
    ends = (text.index(".") - 1, len(text) - 1)
    for at in range(len(text)):
        if at not in ends:
            assert sessions.read(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]) is None


def test_a_forged_one_is_refused() -> None:
    forged = base64.urlsafe_b64encode(msgspec.json.encode(Session("demo", "x", 2**40))).decode().rstrip("=")
    sessions = Sessions(SETTINGS)
    genuine = sessions.text(sessions.begin("demo"))
    assert sessions.read(f"{forged}.{genuine.partition('.')[2]}") is None


def test_replicas_know_each_others_and_a_new_password_ends_them() -> None:
    text = Sessions(SETTINGS).text(Sessions(SETTINGS).begin("demo"))
    assert Sessions(SETTINGS).read(text) is not None
    assert Sessions(Settings(user="demo", password="other")).read(text) is None
    assert Sessions(Settings(user="demo", password="secret", secret=b"of its own")).read(text) is None


def test_without_a_password_each_process_has_its_own() -> None:
    open_to_all = Settings(basic_auth=False)
    text = Sessions(open_to_all).text(Sessions(open_to_all).begin(""))
    assert Sessions(open_to_all).read(text) is None


def test_who_has_signed_out_stays_out() -> None:
    sessions = Sessions(SETTINGS)
    session = sessions.begin("demo")
    sessions.end(session)
    assert sessions.read(sessions.text(session)) is None
    assert sessions.read(sessions.text(sessions.begin("demo"))) is not None


def test_a_token_is_one_sessions_own() -> None:
    sessions = Sessions(SETTINGS)
    one, other = sessions.begin("demo"), sessions.begin("demo")
    assert sessions.genuine(one, sessions.token(one))
    assert not sessions.genuine(one, sessions.token(other))
    for wrong in (None, "", "ä", b"x", sessions.token(one)[:-1]):
        assert not sessions.genuine(one, wrong)
    # The signature of a session is no token.
    assert not sessions.genuine(one, sessions.text(one).partition(".")[2])
