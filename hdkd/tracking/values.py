"""What MLflow shows of a training: tags to find it by, and numbers that stand beside each other."""

import re
from typing import Any

from hdkd.runs.folder import training_of
from hdkd.study.plan import RunKey

TRAINING_TAG = "hdkd.training"
FORBIDDEN = re.compile(r"[^\w\-. :/]")  # in names of metrics


def tags(key: RunKey, params: dict[str, Any], made: dict[str, Any]) -> dict[str, str]:
    """What a run is found by."""
    return {
        "dataset": key.dataset,
        "synthetic_data": str(params["data"]["synthetic"]).lower(),
        "profile": key.profile,
        "group": key.group,
        "role": key.role,
        "variant": key.variant,
        "subset": key.subset,
        "seed": str(key.seed),
        "device": made["device"],
        "git_commit": str(made["git_commit"]),
        "data_hash": params["data"]["content_hash"],
        TRAINING_TAG: training_of(key, made),
    }


def final_metrics(summary: dict[str, Any]) -> dict[str, float]:
    """The numbers of a summary by name."""
    final, made = summary["final"], summary["provenance"]
    of = "final_validation" if summary.get("part") == "validation" else "final"
    metrics = {f"{of}_{name}": value for name, value in final.items() if isinstance(value, float)}
    for name, value in final["recall"].items():
        metrics[f"{of}_recall_{FORBIDDEN.sub('_', name)}"] = value
    if best := summary["best_epoch"]:
        metrics |= {"best_epoch_accuracy": best["accuracy"], "best_epoch": best["epoch"]}
    for name, value in (summary.get("validation") or {}).items():
        metrics[f"kept_validation_{name}"] = value
    for name, value in (summary.get("without_leaks") or {}).items():
        metrics[f"final_{name}_without_leaks"] = value
    return metrics | {n: made[n] for n in ("duration_seconds", "peak_memory_bytes") if n in made}
