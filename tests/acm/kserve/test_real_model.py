"""The whole of it: a real model, deployed as an element into a running installation, answers and goes again."""

import asyncio

from element_world import Runtime, element, entity
from installed import installation, train
from mizzen.acm.manifests import participant
from mizzen.acm.participant.configuration import load, read
from mizzen.acm.participant.kserve import KserveHandler


def configured(folder, kubeconfig):
    """The configuration that is shipped, with a cluster of ours."""
    (found,) = (one for one in participant("onap", "kafka:9092") if one["kind"] == "ConfigMap")
    file = folder / "application.yaml"
    file.write_text(found["data"]["application.yaml"])
    return read(load([file], {"MIZZEN_KSERVE_KUBECONFIG": str(kubeconfig)}))


async def test_a_model_answers_until_it_is_undeployed(tmp_path):
    model, flowers = await asyncio.to_thread(train, tmp_path / "one")
    train(tmp_path / "two")
    rows = flowers[::30].tolist()

    def serving(folder: str, **more):
        spec = {"sklearn": {"storageUri": f"file://{tmp_path / folder}"}, **more}
        return entity(payload={"spec": {"predictor": spec}})

    with installation() as mizzen:
        handler, runtime = KserveHandler.of(configured(tmp_path, mizzen.home / "kubeconfig")), Runtime()
        await handler.start(runtime)
        try:
            asked = element(serving("one"))
            outcome = await handler.deploy(asked)
            assert outcome.message == "Deployed"
            assert outcome.out_properties["url"] == "http://iris-default.example.com"
            status, answer = await asyncio.to_thread(mizzen.predict, "iris", rows)
            assert (status, answer["predictions"]) == (200, model.predict(rows).tolist())

            changed = element(serving("two", minReplicas=2), like=asked)
            assert (await handler.update(asked, changed)).message == "Updated"
            assert (await asyncio.to_thread(mizzen.predict, "iris", rows))[0] == 200

            # Somebody stops it behind the participant's back.
            await asyncio.to_thread(mizzen, "delete", "isvc", "iris")
            await runtime.hears(lambda told: told.state == "DISABLED")
            assert (await handler.update(changed, changed)).operational_state == "ENABLED"

            assert (await handler.undeploy(changed)).message == "Undeployed"
            assert await asyncio.to_thread(mizzen.objects, "isvc") == []
            assert (await asyncio.to_thread(mizzen.predict, "iris", rows))[0] == 404
        finally:
            await handler.close()
