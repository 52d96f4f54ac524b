"""Which epoch's weights a run leaves."""

from typing import Any

from torch import Tensor, nn


class KeptWeights:
    """The weights to leave: of the last epoch, or of the best one on the watched images.

    ``best_on_validation`` goes by balanced accuracy, which fits whatever classes there are, and of
    equals takes the one with the lowest loss. ``best_on_test`` takes the first with the highest
    accuracy, as the released implementation does.
    """

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.epoch = 0
        self.score: list[float] = []
        self.state: dict[str, Tensor] = {}

    def offer(self, row: dict[str, Any], model: nn.Module) -> None:
        """Look at an epoch that was evaluated, and keep its weights if none before was as good."""
        if self.rule == "last":
            self.epoch = row["epoch"]
            return
        if self.rule == "best_on_test":
            score = [row["test_accuracy"]]
        else:
            score = [row["validation_balanced_accuracy"], -row["validation_loss"]]
        if not self.score or score > self.score:
            self.epoch, self.score = row["epoch"], score
            self.state = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}

    def put_back(self, model: nn.Module) -> None:
        """Give ``model`` the weights that are kept."""
        if self.state:
            model.load_state_dict(self.state)
