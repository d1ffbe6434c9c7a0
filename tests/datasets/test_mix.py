"""Several data sets in one: how they are written, named and read."""

from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS, Splits
from tests import fakes


def read(spec: str, data_dir: Path | None = None) -> Splits:
    root = None if data_dir is None else str(data_dir)
    return DATASETS.build(spec, data_dir=root, allow_partial_data=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mix")
    fakes.write_csv(root / "shop", 4, 3, 32)
    fakes.write_csv(root / "it's (old), b", 3, 2, 16)
    fakes.write_folder(root / "shelf", 3, 2, 48, ("train", "val", "query", "gallery"))
    for label in range(5):
        for number in range(2):
            path = root / "bins" / f"bin_{label}" / f"{number}.png"
            fakes.write_image(path, label, np.random.default_rng(number), 24)
    return root


def test_readers_options_and_quotes_go_together(root: Path) -> None:
    spec = """mix(csv=shop, folder(test_fraction=0.4)="bins",csv="it's (old), b",)"""
    splits = read(spec, root)
    assert splits.sources == ("shop", "bins", "it's (old), b")
    first = {name.partition("/")[0] for name in splits.train.class_names}
    assert first == set(splits.sources)
    assert [test.name for test in splits.tests] == ["merged", *splits.sources]


def test_relative_directories_lie_below_data_dir(root: Path, monkeypatch) -> None:
    monkeypatch.chdir(root / "shop")
    far = read("mix(csv=shop, folder=shelf)", root)
    near = read("mix(csv=., folder=../shelf)")
    whole = read(f"mix(csv={root}/shop/index.csv, folder={root}/shelf/)")
    assert far.sources == near.sources == whole.sources == ("shop", "shelf")
    assert far.train.class_names == near.train.class_names == whole.train.class_names


def test_home_directory_is_known(root: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    assert read("mix(csv=~/shop, folder=~/shelf)").sources == ("shop", "shelf")


def test_a_source_is_called_as_the_user_says(root: Path) -> None:
    splits = read("mix(one:csv=shop, two.b : folder=shelf)", root)
    assert splits.sources == ("one", "two.b")
    assert splits.train.class_names[0].startswith("one/id_")


def test_images_of_every_source_know_it(root: Path) -> None:
    splits = read("mix(csv=shop, folder=shelf)", root)
    for part in (*splits.parts().values(), splits.query, splits.gallery):
        assert part.sources is not None
        for path, label, source in zip(
            part.paths, part.labels, part.sources, strict=True
        ):
            name = splits.sources[source]
            assert path.startswith(f"{root}/{name}/")
            assert part.class_names[label].startswith(f"{name}/")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mix", "Expected `mix\\(READER=DIR"),
        ("mix()", "without a source"),
        ("mix(csv=shop", "Expected `mix"),
        ("mix(csv=shop, =shelf)", "received '=shelf'"),
        ("mix(csv=shop, folder=)", "received 'folder='"),
        (
            "mix(csv=shop)",
            "one source, csv=shop; expected two or more. Add one, or pass "
            "--dataset=csv --data_dir=shop for that alone",
        ),
        ("mix(csv=shop, csv=./shop/)", "one source twice, as csv=shop and as csv=./sh"),
        ("mix(glyphs, glyphs)", "one source twice"),
        ("mix(cvs=shop, folder=shelf)", "source cvs=shop: .*Did you mean 'csv'"),
        ("mix(csv=shop, folder(fraction=1)=bins)", "'folder' has no option 'fraction'"),
        ("mix(csv, folder=shelf)", "source csv: found no directory.* Write csv=DIR"),
        ("mix(csv=shop, a:mix(csv=a, csv=b))", "a mix within a mix"),
        ("mix(csv=shop, merged:folder=shelf)", "the name 'merged' is that of"),
        ("mix(csv=shop, folder=she'lf')", "found a quote in the directory"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DATASETS.check(spec)


def test_errors_of_a_reader_name_the_source(root: Path) -> None:
    message = r"source folder=nowhere: .*/nowhere: no such .*Correct the directory"
    with pytest.raises(ValueError, match=message):
        read("mix(csv=shop, folder=nowhere)", root)
    with pytest.raises(ValueError, match=r"source folder=bins: .*test_fraction=0.2"):
        read("mix(csv=shop, folder=bins)", root)


def test_two_sources_of_one_name_are_refused_with_one_to_type(root: Path) -> None:
    other = fakes.write_csv(root / "other" / "shop", 2, 2, 16)
    with pytest.raises(UsageError, match=r"'shop', a name that csv=shop has already"):
        read("mix(csv=shop, csv=other/shop)", root)
    splits = read("mix(csv=shop, other:csv=other/shop)", root)
    assert splits.sources == ("shop", "other")
    assert all(path.startswith(str(other)) for path in splits.tests[2].query.paths)


def test_data_dir_must_be_of_use(root: Path) -> None:
    with pytest.raises(ValueError, match="below which the directories of the mix lie"):
        read("mix(csv=shop, folder=shelf)", root / "nowhere")
    with pytest.raises(UsageError, match=r"this one has none\. Leave the flag out"):
        read(f"mix(csv={root}/shop, folder={root}/shelf)", root)


def test_an_image_in_two_sources_is_refused(root: Path) -> None:
    (root / "again").symlink_to(root / "shop")
    for spec in ("csv=shop/index.csv, again:csv=shop", "csv=shop, csv=again"):
        name = "again"
        with pytest.raises(
            ValueError, match=rf"is in two sources, shop and {name} \(24 such images\)"
        ):
            read(f"mix({spec})", root)


def test_what_a_reader_let_pass_names_the_source(root: Path) -> None:
    (root / "shelf" / "train" / "id_00000000" / "notes.txt").write_text("x")
    splits = read("mix(csv=shop, folder=shelf)", root)
    assert splits.warnings[0].startswith("shelf: ")
