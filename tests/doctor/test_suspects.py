import numpy as np

from dce_tf.doctor.nearest import find_nearest
from dce_tf.doctor.population import Population
from dce_tf.doctor.suspects import DOUBT, find_suspects
from dce_tf.doctor.votes import TEMPERATURE, Votes, count_votes
from tests.doctor.drawn import alone, draw, relabelled


def votes_of(
    population: Population, vectors: np.ndarray, groups: np.ndarray | None = None
) -> Votes:
    groups = alone(len(population)) if groups is None else groups
    return count_votes(population, find_nearest(vectors), groups)


def loop(population: Population, vectors: np.ndarray, row: int) -> dict[int, float]:
    near = find_nearest(vectors)
    best = near.cosines[row, 0]
    shares: dict[int, float] = {}
    for other, cosine in zip(near.rows[row], near.cosines[row], strict=True):
        label = int(population.labels[other])
        weight = float(np.exp((cosine - best) / TEMPERATURE))
        shares[label] = shares.get(label, 0) + weight
    return {label: weight / sum(shares.values()) for label, weight in shares.items()}


def test_votes_are_those_of_a_plain_loop() -> None:
    population, vectors = draw(6, 10, spread=0.4)
    votes = votes_of(population, vectors)
    for row in range(len(population)):
        shares = loop(population, vectors, row)
        own = shares.pop(int(population.labels[row]), 0)
        assert abs(votes.own[row] - own) < 1e-4
        assert abs(votes.other[row] - max(shares.values(), default=0)) < 1e-4
        if shares:
            assert shares[int(votes.rival[row])] > max(shares.values()) - 1e-4
            assert population.labels[votes.witness[row]] == votes.rival[row]


def test_planted_labels_are_found_with_the_class_they_should_have() -> None:
    population, vectors = draw(spread=0.15)
    rows = np.array([3, 40, 77])
    planted = relabelled(population, rows, 3)
    found = find_suspects(planted, votes_of(planted, vectors))
    assert sorted(each.rows[0] for each in found) == rows.tolist()
    for each in found:
        assert each.suggestion == f"relabel={population.name(each.rows[0])}"
        assert planted.name(each.others[0]) == population.name(each.rows[0])
        assert each.score > DOUBT


def test_copies_do_not_confirm_a_wrong_label() -> None:
    population, vectors = draw(spread=0.15)
    one, two = np.flatnonzero(population.labels == 4)[:2]
    vectors[two] = vectors[one]
    planted = relabelled(population, np.array([one, two]), 1)
    groups = alone(len(population))
    groups[two] = groups[one]
    rows = [each.rows[0] for each in find_suspects(planted, votes_of(planted, vectors))]
    assert rows == []
    found = find_suspects(planted, votes_of(planted, vectors, groups))
    assert sorted(each.rows[0] for each in found) == sorted([one, two])


def test_images_without_a_class_neither_vote_nor_are_suspected() -> None:
    population, vectors = draw(spread=0.15)
    population.labels[::2] = -1
    votes = votes_of(population, vectors)
    assert find_suspects(population, votes) == []
    assert (votes.own[population.labels < 0] == 0).all()
