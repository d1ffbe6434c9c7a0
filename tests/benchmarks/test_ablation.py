from pathlib import Path

import pytest

from benchmarks import ablation
from dce_tf.runs.session import check


def test_tables_of_the_page_are_those_of_the_runs() -> None:
    page = ablation.PAGE.read_text(encoding="utf-8")
    assert ablation.tables(ablation.read_rows()) in page


def test_every_run_is_one_of_the_grid_and_there_once() -> None:
    keys = [tuple(str(part) for part in key) for key in ablation.wanted()]
    done = [
        tuple(row[name] for name in ablation.COLUMNS[:5])
        for row in ablation.read_rows()
    ]
    assert len(set(keys)) == len(keys)
    assert len(set(done)) == len(done)
    assert set(done) <= set(keys)


def test_every_run_of_the_grid_can_work() -> None:
    for key in ablation.wanted():
        config = ablation.config_of(*key, backbone="small")
        check(config)
        assert (config.select_on, config.val_fraction) == ("test", 0)
        assert config.evaluate_every == config.num_epochs, "an epoch was chosen"


def test_mean_and_deviation_are_of_the_seeds() -> None:
    def row(seed: int, recall: float) -> ablation.Row:
        values = [
            "glyphs",
            "margin",
            "slices",
            "1",
            str(seed),
            str(recall),
            "0.5",
            "60",
        ]
        return dict(zip(ablation.COLUMNS, values, strict=True))

    lines = ablation.tables([row(0, 0.5), row(1, 0.7)]).splitlines()
    assert lines[4] == "| `margin` | – | 1 | 0.600 ± 0.141 | 0.500 ± 0.000 | 2 | 60 |"


def test_page_is_written_between_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before {ablation.BEGIN} old {ablation.END} after")
    monkeypatch.setattr(ablation, "PAGE", page)
    ablation.write_page(ablation.read_rows())
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after")
    assert "old" not in text
    assert ablation.tables(ablation.read_rows()) in text
