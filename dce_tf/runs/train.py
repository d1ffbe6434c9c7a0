"""A whole run: read, train, evaluate, report, export."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras

from dce_tf import devices
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.pipelines import PictureReader
from dce_tf.run_directory import RunDirectory
from dce_tf.runs.bookkeeping import Bookkeeping, stateful_variables
from dce_tf.runs.faults import explained_faults
from dce_tf.runs.loading import check_trainable, load_data, selection_search
from dce_tf.runs.outcome import conclude, show_report
from dce_tf.runs.session import Session, build_session, check, check_batches
from dce_tf.runs.snapshot import snapshot_file, take_snapshot
from dce_tf.runs.summaries import Summaries
from dce_tf.training.checkpoints import Checkpoints, Progress
from dce_tf.training.display import Display, EpochLines, ProgressBar
from dce_tf.training.evaluation import Evaluate
from dce_tf.training.profiling import Profile
from dce_tf.training.progress import EpochProgress
from dce_tf.training.schedule import Schedule
from dce_tf.training.workers import Workers, explained_loss


def train(
    config: Config,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    display: Display | None = None,
) -> dict[str, Any]:
    """Trains as `python main.py` does, or goes on with the run if it is there.

    Args:
        config: The settings.
        callbacks: Keras callbacks of your own. They are called after the evaluation of
            an epoch and before its checkpoint; what they add to its logs is stored.
        display: Where to print; standard output by default.

    Returns:
        The report, as in `report.json`.

    Raises:
        UsageError: If the settings cannot work.
        ValueError: If the data cannot be trained on, or another process has the run.
    """
    display = display or Display()
    schedule = check(config)
    devices.configure(config)
    workers = Workers(devices.make_strategy())
    check_batches(config, workers.strategy.num_replicas_in_sync)
    if not workers.is_chief:
        display = Display(quiet=True)
    run = RunDirectory.of(config)
    with contextlib.ExitStack() as held, explained_loss(workers):

        def open_run() -> dict[str, Any] | None:
            held.enter_context(run.locked())
            run.prepare(config)
            return run.report()

        report = workers.from_chief(open_run)
        if report is not None:
            display.note(f"{run.path} is done already; --overwrite starts anew.")
        else:
            report = _train(config, schedule, run, workers, display, callbacks)
    show_report(report, run, display)
    return report


def _train(
    config: Config,
    schedule: Schedule,
    run: RunDirectory,
    workers: Workers,
    display: Display,
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, Any]:
    splits, reader = load_data(config, run.bad_images_file, display, workers)
    check_trainable(splits.train, config)
    replicas = workers.strategy.num_replicas_in_sync
    with explained_faults(config, splits, replicas):
        progress = _fit(
            config, schedule, splits, reader, run, workers, display, callbacks
        )
    return workers.from_chief(
        lambda: conclude(config, splits, reader, run, progress, display)
    )


def _fit(
    config: Config,
    schedule: Schedule,
    splits: Splits,
    reader: PictureReader,
    run: RunDirectory,
    workers: Workers,
    display: Display,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Progress:
    session = build_session(config, schedule, splits, reader, run, workers, display)
    checkpoints = Checkpoints(run.checkpoints, config.keep_checkpoints)
    evaluate = Evaluate(
        session.evaluator,
        selection_search(config, splits),
        config.select_on,
        config.evaluate_every,
    )
    progress = _restore(checkpoints, session)
    keeper = Bookkeeping(
        session.trainer,
        run,
        checkpoints,
        progress or Progress(),
        features=lambda: session.running.values if session.running else None,
        every_steps=config.checkpoint_every_steps,
    )
    keeper.settle_best()
    _announce(config, splits, run, display)
    if progress is None:
        _evaluate_untrained(config, session, splits, run, evaluate, keeper)
    else:
        begun = session.trainer.first_step
        steps = f" and {begun} steps" if begun else ""
        display.note(f"Going on after epoch {progress.epoch + 1}{steps}.")
    with contextlib.ExitStack() as closing:
        bar = closing.enter_context(contextlib.closing(ProgressBar(display)))
        watching: list[keras.callbacks.Callback] = []
        if workers.is_chief:
            run.write_metrics(keeper.progress.history)
            watching = _watchers(config, session, run, keeper.progress, closing)
        session.trainer.fit(
            schedule,
            [
                session.recluster,
                bar,
                evaluate,
                *callbacks,
                keeper,
                *watching,
                EpochLines(display),
            ],
            first_epoch=keeper.progress.epoch + 1,
        )
    return keeper.progress


def _watchers(
    config: Config,
    session: Session,
    run: RunDirectory,
    progress: Progress,
    closing: contextlib.ExitStack,
) -> list[keras.callbacks.Callback]:
    """Returns what tells TensorBoard how it goes."""
    summaries = closing.enter_context(contextlib.closing(Summaries(run, config)))
    if progress.epoch == -1 and progress.partial is None:
        summaries.write_epoch(-1, progress.history[-1])
    profiled = config.profiled_steps
    if not profiled:
        return [summaries]
    return [Profile(session.trainer, run.tensorboard, *profiled), summaries]


def _restore(checkpoints: Checkpoints, session: Session) -> Progress | None:
    """Takes up where the last checkpoint was written, if there is one."""
    trainer = session.trainer
    progress = checkpoints.restore(stateful_variables(trainer), trainer.workers)
    if progress is None:
        return None
    if session.running is not None:
        session.running.values = progress.features
    trainer.step = progress.step
    if progress.partial is not None:
        trainer.progress = EpochProgress(**progress.partial)
    begun = progress.partial is not None
    session.recluster.restore(progress.epoch + 1, begun=begun)
    return progress


def _evaluate_untrained(
    config: Config,
    session: Session,
    splits: Splits,
    run: RunDirectory,
    evaluate: Evaluate,
    keeper: Bookkeeping,
) -> None:
    (before,) = session.evaluator.evaluate(splits.tests[:1], "test, untrained")
    if session.trainer.workers.is_chief:
        snapshot = take_snapshot(before, backend=config.backend)
        snapshot.save(snapshot_file(run, "before"))
    keeper.progress.before = before.scores
    scores = (
        evaluate.scores()
        if config.select_on == "val"
        else {"evaluated_on": "test", **before.scores}
    )
    seconds = scores.pop("seconds_evaluate", 0.0)
    keeper.store(-1, {"stage": "untrained", **scores, "seconds": seconds})


def _announce(
    config: Config, splits: Splits, run: RunDirectory, display: Display
) -> None:
    display.note(f"Run directory: {run.path}")
    train = splits.train
    parts = [f"train {len(train)} images of {len(train.class_names)} classes"]
    if splits.val is not None and config.select_on == "val":
        parts.append(f"val {len(splits.val)} of {len(splits.val.class_names)}")
    if splits.leave_one_out:
        parts.append(f"test {len(splits.query)} of {len(splits.query.class_names)}")
    else:
        parts.append(f"query {len(splits.query)}, gallery {len(splits.gallery)}")
    display.note(f"{config.dataset}: {'; '.join(parts)}.")
    display.note(f"Device: {devices.describe()}.")
    for warning in splits.warnings:
        display.note(f"Warning: {warning}")
