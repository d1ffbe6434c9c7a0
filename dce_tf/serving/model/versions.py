"""Which versions of the model are served, and how new ones take their place."""

from __future__ import annotations

import dataclasses
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from dce_tf.serving.errors import ServingError, from_tensorflow, invalid
from dce_tf.serving.model.servable import MODEL_FILE, Servable
from dce_tf.serving.model.version_policy import NEWEST, VersionPolicy

_LOG = logging.getLogger(__name__)

Find = Callable[[], Mapping[int, Path]]
Stamp = tuple[int, int]
"""When the newest file of a version was written, in nanoseconds; bytes of all."""


def versions_in(folder: Path) -> Mapping[int, Path]:
    """Returns the SavedModels of a folder whose names are numbers, by number."""
    return {
        int(path.name): path
        for path in folder.iterdir()
        if path.name.isascii()
        and path.name.isdecimal()
        and (path / MODEL_FILE).is_file()
    }


def stamp_of(folder: Path) -> Stamp:
    """Returns what is another when a version changed, or more of it was copied."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    newest = max((each.st_mtime_ns for each in found), default=0)
    return newest, sum(each.st_size for each in found)


@dataclasses.dataclass
class VersionStatus:
    """How a version stands.

    Attributes:
        version: Its number.
        state: `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        failure: What went wrong, or None.
        stamp: Of its files when it was last tried.
    """

    version: int
    state: str
    stamp: Stamp
    failure: ServingError | None = None


class Versions:
    """The versions of one model: loads new ones beside the old, then lets those go.

    A request keeps the version it began with until it is answered; an old version is
    unloaded when nobody holds it any more.

    Args:
        name: What requests call the model.
        find: Says which versions there are, and where.
        policy: Chooses the ones to serve.
        labels: Versions by name.
        needed: Says which of those there are must be served, too.
        load: Makes a servable.
        loaded: Told of each that was loaded.
    """

    def __init__(
        self,
        name: str,
        find: Find,
        *,
        policy: VersionPolicy = NEWEST,
        labels: Mapping[str, int] | None = None,
        needed: Callable[[Mapping[int, Path]], set[int]] = lambda _: set(),
        load: Callable[[int, Path], Servable] = Servable,
        loaded: Callable[[Servable], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._find = find
        self._policy = policy
        self._labels = dict(labels or {})
        self._needed = needed
        self._load_servable = load
        self._loaded = loaded
        # Replaced, never changed, so that requests read it without a lock.
        self._serving: dict[int, Servable] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._stopped = False
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_ready(self) -> bool:
        """Whether some version answers."""
        return bool(self._serving)

    def available(self) -> list[Servable]:
        """Returns the versions that answer, the newest first."""
        return [servable for _, servable in sorted(self._serving.items(), reverse=True)]

    def known(self) -> list[VersionStatus]:
        """Returns how all versions stand that were ever seen, the newest first."""
        return [status for _, status in sorted(self._statuses.items(), reverse=True)]

    def servable(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Servable:
        """Returns the version a request asks for; by default the newest.

        Raises:
            ServingError: If there is none.
        """
        if label is not None:
            if name != self.name or label not in self._labels:
                raise invalid(f"Unrecognized servable version label: {label}")
            version = self._labels[label]
        serving = self._serving if name == self.name else {}
        if version is None and serving:
            return serving[max(serving)]
        if version in serving:
            return serving[version]
        asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")

    def statuses(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Returns how one version stands, or all that were ever seen, newest first.

        Raises:
            ServingError: If it was never seen.
        """
        known = self.known() if name == self.name else []
        found = [each for each in known if version in (None, each.version)]
        if not found:
            which = "any versions" if version is None else f"version {version}"
            raise ServingError("NOT_FOUND", f"Could not find {which} of model {name}")
        return found

    def configure(self, policy: VersionPolicy, labels: Mapping[str, int]) -> None:
        """Serves other versions, and calls them by other labels.

        The labels change at once; the thread that watches then loads what is new.

        Args:
            policy: Chooses the versions.
            labels: Versions by name, in place of all there were.

        Raises:
            ServingError: If a label is for a version that is not served now.
        """
        for version in labels.values():
            if version not in self._serving:
                raise ServingError(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {version} of model "
                    f"{self.name}, which is not currently available for inference",
                )
        self._policy, self._labels = policy, dict(labels)
        self._woken.set()

    def poll(self) -> None:
        """Loads what is new and lets go what is old; not from two threads at once."""
        found = self._find()
        chosen = self._policy.choose(found)
        aspired = chosen | self._needed(found)
        for version in sorted(aspired & found.keys() - self._serving.keys()):
            self._load(version, found[version])
        if chosen & self._serving.keys():
            self._retire(self._serving.keys() - aspired)

    def watch(self, seconds: float) -> None:
        """Starts a thread that polls now and ever again."""
        self._thread = threading.Thread(
            target=self._watch, args=(seconds,), name="versions", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stops watching."""
        self._stopped = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, seconds: float) -> None:
        while not self._stopped:
            try:
                self.poll()
            except OSError as error:
                _LOG.warning("Cannot look for versions, and will try again: %s", error)
            self._woken.wait(seconds)
            self._woken.clear()

    def _load(self, version: int, path: Path) -> None:
        stamp = stamp_of(path)
        before = self._statuses.get(version)
        if before and before.failure and before.stamp == stamp:
            return
        status = VersionStatus(version, "LOADING", stamp)
        self._statuses[version] = status
        try:
            servable = self._load_servable(version, path)
        except tf.errors.OpError as error:
            self._fail(status, from_tensorflow(error))
        except Exception as error:  # The others must go on being served.
            message = f"{type(error).__name__}: {error}"
            self._fail(status, ServingError("FAILED_PRECONDITION", message))
        else:
            end = weakref.finalize(servable, setattr, status, "state", "END")
            end.atexit = False
            status.state = "AVAILABLE"
            self._serving = {**self._serving, version: servable}
            self._loaded(servable)
            _LOG.info("Version %d of %s is available.", version, self.name)

    def _fail(self, status: VersionStatus, failure: ServingError) -> None:
        status.state, status.failure = "END", failure
        _LOG.error(
            "Version %d of %s cannot be loaded: %s",
            status.version,
            self.name,
            failure.message,
        )

    def _retire(self, versions: set[int]) -> None:
        if not versions:
            return
        for version in versions:
            self._statuses[version].state = "UNLOADING"
            _LOG.info("Version %d of %s is let go.", version, self.name)
        self._serving = {
            version: servable
            for version, servable in self._serving.items()
            if version not in versions
        }
        gc.collect()  # What a model is made of refers to itself.
