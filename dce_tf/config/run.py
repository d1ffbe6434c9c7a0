"""Where a run lies, and how it runs."""

from __future__ import annotations

import dataclasses

from dce_tf.base.errors import UsageError
from dce_tf.config.setting import Part, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings(Part):
    """Where a run lies, and how it runs.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    log_dir: str = setting(
        "log", "Folder that holds all runs.", identity=False, basic=True
    )
    dir: str = setting(
        "default", "Group of runs: a folder in log_dir.", identity=False, basic=True
    )
    exp: str = setting(
        "0", "Name of this run within its group.", identity=False, basic=True
    )
    overwrite: bool = setting(
        False, "Delete an existing run first.", identity=False, basic=True
    )
    verbose: bool = setting(
        False, "Show tracebacks and warnings.", identity=False, basic=True
    )
    plugin: str | None = setting(
        None,
        "Code of yours that registers losses, data sets, callbacks, …: a file x.py, a "
        "module, or an entry point of dce_tf.plugins; several with commas.",
        identity=False,
    )
    callback: str = setting(
        "",
        "Callbacks to train with, such as 'mlflow' or 'wandb(project=birds)'; several "
        "with commas.",
        identity=False,
    )
    random_seed: int = setting(0, "Seed of everything random.", lowest=0, basic=True)
    deterministic: bool = setting(False, "Make every op deterministic; slower.")
    jit: bool = setting(False, "Compile the training step with XLA.", group="speed")
    cuda_device: int | None = setting(
        None,
        "Use only this GPU; default: all.",
        lowest=0,
        identity=False,
        basic=True,
        group="speed",
    )
    keep_checkpoints: int = setting(
        2, "Newest checkpoints kept, beside the best.", lowest=1, identity=False
    )
    checkpoint_every_steps: int | None = setting(
        None,
        "Steps of an epoch between two checkpoints within it; default: none.",
        lowest=1,
        identity=False,
    )
    profile_steps: str | None = setting(
        None,
        "Write a TensorBoard profile of these steps of the run, such as '20,30'.",
        identity=False,
        group="speed",
    )
    export: bool = setting(True, "Export the best epoch at the end.", identity=False)
    backend: str = setting(
        "auto",
        "FAISS on the GPU, on the CPU, or whichever there is.",
        choices=("auto", "faiss", "faiss-gpu"),
        identity=False,
        group="speed",
    )
    faiss_memory_mb: int | None = setting(
        None,
        "Most temporary memory of FAISS on each GPU, in MB; default: FAISS's own.",
        lowest=0,
        identity=False,
        group="speed",
    )

    def check(self) -> None:
        """See `Part`."""
        if self.profile_steps is not None and len(self.profiled_steps) != 2:
            raise UsageError(
                f"--profile_steps={self.profile_steps}: expected the first step and "
                "the one after the last, such as --profile_steps=20,30."
            )

    @property
    def profiled_steps(self) -> tuple[int, ...]:
        """The first step to profile and the one after the last; empty for none."""
        parts = (self.profile_steps or "").split(",")
        if not all(part.strip().isdecimal() for part in parts):
            return ()
        steps = tuple(int(part) for part in parts)
        return steps if list(steps) == sorted(set(steps)) else ()
