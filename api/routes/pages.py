"""Pages for people: the landing page and the OpenAPI page, both without anything from the internet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from api import models
from api.routes.deps import Ctx
from api.routes.health import examine

router = APIRouter(include_in_schema=False)

ASSETS_URL = "/assets/docs"
ASSETS = Path(str(fastapi_offline.__file__)).parent / "static"
"""Swagger UI's own files (Apache-2.0), as the installed package fastapi-offline carries them."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>MarketPrism {environment}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2330 }}
h1 {{ margin-bottom: 0 }} code, td {{ font-variant-numeric: tabular-nums }} a {{ color: #0b57d0 }}
.simulated {{ background: #7a1fa2; color: #fff; padding: .5rem 1rem; border-radius: .4rem; font-weight: 600 }}
.ok {{ color: #12733a }} .degraded {{ color: #9a5b00 }} .down {{ color: #b3261e }}
table {{ border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }}
th, td {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #dde2ea }}
</style></head><body>
<h1>MarketPrism</h1>
<p>Environment <b>{environment}</b>, state <b class="{status}">{status}</b>.
<a href="{root}/docs">API documentation</a>, <a href="{root}/openapi.json">openapi.json</a>,
<a href="{root}/health">health</a>, <a href="{root}/metrics">metrics</a>.</p>
{simulated}{problems}
<h2>Symbols</h2>
<table><tr><th>symbol</th><th>state</th><th>newest value</th><th>book</th><th>what is wrong</th></tr>{symbols}</table>
<h2>Endpoints</h2>
<table>{endpoints}</table>
</body></html>
"""

SIMULATED = '<p class="simulated">Simulated: these data do not come from the real exchange.</p>\n'
SYMBOLS_SHOWN_MAX = 200


@router.get("/")
async def landing(request: Request, context: Ctx) -> HTMLResponse:
    """What is here and how it is doing."""
    state = await examine(context)
    root = escape(str(request.scope.get("root_path", "")))
    rows = [
        _row(
            f"{s.exchange}.{s.market}.{s.symbol}",
            s.state,
            _age(s.age_ms),
            f"{s.book} {_age(s.book_age_ms)}".strip() if s.book else "",
            "; ".join(s.problems),
        )
        for s in state.symbols[:SYMBOLS_SHOWN_MAX]
    ]
    ends = []
    for path, methods in request.app.openapi()["paths"].items():
        link = f"{path}?{_example(path, state.symbols)}" if "/data/" in path and state.symbols else path
        summary = escape(methods["get"].get("summary", ""))
        ends.append(f'<tr><td><a href="{root}{escape(link)}">{escape(path)}</a></td><td>{summary}</td></tr>')
    problems = "".join(f'<li class="{state.status}">{escape(p)}</li>' for p in state.problems)
    return HTMLResponse(
        PAGE.format(
            environment=escape(state.environment),
            status=state.status,
            root=root,
            simulated=SIMULATED if state.simulated else "",
            problems=f"<ul>{problems}</ul>" if problems else "",
            symbols="".join(rows),
            endpoints="".join(ends),
        )
    )


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    root = str(request.scope.get("root_path", ""))
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="MarketPrism API",
        swagger_js_url=f"{root}{ASSETS_URL}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS_URL}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS_URL}/favicon.png",
        # Else the page asks a server on the internet whether the description is valid.
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True, "displayRequestDuration": True},
    )


def mount_assets(app: FastAPI) -> None:
    app.router.routes.append(Mount(ASSETS_URL, StaticFiles(directory=ASSETS), name="docs-assets"))


def _example(path: str, symbols: Sequence[models.SymbolHealth]) -> str:
    """Parameters that name a symbol the endpoint has something of."""
    fitting = [s for s in symbols if s.market != "spot"] if path.endswith("/derivatives") else []
    one = (fitting or symbols)[0]
    return urlencode({"exchange": one.exchange, "market": one.market, "symbol": one.symbol})


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"


def _age(age_ms: int | None) -> str:
    return "" if age_ms is None else f"{age_ms} ms ago" if age_ms < 10_000 else f"{age_ms / 1000:.0f} s ago"
