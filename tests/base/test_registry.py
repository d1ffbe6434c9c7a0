import pytest

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import Registry, parse_spec


@pytest.fixture
def cheeses() -> Registry[tuple]:
    registry: Registry[tuple] = Registry("cheese", context=("cellar",))

    @registry.register("brie")
    def brie(age: int = 1, name: str = "", cellar: str = "none") -> tuple:
        if age < 0:
            raise UsageError("age must not be negative")
        return age, name, cellar

    return registry


def test_spec_gives_name_and_literal_options() -> None:
    assert parse_spec("brie") == ("brie", {})
    assert parse_spec(" brie(age=2, name='x') ") == ("brie", {"age": 2, "name": "x"})


@pytest.mark.parametrize(
    "spec", ["", "a b", "brie(2)", "brie(age=x())", "brie(**{})", "1"]
)
def test_spec_of_another_form_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="Expected `name`"):
        parse_spec(spec)


def test_entry_is_built_with_options_and_context(cheeses: Registry[tuple]) -> None:
    built = cheeses.build("brie(age=3)", cellar="deep", weather="not wanted")
    assert built == (3, "", "deep")


def test_unknown_name_suggests_the_nearest(cheeses: Registry[tuple]) -> None:
    with pytest.raises(
        UsageError, match=r"Unknown cheese 'bire'\. Did you mean 'brie'"
    ):
        cheeses.check("bire")


def test_unknown_option_suggests_the_nearest(cheeses: Registry[tuple]) -> None:
    with pytest.raises(UsageError, match=r"no option 'agee'\. Did you mean 'age'"):
        cheeses.check("brie(agee=1)")


def test_context_is_no_option(cheeses: Registry[tuple]) -> None:
    with pytest.raises(UsageError, match="no option 'cellar'"):
        cheeses.check("brie(cellar='mine')")


def test_name_is_taken_once(cheeses: Registry[tuple]) -> None:
    with pytest.raises(ValueError, match="registered twice"):
        cheeses.register("brie")(tuple)


def register_as(registry: Registry, file: str) -> None:
    """Registers a cheese as a program of that name would."""
    code = "@registry.register('cell')\ndef make(): ...\n"
    exec(compile(code, file, "exec"), {"__name__": "__main__", "registry": registry})


def test_a_cell_of_a_notebook_may_be_run_again(cheeses: Registry[tuple]) -> None:
    register_as(cheeses, "/tmp/ipykernel_12/34.py")
    first = cheeses.factory("cell")
    register_as(cheeses, "/tmp/ipykernel_12/56.py")
    assert cheeses.factory("cell") is not first


def test_a_script_that_takes_a_name_twice_is_refused(cheeses: Registry[tuple]) -> None:
    register_as(cheeses, __file__)
    with pytest.raises(ValueError, match="registered twice"):
        register_as(cheeses, __file__)


def test_an_entry_may_read_its_parentheses_its_own_way(
    cheeses: Registry[tuple],
) -> None:
    def grammar(spec: str) -> dict:
        if spec.count("+") != 1:
            raise UsageError(f"two, please, not {spec}")
        return {"parts": tuple(spec[len("board(") : -1].split("+"))}

    @cheeses.register("board", grammar=grammar)
    def board(parts: tuple[str, ...], age: int = 0) -> tuple:
        return (*parts, age)

    assert cheeses.has_grammar("board")
    assert not cheeses.has_grammar("gouda")
    assert cheeses.build("board(a=1+b)", age=3) == ("a=1", "b", 3)
    with pytest.raises(UsageError, match=r"two, please, not  board \(a\)"):
        cheeses.check(" board (a)")
    cheeses.forget("board")
    with pytest.raises(UsageError, match="Unknown cheese 'board'"):
        cheeses.check("board(a=1)")
