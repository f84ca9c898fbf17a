"""grpcio as a client or a server of plain bytes, in a process of its own: it must not live in one that forks.

``grpc_peer.py client PORT`` plays the scenarios below and prints what came of each as JSON; ``grpc_peer.py server``
prints its port and serves until its input ends.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent import futures

import grpc

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
]


def unary(channel: grpc.Channel) -> object:
    call = channel.unary_unary("/test/Echo")
    answer, state = call.with_call(b"hello", metadata=[("x-key", "value"), ("x-data-bin", b"\0\1")], timeout=20)
    return [answer.decode(), state.code().name, dict(state.trailing_metadata())["x-back"]]


def error(channel: grpc.Channel) -> object:
    try:
        channel.unary_unary("/test/Error")(b"", timeout=20)
    except grpc.RpcError as failed:
        return [failed.code().name, failed.details()]
    return None


def large(channel: grpc.Channel) -> object:
    message = bytes(range(256)) * 32_768
    return [channel.unary_unary("/test/Echo")(message, timeout=60) == message for _ in range(3)]


def many(channel: grpc.Channel) -> object:
    call = channel.unary_unary("/test/Echo")
    pending = [call.future(b"%d" % n, timeout=60) for n in range(1000)]
    return all(one.result() == b"%d" % n for n, one in enumerate(pending))


def turn_about(channel: grpc.Channel) -> object:
    """Each message is sent only after the one before came back."""
    back: list[bytes] = []

    def messages():
        for n in range(50):
            while len(back) < n:
                time.sleep(0.0005)
            yield b"%d" % n

    back.extend(channel.stream_stream("/test/Stream")(messages(), timeout=60))
    return [len(back), back[-1].decode()]


def pour(channel: grpc.Channel) -> object:
    """More than the windows, both ways at once."""
    total = 0
    for message in channel.stream_stream("/test/Stream")((bytes(100_000) for _ in range(200)), timeout=60):
        total += len(message)
    return total


def cancel(channel: grpc.Channel) -> object:
    answers = channel.unary_stream("/test/Forever")(b"", timeout=60)
    seen = [next(answers).decode() for _ in range(3)]
    answers.cancel()
    return seen


def deadline(channel: grpc.Channel) -> object:
    try:
        channel.unary_unary("/test/Never")(b"", timeout=0.3)
    except grpc.RpcError as failed:
        return failed.code().name
    return None


def pings(port: int) -> object:
    """A client that checks again and again that the server is there."""
    options = [*OPTIONS, ("grpc.keepalive_time_ms", 100), ("grpc.http2.max_pings_without_data", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        return channel.unary_unary("/test/Slow")(b"slow", timeout=20).decode()


def client(port: int) -> None:
    results: dict[str, object] = {}
    with grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:
        for scenario in (unary, error, large, many, turn_about, pour, cancel, deadline):
            results[scenario.__name__] = scenario(channel)
    results["pings"] = pings(port)
    print(json.dumps(results))


def ending(port: int) -> None:
    """One call is under way when the server ends; the next finds nobody."""
    results: list[object] = []
    with grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:
        call = channel.unary_unary("/test/Slow")
        first = call.future(b"first", timeout=20)
        results.append(first.result().decode())
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                call(b"later", timeout=5)
            except grpc.RpcError as failed:
                results.append(failed.code().name)
                break
    print(json.dumps(results))


class Handler(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method == "/test/Echo":
            return grpc.unary_unary_rpc_method_handler(self.echo)
        if details.method == "/test/Stream":
            return grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)
        if details.method == "/test/Never":
            return grpc.unary_unary_rpc_method_handler(self.never)
        return None

    @staticmethod
    def echo(message: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata([("x-back", dict(context.invocation_metadata()).get("x-key", ""))])
        return message

    @staticmethod
    def never(message: bytes, context: grpc.ServicerContext) -> bytes:
        while context.is_active():
            time.sleep(0.01)
        return b""


def server() -> None:
    serving = grpc.server(futures.ThreadPoolExecutor(8), options=OPTIONS)
    serving.add_generic_rpc_handlers((Handler(),))
    print(serving.add_insecure_port("127.0.0.1:0"), flush=True)
    serving.start()
    for line in sys.stdin:
        if line.strip() == "stop":
            serving.stop(10)
    serving.stop(None).wait()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server()
    else:
        {"client": client, "ending": ending}[sys.argv[1]](int(sys.argv[2]))
