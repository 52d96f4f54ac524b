"""Metrics of predictions, and what seeds and test images leave open about them."""
