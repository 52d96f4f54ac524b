"""What a container of ``deploy/Dockerfile`` has, where there is no such container."""

import os
import re
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from project import ROOT

PLUGIN = "snakemake-storage-plugin-s3"


def image_variables(workdir: Path, wheels: Path) -> dict[str, str]:
    """What the image's ``ENV`` lines set, with this machine's paths in the place of its own."""
    text = (ROOT / "deploy" / "Dockerfile").read_text().partition("AS runtime")[2]
    [lines] = re.findall(r"^ENV (PATH=(?:.*\\\n)*.*)$", text, re.MULTILINE)
    found = dict(pair.split("=", 1) for pair in lines.replace("\\\n", " ").split())
    paths = {"/workdir": str(workdir), "/opt/wheels": str(wheels)}
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {name: paths.get(value, value) for name, value in found.items()} | {"PATH": here}


def write_wheel(folder: Path) -> None:
    """The storage plugin as the file that the image has, from what is installed here."""
    installed = distribution(PLUGIN)
    name = f"{PLUGIN.replace('-', '_')}-{installed.version}-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for file in installed.files or ():
            if file.parts[0] != ".." and file.suffix != ".pyc":
                wheel.write(file.locate(), file.as_posix())
