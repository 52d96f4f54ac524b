"""What MLflow shows of a run: tags to find it by, and its numbers."""

import re

from hdkd.runs.records import Origin, RunParams, RunSummary, identity

TRAINING_TAG = "hdkd.training"
NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")  # in names of metrics


def tags(params: RunParams, origin: Origin) -> dict[str, str]:
    """What a run is found by in MLflow, as texts."""
    run, data = params.run, params.data
    return {
        "dataset": run.dataset,
        "synthetic_data": str(data.synthetic).lower(),
        "profile": run.profile,
        "group": run.group,
        "role": run.role,
        "variant": run.variant,
        "subset": run.subset,
        "seed": str(run.seed),
        "device": origin.device,
        "git_commit": str(origin.git_commit),
        "data_hash": data.content_hash,
        TRAINING_TAG: identity(run, origin),
    }


def final_metrics(summary: RunSummary) -> dict[str, float]:
    """The numbers of a summary by their names in MLflow, which forbids some characters."""
    final, provenance = summary.final.content(), summary.provenance
    of = "final_validation" if summary.part == "validation" else "final"
    metrics = {f"{of}_{name}": value for name, value in final.items() if isinstance(value, float)}
    for name, value in summary.final.recall.items():
        metrics[f"{of}_recall_{NOT_IN_NAMES.sub('_', name)}"] = value
    if best := summary.best_epoch:
        metrics |= {"best_epoch_accuracy": best.accuracy, "best_epoch": best.epoch}
    if summary.validation:
        for name, value in summary.validation.content().items():
            metrics[f"kept_validation_{name}"] = value
    if summary.without_leaks:
        for name, value in summary.without_leaks.content().items():
            metrics[f"final_{name}_without_leaks"] = value
    metrics["duration_seconds"] = provenance.duration_seconds
    metrics["peak_memory_bytes"] = provenance.peak_memory_bytes
    return metrics
