"""Values of the model as REST writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.runtime.model import Composition, Element, Instance, NodeState, Participant
from mizzen.acm.runtime.moments import last_message
from mizzen.acm.runtime.service import Body
from mizzen.acm.tosca.composition import node_templates


def commissioned(key: UUID, template: Mapping[str, Any]) -> Body:
    """``CommissioningResponse``: every node template counts as affected."""
    nodes = node_templates(template).values()
    return {
        "compositionId": str(key),
        "affectedAutomationCompositionDefinitions": [
            Identifier(node["name"], node["version"]).plain() for node in nodes
        ],
    }


def composition(found: Composition, template: Mapping[str, Any]) -> Body:
    """``AutomationCompositionDefinition``."""
    return {
        "compositionId": str(found.id),
        "serviceTemplate": template,
        "state": found.state.value,
        "stateChangeResult": found.result.value,
        "lastMsg": last_message(found.last),
        "elementStateMap": {name: node(one) for name, one in found.nodes.items()},
        "revisionId": str(found.revision),
    }


def node(found: NodeState) -> Body:
    """``NodeTemplateState``."""
    return _told(
        nodeTemplateStateId=str(found.id),
        participantId=_text(found.participant_id),
        nodeTemplateId=found.definition.plain(),
        state=found.state.value,
        message=found.message,
        outProperties=found.out_properties,
    )


def instantiated(found: Instance) -> Body:
    """``InstantiationResponse``."""
    return {
        "instanceId": str(found.id),
        "affectedAutomationComposition": {"name": found.name, "version": found.version},
    }


def instance(found: Instance) -> Body:
    return _told(
        name=found.name,
        version=found.version,
        description=found.description,
        instanceId=str(found.id),
        compositionId=str(found.composition_id),
        compositionTargetId=_text(found.target_id),
        deployState=found.deploy.value,
        lockState=found.lock.value,
        lastMsg=last_message(found.last),
        phase=found.phase,
        subState=found.sub.value,
        elements={str(key): element(one) for key, one in found.elements.items()},
        stateChangeResult=found.result.value,
        revisionId=str(found.revision),
    )


def element(found: Element) -> Body:
    return _told(
        id=str(found.id),
        definition=found.definition.plain(),
        participantId=_text(found.participant_id),
        deployState=found.deploy.value,
        lockState=found.lock.value,
        subState=found.sub.value,
        migrationState=found.migration.value,
        stage=found.stage,
        operationalState=found.operational_state,
        useState=found.use_state,
        description=found.description,
        message=found.message,
        properties=found.properties,
        outProperties=found.out_properties,
    )


def participant(found: Participant, nodes: Iterable[NodeState], elements: Iterable[Element]) -> Body:
    """``ParticipantInformation``."""
    return {
        "participant": {
            "participantId": str(found.id),
            "participantSupportedElementTypes": {
                str(one.id): {"id": str(one.id), "typeName": one.name, "typeVersion": one.version}
                for one in found.types
            },
            "replicas": {
                str(replica): {
                    "replicaId": str(replica),
                    "participantState": "ON_LINE",
                    "lastMsg": last_message(last),
                }
                for replica, last in found.replicas.items()
            },
        },
        "acNodeTemplateStateDefinitionMap": {str(one.id): node(one) for one in nodes},
        "acElementInstanceMap": {str(one.id): element(one) for one in elements},
    }


def _told(**members: Any) -> Body:
    """What is null is left out."""
    return {name: value for name, value in members.items() if value is not None}


def _text(key: UUID | None) -> str | None:
    return None if key is None else str(key)
