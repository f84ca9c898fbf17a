"""Our schema against KServe's and Triton's own, and beside them in one process."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from mizzen.serve.protocols.grpc import schema

ROOT = Path(__file__).parents[3]

# Messages in which KServe's schema and Triton's cannot both be had: ours are Triton's fields and KServe's answers.
DIFFERENT = {
    "RepositoryModelLoadRequest",
    "RepositoryModelUnloadRequest",
    "RepositoryModelLoadResponse",
    "RepositoryModelUnloadResponse",
}


def fields(message: DescriptorProto, prefix: str = "") -> dict[str, list[Any]]:
    """By full name of a field: number, label, type."""
    found: dict[str, list[Any]] = {}
    for field in message.field:
        named = field.type_name.rpartition(".")[2]
        found[f"{prefix}{message.name}.{field.name}"] = [field.number, field.label, field.type, named]
    for nested in message.nested_type:
        found |= fields(nested, f"{prefix}{message.name}.")
    return found


def described(file: FileDescriptorProto) -> dict[str, Any]:
    messages = {message.name: fields(message) for message in file.message_type}
    methods = {
        method.name: [method.input_type, method.output_type, method.client_streaming, method.server_streaming]
        for service in file.service
        for method in service.method
    }
    return {"messages": messages, "methods": methods}


def ours() -> dict[str, Any]:
    file = FileDescriptorProto.FromString(schema.POOL.FindFileByName("inference.proto").serialized_pb)
    return described(file)


def compare(theirs: dict[str, Any], but: set[str]) -> None:
    mine = ours()
    for method, signature in theirs["methods"].items():
        if method in mine["methods"]:
            assert mine["methods"][method] == signature, method
    for name, declared in theirs["messages"].items():
        if name not in mine["messages"] or name in but:
            continue
        for field, said in mine["messages"][name].items():
            assert declared.get(field, said) == said, field


def test_every_field_is_triton_s() -> None:
    pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    theirs: dict[str, Any] = {"messages": {}, "methods": {}}
    for module in ("service_pb2", "model_config_pb2"):
        file = FileDescriptorProto()
        importlib.import_module(f"tritonclient.grpc.{module}").DESCRIPTOR.CopyToProto(file)
        for key, value in described(file).items():
            theirs[key] |= value
    compare(theirs, set())
    # What is ours alone is what KServe's answers say about loading.
    mine = {field for declared in ours()["messages"].values() for field in declared}
    all_theirs = {field for declared in theirs["messages"].values() for field in declared}
    assert mine - all_theirs == {
        "RepositoryModelLoadResponse.model_name",
        "RepositoryModelLoadResponse.isLoaded",
        "RepositoryModelUnloadResponse.model_name",
        "RepositoryModelUnloadResponse.isUnloaded",
    }
    # And of what a request or an answer holds, nothing is missing.
    for name in ("ModelInferRequest", "ModelInferResponse", "InferTensorContents", "InferParameter"):
        assert ours()["messages"][name] == theirs["messages"][name]


def test_every_field_is_kserve_s(kserve_python: str) -> None:
    code = """
import sys
from kserve.protocol.grpc import grpc_predict_v2_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
file = FileDescriptorProto()
grpc_predict_v2_pb2.DESCRIPTOR.CopyToProto(file)
sys.stdout.buffer.write(b"descriptor:" + file.SerializeToString())
"""
    done = subprocess.run([kserve_python, "-c", code], capture_output=True, timeout=120, check=True)
    theirs = described(FileDescriptorProto.FromString(done.stdout.partition(b"descriptor:")[2]))
    assert theirs["methods"].keys() <= ours()["methods"].keys()
    compare(theirs, DIFFERENT)
    # Their one field is the name, which we take for it when Triton's is empty; what they answer is ours.
    assert next(iter(theirs["messages"]["RepositoryModelLoadRequest"].values()))[0] == 1
    for name in ("RepositoryModelLoadResponse", "RepositoryModelUnloadResponse"):
        assert theirs["messages"][name] == ours()["messages"][name]


BESIDE = """
import asyncio, json, sys
import numpy as np

