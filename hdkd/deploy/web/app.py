"""The page and the JSON interface of a model.

An image comes as the body of a request, not as a form: no parser of forms spools it to a file, and
``curl --data-binary`` sends it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, NoReturn

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

import hdkd
from hdkd.data.prepare import cores
from hdkd.deploy.web.answers import Answer, Description, Served
from hdkd.deploy.web.budget import Budget
from hdkd.deploy.web.uploads import LIMIT
from hdkd.errors import DataError

HERE = Path(__file__).parent
FILES = ("page.css", "page.js")
TOGETHER = 8 * LIMIT  # bytes of files that have come and are not answered
PATIENCE = 60  # seconds for room, and for a file to come
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
IMAGE = {"schema": {"type": "string", "format": "binary"}}
BODY = {"image/*": IMAGE, "application/octet-stream": IMAGE}


class Refusal(BaseModel):
    """Why there is no answer, in a sentence."""

    detail: str


REFUSALS = {
    408: f"the file did not come within {PATIENCE} seconds",
    411: "the request does not say how long its body is",
    413: f"the file is larger than {LIMIT // 2**20} MiB",
    422: "not an image that can be judged",
    503: f"there was no room for the file within {PATIENCE} seconds",
}


def build_app(served: Served, hosts: Sequence[str]) -> FastAPI:
    """An application that answers requests which name one of ``hosts``.

    A page of somebody else's that points its own name here is refused by that.
    """
    app = FastAPI(
        title="HDKD",
        version=hdkd.__version__,
        description=f"{served.description.title}. {served.description.warning}",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.middleware("http")(guarded)
    app.exception_handler(RequestValidationError)(in_a_sentence)
    add_page(app, served)
    add_interface(app, served)
    return app


def add_page(app: FastAPI, served: Served) -> None:
    """What a browser asks for."""

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(HERE / "index.html")

    @app.get("/LICENSE", include_in_schema=False)
    async def terms() -> PlainTextResponse:
        return PlainTextResponse(served.terms or no_card())

    @app.get("/{name}", include_in_schema=False)
    async def part(name: str) -> FileResponse:
        if name not in FILES:
            raise HTTPException(404, "there is no such page")
        return FileResponse(HERE / name)


def add_interface(app: FastAPI, served: Served) -> None:
    """What programs ask for, and the page's own script."""
    judging, budget = ThreadPoolExecutor(cores()), Budget(TOGETHER)

    @app.get("/api/model", summary="What to know of the model")
    async def model() -> Description:
        return served.description

    @app.get("/api/card", summary="The model card, HTML", response_class=HTMLResponse)
    async def card() -> HTMLResponse:
        return HTMLResponse(served.card or no_card())

    @app.post(
        "/api/classify",
        summary="The class of an image: its file is the body of the request",
        responses={k: {"description": text, "model": Refusal} for k, text in REFUSALS.items()},
        openapi_extra={"requestBody": {"required": True, "content": BODY}},
    )
    async def classify(
        request: Request,
        details: Annotated[bool, Query(description="also what the network saw, and where")] = False,
    ) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            async with budget.reserved(length_of(request), PATIENCE):
                content = await body_of(request)
                return await loop.run_in_executor(judging, served.answer, content, details)
        except TimeoutError:
            raise HTTPException(503, REFUSALS[503], {"Retry-After": str(PATIENCE)}) from None
        except DataError as error:
            raise HTTPException(422, str(error)) from None


async def guarded(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Tell browsers to take nothing from elsewhere, and to keep nothing."""
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


async def in_a_sentence(request: Request, error: Exception) -> JSONResponse:
    """A wrong parameter of a request, as every refusal is told."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)


def no_card() -> NoReturn:
    """Refuse what an exported model has, and a run folder has not."""
    raise HTTPException(404, "a run folder has no card: export the model with `hdkd export`")


def length_of(request: Request) -> int:
    """How many bytes a request says that its body has, from 1 to ``LIMIT``."""
    # With both, the server would go by the other one, and read without end.
    if "content-length" not in request.headers or "transfer-encoding" in request.headers:
        raise HTTPException(411, REFUSALS[411])
    length = int(request.headers["content-length"])  # the server refuses what is no number
    if length > LIMIT:
        raise HTTPException(413, REFUSALS[413])
    if not length:
        raise HTTPException(422, "the file is empty")
    return length


async def body_of(request: Request) -> bytes:
    """The body of a request, which stays in memory."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.body()
    except TimeoutError:
        raise HTTPException(408, REFUSALS[408]) from None
    except ClientDisconnect:
        raise HTTPException(400, "the file did not come whole") from None
