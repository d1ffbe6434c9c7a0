"""The laboratory: its ideas can all work, and its tables are those of the runs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.ablation import results, routing
from benchmarks.ablation.ideas import BASELINE, LOSSES, NETWORKS, REGULARISED
from benchmarks.ablation.laboratory import Material, Part, config_of, train
from benchmarks.ablation.picture import draw
from benchmarks.ablation.routing import routed
from benchmarks.ablation.whole import train_whole
from dce_tf.datasets import Images
from dce_tf.runs.session import check
from tests import fakes


def part(classes: int, seed: int, each: int = 8) -> Part:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each).astype(np.int32)
    features = rng.normal(size=(classes, 12))[labels] + rng.normal(
        size=(len(labels), 12)
    )
    names = [str(number) for number in range(classes)]
    paths = [f"{seed}-{row}.jpg" for row in range(len(labels))]
    return Part(Images(paths, labels, names), features.astype(np.float32))


@pytest.mark.parametrize(
    ("network", "idea"), [(name, idea) for name in NETWORKS for idea in NETWORKS[name]]
)
def test_every_idea_can_work_with_equal_steps(network: str, idea: str) -> None:
    for loss in LOSSES:
        config = config_of(idea, loss, seed=0, epochs=8, whole=network == "whole")
        check(config)
        assert config.division.cluster_batches == "share"
        assert config.division.num_epochs == 8
        assert (config.network.trainable_blocks == 0) == (network == "frozen")
        for name, value in NETWORKS[network][idea].items():
            assert config.as_dict()[name] == value


def test_runs_are_scored_on_classes_that_are_held_out() -> None:
    material = Material(part(60, 0), part(10, 1), part(10, 1))
    material = Material(material.train, material.query, material.query)
    config = config_of("together, K = 8", "multi_similarity", seed=0, epochs=5)
    scores = train(config, material).scores
    assert sorted(scores) == [1, 2, 3, 4, 5]
    assert scores[5]["val"]["map@r"] > scores[1]["val"]["map@r"] > 0
    row = results.summary(scores)
    best = int(row["best_epoch"])
    assert scores[best]["val"]["map@r"] == max(
        each["val"]["map@r"] for each in scores.values()
    )
    assert float(row["last_map@r"]) == pytest.approx(
        scores[5]["test"]["map@r"], abs=1e-4
    )


@pytest.mark.slow
def test_whole_network_is_scored_as_the_program_scores_it(tmp_path: Path) -> None:
    fakes.write_csv(tmp_path, num_classes=10, images_per_class=8)
    config = config_of("dropout 0.2", "multi_similarity", seed=0, epochs=5, whole=True)
    config = config.replace(
        dataset="csv",
        data_dir=str(tmp_path),
        backbone="small",
        image_size=16,
        batch_size=8,
        cache_images=False,
        num_epochs=3,
        evaluate_every=2,
    )
    scores = train_whole(config)
    assert sorted(scores) == [2, 3]
    once_more = train_whole(config)
    assert once_more == scores
    assert 0 < scores[3]["test"]["map@r"] <= 1
    assert scores[3]["test"] != scores[3]["val"]


def row(idea: str, seed: int, score: float) -> results.Row:
    own = dict.fromkeys(results.COLUMNS, f"{score}")
    key = ("dogs", "multi_similarity", idea, "40", str(seed))
    return {**own, **dict(zip(results.KEY, key, strict=True))}


def test_differences_are_paired_by_seed() -> None:
    idea = "slices, K = 8"
    baseline = [row(BASELINE, seed, score) for seed, score in ((0, 0.5), (1, 0.7))]
    own = [row(idea, seed, score) for seed, score in ((1, 0.72), (0, 0.53), (2, 0.9))]
    assert results.paired(own, baseline, "best_map@r") == pytest.approx([0.02, 0.03])
    mean, low, high = results.interval([0.02, 0.03])
    # Student's t with one degree of freedom: 12.706.
    assert (mean, high - mean) == pytest.approx((0.025, 12.706 * 0.005), rel=1e-3)
    assert low == pytest.approx(0.05 - high)
    line = results.tables([*baseline, *own]).splitlines()[5]
    assert line.startswith(
        f"| {idea} | 0.7167 | 0.7167 | 0.7167 | +0.0250 | -0.0385 to"
    )


def test_ideas_with_dropout_are_held_against_dropout_alone() -> None:
    idea = "slices, K = 8, dropout 0.2"
    alone = [row(REGULARISED, seed, score) for seed, score in ((0, 0.5), (1, 0.7))]
    own = [row(idea, seed, score) for seed, score in ((1, 0.72), (0, 0.53), (2, 0.9))]
    line = results.tables([*alone, *own]).splitlines()[-1]
    gain = "+0.0250 | -0.0385 to +0.0885"
    assert line == f"| {idea} | {gain} | {gain} | {gain} | 2 |"


def test_picture_has_only_ideas_of_three_seeds(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    rows = [row(BASELINE, seed, 0.5) for seed in range(3)]
    rows += [row("slices, K = 8", seed, 0.5 + seed / 100) for seed in range(2)]
    draw(rows, "multi_similarity", 40, path)
    assert not path.exists()
    rows.append(row("slices, K = 8", 2, 0.49))
    draw(rows, "multi_similarity", 80, path)
    assert not path.exists()
    draw(rows, "multi_similarity", 40, path)
    with Image.open(path) as picture:
        assert picture.width > 3 * picture.height


def test_rows_are_added_and_read(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    rows = [row(BASELINE, seed, 0.5) for seed in range(2)]
    for each in rows:
        results.add_row(each, file)
    assert results.read_rows(file) == rows


@pytest.mark.parametrize("network", results.RESULTS)
def test_tables_of_the_page_are_those_of_the_runs(network: str) -> None:
    page = results.PAGE.read_text(encoding="utf-8")
    rows = results.read_rows(results.RESULTS[network])
    assert rows
    assert results.tables(rows) in page
    keys = [tuple(each[name] for name in results.KEY) for each in rows]
    assert len(set(keys)) == len(keys)


def test_page_is_written_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before <!-- frozen tables --> old <!-- end of frozen tables --> between "
        "<!-- whole tables --> kept <!-- end of whole tables --> after"
    )
    rows = [row(BASELINE, 0, 0.5)]
    results.write_page(rows, "frozen", page)
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith(
        "between <!-- whole tables --> kept <!-- end of whole tables --> after"
    )
    assert "old" not in text
    assert results.tables(rows) in text


def test_routing_weighs_the_parts_of_queries() -> None:
    vectors = np.array([[0.6, 0.0, 0.0, 0.8]], np.float32)
    distances = np.array([[0.1, 0.5]])
    same = routed(vectors, distances, temperature=0.2, share=0.0)
    np.testing.assert_allclose(same, vectors)
    near, far = np.exp(-0.5), np.exp(-2.5)
    expected = vectors * np.repeat([2 * near, 2 * far], 2) / (near + far)
    found = routed(vectors, distances, temperature=0.2, share=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    half = routed(vectors, distances, temperature=0.2, share=0.5)
    np.testing.assert_allclose(half, (vectors + expected) / 2, rtol=1e-6)


def test_routing_scores_every_weight_and_none_on_the_held_out_and_test_classes() -> (
    None
):
    material = Material(part(60, 0), part(10, 1), part(10, 1))
    material = Material(material.train, material.query, material.query)
    config = config_of("slices, K = 8", "multi_similarity", seed=0, epochs=5)
    run = train(config, material)
    lines = routing.score_routes(run, config.division.num_clusters)
    for name in ("val", "test"):
        assert lines[name][None] == pytest.approx(
            run.scores[5][name]["map@r"], abs=1e-6
        )
        assert set(lines[name]) == {None, *routing.WEIGHTS}
