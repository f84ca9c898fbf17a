"""A visitor without scripts: forms are filled in and sent as they stand on the page."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import httpx

from mizzen.acm.runtime.rest.app import app
from mizzen.acm.runtime.rest.settings import Settings
from mizzen.acm.runtime.service import Service

USER, PASSWORD = "demo", "zb!XztG34"


class Form:
    """
    Attributes:
        values: what it would send by itself.
    """

    def __init__(self, attributes: dict[str, str | None]) -> None:
        self.action = attributes.get("action") or ""
        self.method = (attributes.get("method") or "get").lower()
        self.id = attributes.get("id") or ""
        self.values: dict[str, str] = {}
        self.buttons: list[dict[str, str | None]] = []


class Page(HTMLParser):
    """What is on a page, as far as tests want to know."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self._text: list[str] = []
        self._area: tuple[str, list[str]] | None = None
        self._select = ""
        self._option: tuple[dict[str, str | None], list[str]] | None = None
        self.feed(text)
        self.text = " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.handlers += [name for name in found if name.startswith("on")]
        if tag == "form":
            self.forms.append(Form(found))
        elif tag == "script":
            self.scripts.append(found.get("src") or "inline")
        elif tag == "a":
            self.links.append(found.get("href") or "")
        elif self.forms:
            self._in_form(tag, found)

    def _in_form(self, tag: str, found: dict[str, str | None]) -> None:
        form, name = self.forms[-1], found.get("name") or ""
        if tag == "button":
            form.buttons.append(found)
        elif tag == "input" and name and found.get("type") != "file":
            form.values[name] = found.get("value") or ""
        elif tag == "textarea":
            self._area = (name, [])
        elif tag == "select":
            self._select = name
            form.values[name] = ""
        elif tag == "option":
            self._option = (found, [])

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area is not None:
            name, parts = self._area
            # The line's end after the tag is not of the text.
            self.forms[-1].values[name] = "".join(parts).removeprefix("\n")
            self._area = None
        elif tag == "option" and self._option is not None:
            found, parts = self._option
            if "selected" in found:
                self.forms[-1].values[self._select] = found.get("value") or "".join(parts)
            self._option = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area[1].append(data)
            return
        if self._option is not None:
            self._option[1].append(data)
        self._text.append(data)

    def form(self, button: str) -> Form:
        """The form with a button of this value."""
        for form in self.forms:
            if any(button == one.get("value") for one in form.buttons):
                return form
        raise AssertionError(f"no form has a button {button!r}: {self.text}")


class Visitor:
    """
    Attributes:
        answer, page: the last.
    """

    def __init__(self, service: Service, **settings: Any) -> None:
        given: dict[str, Any] = {"user": USER, "password": PASSWORD} | settings
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app(service, Settings(**given))), base_url="http://runtime"
        )
        self.answer = httpx.Response(0)
        self.page = Page("")

    async def __aenter__(self) -> Visitor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    def _take(self, answer: httpx.Response) -> Page:
        self.answer = answer
        self.page = Page(answer.text)
        return self.page

    async def get(self, path: str, **headers: str) -> Page:
        return self._take(await self.client.get(path, headers=headers, follow_redirects=True))

    async def post(self, path: str, values: dict[str, str], **headers: str) -> Page:
        return self._take(await self.client.post(path, data=values, headers=headers, follow_redirects=True))

    async def send(self, form: Form, button: str = "", **values: str) -> Page:
        pressed = {}
        for one in form.buttons:
            if button and one.get("value") == button:
                assert "disabled" not in one, f"{button} is disabled"
                pressed = {one.get("name") or "": button}
        sent = form.values | values | pressed
        path = form.action or self.answer.url.path
        return self._take(await self.client.post(path, data=sent, follow_redirects=True))

    async def sign_in(self) -> Page:
        page = await self.get("/sign-in")
        return await self.send(page.forms[0], user=USER, password=PASSWORD)
