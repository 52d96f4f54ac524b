"""DearKD's schedule with a shorter first part: half of the epochs."""

from hdkd.distillation.dearkd import DearKD

ABOUT = {
    "title": "DearKD-style, half",
    "origin": "As DearKD-style (Chen et al., 2022), but only half of the epochs distil. Beside "
    "that row it shows whether distillation should stop early.",
    "source": "no public code",
    "licence": "",
    "published": "distils for 1/2 of the epochs; the rest as DearKD-style",
    "logits": "KL, by batch × classes",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
}


class HalfDearKD(DearKD):
    """DearKD with another length."""

    distilled = 1 / 2
