"""Server reflection, by its own client: who knows nothing can learn all that is needed for a call."""

from __future__ import annotations

from typing import Any

import pytest

from mizzen.serve.protocols.grpc import schema


async def test_a_call_made_of_what_the_server_tells(speak: Any, kit: Any) -> None:
    pytest.importorskip("grpc_reflection.v1alpha", reason="grpcio-reflection is not installed")
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    speaker = await speak(kit.Echo())

    def story() -> None:
        database = ProtoReflectionDescriptorDatabase(speaker.channel)
        assert set(database.get_services()) == set(schema.SERVICES)
        pool = DescriptorPool(database)
        method = pool.FindServiceByName(schema.INFERENCE).methods_by_name["ModelInfer"]
        request = GetMessageClass(method.input_type)(model_name="echo")
        request.inputs.add(name="x", datatype="INT32", shape=[2]).contents.int_contents.extend([3, -4])
        ask = speaker.channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        assert list(ask(request, timeout=10).outputs[0].contents.int_contents) == [3, -4]
        for name in ("grpc.health.v1.Health", *schema.REFLECTION):
            assert pool.FindServiceByName(name).full_name == name

    await speaker.run(story)


@pytest.mark.parametrize("service", schema.REFLECTION)
async def test_each_question(speak: Any, service: str) -> None:
    speaker = await speak()
    kind = schema.message(f"{service.rpartition('.')[0]}.ServerReflectionRequest")

    def story() -> None:
        questions = [
            kind(list_services=""),
            kind(file_by_filename="inference.proto"),
            kind(file_by_filename="other.proto"),
            kind(file_containing_symbol="inference.ModelInferRequest"),
            kind(file_containing_symbol="inference.GRPCInferenceService"),
            kind(file_containing_symbol="inference.GRPCInferenceService.ModelInfer"),
            kind(file_containing_symbol="inference.GRPCInferenceService.Nothing"),
            kind(file_containing_symbol="nothing"),
            kind(all_extension_numbers_of_type="inference.ModelInferRequest"),
            kind(all_extension_numbers_of_type="inference.Nothing"),
            kind(host="here"),
        ]
        questions[0].host = "somewhere"
        questions.append(kind())
        questions[-1].file_containing_extension.containing_type = "inference.ModelInferRequest"
        answers = list(speaker.stub("ServerReflectionInfo", service)(iter(questions), timeout=10))
        assert [answer.WhichOneof("message_response").removesuffix("_response") for answer in answers] == [
            "list_services",
            "file_descriptor",
            "error",
            "file_descriptor",
            "file_descriptor",
            "file_descriptor",
            "error",
            "error",
            "all_extension_numbers",
            "error",
            "error",
            "error",
        ]
        assert answers[0].valid_host == "somewhere"
        assert [one.name for one in answers[0].list_services_response.service] == list(schema.SERVICES)
        assert answers[1].original_request == questions[1]
        assert {answer.error_response.error_code for answer in answers} == {0, 3, 5}
        inference = schema.POOL.FindFileByName("inference.proto").serialized_pb
        for at in (1, 3, 4, 5):
            assert list(answers[at].file_descriptor_response.file_descriptor_proto) == [inference]

    await speaker.run(story)
