"""The bodies of the API as schemas of OpenAPI. TOSCA and properties stay open: their authors say what is in them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from mizzen.acm.messages import states

Json = dict[str, Any]

_OPEN: Json = {"type": "object", "additionalProperties": True}
_UUID: Json = {"type": "string", "format": "uuid"}
_TEXT: Json = {"type": "string"}
_TIME: Json = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9}$",
    "description": "UTC, without a zone.",
}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _enum(kind: type[StrEnum]) -> Json:
    return {"type": "string", "enum": [str(one) for one in kind]}


def _object(required: str = "", **properties: Json) -> Json:
    """Args:
    required: names, with blanks between.
    """
    found: Json = {"type": "object", "properties": properties}
    if required:
        found["required"] = required.split()
    return found


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _map(values: Json) -> Json:
    return {"type": "object", "additionalProperties": values}


def _nullable(schema: Json) -> Json:
    return {"allOf": [schema], "nullable": True} if "$ref" in schema else schema | {"nullable": True}


_IDENTIFIER = _object("name version", name=_TEXT, version=_TEXT)

SCHEMAS: dict[str, Json] = {
    "Identifier": _IDENTIFIER,
    "SimpleResponse": _object(
        "errorDetails",
        errorDetails=_TEXT | {"description": "What was wrong, as ONAP's runtime says it."},
        errors=_list(ref("Problem")),
    ),
    "Problem": _object(
        "path message hint",
        path=_TEXT | {"description": "Where in the document; empty for the whole of it."},
        line=_nullable({"type": "integer", "minimum": 1}),
        column=_nullable({"type": "integer", "minimum": 1}),
        message=_TEXT | {"description": "What is wrong."},
        hint=_TEXT | {"description": "What would be right."},
    ),
    "AcTypeStateUpdate": _object("primeOrder", primeOrder=_enum(states.PrimeOrder)),
    "AcInstanceStateUpdate": _object(
        deployOrder=_nullable(_enum(states.DeployOrder)),
        lockOrder=_nullable(_enum(states.LockOrder)),
        subOrder=_nullable(_enum(states.SubOrder)),
    ),
    "CommissioningResponse": _object(
        "compositionId affectedAutomationCompositionDefinitions",
        compositionId=_UUID,
        affectedAutomationCompositionDefinitions=_list(ref("Identifier")),
    ),
    "InstantiationResponse": _object(
        "instanceId affectedAutomationComposition", instanceId=_UUID, affectedAutomationComposition=ref("Identifier")
    ),
    "ToscaServiceTemplate": _OPEN
    | {
        "description": "A definition in TOSCA: `node_types`, `topology_template`, and what they need. With "
        "`metadata.compositionId` it takes the place of the one that is there.",
    },
    "ToscaServiceTemplates": _object("service_templates", service_templates=_list(ref("ToscaServiceTemplate"))),
    "NodeTemplateState": _object(
        "nodeTemplateStateId nodeTemplateId state",
        nodeTemplateStateId=_UUID,
        nodeTemplateId=ref("Identifier"),
        participantId=_UUID,
        state=_enum(states.AcTypeState),
        message=_TEXT,
        outProperties=_OPEN,
    ),
    "AutomationCompositionDefinition": _object(
        "compositionId serviceTemplate state elementStateMap stateChangeResult",
        compositionId=_UUID,
        serviceTemplate=ref("ToscaServiceTemplate"),
        state=_enum(states.AcTypeState),
        stateChangeResult=_enum(states.StateChangeResult),
        elementStateMap=_map(ref("NodeTemplateState")),
        lastMsg=_TIME,
        revisionId=_UUID,
    ),
    "AutomationCompositionElement": _object(
        "id definition",
        id=_UUID,
        definition=ref("Identifier"),
        description=_TEXT,
        properties=_OPEN,
        participantId=_UUID,
        deployState=_enum(states.DeployState),
        lockState=_enum(states.LockState),
        subState=_enum(states.SubState),
        migrationState=_enum(states.MigrationState),
        stage={"type": "integer"},
        operationalState=_TEXT,
        useState=_TEXT,
        message=_TEXT,
        outProperties=_OPEN,
    ),
    "AutomationComposition": _object(
        "name version compositionId elements",
        name=_TEXT,
        version=_TEXT,
        description=_TEXT,
        compositionId=_UUID,
        instanceId=_UUID | {"description": "Given on a POST, it makes it an update."},
        compositionTargetId=_UUID | {"description": "Given with `instanceId`, it makes it a migration."},
        deployState=_enum(states.DeployState),
        lockState=_enum(states.LockState),
        subState=_enum(states.SubState),
        stateChangeResult=_enum(states.StateChangeResult),
        phase={"type": "integer"},
        lastMsg=_TIME,
        revisionId=_UUID,
        elements=_map(ref("AutomationCompositionElement")),
    ),
    "AutomationCompositions": _object(
        "automationCompositionList", automationCompositionList=_list(ref("AutomationComposition"))
    ),
    "ParticipantInformation": _object(
        "participant",
        participant=_object(
            "participantId participantSupportedElementTypes replicas",
            participantId=_UUID,
            participantSupportedElementTypes=_map(
                _object("id typeName typeVersion", id=_UUID, typeName=_TEXT, typeVersion=_TEXT)
            ),
            replicas=_map(
                _object(
                    "replicaId participantState lastMsg",
                    replicaId=_UUID,
                    participantState=_enum(states.ParticipantState),
                    lastMsg=_TIME,
                )
            ),
        ),
        acNodeTemplateStateDefinitionMap=_map(ref("NodeTemplateState")),
        acElementInstanceMap=_map(ref("AutomationCompositionElement")),
    ),
    "CompositionDto": _OPEN,
    "CompositionDtos": _object("compositions", compositions=_list(ref("CompositionDto"))),
}

PARAMETERS: dict[str, Json] = {
    "compositionId": {"in": "path", "required": True, "schema": _UUID, "description": "The definition's id."},
    "instanceId": {"in": "path", "required": True, "schema": _UUID, "description": "The instance's id."},
    "participantId": {"in": "path", "required": True, "schema": _UUID, "description": "The participant's id."},
    "page": {
        "in": "query",
        "schema": {"type": "integer", "format": "int32", "minimum": 0},
        "description": "Counted from 0; heeded together with `size`.",
    },
    "size": {
        "in": "query",
        "schema": {"type": "integer", "format": "int32", "minimum": 1},
        "description": "How many a page has.",
    },
    "name": {"in": "query", "schema": _TEXT, "description": "Only of this name."},
    "version": {"in": "query", "schema": _TEXT, "description": "Only of this version."},
    "ofParticipant": {
        "name": "participantId",
        "in": "query",
        "schema": _UUID,
        "description": "Only what this participant has a part in.",
    },
    "instanceIds": {
        "in": "query",
        "schema": _list(_UUID),
        "style": "form",
        "explode": False,
        "description": "Only these.",
    },
    "deployState": {
        "in": "query",
        "schema": _list(_enum(states.DeployState)),
        "style": "form",
        "explode": False,
        "description": "Only in one of these states.",
    },
    "stateChangeResult": {
        "in": "query",
        "schema": _list(_enum(states.StateChangeResult)),
        "style": "form",
        "explode": False,
        "description": "Only with one of these results.",
    },
    "sort": {"in": "query", "schema": _TEXT, "description": "By what: `lastMsg`."},
    "sortOrder": {"in": "query", "schema": {"type": "string", "enum": ["ASC", "DESC"]}, "description": "Which way."},
}
