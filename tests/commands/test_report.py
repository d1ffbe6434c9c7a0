"""One page about runs, from the command line to the browser."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.train import train
from tests import fakes

CHROMIUM = shutil.which("chromium")


def call(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str]:
    code = cli.main(["report", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("reported")
    fakes.write_csv(root / "data", num_classes=12, images_per_class=8)
    base = Config(
        dataset="csv",
        data_dir=str(root / "data"),
        log_dir=str(root / "log"),
        backbone="small",
        image_size=32,
        embedding_dim=16,
        num_epochs=2,
        batch_size=16,
        val_fraction=0.3,
        loss="multi_similarity",
        export=False,
    )
    settings = [
        {"num_clusters": 2, "parts": "masks"},
        {"num_clusters": 1},
    ]
    found = []
    for each in settings:
        config = base.replace(**each)
        train(config)
        found.append(RunDirectory.of(config).path)
    return found


SECTIONS = (
    "Scores",
    "Curves",
    "What dividing gave",
    "Failures",
    "Confused classes",
    "Clusters and learners",
    "Thresholds",
    "Recall against bytes",
    "Where the time went",
)


def look_at(shown: Page, page: Path, width: int) -> None:
    problems: list[str] = []
    asked: list[str] = []
    shown.on("console", lambda message: problems.append(message.text))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(page.as_uri())
    assert problems == []
    assert all(each.startswith(("file:", "data:")) for each in asked)
    pictures = shown.locator("img")
    assert pictures.count() > 8
    loaded = "all => all.every(each => each.naturalWidth > 0)"
    assert pictures.evaluate_all(loaded)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    shown.click("nav a:has-text('Thresholds')")
    assert shown.url.endswith("#thresholds")


@pytest.mark.slow
def test_report_of_runs_is_one_file_that_a_browser_shows(
    runs: list[Path], capsys: pytest.CaptureFixture
) -> None:
    code, told = call(capsys, *runs)
    assert code == 0, told
    page = runs[0] / "report.html"
    assert str(page) in told
    assert page.stat().st_size < 10e6
    text = page.read_text(encoding="utf-8")
    for title in SECTIONS:
        assert f"<h2>{title}</h2>" in text
    assert "num_clusters" in text
    assert "The mask of each learner" in text
    assert text.count("why: query") == text.count("why: found") > 0
    if CHROMIUM is None:
        pytest.skip("chromium, for the second half of this test")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        for scheme, width in (("light", 1200), ("dark", 390)):
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": 800}
            )
            look_at(context.new_page(), page, width)
            context.close()
        browser.close()


@pytest.mark.slow
def test_without_images_what_is_stored_is_told(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "page.html"
    code, told = call(capsys, runs[0], "--noimages", f"--output={output}")
    assert code == 0, told
    text = output.read_text(encoding="utf-8")
    assert "<h2>Clusters and learners</h2>" in text
    assert "<h2>Failures</h2>" not in text
    assert "it takes a run with --num_clusters=1" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Expected one or more run directories"),
        (["nowhere"], "nowhere is not a run directory"),
        (["--data_dirr=x"], "Did you mean"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    code, told = call(capsys, *words)
    assert code in (1, 2)
    assert message in told
