import sys

import pytest

from benchmarks import servers
from benchmarks.postgres_server import PostgresServer


@pytest.mark.slow
def test_upserts_on_one_server_are_seen_by_the_other(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    del postgres_server  # Without one there is nothing to try.
    words = "servers --servers=2 --clients=3 --seconds=0.5 --images=300 --upserts=12"
    monkeypatch.setattr(sys, "argv", words.split())
    monkeypatch.setenv("COLUMNS", "120")
    servers.main()
    said = capsys.readouterr().out
    assert "300 images, 3 clients" in said
    assert said.count("12 of 12") == 2
