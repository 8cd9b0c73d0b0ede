"""Iteration generators by name, for the command line."""

from __future__ import annotations

from hpdist.multi_fidelity.asha import Asha
from hpdist.multi_fidelity.halving import SuccessiveHalving
from hpdist.multi_fidelity.hyperband import Hyperband
from hpdist.multi_fidelity.single import SingleFidelity

NAMES = {
    "single": SingleFidelity,
    "halving": SuccessiveHalving,
    "hyperband": Hyperband,
    "asha": Asha,
}
