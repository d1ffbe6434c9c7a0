import csv
import json
from pathlib import Path

import pytest

from dce_tf.sweep import results
from dce_tf.sweep.variants import Variant

VARIANTS = [
    Variant(
        {"num_clusters": 1, "loss": "margin"},
        {"recall@1": [0.5, 0.7], "map@r": [0.25, 0.25]},
        [10.0, 12.0],
        [],
    ),
    Variant(
        {"num_clusters": 4, "loss": "n_pairs"},
        {"recall@1": [0.8], "map@r": [0.1]},
        [9.0],
        [],
    ),
    Variant(
        {"num_clusters": 8, "loss": "margin"},
        {"recall@1": [0.9], "map@r": [0.9]},
        [9.0],
        ["seed 1: Exit code 1: Error: no"],
    ),
]


def test_a_variant_with_a_failed_run_is_last_whatever_its_others() -> None:
    by_recall = results.ranked(VARIANTS, "recall@1")
    assert [each.settings["num_clusters"] for each in by_recall] == [4, 1, 8]
    by_map = results.ranked(VARIANTS, "map@r")
    assert [each.settings["num_clusters"] for each in by_map] == [1, 4, 8]


def test_results_are_written_as_json_csv_and_latex(tmp_path: Path) -> None:
    files = results.write(tmp_path / "0-sweep", VARIANTS[:2], "recall@1")
    assert [file.name for file in files] == [
        "0-sweep.json",
        "0-sweep.csv",
        "0-sweep.tex",
    ]
    stored = json.loads(files[0].read_text())["runs"]
    assert stored[1]["scores"]["recall@1"] == [0.5, 0.7]
    rows = list(csv.DictReader(files[1].read_text().splitlines()))
    assert rows[1]["recall@1 mean"] == "0.6"
    assert float(rows[1]["recall@1 std"]) == pytest.approx(0.1414, abs=1e-4)
    assert rows[0]["recall@1 std"] == ""
    lines = files[2].read_text().splitlines()
    assert (
        lines[2]
        == r"num\_clusters & loss & recall@1 & map@r & seeds & seconds \\ \hline"
    )
    assert lines[3] == r"4 & n\_pairs & 0.8000 & 0.1000 & 1 & 9 \\"
    assert lines[4].startswith(
        r"1 & margin & 0.6000 $\pm$ 0.1414 & 0.2500 $\pm$ 0.0000"
    )
