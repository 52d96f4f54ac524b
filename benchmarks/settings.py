"""How large the comparisons are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Sizes in pixels, images, and rounds that count; ``reference`` is a checkout, or nothing.

    ``study_seeds`` are those of generated studies, of which ``delivered`` runs go to MLflow whole.
    """

    reference: Path | None
    threads: int
    sizes: tuple[int, ...]
    batches: tuple[int, ...]
    rounds: int
    epoch_images: int
    epoch_batch: int
    epoch_rounds: int
    smote_images: tuple[int, ...]
    smote_size: int
    whole_smote: bool
    start_rounds: int
    study_seeds: tuple[int, ...]
    delivered: int
    latency_rounds: dict[int, int]  # by number of images at once
    scale: tuple[tuple[int, tuple[int, ...]], ...]

    def step_batch(self, size: int) -> int:
        """Images of a step at ``size`` pixels."""
        return self.batches[self.sizes.index(size)]


def full(reference: Path | None, threads: int) -> Settings:
    """What the committed report is made with: about half an hour on two cores."""
    return Settings(
        reference, threads, sizes=(64, 224), batches=(16, 16), rounds=9, epoch_images=48,
        epoch_batch=16, epoch_rounds=2, smote_images=(500, 1000, 2000), smote_size=112,
        whole_smote=True, start_rounds=5, study_seeds=(3, 59, 622), delivered=50,
        latency_rounds={1: 20, 16: 5},
        scale=((32, (12_500, 50_000, 200_000)), (224, (2000, 6000, 20_000))),
    )  # fmt: skip


def tiny(reference: Path | None, threads: int) -> Settings:
    """Everything once and small, to see that it runs."""
    return Settings(
        reference, threads, sizes=(32,), batches=(2,), rounds=1, epoch_images=8, epoch_batch=4,
        epoch_rounds=1, smote_images=(40, 80), smote_size=16, whole_smote=False, start_rounds=1,
        study_seeds=(1,), delivered=2, latency_rounds={1: 1, 2: 1},
        scale=((32, (60, 120)),),
    )  # fmt: skip
