"""W&B itself, offline."""

import time
from pathlib import Path

import pytest

from dce_tf.callbacks import build_callbacks
from dce_tf.record import EpochRecord

pytest.importorskip("wandb", reason="the package wandb")


@pytest.mark.slow
def test_run_is_written_for_a_later_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "run"
    folder.mkdir()
    spec = "wandb(project=birds, mode=offline)"
    (callback,) = build_callbacks(spec, folder, {"loss": "margin"})
    callback.on_train_begin()
    run = callback._run
    for epoch in range(2):
        record = EpochRecord(epoch, "divide", "val", {"recall@1": epoch / 4})
        callback.set_params({"record": record})
        callback.on_epoch_end(epoch, record.logs)
    assert run.summary["val/recall@1"] == 0.25
    callback.on_report({"after": {"map@r": 0.5}, "best_epoch": 0})
    (offline,) = (folder / "wandb").glob("offline-run-*")
    (written,) = offline.glob("*.wandb")
    assert (folder / "wandb.txt").read_text().strip() in written.name
    deadline = time.monotonic() + 60  # Written by a process of W&B's own.
    missing = {b"margin", b"val/recall@1", b"test/map@r"}
    while missing and time.monotonic() < deadline:
        content = written.read_bytes()
        missing = {text for text in missing if text not in content}
        time.sleep(0.1)
    assert not missing
