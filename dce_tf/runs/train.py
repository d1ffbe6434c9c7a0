"""A whole run: read, train, evaluate, report, export."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import noted_if_stopped
from dce_tf.callbacks import build_callbacks, tell_report
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.evaluation.evaluating import Evaluate
from dce_tf.network.backbones import check_backbone_file
from dce_tf.record import EpochRecord
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.reports.epoch_lines import EpochLines, ProgressBar
from dce_tf.runs import devices
from dce_tf.runs.beginning import held, what_is_kept
from dce_tf.runs.bookkeeping import Bookkeeping, stateful_variables
from dce_tf.runs.estimate import build_estimate
from dce_tf.runs.failures import explained_faults
from dce_tf.runs.loading import (
    check_trainable,
    load_data,
    read_splits,
    selection_search,
)
from dce_tf.runs.mixing import check_mix, describe_mix, warn_of_copies
from dce_tf.runs.network import rates_of
from dce_tf.runs.outcome import conclude, show_report
from dce_tf.runs.own_data import check_own_data, keep_left_out, known_left_out
from dce_tf.runs.plugged import check_plugins
from dce_tf.runs.resolving import resolve
from dce_tf.runs.session import (
    Session,
    build_schedule,
    build_session,
    check,
    check_replicas,
)
from dce_tf.runs.snapshot import snapshot_file, take_snapshot
from dce_tf.runs.summaries import Summaries
from dce_tf.runs.teacher import Teacher, check_no_teacher
from dce_tf.runs.warned import build_health
from dce_tf.training.checkpoints import Checkpoints, RunProgress
from dce_tf.training.divisions import keep_rows
from dce_tf.training.pipelines import PictureReader
from dce_tf.training.profiling import Profile
from dce_tf.training.progress import EpochProgress
from dce_tf.training.schedule import Schedule
from dce_tf.training.stock_callbacks import check_callbacks
from dce_tf.training.workers import Workers, explained_loss


def train(
    config: Config,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    display: Display | None = None,
) -> dict[str, Any]:
    """Trains as `python main.py` does, or goes on with the run if it is there.

    Args:
        config: The settings.
        callbacks: Keras callbacks, its own or yours. They are called after the
            evaluation of an epoch and before its checkpoint; the numbers that they add
            to its logs are stored. What they keep for themselves, such as how long
            EarlyStopping has waited, begins again when a run is resumed. For
            BackupAndRestore and SwapEMAWeights see `stock_callbacks.check_callbacks`.
        display: Where to print; standard output by default.

    Returns:
        The report, as in `report.json`.

    Raises:
        TypeError: If a callback is none of Keras.
        UsageError: If the settings cannot work.
        ValueError: If the data cannot be trained on, a callback cannot work in a run,
            or another process has the run.
    """
    display = display or Display()
    check_plugins(config)
    check(config)
    devices.configure(config.run, config.network.mixed_precision)
    workers = Workers(devices.make_strategy())
    replicas = workers.strategy.num_replicas_in_sync
    check_replicas(config, replicas)
    run = RunDirectory.of(config)
    if workers.is_chief:
        named = build_callbacks(config.run.callback, run.path, config.as_dict())
        callbacks = [*callbacks, *named]
    else:
        display = Display(quiet=True)
    check_callbacks(callbacks, scheduled=rates_of(config, replicas) is not None)
    # Before anything is written, and before the search for broken images.
    check_backbone_file(config.network.backbone, config.data.image_size)
    teacher = None
    if config.distillation.teacher is not None:
        teacher = Teacher(config)
        workers.from_chief(functools.partial(teacher.open, run))
    read = read_splits(config.data)
    check_mix(read, config)
    config = resolve(config, read.train)
    schedule = build_schedule(config.division)
    with (
        noted_if_stopped(lambda: what_is_kept(run, config.run.overwrite)),
        contextlib.ExitStack() as holding,
        explained_loss(workers),
    ):

        def open_run() -> dict[str, Any] | None:
            holding.enter_context(held(run))
            run.prepare(config)
            check_own_data(run, read, config, display)
            if teacher is None:
                check_no_teacher(run)
            else:
                teacher.check(run)
            return run.report()

        report = workers.from_chief(open_run)
        if report is not None:
            display.note(f"{run.path} is done already; --overwrite starts over.")
        else:
            report = _train(
                config, schedule, read, run, workers, display, callbacks, teacher
            )
            tell_report(callbacks, report)
    show_report(report, run, display)
    return report


def _train(
    config: Config,
    schedule: Schedule,
    read: Splits,
    run: RunDirectory,
    workers: Workers,
    display: Display,
    callbacks: Sequence[keras.callbacks.Callback],
    teacher: Teacher | None,
) -> dict[str, Any]:
    known = workers.from_chief(lambda: known_left_out(run, read))
    splits, reader, left_out, rows = load_data(
        config, run.bad_images_file, display, workers, splits=read, left_out=known
    )
    check_trainable(splits.train, config)
    check_mix(splits, config)
    splits = warn_of_copies(splits)
    if workers.is_chief:
        if rows is not None:
            keep_rows(run.clusters, rows, splits.train.labels)
        keep_left_out(run, read, left_out)
    replicas = workers.strategy.num_replicas_in_sync
    with explained_faults(config.loss, config.data, splits, replicas):
        taught = None
        if teacher is not None:
            taught = teacher.embeddings(splits, run, workers, display)
        progress = _fit(
            config, schedule, splits, reader, run, workers, display, callbacks, taught
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
    taught: npt.NDArray[np.float32] | None,
) -> RunProgress:
    session = build_session(
        config, schedule, splits, reader, run, workers, display, taught
    )
    checkpoints = Checkpoints(run.checkpoints, config.run.keep_checkpoints)
    evaluate = Evaluate(
        session.evaluator,
        selection_search(splits, config),
        config.evaluation.select_on,
        config.evaluation.evaluate_every,
        splits.sources,
    )
    progress = _restore(checkpoints, session, schedule, len(splits.train))
    keeper = Bookkeeping(
        session.trainer,
        run,
        checkpoints,
        progress or RunProgress(),
        features=lambda: session.running.values if session.running else None,
        every_steps=config.run.checkpoint_every_steps,
    )
    keeper.publish_best()
    _announce(config, splits, run, display)
    if progress is None:
        _evaluate_untrained(config, session, splits, run, evaluate, keeper)
    else:
        display.note(_where_it_goes_on(progress.epoch + 1, session.trainer.first_step))
    with contextlib.ExitStack() as closing:
        bar = closing.enter_context(contextlib.closing(ProgressBar(display)))
        watching: list[keras.callbacks.Callback] = []
        if workers.is_chief:
            run.write_metrics(keeper.progress.history)
            watching = [
                build_health(
                    run,
                    keeper.progress,
                    selection_search(splits, config),
                    lambda: session.recluster.division,
                    display,
                    chooses=config.evaluation.evaluate_every < schedule.num_epochs,
                ),
                build_estimate(
                    config, schedule, splits, keeper.progress.history, display
                ),
                *_watchers(config, session, run, keeper.progress, closing),
            ]
        each = [session.recluster, bar, evaluate, *callbacks, keeper, *watching]
        if not keeper.progress.stopped:
            session.trainer.fit(
                schedule,
                [*each, EpochLines(display)],
                first_epoch=keeper.progress.epoch + 1,
            )
    return keeper.progress


def _where_it_goes_on(epochs: int, steps: int) -> str:
    """Says how far a run had come, by its whole epochs and the steps after them."""
    if not epochs and not steps:
        return "Going on where training begins."
    after = [f"epoch {epochs}"] if epochs else []
    after += [f"{steps} steps"] if steps else []
    return f"Going on after {' and '.join(after)}."


def _watchers(
    config: Config,
    session: Session,
    run: RunDirectory,
    progress: RunProgress,
    closing: contextlib.ExitStack,
) -> list[keras.callbacks.Callback]:
    """Returns what tells TensorBoard how it goes."""
    summaries = closing.enter_context(contextlib.closing(Summaries(run, config)))
    if progress.epoch == -1 and progress.partial is None:
        summaries.write_settings()
        summaries.write_epoch(EpochRecord.of_line(progress.history[-1]))
    profiled = config.run.profiled_steps
    if not profiled:
        return [summaries]
    return [Profile(session.trainer, run.tensorboard, *profiled), summaries]


def _restore(
    checkpoints: Checkpoints, session: Session, schedule: Schedule, num_images: int
) -> RunProgress | None:
    """Takes up where the last checkpoint was written, if there is one."""
    trainer = session.trainer
    progress = checkpoints.restore(stateful_variables(trainer), trainer.workers)
    if progress is None:
        return None
    if session.running is not None:
        # Of other images than those that are left they are no use: a pass makes them.
        kept = progress.features
        session.running.values = (
            kept if kept is not None and len(kept) == num_images else None
        )
    trainer.step = progress.step
    if progress.partial is not None:
        trainer.progress = EpochProgress(**progress.partial)
    begun = progress.partial is not None
    trainer.left_head = schedule.left_head(progress.epoch + 1 + begun)
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
    started = time.perf_counter()
    (before,) = session.evaluator.evaluate(splits.tests[:1], "test, untrained")
    if session.trainer.workers.is_chief:
        snapshot = take_snapshot(before, backend=config.run.backend)
        snapshot.save(snapshot_file(run, "before"))
    keeper.progress.before = before.scores
    scores = {**before.scores, "mean_distance": before.mean_distance}
    if config.evaluation.select_on == "val" or splits.sources:
        scores = evaluate.scores()
    record = EpochRecord(-1, "untrained", config.evaluation.select_on, dict(scores))
    record.logs["seconds_evaluate"] = time.perf_counter() - started
    keeper.store(record)


def _announce(
    config: Config, splits: Splits, run: RunDirectory, display: Display
) -> None:
    display.note(f"Run directory: {run.path}")
    train = splits.train
    parts = [f"train {len(train)} images of {len(train.class_names)} classes"]
    if splits.val is not None and config.evaluation.select_on == "val":
        parts.append(f"val {len(splits.val)} of {len(splits.val.class_names)}")
    if splits.leave_one_out:
        parts.append(f"test {len(splits.query)} of {len(splits.query.class_names)}")
    else:
        parts.append(f"query {len(splits.query)}, gallery {len(splits.gallery)}")
    display.note(f"{config.data.dataset}: {'; '.join(parts)}.")
    for line in describe_mix(splits, config):
        display.note(line)
    display.note(f"Device: {devices.describe()}.")
    for warning in splits.warnings:
        display.note(f"Warning: {warning}")
