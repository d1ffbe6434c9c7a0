"""Trains on a Ray cluster; Ray starts the workers again if one is lost.

    python launch/ray_train.py --num_workers=4 -- --dataset=sop --data_dir=/data

What stands behind `--` goes to `python main.py`. Ray tells each worker its place in
TF_CONFIG. `--log_dir` must be one folder for all workers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ray import train
from ray.train.tensorflow import TensorflowTrainer


def train_one(settings: dict[str, Any]) -> None:
    """Is one worker; Ray runs it in a process of its own."""
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
    TensorflowTrainer(
        train_one,
        train_loop_config={"words": given.words},
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
