import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dce_tf.index.embeddings import (
    Header,
    Part,
    check_folder,
    find_parts,
    read_header,
    read_records,
    write_bad,
    write_part,
)

HEADER = Header("f" * 64, 3, image_root="/images", model="run/export/1", parts=1)


def write(folder: Path, part: Part, ids: list, header: Header = HEADER) -> Path:
    path = folder / part.name
    vectors = np.arange(3 * len(ids), dtype=np.float32).reshape(-1, 3) + 1
    write_part(
        path,
        header,
        ids,
        [f"{each}.jpg" for each in ids],
        [None if place else "x" for place in range(len(ids))],
        [{"n": place} for place in range(len(ids))],
        vectors,
    )
    return path


@pytest.mark.parametrize(
    ("ids", "kind"), [(["a", "ü"], pa.string()), ([1, -(2**40)], pa.int64())]
)
def test_records_come_back(tmp_path: Path, ids: list, kind: pa.DataType) -> None:
    write(tmp_path, Part(1, 0, 0), ids)
    header, parts = check_folder(tmp_path)
    assert header == HEADER
    (records,) = read_records(tmp_path, parts)
    assert [each.id for each in records] == ids
    assert [each.label for each in records] == ["x", None]
    assert records[1].path == f"{ids[1]}.jpg"
    assert records[1].metadata == {"n": 1}
    assert records[1].vector.tolist() == [4, 5, 6]


def test_file_is_what_others_are_to_write(tmp_path: Path) -> None:
    path = write(tmp_path, Part(12, 3, 4), ["a"])
    assert path.name == "part-00003-of-00012-000004.parquet"
    schema = pq.read_schema(path)
    assert schema.names == ["id", "path", "label", "metadata", "embedding"]
    assert schema.field("embedding").type == pa.list_(pa.float32(), 3)
    assert schema.field("metadata").type == schema.field("path").type == pa.string()
    assert json.loads(pq.read_table(path)["metadata"][0].as_py()) == {"n": 0}
    assert {
        b"dce_tf.fingerprint": b"f" * 64,
        b"dce_tf.embedding_dim": b"3",
        b"dce_tf.image_root": b"/images",
        b"dce_tf.model": b"run/export/1",
    }.items() <= schema.metadata.items()
    bad = tmp_path / Part(12, 3, 4).bad_name
    write_bad(bad, ["b"], ["b.jpg"], ["empty"])
    assert bad.name == "bad-00003-of-00012-000004.parquet"
    assert pq.read_table(bad).to_pylist() == [
        {"id": "b", "path": "b.jpg", "reason": "empty"}
    ]


def test_file_of_no_image_is_read(tmp_path: Path) -> None:
    write(tmp_path, Part(1, 0, 0), [])
    _, parts = check_folder(tmp_path)
    assert [each for block in read_records(tmp_path, parts) for each in block] == []


def test_parts_are_in_order_and_other_files_left_alone(tmp_path: Path) -> None:
    for shard, number in ((1, 0), (0, 1), (0, 0)):
        write(tmp_path, Part(2, shard, number), [f"{shard}{number}"])
    (tmp_path / "part-of-something.parquet").write_text("")
    (tmp_path / ".tmp-1part-00000-of-00002-000000.parquet").write_text("")
    assert find_parts(tmp_path) == [Part(2, 0, 0), Part(2, 0, 1), Part(2, 1, 0)]


def test_folder_of_another_writer_needs_no_counts(tmp_path: Path) -> None:
    write(tmp_path, Part(1, 0, 0), ["a"], Header("f", 3))
    write(tmp_path, Part(1, 0, 1), ["b"], Header("f", 3))
    assert len(check_folder(tmp_path)[1]) == 2


def test_missing_file_is_named(tmp_path: Path) -> None:
    two = Header("f", 3, parts=2)
    write(tmp_path, Part(2, 0, 0), ["a"], two)
    with pytest.raises(ValueError, match=r"000001\.parquet is missing"):
        check_folder(tmp_path)
    write(tmp_path, Part(2, 0, 1), ["b"], two)
    with pytest.raises(ValueError, match=r"embed` with --shard=1 --num_shards=2"):
        check_folder(tmp_path)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no embeddings"):
        check_folder(tmp_path)
    write(tmp_path, Part(1, 0, 0), ["a"], Header("one", 3))
    write(tmp_path, Part(1, 0, 1), ["b"], Header("two", 3))
    with pytest.raises(ValueError, match=r"fingerprint two, and .* has one"):
        check_folder(tmp_path)
    write(tmp_path, Part(1, 0, 1), ["b"], Header("one", 3, parts=1))
    with pytest.raises(ValueError, match=r"000001\.parquet is left from"):
        check_folder(tmp_path)
    (tmp_path / Part(1, 0, 1).name).unlink()
    write(tmp_path, Part(2, 0, 0), ["b"], Header("one", 3))
    with pytest.raises(ValueError, match="files of 1 and of 2 shards"):
        check_folder(tmp_path)


def test_other_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / Part(1, 0, 0).name
    path.write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        read_header(path)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(ValueError, match=r"found no embedding, dce_tf\.emb"):
        check_folder(tmp_path)
    table = pa.table({"id": ["a"], "embedding": [[1.0]]})
    said = {"dce_tf.fingerprint": "f", "dce_tf.embedding_dim": "1"}
    pq.write_table(table.replace_schema_metadata(said), path)
    with pytest.raises(ValueError, match="embeddings of type list"):
        read_header(path)
