"""Whole runs with what makes them faster: the results stay what they are."""

from pathlib import Path

import keras
import numpy as np
import pytest

from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.session import Session
from dce_tf.runs.train import train
from tests.runs.test_train import StopAfter, numbers

pytestmark = pytest.mark.slow


def test_nothing_is_traced_again_after_the_first_epoch_of_a_stage(
    config: Config, sessions: list[Session]
) -> None:
    settings = config.replace(
        num_epochs=9, full_embedding_epoch=4, finetune_epoch=7, export=False
    )
    traces: list[tuple[int, ...]] = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            (session,) = sessions
            functions = [
                *session.trainer.loop.calls.values(),
                session.runner._unit_features,
                session.runner._embeddings,
                session.runner._pipelines._read,
            ]
            traces.append(tuple(f.experimental_get_tracing_count() for f in functions))

    train(settings, callbacks=[Count()])
    stages = [line["stage"] for line in RunDirectory.of(settings).metrics()[1:]]
    assert stages == ["divide"] * 4 + ["full_embedding"] * 3 + ["finetune"] * 2
    # One way to train in the first stage, another in the two others.
    assert traces == [(1,) * 4] * 4 + [(1,) * 5] * 5


CHEAPER = {
    "fixed features": {"trainable_blocks": 0, "augmentation": "none"},
    "kept features": {
        "trainable_blocks": 0,
        "augmentation": "none",
        "features_cache": "FOLDER",
    },
    "running features": {"cluster_features": "running"},
    "cached images": {"cache_images": True},
}


@pytest.mark.parametrize("how", CHEAPER)
def test_cheaper_run_resumes_with_the_same_bits(
    config: Config, tmp_path: Path, how: str
) -> None:
    settings = config.replace(
        deterministic=True,
        loss="multi_similarity",
        cluster_batches="max",  # Enough steps for features of a random network.
        cache_dir=str(tmp_path / "cache"),
        export=False,
        **CHEAPER[how],
    )
    if settings.data.features_cache:
        settings = settings.replace(features_cache=str(tmp_path / "features"))
    whole = settings.replace(exp="whole")
    report = train(whole)
    assert report["after"]["map@r"] > report["before"]["map@r"]
    with pytest.raises(KeyboardInterrupt):
        train(settings, callbacks=[StopAfter(1)])
    assert train(settings)["after"] == report["after"]
    assert numbers(RunDirectory.of(settings)) == numbers(RunDirectory.of(whole))


def test_fixed_features_end_like_images(
    config: Config, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.replace(
        loss="multi_similarity",
        dropout=0.0,
        export=False,
        **CHEAPER["fixed features"],
    )
    fixed = train(settings)
    monkeypatch.setattr("dce_tf.runs.network.has_fixed_features", lambda *_: False)
    monkeypatch.setattr("dce_tf.runs.session.has_fixed_features", lambda *_: False)
    images = train(settings.replace(exp="images"))
    assert images["after"] == pytest.approx(fixed["after"], abs=0.02)
    weights = [s.trainer.model.embedding.get_weights() for s in sessions]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4)


def test_running_features_need_one_pass(
    config: Config, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.replace(export=False, **CHEAPER["running features"])
    passes: list[int] = []

    class Watch(keras.callbacks.Callback):
        def on_train_begin(self, logs: dict | None = None) -> None:
            (session,) = sessions
            run = session.runner.unit_features
            session.runner.unit_features = lambda *given: (
                passes.append(1) or run(*given)
            )

    train(settings, callbacks=[Watch()])
    lines = RunDirectory.of(settings).metrics()
    assert sum("cluster_sizes" in line for line in lines) == 2
    assert len(passes) == 1


def test_cached_images_give_nearly_the_scores_of_files(
    config: Config, tmp_path: Path
) -> None:
    settings = config.replace(loss="multi_similarity", export=False)
    files = train(settings.replace(exp="files"))
    cached = train(settings.replace(cache_images=True, cache_dir=str(tmp_path / "c")))
    assert cached["before"] == pytest.approx(files["before"], abs=0.03)
    assert cached["after"]["map@r"] == pytest.approx(files["after"]["map@r"], abs=0.1)


def test_profile_of_some_steps_is_written_for_tensorboard(config: Config) -> None:
    settings = config.replace(
        num_epochs=2,
        full_embedding_epoch=2,
        finetune_epoch=2,
        profile_steps="3,6",
        export=False,
    )
    train(settings)
    folder = RunDirectory.of(settings).tensorboard / "plugins" / "profile"
    (profile,) = folder.rglob("*.pb")
    assert profile.name.endswith(".xplane.pb")
