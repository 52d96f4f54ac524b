"""A model served as people serve it, by ``hdkd serve``, and images to ask it about."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from project import ROOT

SECONDS = 60  # for a server to end


class Server(NamedTuple):
    """Where a model is served, and by which process."""

    url: str
    process: subprocess.Popen

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def serving(model: str | Path, *options: str, errors: Path | None = None) -> Iterator[Server]:
    """``hdkd serve`` on a free port, ended as people end it; its stderr may go to a file."""
    # Shells let what they start in the background ignore interruptions, and children inherit that.
    listening = ["env", "--default-signal=INT", sys.executable]
    command = [*listening, "-m", "hdkd", "serve", "--model", str(model), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (errors or Path(os.devnull)).open("w") as stderr:
        process = subprocess.Popen(
            [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        try:
            line = process.stdout.readline()
            yield Server(re.search(r"http://\S+", line)[0], process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
            process.stdout.close()


def photograph(size: tuple[int, int] = (300, 200), seed: int = 0) -> Image.Image:
    """Coloured blots: nothing like a scan of a head."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """An image as the bytes of a file."""
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()
