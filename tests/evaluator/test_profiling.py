"""``@profile``: what it tells, of functions called directly and elsewhere."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import time
from typing import Any

import cloudpickle
import pytest

from hpdist.core.model.errors import ConfigurationError, HpdistError
from hpdist.evaluator.profiling import profile

MB = 2**20


@profile
def add(a: float, b: float = 1.0) -> float:
    """Add."""
    return a + b


@profile()
async def wait_and_add(a: float) -> float:
    await asyncio.sleep(0)
    return a + 1


@profile(memory=True)
def hungry(megabytes: int) -> float:
    return float(len(bytearray(megabytes * MB)))


@profile(memory_limit=200 * MB)
def limited(megabytes: int) -> float:
    block = bytearray(b"x" * (megabytes * MB))
    if megabytes > 200:
        time.sleep(60)  # until it is ended
    return float(len(block))


@profile(memory_limit=200 * MB, raise_exception=True)
def strict(megabytes: int) -> float:
    block = bytearray(b"x" * (megabytes * MB))
    time.sleep(60)
    return float(len(block))


@profile(memory=True)
def failing() -> float:
    raise ValueError("no such luck")


def test_a_call_tells_output_and_times() -> None:
    before, cpu = time.time(), time.process_time()
    result = add(2, b=3.0)
    assert result["output"] == 5.0
    told = result["metadata"]
    assert set(told) == {"timestamp_start", "timestamp_end", "cpu_start", "cpu_end"}
    assert before <= told["timestamp_start"] <= told["timestamp_end"] <= time.time() + 0.1
    assert cpu <= told["cpu_start"] <= told["cpu_end"]
    assert (add.__name__, add.__doc__) == ("add", "Add.")


def test_coroutine_functions_stay_so() -> None:
    assert inspect.iscoroutinefunction(wait_and_add)
    assert asyncio.run(wait_and_add(1))["output"] == 2


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_a_profiled_function_goes_by_reference_and_by_value(pickler: Any) -> None:
    assert pickle.loads(pickler.dumps(add))(1)["output"] == 2.0


def test_a_local_function_goes_by_value() -> None:
    @profile
    def local() -> int:
        return 17

    assert pickle.loads(cloudpickle.dumps(local))()["output"] == 17


def test_the_peak_of_memory_is_told() -> None:
    small, large = (hungry(megabytes) for megabytes in (1, 150))
    assert large["output"] == 150 * MB
    # of an untouched array only a part may be resident, but the peak is no smaller
    assert large["metadata"]["memory_peak"] >= small["metadata"]["memory_peak"] > 5 * MB


def test_beyond_the_limit_the_call_is_a_failure() -> None:
    assert limited(10)["output"] == 10 * MB
    assert limited(400)["output"] == "F_memory_limit_exceeded"
    with pytest.raises(MemoryError, match=r"400|MiB"):
        strict(400)


def test_what_a_call_in_a_process_raises_is_raised_here() -> None:
    with pytest.raises(HpdistError, match="no such luck"):
        failing()


@pytest.mark.parametrize("wrong", [{"memory_limit": 0}, {"memory": "yes"}, {"raise_exception": 1}])
def test_what_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        profile(**wrong)


def test_no_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a function"):
        profile(17)  # type: ignore[call-overload]
