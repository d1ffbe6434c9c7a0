import pickle
from pathlib import Path

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.base.stores import RemotePath, place_of


def test_path_stays_a_path() -> None:
    assert place_of("a/b.csv") == Path("a/b.csv")


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("s3://bucket/a/b.csv?region=eu-west-1", "bucket/a/b.csv"),
        ("gs://bucket/a/b.csv", "bucket/a/b.csv"),
        ("file:///a/b%20c.csv", "/a/b c.csv"),
    ],
)
def test_address_is_taken_apart_and_put_together(address: str, inside: str) -> None:
    place = place_of(address)
    assert isinstance(place, RemotePath)
    assert (place.path, str(place), place.suffix) == (inside, address, ".csv")
    assert place.parent.path == inside.rpartition("/")[0]
    image = place.parent / "x/1.jpg"
    assert image.path == f"{place.parent.path}/x/1.jpg"
    again = pickle.loads(pickle.dumps(image))
    assert (str(again), again.filesystem) == (str(image), image.filesystem)


def test_file_is_read_and_folder_listed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "ä.txt").write_text("ö", encoding="utf-8")
    folder = place_of(f"file://{tmp_path}/")
    file = folder / "a/b/ä.txt"
    assert file.read_bytes() == "ö".encode()
    assert file.read_text("utf-8") == "ö"
    assert (file.exists(), file.is_file(), file.is_dir()) == (True, True, False)
    assert (folder.is_file(), folder.is_dir()) == (False, True)
    assert not (folder / "none").exists()
    assert folder.files_below() == ["a/b/ä.txt"]
    assert (folder / "a").files_below() == ["b/ä.txt"]
    with pytest.raises(FileNotFoundError):
        (folder / "none").read_bytes()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://host/a.csv", "found an address of http; expected .*s3, gs"),
        ("file://host/a.csv", "cannot be opened"),
        ("s3://KEY:secret@bucket/a.csv", "with a password in it"),
    ],
)
def test_address_that_cannot_be_is_refused(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        place_of(address)
    assert "secret" not in str(caught.value)
