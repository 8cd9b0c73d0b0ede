"""Spaces: what people write is understood or refused at once, and only plain values come out."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.space.space import Categorical, Constant, Float, Int, Ordinal, Space
from hpdist.testing.optimizers import spaces


def flat():
    return Space.of(
        {
            "batch": Ordinal([16, 32, 64], default=32),
            "const": 3,
            "flag": [True, False],
            "lr": Float(1e-5, 1e-1, log=True),
            "opt": ["adam", "sgd"],
            "reg": [None, "l1", 2, 0.5],
            "units": Int(16, 512, log=True),
            "width": (0.0, 2.0),
        }
    )


def forbidden():
    import ConfigSpace as CS

    space = CS.ConfigurationSpace({"a": [1, 2], "b": ["u", "v"]})
    space.add(
        CS.ForbiddenAndConjunction(
            CS.ForbiddenEqualsClause(space["a"], 2), CS.ForbiddenEqualsClause(space["b"], "u")
        )
    )
    return Space.of(space)


def conditional():
    import ConfigSpace as CS

    space = CS.ConfigurationSpace({"opt": ["adam", "sgd"], "momentum": (0.0, 1.0)})
    space.add(CS.EqualsCondition(space["momentum"], space["opt"], "sgd"))
    return Space.of(space)


def rng(seed=0):
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------ what is written


def test_the_module_is_imported_without_configspace():
    code = "import sys, hpdist.core.space.space; sys.exit('ConfigSpace' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_short_form_means_what_it_looks_like():
    space = Space.of({"a": (0.0, 1.0), "b": (1, 5), "c": [1, 2], "d": "x", "e": (0, 1.5)})
    assert space.parameters == {
        "a": Float(0.0, 1.0),
        "b": Int(1, 5),
        "c": Categorical([1, 2]),
        "d": Constant("x"),
        "e": Float(0.0, 1.5),
    }


def test_hyperparameters_and_spaces_of_configspace_are_accepted():
    import ConfigSpace as CS

    number = CS.UniformFloatHyperparameter("x", 1, 10, log=True)
    written = Space.of({"x": number, "k": [1, 2]})
    space = CS.ConfigurationSpace()
    space.add(number, CS.CategoricalHyperparameter("k", [1, 2]))
    assert written.to_json() == Space.of(space).to_json()
    assert Space.of(written) is written


def test_a_space_does_not_change_with_the_object_it_was_made_of():
    import ConfigSpace as CS

    source = CS.ConfigurationSpace({"x": (0.0, 1.0)})
    space = Space.of(source)
    source.add(CS.Constant("y", 1))
    assert space.names == ("x",)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ({}, "empty"),
        (5, "got 5"),
        ({1: [1, 2]}, "got 1"),
        ({"": [1, 2]}, "got ''"),
        ({"x": (3, 1)}, r"x: Int\(3, 1\)"),
        ({"x": (2.0, 2.0)}, "lower bound"),
        ({"x": (1, 2, 3)}, "not a range"),
        ({"x": ("a", "b")}, "not a range"),
        ({"x": (0.0, math.nan)}, "finite"),
        ({"x": (0.0, math.inf)}, "finite"),
        ({"x": (True, False)}, "finite"),
        ({"x": []}, "at least one"),
        ({"x": [1, 1]}, "twice"),
        ({"x": [1, True]}, "twice"),
        ({"x": [math.nan]}, "cannot be recorded"),
        ({"x": [(64, 64), (32, 32)]}, "cannot be recorded"),
        ({"x": {"low": 1}}, "cannot be recorded"),
        ({"x": Float}, "cannot be recorded"),
        ({"x": (1e-20, 1e-15)}, "too fine"),
    ],
)
def test_a_bad_space_is_refused_with_the_name_and_value(written, named):
    with pytest.raises(ConfigurationError, match=named):
        Space.of(written)


def test_a_bad_space_of_configspace_is_refused_with_the_name():
    import ConfigSpace as CS

    with pytest.raises(ConfigurationError, match="empty"):
        Space.of(CS.ConfigurationSpace())
    with pytest.raises(ConfigurationError, match=r"'x'.*'y'"):
        Space.of({"x": CS.UniformFloatHyperparameter("y", 0, 1)})


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Float(0, 1, log=True), "logarithmic"),
        (lambda: Int(0, 8, log=True), "logarithmic"),
        (lambda: Int(0.5, 8), "whole"),
        (lambda: Int(0, 2**60), "2\\*\\*53"),
        (lambda: Float("0", 1), "finite"),
        (lambda: Float(-1.7e308, 1.7e308), "finite"),
        (lambda: Float(0, 1, default=2), "default 2"),
        (lambda: Int(0, 5, default=2.5), "default 2.5"),
        (lambda: Categorical("abc"), "list"),
        (lambda: Categorical(["a"], default="b"), "default 'b'"),
        (lambda: Categorical(["a", "b"], weights=[1]), "weights"),
        (lambda: Categorical(["a", "b"], weights=[1, -1]), "weights"),
        (lambda: Categorical(["a", "b"], weights=[0, 0]), "weights"),
        (lambda: Ordinal([]), "at least one"),
        (lambda: Ordinal([1, 2], default=3), "default 3"),
        (lambda: Constant([1, 2]), "cannot be recorded"),
    ],
)
def test_a_bad_parameter_is_refused_when_it_is_made(make, named):
    with pytest.raises(ConfigurationError, match=named):
        make()


def test_numpy_scalars_in_a_space_become_plain_values():
    space = Space.of({"k": np.array(["a", "b"]), "x": (np.int64(1), np.int64(4)), "c": np.True_})
    for value in space.sample(rng()).values():
        assert type(value) in (str, int, bool)


# ------------------------------------------------------------------------------------ sampling


@pytest.mark.parametrize("name", spaces())
def test_samples_are_plain_valid_and_accepted_by_configspace(name):
    import ConfigSpace as CS

    space = spaces()[name]
    source = CS.ConfigurationSpace.from_serialized_dict(space.to_json())
    for seed in range(25):
        config = space.sample(rng(seed))
        assert json.loads(json.dumps(config)) == config
        assert {type(value) for value in config.values()} <= {int, float, str, bool, type(None)}
        assert space.check(config) == config
        CS.Configuration(source, values=config)


def test_values_have_the_types_that_were_written():
    config = flat().sample(rng())
    types = {name: type(value) for name, value in config.items() if name != "reg"}
    assert types == {
        "batch": int,
        "const": int,
        "flag": bool,
        "lr": float,
        "opt": str,
        "units": int,
        "width": float,
    }


def test_a_sample_depends_on_the_generator_only():
    assert flat().sample(rng(4)) == flat().sample(rng(4)) != flat().sample(rng(5))


def test_all_values_of_discrete_parameters_occur_equally_often():
    space = Space.of({"k": ["a", "b", "c"], "n": (1, 4), "o": Ordinal([10, 20])})
    grid = (np.arange(1200) + 0.5) / 1200
    configs = [space.from_unit(np.full(3, u)) for u in grid]
    for name, num_values in (("k", 3), ("n", 4), ("o", 2)):
        _, counts = np.unique([config[name] for config in configs], return_counts=True)
        assert counts == pytest.approx([1200 / num_values] * num_values, abs=1)


def test_weights_are_frequencies_and_weight_0_never_occurs():
    space = Space.of({"k": Categorical(["a", "b", "c"], weights=[1, 3, 0])})
    drawn = [space.from_unit(np.array([u]))["k"] for u in np.linspace(0, 1, 401)]
    assert drawn.count("a") == 100
    assert drawn.count("b") == 301
    assert space.default() == {"k": "b"}


def test_a_logarithmic_scale_is_even_in_the_exponent():
    space = Space.of({"x": Float(1e-4, 1, log=True)})
    values = [space.from_unit(np.array([u]))["x"] for u in (0, 0.25, 0.5, 1)]
    assert values == pytest.approx([1e-4, 1e-3, 1e-2, 1])
    assert values[0] >= 1e-4
    assert values[-1] <= 1


def test_priors_of_configspace_shape_the_samples():
    import ConfigSpace as CS

    space = Space.of(
        {
            "x": CS.NormalFloatHyperparameter("x", mu=0.2, sigma=0.05, lower=0, upper=1),
            "n": CS.BetaIntegerHyperparameter("n", alpha=8, beta=1, lower=0, upper=10),
        }
    )
    configs = [space.from_unit(np.array([u, u])) for u in (0.1, 0.5, 0.9)]
    assert configs[1]["x"] == pytest.approx(0.2, abs=1e-3)
    assert configs[2]["x"] - configs[0]["x"] == pytest.approx(2 * 1.2816 * 0.05, abs=1e-3)
    assert [config["n"] for config in configs] == [8, 10, 10]
    assert space.check(configs[0]) == configs[0]


def test_inactive_parameters_are_absent():
    configs = [conditional().sample(rng(seed)) for seed in range(20)]
    assert {tuple(config) for config in configs if config["opt"] == "adam"} == {("opt",)}
    assert {tuple(config) for config in configs if config["opt"] == "sgd"} == {("opt", "momentum")}


def test_forbidden_configurations_are_never_sampled():
    configs = [forbidden().sample(rng(seed)) for seed in range(30)]
    assert {"a": 2, "b": "u"} not in configs
    assert len({tuple(config.values()) for config in configs}) == 3


def test_a_forbidden_point_of_the_cube_has_no_configuration():
    space = forbidden()
    corner = dict(zip(space.names, [0.9, 0.1], strict=True))
    assert space.from_unit(np.array([corner[name] for name in space.names])) is None
    assert space.from_unit(np.array([0.1, 0.1])) == {"a": 1, "b": "u"}


def test_a_space_in_which_almost_nothing_is_allowed_gives_an_error_instead_of_hanging(monkeypatch):
    import ConfigSpace as CS

    space = CS.ConfigurationSpace({"a": (0, 10**6), "b": (0, 10**6)})
    space.add(
        CS.ForbiddenLessThanRelation(space["a"], space["b"]),
        CS.ForbiddenGreaterThanRelation(space["a"], space["b"]),
    )
    monkeypatch.setattr("hpdist.core.space.space.MAX_TRIES", 50)
    with pytest.raises(ConfigurationError, match="50 random configurations were all forbidden"):
        Space.of(space).sample(rng())


# ------------------------------------------------------------------------------------ encoding


@pytest.mark.parametrize("name", spaces())
def test_encoding_is_undone_by_from_unit(name):
    space = spaces()[name]
    configs = [space.sample(rng(seed)) for seed in range(10)]
    points = space.encode(configs)
    assert points.shape == (10, len(space.names))
    for config, point in zip(configs, points, strict=True):
        assert set(config) == {n for n, x in zip(space.names, point, strict=True) if x == x}
        for column, (num_choices, label) in enumerate(
            zip(space.num_choices, space.names, strict=True)
        ):
            if num_choices and label in config:
                assert point[column] in range(num_choices)
        if not any(space.num_choices):
            again = space.from_unit(np.nan_to_num(point))
            assert again == pytest.approx(config) or again == config


def test_encoded_columns_are_unit_scales_and_category_indices():
    space = flat()
    configs = [
        {**space.default(), "lr": 1e-5, "units": 16, "opt": "adam", "batch": 16, "width": 0.0},
        {**space.default(), "lr": 1e-3, "units": 512, "opt": "sgd", "batch": 64, "width": 2.0},
    ]
    columns = dict(zip(space.names, space.encode(configs).T.tolist(), strict=True))
    assert columns["lr"] == pytest.approx([0, 0.5])
    assert columns["opt"] == [0, 1]
    assert columns["batch"] == pytest.approx([1 / 6, 5 / 6])
    assert columns["width"] == [0, 1]
    assert columns["const"] == [0, 0]
    assert 0 < columns["units"][0] < columns["units"][1] < 1
    assert dict(zip(space.names, space.num_choices, strict=True)) == {
        **dict.fromkeys(["batch", "lr", "units", "width"], 0),
        **{"const": 1, "flag": 2, "opt": 2, "reg": 4},
    }


def test_no_configurations_are_encoded_as_no_rows():
    assert flat().encode([]).shape == (0, 8)


def test_encoding_refuses_what_is_not_in_the_space():
    with pytest.raises(ConfigurationError, match="'colour'"):
        flat().encode([{"colour": 1}])
    with pytest.raises(ConfigurationError, match="opt='lamb'"):
        flat().encode([{"opt": "lamb"}])


# ------------------------------------------------------------------------- defaults and checking


def test_defaults_are_the_given_ones_or_the_middle():
    default = flat().default()
    assert default == {
        "batch": 32,
        "const": 3,
        "flag": True,
        "lr": pytest.approx(1e-3),
        "opt": "adam",
        "reg": None,
        "units": default["units"],
        "width": 1.0,
    }
    assert 80 < default["units"] < 100
    assert conditional().default() == {"opt": "adam"}


def test_checking_makes_values_plain_and_orders_them():
    space = Space.of({"x": (0.0, 1.0), "n": (1, 5), "flag": [True, False]})
    checked = space.check({"x": 1, "n": np.float64(3.0), "flag": np.False_})
    assert checked == {"flag": False, "n": 3, "x": 1.0}
    assert list(checked) == list(space.names)
    assert [type(checked[name]) for name in ("x", "n", "flag")] == [float, int, bool]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 1.0}, "lr=1.0: lr must be a number from 1e-05 to 0.1"),
        ({"lr": math.nan}, "lr=nan"),
        ({"lr": "0.01"}, "lr='0.01'"),
        ({"units": 16.5}, "units=16.5: units must be a whole number from 16 to 512"),
        ({"units": True}, "units=True"),
        ({"opt": "lamb"}, "opt='lamb': opt must be one of 'adam', 'sgd'"),
        ({"flag": 1}, "flag=1: flag must be one of True, False"),
        ({"batch": 48}, "batch=48: batch must be one of, in order, 16, 32, 64"),
        ({"const": 4}, "const=4: const must be always 3"),
        ({"colour": "red"}, "'colour' is no parameter"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(change, named):
    with pytest.raises(ConfigurationError, match=named):
        flat().check({**flat().default(), **change})


def test_missing_inactive_and_forbidden_are_told_apart():
    with pytest.raises(ConfigurationError, match="momentum is missing: it must be a number"):
        conditional().check({"opt": "sgd"})
    with pytest.raises(ConfigurationError, match="momentum is inactive"):
        conditional().check({"opt": "adam", "momentum": 0.5})
    with pytest.raises(ConfigurationError, match="is forbidden"):
        forbidden().check({"a": 2, "b": "u"})


# -------------------------------------------------------------------------------- descriptions


@pytest.mark.parametrize("name", spaces())
def test_a_space_is_restored_from_its_description(name):
    space = spaces()[name]
    described = space.to_json()
    restored = Space.from_json(json.loads(json.dumps(described, allow_nan=False)))
    assert restored.to_json() == described == space.to_json()
    assert restored.sample(rng(3)) == space.sample(rng(3))
    assert restored.difference(described) == ""


def test_the_order_of_writing_does_not_matter():
    written = {"a": (0, 1), "b": ["x", "y"]}
    backwards = dict(reversed(written.items()))
    assert Space.of(written).to_json() == Space.of(backwards).to_json()


def test_a_difference_names_what_changed_and_nothing_else():
    before = Space.of({"lr": (0.1, 1.0), "opt": ["a", "b"], "gone": 1})
    now = Space.of({"lr": (0.1, 2.0), "opt": ["a", "b"], "new": 2})
    lines = now.difference(before.to_json()).splitlines()
    assert len(lines) == 4
    assert [line.split()[0] for line in lines] == ["was:", "was:", "is:", "is:"]
    assert "upper=1.0" in lines[1]
    assert any("upper=2.0" in line for line in lines)
    assert not any("opt" in line for line in lines)


def test_conditions_are_part_of_the_difference():
    import ConfigSpace as CS

    free = Space.of(CS.ConfigurationSpace({"opt": ["adam", "sgd"], "momentum": (0.0, 1.0)}))
    assert "child='momentum'" in conditional().difference(free.to_json())