async def main():
    from mizzen.http.server import Server
    from mizzen.serve.model import Tensor, TensorModel
    from mizzen.serve.protocols.grpc.service import GrpcService
    from mizzen.serve.repository import Repository

    class Model(TensorModel):
        def load(self):
            import tritonclient.grpc
            try:
                import kserve.protocol.grpc.grpc_predict_v2_pb2
            except ImportError:
                pass

        def infer(self, inputs, options):
            return inputs

    repository = Repository()
    repository.load(Model("m"))
    service = GrpcService(repository)
    server = Server(service.handle, http2=True, streaming=service.streams)
    [(_, port)] = await server.listen("127.0.0.1", 0)

    def ask():
        import tritonclient.grpc as triton
        client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        tensor = triton.InferInput("x", [2], "INT64")
        tensor.set_data_from_numpy(np.array([3, 4]))
        found = client.infer("m", [tensor]).as_numpy("x").tolist()
        client.close()
        return found

    print(json.dumps(await asyncio.to_thread(ask)))
    await server.close(1)

asyncio.run(main())
"""


def test_their_packages_are_imported_by_a_model_within_our_server() -> None:
    pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    done = subprocess.run([sys.executable, "-c", BESIDE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [3, 4]


def test_kserve_s_messages_are_imported_beside_ours(kserve_python: str) -> None:
    """KServe's environment lacks what our server needs, so there it is the schema alone that stands beside theirs."""
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
from kserve.protocol.grpc import grpc_predict_v2_pb2 as theirs
import importlib.util, pathlib
folder = pathlib.Path({str(ROOT / "src/mizzen/serve/protocols/grpc")!r})
def load(name):
    spec = importlib.util.spec_from_file_location("mizzen.serve.protocols.grpc." + name, folder / (name + ".py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
import types
for package in ("mizzen", "mizzen.serve", "mizzen.serve.protocols", "mizzen.serve.protocols.grpc"):
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = []
sys.modules["mizzen.serve.protocols.grpc"].protofile = load("protofile")
ours = load("schema")
message = theirs.ModelInferRequest(model_name="m", id="1")
message.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(1.5)
message.parameters["p"].string_param = "s"
data = message.SerializeToString()
assert ours.ModelInferRequest.FromString(data).SerializeToString() == data
print("both")
"""
    done = subprocess.run([kserve_python, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "both"


def test_bytes_are_triton_s() -> None:
    """A message that is full of everything is the same bytes, whoever writes it."""
    service_pb2 = pytest.importorskip("tritonclient.grpc.service_pb2", reason="tritonclient is not installed")
    written = []
    for kind in (schema.ModelInferRequest, service_pb2.ModelInferRequest):
        message = kind(model_name="m", model_version="3", id="i")
        message.parameters["a"].double_param = 0.5
        tensor = message.inputs.add(name="x", datatype="INT8", shape=[-1, 2])
        tensor.parameters["b"].uint64_param = 2**64 - 1
        contents = tensor.contents
        contents.bool_contents.extend([True, False])
        contents.int_contents.extend([-1, 300])
        contents.int64_contents.append(-(2**63))
        contents.uint_contents.append(2**32 - 1)
        contents.uint64_contents.append(2**64 - 1)
        contents.fp32_contents.append(np.float32(0.1))
        contents.fp64_contents.append(0.1)
        contents.bytes_contents.append(b"\xff\0")
        message.outputs.add(name="y").parameters["c"].bool_param = True
        message.raw_input_contents.append(b"\0\1")
        written.append(message.SerializeToString(deterministic=True))
    assert written[0] == written[1]
    assert schema.ModelInferRequest.FromString(written[1]).inputs[0].parameters["b"].uint64_param == 2**64 - 1
