"""The hierarchy of errors."""

from __future__ import annotations

import pickle

import pytest

from pgstrata import errors
from pgstrata.model import Finding, Origin

ALL = [value for value in vars(errors).values() if isinstance(value, type)]


@pytest.mark.parametrize("kind", ALL)
def test_all_are_in_the_tree_with_an_exit_code(kind: type[errors.PgstrataError]) -> None:
    """Each error is one of ours, ends a command with a known code, and stands in the drawn tree."""
    assert issubclass(kind, errors.PgstrataError)
    assert kind.exit_code in errors.EXIT_CODES
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


def test_configuration_errors_exit_with_three() -> None:
    """Whatever cannot be loaded or resolved ends with the same code."""
    kinds = [kind for kind in ALL if issubclass(kind, errors.ConfigError)]
    assert {kind.exit_code for kind in kinds} == {errors.CONFIG} == {3}


def test_an_unknown_key_reads_as_a_sentence() -> None:
    """It is a KeyError too, but is not shown in quotes."""
    error = errors.UnknownKeyError("no 'x'", hint="say y")
    assert isinstance(error, KeyError)
    assert (str(error), error.hint) == ("no 'x'", "say y")


def test_invalid_config_shows_a_line_for_each_finding() -> None:
    """The message holds all findings, with their places."""
    place = Origin("base", "base.yaml", 3, 7)
    error = errors.InvalidConfigError([Finding("a", "one", place), Finding("b", "two", place)])
    assert str(error) == "base.yaml:3:7: error[a] one\nbase.yaml:3:7: error[b] two"


def test_errors_without_findings_can_be_pickled() -> None:
    """A worker process can send its error home."""
    assert str(pickle.loads(pickle.dumps(errors.ConfigError("gone")))) == "gone"
