"""Every message of the real classes, there and back; and whatever else may lie in a topic."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.acm.messages import codec
from mizzen.acm.messages.acks import DeregisterAck, RegisterAck, StateChangeAck
from mizzen.acm.messages.codec import Undecodable, decode, encode, plain
from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.dialects import Dialect, spoken
from mizzen.acm.messages.elements import ElementAck
from mizzen.acm.messages.envelope import cut, now
from mizzen.acm.messages.orders import Deploy, Prime, StateChange
from mizzen.acm.messages.reports import Register, Status
from mizzen.acm.messages.states import DeployState, LockState
from mizzen.acm.messages.sync import StatusRequest, Sync
from mizzen.acm.messages.topics import Topics

WIRE = Path(__file__).parents[2] / "data" / "acm" / "wire"
GOLDENS = sorted(WIRE.glob("*.json"))
NEWER = ("primeDtoList", "primeOrder", "participantDtoList")
P, R = UUID("101c62b3-8918-41b9-a747-d21eb79c6c04"), UUID("5eed0001-0002-4000-8000-000000000002")


def test_there_is_one_of_every_kind() -> None:
    kinds = {json.loads(golden.read_text())["messageType"] for golden in GOLDENS}
    assert len(GOLDENS) == 30
    assert kinds == set(codec.TYPES) - {"AUTOMATION_COMPOSITION_DEPLOY_ACK"}


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.stem)
def test_what_the_real_classes_write_comes_back_the_same(golden: Path) -> None:
    assert json.loads(encode(decode(golden.read_bytes()))) == json.loads(golden.read_text())


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.stem)
def test_the_older_dialect_is_the_same_without_the_newer_lists(golden: Path) -> None:
    older = {key: value for key, value in json.loads(golden.read_text()).items() if key not in NEWER}
    assert plain(spoken(decode(golden.read_bytes()), Dialect.B)) == older
    assert plain(decode(json.dumps(older).encode())) == older


def test_the_newer_dialect_alone() -> None:
    deploy = decode((WIRE / "wire-08-AUTOMATION_COMPOSITION_DEPLOY.json").read_bytes())
    told = plain(spoken(deploy, Dialect.A))
    assert (told["participantUpdatesList"], len(told["participantDtoList"])) == ([], 1)


def test_lists_false_and_zero_are_always_sent() -> None:
    status = plain(Status(participant_id=P, replica_id=R))
    for name in ("participantDefinitionUpdates", "automationCompositionInfoList", "participantSupportedElementType"):
        assert status[name] == []
    change = plain(StateChange())
    assert (change["startPhase"], change["firstStartPhase"], change["lockOrderedState"]) == (0, False, "NONE")
    ack = plain(StateChangeAck(automation_composition_result_map={R: ElementAck(deploy_state=DeployState.DEPLOYED)}))
    assert ack["outPropertiesUpdated"] is False
    assert ack["automationCompositionResultMap"][str(R)] == {
        "deployState": "DEPLOYED",
        "lockState": "NONE",
        "outProperties": {},
        "result": True,
    }


def test_null_goes_from_maps_and_stays_in_lists() -> None:
    ack = ElementAck(deploy_state=DeployState.DEPLOYED, out_properties={"a": None, "b": [None, {"c": None}]})
    told = plain(StateChangeAck(automation_composition_result_map={R: ack}))
    assert told["automationCompositionResultMap"][str(R)]["outProperties"] == {"b": [None, {}]}


@pytest.mark.parametrize("absent", [{}, {"participantIdList": None, "automationcompositionList": None}])
def test_null_is_absent_coming_in(absent: dict[str, object]) -> None:
    message = decode(json.dumps({"messageType": "PARTICIPANT_SYNC_MSG", "unheardOf": 1} | absent).encode())
    assert isinstance(message, Sync)
    assert (message.participant_id_list, message.automation_compositions, message.state) == ([], [], None)


def test_identifiers_come_in_both_forms() -> None:
    golden = json.loads((WIRE / "wire-08-AUTOMATION_COMPOSITION_DEPLOY.json").read_text())
    element = golden["participantUpdatesList"][0]["acElementList"][0]
    name, version = element["definition"].values()
    element["definition"] = f"{name} {version}"
    message = decode(json.dumps(golden).encode())
    assert isinstance(message, Deploy)
    assert message.participant_updates_list[0].ac_element_list[0].definition == Identifier(name, version)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "messageType None is unknown"),
        (b'{"messageType":"PARTICIPANT_RESTART"}', "PARTICIPANT_RESTART"),
        (b'{"messageType":"PARTICIPANT_STATE_CHANGE"}', "PARTICIPANT_STATE_CHANGE"),
        (b'{"messageType":["x"]}', "unknown"),
        (b'{"messageType":"PARTICIPANT_PRIME","compositionId":"no"}', "compositionId"),
        (b'{"messageType":"PARTICIPANT_PRIME","primeOrder":"PERHAPS"}', "primeOrder"),
        (b'{"messageType":"PARTICIPANT_STATUS","timestamp":1e300}', "PARTICIPANT_STATUS"),
        (
            b'{"messageType":"AUTOMATION_COMPOSITION_DEPLOY","participantUpdatesList":[{"participantId":'
            b'"5eed0001-0002-4000-8000-000000000002","acElementList":[{"id":"5eed0001-0002-4000-8000-000000000002",'
            b'"definition":"nameless"}]}]}',
            "nameless",
        ),
        (b'{"messageType":"PARTICIPANT_STATUS","x":' + b"[" * 900 + b"]" * 900 + b"}", "PARTICIPANT_STATUS"),
    ],
)
def test_what_is_no_message_is_told_in_a_sentence(value: bytes, says: str) -> None:
    try:
        decode(value)
    except Undecodable as error:
        assert says in str(error)
    else:
        assert b"[" * 900 in value  # deep, and within what this interpreter can take


@given(st.binary(max_size=200))
def test_any_bytes(value: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(sorted(codec.TYPES)), st.dictionaries(st.sampled_from(["compositionId", "timestamp"]), json_values)
)
def test_any_fields(name: str, fields: dict[str, object]) -> None:
    try:
        decode(json.dumps(fields | {"messageType": name}).encode())
    except Undecodable:
        pass


@given(st.dictionaries(st.text(), json_values))
def test_properties_survive_but_for_null(properties: dict[str, object]) -> None:
    ack = StateChangeAck(
        automation_composition_result_map={
            R: ElementAck(deploy_state=DeployState.DEPLOYED, lock_state=LockState.LOCKED, out_properties=properties)
        }
    )
    back = decode(encode(ack))
    assert isinstance(back, StateChangeAck)
    assert back.automation_composition_result_map[R].out_properties == codec.without_null(properties)


def test_timestamps_have_nine_digits() -> None:
    assert len(now()) == len("2026-08-21T12:00:00.123456789Z")


def test_a_long_message_is_cut() -> None:
    assert cut("x" * 255) == "x" * 255
    assert (len(cut("x" * 256)), cut("x" * 256)[-4:]) == (255, "x...")


OTHER = uuid4()


@pytest.mark.parametrize(
    ("fields", "mine"),
    [
        ({}, True),
        ({"participant_id": P}, True),
        ({"participant_id": OTHER}, False),
        ({"participant_id": P, "replica_id": R}, True),
        ({"participant_id": P, "replica_id": OTHER}, False),
        ({"participant_id": OTHER, "replica_id": R}, True),
        ({"participant_id_list": [OTHER]}, False),
        ({"participant_id_list": [OTHER, P]}, True),
        ({"participant_id_list": [P], "participant_id": P, "replica_id": OTHER}, False),
        ({"participant_id_list": [OTHER], "participant_id": P, "replica_id": R}, False),
    ],
)
def test_whom_a_message_is_for(fields: dict[str, object], mine: bool) -> None:
    assert StatusRequest(**fields).applies_to(P, R) is mine  # type: ignore[arg-type]
    if "participant_id_list" not in fields:
        assert RegisterAck(**fields).applies_to(P, R) is mine  # type: ignore[arg-type]


def test_keys_and_topics() -> None:
    topics = Topics()
    composition = uuid4()
    assert Prime(composition_id=composition, participant_id=P).key == str(composition)
    assert Register(participant_id=P).key == str(P)
    assert DeregisterAck().key is None
    assert "partitionKey" not in plain(DeregisterAck())
    assert topics.of(Sync()) == topics.of(RegisterAck()) == topics.of(StatusRequest()) == "acm-ppnt-sync"
    assert topics.of(DeregisterAck()) == topics.of(Status()) == topics.of(Prime()) == "policy-acruntime-participant"
