"""The pages: a frame each, filled by the stream. Templates escape everything; scripts and styles are files of ours."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, JSONResponse, Response

if TYPE_CHECKING:
    from copytrade.console.web.app import Parts

_FOLDER = Path(__file__).parent
_TEMPLATES = Environment(loader=FileSystemLoader(_FOLDER / "templates"), autoescape=True, undefined=StrictUndefined)


@cache
def statics() -> dict[str, tuple[bytes, str, str]]:
    """The files that pages are made of, by name: content, type, and a mark of the content."""
    found = {}
    for path in sorted((_FOLDER / "static").iterdir()):
        content = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kind = "text/javascript" if path.suffix == ".js" else kind
        found[path.name] = (content, kind, hashlib.sha256(content).hexdigest()[:16])
    return found


@cache
def _version() -> str:
    """Changes with any of the files, so that browsers ask for new ones."""
    return hashlib.sha256("".join(mark for _, _, mark in statics().values()).encode()).hexdigest()[:12]


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    page = _TEMPLATES.get_template(template).render(**{"version": _version(), "name": "", "fault": "", **values})
    return HTMLResponse(page, status_code=status)


def add_routes(app: FastAPI, parts: Parts) -> None:
    """Every page, and the files they are made of."""

    async def static(name: str, request: Request) -> Response:
        found = statics().get(name)
        if found is None:
            return JSONResponse({"error": "there is no such file"}, status_code=404)
        content, kind, mark = found
        headers = {"etag": f'"{mark}"', "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == f'"{mark}"':
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    def page(path: str, template: str, title: str) -> None:
        async def show(request: Request) -> Response:
            visitor = request.scope["state"]["visitor"]
            key = next(iter(request.path_params.values()), "")
            return render(
                template, title=title, here=path, key=parts.redact(str(key)), who=visitor.who,
                kill=parts.sources.kill_state(),
            )  # fmt: skip

        app.add_api_route(path, show, methods=["GET"], include_in_schema=False, response_model=None, name=template)

    app.add_api_route("/static/{name}", static, methods=["GET"], include_in_schema=False, response_model=None)
    page("/", "overview.html", "Overview")
    page("/signals", "signals.html", "Signals")
    page("/signals/{signal_id}", "signal.html", "Signal")
    page("/followers/{account}", "follower.html", "Follower")
    page("/orders", "orders.html", "Orders")
    page("/health", "health.html", "Health")
    page("/log", "log.html", "Log")
    page("/audit", "audit.html", "Audit trail")

    async def docs(request: Request) -> Response:
        return render(
            "docs.html", title="API", here="/api/docs", key="", who=request.scope["state"]["visitor"].who,
            kill=parts.sources.kill_state(), operations=operations(app.openapi()),
        )  # fmt: skip

    app.add_api_route("/api/docs", docs, methods=["GET"], include_in_schema=False, response_model=None)


def operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The API's calls, flattened for a page."""
    found = []
    for path, methods in schema["paths"].items():
        for method, call in methods.items():
            body = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            model = schema.get("components", {}).get("schemas", {}).get(body.get("$ref", "").rpartition("/")[2], {})
            found.append(
                {
                    "method": method.upper(), "path": path, "summary": call.get("summary", ""),
                    "description": call.get("description", ""), "tag": (call.get("tags") or ["other"])[0],
                    "parameters": [
                        {"name": p["name"], "place": p["in"], "text": p.get("description", "")}
                        for p in call.get("parameters", [])
                    ],
                    "fields": [
                        {"name": n, "text": field.get("description", ""), "needed": n in model.get("required", ())}
                        for n, field in model.get("properties", {}).items()
                    ],
                }
            )  # fmt: skip
    return sorted(found, key=lambda each: (each["tag"], each["path"]))
