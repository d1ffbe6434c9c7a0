import keras
import numpy as np
import pytest

from dce_tf.training.trainer import Trainer
from tests.slow import rest_is_slow
from tests.training.small import LEARNERS, batches, fit, make_trainer, train_epoch


@pytest.mark.parametrize("optimizer", rest_is_slow(["adam", "adamw", "sgd"]))
@pytest.mark.parametrize("parts", ["slices", "masks"])
@pytest.mark.parametrize("loss", ["margin(miner=all)", "proxy_anchor"])
def test_isolated_learners_that_do_not_train_are_still_to_the_bit(
    optimizer: str, parts: str, loss: str
) -> None:
    penalty = 0.1 if parts == "masks" else 0.0
    trainer = make_trainer(
        loss=loss,
        parts=parts,
        optimizer=optimizer,
        isolated=True,
        mask_penalty=penalty,
    )
    fit(trainer, steps=2)  # So that the optimiser has momentum.
    before = rows_of_learners(trainer)
    trainer.set_data(batches(1, seed=9), 1)  # One batch, of learner 0.
    train_epoch(trainer)
    moved = np.any(rows_of_learners(trainer) != before, axis=1)
    assert moved.tolist() == [True, False]


def rows_of_learners(trainer: Trainer) -> np.ndarray:
    """Returns all that belongs to each learner alone, a row each."""
    layer = trainer.model.embedding
    if layer.masks is not None:
        return layer.masks.numpy()
    tables = [layer.kernel, layer.bias[None], *trainer.loss.trainable_variables]
    whole = np.concatenate([np.array(table) for table in tables])
    return whole.T.reshape(LEARNERS, -1)


def test_learners_that_are_not_isolated_drift() -> None:
    # What isolation is for: momentum and decay move them all.
    trainer = make_trainer()
    fit(trainer, steps=2)
    before = trainer.model.embedding.kernel.numpy()
    trainer.set_data(batches(1, seed=9), 1)
    train_epoch(trainer)
    moved = trainer.model.embedding.kernel.numpy() != before
    assert np.any(moved[:, 4:])


def test_masks_leave_when_the_whole_embedding_trains() -> None:
    trainer = make_trainer(parts="masks", mask_penalty=0.1)
    masks: list[np.ndarray] = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: masks.append(trainer.model.embedding.masks.numpy())
    )
    fit(trainer, epochs=5, callbacks=[keep])
    assert np.any(masks[0] != 1)
    assert np.any(masks[2] != masks[1])
    np.testing.assert_array_equal(masks[3], masks[2])
    np.testing.assert_array_equal(masks[4], masks[2])


@pytest.mark.slow
def test_mask_penalty_drives_masks_apart() -> None:
    apart = []
    for weight in (0.0, 5.0):
        trainer = make_trainer(parts="masks", mask_penalty=weight)
        fit(trainer, epochs=10)
        apart.append(float(trainer.model.embedding.mask_penalty()))
    assert apart[1] < apart[0] - 0.05


def test_backbone_rests_in_the_epochs_that_freeze_it() -> None:
    trainer = make_trainer()
    kernels: list[tuple[np.ndarray, np.ndarray]] = []

    def keep(*_) -> None:
        model = trainer.model
        kernels.append(
            (model.backbone.layers[1].kernel.numpy(), model.embedding.kernel.numpy())
        )

    before = trainer.model.backbone.layers[1].kernel.numpy()
    fit(
        trainer,
        epochs=6,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=keep)],
        num_clusters=2,
        freeze_backbone_epochs=1,
    )
    changed = [
        np.any(kernel != old)
        for (kernel, _), old in zip(
            kernels, [before, *[k for k, _ in kernels]], strict=False
        )
    ]
    assert changed == [False, True, False, True, True, True]
    assert np.any(kernels[0][1] != kernels[1][1])
    assert len(trainer.loop.calls) == 3
