"""Problems by formula. Optima lie off the centre, so that starting there is no advantage."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.quality.problem import Condition, Configuration, Parameter, Problem, exact

SCALES = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN = {
    3: (
        np.array([[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]]),
        1e-4
        * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]),
        -3.86278,
    ),
    6: (
        np.array(
            [
                [10, 3, 17, 3.5, 1.7, 8],
                [0.05, 10, 17, 0.1, 8, 14],
                [3, 3.5, 1.7, 10, 17, 8],
                [17, 8, 0.05, 10, 0.1, 14],
            ]
        ),
        1e-4
        * np.array(
            [
                [1312, 1696, 5569, 124, 8283, 5886],
                [2329, 4135, 8307, 3736, 1004, 9991],
                [2348, 1451, 3522, 2883, 3047, 6650],
                [4047, 8828, 8732, 5743, 1091, 381],
            ]
        ),
        -3.32237,
    ),
}
UNIT = "float", 0.0, 1.0


def _axes(dimension: int, low: float = 0.0, high: float = 1.0) -> tuple[Parameter, ...]:
    return tuple(Parameter(f"x{index}", "float", low, high) for index in range(dimension))


def _vector(config: Configuration) -> np.ndarray:
    return np.array([value for name, value in sorted(config.items()) if name[0] == "x"])


def branin() -> Problem:
    """Branin with the budget of Kandasamy et al., "BOCA", ICML 2017."""

    def loss(config: Configuration, budget: float) -> float:
        a, b, short = config["x0"], config["x1"], 1.0 - budget
        quadratic = 5.1 / (4 * math.pi**2) - 0.01 * short
        linear, ripple = 5 / math.pi - 0.1 * short, 1 / (8 * math.pi) + 0.05 * short
        valley = (b - quadratic * a**2 + linear * a - 6) ** 2
        tilt = 20 * short * math.sin(a)
        return valley + 10 * (1 - ripple) * math.cos(a) + 10 + tilt

    axes = (Parameter("x0", "float", -5, 10), Parameter("x1", "float", 0, 15))
    return exact("branin", "smooth", axes, loss, num_rungs=4, optimum=0.397887)


def hartmann(dimension: int, bias: float, noise: float) -> Problem:
    """Hartmann whose wells flatten, and whose noise grows, at low budgets.

    As in Mallik et al., "PriorBand", NeurIPS 2023, appendix D.2.1.
    """
    slopes, wells, optimum = HARTMANN[dimension]

    def clean(config: Configuration, budget: float) -> float:
        missing = bias * (1.0 - math.log(max(100 * budget, 1)) / math.log(100))
        distances = (slopes * (_vector(config) - wells) ** 2).sum(axis=1)
        return float(-((SCALES - missing) * np.exp(-distances)).sum())

    def loss(config: Configuration, budget: float, rng: np.random.Generator) -> float:
        share = 1.0 - math.log(max(100 * budget, 1)) / math.log(100)
        return clean(config, budget) + abs(rng.standard_normal()) * noise * share

    return Problem(
        f"hartmann{dimension}{'_misleading' if bias > 3 else ''}",
        "smooth",
        _axes(dimension),
        loss,
        lambda config: clean(config, 1.0),
        num_rungs=4,
        optimum=optimum,
    )


def counting_ones(categories: int, numbers: int) -> Problem:
    """Count ones, of which the continuous ones are seen as frequencies of ``729 * budget`` draws.

    As in Falkner, Klein and Hutter, "BOHB", ICML 2018, section 5.1.
    """
    size = categories + numbers

    def loss(config: Configuration, budget: float, rng: np.random.Generator) -> float:
        draws = max(round(729 * budget), 1)
        frequencies = rng.binomial(draws, _vector(config)) / draws
        return 1.0 - (_ones(config) + frequencies.sum()) / size

    choices = tuple(
        Parameter(f"c{index}", "categorical", choices=("0", "1")) for index in range(categories)
    )
    return Problem(
        f"counting_{categories}_{numbers}",
        "counting",
        (*choices, *_axes(numbers)),
        loss,
        lambda config: 1.0 - (_ones(config) + _vector(config).sum()) / size,
        num_rungs=4,
        optimum=0.0,
    )


def _ones(config: Configuration) -> int:
    return sum(value == "1" for name, value in config.items() if name[0] == "c")


def borehole() -> Problem:
    """Water through a borehole, to be brought to a given flow at the least expense."""
    axes = (
        Parameter("rw", "float", 0.05, 0.15),
        Parameter("r", "float", 100, 50_000, log=True),
        Parameter("Tu", "float", 63_070, 115_600),
        Parameter("Hu", "float", 990, 1110),
        Parameter("Tl", "float", 63.1, 116),
        Parameter("Hl", "float", 700, 820),
        Parameter("L", "float", 1120, 1680),
        Parameter("Kw", "float", 9855, 12_045),
    )

    def loss(config: Configuration, budget: float) -> float:
        log_ratio = math.log(config["r"] / config["rw"])
        leak = 2 * config["L"] * config["Tu"] / (log_ratio * config["rw"] ** 2 * config["Kw"])
        head = 2 * math.pi * config["Tu"] * (config["Hu"] - config["Hl"]) / log_ratio
        exact_flow = head / (1 + leak + config["Tu"] / config["Tl"])
        rough_flow = head / (1.5 + leak + config["Tu"] / config["Tl"])
        flow = budget * exact_flow + (1 - budget) * rough_flow
        expense = 0.5 * ((config["L"] - 1400) / 280) ** 2 + (config["Kw"] / 12_045) ** 2
        return math.log1p(abs(flow - 100)) + expense

    return exact("borehole", "smooth", axes, loss, num_rungs=4)


def learning_curves(seed: int) -> Problem:
    """Power laws that cross: the best at the end are slow at the start.

    Eight parameters as of a neural network; the final loss has interactions and a plateau of
    divergence, and the exponent of the curve depends on the learning rate.
    """
    rng = np.random.default_rng(seed)
    optimum = rng.uniform(0.2, 0.8, 8)
    weight = rng.dirichlet(np.full(8, 0.5))
    mixing = rng.standard_normal((8, 8)) * 0.3 + np.eye(8)
    axes = (
        Parameter("x0", "float", 1e-5, 1.0, log=True),
        *(Parameter(f"x{index}", "float") for index in range(1, 6)),
        Parameter("x6", "int", 1, 12),
        Parameter("x7", "int", 16, 1024, log=True),
    )

    def unit(config: Configuration) -> np.ndarray:
        values = _vector(config)
        values[0] = math.log10(values[0]) / 5 + 1
        values[6] = (values[6] - 1) / 11
        values[7] = math.log(values[7] / 16) / math.log(64)
        return values

    def final(u: np.ndarray) -> float:
        away = mixing @ (u - optimum)
        diverged = 1.0 / (1.0 + math.exp(-30 * (u[0] - optimum[0] - 0.25)))
        return float(0.05 + 0.9 * (1 - math.exp(-4 * (weight * away**2).sum())) + 0.5 * diverged)

    def clean(config: Configuration, budget: float) -> float:
        u = unit(config)
        speed = 0.3 + 0.9 * u[0] * (1 - 0.4 * u[7])
        return min(final(u) + 0.6 * ((27 * budget) ** -speed - 27**-speed), 1.0)

    def loss(config: Configuration, budget: float, noise: np.random.Generator) -> float:
        return clean(config, budget) + 0.005 * noise.standard_normal()

    return Problem(
        f"curves_{seed}", "curves", axes, loss, lambda config: clean(config, 1.0), num_rungs=4
    )


def nested(seed: int) -> Problem:
    """Four families of models with parameters of their own, one of them the best by a little."""
    rng = np.random.default_rng(seed)
    families = ("a", "b", "c", "d")
    floor = dict(zip(families, rng.permutation([0.0, 0.02, 0.1, 0.3]), strict=True))
    optimum = {
        f"x_{family}{index}": rng.uniform(0.1, 0.9) for family in families for index in range(3)
    }
    depends = {f"x_{family}": rng.uniform(0.5, 2.0, 3) for family in families}
    axes = tuple(Parameter(name, "float") for name in optimum)

    def loss(config: Configuration, budget: float) -> float:
        family = config["family"]
        names = [f"x_{family}{index}" for index in range(3)]
        away = np.array([config[name] - optimum[name] for name in names])
        bowl = float((depends[f"x_{family}"] * away**2).sum())
        rise = 0.1 * (budget**-0.4 - 1) * (1 + 0.5 * floor[family])
        return floor[family] + bowl / (1 + bowl) + rise

    return exact(
        f"nested_{seed}",
        "conditional",
        (Parameter("family", "categorical", choices=families), *axes),
        loss,
        num_rungs=4,
        optimum=0.0,
        conditions=tuple(Condition(name, "family", (name[2],)) for name in optimum),
    )


def _ackley(x: np.ndarray) -> float:
    waves = np.exp(np.mean(np.cos(2 * np.pi * x)))
    return float(-20 * np.exp(-0.2 * np.sqrt(np.mean(x**2))) - waves + 20 + np.e)


def _rosenbrock(x: np.ndarray) -> float:
    return float(np.sum(100 * (x[1:] + 1 - (x[:-1] + 1) ** 2) ** 2 + x[:-1] ** 2))


def _levy(x: np.ndarray) -> float:
    w = 1 + x / 4
    ends = np.sin(np.pi * w[0]) ** 2 + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return float(ends + np.sum((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)))


def _griewank(x: np.ndarray) -> float:
    waves = np.prod(np.cos(x / np.sqrt(np.arange(1, len(x) + 1))))
    return float(np.sum(x**2) / 4000 - waves + 1)


FUNCTIONS = {
    "ackley": (_ackley, 65.5),
    "rosenbrock": (_rosenbrock, 15.0),
    "levy": (_levy, 20.0),
    "griewank": (_griewank, 120.0),
}  #: with the optimum at the origin, and the width of the domain


def classic(name: str, dimension: int) -> Problem:
    """A textbook function with the optimum between 15 and 85 % of each axis."""
    function, width = FUNCTIONS[name]
    share = np.random.default_rng([dimension, *name.encode()]).uniform(0.15, 0.85, dimension)
    axes = tuple(
        Parameter(f"x{index}", "float", float(-u * width), float((1 - u) * width))
        for index, u in enumerate(share)
    )
    return exact(
        f"{name}{dimension}",
        "smooth",
        axes,
        lambda config, budget: function(np.array([config[axis.name] for axis in axes])),
        optimum=0.0,
    )
