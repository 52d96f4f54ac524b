"""Waiting for services that tests start, and for what these do."""

import socket
import time
import urllib.request
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float, otherwise: str) -> T:
    """Wait for something true, and return it; raises ``AssertionError`` saying ``otherwise``."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, otherwise
        time.sleep(0.2)
    return found


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def listens(port: int) -> bool:
    """Whether a port of the loopback takes connections."""
    with socket.socket() as place:
        return place.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    """Whether a page can be had within a second."""
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
