"""How long a cluster has to give the runs of each rule of the workflow."""

import math

from hdkd.config import Settings
from hdkd.remote.borrow import missing
from hdkd.study.key import RunKey
from hdkd.study.names import BASELINES, NETWORKS

# A node may be slower than those that were measured; what ends too early goes on at its next try.
MARGIN = 2.0
STARTING_MINUTES = 3


def rule_of(run: RunKey) -> str:
    """The rule of ``workflow/rules/train.smk`` that trains a run."""
    if run.role in NETWORKS:
        return "train_taught"
    return "train_baseline" if run.role in BASELINES else f"train_{run.role}"


def walltimes(settings: Settings, device: str) -> dict[str, int]:
    """Minutes by rule: twice what the longest missing run is estimated to take on ``device``.

    Raises ``RunError`` where nothing is known of a dataset's number of images.
    """
    longest: dict[str, float] = {}
    for each in missing(settings, device):
        rule = rule_of(each.run)
        longest[rule] = max(longest.get(rule, 0.0), each.seconds)
    return {
        rule: STARTING_MINUTES + math.ceil(MARGIN * seconds / 60)
        for rule, seconds in longest.items()
    }
