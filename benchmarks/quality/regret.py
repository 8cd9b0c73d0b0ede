"""From runs to figures: normalised regret, intervals, ranks and paired tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.results import SHARES, Row

Array = NDArray[np.float64]

FLOOR = 1e-3  #: lower regrets count as this one
CHECKPOINTS = tuple(SHARES.index(share) for share in (0.25, 0.5, 1.0))
RESAMPLES = 1000


@dataclass(frozen=True)
class Regrets:
    """Log10 of normalised regrets: 0 is a random configuration, -3 the best value known.

    Attributes
    ----------
    of
        By optimizer, then by problem and seed: shape ``(len(SHARES),)``.
    """

    of: Mapping[str, Mapping[tuple[str, int], Array]]

    def problems(self) -> list[str]:
        """List those that every optimizer was run on."""
        common = [{problem for problem, _ in runs} for runs in self.of.values()]
        return sorted(set.intersection(*common)) if common else []

    def curve(self, optimizer: str, problem: str) -> Array:
        """Return the regrets of all seeds, shape ``(seeds, len(SHARES))``."""
        runs = self.of[optimizer]
        return np.array([runs[key] for key in sorted(runs) if key[0] == problem])

    def mean(self, optimizer: str, problems: Sequence[str]) -> Array:
        """Return the mean over problems of the mean over seeds, shape ``(len(SHARES),)``."""
        return np.mean([self.curve(optimizer, one).mean(axis=0) for one in problems], axis=0)

    def interval(self, optimizer: str, problems: Sequence[str]) -> tuple[float, float]:
        """Return the 90 % interval at the end, by resampling problems and seeds."""
        rng = np.random.default_rng(0)
        ends = [self.curve(optimizer, one)[:, -1] for one in problems]
        means = []
        for _ in range(RESAMPLES):
            drawn = (ends[index] for index in rng.integers(len(ends), size=len(ends)))
            means.append(np.mean([rng.choice(end, len(end)).mean() for end in drawn]))
        low, high = np.percentile(means, [5, 95])
        return float(low), float(high)

    def ranks(self, problems: Sequence[str]) -> dict[str, Array]:
        """Return the mean rank over problems at the checkpoints; 1 is the best."""
        from scipy.stats import rankdata

        names = list(self.of)
        means = [[self.curve(name, one).mean(axis=0) for one in problems] for name in names]
        ranked = rankdata(np.array(means), axis=0).mean(axis=1)[:, list(CHECKPOINTS)]
        return dict(zip(names, ranked, strict=True))

    def differences(self, one: str, other: str) -> Array:
        """Return log10 regrets of ``one`` minus ``other``, pair by pair of problem and seed."""
        both = sorted(self.of[one].keys() & self.of[other].keys())
        return np.array([self.of[one][key] - self.of[other][key] for key in both])


def regrets(rows: Iterable[Row], marks: Mapping[str, tuple[float, float]]) -> Regrets:
    """Normalise runs by the marks of their problems, the best value seen in any run included."""
    rows = list(rows)
    best = {name: mark[0] for name, mark in marks.items()}
    for row in rows:
        best[row.problem] = min(best[row.problem], *row.scores)
    found: dict[str, dict[tuple[str, int], Array]] = {}
    for row in rows:
        span = marks[row.problem][1] - best[row.problem]
        share = (np.array(row.scores) - best[row.problem]) / max(span, 1e-12)
        share = np.where(np.isnan(share), 1.0, share)  # nothing had finished
        log = np.log10(np.clip(share, FLOOR, 1.0))
        found.setdefault(row.optimizer, {})[row.problem, row.seed] = log
    return Regrets(found)


def signed_rank(differences: Array) -> float:
    """Return the p-value of Wilcoxon's signed-rank test; 1 if there is no difference at all."""
    from scipy.stats import wilcoxon

    apart = differences[np.abs(differences) > 1e-9]
    return float(wilcoxon(apart).pvalue) if len(apart) else 1.0
