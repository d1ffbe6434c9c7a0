"""From images to neighbours, by the commands embed, index and search."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

# Here and not first within a test: it closes all handlers of logs, absl's with their
# stream, which is pytest's while it captures.
import pymilvus  # noqa: F401
import pytest
from PIL import Image

from dce_tf import cli
from dce_tf.commands.index import _source_of
from dce_tf.config import Config
from dce_tf.index import open_collection
from dce_tf.record.run_directory import RunDirectory
from tests import fakes
from tests.saved_models import write_saved_model


def call(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    code = cli.main([*map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def succeed(capsys: pytest.CaptureFixture, *words: object) -> str:
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    return out


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_saved_model(tmp_path_factory.mktemp("model") / "export" / "1")


def make_run(root: Path, version: Path) -> RunDirectory:
    """A run whose data has queries of the gallery's classes."""
    data = root / "data"
    fakes.write_csv(data, 5, 4, splits=("train", "query", "gallery"))
    directory = RunDirectory(root / "run")
    directory.prepare(Config(dataset="csv", data_dir=str(data)))
    directory.export.symlink_to(version.parent)
    return directory


@pytest.fixture
def run(version: Path, tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path, version)


def test_a_run_is_searched_in_three_commands(
    run: RunDirectory, version: Path, capsys
) -> None:
    out = succeed(capsys, "embed", run.path)
    assert "20 images embedded" in out
    assert f"python main.py index {run.path}/embeddings" in out
    out = succeed(capsys, "index", run.path / "embeddings")
    assert "20 images, exact" in out
    assert f"python main.py search {run.path}/index PHOTO.jpg" in out
    served = version.resolve()
    assert f"python main.py serve {served} --index={run.path}/index\n" in out
    data = run.path.parent / "data"
    query = sorted((data / "images" / "query").rglob("*.jpg"))[0]
    gallery = sorted((data / "images" / "gallery").rglob("*.jpg"))[0]
    sheet = run.path / "sheet.png"
    words = ["-k", 3, f"--sheet={sheet}"]
    out = succeed(capsys, "search", run.path / "index", query, gallery, *words)
    for text in ("1.0000", "label", str(query), "split=gallery"):
        assert text in out
    with Image.open(sheet) as image:
        assert image.size > (400, 300)
    out = succeed(capsys, "search", run.path / "index", f"--images={gallery}", "--json")
    (found,) = json.loads(out)
    assert found["image"] == str(gallery)
    assert len(found["hits"]) == 10
    best = found["hits"][0]
    assert best["id"] == str(gallery.relative_to(data))
    assert best["score"] == pytest.approx(1)
    assert best["metadata"] == {"split": "gallery"}
    drawn = open_collection(str(run.path / "index"), read_only=True).map()
    assert len(drawn["points"]) == 20


