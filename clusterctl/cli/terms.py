"""How much time a run has, and how much it says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import inf

JUDGING_SHARE, JUDGING_MOST_S = 0.1, 60.0  # of the budget, to judge and to write


@dataclass(frozen=True, slots=True)
class Terms:
    """How a run behaves where nobody watches.  `budget_s` counts from `began`."""

    quiet: bool = False
    budget_s: float = inf
    began: float = field(default_factory=time.monotonic)

    def asking_s(self) -> float:
        """Seconds left for asking; the rest of the budget is for judging and writing."""
        if self.budget_s == inf:
            return inf
        kept = min(self.budget_s * JUDGING_SHARE, JUDGING_MOST_S)
        return self.began + self.budget_s - kept - time.monotonic()

    def talking_s(self) -> float:
        """Seconds left for one node: it ends a little before the asking, so that we hear that."""
        return self.asking_s() - min(self.budget_s * JUDGING_SHARE / 2, 2.0)
