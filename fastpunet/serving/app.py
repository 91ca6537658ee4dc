"""The endpoints of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from fastpunet.prediction.halving import ran_out
from fastpunet.serving.answers import HTML, Answer, answer_report, answer_sample
from fastpunet.serving.asked import Asked, AskedSample
from fastpunet.serving.guard import Guard, Rules
from fastpunet.serving.limits import Limits
from fastpunet.serving.measuring import Metrics
from fastpunet.serving.refusals import Refusal
from fastpunet.serving.responding import as_parameters, misread, refused
from fastpunet.serving.served import Served
from fastpunet.serving.start_page import start_page
from fastpunet.serving.work import Watch, Work

_PAUSE = 10  # seconds after which other requests may have given their memory back
_FILE = {
    "requestBody": {
        "description": "The bytes of one file: PNG, JPEG, TIFF, NIfTI, DICOM, .npy (H, W) or (H, W, C), or .npz with "
        "such an array called image.",
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such model."},
    413: {"description": "The file or its image is larger than the limit."},
    415: {"description": "The file came as a form, expected its bytes as the body."},
    422: {"description": "The file or a parameter does not fit; `error` says which and why."},
    503: {
        "description": "Too many requests are waiting, or memory ran out; `Retry-After` says in how many seconds to "
        "ask again."
    },
    504: {"description": "The answer took longer than the limit."},
}
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer in the form of `output`.",
        "content": {kind: {} for kind in ("application/json", "application/x-npz", "text/csv")},
    }
}
_PAGE: dict[int | str, dict[str, Any]] = {200: {"description": "The page.", "content": {"text/html": {}}}}


@dataclass(frozen=True, eq=False)
class Service:
    """All that the endpoints use.

    folder  private, for the files of clients
    """

    models: Mapping[str, Served]
    limits: Limits
    rules: Rules
    work: Work
    metrics: Metrics
    folder: Path

    async def answer(self, compute: Callable[..., Answer], model: str, asked: Asked, call: Call) -> Response:
        """Compute the answer to a call in a worker. Raises Refusal."""
        served = self.models.get(model)
        if served is None:
            raise Refusal(404, f"model: got {model[:100]!r}, expected one of {', '.join(self.models)}", "model")
        _check_once(call)
        self.limits.check_n(asked.n)
        watch = Watch(self.limits.seconds)
        content = await _body(call, self.limits, watch)
        task = partial(compute, served, self.folder, content, asked, self.limits)
        try:
            answer = await self.work.do(task, watch, partial(_gone, call))
        except ValueError as error:
            raise Refusal(422, as_parameters(str(error)), "input") from None
        except (MemoryError, RuntimeError) as error:
            if ran_out(error):
                raise _out_of_memory() from None
            raise
        self.metrics.hypotheses.labels(model).inc(answer.hypotheses)
        return Response(answer.content, media_type=answer.media_type)


def make_app(service: Service) -> ASGIApp:
    """The service as an ASGI application."""
    app = FastAPI(
        title="fastpunet",
        summary="Segmentation hypotheses of images, for research and not for diagnosis.",
        description="Send the bytes of one image; get what a thousand segmentation hypotheses of it say. The same "
        "image, name or id, seed and n give the same bytes.",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        lifespan=partial(_lifespan, service),
    )
    _add_endpoints(app, service)
    _add_handlers(app, service)
    return Guard(app, service.rules, service.work, service.metrics)


def _add_endpoints(app: FastAPI, service: Service) -> None:
    @app.post("/models/{model}/sample", responses={**_FORMS, **_ERRORS}, openapi_extra=_FILE, response_class=Response)
    async def sample(model: str, asked: Annotated[AskedSample, Query()], call: Call) -> Response:
        """Draw hypotheses of an image, and answer in the form of `output`."""
        return await service.answer(answer_sample, model, asked, call)

    @app.post("/models/{model}/report", responses={**_PAGE, **_ERRORS}, openapi_extra=_FILE, response_class=Response)
    async def report(model: str, asked: Annotated[Asked, Query()], call: Call) -> Response:
        """Make the page of `fastpunet report` about an image, or about the most disputed slice of a volume."""
        return await service.answer(answer_report, model, asked, call)

    @app.get("/models")
    async def models() -> JSONResponse:
        """The models of this service, what they were trained on, and the limits of requests."""
        facts = [served.facts() for served in service.models.values()]
        return JSONResponse({"models": facts, "limits": vars(service.limits)})

    @app.head("/health/live", include_in_schema=False)
    @app.get("/health/live")
    async def live() -> JSONResponse:
        """Whether the process answers."""
        return JSONResponse({"live": True})

    @app.head("/health/ready", include_in_schema=False)
    @app.get("/health/ready", responses={503: {"description": "The queue is full."}})
    async def ready() -> JSONResponse:
        """Whether a request would be taken now. The models are loaded before the port is open."""
        free = not service.work.full
        return JSONResponse({"ready": free}, 200 if free else 503)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters for Prometheus: requests, seconds, requests waiting and computed, hypotheses, refusals."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def start() -> Response:
        html, policy = start_page(list(service.models), service.limits, service.rules.token is not None)
        return Response(html, media_type=HTML, headers={"Content-Security-Policy": policy})


def _add_handlers(app: FastAPI, service: Service) -> None:
    @app.exception_handler(Refusal)
    async def on_refusal(_: Call, refusal: Refusal) -> JSONResponse:
        service.metrics.refusals.labels(refusal.reason).inc()
        return refused(refusal)

    @app.exception_handler(RequestValidationError)
    async def on_misread(call: Call, error: RequestValidationError) -> JSONResponse:
        asked = AskedSample if call.url.path.endswith("/sample") else Asked
        return await on_refusal(call, misread(error, tuple(asked.model_fields)))

    @app.exception_handler(HTTPException)
    async def on_http(call: Call, error: HTTPException) -> JSONResponse:
        message = f"{call.method} {call.url.path[:100]}: {error.detail.lower()}; see /openapi.json"
        return await on_refusal(call, Refusal(error.status_code, message, "path", error.headers or {}))

    @app.exception_handler(Exception)
    async def on_error(_: Call, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"{type(error).__name__} in the service; its log says more"}, 500)


def _out_of_memory() -> Refusal:
    return Refusal(
        503,
        f"there is not enough memory now; ask for fewer hypotheses, or again in {_PAUSE} s",
        "memory",
        {"Retry-After": str(_PAUSE)},
    )


def _check_once(call: Call) -> None:
    """Raise Refusal for a parameter that is given twice, of which one value would be passed over."""
    for name in call.query_params:
        if (times := len(call.query_params.getlist(name))) > 1:
            raise Refusal(422, f"{name[:100]}: given {times} times, expected once", "parameter")


async def _body(call: Call, limits: Limits, watch: Watch) -> bytes:
    """The bytes of the file that a call sends. Raises Refusal for too many of them, none, or slow ones."""
    if call.headers.get("content-type", "").startswith("multipart/"):
        raise Refusal(
            415,
            "file: got a form, expected the bytes of the file as the body of the request, as curl --data-binary @FILE "
            "sends them",
            "input",
        )
    if int(call.headers.get("content-length", 0)) > limits.body:
        raise limits.too_large()
    content = bytearray()

    async def receive() -> None:
        async for part in call.stream():
            content.extend(part)
            if len(content) > limits.body:
                raise limits.too_large()

    try:
        await asyncio.wait_for(receive(), watch.remaining)
    except asyncio.TimeoutError:
        raise Refusal(408, f"file: did not arrive within {limits.seconds} s (--max-seconds)", "time") from None
    if not content:
        raise Refusal(422, "file: is empty, expected the bytes of an image as the body of the request", "input")
    return bytes(content)


async def _gone(call: Call) -> None:
    """Ends when the client has closed the connection."""
    while (await call.receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def _lifespan(service: Service, _: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(service.work.close)
