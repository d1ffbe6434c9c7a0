"""A real PostgreSQL server in a folder of its own, which may be killed and started.

The package `pgserver` brings its programs, with pgvector. They are started here and not
by `pgserver`, which may not be asked to run as a user that exists and changes the
permissions of the folders above.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

NOBODY = 65_534  # As root, PostgreSQL does not run.
_PATIENCE = 120.0  # Seconds, of a busy machine.


class UnavailableError(Exception):
    """There are no programs of PostgreSQL that can run here."""


class PostgresServer:
    """A server on a unix socket in a temporary folder, and nowhere else.

    Args:
        password: Whether who connects is asked for `PASSWORD`.

    Raises:
        UnavailableError: If it cannot run here.
    """

    PASSWORD = "s3cret-word"

    def __init__(self, *, password: bool = False) -> None:
        self._programs = _programs()
        self._user = NOBODY if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="dce-pg-"))
        if self._user is not None:
            os.chown(self.folder, self._user, -1)
        self._process: subprocess.Popen[bytes] | None = None
        secret = self.folder / "password"
        secret.write_text(self.PASSWORD)
        secret.chmod(0o644)
        self._call(
            "initdb",
            "--username=postgres",
            f"--auth={'scram-sha-256' if password else 'trust'}",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            f"--pgdata={self.folder / 'data'}",
        )
        self._password = password
        self.start()

    def _call(self, program: str, *words: str) -> None:
        try:
            subprocess.run(
                [self._programs / program, *words],
                user=self._user,
                cwd="/",
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(self.folder)
            said = getattr(error, "stderr", b"") or str(error).encode()
            raise RuntimeError(f"{program}: {said.decode().strip()}") from error

    @property
    def dsn(self) -> str:
        """How its database is reached, without a password."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._begin()
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                # What a killed one left behind is still in use.
                self._begin()
            if time.monotonic() > deadline:
                said = (self.folder / "log").read_text()
                self.kill()
                shutil.rmtree(self.folder, ignore_errors=True)
                raise RuntimeError(said)
            time.sleep(0.05)

    def _begin(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    "-D",
                    self.folder / "data",
                    "-k",
                    self.folder,
                    "-h",
                    "",
                ],
                user=self._user,
                cwd="/",
                stdout=log,
                stderr=log,
            )

    def _answers(self) -> bool:
        secret = self.PASSWORD if self._password else None
        try:
            psycopg.connect(self.dsn, password=secret).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Ends it as a power cut does; those who work for it end by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Ends it and removes what it stored."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # Waits for no client.
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _programs() -> Path:
    # Without an import, which asks for a folder of the user's that servers have not.
    found = importlib.util.find_spec("pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        programs = Path(place) / "pginstall" / "bin"
        if (programs / "postgres").is_file():
            return programs
    raise UnavailableError("the package pgserver is not installed for this platform")
