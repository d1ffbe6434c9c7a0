from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.export.fingerprint import fingerprint
from dce_tf.export.served import ServedModel
from tests import fakes
from tests.saved_models import write_saved_model


def write_images(folder: Path, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        fakes.write_image(path, number, rng, 24 + number)
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_saved_model(tmp_path_factory.mktemp("export") / "1")


def test_files_are_embedded_in_order_in_any_batches(
    version: Path, tmp_path: Path
) -> None:
    paths = write_images(tmp_path, 11)
    told: list[int] = []
    model = ServedModel(version, batch_size=4)
    found = model.embeddings(paths, told.append)
    assert told == [4, 8, 11]
    assert (found.shape, found.dtype) == ((11, 3), np.float32)
    alone = [model.embed([Path(path).read_bytes()])[0] for path in paths]
    np.testing.assert_allclose(found, np.stack(alone), atol=1e-6)
    assert model.embeddings([]).shape == (0, 3)
    assert model.embedding_dim == 3
    assert model.fingerprint == fingerprint(version)


def test_broken_image_and_missing_file_are_errors(
    version: Path, tmp_path: Path
) -> None:
    model = ServedModel(version)
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.embed([b"no image"])
    with pytest.raises(FileNotFoundError):
        model.embeddings([str(tmp_path / "none.png")])


def test_model_without_the_signature_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(ValueError, match="found signatures none; expected serving_d"):
        ServedModel(tmp_path / "1")


class FlagsOfWebp(tf.Module):
    """Embeds a file as its byte 20, where WebP has its flags."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        flags = tf.io.decode_raw(tf.strings.substr(image_bytes, 20, 1), tf.uint8)
        return {"embedding": tf.cast(flags, tf.float32)}


def test_models_exported_earlier_get_animations_with_alpha_announced(
    tmp_path: Path,
) -> None:
    module = FlagsOfWebp()
    signatures = {"serving_default": module.embed}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)
    unsafe = b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(9)
    other = b"x" + unsafe[1:]
    found = ServedModel(tmp_path / "1").embed([unsafe, other])
    np.testing.assert_array_equal(found, [[0x12], [0x02]])
