import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dce_tf import cli
from dce_tf.datasets.csv_index import read_csv
from tests import fakes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    parts = ("train", "query", "gallery")
    return fakes.write_folder(tmp_path, 3, images_per_class=4, splits=parts)


@pytest.fixture(autouse=True)
def output(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> Path:
    """The current folder, where the command lists what is wrong."""
    folder = tmp_path_factory.mktemp("output")
    monkeypatch.chdir(folder)
    return folder


def look(capsys: pytest.CaptureFixture, root: Path, *words: str) -> tuple[int, str]:
    code = cli.main(["data", "--dataset=folder", f"--data_dir={root}", *words])
    return code, capsys.readouterr().out


def unwrapped(out: str) -> str:
    """Returns what was printed without the terminal's line breaks."""
    return " ".join(out.split())


def cells(out: str, split: str) -> list[str]:
    (line,) = (line for line in out.splitlines() if f" {split} " in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_table_counts_what_is_there(root: Path, capsys) -> None:
    first, second, third = sorted((root / "query").rglob("*.jpg"))[:3]
    Image.new("L", (40, 20)).save(first)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(second, exif=exif)
    third.write_bytes(b"no image")
    code, out = look(capsys, root, "--max_bad_images=0.1")
    assert code == 0
    assert cells(out, "train") == [
        "train",
        "12",
        "3",
        "4",
        "4",
        "4",
        "0",
        "0",
        "0",
        "0",
        "32",
    ]
    assert cells(out, "query") == [
        "query",
        "12",
        "3",
        "4",
        "4",
        "4",
        "1",
        "1",
        "0",
        "1",
        "20",
    ]
    assert f"Broken: {third}" in out


def test_unusable_data_set_is_exit_code_1(root: Path, capsys) -> None:
    for path in sorted((root / "train").rglob("*.jpg"))[:2]:
        path.write_bytes(b"")
    code, out = look(capsys, root)
    assert code == 1
    assert "Unusable: 2 of 36 images are broken" in out


def test_all_broken_images_are_listed_in_a_file(
    root: Path, output: Path, capsys
) -> None:
    images = sorted((root / "train").rglob("*.jpg"))
    for path in images:
        path.write_bytes(b"")
    code, out = look(capsys, root)
    assert code == 1
    assert out.count("Broken: ") == 10
    assert "… and 2 more." in out
    assert "All are listed in data_problems.json" in unwrapped(out)
    found = json.loads((output / "data_problems.json").read_text())
    reason = "not an image; expected JPEG, PNG, GIF, BMP or WebP"
    assert found == {"broken": {str(path): reason for path in images}, "identical": []}


def test_images_in_two_classes_or_splits_are_told(
    root: Path, output: Path, capsys
) -> None:
    train, query = (sorted((root / part).rglob("*.jpg")) for part in ("train", "query"))
    assert train[0].parent != train[-1].parent
    shutil.copy(train[0], train[-1])
    shutil.copy(train[1], query[0])
    code, out = look(capsys, root, f"--output_dir={output / 'sub'}")
    assert code == 0
    assert "is in more than one class (2 such)" in unwrapped(out)
    assert "is in more than one split (1 such)" in unwrapped(out)
    found = json.loads((output / "sub" / "data_problems.json").read_text())
    assert found["broken"] == {}
    same = [{each["path"] for each in group} for group in found["identical"]]
    assert same == [
        {str(query[0]), str(train[1])},
        {str(train[0]), str(train[-1])},
    ]


def test_nothing_is_written_where_nothing_is_wrong(
    root: Path, output: Path, capsys
) -> None:
    first, second = sorted((root / "train").rglob("*.jpg"))[:2]
    shutil.copy(first, second)  # Of one class and split.
    code, out = look(capsys, root)
    assert code == 0
    assert "more than one" not in out
    assert list(output.iterdir()) == []


def test_index_reads_as_the_same_data_set(root: Path, capsys) -> None:
    code, _ = look(capsys, root, f"--make_index={root / 'index.csv'}")
    assert code == 0
    splits = read_csv(str(root))
    assert len(splits.train) == len(splits.query) == len(splits.gallery) == 12
    assert splits.train.class_names == ("id_00000000", "id_00000001", "id_00000002")
    with (root / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "path": "train/id_00000000/00.jpg",
        "label": "id_00000000",
        "split": "train",
    }


def test_index_takes_links_to_images_elsewhere(
    root: Path, tmp_path_factory, capsys
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for number, image in enumerate(sorted(root.rglob("*.jpg"))):
        image.rename(elsewhere / f"{number}.jpg")
        image.symlink_to(elsewhere / f"{number}.jpg")
    code, _ = look(capsys, root, f"--make_index={root / 'index.csv'}")
    assert code == 0
    assert len(read_csv(str(root)).train) == 12


def test_index_keeps_the_groups(tmp_path: Path, capsys) -> None:
    root = fakes.write_csv(tmp_path, 2, images_per_class=3)
    lines = (root / "index.csv").read_text().splitlines()
    groups = ["group", *(f"camera {i % 2}" for i in range(len(lines) - 2)), ""]
    table = [f"{line},{group}" for line, group in zip(lines, groups, strict=True)]
    (root / "index.csv").write_text("\n".join(table))
    flags = [
        "--dataset=csv",
        f"--data_dir={root}",
        f"--make_index={root / 'again.csv'}",
    ]
    assert cli.main(["data", *flags]) == 0
    one, again = read_csv(str(root)), read_csv(str(root / "again.csv"))
    for first, second in zip(one.parts().values(), again.parts().values(), strict=True):
        assert first.paths == second.paths
        np.testing.assert_array_equal(first.groups, second.groups)
    assert {*one.train.groups, *one.query.groups} == {-1, 0, 1}


def test_index_outside_the_data_set_is_refused(root: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "index.csv"
    words = ["data", "--dataset=folder", f"--data_dir={root}"]
    assert cli.main([*words, f"--make_index={elsewhere}"]) == 1
    assert not elsewhere.exists()


def test_sources_of_a_mix_have_their_own_lines_and_limits(
    tmp_path: Path, output: Path, capsys
) -> None:
    root = fakes.write_mix(tmp_path / "mix", 3, 4, ("train", "query", "gallery"))
    words = ["data", "--dataset=mix(csv=shop, folder=shelf)", f"--data_dir={root}"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    for split in ("shop: train", "shelf: train", "shop: test", "shelf: gallery"):
        assert cells(out, split)[:3] == [split, "12", "3"]
    copy = next((root / "shelf").rglob("query/*/00.jpg"))
    shutil.copy(next((root / "shop").rglob("train/*/00.jpg")), copy)
    for path in sorted((root / "shelf" / "train").rglob("*.jpg"))[:2]:
        path.write_bytes(b"")
    assert cli.main([*words, "--max_bad_images=0.04"]) == 1
    out = unwrapped(capsys.readouterr().out)
    assert "Unusable: shelf: 2 of 36 images are broken" in out
    assert "in more than one class (1 such)" in out
    ((first, second),) = json.loads((output / "data_problems.json").read_text())[
        "identical"
    ]
    assert (first["split"], second["split"]) == ("shelf: query", "shop: train")
    assert cli.main([*words, f"--make_index={root}/index.csv"]) == 1
    assert "Write an index of each source" in capsys.readouterr().err
