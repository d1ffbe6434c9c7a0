"""Trains on a Ray cluster; Ray starts the workers again if one is lost.

    python launch/ray_train.py --num_workers=4 --use_gpu -- \
      --dataset=sop --data_dir=/data --log_dir=/runs

What stands behind `--` goes to `python main.py`; a file given as `--plugin` travels to
the workers. Ray tells each worker its place in TF_CONFIG. `--log_dir` must be one
folder for all workers: any may be the chief after a restart. RAY_ADDRESS names the
cluster; without it one starts on this machine, and ends with the training.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import train
from ray.train.tensorflow import TensorflowTrainer

PACKAGE = Path(__file__).resolve().parents[1] / "dce_tf"


def train_one(settings: dict[str, Any]) -> None:
    """Is one worker; Ray runs it in a process of its own."""
    # Ray goes to a folder of its own, and asks for the Keras before this one.
    if Path(settings["folder"]).is_dir():
        os.chdir(settings["folder"])
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    # Ray shows what a program would keep to itself.
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from dce_tf import cli

    words = with_plugins(settings["words"], settings["plugins"])
    code = cli.main(words)
    if code:
        raise RuntimeError(f"The worker ended with exit code {code}; see its output.")


def plugin_files(words: Sequence[str]) -> dict[str, str]:
    """Returns the text of every file of Python that a command line names."""
    named = [part for word in words for part in word.partition("=")[2].split(",")]
    named += words
    return {
        path: Path(path).read_text(encoding="utf-8")
        for path in named
        if path.endswith(".py") and Path(path).is_file()
    }


def with_plugins(words: Sequence[str], files: Mapping[str, str]) -> list[str]:
    """Returns a command line that finds the files where they are not yet."""
    missing = {path: text for path, text in files.items() if not Path(path).is_file()}
    folder = Path(tempfile.mkdtemp()) if missing else Path()
    words = list(words)
    for path, text in missing.items():
        here = folder / Path(path).name
        here.write_text(text, encoding="utf-8")
        words = [word.replace(path, str(here)) for word in words]
    return words


def main(argv: Sequence[str] | None = None) -> None:
    """Starts the workers and waits for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--use_gpu", action="store_true", help="One a worker.")
    parser.add_argument("--max_failures", type=int, default=3)
    parser.add_argument("--storage_path", help="Where Ray keeps its own records.")
    parser.add_argument("words", nargs="*", help="For python main.py, behind --.")
    given = parser.parse_args(argv)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")
    ray.init(
        runtime_env={
            # So that every machine has the code of this one.
            "py_modules": [str(PACKAGE)],
            # Ray imports TensorFlow before dce_tf can ask it to be quiet.
            "env_vars": {"TF_CPP_MIN_LOG_LEVEL": quiet},
        }
    )
    TensorflowTrainer(
        train_one,
        train_loop_config={
            "words": given.words,
            "folder": str(Path.cwd()),
            "plugins": plugin_files(given.words),
        },
        scaling_config=train.ScalingConfig(
            num_workers=given.num_workers, use_gpu=given.use_gpu
        ),
        run_config=train.RunConfig(
            storage_path=given.storage_path,
            failure_config=train.FailureConfig(max_failures=given.max_failures),
        ),
    ).fit()


if __name__ == "__main__":
    main()
