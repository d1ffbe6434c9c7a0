import collections
import concurrent.futures
import contextlib
import functools
import itertools
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dce_tf.datasets import glyph_classes, glyph_pictures, glyphs
from dce_tf.datasets.glyph_classes import GlyphClass


@functools.cache
def classes() -> list[GlyphClass]:
    return glyph_classes.choose_classes()


def by_character() -> dict[str, GlyphClass]:
    return {c.character: c for c in classes()}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[GlyphClass]:
    """Makes the reader render only some classes."""
    chosen = [c for c in classes() if c.character in "AEFRahkm"]
    monkeypatch.setattr(glyphs, "choose_classes", lambda: chosen)
    monkeypatch.setattr(glyphs, "NUM_INSTANCES", 3)
    return chosen


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def groups_of(characters: str) -> list[str]:
    face = glyph_classes.find_faces()["DejaVuSans"]
    outlines = glyph_classes.draw_outlines(face, characters)
    return ["".join(group) for group in glyph_classes.group_twins(outlines)]


@pytest.mark.parametrize("twins", ["AΑА", "oοо", "oO", "cCсС", "EΕЕ", "xX×", "∆Δ"])
def test_look_alikes_are_one_class(twins: str) -> None:
    assert groups_of(twins) == [twins]


@pytest.mark.parametrize(
    "others", ["EF", "lt", "OQ", "ceo", "PR", "6b", "CG", "ij", "ΑΛ", "ШЩ", "+×"]
)
def test_characters_that_differ_stay_apart(others: str) -> None:
    assert sorted(groups_of(others)) == sorted(others)


@pytest.mark.slow
def test_there_are_over_a_thousand_classes_of_many_scripts() -> None:
    assert len(classes()) > 1_000
    scripts = collections.Counter(c.script for c in classes())
    assert min(scripts.values()) >= 10
    letters = {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC"}
    assert letters | {"CANADIAN", "LAO", "NUMBER", "SYMBOL"} <= set(scripts)


def test_classes_are_named_by_code_and_character() -> None:
    assert by_character()["A"].name == "U+0041 A"
    assert len({c.name for c in classes()}) == len(classes())
    assert all(unicodedata.category(c.character)[0] in "LNS" for c in classes())
    assert not any("OLD ITALIC" in unicodedata.name(c.character) for c in classes())


@pytest.mark.slow
def test_no_typeface_draws_a_class_like_another_one() -> None:
    for stem, file in glyph_classes.find_faces().items():
        owned = [c.character for c in classes() if stem in c.faces]
        outlines = glyph_classes.draw_outlines(file, owned)
        assert len(outlines) == len(owned)
        assert not len(glyph_classes.find_twins(np.stack(list(outlines.values()))))


def test_no_class_is_the_box_of_a_missing_character() -> None:
    private = chr(0x10FFFD)
    for stem, file in glyph_classes.find_faces().items():
        owned = [c.character for c in classes() if stem in c.faces]
        outlines = glyph_classes.draw_outlines(file, [*owned, private])
        box = outlines.pop(private, None)
        assert box is None or not any(
            np.array_equal(box, outline) for outline in outlines.values()
        )


def test_typefaces_are_text_faces_of_three_families() -> None:
    stems = {*glyph_classes.find_faces()}
    assert {"DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral"} <= stems
    assert (
        not {"DejaVuSansDisplay", "DejaVuSerifDisplay", "STIXNonUni", "cmr10"} & stems
    )
    assert not any(stem.startswith("LastResort") for stem in stems)


def test_every_class_has_four_typefaces() -> None:
    assert min(len(set(c.faces)) for c in classes()) >= 4
    assert {face for c in classes() for face in c.faces} == {
        *glyph_classes.find_faces()
    }


def test_splits_halve_every_script() -> None:
    splits = glyphs.assign_splits(classes())
    halves = collections.Counter((c.script, splits[c.name]) for c in classes())
    for script in {c.script for c in classes()}:
        assert abs(halves[script, "train"] - halves[script, "test"]) <= 1
    assert abs(sum(v == "train" for v in splits.values()) * 2 - len(classes())) <= 1
    assert splits == glyphs.assign_splits(classes())


def test_instances_take_turns_at_the_typefaces() -> None:
    glyph_class = by_character()["A"]
    fonts = glyph_pictures.load_fonts(glyph_classes.find_faces())
    drawn: list[str] = []

    class Recorder(dict):  # type: ignore[type-arg]
        def __getitem__(self, key: str) -> object:
            drawn.append(key)
            return super().__getitem__(key)

    num_faces = len(glyph_class.faces)
    list(glyph_pictures.draw_instances(glyph_class, num_faces, Recorder(fonts)))
    assert sorted(drawn) == list(glyph_class.faces)


def test_instances_differ_and_are_not_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyph_pictures, "_soil", lambda glyph, _: glyph)
    fonts = glyph_pictures.load_fonts(glyph_classes.find_faces())
    for glyph_class in classes()[::25]:
        pictures = [
            np.asarray(picture)
            for picture in glyph_pictures.draw_instances(glyph_class, 6, fonts)
        ]
        for one, other in itertools.combinations(pictures, 2):
            assert not np.array_equal(one, other)
        for picture in pictures:
            assert picture.shape == (48, 48)
            assert picture.max() > 100
            edge = np.concatenate(
                [picture[[0, -1]].ravel(), picture[:, [0, -1]].ravel()]
            )
            assert edge.max() == 0


