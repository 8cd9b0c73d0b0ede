"""Deliberate faults: a module whose source differs from the real one in a few places."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType


@dataclass(frozen=True)
class Mutant:
    """A fault that somebody could make, and the test that must notice.

    ``changes`` are (module, original text, faulty text); each original text must occur exactly
    once in its module, so that no fault goes stale unnoticed. ``killed_by`` names a test, and
    ``message`` is a part of what that test says.
    """

    name: str
    changes: tuple[tuple[str, str, str], ...]
    killed_by: str
    message: str


class StaleMutantError(Exception):
    """The text that a mutant replaces does not occur exactly once any more."""


class MutatingFinder:
    """Finds the modules of a mutant before anybody else does."""

    def __init__(self, mutant: Mutant) -> None:
        self._changes: dict[str, list[tuple[str, str]]] = {}
        for module, original, faulty in mutant.changes:
            self._changes.setdefault(module, []).append((original, faulty))

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._changes:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = MutatingLoader(name, spec.origin, self._changes[name])
        return spec


class MutatingLoader(SourceFileLoader):
    """Compiles the changed source; neither reads nor writes a cache."""

    def __init__(self, name: str, path: str, changes: list[tuple[str, str]]) -> None:
        super().__init__(name, path)
        self._changes = changes

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        for original, faulty in self._changes:
            if source.count(original) != 1:
                raise StaleMutantError(f"{source.count(original)} times in {fullname}: {original}")
            source = source.replace(original, faulty)
        return compile(source, self.path, "exec", dont_inherit=True)


def install(mutant: Mutant) -> None:
    """Let this process import the faulty modules from now on.

    All of them are imported at once, so that a stale mutant is noticed whatever is run.
    """
    modules = [module for module, _, _ in mutant.changes]
    loaded = [module for module in modules if module in sys.modules]
    assert not loaded, f"imported before the fault was in: {loaded}"
    sys.meta_path.insert(0, MutatingFinder(mutant))
    for module in modules:
        __import__(module)
