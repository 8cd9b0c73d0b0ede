"""Ways to make many inputs for one target, for as long as there is time."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz_target import Target

HERE = Path(__file__).parent
_STALLED_S = 60


@dataclass
class Outcome:
    """What became of one target; ``coverage`` counts places that the seeds did not reach."""

    executions: int = 0
    seconds: float = 0.0
    coverage: int = 0
    failures: list[tuple[Path, str]] = field(default_factory=list)

    def save(self, target: str, data: bytes, said: str, directory: Path) -> None:
        """Keep an input that failed."""
        name = f"{target.replace(' ', '-')}-{hashlib.sha1(data).hexdigest()[:12]}"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / name
        path.write_bytes(data)
        self.failures.append((path, said))


def run_mutation(target: Target, seconds: float, failures: Path, seed: int) -> Outcome:
    """Change inputs at random; those that reach new lines of hpdist are changed further."""
    from fuzz_mutation import mutant
    from fuzz_target import MAX_INPUT

    chance, pool, lines, outcome = random.Random(seed), list(target.seeds), Lines(), Outcome()
    for data in pool:
        lines.reached(lambda data=data: _failure(target, data))
    lines.new = 0
    kinds: set[str] = set()
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        data = mutant(chance, pool, target.form, MAX_INPUT)
        outcome.executions += 1
        said, is_new = lines.reached(lambda data=data: _failure(target, data))
        if said and said not in kinds:
            kinds.add(said)
            outcome.save(target.name, data, said, failures)
        elif is_new and not said:
            pool.append(data)
    outcome.seconds, outcome.coverage = time.monotonic() - began, lines.new
    return outcome


def run_hypothesis(target: Target, seconds: float, failures: Path, seed: int) -> Outcome:
    """Let hypothesis choose, and make what fails smaller."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as seeded
    from test_fuzz import inputs

    outcome, last = Outcome(), b""
    began = time.monotonic()
    while time.monotonic() - began < seconds and not outcome.failures:

        @seeded(seed + outcome.executions)
        @settings(
            max_examples=500,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs(target))
        def try_all(data: bytes) -> None:
            nonlocal last
            outcome.executions, last = outcome.executions + 1, data
            target.try_input(data)

        try:
            try_all()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            outcome.save(target.name, last, _words(error), failures)
    outcome.seconds = time.monotonic() - began
    return outcome


def run_atheris(target: Target, seconds: float, failures: Path, seed: int) -> Outcome:
    """Let libFuzzer choose in a process of its own, which ends with the first failure."""
    failures.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, str(HERE / "fuzz_atheris.py"), target.name),
        f"-max_total_time={seconds:.0f}",
        f"-seed={seed + 1}",
        f"-artifact_prefix={failures / target.name.replace(' ', '-')}-",
        *("-max_len=65536", "-timeout=30", "-rss_limit_mb=2048", "-print_final_stats=1"),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + 300,
        check=False,
    )
    told = done.stdout + done.stderr
    outcome = Outcome(seconds=seconds)
    outcome.executions = int(_last(r"number_of_executed_units:\s*(\d+)", told))
    outcome.coverage = int(_last(r"cov: (\d+)", told)) - int(_first(r"INITED cov: (\d+)", told))
    for path in re.findall(r"Test unit written to (.+)", told):
        outcome.failures.append((Path(path.strip()), _last(r"(\w+(?:Error|Exception)\b.*)", told)))
    if done.returncode and not outcome.failures:
        raise RuntimeError(f"atheris ended with {done.returncode}:\n{told[-3000:]}")
    return outcome


def has_atheris() -> bool:
    """Whether its wheel is installed and can be imported by this Python."""
    return (
        subprocess.run([sys.executable, "-c", "import atheris"], capture_output=True).returncode
        == 0
    )


ENGINES: dict[str, Callable[[Any, float, Path, int], Outcome]] = {
    "atheris": run_atheris,
    "hypothesis": run_hypothesis,
    "mutation": run_mutation,
}


class Lines:
    """Counts the lines of hpdist that were run for the first time."""

    def __init__(self) -> None:
        self.new = 0
        self._seen: set[tuple[str, int]] = set()

    def reached(self, action: Callable[[], str]) -> tuple[str, bool]:
        """Return what ``action`` returns, and whether it reached new lines."""
        before = len(self._seen)
        sys.settrace(self._enter)
        try:
            said = action()
        finally:
            sys.settrace(None)
        self.new += len(self._seen) - before
        return said, len(self._seen) > before

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._step if "/hpdist/" in frame.f_code.co_filename else None

    def _step(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self._seen.add((frame.f_code.co_filename, frame.f_lineno))
        return self._step


def _failure(target: Target, data: bytes) -> str:
    """What went wrong with an input, in one line; empty if nothing did."""
    try:
        target.try_input(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        return _words(error)
    return ""


def _words(error: BaseException) -> str:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = (
        ""
        if last is None
        else f" at {Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}"
    )
    return f"{type(error).__name__}{where}"


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "0"


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text)
    return str(found[-1]) if found else "0"
