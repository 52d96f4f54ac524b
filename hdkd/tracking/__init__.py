"""MLflow: its runs are ours, below one parent run per sweep.

A study never depends on its tracking server. A run folder has everything, and MLflow is brought to
its state: while the run trains (:mod:`~hdkd.tracking.live`) or at any time later
(:func:`hdkd.tracking.mirror.deliver`).
"""

# What a process that talks to MLflow sets before MLflow is imported, unless the user has. MLflow
# configures its logger when it is imported; the level keeps its notes out of every log.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}
