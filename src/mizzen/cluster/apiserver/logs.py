"""Container logs: which container is meant is decided here, the text comes from the node agent.

The agent serves plain HTTP on a Unix socket. What it sends is passed on chunk by chunk as it comes, so that
``kubectl logs -f`` shows a line when it is written.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import aiohttp

from mizzen.cluster.apiserver.reply import Stream, Write
from mizzen.cluster.apiserver.requests import Query
from mizzen.cluster.apiserver.resources import Object, at
from mizzen.kube.errors import ApiError, bad_request

_PASSED_ON = ("follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "tailLines", "timestamps")
_CONNECT_SECONDS = 5.0
_TEXT = "text/plain"


def chosen_container(pod: Object, query: Query) -> str:
    """The container whose log is meant.

    Raises:
        ApiError: 400 if none is named and there are several, or if the named one is not in the pod or not started.
    """
    name = pod["metadata"]["name"]
    spec = pod["spec"]
    wanted = query.get("container", "")
    ordinary = [container["name"] for container in spec.get("containers") or ()]
    initial = [container["name"] for container in spec.get("initContainers") or ()]
    if not wanted:
        if len(ordinary) != 1:
            found = f"a container name must be specified for pod {name}, choose one of: [{' '.join(ordinary)}]"
            raise bad_request(found + (f" or one of the init containers: [{' '.join(initial)}]" if initial else ""))
        wanted = ordinary[0]
    elif wanted not in ordinary and wanted not in initial:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    if not spec.get("nodeName"):
        raise bad_request(f'container "{wanted}" in pod "{name}" is waiting to start: the pod is not scheduled yet')
    statuses = [*(at(pod, "status", "initContainerStatuses") or ()), *(at(pod, "status", "containerStatuses") or ())]
    status = next((found for found in statuses if found.get("name") == wanted), None)
    waiting = at(status, "state", "waiting")
    # One that has run before and waits to run again has a log; one that has not has only its reason.
    if waiting is not None and not at(status, "lastState", "terminated"):
        reason = waiting.get("reason") or "ContainerCreating"
        raise bad_request(f'container "{wanted}" in pod "{name}" is waiting to start: {reason}')
    return wanted


def log_stream(node_socket: Path | None, pod: Object, query: Query) -> Stream:
    """The log of a pod's container as a stream.

    Raises:
        ApiError: 400 as :func:`chosen_container`, 503 if there is no node.
    """
    container = chosen_container(pod, query)
    if node_socket is None:
        raise _unavailable("this installation has no node")
    metadata = pod["metadata"]
    place = "/".join(quote(part, safe="") for part in (metadata["namespace"], metadata["name"], container))
    parameters = {name: query[name] for name in _PASSED_ON if name in query}

    async def run(write: Write) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        connector = aiohttp.UnixConnector(str(node_socket))
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            try:
                answer = await session.get(f"http://node/containerLogs/{place}", params=parameters)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _unavailable(f"the node agent does not answer at {node_socket}: {error}") from error
            async with answer:
                if answer.status != 200:
                    raise _refused(answer.status, (await answer.text()).strip())
                await write(b"")
                async for chunk in answer.content.iter_any():
                    await write(chunk)

    return Stream(run, _TEXT)


def _refused(status: int, text: str) -> ApiError:
    if status == 404:
        return ApiError(404, "NotFound", text or "the node knows no such container")
    if status == 400:
        return bad_request(text)
    return ApiError(500, "InternalError", f"the node agent answered {status}: {text}")


def _unavailable(why: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", f"the log cannot be read: {why}")
