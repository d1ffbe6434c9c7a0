import pytest

from benchmarks import growth


def test_growth_is_two_where_linear_and_four_where_quadratic() -> None:
    assert growth.per_doubling([9, 4, 16]) == "2.00"
    assert growth.per_doubling([9, 4, 64]) == "4.00"
    assert growth.per_doubling([0, 0, 5]) == "–"


@pytest.mark.parametrize("part", sorted({*growth.PARTS} - {"pipeline"}))
def test_every_part_works(part: str) -> None:
    growth.PARTS[part](200, 8)()


def test_table_has_a_line_for_each_part() -> None:
    table = growth.make_table("title", "s", {"list": [1.0, 2.0, 4.0]})
    cells = [list(column.cells) for column in table.columns]
    assert cells == [["list"], ["1.000"], ["2.000"], ["4.000"], ["1.41"]]