def test_class_that_its_typeface_cannot_draw_is_refused() -> None:
    fonts = glyph_pictures.load_fonts(glyph_classes.find_faces())
    blank = GlyphClass(" ", "OTHER", ("DejaVuSans",))
    with pytest.raises(ValueError, match=r"DejaVuSans draws nothing for U\+0020"):
        list(glyph_pictures.draw_instances(blank, 1, fonts))


def test_first_read_renders_and_says_so_and_the_second_reuses(
    tmp_path: Path, few: list[GlyphClass], capsys: pytest.CaptureFixture[str]
) -> None:
    splits = glyphs.read_glyphs(str(tmp_path))
    folder = tmp_path / f"glyphs-{glyphs.VERSION}"
    assert capsys.readouterr().err == f"Rendering glyphs into {folder} …\n"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert len(splits.train) + len(splits.query) == 3 * len(few)
    assert splits.leave_one_out
    assert splits.recall_at == (1, 2, 4, 8)
    assert splits.warnings == ()
    names = {*splits.train.class_names, *splits.query.class_names}
    assert names == {c.name for c in few}
    for path in (*splits.train.paths, *splits.query.paths):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (48, 48))

    before = (folder / "index.csv").stat().st_mtime_ns
    assert glyphs.read_glyphs(str(tmp_path)).train.paths == splits.train.paths
    assert (folder / "index.csv").stat().st_mtime_ns == before
    assert capsys.readouterr().err == ""


def test_rendering_is_deterministic(tmp_path: Path, few: list[GlyphClass]) -> None:
    glyphs.render(tmp_path / "one", few, 3)
    glyphs.render(tmp_path / "two", few, 3)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "index.csv").write_text("path,label,split\n"),
        lambda folder: (folder / "index.csv").unlink(),
        lambda folder: next(folder.rglob("*.png")).unlink(),
        lambda folder: next(folder.rglob("*.png")).write_bytes(b"cut"),
    ],
)
def test_damaged_rendering_is_replaced(
    tmp_path: Path, few: list[GlyphClass], damage: object
) -> None:
    glyphs.read_glyphs(str(tmp_path))
    folder = tmp_path / f"glyphs-{glyphs.VERSION}"
    whole = contents(folder)
    damage(folder)  # type: ignore[operator]
    assert not glyphs.is_complete(folder)
    glyphs.read_glyphs(str(tmp_path))
    assert contents(folder) == whole
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_two_may_render_at_once(tmp_path: Path, few: list[GlyphClass]) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(glyphs.read_glyphs, str(tmp_path)) for _ in range(4)]:
            assert len(job.result().train) == 3 * len(few) // 2
    assert [p.name for p in tmp_path.iterdir()] == [f"glyphs-{glyphs.VERSION}"]


@pytest.mark.parametrize("other_won", [True, False])
def test_losing_the_race_is_fine_only_if_the_other_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_won: bool
) -> None:
    answers = iter([False, other_won])
    monkeypatch.setattr(glyphs, "is_complete", lambda _: next(answers))
    expected = (
        contextlib.nullcontext() if other_won else pytest.raises(FileNotFoundError)
    )
    with expected:
        glyphs._put_in_place(tmp_path / "gone", tmp_path / "glyphs", tmp_path / "stale")


def test_failed_rendering_leaves_nothing(
    tmp_path: Path, few: list[GlyphClass], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("stopped")

    monkeypatch.setattr(glyphs, "draw_instances", fail)
    with pytest.raises(RuntimeError, match="stopped"):
        glyphs.read_glyphs(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_named(
    tmp_path: Path, few: list[GlyphClass]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file/glyphs-\d+: cannot be written.*--data"):
        glyphs.read_glyphs(str(tmp_path / "file"))


@pytest.mark.parametrize("data_dir", [None, ""])
def test_default_folder_is_the_users_cache(
    tmp_path: Path,
    few: list[GlyphClass],
    monkeypatch: pytest.MonkeyPatch,
    data_dir: str | None,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = Path(glyphs.read_glyphs(data_dir).train.paths[0])
    assert path.is_relative_to(tmp_path / "cache" / "dce_tf")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    path = Path(glyphs.read_glyphs(data_dir).train.paths[0])
    assert path.is_relative_to(tmp_path / "home" / ".cache" / "dce_tf")
