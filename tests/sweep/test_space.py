import math

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.sweep import space


def test_values_have_the_type_of_their_setting() -> None:
    words = [
        "nb-clusters=1, 4",
        "loss=margin(alpha=0.1, beta=1),proxy_anchor",
        "hierarchical=true,false",
        "embedding_lr=1e-5..1e-3",
        "batch_size=8..64",
    ]
    assert space.parse_choices(words) == {
        "num_clusters": [1, 4],
        "loss": ["margin(alpha=0.1, beta=1)", "proxy_anchor"],
        "hierarchical": [True, False],
        "embedding_lr": space.Range(1e-5, 1e-3, whole=False),
        "batch_size": space.Range(8, 64, whole=True),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Nothing varies"),
        (["num_cluster=1"], "Did you mean 'num_clusters'"),
        (["num_clusters="], "with its values"),
        (["num_clusters=1", "nb_clusters=2"], "a setting once"),
        (["num_clusters=one"], "num_clusters=one"),
        (["embedding_lr=1e-3..1e-5"], "0 < low < high"),
    ],
)
def test_names_what_cannot_vary(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        space.parse_choices(words)


def test_grid_has_every_combination_once() -> None:
    choices = space.parse_choices(["num_clusters=1,2", "loss=margin,supcon,circle"])
    combinations = [tuple(settings.values()) for settings in space.grid(choices)]
    assert len(set(combinations)) == len(combinations) == 6
    with pytest.raises(UsageError, match="has no grid"):
        list(space.grid(space.parse_choices(["embedding_lr=1e-5..1e-3"])))


def proposals(search: str, trials: int = 12, seed: int = 0, target: float = 1e-4):
    choices = space.parse_choices(["embedding_lr=1e-6..1e-2", "num_clusters=1,4"])

    def score(settings: dict) -> float:
        return -abs(math.log(settings["embedding_lr"] / target))

    return list(space.draw(choices, trials, search, seed, score))


@pytest.mark.parametrize("search", ["random", "tpe"])
def test_same_seed_and_scores_propose_the_same_so_a_search_goes_on(search: str) -> None:
    whole = proposals(search)
    assert proposals(search) == whole
    assert proposals(search, trials=5) == whole[:5]
    assert proposals(search, seed=1) != whole
    rates = [settings["embedding_lr"] for settings in whole]
    assert len(set(rates)) == 12
    assert all(1e-6 <= rate <= 1e-2 for rate in rates)
    assert {settings["num_clusters"] for settings in whole} == {1, 4}


def test_tpe_learns_where_scores_are_high() -> None:

    def gap(search: str) -> float:
        last = [s["embedding_lr"] for s in proposals(search, trials=60)[30:]]
        return sum(abs(math.log(rate / 1e-4)) for rate in last) / len(last)

    assert gap("tpe") < 0.6 * gap("random")
