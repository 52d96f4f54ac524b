"""Errors that a user can cause: one sentence that names the key, file or value and the way out."""


class UserError(Exception):
    """Base of every error that is reported as one sentence, without a traceback, with exit code 2."""


class ParameterError(UserError):
    """A parameter is unknown, has the wrong type, or does not fit the others."""


class DataError(UserError):
    """Images, archives or folders are missing, unreadable or do not have the expected layout."""


class UnfinishedError(Exception):
    """A training stopped before its last epoch; the same command continues it. Exit code 75."""


class RunError(UserError):
    """A run folder is missing, incomplete or does not fit what is asked of it."""
