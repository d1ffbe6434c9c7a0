import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image
from rich.console import Console

from dce_tf.base.stores import place_of
from dce_tf.embedding.image_list import Input, Inputs, of_folder
from dce_tf.embedding.job import Job, Outcome, embed, embed_here, remove_old
from dce_tf.export.served import ServedModel
from dce_tf.index.embeddings import check_folder, read_header, read_records, write_bad
from dce_tf.reports.display import Display
from tests import fakes
from tests.saved_models import write_saved_model
from tests.waiting import until

NUMBER = 23


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    version = write_saved_model(tmp_path_factory.mktemp("export") / "1")
    return ServedModel(version, batch_size=4)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    rng = np.random.default_rng(0)
    for number in range(NUMBER):
        fakes.write_image(folder / f"{number:02d}.png", number, rng, 24)
    return folder


@pytest.fixture
def job(model: ServedModel, images: Path, tmp_path: Path) -> Job:
    inputs = of_folder(images)
    labelled = [
        dataclasses.replace(each, label=f"c{place % 3}", metadata={"n": place})
        for place, each in enumerate(inputs.images)
    ]
    inputs = Inputs(inputs.root, labelled)
    return Job(model, inputs, tmp_path / "out", part_size=10, max_bad_images=0.5)


def run(job: Job, **changes: object) -> Outcome:
    job = dataclasses.replace(job, **changes)
    return embed(job, Display(Console(quiet=True)))


def records(folder: Path) -> list:
    _, parts = check_folder(folder)
    return [each for block in read_records(folder, parts) for each in block]


def test_embeddings_are_those_of_the_model(job: Job, images: Path) -> None:
    outcome = run(job)
    assert (outcome.images, outcome.bad, outcome.kept) == (NUMBER, 0, 0)
    names = sorted(path.name for path in job.folder.iterdir())
    assert names == [f"part-00000-of-00001-00000{n}.parquet" for n in range(3)]
    found = records(job.folder)
    assert [each.id for each in found] == [each.id for each in job.inputs.images]
    for each, given in zip(found, job.inputs.images, strict=True):
        expected = job.model.embed([(images / given.path).read_bytes()])[0]
        np.testing.assert_allclose(each.vector, expected, atol=1e-6)
        assert (each.path, each.label) == (given.path, given.label)
        assert each.metadata == given.metadata
    header = read_header(job.folder / names[0])
    assert header.fingerprint == job.model.fingerprint
    assert header.model == str(job.model.folder)
    assert header.image_root == str(images)
    assert (header.embedding_dim, header.parts) == (3, 3)


def test_shards_together_are_the_whole(job: Job, tmp_path: Path) -> None:
    run(job)
    other = tmp_path / "shards"
    for shard in (2, 0, 1):
        run(job, folder=other, shard=shard, num_shards=3, part_size=5)
    assert [each.id for each in records(other)] == [
        each.id for each in records(job.folder)
    ]
    with pytest.raises(ValueError, match="is of 3 shards; this job is one of --num_sh"):
        run(job, folder=other, shard=1, num_shards=2)


def test_more_shards_than_images_leave_empty_files(job: Job, tmp_path: Path) -> None:
    few = Inputs(job.inputs.root, job.inputs.images[:2])
    for shard in range(4):
        run(job, inputs=few, shard=shard, num_shards=4)
    assert len(records(job.folder)) == 2


def spoil(images: Path) -> dict[str, str]:
    (images / "03.png").write_bytes(b"no image at all")
    (images / "04.png").write_bytes(b"")
    (images / "05.png").unlink()
    content = (images / "11.png").read_bytes()
    (images / "11.png").write_bytes(content[:400])
    Image.new("RGB", (600, 600)).save(images / "22.png")
    return {
        "03.png": "not an image",
        "04.png": "not an image",
        "05.png": "no such file",
        "11.png": "PNG",
        "22.png": "pixels are more than",
    }


