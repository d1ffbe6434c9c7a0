"""From a model to a new version on disk, in any format, once it is seen to agree."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import first_line
from dce_tf.base.files import write_json, write_text
from dce_tf.export.agreement import measure_agreement, require_agreement
from dce_tf.export.card import describe
from dce_tf.export.embedder import ServableEmbedder
from dce_tf.export.fingerprint import CARD
from dce_tf.export.formats import ExportFormat
from dce_tf.export.versions import versions


def write_version(
    embedder: ServableEmbedder,
    export_format: ExportFormat,
    folder: str | Path,
    card: Mapping[str, Any] | None = None,
    labels: Sequence[str] = (),
    wait: Callable[[], None] = lambda: None,
) -> Path:
    """Writes the next version of an exported model.

    A reader of `folder` sees the version when it is whole, not before.

    Args:
        embedder: What to export.
        export_format: How.
        folder: Holds one sub-folder per version: 1, 2, …
        card: What else there is to know about the model, for `model_card.json`: its
            name, data, scores.
        labels: The classes it was trained on, for `labels.txt`.
        wait: Called when all is written, before anybody sees it; what it raises leaves
            nothing.

    Returns:
        The folder of the new version.

    Raises:
        ValueError: If the model cannot be had in that format, or what was written does
            not embed as the model does; nothing is left of it then.
    """
    embedder = export_format.as_computed(embedder)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as temporary:
        written = Path(temporary) / "model"
        written.mkdir()
        _write(embedder, export_format, written)
        agreement = _check(embedder, export_format, written)
        assets = written / export_format.assets
        assets.mkdir(exist_ok=True)
        described = describe(embedder, export_format, agreement)
        write_json(assets / CARD, {**described, **(card or {})})
        if labels:
            write_text(assets / "labels.txt", "".join(f"{n}\n" for n in labels))
        wait()
        target = folder / str(1 + max(versions(folder), default=0))
        shutil.move(written, target)
    return target


def _write(
    embedder: ServableEmbedder, export_format: ExportFormat, folder: Path
) -> None:
    try:
        export_format.write(embedder, folder)
    except (ValueError, OSError):
        raise
    except Exception as error:
        # Each library has errors of its own for a layer it does not know.
        raise ValueError(
            f"The model cannot be had as {export_format.name}: {first_line(error)}. "
            "Nothing was written. Try another --format; --verbose shows more."
        ) from error


def _check(
    embedder: ServableEmbedder, export_format: ExportFormat, folder: Path
) -> Any:
    images = export_format.sample_images(embedder.image_size)
    expected = embedder.model(images, training=False).numpy()
    found = measure_agreement(expected, export_format.embed(folder, images))
    lowest = export_format.lowest_agreement(embedder)
    require_agreement(found, lowest, export_format.name)
    return found
