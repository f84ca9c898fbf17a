"""The OpenAPI document: every path of the API, what it takes, what it answers, and why it would refuse."""

from __future__ import annotations

from functools import cache
from typing import Any

import mizzen
from mizzen.acm.runtime.rest.openapi.schemas import PARAMETERS, SCHEMAS, ref
from mizzen.acm.runtime.rest.settings import PREFIX

Json = dict[str, Any]

_FORMATS = ("application/json", "application/yaml")
_PAGED = ("page", "size")

# What a status says, the same for all paths.
_REFUSALS = {
    400: "it cannot be read, or is not as it should be, or the order is not allowed in this state",
    404: "there is nothing of that id",
    405: "the path does not take that verb",
    406: "`Accept` names neither JSON nor YAML",
    409: "a participant that has a part in it is offline",
    413: "the body is larger than the runtime reads",
    415: "`Content-Type` is neither JSON nor YAML",
    500: "the version of something in the definition is none, or the runtime met a defect",
}


def _operation(
    name: str,
    summary: str,
    *,
    answers: str = "",
    status: int = 200,
    also: str = "",
    body: str = "",
    parameters: tuple[str, ...] = (),
    refuses: tuple[int, ...] = (),
    description: str = "",
) -> Json:
    """Args:
    also: what a 200 says where ``status`` is 201.
    """
    responses: Json = {str(status): _answer(answers, "done" if status == 200 else _said(status))}
    if also:
        responses["200"] = _answer(answers, also)
    responses["401"] = {"description": "user and password are missing or wrong; without a body"}
    codes = {400, *refuses} | ({406} if answers else set()) | ({413, 415} if body else set())
    for code in sorted(codes):
        responses[str(code)] = {
            "description": _REFUSALS[code],
            "content": {_FORMATS[0]: {"schema": ref("SimpleResponse")}},
        }
    found: Json = {"operationId": name, "summary": summary, "responses": responses}
    if description:
        found["description"] = description
    if parameters:
        found["parameters"] = [{"$ref": f"#/components/parameters/{one}"} for one in parameters]
    if body:
        found["requestBody"] = {"required": True, "content": {one: {"schema": ref(body)} for one in _FORMATS}}
    return found


def _said(status: int) -> str:
    return {201: "made; `Location` says where it is", 202: "begun; ask again for what came of it"}[status]


def _answer(schema: str, description: str) -> Json:
    if not schema:
        return {"description": description}
    shape = ref(schema) if not schema.startswith("[") else {"type": "array", "items": ref(schema[1:])}
    return {"description": description, "content": {one: {"schema": shape} for one in _FORMATS}}


_COMPOSITIONS: dict[str, Json] = {
    "/compositions": {
        "get": _operation(
            "listCompositions",
            "The definitions, in TOSCA",
            answers="ToscaServiceTemplates",
            parameters=("ofParticipant", "name", "version", *_PAGED),
        ),
        "post": _operation(
            "commission",
            "Commission a definition, or another in the place of one",
            answers="CommissioningResponse",
            status=201,
            also="changed: the document names one that is there",
            body="ToscaServiceTemplate",
            refuses=(404, 500),
        ),
    },
    "/compositions/{compositionId}": {
        "parameters": ["compositionId"],
        "get": _operation("getComposition", "A definition", answers="AutomationCompositionDefinition", refuses=(404,)),
        "put": _operation("primeOrder", "Prime or deprime", status=202, body="AcTypeStateUpdate", refuses=(404, 409)),
        "delete": _operation(
            "deleteComposition", "Delete a definition", answers="CommissioningResponse", refuses=(404,)
        ),
    },
}

