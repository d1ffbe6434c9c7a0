"""What collections on a server have in common: what is known of one, by name."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dce_tf.index.calibration import Calibration
from dce_tf.index.collection import Id, Places
from dce_tf.index.maps import MapPlan
from dce_tf.index.pictures import thumbnail_below


class Address(Protocol):
    """Where a collection is; as text, without a password."""

    @property
    def name(self) -> str:
        """What the collection is called there."""


def new_about(
    *,
    fingerprint: str,
    embedding_dim: int,
    kind: str,
    model: str,
    image_root: str | None,
    map_plan: MapPlan | None,
    calibration: Calibration | None,
) -> dict[str, Any]:
    """Returns what is to be known of a collection made now, as JSON values.

    Args:
        fingerprint: Which model made the embeddings.
        embedding_dim: Their width.
        kind: How it is searched.
        model: Where the model lies.
        image_root: Folder that the paths of records are relative to.
        map_plan: How its map is made, if it has one.
        calibration: What scores mean, if that is known.
    """
    return {
        "fingerprint": fingerprint,
        "embedding_dim": embedding_dim,
        "kind": kind,
        "model": model,
        "image_root": image_root,
        "map": vars(map_plan) if map_plan else None,
        "calibration": calibration.as_json() if calibration else None,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class SharedCollection:
    """What is known of a collection, and whether it may be changed.

    Args:
        address: Where it is.
        about: As of `new_about`.
        read_only: Never change it.
    """

    def __init__(
        self, address: Address, about: Mapping[str, Any], *, read_only: bool
    ) -> None:
        self._where = address
        self._about = dict(about)
        self._read_only = read_only

    @property
    def name(self) -> str:
        """What clients call it."""
        return self._where.name

    @property
    def fingerprint(self) -> str:
        """Which model made the embeddings."""
        found: str = self._about["fingerprint"]
        return found

    @property
    def embedding_dim(self) -> int:
        """Width of the embeddings."""
        return int(self._about["embedding_dim"])

    @property
    def calibration(self) -> Calibration | None:
        """What scores mean, if that is known."""
        found = self._about.get("calibration")  # Those made before had none.
        return None if found is None else Calibration.from_json(found, str(self._where))

    @property
    def place_codes(self) -> str | None:
        """Which codes of places its records have: they are not kept here."""
        return None

    def _map_plan(self) -> MapPlan | None:
        return MapPlan(**self._about["map"]) if self._about["map"] else None

    def _check_writable(self) -> None:
        if self._read_only:
            raise ValueError(
                f"{self._where} was opened for reading only; open it for writing."
            )

    def _described(self, count: int, fields: Sequence[str]) -> dict[str, Any]:
        about = self._about
        return {
            "name": self.name,
            "count": count,
            "embedding_dim": self.embedding_dim,
            "kind": about["kind"],
            "fingerprint": self.fingerprint,
            "model": about["model"],
            "fields": list(fields),
            "map": about["map"] and about["map"]["method"],
            "created": about["created"],
            "image_root": about["image_root"],
            "places": None,
        }

    def places(self, ids: Sequence[Id]) -> list[Places | None]:
        """Returns None for each: the codes of places stay where they were embedded."""
        return [None] * len(ids)

    def _picture(
        self, path: str | None, thumbnail: bytes | None, side: int
    ) -> bytes | None:
        """Returns a small JPEG: the one that was stored, or one of the file."""
        if thumbnail is not None:
            return thumbnail
        root = self._about["image_root"]
        return thumbnail_below(root, path, side) if path and root else None
