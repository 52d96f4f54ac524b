"""CSKD that predicts with two heads, as HDKD does, instead of three."""

from hdkd.distillation.cskd import CSKD

ABOUT = {
    "title": "CSKD, two heads",
    "origin": "As CSKD (Zhao et al., 2023), but the mean over the patches does not predict. Beside "
    "that row it shows what the third head gives, which HDKD lacks.",
    "source": "Zzzzz1/CSKD, cskd/cskd.py",
    "licence": "MIT",
    "published": "hard targets, α 0.5, patches 1",
    "logits": "cross-entropy, by batch, and by batch × patches",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
}


class TwoHeadCSKD(CSKD):
    """The same loss."""
