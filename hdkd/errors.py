"""Errors that a user can cause: one sentence that names the key, file or value and the way out."""

import errno
from collections.abc import Iterable

NAMES_SHOWN = 10
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(Exception):
    """Base of what is reported as one sentence, without a traceback, with exit code 2."""

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.splitlines()))  # names may have line ends in them


class ParameterError(UserError):
    """A parameter is unknown, has the wrong type, or does not fit the others."""


class DataError(UserError):
    """Images, archives or folders are missing, unreadable or do not have the expected layout."""


class UnfinishedError(Exception):
    """A run stopped before its last epoch; the same command resumes it. Exit code 75."""


class RunError(UserError):
    """A run folder is missing, incomplete or does not fit what is asked of it."""


def first_few(names: Iterable[str]) -> str:
    """The first of ``names``, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def is_disk_error(error: OSError) -> bool:
    """Whether the disk is full, or permission to read or write is missing."""
    return error.errno in (*FULL, *FORBIDDEN)


def disk_error_message(error: OSError) -> str:
    """What to do about a disk error."""
    where = f" at {error.filename}" if error.filename else ""
    if error.errno in FULL:
        return f"there is no room left{where} ({error.strerror}): make room and start again"
    return f"no permission{where} ({error.strerror}): change it, or name another folder"
