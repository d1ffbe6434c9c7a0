import importlib
import sys
from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.commands import serve
from serving.settings import Settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the server would have been started with."""
    settings: list[Settings] = []
    monkeypatch.setattr(serve, "serve", settings.append)
    monkeypatch.delenv(serve.TOKEN_VARIABLE, raising=False)
    return settings


def test_flags_become_settings(asked: list[Settings], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    words = (
        "serve RUN --model_name=shoes --port=0 --grpc_port=8500 --versions=1,3 "
        "--version_labels=stable:1,canary:3 --batch_wait_ms=2 --max_body_mb=1 "
        "--timeout_seconds=7 --body_seconds=6 --index=a --index=milvus:db#b "
        f"--read_only --token_file={token}"
    )
    assert cli.main(words.split()) == 0
    (settings,) = asked
    assert settings.source == Path("RUN")
    assert settings.model_name == "shoes"
    assert (settings.port, settings.grpc_port) == (0, 8500)
    assert settings.versions == (1, 3)
    assert settings.version_labels == {"stable": 1, "canary": 3}
    assert settings.batch_wait_seconds == 0.002
    assert settings.limits.body_bytes == 2**20
    assert settings.limits.answer_seconds == 7
    assert settings.limits.body_seconds == 6
    assert settings.index == ("a", "milvus:db#b")
    assert settings.read_only
    assert settings.token == "secret"


def test_flags_left_out_are_the_settings_own(asked: list[Settings]) -> None:
    assert cli.main(["serve", "--run=RUN"]) == 0
    assert asked == [Settings(Path("RUN"))]


def test_token_is_read_from_the_environment(
    asked: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(serve.TOKEN_VARIABLE, "hidden")
    assert cli.main(["serve", "RUN"]) == 0
    assert asked[0].token == "hidden"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Expected one run directory"),
        (["RUN", "--versions=new"], "--versions=new: expected numbers"),
        (["RUN", "--version_labels=stable"], "expected names with numbers"),
        (["RUN", "--version_labels=:1"], "expected names with numbers"),
        (["RUN", "--token_file=nowhere"], "--token_file=nowhere cannot be read"),
        (["RUN", "--token_file=empty"], "is empty: write a secret into it"),
        (["RUN", "--tls_cert=empty"], "--tls_cert and --tls_key go together"),
        (
            ["RUN", "--tls_cert=empty", "--tls_key=nowhere"],
            "--tls_key=nowhere: there is no such file",
        ),
        (
            ["RUN", "--tls_cert=empty", "--tls_key=empty"],
            "are no certificate with its key in PEM",
        ),
        (["RUN", "--model_name=a/b"], "expected a name without / and :"),
        (["RUN", "--model_name="], "expected a name without / and :"),
        (["RUN", "--port=-1"], "port"),
    ],
)
def test_wrong_flags_are_told(
    asked: list[Settings],
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    assert cli.main(["serve", *words]) == 2
    assert message in capsys.readouterr().err
    assert not asked


def test_a_missing_package_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [each for each in sys.modules if each.startswith("serving")]:
        monkeypatch.delitem(sys.modules, name)
    try:
        importlib.reload(serve)
        assert cli.main(["serve", "RUN"]) == 2
    finally:
        monkeypatch.undo()
        importlib.reload(serve)
    assert "In the checkout: `pip install '.[serve]'`" in capsys.readouterr().err
