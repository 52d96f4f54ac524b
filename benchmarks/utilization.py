"""How busy a GPU is, as its driver reports it."""

import threading


class UtilizationMonitor:
    """Asks several times a second how busy the GPU is; nothing where ``device`` is none."""

    def __init__(self, device: str) -> None:
        self._shares: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if device == "cuda":
            self._thread.start()

    def _watch(self) -> None:
        import torch

        while not self._ended.wait(0.1):
            try:
                self._shares.append(torch.cuda.utilization())
            except Exception:  # it needs the driver's Python bindings, whose errors are their own
                return

    def stop(self) -> float | None:
        """The mean share in percent, or nothing where it was never known."""
        self._ended.set()
        return sum(self._shares) / len(self._shares) if self._shares else None