def test_broken_images_are_listed_and_cost_no_other(job: Job, images: Path) -> None:
    reasons = spoil(images)
    outcome = run(job, max_image_pixels=100_000)
    assert outcome.bad == 5
    assert {each.id for each in records(job.folder)} == {
        each.id for each in job.inputs.images
    } - set(reasons)
    bad = [
        row
        for path in sorted(job.folder.glob("bad-*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert [row["path"] for row in bad] == sorted(reasons)
    for row in bad:
        assert row["id"] == row["path"]
        assert reasons[row["path"]] in row["reason"]
    for each in records(job.folder):
        expected = job.model.embed([(images / each.path).read_bytes()])[0]
        np.testing.assert_allclose(each.vector, expected, atol=1e-6)


def test_images_of_a_store_are_read_and_judged_alike(
    job: Job, images: Path, tmp_path: Path
) -> None:
    spoil(images)
    run(job, max_image_pixels=100_000)
    there = Inputs(place_of(f"file://{images}"), job.inputs.images)
    other = tmp_path / "other"
    run(job, inputs=there, folder=other, max_image_pixels=100_000)
    for path in job.folder.iterdir():
        ours, theirs = pq.read_table(path), pq.read_table(other / path.name)
        assert ours.equals(theirs)
    header = read_header(next(other.glob("part-*")))
    assert header.image_root == f"file://{images}"


def test_store_that_fails_is_no_bad_image(job: Job, images: Path) -> None:
    (images / "07.png").unlink()
    (images / "07.png").mkdir()
    there = Inputs(place_of(f"file://{images}"), job.inputs.images)
    with pytest.raises(OSError, match=r"07\.png' is a directory"):
        run(job, inputs=there)


def test_too_many_broken_images_stop_it(job: Job, images: Path) -> None:
    spoil(images)
    with pytest.raises(ValueError, match=r"3 of 23 images .*max_bad_images=0\.1 .*03"):
        run(job, max_bad_images=0.1)
    # All is done but the parts after; a higher limit goes on.
    assert run(job).kept == 10


def test_broken_folder_of_images_is_all_bad(job: Job, images: Path) -> None:
    for path in images.iterdir():
        path.write_bytes(b"x")
    assert run(job, max_bad_images=1.0).bad == NUMBER
    assert records(job.folder) == []


def test_embedding_that_is_not_finite_is_bad(job: Job, monkeypatch) -> None:
    plain = job.model.embed

    def sick(contents):
        found = plain(contents).copy()
        found[0] = np.nan
        return found

    monkeypatch.setattr(job.model, "embed", sick)
    assert run(job).bad == 7
    (bad, *_) = sorted(job.folder.glob("bad-*"))
    assert "no finite" in pq.read_table(bad)["reason"][0].as_py()


def test_errors_of_the_machine_are_no_bad_images(job: Job, monkeypatch) -> None:
    def exhausted(contents):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    job.model.embedding_dim  # noqa: B018  known before
    monkeypatch.setattr(job.model, "embed", exhausted)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        run(job)
    assert not list(job.folder.glob("*.parquet"))


def test_what_is_there_is_kept(job: Job, monkeypatch) -> None:
    run(job)
    (job.folder / "part-00000-of-00001-000001.parquet").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in job.folder.iterdir()}
    outcome = run(job)
    assert outcome.kept == 13
    after = {path.name: path.stat().st_mtime_ns for path in job.folder.iterdir()}
    assert len(after) == 3
    assert before.items() <= after.items()


def test_engine_may_give_parts_in_any_order(job: Job, tmp_path: Path) -> None:
    def backwards(job, numbers, told):
        yield from embed_here(job, numbers[::-1], told)

    run(job)
    other = dataclasses.replace(job, folder=tmp_path / "other")
    embed(other, Display(quiet=True), backwards)
    for path in job.folder.iterdir():
        assert path.read_bytes() == (other.folder / path.name).read_bytes()


def test_other_images_are_embedded_anew(job: Job) -> None:
    run(job)
    changed = [*job.inputs.images[:12], Input("new", "00.png")]
    outcome = run(job, inputs=Inputs(job.inputs.root, changed))
    assert outcome.kept == 0  # One file less: each says how many there are.
    assert [each.id for each in records(job.folder)] == [each.id for each in changed]


def test_other_model_is_refused(job: Job, tmp_path: Path) -> None:
    run(job)
    other = ServedModel(write_saved_model(tmp_path / "2", shift=1.0))
    with pytest.raises(
        ValueError, match=f"{job.model.fingerprint}; this one is {other.fingerprint}"
    ):
        run(job, model=other)


def test_interrupted_embedding_of_other_images_does_not_pass_as_whole(
    job: Job,
) -> None:
    def stopped(job, numbers, told):
        yield next(iter(embed_here(job, numbers, told)))
        raise KeyboardInterrupt

    run(job)
    changed = [Input(f"new {each.id}", each.path) for each in job.inputs.images]
    other = dataclasses.replace(job, inputs=Inputs(job.inputs.root, changed))
    with pytest.raises(KeyboardInterrupt) as stop:
        embed(other, Display(quiet=True), stopped)
    assert "the same command makes the others" in stop.value.__notes__[0]
    with pytest.raises(ValueError, match="not all was embedded"):
        check_folder(job.folder)
    assert run(other).kept == 10
    assert [each.id for each in records(job.folder)] == [each.id for each in changed]


def test_interrupted_embedding_of_a_shorter_list_leaves_no_old_file(job: Job) -> None:
    def stopped(job, numbers, told):
        yield from embed_here(job, numbers, told)
        raise KeyboardInterrupt

    run(job)
    fewer = Inputs(job.inputs.root, job.inputs.images[3:])
    with pytest.raises(KeyboardInterrupt):
        embed(dataclasses.replace(job, inputs=fewer), Display(quiet=True), stopped)
    assert [each.id for each in records(job.folder)] == [
        each.id for each in fewer.images
    ]


def test_old_files_are_removed_and_nothing_else(job: Job, tmp_path: Path) -> None:
    other_model = ServedModel(write_saved_model(tmp_path / "2", shift=1.0))
    for shard in range(3):
        run(job, shard=shard, num_shards=3, part_size=100)
    run(job, model=other_model, folder=tmp_path / "theirs", shard=2, num_shards=3)
    theirs = next((tmp_path / "theirs").iterdir())
    stale = ("bad-00000-of-00004-000000.parquet", "bad-00001-of-00003-000007.parquet")
    for name in stale:
        write_bad(job.folder / name, ["x"], ["x"], ["no image"])
    theirs.rename(job.folder / theirs.name)
    (job.folder / "part-00003-of-00003-000000.parquet").write_text("half a file")
    for name in ("holiday.jpg", "part-of-a-novel.parquet", "sub/one.jpg"):
        (job.folder / name).parent.mkdir(exist_ok=True)
        (job.folder / name).write_text("dear")
    remove_old(dataclasses.replace(job, shard=1, num_shards=3))
    assert sorted(path.name for path in job.folder.iterdir()) == [
        "holiday.jpg",
        "part-00000-of-00003-000000.parquet",
        "part-of-a-novel.parquet",
        "sub",
    ]


JOB = """
import sys
from pathlib import Path
from dce_tf.export.served import ServedModel
from dce_tf.base.stores import place_of
from dce_tf.embedding.job import Job, embed
from dce_tf.embedding.image_list import of_folder
from dce_tf.reports.display import Display
model = ServedModel(Path(sys.argv[1]), batch_size=2)
print("ready", flush=True)
inputs = of_folder(Path(sys.argv[2]))
embed(Job(model, inputs, Path(sys.argv[3]), part_size=2), Display())
"""


@pytest.mark.slow
def test_kill_costs_no_file_that_was_written(job: Job, images: Path) -> None:
    for number in range(200):
        os.link(images / "00.png", images / f"more-{number:03d}.png")
    words = [str(job.model.folder), str(images), str(job.folder)]
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, *words],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline() == b"ready\n"
    until(lambda: len(list(job.folder.glob("part-*.parquet"))) >= 9)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    written = len(list(job.folder.glob("part-*.parquet")))
    outcome = run(job, inputs=of_folder(images), part_size=2)
    assert outcome.kept >= 2 * written - 1
    assert outcome.kept < NUMBER + 200
    assert len(records(job.folder)) == NUMBER + 200
