"""All pages, put together; and signing in and out."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mizzen.acm.runtime.rest.credentials import Credentials
from mizzen.acm.runtime.rest.settings import Settings
from mizzen.acm.runtime.service import Refused, Service
from mizzen.acm.runtime.web.definitions import Definitions
from mizzen.acm.runtime.web.events import Events, Streams
from mizzen.acm.runtime.web.explaining import Notice, explain
from mizzen.acm.runtime.web.gate import FOREIGN, TOKEN, Gate, Handler, Visit
from mizzen.acm.runtime.web.instances import Instances
from mizzen.acm.runtime.web.others import Messages, Participants
from mizzen.acm.runtime.web.rendering import HERE
from mizzen.acm.runtime.web.sessions import Session

_NOTHING = FormData()

_ONE = "/definitions/{compositionId}"
_INSTANCE = f"{_ONE}/instances/{{instanceId}}"


def pages(service: Service, settings: Settings, credentials: Credentials, streams: Streams) -> Starlette:
    gate = Gate(settings, credentials)
    door = Door(gate, credentials)
    definitions = Definitions(service, settings.body_limit)
    instances = Instances(service, settings.body_limit)
    participants, messages = Participants(service), Messages(service)

    def get(path: str, handler: Handler) -> Route:
        return Route(path, gate(handler), methods=["GET"])

    def post(path: str, handler: Handler) -> Route:
        return Route(path, gate(handler), methods=["POST"])

    found = Starlette(
        routes=[
            get("/", definitions.overview),
            get("/definitions/new", definitions.new),
            post("/definitions/new", definitions.commission),
            get(_ONE, definitions.one),
            post(_ONE, definitions.order),
            get(f"{_ONE}/instances/new", instances.new),
            post(f"{_ONE}/instances/new", instances.make),
            get(_INSTANCE, instances.followed(instances.one)),
            post(_INSTANCE, instances.followed(instances.order)),
            get(f"{_INSTANCE}/change", instances.followed(instances.edit)),
            post(f"{_INSTANCE}/change", instances.followed(instances.change)),
            get(f"{_INSTANCE}/migrate", instances.followed(instances.choose)),
            post(f"{_INSTANCE}/migrate", instances.followed(instances.migrate)),
            get("/participants", participants.all),
            post("/participants", participants.order),
            get("/messages", messages.all),
            get("/messages/{number}", messages.one),
            get("/events", Events(service, streams).get),
            Route("/sign-in", door.show, methods=["GET"]),
            Route("/sign-in", door.enter, methods=["POST"]),
            post("/sign-out", door.leave),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        exception_handlers={HTTPException: door.lost},
    )
    found.router.redirect_slashes = False
    return found


class Door:
    """Signing in and out, and what is answered where there is no page."""

    def __init__(self, gate: Gate, credentials: Credentials) -> None:
        self._gate = gate
        self._sessions = gate.sessions
        self._credentials = credentials

    async def show(self, request: Request) -> Response:
        if not self._credentials.needed:
            return RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)
        session = self._sessions.read(request.cookies.get(self._sessions.door)) or self._sessions.begin("")
        response = self._page(request, session, _inner(request.query_params.get("next", "")))
        self._sessions.keep(request, response, session, self._sessions.door)
        return response

    async def enter(self, request: Request) -> Response:
        session = self._sessions.read(request.cookies.get(self._sessions.door))
        try:
            form = await self._gate.form(request)
        except Refused as refusal:
            return self._page(request, session or self._sessions.begin(""), "/", refusal.status, explain(refusal))
        target = _inner(str(form.get("next", "")))
        if session is None or not self._sessions.genuine(session, form.get(TOKEN)):
            session = self._sessions.begin("")
            response = self._page(request, session, target, 403, FOREIGN)
            self._sessions.keep(request, response, session, self._sessions.door)
            return response
        user, password = str(form.get("user", "")), str(form.get("password", ""))
        if not self._credentials.match(user, password):
            notice = Notice(
                title="You are not signed in.",
                text="The user or the password is not right.",
                hint="They are the runtime's own: what it was started with, or what it wrote into its file.",
            )
            return self._page(request, session, target, 401, notice, user)
        # A session of its own, so that nobody knows its token from before.
        response = RedirectResponse(f"{request.scope.get('root_path', '')}{target}", 303)
        self._sessions.keep(request, response, self._sessions.begin(self._credentials.user))
        self._sessions.forget(request, response, self._sessions.door)
        return response

    def _page(
        self,
        request: Request,
        session: Session,
        target: str,
        status: int = 200,
        notice: Notice | None = None,
        user: str = "",
    ) -> Response:
        visit = Visit(request, session, self._sessions.token(session), _NOTHING, False)
        return visit.whole("sign_in", status, next=target, given=user, notice=notice)

    async def leave(self, visit: Visit) -> Response:
        session = self._sessions.read(visit.request.cookies.get(self._sessions.cookie))
        if session is not None:
            self._sessions.end(session)
        response = visit.go("/sign-in")
        self._sessions.forget(visit.request, response)
        return response

    async def lost(self, request: Request, error: Exception) -> Response:
        """No such page, or not in this way."""
        assert isinstance(error, HTTPException)
        session = self._sessions.read(request.cookies.get(self._sessions.cookie)) or self._sessions.begin("")
        visit = Visit(
            request, session, self._sessions.token(session), _NOTHING, self._credentials.needed and bool(session.user)
        )
        text = "There is no such page." if error.status_code == 404 else str(error.detail)
        return visit.whole("wrong", error.status_code, notice=Notice(title="There is nothing here.", text=text))


def _inner(path: str) -> str:
    """A path of ours to go on to; what leads elsewhere leads home."""
    split = urlsplit(path)
    inner = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if inner and not split.scheme and not split.netloc and path.isprintable() else "/"
