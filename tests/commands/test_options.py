from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.commands.options import KINDS, entries

PAGE = Path(__file__).parents[2] / "docs" / "options.md"


def test_page_is_what_the_command_writes(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["options", "--markdown"]) == 0
    assert capsys.readouterr().out.rstrip() == PAGE.read_text().rstrip(), (
        "python main.py options --markdown > docs/options.md"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_listed_with_a_sentence(
    kind: str, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["options", kind]) == 0
    out = capsys.readouterr().out
    for name in KINDS[kind]:
        assert name in out
    for name, summary in entries(kind):
        assert summary.endswith("."), name
        assert "kwargs" not in name


def test_unknown_kind_is_named(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["options", "los"]) == 2
    assert "Did you mean 'loss'" in capsys.readouterr().err
