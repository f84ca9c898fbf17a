"""Where the document and its page are: the addresses that ONAP's runtime has them at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from mizzen.acm.runtime.rest import formats
from mizzen.acm.runtime.rest.openapi.document import document
from mizzen.acm.runtime.rest.openapi.schemas import PARAMETERS
from mizzen.acm.runtime.rest.verbs import verbs
from mizzen.acm.runtime.web.rendering import PAGE_HEADERS, environment

_VERBS = ("get", "post", "put", "delete")


class OpenApiRoutes:
    def routes(self) -> Sequence[BaseRoute]:
        return [
            verbs("/v3/api-docs", get=self.document),
            verbs("/v3/api-docs.yaml", get=self.yaml),
            verbs("/swagger-ui/index.html", get=self.page),
        ]

    async def document(self, request: Request) -> Response:
        return formats.respond(request, document())

    async def yaml(self, request: Request) -> Response:
        return Response(formats.encode(document(), formats.YAML), media_type=formats.YAML)

    async def page(self, request: Request) -> Response:
        told = document()
        # The page hangs outside the API's mount, whose prefix a proxy's would be lost in.
        root = request.scope.get("app_root_path", "")
        text = environment().get_template("openapi.html").render(told=told, groups=_groups(told), root=root)
        return HTMLResponse(text, headers=PAGE_HEADERS)


def _groups(told: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By tag: each operation with all that the page says of it."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in told["paths"].items():
        for verb in _VERBS:
            if verb not in item:
                continue
            one = item[verb]
            named = [
                ref["$ref"].rpartition("/")[2] for ref in (*item.get("parameters", ()), *one.get("parameters", ()))
            ]
            terms = [({"name": name} | PARAMETERS[name])["name"] for name in named]
            groups.setdefault(one["tags"][0], []).append(
                {
                    "verb": verb,
                    "path": path,
                    "says": one["summary"],
                    "description": one.get("description", ""),
                    "takes": [
                        (term, PARAMETERS[name]["in"], PARAMETERS[name]["description"])
                        for term, name in zip(terms, named, strict=True)
                    ],
                    "body": _schema(one.get("requestBody")),
                    "answers": [
                        (status, said["description"], _schema(said))
                        for status, said in sorted(one["responses"].items())
                    ],
                }
            )
    return groups


def _schema(content: dict[str, Any] | None) -> str:
    """The name of a body's schema, for a link; empty where there is no body."""
    for one in (content or {}).get("content", {}).values():
        schema = one["schema"].get("items", one["schema"])
        return str(schema["$ref"].rpartition("/")[2])
    return ""
