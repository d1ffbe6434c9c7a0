import numpy as np

from dce_tf.datasets import Images, OpenSet, Search, Splits
from dce_tf.doctor.population import Population


def test_images_of_all_splits_are_numbered_together() -> None:
    train = Images(("c", "a"), np.array([1, 0], np.int32), ("x", "y"))
    query = Images(("q",), np.array([1], np.int32), ("z", "w"))
    gallery = Images(("g", "h"), np.array([0, 1], np.int32), ("z", "w"))
    population = Population.of(Splits(train, None, (Search("t", query, gallery),)))
    assert population.paths == ("c", "a", "q", "g", "h")
    names = [population.name(row) for row in range(5)]
    assert names == ["y", "x", "w", "z", "w"]
    where = [population.split(row) for row in range(5)]
    assert where == ["train", "train", "query", "gallery", "gallery"]
    assert population.sizes.tolist() == [2, 1, 1, 1]
    assert population.row_of["g"] == 3


def test_an_image_of_several_tests_is_there_once() -> None:
    small = Images(("a", "b"), np.array([0, 0], np.int32), ("x",))
    large = Images(("a", "b", "c"), np.array([0, 0, 0], np.int32), ("x",))
    tests = (Search("small", small, small), Search("large", large, large))
    population = Population.of(Splits(Images.none(), None, tests))
    assert population.paths == ("a", "b", "c")
    assert population.split_names == ("test",)


def test_images_of_no_class_have_none() -> None:
    known = Images(("a", "b"), np.array([0, 0], np.int32), ("x",))
    new = Images(("n",), np.array([0], np.int32), ("new",))
    open_set = OpenSet("new", 0.3, new, Images.none(), Images.none())
    search = Search("test", known, known)
    population = Population.of(Splits(known, None, (search,), open_set=open_set))
    assert population.name(2) == ""
    assert population.class_names == ("x",)
    assert population.keep(np.array([2])).paths == ("n",)
