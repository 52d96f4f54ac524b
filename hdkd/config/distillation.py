"""How HDKD is taught."""

from typing import Literal

from hdkd.config.fields import AtLeastZero, Fraction, Number, Rate, Triple, model


@model
class Distillation:
    """Equations 6 to 8: α, t, λ (``feature_weight``) and the power of the stage.

    ``targets`` are ``soft`` (the teacher's probabilities) or ``hard`` (its most probable class).
    """

    alpha: Fraction
    temperature: Rate
    targets: Literal["soft", "hard"]
    kl_normalisation: Literal["batch", "batch_and_classes"]
    feature_weight: AtLeastZero
    stage_power: Number
    batchnorm_updates: Triple

    @property
    def heads(self) -> str:
        """Heads that predict: those that the loss trains (α = 0 and α = 1 leave one out)."""
        return {0.0: "class", 1.0: "distillation"}.get(float(self.alpha), "both")