_INSTANCES: dict[str, Json] = {
    "/instances": {
        "get": _operation(
            "listInstances",
            "The instances of all definitions",
            answers="AutomationCompositions",
            parameters=(
                "ofParticipant",
                "instanceIds",
                "deployState",
                "stateChangeResult",
                "sort",
                "sortOrder",
                *_PAGED,
            ),
            refuses=(500,),
        )
    },
    "/compositions/{compositionId}/instances": {
        "parameters": ["compositionId"],
        "get": _operation(
            "listInstancesOfComposition",
            "The instances of a definition",
            answers="AutomationCompositions",
            parameters=("name", "version", *_PAGED),
        ),
        "post": _operation(
            "instantiate",
            "Make an instance, or update or migrate one",
            answers="InstantiationResponse",
            status=201,
            also="changed: the document has an `instanceId`",
            body="AutomationComposition",
            refuses=(404, 409),
        ),
    },
    "/compositions/{compositionId}/instances/{instanceId}": {
        "parameters": ["compositionId", "instanceId"],
        "get": _operation("getInstance", "An instance", answers="AutomationComposition", refuses=(404,)),
        "put": _operation(
            "instanceOrder",
            "Deploy, undeploy, lock, unlock, prepare or review",
            description="One of the three orders at a time.",
            status=202,
            body="AcInstanceStateUpdate",
            refuses=(404, 409),
        ),
        "delete": _operation(
            "deleteInstance", "Delete an instance", answers="InstantiationResponse", status=202, refuses=(404, 409)
        ),
    },
    "/compositions/{compositionId}/instances/{instanceId}/rollback": {
        "parameters": ["compositionId", "instanceId"],
        "post": _operation(
            "rollback", "Undo an update or migration that failed or timed out", status=202, refuses=(404, 409)
        ),
    },
}

_PARTICIPANTS: dict[str, Json] = {
    "/participants": {
        "get": _operation(
            "listParticipants",
            "The participants and their replicas",
            answers="[ParticipantInformation",
            parameters=_PAGED,
        ),
        "put": _operation("requestStatusOfAll", "Ask every participant how it is", status=202),
    },
    "/participants/sync": {
        "put": _operation("synchroniseAll", "Tell every participant again what it should know", status=202)
    },
    "/participants/sync/{participantId}": {
        "parameters": ["participantId"],
        "put": _operation("synchronise", "Tell a participant again what it should know", status=202, refuses=(404,)),
    },
    "/participants/{participantId}": {
        "parameters": ["participantId"],
        "get": _operation(
            "getParticipant", "A participant", answers="ParticipantInformation", parameters=_PAGED, refuses=(404,)
        ),
        "put": _operation("requestStatus", "Ask a participant how it is", status=202, refuses=(404,)),
    },
    "/participants/{participantId}/compositions": {
        "parameters": ["participantId"],
        "get": _operation(
            "listCompositionsOfParticipant",
            "What a participant was told of its definitions",
            answers="CompositionDtos",
            parameters=_PAGED,
            refuses=(404,),
        ),
    },
    "/participants/{participantId}/compositions/{compositionId}": {
        "parameters": ["participantId", "compositionId"],
        "get": _operation(
            "getCompositionOfParticipant",
            "What a participant was told of one definition",
            answers="CompositionDto",
            refuses=(404,),
        ),
    },
}

TAGS = {"Definitions": _COMPOSITIONS, "Instances": _INSTANCES, "Participants": _PARTICIPANTS}


@cache
def document() -> Json:
    """OpenAPI 3.0, as the generators that ONAP's clients use read it."""
    paths: Json = {}
    for tag, group in TAGS.items():
        for path, item in group.items():
            found = paths[path] = dict(item)
            if "parameters" in item:
                found["parameters"] = [{"$ref": f"#/components/parameters/{one}"} for one in item["parameters"]]
            for verb in ("get", "put", "post", "delete"):
                if verb in item:
                    found[verb] = {"tags": [tag], **item[verb]}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Mizzen ACM runtime",
            "version": mizzen.__version__,
            "description": "Automation compositions: commission a definition, prime it, make instances of it, deploy "
            "them. Paths, codes and texts are those of ONAP's CLAMP runtime. Refusals say in `errorDetails` what was "
            "wrong, and in `errors` where, and what would be right.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "servers": [{"url": f"{PREFIX}/v2"}],
        "security": [{"basic": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "parameters": {name: {"name": name, **one} for name, one in PARAMETERS.items()},
            "schemas": SCHEMAS,
        },
    }
