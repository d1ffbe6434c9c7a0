"""Trains on a Ray cluster; Ray starts the workers again if one is lost.

    python launch/ray_train.py --num_workers=4 --use_gpu -- \
      --dataset=sop --data_dir=/data --log_dir=/runs

What stands behind `--` goes to `python main.py`. Ray tells each worker its place in
TF_CONFIG. `--log_dir` must be one folder for all workers: any may be the chief after
a restart. RAY_ADDRESS names the
cluster; without it one starts on this machine, and ends with the training.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
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

    code = cli.main(settings["words"])
    if code:
        raise RuntimeError(f"The worker ended with exit code {code}; see its output.")


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
        train_loop_config={"words": given.words, "folder": str(Path.cwd())},
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
