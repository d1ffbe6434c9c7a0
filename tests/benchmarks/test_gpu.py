import json
from pathlib import Path

import pytest

from benchmarks.contestants.lite0 import build_lite0
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import machine
from benchmarks.gpu.results import Check, Figure, from_json, to_json, to_markdown
from benchmarks.multiply_adds import count_multiply_adds

CARD = machine.Card("Card X", "570.1", 80_000, 100)


@pytest.mark.parametrize(
    ("cards", "seen", "faiss", "said"),
    [
        ([CARD], 1, "faiss-gpu", []),
        ([], 0, "faiss-gpu", ["No NVIDIA driver answers"]),
        ([CARD], 0, "faiss-gpu", ["driver may be too old"]),
        ([CARD], 1, "faiss-cpu", ["pip uninstall -y faiss-cpu"]),
        ([machine.Card("Y", "1", 4000, 0)], 1, "faiss-gpu", ["has 4000 MB"]),
        ([machine.Card("Y", "1", 9000, 2000)], 1, "faiss-gpu", ["another process"]),
    ],
)
def test_what_stands_in_the_way_is_said_in_a_sentence(
    cards: list[machine.Card], seen: int, faiss: str, said: list[str]
) -> None:
    found = machine.problems(cards, seen, faiss)
    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True))


def test_cards_are_read_as_the_driver_lists_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "NVIDIA H200, 570.86.15, 143771, 4"
    monkeypatch.setattr(machine, "_ask", lambda _: [line, "[N/A]"])
    assert machine.find_cards() == [machine.Card("NVIDIA H200", "570.86.15", 143771, 4)]
    assert machine.free_mb() == 143767


def test_results_are_told_as_markdown_and_kept_as_json() -> None:
    results = [
        Check("right", True, "1e-7", "< 1e-4"),
        Check("wrong", False, "0.1", "< 1e-4"),
        Check("untried", None, "no GPU"),
        Figure("Speed", "ours", {"images/s": 12345.6}),
        Figure("Speed", "theirs", {"images/s": 0.1234, "why": "slow"}),
    ]
    assert [from_json(json.loads(json.dumps(to_json("p", r)))) for r in results] == (
        results
    )
    page = to_markdown(["One machine."], results)
    assert "| right | pass | 1e-7 | < 1e-4 |" in page
    assert "| wrong | **fail** |" in page
    assert "| untried | not run | no GPU |" in page
    assert "| | images/s | why |" in page
    assert "| ours | 12,346 |  |" in page
    assert "| theirs | 0.123 | slow |" in page


def test_a_part_that_fails_is_a_failed_check_and_keeps_what_it_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(command: list[str], **_: object) -> object:
        file = next(word for word in command if word.startswith("--results="))
        line = json.dumps(to_json("ceiling", Check("first", True, "1")))
        Path(file.partition("=")[2]).write_text(line + "\n", encoding="utf-8")
        return gpu.subprocess.CompletedProcess([], 1, "", "Traceback …\nboom")

    monkeypatch.setattr(gpu.subprocess, "run", fail)
    first, last = gpu.run_apart("ceiling", True, 9)
    assert first.passed
    assert last == Check(
        "the part ceiling comes to its end", False, "exit code 1: boom"
    )


def test_parts_without_time_are_named_and_not_run() -> None:
    (result,) = gpu.run_parts(["ceiling"], True, 0)
    assert isinstance(result, Check)
    assert result.passed is None
    assert "--only=ceiling" in result.found


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "find_cards", list)
    assert gpu.main([]) == 2
    assert "pass --cpu" in capsys.readouterr().err


def test_lite0_has_the_published_multiply_adds() -> None:
    # 407 million at 224 px with the classifier of 1280 × 1000 (TensorFlow's table).
    counted = count_multiply_adds(build_lite0(224), 224)
    assert counted + 1280 * 1000 == pytest.approx(407e6, rel=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(gpu.PARTS))
def test_every_part_runs_without_a_gpu(name: str) -> None:
    results = gpu.run_apart(name, True, 600)
    assert results
    wrong = [r for r in results if isinstance(r, Check) and r.passed is False]
    assert wrong == []
