"""Header blocks: what is remembered stays right, and what is encoded can be decoded by anybody."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from mizzen.http.headers import encode
from mizzen.http.http2.blocks import (
    NO_TABLE,
    BlockDecoder,
    content_length,
    encode_field,
    encode_fields,
    encode_head,
    encode_pairs,
    split_lines,
)
from mizzen.http.http2.frames import Broken, Code

NAMES = st.sampled_from([b":status", b"content-type", b"x", b"y", b"cookie", b"authorization"]) | st.binary(
    min_size=1, max_size=200
)
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=200) | st.sampled_from([b"200", b"a", b"b"])), max_size=12)


@given(st.lists(FIELDS, max_size=5))
def test_what_we_encode_anybody_decodes_in_any_order(blocks):
    encoded = [encode_fields(fields) for fields in blocks]
    decoder = Decoder(max_header_list_size=10**6)
    for block, fields in [*zip(encoded, blocks, strict=True), *zip(encoded, blocks, strict=True)]:
        assert [tuple(pair) for pair in decoder.decode(block, raw=True)] == fields
        assert not decoder.header_table.dynamic_entries


@given(st.lists(FIELDS, min_size=1, max_size=6), st.lists(st.integers(0, 5) | st.just(-1), max_size=30), st.data())
def test_what_is_remembered_is_what_would_be_decoded(blocks, order, data):
    """Against a decoder that remembers nothing, for any order of blocks and any sizes of the table."""
    encoder, plain = Encoder(), Decoder(max_header_list_size=10**6)
    ours = BlockDecoder(lambda pairs: [tuple(pair) for pair in pairs], 10**6)
    for at in order:
        if at < 0:
            size = data.draw(st.sampled_from([0, 64, 200, 4096]))
            if size != encoder.header_table_size:  # hpack forgets a change that is followed by none
                encoder.header_table_size = size
            continue
        block = encoder.encode(blocks[at % len(blocks)])
        expected = [tuple(pair) for pair in plain.decode(block, raw=True)]
        assert ours.head(block) == expected
        assert expected == blocks[at % len(blocks)]


def test_a_block_is_understood_once():
    understood = []

    def understand(pairs):
        understood.append(list(pairs))
        return len(understood)

    decoder = BlockDecoder(understand, 1000)
    encoder = Encoder()
    first = encoder.encode([("a", "b")])
    again = encoder.encode([("a", "b")])
    assert [decoder.head(block) for block in (first, again, again, again)] == [1, 2, 2, 2]
    decoder.head(encoder.encode([("c", "d")]))
    assert decoder.head(encoder.encode([("a", "b")])) == 4, "the same field is at another place of the table now"


def test_what_cannot_be_understood_is_not_remembered():
    def understand(pairs):
        raise ValueError("no")

    decoder = BlockDecoder(understand, 1000)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            decoder.head(b"\x82")


@pytest.mark.parametrize(
    ("block", "code"),
    [
        (b"\x82" * 100, Code.ENHANCE_YOUR_CALM),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Code.COMPRESSION_ERROR),
        (b"\x40\x05a", Code.COMPRESSION_ERROR),
        (b"\x00\x81\xff", Code.COMPRESSION_ERROR),
        (b"\x80", Code.COMPRESSION_ERROR),
        (b"\x82\x20", Code.COMPRESSION_ERROR),
    ],
)
def test_blocks_that_cannot_be_decoded(block, code):
    with pytest.raises(Broken) as caught:
        BlockDecoder(list, 1000).head(block)
    assert caught.value.code == code


@given(st.binary(max_size=60))
def test_no_block_makes_the_decoder_fail_otherwise(block):
    decoder = BlockDecoder(list, 1000)
    for _ in range(2):
        try:
            decoder.head(block)
        except Broken:
            pass


def test_heads_from_lines():
    lines = encode([(b"Content-Type", b"application/grpc"), (b"connection", b"close"), (b"x", b"")])
    assert split_lines(lines) == [(b"content-type", b"application/grpc"), (b"x", b"")]
    block = encode_head(200, lines) + content_length(12345)
    assert Decoder().decode(NO_TABLE + block, raw=True) == [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"x", b""),
        (b"content-length", b"12345"),
    ]
    assert encode_head(200, lines) is encode_head(200, lines)


@pytest.mark.parametrize("lines", [b"no colon\r\n", b": no name\r\n", b"a: b\nc: d\r\n", b"a: b\0\r\n", b"a: b\rc\r\n"])
def test_what_is_no_line(lines):
    with pytest.raises(ValueError, match="no header line"):
        encode_head(200, lines)


@pytest.mark.parametrize("pair", [(b"a", b"x\r\ny"), (b"a\n", b"x"), (b"a", b"\0"), (b"", b"x"), (b":status", b"200")])
def test_what_is_no_field(pair):
    with pytest.raises(ValueError, match="field"):
        encode_pairs([pair])


def test_secrets_are_never_indexed():
    for name in (b"authorization", b"cookie", b"set-cookie", b"proxy-authorization"):
        [pair] = Decoder().decode(encode_field(name, b"secret"), raw=True)
        assert not pair.indexable
    [pair] = Decoder().decode(encode_field(b"x", b"open"), raw=True)
    assert pair.indexable
