"""What a mean over seeds says about other seeds."""

from collections.abc import Sequence

import numpy as np


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean of ``values``, in their unit, by Student's t with n - 1 degrees of freedom.

    For differences paired by seed it is that of the paired t-test. NaN for fewer than two values.
    """
    from scipy.stats import t  # slow to import

    if len(values) < 2:
        return (float("nan"), float("nan"))
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    reach = float(t.ppf((1 + level) / 2, len(values) - 1) * error)
    return float(mean - reach), float(mean + reach)
