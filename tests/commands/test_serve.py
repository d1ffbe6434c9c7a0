import importlib
import sys
from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.commands import serve
from dce_tf.serving.http.guards import Access
from dce_tf.serving.limits import Limits
from dce_tf.serving.settings import Settings


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
        "--max_query_mb=2 --max_json_values=3 --max_records=4 --send_seconds=5 "
        "--host=0.0.0.0 --allowed_hosts=Example.com,*.example.org,::1 "
        "--cors_origins=https://Example.com/,http://localhost:3000 "
        f"--read_only --open --browser_model --token_file={token}"
    )
    assert cli.main(words.split()) == 0
    (settings,) = asked
    assert settings.source == Path("RUN")
    assert settings.model_name == "shoes"
    assert (settings.port, settings.grpc_port) == (0, 8500)
    assert settings.versions == (1, 3)
    assert settings.version_labels == {"stable": 1, "canary": 3}
    assert settings.batch_wait_seconds == 0.002
    assert settings.limits == Limits(
        body_bytes=2**20,
        query_bytes=2**21,
        json_values=3,
        records=4,
        body_seconds=6,
        answer_seconds=7,
    )
    assert settings.send_seconds == 5
    assert settings.index == ("a", "milvus:db#b")
    assert settings.read_only
    assert settings.browser_model
    assert settings.open
    assert settings.access == Access(
        "0.0.0.0",
        ("example.com", "*.example.org", "::1"),
        ("https://example.com", "http://localhost:3000"),
        "secret",
    )


def test_flags_left_out_are_the_settings_own(asked: list[Settings]) -> None:
    assert cli.main(["serve", "--run=RUN"]) == 0
    assert asked == [Settings(Path("RUN"))]


def test_token_is_read_from_the_environment(
    asked: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(serve.TOKEN_VARIABLE, "hidden")
    assert cli.main(["serve", "RUN"]) == 0
    assert asked[0].access.token == "hidden"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Expected one run directory"),
        (["RUN", "--versions=new"], "--versions=new: expected numbers"),
        (["RUN", "--version_labels=stable"], "expected names with numbers"),
        (["RUN", "--version_labels=:1"], "expected names with numbers"),
        (["RUN", "--token_file=nowhere"], "--token_file=nowhere cannot be read"),
        (["RUN", "--token_file=empty"], "is empty: write a secret into it"),
        (["RUN", "--token_file=accents"], "--token_file=accents: expected a token of"),
        (["RUN", "--token_file=two words"], "without spaces"),
        (
            ["RUN", "--allowed_hosts=http://a"],
            "--allowed_hosts=http://a: expected names",
        ),
        (["RUN", "--allowed_hosts=a*"], "--allowed_hosts=a*: expected names"),
        (["RUN", "--allowed_hosts=a/b"], "--allowed_hosts=a/b: expected names"),
        (["RUN", "--cors_origins=example.com"], "=example.com: expected scheme and"),
        (["RUN", "--cors_origins=https://a/b"], "=https://a/b: expected scheme and"),
        (["RUN", "--cors_origins=null"], "--cors_origins=null: expected scheme and"),
        (["RUN", "--max_records=0"], "max_records"),
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
        (["RUN", "--browser_model"], "Name a collection with --index=DIR"),
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
    Path("accents").write_text("sécret")
    Path("two words").write_text("two words")
    assert cli.main(["serve", *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "sécret" not in told
    assert not asked


def test_a_token_of_the_environment_that_no_header_can_carry_is_refused(
    asked: list[Settings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(serve.TOKEN_VARIABLE, "sécret")
    assert cli.main(["serve", "RUN"]) == 2
    assert "DCE_TF_TOKEN: expected a token of letters" in capsys.readouterr().err
    assert not asked


def test_flags_come_from_the_environment_and_the_command_line_wins(
    asked: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCE_TF_RUN", "there")
    monkeypatch.setenv("DCE_TF_PORT", "1")
    monkeypatch.setenv("DCE_TF_MAX_BODY_MB", "2")
    monkeypatch.setenv("DCE_TF_TOKEN", "secret")
    assert cli.main(["serve", "--port=3"]) == 0
    assert cli.main(["serve", "here", "--port=3"]) == 0
    first, second = asked
    assert (first.source, second.source) == (Path("there"), Path("here"))
    assert (first.port, first.limits.body_bytes) == (3, 2 * 2**20)
    assert first.access.token == "secret"


def test_a_variable_for_no_flag_is_refused(
    asked: list[Settings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DCE_TF_PROT", "1")
    assert cli.main(["serve", "RUN"]) == 2
    assert "Did you mean 'DCE_TF_PORT'" in capsys.readouterr().err
    assert not asked


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], False),
        (["--access_log"], True),
        (["--log_format=json"], True),
        (["--log_format=json", "--no_access_log"], False),
    ],
)
def test_json_logs_have_requests_unless_they_are_not_wanted(
    words: list[str], wanted: bool, asked: list[Settings]
) -> None:
    assert cli.main(["serve", "RUN", *words]) == 0
    assert asked[0].access_log is wanted


def test_a_missing_package_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "dce_tf.serving.server")
    try:
        importlib.reload(serve)
        assert cli.main(["serve", "RUN"]) == 2
    finally:
        monkeypatch.undo()
        importlib.reload(serve)
    assert "`pip install '.[serve]'`" in capsys.readouterr().err
