"""A model served until it is interrupted."""

import os
import socket
import warnings
from contextlib import suppress
from pathlib import Path

import torch
import uvicorn

from hdkd.deploy.web.answers import Served
from hdkd.deploy.web.app import build_app
from hdkd.errors import RunError

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
EVERY_ADDRESS = ("0.0.0.0", "::")
CONNECTIONS = 512  # beyond which requests are refused with status 503
FAREWELL = 3  # seconds that requests have to end after an interruption


def serve(folder: Path, host: str, port: int) -> None:
    """Serve the model in ``folder`` at an address, port 0 being any free one, until Ctrl-C.

    Raises ``RunError`` where there is no model, or the address cannot be had.
    """
    served = Served.load(folder)
    warnings.filterwarnings("ignore", module="PIL")  # a visitor's odd file is no news here
    torch.set_num_threads(1)  # images are judged side by side instead
    app = build_app(served, ("*",) if host in EVERY_ADDRESS else (*LOOPBACK, host))
    # An interruption is how it ends.
    with listening(host, port) as opened, suppress(KeyboardInterrupt):
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{opened.getsockname()[1]}"
        print(f"{served.description.title}: {address}  (Ctrl-C ends it)", flush=True)
        if host not in LOOPBACK:
            print(
                f"warning: whoever reaches {host} can use this page, without a password and "
                "unencrypted; docs/web-page.md shows a way with both",
                flush=True,
            )
        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=FAREWELL,
        )
        uvicorn.Server(config).run(sockets=[opened])


def listening(host: str, port: int) -> socket.socket:
    """A socket at an address. Raises ``RunError`` where it cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        unknown = isinstance(error, socket.gaierror)  # a name, whose errors have other numbers
        reason = error.strerror if unknown else os.strerror(error.errno or 0)
        raise RunError(
            f"{host}, port {port} cannot be had ({reason}): choose others with --host and --port"
        ) from None