@pytest.mark.slow
def test_matches_are_explained_on_a_sheet(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "model" / "export" / "1"
    earlier = tmp_path / "earlier"
    write_saved_model(version, explains=True)
    for folder in (version, write_saved_model(earlier)):
        (folder / "assets.extra").mkdir()
        card = json.dumps({"fingerprint": "ab" * 32})
        (folder / "assets.extra" / "model_card.json").write_text(card)
    run = make_run(tmp_path, version)
    succeed(capsys, "embed", run.path)
    succeed(capsys, "index", run.path / "embeddings", "--map=none")
    photo = next((tmp_path / "data" / "images" / "query").rglob("*.jpg"))
    monkeypatch.chdir(tmp_path)
    words = ["search", run.path / "index", photo, "-k=2"]
    assert "Written: explained.png" in succeed(capsys, *words, "--explain")
    with Image.open("explained.png") as sheet:
        assert sheet.width > sheet.height
        explained = np.asarray(sheet.convert("RGB")).astype(int)
    reds = np.count_nonzero(explained[..., 0] - explained[..., 2] > 120)
    succeed(capsys, *words, "--sheet=plain.png")
    with Image.open("plain.png") as sheet:
        plain = np.asarray(sheet.convert("RGB")).astype(int)
    assert reds > np.count_nonzero(plain[..., 0] - plain[..., 2] > 120)
    assert "Written: mine.png" in succeed(
        capsys, *words, "--explain", "--sheet=mine.png"
    )
    code, _, err = call(capsys, *words, "--explain", f"--run={earlier}")
    assert code == 2
    assert "Export it again" in err


def test_filter_and_split(run: RunDirectory, capsys) -> None:
    succeed(capsys, "embed", run.path, "--split=all", "--shard=1", "--num_shards=2")
    code, _, err = call(capsys, "index", run.path / "embeddings")
    assert code == 1
    assert "embed` with --shard=0 --num_shards=2" in err
    succeed(capsys, "embed", run.path, "--split=all", "--num_shards=2")
    words = ["--name=mine", "--map=none", "--kind=hnsw(ef=16)"]
    assert "60 images, hnsw(ef=16)" in succeed(
        capsys, "index", run.path / "embeddings", *words
    )
    photo = next((run.path.parent / "data").rglob("*.jpg"))
    asked = '--filter={"split": {"$in": ["train", "query"]}}'
    words = [photo, "-k=100", "--json", asked]
    (found,) = json.loads(succeed(capsys, "search", run.path / "index", *words))
    assert len(found["hits"]) == 40
    opened = open_collection(str(run.path / "index"), read_only=True)
    assert opened.describe()["name"] == "mine"
    assert opened.map() is None
    opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("home", ["milvus", "postgres"])
def test_list_of_ones_own_goes_all_the_way_to_a_server(
    home: str, version: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys
) -> None:
    if home == "milvus":
        given = shown = f"{tmp_path}/m.db"
    else:
        shown = request.getfixturevalue("postgres_server").dsn
        given = shown.replace("postgres@", "postgres:s3cret@")
    rng = np.random.default_rng(0)
    lines = ["id,path,label,price"]
    for number in range(8):
        fakes.write_image(tmp_path / f"{number}.jpg", number, rng, 32)
        lines.append(f"{100 + number},{number}.jpg,c{number % 2},{number}.5")
    (tmp_path / "broken.jpg").write_text("no image")
    lines.append("200,broken.jpg,c0,9")
    listing = tmp_path / "list.csv"
    listing.write_text("\n".join(lines))
    out = tmp_path / "embeddings"
    words = [f"--images={listing}", f"--output_dir={out}", "--number_ids"]
    code, _, err = call(capsys, "embed", version, *words)
    assert code == 1
    assert "broken.jpg (not an image" in err
    said = succeed(capsys, "embed", version, *words, "--max_bad_images=0.2")
    assert "1 cannot be read" in said
    (bad,) = out.glob("bad-*.parquet")
    assert pq.read_table(bad)["id"].to_pylist() == [200]
    said = succeed(capsys, "index", out, f"--{home}={given}", "--name=goods")
    assert "8 images, " in said
    assert f"search '{home}:{shown}#goods' PHOTO.jpg" in said.replace("\n", " ")
    where = f"{home}:{given}#goods"
    words = [where, tmp_path / "3.jpg", '--filter={"price": {"$lt": 4}}', "--json"]
    (found,) = json.loads(succeed(capsys, "search", *words))
    assert len(found["hits"]) == 4
    assert found["hits"][0]["id"] == 103
    assert found["hits"][0]["metadata"] == {"price": 3.5}


def index(run: RunDirectory) -> RunDirectory:
    assert cli.main(["embed", str(run.path)]) == 0
    assert cli.main(["index", str(run.path / "embeddings")]) == 0
    return run


@pytest.fixture
def indexed(run: RunDirectory, capsys) -> RunDirectory:
    index(run)
    capsys.readouterr()
    return run


@pytest.fixture(scope="module")
def kept(version: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with an index, not to be changed."""
    return index(make_run(tmp_path_factory.mktemp("kept"), version))


@pytest.mark.slow
def test_other_model_is_refused_with_both_fingerprints(
    indexed: RunDirectory, tmp_path: Path, capsys
) -> None:
    other = write_saved_model(tmp_path / "other" / "1", shift=3.0)
    photo = next((tmp_path / "data").rglob("*.jpg"))
    words = [indexed.path / "index", photo, f"--run={other}"]
    code, _, err = call(capsys, "search", *words)
    assert code == 1
    assert len(set(re.findall(r"\b[0-9a-f]{64}\b", err))) == 2
    code, _, err = call(
        capsys,
        "embed",
        other,
        f"--images={photo.parent}",
        f"--output_dir={indexed.embeddings}",
    )
    assert code == 1
    assert "Use another --output_dir, or --overwrite" in err
    words = [other, f"--images={photo.parent}", f"--output_dir={indexed.embeddings}"]
    holiday = indexed.embeddings / "holiday.jpg"
    holiday.write_text("dear")
    succeed(capsys, "embed", *words, "--overwrite")
    assert holiday.is_file()
    code, _, err = call(capsys, "index", indexed.embeddings)
    assert code == 2
    assert "Pass --overwrite" in err
    succeed(capsys, "index", indexed.embeddings, "--overwrite")
    succeed(capsys, "search", indexed.path / "index", photo, f"--run={other.parent}")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["embed", "RUN", "--shard=2", "--num_shards=2"], 2, "--shard=2: expected one"),
        (["embed", "RUN", "--images=none"], 2, "--images=none: there is no such"),
        (["embed", "RUN", "--images=.", "--split=val"], 2, "do not go together"),
        (["embed", "RUN", "--split=val"], 2, "--split=val: the data set has no"),
        (["embed", "RUN/export/1"], 2, "Pass --output_dir"),
        (["embed", "RUN/export/1", "--output_dir=x"], 2, "What is to be embedded?"),
        (["embed", "RUN/plots"], 1, "expected a run directory, a folder of versions"),
        (["embed"], 2, "Expected one run directory"),
        (["index"], 2, "Expected one folder of embeddings"),
        (["index", "RUN"], 1, "holds no embeddings"),
        (["index", "RUN/embeddings"], 2, "holds an index already"),
        (["index", "RUN/embeddings", "--kind=hnws"], 2, "Did you mean 'hnsw'"),
        (["index", "RUN/embeddings", "--map=umap"], 2, "umap"),
        (["index", "RUN/embeddings", "--milvus=x.db"], 2, "Pass --name"),
        (
            ["index", "RUN/embeddings", "--milvus=x.db", "--output_dir=y"],
            2,
            "do not go together",
        ),
        (["index", "RUN/embeddings", "--postgres=host=h"], 2, "Pass --name"),
        (
            ["index", "RUN/embeddings", "--postgres=host=h", "--milvus=x.db"],
            2,
            "--milvus and --postgres do not go together",
        ),
        (
            ["search", "postgres:host=/none dbname=x#t", "PHOTO"],
            1,
            "postgres:host=/none dbname=x#t cannot be reached",
        ),
        (["search", "postgres:host=/none", "PHOTO"], 2, "expected postgres:DSN#NAME"),
        (["search", "RUN/index"], 2, "Expected an index and image files"),
        (["search"], 2, "Expected an index and image files"),
        (["search", "RUN", "PHOTO"], 1, "is no index"),
        (["search", "RUN/index", "none.jpg"], 1, "none.jpg: no such file"),
        (
            ["search", "RUN/index", "PHOTO", "--filter={"],
            2,
            "--filter={: expected JSON",
        ),
        (["search", "RUN/index", "PHOTO", "--filter=[]"], 1, "expected a JSON object"),
        (["search", "RUN/index", "PHOTO", "-k=0"], 2, "k"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_named(
    kept: RunDirectory, capsys, words: list[str], code: int, message: str
) -> None:
    photo = str(next((kept.path.parent / "data").rglob("*.jpg")))
    words = [w.replace("RUN", str(kept.path)).replace("PHOTO", photo) for w in words]
    found, _, err = call(capsys, *words)
    assert message in err
    assert found == code


def test_model_that_has_moved_is_asked_for(
    indexed: RunDirectory, version: Path, capsys
) -> None:
    manifest = indexed.path / "index" / "manifest.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "model": "/nowhere/export/1"}))
    photo = next((indexed.path.parent / "data").rglob("*.jpg"))
    code, _, err = call(capsys, "search", indexed.path / "index", photo)
    assert code == 2
    assert "not at /nowhere/export/1. Pass --run" in err
    succeed(capsys, "search", indexed.path / "index", photo, f"--run={version}")


def test_what_is_served_is_the_run_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "my run" / "export" / "1"
    assert _source_of(str(model)) == str(model)
    model.mkdir(parents=True)
    (tmp_path / "my run" / "config.json").touch()
    assert _source_of(str(model)) == f"{tmp_path}/my run"
    monkeypatch.chdir(tmp_path)
    assert _source_of(str(model)) == "my run"
    assert _source_of("") == "MODEL"
