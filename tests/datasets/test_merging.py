"""What becomes of the classes, groups and tests of data sets that are merged."""

from pathlib import Path

import numpy as np
import pytest

from dce_tf.datasets import Images, OpenSet, Search, Splits
from dce_tf.datasets.index_writing import write_index
from dce_tf.datasets.merging import MERGED, merge


def images(
    prefix: str,
    names: str,
    groups: list[int] | None = None,
    supers: list[int] | None = None,
) -> Images:
    found = Images.from_names(
        [f"/{prefix}/{i}" for i in range(len(names))], list(names)
    )
    columns = [
        None if each is None else np.array(each, np.int32) for each in (groups, supers)
    ]
    return Images(found.paths, found.labels, found.class_names, *columns)


def splits(name: str, protocol: str = "one", **columns: list[int]) -> Splits:
    train = images(f"{name}/train", "bbaa", **columns)
    test = images(f"{name}/test", "ddcc", **columns)
    gallery = images(f"{name}/gallery", "cdcd", **columns)
    search = {
        "one": Search("test", test, test),
        "two": Search("test", test, gallery),
        "drawn": Search("test", test, test, num_galleries=3),
    }[protocol]
    ks = (1, 5) if protocol == "two" else (1, 2)
    return Splits(train, None, (search,), recall_at=ks, warnings=("so",))


def test_classes_of_one_name_stay_apart() -> None:
    mix = merge({"x": splits("x"), "y": splits("y")})
    assert mix.train.class_names == ("x/a", "x/b", "y/a", "y/b")
    assert mix.train.labels.tolist() == [1, 1, 0, 0, 3, 3, 2, 2]
    assert mix.train.sources.tolist() == [0] * 4 + [1] * 4
    assert mix.recall_at == (1, 2)
    assert mix.warnings == ("x: so", "y: so")


def test_sets_searched_within_themselves_stay_so_when_merged() -> None:
    mix = merge({"x": splits("x"), "y": splits("y")})
    merged, *own = mix.tests
    assert (merged.name, *(test.name for test in own)) == (MERGED, "x", "y")
    assert merged.leave_one_out
    assert not merged.overlaps
    assert all(test.leave_one_out for test in own)
    assert merged.query.paths == own[0].query.paths + own[1].query.paths
    assert list(mix.parts()) == ["train", "x: test", "y: test"]


def test_unequal_protocols_are_merged_by_their_own_rules() -> None:
    mix = merge({"x": splits("x"), "y": splits("y", "two")})
    merged = mix.tests[0]
    assert merged.overlaps
    assert merged.own_rows.tolist() == [0, 1, 2, 3, -1, -1, -1, -1]
    assert merged.gallery.paths[4:] == mix.tests[2].gallery.paths
    assert merged.query.class_names == merged.gallery.class_names
    assert mix.recall_at == (1, 2, 5)
    # Also without some of the images, as where they are broken.
    kept = mix.map_parts(lambda part: part.keep(np.arange(1, len(part))))
    assert kept.tests[0].own_rows.tolist() == [0, 1, 2, -1, -1, -1, -1]


def test_the_search_within_each_source_is_cut_out_of_the_merged_one() -> None:
    mix = merge({"x": splits("x"), "y": splits("y", "two")})
    parts = mix.tests[0].of_sources(mix.sources)
    assert [part.name for part in parts] == ["x", "y"]
    assert parts[0].own_rows.tolist() == [0, 1, 2, 3]
    assert parts[1].own_rows.tolist() == [-1] * 4
    for part, test in zip(parts, mix.tests[1:], strict=True):
        assert part.query.paths == test.query.paths
        assert part.gallery.paths == test.gallery.paths


def test_a_search_that_can_find_nothing_is_left_out() -> None:
    alone = splits("x")
    lone = Search("test", *[images("x/lone", "cd")] * 2)
    mix = merge({"x": splits("x"), "y": splits("y")})
    assert len(mix.tests[0].of_sources(mix.sources)) == 2
    broken = Splits(alone.train, None, (lone,))
    mix = merge({"x": broken, "y": splits("y"), "z": splits("z")})
    assert [s.name for s in mix.tests[0].of_sources(mix.sources)] == ["y", "z"]


def test_drawn_galleries_are_left_out_of_the_merged_search_with_a_sentence() -> None:
    mix = merge({"x": splits("x"), "v": splits("v", "drawn"), "y": splits("y")})
    assert [test.name for test in mix.tests] == [MERGED, "x", "v", "y"]
    assert mix.tests[0].query.numbers_of_sources() == {0, 2}
    assert any("v is not in the merged search" in each for each in mix.warnings)
    alone = merge({"x": splits("x"), "v": splits("v", "drawn")})
    assert [test.name for test in alone.tests] == ["x", "v"]
    assert "There is no merged search" in alone.warnings[-1]
    assert list(alone.parts()) == ["train", "x: test", "v: test"]


def test_images_of_no_known_class_are_in_no_search() -> None:
    unknown = images("w/none", "nn")
    open_set = OpenSet("new", 0.5, unknown, images("w/more", "n"), Images.none())
    whale = splits("w")
    whale = Splits(whale.train, None, whale.tests, open_set=open_set)
    mix = merge({"w": whale, "x": splits("x")})
    assert mix.open_set is None
    assert "w: its 3 images of new show no known class" in mix.warnings[-1]


def test_groups_and_super_classes_are_numbered_apart() -> None:
    mix = merge(
        {
            "x": splits("x", groups=[0, 2, -1, 1], supers=[0, 1, 0, 1]),
            "y": splits("y"),
            "z": splits("z", groups=[0, 0, 1, 1]),
        }
    )
    assert mix.train.groups.tolist() == [0, 2, -1, 1, *[-1] * 4, 3, 3, 4, 4]
    assert mix.train.super_classes.tolist() == [0, 1, 0, 1, *[2] * 4, *[3] * 4]
    plain = merge({"x": splits("x"), "y": splits("y")})
    assert plain.train.groups is plain.train.super_classes is None


def test_a_source_without_training_images_is_told() -> None:
    only = splits("x")
    mix = merge({"x": Splits(Images.none(), None, only.tests), "y": splits("y")})
    assert "x: no train split" in mix.warnings[-1]
    assert mix.train.numbers_of_sources() == {1}


def test_an_index_of_a_mix_is_written_if_it_can_be(tmp_path: Path) -> None:
    def below(prefix: str, protocol: str) -> Splits:
        return splits(f"{tmp_path}/{prefix}"[1:], protocol)

    mix = merge({"x": below("x", "one"), "y": below("y", "one")})
    write_index(mix, tmp_path / "index.csv")
    lines = (tmp_path / "index.csv").read_text().splitlines()
    assert lines[1] == "x/train/0,x/b,train"
    assert len(lines) == 1 + 16
    mix = merge({"x": below("x", "one"), "y": below("y", "two")})
    with pytest.raises(ValueError, match=r"both query and gallery.* an index of each"):
        write_index(mix, tmp_path / "other.csv")
