"""Edits find their places in syntax trees, and say so when these are not there."""

from __future__ import annotations

import ast

import pytest
from edits import Edit, after, always, at_start, before, drop, move, never, only_if, swap
from faulty import install, live_function
from mutation import Change, Module, mutant, mutated
from patterns import PlaceError

SOURCE = '''
def f(self, x):
    """Do something."""
    if x > 1 and \\
            self.ready:  # a comment
        self.log("more", level=2)
    while x:
        x -= 1
        self.log()
    return (x)
'''


def lines_of(*edits: Edit) -> list[str]:
    (function,) = ast.parse(SOURCE).body
    for edit in edits:
        edit.apply(function)
    return ast.unparse(ast.fix_missing_locations(function)).splitlines()


@pytest.mark.parametrize(
    ("edit", "gone", "new"),
    [
        (swap("x > 1", "x > 2"), ["if x > 1 and self.ready:"], ["if x > 2 and self.ready:"]),
        (swap("x > 1 and ...", "y"), ["if x > 1 and self.ready:"], ["if y:"]),
        (swap("return ...", "return 5"), ["return x"], ["return 5"]),
        (swap("self.log(...)", "y", nth=1, of=2), ["self.log('more', level=2)"], ["y"]),
        (swap("self.log(...)", "y", nth=2, of=2), ["self.log()"], ["y"]),
        (swap("self.log()", "raise y"), ["self.log()"], ["raise y"]),
        (drop("self.log('more', level=...)"), ["self.log('more', level=2)"], ["pass"]),
        (never("... and self.ready"), ["if x > 1 and self.ready:"], ["if False:"]),
        (always("x"), ["while x:"], ["while True:"]),
        (only_if("y", "return x"), [], ["if y:"]),
        (before("while x: ...", "y"), [], ["y"]),
        (after("x -= 1", "y\nz"), [], ["y", "z"]),
        (at_start("y"), [], ["y"]),
    ],
)
def test_an_edit_changes_what_its_pattern_finds(
    edit: Edit, gone: list[str], new: list[str]
) -> None:
    old_lines, new_lines = [[line.strip() for line in lines_of(*one)] for one in ((), (edit,))]
    assert [line for line in old_lines if line not in new_lines] == gone
    assert [line for line in new_lines if line not in old_lines] == new


def test_what_is_inserted_or_moved_stands_where_it_should() -> None:
    lines = lines_of(at_start("a"), before("return x", "b"), after("self.log()", "c"))
    assert lines[2:4] == ["    a", "    if x > 1 and self.ready:"]
    assert lines[-4:] == ["        self.log()", "        c", "    b", "    return x"]
    lines = lines_of(move("if ...: ...", behind="while x: ..."))
    assert [line.split()[0] for line in lines[2:]] == [
        *("pass", "while", "x", "self.log()", "if"),
        *("self.log('more',", "return"),
    ]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (drop("self.log(...)"), "found 2 times, not 1: self.log(...)"),
        (drop("self.log(...)", of=3), "found 2 times, not 3"),
        (never("x > 1"), "found 0 times"),
        (swap("x >= 1", "y"), "found 0 times"),
        (drop("self.log('more')"), "found 0 times"),
        (move("return x", behind="y()"), "found 0 times, not 1: y()"),
    ],
)
def test_a_place_that_is_gone_or_not_the_only_one_is_an_error(edit: Edit, said: str) -> None:
    with pytest.raises(PlaceError) as caught:
        lines_of(edit)
    assert said in str(caught.value)


HERE = Module(__name__)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (HERE.change("Sample.gone", drop("pass")), "the function is there 0 times"),
        (HERE.change("Sample.doubled", drop("pass")), "found 0 times"),
        (Module("hpdist.gone.too").change("f", drop("pass")), "there is no such module"),
    ],
)
def test_an_error_names_mutant_module_and_function(change: Change, said: str) -> None:
    fault = mutant("the fault", change, killed_by="")
    with pytest.raises(PlaceError) as caught:
        mutated(fault, change)
    where = f"mutant 'the fault', module {change.module}, function {change.function}: "
    assert str(caught.value).startswith(where)
    assert said in str(caught.value)


class Sample:
    """Functions that `test_a_mutant_changes_functions_in_place` changes."""

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def doubled(self) -> int:
        return self.number * 2

    @classmethod
    def make(cls, number: int) -> Sample:
        return cls(number + 1)

    @staticmethod
    def three() -> int:
        return 3


def test_a_mutant_changes_functions_in_place() -> None:
    held = Sample.make, Sample.three, Sample(5)
    fault = mutant(
        "three faults",
        HERE.change("Sample.doubled", swap("2", "3")),
        HERE.change("Sample.make", swap("number + 1", "number")),
        HERE.change("Sample.three", swap("3", "4")),
        killed_by="",
    )
    before_it = [live_function(change).__code__ for change in fault.changes]
    try:
        install(fault)
        assert (held[0](7).number, held[1](), held[2].doubled) == (7, 4, 15)
    finally:
        for change, code in zip(fault.changes, before_it, strict=True):
            live_function(change).__code__ = code
    assert (held[0](7).number, held[1](), held[2].doubled) == (8, 3, 10)
