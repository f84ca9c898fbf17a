"""What stands before every page: the session, the form's token, and a page for what went wrong."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mizzen.acm.runtime.rest.credentials import Credentials
from mizzen.acm.runtime.rest.refusals import too_large
from mizzen.acm.runtime.rest.settings import Settings
from mizzen.acm.runtime.service import Refused
from mizzen.acm.runtime.web.explaining import Notice, explain
from mizzen.acm.runtime.web.rendering import PAGE_HEADERS, environment, page
from mizzen.acm.runtime.web.sessions import Session, Sessions

_LOG = logging.getLogger(__name__)

# A form is larger than what is in it: names of fields, boundaries, percent signs.
_SLACK = 3
_MOST_FIELDS = 20_000

TOKEN = "_token"


class Visit:
    """One request by somebody who may make it.

    Attributes:
        form: what was sent; empty unless something was.
    """

    def __init__(self, request: Request, session: Session, token: str, form: FormData, signed: bool) -> None:
        self.request = request
        self.form = form
        self._shared = {
            "root": request.scope.get("root_path", ""),
            "token": token,
            "user": session.user,
            "signed": signed,
            "here": request.url.path,
            "posted": request.method == "POST",
            "said": "",
            "notice": None,
        }

    @property
    def root(self) -> str:
        return str(self._shared["root"])

    @property
    def by_htmx(self) -> bool:
        return "HX-Request" in self.request.headers

    def text(self, name: str) -> str:
        found = self.form.get(name)
        return found if isinstance(found, str) else ""

    def page(self, name: str, status: int = 200, /, **context: Any) -> Response:
        return page(self.request, name, self._shared | context, status)

    def whole(self, name: str, status: int = 200, /, **context: Any) -> Response:
        """The template as it stands, whoever asks."""
        text = environment().get_template(f"{name}.html").render(self._shared | {"part": False} | context)
        return HTMLResponse(text, status, PAGE_HEADERS)

    def go(self, path: str) -> Response:
        """To another page."""
        if self.by_htmx:
            return Response(status_code=204, headers={"HX-Redirect": f"{self.root}{path}"})
        return RedirectResponse(f"{self.root}{path}", 303)


Handler = Callable[[Visit], Awaitable[Response]]


class Gate:
    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self.sessions = Sessions(settings)
        self.needed = credentials.needed
        self._limit = settings.body_limit

    def __call__(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A page for who is signed in."""

        async def guarded(request: Request) -> Response:
            session = self.sessions.read(request.cookies.get(self.sessions.cookie))
            if session is None and self.needed:
                return self._to_door(request)
            begun = session is None
            session = session or self.sessions.begin("")
            response = await self._visited(request, session, handler, signed=self.needed)
            if begun:
                self.sessions.keep(request, response, session)
            return response

        return guarded

    def _to_door(self, request: Request) -> Response:
        root = request.scope.get("root_path", "")
        target = f"{root}/sign-in"
        if request.method == "GET" and "HX-Request" not in request.headers:
            query = f"?{request.url.query}" if request.url.query else ""
            target += f"?next={quote(request.url.path.removeprefix(root) + query, safe='')}"
        if "HX-Request" in request.headers or "text/event-stream" in request.headers.get("accept", ""):
            return Response(status_code=401, headers={"HX-Redirect": target})
        return RedirectResponse(target, 303)

    async def _visited(self, request: Request, session: Session, handler: Handler, *, signed: bool) -> Response:
        token = self.sessions.token(session)
        visit = Visit(request, session, token, FormData(), signed)
        try:
            if request.method == "POST":
                visit.form = await self.form(request)
                if not self.sessions.genuine(session, visit.form.get(TOKEN)):
                    return _wrong(visit, 403, FOREIGN)
            return await handler(visit)
        except Refused as refusal:
            return _wrong(visit, refusal.status, explain(refusal))
        except HTTPException as error:
            return _wrong(visit, error.status_code, Notice(title="That cannot be read.", text=error.detail))
        except Exception:
            _LOG.exception("The page %s failed", request.url.path)
            text = "The runtime met a defect; its log tells what happened."
            return _wrong(
                visit, 500, Notice(title="This did not work.", text=text, hint="Try again, or go on elsewhere.")
            )

    async def form(self, request: Request) -> FormData:
        """Raises: Refused"""
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > self._limit * _SLACK:
            raise too_large(self._limit)
        return await request.form(max_files=2, max_fields=_MOST_FIELDS, max_part_size=self._limit + 1)


FOREIGN = Notice(
    title="That form was not one of this session.",
    text="Nothing was done.",
    hint="It was open since before you signed in, or another page sent it. Go back, load the page again and repeat it.",
)


def _wrong(visit: Visit, status: int, notice: Notice) -> Response:
    if not visit.by_htmx:
        return visit.whole("wrong", status, notice=notice)
    if visit.request.method == "GET":
        # What the page shows is not there any more; or it cannot be told now, and the page will ask again.
        return visit.go("/") if status == 404 else Response(status_code=status, headers={"HX-Reswap": "none"})
    # Beside what was pressed; what is on the page stays.
    response = visit.whole("notice", status, notice=notice)
    response.headers["HX-Reswap"] = "none"
    return response
