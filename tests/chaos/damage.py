"""A byte changed in what a study keeps: noticed where it is read, and named."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

from chaos.training import Study
from hdkd.data.batches.imageset import ImageSet
from hdkd.data.split import PREPARED_FILES
from hdkd.errors import UserError
from hdkd.files import CHECKSUMS
from hdkd.runs.folder import RunFolder
from hdkd.study.plan import RUN_FILES


def flip(path: Path, generator: random.Random) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def read_run(folder: Path) -> None:
    run = RunFolder(folder)
    _ = run.params, run.metrics, run.predictions, run.summary, run.load_model()


def changed_bits(study: Study, tries: int, generator: random.Random) -> list[bool]:
    """``tries`` bits in each file that is read later, each noticed with the file's name or not."""
    outcomes = []
    for source, names, read in (
        (study.undisturbed, RUN_FILES, read_run),
        (study.prepared, (*PREPARED_FILES, CHECKSUMS), ImageSet.load),
    ):
        for name in names:
            for _ in range(tries):
                copy = study.folder / "damaged"
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(source, copy)
                flip(copy / name, generator)
                try:
                    read(copy)
                    outcomes.append(False)
                except UserError as error:
                    outcomes.append(name in str(error))
    return outcomes


def changed_bits_in_checkpoints(study: Study, tries: int, generator: random.Random) -> list[bool]:
    """A damaged checkpoint is noticed, and the training starts anew to the same end."""
    outcomes = []
    for number in range(tries):
        output = study.folder / f"checkpoint-{number}"
        process = study.start(output)
        while not (output / "checkpoint.bin").exists():
            time.sleep(0.005)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        flip(output / "checkpoint.bin", generator)
        outcomes.append(study.survives(output))
    log = (study.folder / "training.log").read_text()
    return [each and log.count("is damaged (its checksum is wrong)") >= tries for each in outcomes]
