import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dce_tf.index import Hit
from dce_tf.reports.clusters import plot_clusters, sizes_with_lone
from dce_tf.reports.hits_sheet import plot_hits
from dce_tf.reports.neighbours_sheet import Neighbours, plot_neighbours
from dce_tf.reports.picture_sheet import PictureSheet
from dce_tf.reports.plots import draw_recall, plot_distances, plot_recall
from dce_tf.reports.thumbnails import read_thumbnail, sprite
from tests import fakes


def colours_of(path: Path) -> set[tuple[int, int, int]]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) > 200
    return {
        tuple(map(int, colour)) for colour in np.unique(pixels.reshape(-1, 3), axis=0)
    }


BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)


def test_recall_plot_has_a_line_a_metric(tmp_path: Path) -> None:
    scores = {"evaluated_on": "val", "recall@1": 0.3, "map@r": 0.2}
    history = [{"epoch": e, "stage": "divide", **scores} for e in range(-1, 4)]
    history[2] = {"epoch": 1, "stage": "divide", "loss": 0.3}
    plot_recall(history, tmp_path / "two.png")
    assert {BLUE, ORANGE} <= colours_of(tmp_path / "two.png")
    assert GREEN not in colours_of(tmp_path / "two.png")
    for line in history:
        line["nmi"] = 0.4
    plot_recall(history, tmp_path / "three.png")
    assert GREEN in colours_of(tmp_path / "three.png")


def history_of(**scores: list[float]) -> list[dict]:
    return [
        {"epoch": epoch, "stage": "divide" if epoch < 2 else "finetune"}
        | dict(zip(scores, values, strict=True))
        for epoch, values in enumerate(zip(*scores.values(), strict=True), start=-1)
    ]


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([0.50, 0.52, 0.55, 0.56], 0.48, 0.58),
        ([0.0, 0.9, 1.0, 1.0], -0.02, 1.02),
        ([0.7, 0.7, 0.7, 0.7], 0.68, 0.72),
    ],
)
def test_axis_of_the_recall_plot_fits_the_values(
    values: list[float], low: float, high: float
) -> None:
    history = history_of(**{"recall@1": values, "map@r": values})
    (axes,) = draw_recall(history, history).axes
    bottom, top = axes.get_ylim()
    assert low <= bottom < min(values) <= max(values) < top <= high


def test_a_score_that_is_missing_leaves_a_gap() -> None:
    history = history_of(**{"recall@1": [0.1, 0.2, 0.3], "map@r": [0.1, None, 0.3]})
    (axes,) = draw_recall(history, history).axes
    curves = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert np.isnan(curves["map@r"]).tolist() == [False, True, False]


def test_legend_and_stages_cover_nothing() -> None:
    history = history_of(
        **{key: [0.1, 0.9, 0.1, 0.9] for key in ("recall@1", "map@r", "nmi")}
    )
    figure = draw_recall(history, history)
    figure.canvas.draw()
    (axes,) = figure.axes
    inside = axes.get_window_extent()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 3
    texts = [text for text in axes.texts if text.get_text() == "finetune"]
    assert len(texts) == 1
    title = axes.title.get_window_extent()
    for part in (legend, *texts):
        assert not part.get_window_extent().overlaps(inside)
        assert not part.get_window_extent().overlaps(title)


def test_recall_plot_without_scores_is_not_drawn(tmp_path: Path) -> None:
    plot_recall([{"epoch": -1, "stage": "untrained"}], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [1, 4, 32])
def test_cluster_plot_survives_empty_clusters_and_lone_images(
    tmp_path: Path, clusters: int
) -> None:
    rng = np.random.default_rng(0)
    memberships = {
        epoch: rng.integers(-1, clusters, 500).astype(np.int32)
        for epoch in range(0, 24, 2)
    }
    memberships[4][memberships[4] == clusters - 1] = -1
    plot_clusters(memberships, tmp_path / "a.png")
    assert BLUE in colours_of(tmp_path / "a.png")


def test_sizes_count_every_image_once() -> None:
    sizes = sizes_with_lone(np.array([0, 2, -1, 2, -1, -1], np.int32), 3)
    assert sizes.tolist() == [1, 0, 2, 3]
    assert sizes_with_lone(np.array([0, 0], np.int32), 3).tolist() == [2, 0, 0, 0]


