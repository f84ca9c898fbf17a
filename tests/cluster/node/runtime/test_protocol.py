from __future__ import annotations

import socket
import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.cluster.node.runtime import protocol
from mizzen.cluster.node.runtime.errors import Refused, StartFailed, UnknownContainer
from mizzen.cluster.node.runtime.protocol import Failure, Frames, Request, Start, frame, socket_address
from mizzen.cluster.node.runtime.spec import Mount, ProcessSpec


@given(values=st.lists(st.text()), cuts=st.lists(st.integers(1, 40), min_size=1))
def test_messages_arrive_whole_however_the_stream_is_cut(values: list[str], cuts: list[int]) -> None:
    stream = b"".join(frame(value) for value in values)
    frames, found, position, turn = Frames(), [], 0, 0
    while position < len(stream):
        step = cuts[turn % len(cuts)]
        found += [msgspec.json.decode(message) for message in frames.feed(stream[position : position + step])]
        position, turn = position + step, turn + 1
    assert found == values


def test_a_message_that_announces_itself_as_too_long_is_refused() -> None:
    with pytest.raises(Refused, match="4294967295 bytes"):
        list(Frames().feed(struct.pack(">I", 0xFFFFFFFF) + b"x"))


def test_a_spec_survives_the_way() -> None:
    spec = ProcessSpec(
        id="ünï/0",
        argv=["a b", "\N{SAILBOAT}"],
        env={"A": "", "B": "two\nlines"},
        state_dir="/s",
        log_path="/l",
        mounts=[Mount("/a", "/b", True)],
        cpu=0.5,
        memory_bytes=0,
        pdeathsig=False,
    )
    (body,) = Frames().feed(frame(Request(7, Start(spec))))
    assert msgspec.json.decode(body, type=Request) == Request(7, Start(spec))


@pytest.mark.parametrize("error", [StartFailed("no", 126, "AlreadyExists"), UnknownContainer("who?"), Refused("never")])
def test_errors_keep_their_kind_and_words(error: StartFailed | UnknownContainer | Refused) -> None:
    back = Failure.of(error).error()
    assert type(back) is type(error) and str(back) == str(error)
    assert getattr(back, "exit_code", None) == getattr(error, "exit_code", None)
    assert getattr(back, "reason", None) == getattr(error, "reason", None)


def test_a_socket_may_have_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 100) / ("s" * 90)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with socket_address(path) as address:
            listener.bind(address)
        listener.listen()
        assert path.is_socket()
        with socket_address(path) as address:
            client.connect(address)
        accepted, _ = listener.accept()
        with accepted:
            assert protocol.peer(accepted) == protocol.peer(client)
