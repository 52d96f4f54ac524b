"""The page and the JSON interface of a model.

An image comes as the body of a request, not as a form: no parser of forms spools it to a file, and
``curl --data-binary`` sends it.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import anyio
import torch
from anyio import CapacityLimiter, Semaphore, to_thread
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from markdown_it import MarkdownIt
from starlette.middleware.trustedhost import TrustedHostMiddleware

import hdkd
from hdkd.data.prepare import cores
from hdkd.deploy.card import TERMS
from hdkd.deploy.predict import CARD
from hdkd.deploy.web.answers import About, Answer, Served
from hdkd.deploy.web.uploads import LIMIT
from hdkd.errors import DataError

HERE = Path(__file__).parent
BODIES = 8  # files that are in memory at a time; others wait in their sockets
PATIENCE = 60  # seconds for a file to come
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
BODY = {"image/*": {"schema": {"type": "string", "format": "binary"}}}
REFUSALS = {
    413: f"more than {LIMIT // 2**20} MiB",
    422: "not an image that can be judged; `detail` says why",
}


def build_app(served: Served, hosts: Sequence[str]) -> FastAPI:
    """An application that answers requests which name one of ``hosts``.

    A page of somebody else's that points its own name here is refused by that.
    """
    app = FastAPI(
        title="HDKD",
        version=hdkd.__version__,
        description=f"{served.about.title}. {served.about.warning}",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    torch.set_num_threads(1)  # images are judged side by side instead
    files = {"page.css": HERE, "page.js": HERE, TERMS: served.folder}
    judging, bodies = CapacityLimiter(cores()), Semaphore(BODIES)

    @app.middleware("http")
    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(HERE / "index.html")

    @app.get("/{name}", include_in_schema=False)
    async def part(name: str) -> FileResponse:
        if name not in files or not (files[name] / name).exists():
            raise HTTPException(404, "there is no such page")
        kind = "text/plain" if name == TERMS else None
        return FileResponse(files[name] / name, media_type=kind)

    @app.get("/api/model", summary="What to know of the model")
    async def about() -> About:
        return served.about

    @app.get("/api/card", summary="The model card, HTML", response_class=HTMLResponse)
    async def card() -> HTMLResponse:
        path = served.folder / CARD
        if not path.exists():
            raise HTTPException(
                404, "a run folder has no card: export the model with `hdkd export`"
            )
        reader = MarkdownIt("commonmark", {"html": False}).enable("table")
        return HTMLResponse(reader.render(path.read_text("utf-8")))

    @app.post(
        "/api/classify",
        summary="The class of an image: its file is the body of the request",
        responses={status: {"description": text} for status, text in REFUSALS.items()},
        openapi_extra={"requestBody": {"required": True, "content": BODY}},
    )
    async def classify(
        request: Request,
        details: Annotated[bool, Query(description="also what the network saw, and where")] = False,
    ) -> Answer:
        async with bodies:
            content = await body_of(request)
            try:
                return await to_thread.run_sync(served.answer, content, details, limiter=judging)
            except DataError as error:
                raise HTTPException(422, str(error)) from None

    return app


async def body_of(request: Request) -> bytes:
    """A body of at most ``LIMIT`` bytes, which stays in memory."""
    too_long = HTTPException(413, f"larger than the {LIMIT // 2**20} MiB that a file may have here")
    if int(request.headers.get("content-length", 0)) > LIMIT:
        raise too_long
    content = bytearray()
    with anyio.move_on_after(PATIENCE):
        async for chunk in request.stream():
            content += chunk
            if len(content) > LIMIT:
                raise too_long
        if not content:
            raise HTTPException(422, "empty")
        return bytes(content)
    raise HTTPException(408, f"the file did not come within {PATIENCE} seconds")