def test_distances_are_drawn_before_and_after(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = {"positive": rng.uniform(0, 1, 99), "negative": rng.uniform(1, 2, 99)}
    plot_distances(kinds, kinds, tmp_path / "a.png")
    assert len(colours_of(tmp_path / "a.png")) > 10


def test_neighbours_are_framed_by_right_and_wrong(tmp_path: Path) -> None:
    fakes.write_csv(tmp_path, num_classes=2, images_per_class=4)
    paths = tuple(map(str, sorted((tmp_path / "images").rglob("*.jpg"))))
    all_right = Neighbours(paths[:2], (paths[2:5], paths[5:8]), np.ones((2, 3), bool))
    sheet = plot_neighbours(all_right, all_right, tmp_path / "right.png")
    assert sheet.dtype == np.uint8
    assert GREEN in colours_of(tmp_path / "right.png")
    assert ORANGE not in colours_of(tmp_path / "right.png")
    wrong = Neighbours(paths[:2], (paths[2:5], paths[5:8]), np.eye(2, 3, dtype=bool))
    plot_neighbours(all_right, wrong, tmp_path / "wrong.png")
    assert {GREEN, ORANGE} <= colours_of(tmp_path / "wrong.png")


def test_pictures_lie_where_they_belong_in_a_sheet(tmp_path: Path) -> None:
    sheet = PictureSheet([0, 1.5], 2, row_height=1.2, heading=0.3, side=1.0)
    for row, column, colour in ((0, 0, (250, 0, 0)), (1, 1, (0, 0, 250))):
        sheet.show(row, column, np.full((8, 8, 3), colour, np.uint8), "#444444")
    pixels = sheet.save(tmp_path / "a.png")
    side = pixels.shape[1] / (0.06 + 1.5 + 1 + 0.06)
    rows = [round((0.3 + 1.2 * row + 0.5) * side) for row in (0, 1)]
    columns = [round((0.06 + left + 0.5) * side) for left in (0, 1.5)]
    seen = pixels[np.ix_(rows, columns)].tolist()
    white = [255, 255, 255]
    assert seen == [[[250, 0, 0], white], [white, [0, 0, 250]]]


def test_thumbnail_is_a_square_even_of_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (90, 30), (10, 200, 30)).save(path)
    assert np.all(read_thumbnail(str(path), 24) == (10, 200, 30))
    missing = read_thumbnail(str(tmp_path / "none.png"), 24)
    assert missing.shape == (24, 24, 3)
    assert len(np.unique(missing)) > 1


def test_thumbnail_of_a_photograph_with_an_odd_tag_is_its_picture(
    tmp_path: Path,
) -> None:
    path = tmp_path / "odd.jpg"
    path.write_bytes(fakes.odd_photograph((90, 30), (200, 200, 200)))
    assert np.all(read_thumbnail(str(path), 24) == 200)


def test_thumbnail_survives_any_error_of_pil(tmp_path: Path, monkeypatch) -> None:
    def fail(image: Image.Image) -> None:
        raise struct.error("required argument is not an integer")

    path = tmp_path / "plain.png"
    Image.new("RGB", (9, 9)).save(path)
    monkeypatch.setattr("dce_tf.reports.thumbnails.read_upright", fail)
    missing = read_thumbnail(str(tmp_path / "none.png"), 24)
    np.testing.assert_array_equal(read_thumbnail(str(path), 24), missing)


def test_sprite_lays_pictures_out_row_by_row() -> None:
    pictures = np.stack([np.full((2, 2, 3), value, np.uint8) for value in range(1, 6)])
    expected = np.array([[1, 2, 3], [4, 5, 0], [0, 0, 0]]).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(sprite(pictures)[..., 0], expected)


def test_hits_sheet_shows_pictures_labels_and_gaps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    queries = []
    for number in range(2):
        fakes.write_image(tmp_path / f"{number}.jpg", number, rng, 40)
        queries.append(str(tmp_path / f"{number}.jpg"))
    hits = [
        Hit("a", 1.0, "日本 $x$", {}),
        Hit(7, 0.5, None, {}),
        Hit("gone", -0.1, "l" * 99, {}),
    ]
    jpegs = {"a": Path(queries[0]).read_bytes(), 7: b"no picture"}
    path = tmp_path / "sheet.png"
    plot_hits(queries, [hits, hits[:1]], jpegs.get, path)
    assert len(colours_of(path)) > 500
    plot_hits(queries[:1], [[]], jpegs.get, path)
