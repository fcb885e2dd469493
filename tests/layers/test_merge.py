"""The merge by dynaconf, the faster fold, and the stacks below their winners."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pgstrata.layers.merge import flatten, fold, merge, stacks
from pgstrata.model import Layer, Leaf, Origin

NAMES = ("host", "a", "b", "app.user", "a__b", "x[0]", "@int 5", "items", "keys", "get", "to_dict")
VALUES = ("x", None, "@none", "@del", "@jinja {{ 1 }}", "@format {env}", 5, True, ("a", "b"))
SECTIONS = ("connection_settings", "session_settings", "connections", "local")

leaves = st.builds(Leaf, st.sampled_from(VALUES), st.just(Origin("base")))
trees = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), leaves, max_size=4),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner | leaves, max_size=4),
    max_leaves=12,
)
layers = st.lists(
    st.dictionaries(st.sampled_from(SECTIONS), trees | leaves, max_size=4).map(
        lambda tree: Layer("overlay", "x.yaml", tree)
    ),
    min_size=1,
    max_size=6,
)


@given(layers)
@hypothesis_settings(max_examples=120, deadline=None)
def test_merge_and_fold_agree(stack: list[Layer]) -> None:
    """Dynaconf's settings object and its merge function give the same tree, of the same leaves."""
    before = [flatten(layer.tree) for layer in stack]
    assert merge(stack) == fold(stack)
    assert [flatten(layer.tree) for layer in stack] == before


@given(layers)
@hypothesis_settings(max_examples=120, deadline=None)
def test_the_winner_is_the_strongest(stack: list[Layer]) -> None:
    """The merged tree's leaf is the strongest of its stack, and what is not in it was unset."""
    merged = fold(stack)
    winners = flatten(merged)
    for path, said in stacks(stack, merged).items():
        ranks = [_rank(stack, leaf) for leaf in said]
        assert ranks == sorted(ranks, reverse=True)
        if path in winners:
            assert said[0] is winners[path]


def test_four_thousand_random_stacks_agree() -> None:
    """The same over many more stacks of a fixed seed."""
    for seed in range(4000):
        rng = random.Random(seed)
        stack = [Layer("overlay", "x.yaml", _tree(rng)) for _ in range(rng.randint(1, 5))]
        assert merge(stack) == fold(stack), seed


def test_stacks_show_the_null_of_a_section() -> None:
    """A key that went with its section is still there, below the null."""
    base, null, again = (Leaf(value, Origin("base")) for value in ("old", None, "new"))
    stack = [
        Layer("base", "", {"session_settings": {"a": base}}),
        Layer("overlay", "", {"session_settings": null}),
        Layer("local", "", {"session_settings": {"b": again}}),
    ]
    assert stacks(stack, merge(stack)) == {
        ("session_settings", "b"): [again, null],
        ("session_settings",): [null],
        ("session_settings", "a"): [null, base],
    }


def _rank(stack: list[Layer], leaf: Leaf) -> int:
    return max(
        number
        for number, layer in enumerate(stack)
        if any(leaf is own for own in flatten(layer.tree).values())
    )


def _tree(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for _ in range(rng.randint(0, 4)):
        name = rng.choice(NAMES if depth else SECTIONS)
        if depth < 3 and rng.random() < 0.5:
            tree[name] = _tree(rng, depth + 1)
        else:
            tree[name] = Leaf(rng.choice(VALUES), Origin("base"))
    return tree
