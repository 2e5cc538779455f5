"""The application: routes, the envelope around every answer, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.exceptions import HTTPException

from api.context import Context
from api.envelope import ApiError, failed
from api.metrics import STORE_UP, Measured
from api.routes import derivatives, health, klines, orderbook, pages, reference, ticker, trades
from api.routes.health import probe
from runtime.config import Config
from runtime.service import Health

log = logging.getLogger("api")

ROUTERS = (
    health.router, reference.router, ticker.router, trades.router, orderbook.router, klines.router,
    derivatives.router, pages.router,
)  # fmt: skip

MONITOR_INTERVAL_S = 1.0
LOOP_STALLED_S = 30.0
RETRY_AFTER_S = "2"
"""In every 503."""
CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}

DESCRIPTION = """
Market data with its provenance. Every answer is an envelope `{success, data, error, timestamp}`, errors included.

- **Nothing is invented.** A store that does not answer gives 503 and its name; what is not there is an empty list.
- **Every value has its age** (`age_ms`, since we received it), every book its `state`; a book that is not verified is
  answered with its state and reason and no levels.
- **What is missing is said**: candles carry `complete` and why not, `/api/v1/data/gaps` lists what we know we lack.
- **Simulated data say so**: `environment` and `simulated` are in every answer.
- Prices and quantities are exact decimal strings; ids and nanoseconds are strings; times are UTC.
"""


def create_app(config: Config, checks: Health | None = None) -> FastAPI:
    """The application over the stores of `config`. `checks` gets its liveness and readiness."""
    checks = checks or Health()
    label = f" ({config.environment.name}, simulated)" if config.environment.simulated else ""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context = app.state.context = Context(config)
        monitor = asyncio.create_task(_monitor(context, checks))
        try:
            yield
        finally:
            monitor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await monitor
            await context.close()

    app = FastAPI(
        title=f"MarketPrism{label}",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        license_info={"name": "MIT"},
    )
    for router in ROUTERS:
        app.include_router(router)
    pages.mount_assets(app)
    _add_service_pages(app, checks)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(Measured)
    return app


async def _monitor(context: Context, checks: Health) -> None:
    """Keep the list of symbols fresh and know which stores answer, so that no request has to find out."""
    beat = time.monotonic()
    down = {"redis": "not asked yet", "clickhouse": "not asked yet"}
    checks.live["event loop"] = lambda: (
        f"stood still for {time.monotonic() - beat:.0f} s" if time.monotonic() - beat > LOOP_STALLED_S else None
    )
    checks.ready["stores"] = lambda: (
        "; ".join(f"{name}: {why}" for name, why in down.items()) if all(down.values()) else None
    )
    while True:
        beat = time.monotonic()
        try:
            for name, ping in (("redis", context.latest.ping), ("clickhouse", context.history.ping)):
                store = await probe(name, ping)
                if bool(store.error) != bool(down[name]):
                    said = f"does not answer: {store.error}" if store.error else "answers"
                    log.info("%s %s", name, said)
                down[name] = store.error
            await context.refresh()
        except Exception:  # the outermost loop of a task that must not end before the process does
            log.exception("the store check failed")
        await asyncio.sleep(MONITOR_INTERVAL_S)


def _add_service_pages(app: FastAPI, checks: Health) -> None:
    """The pages of every service, here too: where only the API's own port can be reached."""

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    def check(path: str) -> Response:
        status, body = checks.answer(path)
        return Response(json.dumps(body), status, media_type="application/json")

    app.add_api_route("/livez", lambda: check("/livez"), include_in_schema=False)
    app.add_api_route("/readyz", lambda: check("/readyz"), include_in_schema=False)


def _answer(status: int, code: str, message: str, details: dict[str, object] | None = None) -> JSONResponse:
    return JSONResponse(failed(code, message, details).model_dump(), status)


async def _api_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, ApiError)
    answer = _answer(exc.status, exc.code, exc.message, exc.details)
    if exc.status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = RETRY_AFTER_S
    return answer


async def _invalid(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    fields = [
        {"where": ".".join(str(part) for part in error["loc"]), "reason": error["msg"].removeprefix("Value error, ")}
        for error in exc.errors()
    ]
    message = "; ".join(f"{field['where']}: {field['reason']}" for field in fields)
    return _answer(422, "bad_parameter", message, {"fields": fields})


async def _http_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    answer = _answer(exc.status_code, CODES.get(exc.status_code, "http_error"), str(exc.detail))
    answer.headers.update(exc.headers or {})
    return answer


async def _unexpected(request: Request, _: Exception) -> Response:
    # Starlette raises it again after this answer, and uvicorn logs it with its traceback.
    return _answer(500, "internal", "an error of ours; it is in the log", {"path": request.url.path})


STORE_UP.labels("redis").set(0)
STORE_UP.labels("clickhouse").set(0)
