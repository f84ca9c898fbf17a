"""The handler under a real participant: orders as ONAP's classes write them come in, InferenceServices come of them."""

import pytest

from element_world import standing, world
from mizzen.acm.participant.kserve.ownership import ELEMENT_LABEL, INSTANCE_LABEL
from participant_world import E, I, R, golden, older, registered

NAMESPACE, NAME = "kserve-test", "sklearn-iris"


def same(message):
    return message


def unrevised(message):
    """Without the revisions for which a participant would wait."""
    return {key: value for key, value in message.items() if not key.startswith("revisionId")}


async def ordered(bus, message):
    """What is acknowledged of an order: state, result, message, and what is told of the element."""
    await bus.say(message)
    ack = await bus.ack()
    (element,) = ack["automationCompositionResultMap"].values()
    return element["deployState"], ack["stateChangeResult"], ack["message"], element


async def primed(bus, spoken=same):
    await bus.say(spoken(golden("05")))
    ack = await bus.ack()
    assert (ack["compositionState"], ack["message"]) == ("PRIMED", "Not implemented")
    await bus.say(golden("07"))


@pytest.mark.parametrize("spoken", [same, older], ids=["newer", "older"])
async def test_from_prime_to_deprime(tmp_path, spoken):
    async with world(tmp_path) as api, api.kserve(), registered(api.participant_s()) as bus:
        await primed(bus, spoken)
        state, result, message, told = await ordered(bus, spoken(golden("08")))
        assert (state, result, message) == ("DEPLOYED", "NO_ERROR", "Deployed")
        assert told["operationalState"] == "ENABLED"
        assert told["outProperties"]["url"] == f"http://{NAME}-default.example.com"
        found = await api.find(NAME, NAMESPACE)
        assert (
            found["metadata"]["labels"] | {INSTANCE_LABEL: str(I), ELEMENT_LABEL: str(E)} == found["metadata"]["labels"]
        )
        await bus.say(golden("11"))

        api.wrong[NAME] = standing(False, NAME, reason="PredictorNotReady", message="0 of 1 replicas")
        await api.stand(NAME, api.wrong[NAME], NAMESPACE)
        status = await bus.next("PARTICIPANT_STATUS")
        (element,) = status["automationCompositionInfoList"][0]["elements"]
        assert element["operationalState"] == "DISABLED"
        assert element["outProperties"]["entities"][0]["reason"] == "PredictorNotReady"

        state, result, message, told = await ordered(bus, spoken(golden("13")))
        assert (state, result, message, told["outProperties"]) == ("UNDEPLOYED", "NO_ERROR", "Undeployed", {})
        assert await api.find(NAME, NAMESPACE) is None
        state, result, message, _ = await ordered(bus, spoken(golden("20")))
        assert (state, result, message) == ("DELETED", "NO_ERROR", "Deleted")


async def test_what_fails_and_the_way_out(tmp_path):
    deploy = golden("08")
    (asked,) = deploy["participantUpdatesList"][0]["acElementList"]
    asked["properties"]["kserveInferenceEntities"][0]["payload"] = '{"kind": "Pod"}'
    async with world(tmp_path) as api, registered(api.participant_s()) as bus:
        await primed(bus)
        state, result, message, _ = await ordered(bus, older(deploy))
        assert (state, result) == ("UNDEPLOYED", "FAILED")
        assert message == (
            "Automation composition element deploy failed: kserveInferenceEntities[0].payload.kind: must be "
            "InferenceService; kserveInferenceEntities[0].payload.spec: is required: what is to be served"
        )
        state, result, message, _ = await ordered(bus, unrevised(golden("13")))
        assert (state, result, message) == ("UNDEPLOYED", "NO_ERROR", "Undeployed")


async def test_another_replica_goes_on_where_one_ended(tmp_path):
    async with world(tmp_path) as api, api.kserve():
        async with registered(api.participant_s()) as bus:
            await primed(bus)
            await ordered(bus, golden("08"))
        async with registered(api.participant_s()) as bus:
            await bus.say(golden("19", replicaId=str(R)))
            # What the synchronisation says is not what the service tells of itself, so that is told.
            status = await bus.next("PARTICIPANT_STATUS")
            (element,) = status["automationCompositionInfoList"][0]["elements"]
            assert element["operationalState"] == "ENABLED"
            state, result, message, _ = await ordered(bus, unrevised(golden("12")))
            assert (state, result, message) == ("DEPLOYED", "NO_ERROR", "Updated")
            assert (await api.find(NAME, NAMESPACE))["metadata"]["generation"] == 1
