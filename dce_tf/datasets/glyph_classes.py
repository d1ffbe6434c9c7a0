"""Which characters the built-in data set shows, and which of them are one class.

Unicode gives one picture many numbers: Latin A, Greek Alpha and Cyrillic A. As
classes they would be label noise, so pictures, not numbers, decide.
"""

from __future__ import annotations

import collections
import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

MIN_FACES = 4

_REFERENCE_FACE = "DejaVuSans"
_FAMILIES = ("DejaVuSans", "DejaVuSerif", "STIXGeneral")
# Not "So": dingbats, Braille and dominoes differ by less than 48 pixels can show.
_CATEGORIES = frozenset({"Lu", "Ll", "Lo", "Nd", "Nl", "No", "Sm", "Sc"})
_MIN_SCRIPT = 10  # classes; a smaller script is filed as OTHER

# Set by looking at pairs: o and O, A and Alpha are one; E and F, l and t are two.
_SIDE = 40  # pixels of the longer side of a compared picture
_SLACK = 2  # pixels a stroke may lie beside its twin's
_STRAY = 0.02  # share of ink that may lie farther


@dataclasses.dataclass(frozen=True)
class GlyphClass:
    """One class: a character and the typefaces that draw it unmistakably.

    Attributes:
        character: The character, the first by number of those that look alike.
        script: `"NUMBER"`, `"SYMBOL"`, or the first word of a letter's Unicode
            name, e.g. `"LATIN"`; `"OTHER"` where few classes share it.
        faces: Stems of typeface files, sorted, at least `MIN_FACES`.
    """

    character: str
    script: str
    faces: tuple[str, ...]

    @property
    def name(self) -> str:
        """The label, e.g. `"U+0041 A"`."""
        return f"U+{ord(self.character):04X} {self.character}"


def find_faces() -> dict[str, Path]:
    """Returns the typefaces to draw with, by stem, from those matplotlib ships."""
    import matplotlib as mpl  # only a rendering needs it, and it is slow to import

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    files = sorted(folder.glob("*.ttf"))
    return {
        file.stem: file
        for file in files
        if file.stem.startswith(_FAMILIES) and "Display" not in file.stem
    }


def choose_classes() -> list[GlyphClass]:
    """Returns every class of the data set, in the order of the characters."""
    faces = find_faces()
    candidates = _candidates(faces)
    pictures = draw_outlines(faces[_REFERENCE_FACE], list(candidates))
    groups = group_twins(pictures)
    usable = {min(group): candidates[min(group)] for group in groups}
    _drop_ambiguous(usable, faces)
    kept = {c: stems for c, stems in usable.items() if len(stems) >= MIN_FACES}
    scripts = _scripts(kept)
    return [
        GlyphClass(character, scripts[character], tuple(sorted(kept[character])))
        for character in sorted(kept)
    ]


def draw_outlines(
    face: Path, characters: Sequence[str]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Draws characters so that only their shape is left: cropped, then one size.

    Args:
        face: The typeface file.
        characters: What to draw; what leaves no ink is left out of the result.

    Returns:
        Where the ink is, by character, shape `(side, side)`, side in pixels.
    """
    font = ImageFont.truetype(face, 2 * _SIDE, layout_engine=ImageFont.Layout.BASIC)
    side = _SIDE + 2 * _SLACK
    outlines = {}
    for character in characters:
        glyph = draw_glyph(font, character)
        if glyph is None:
            continue
        scale = _SIDE / max(glyph.size)
        width, height = (max(1, round(scale * length)) for length in glyph.size)
        canvas = Image.new("L", (side, side))
        glyph = glyph.resize((width, height), Image.Resampling.BOX)
        canvas.paste(glyph, ((side - width) // 2, (side - height) // 2))
        outlines[character] = np.asarray(canvas) > 127
    return outlines


def draw_glyph(font: ImageFont.FreeTypeFont, character: str) -> Image.Image | None:
    """Returns the character in white on black, cropped to its ink, if it has any."""
    left, top, right, bottom = font.getbbox(character)
    canvas = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), character, fill=255, font=font)
    ink = canvas.getbbox()
    return canvas.crop(ink) if ink else None


def find_twins(pictures: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Finds the pictures that nearly coincide.

    Two do if hardly any ink of either lies far from ink of the other. Unlike a
    count of differing pixels, that forgives another stroke width and still sees
    one added stroke.

    Args:
        pictures: Where the ink is, shape `(num_pictures, side, side)`.

    Returns:
        Pairs i < j, shape `(num_pairs, 2)`.
    """
    ink = pictures.reshape(len(pictures), -1).astype(np.float32)
    widen = ImageFilter.MaxFilter(2 * _SLACK + 1)
    widened = [Image.fromarray(p).convert("L").filter(widen) for p in pictures]
    away = np.asarray(widened).reshape(ink.shape) == 0
    stray = (ink @ away.T.astype(np.float32)) / ink.sum(1, keepdims=True)
    return np.argwhere(np.triu(np.maximum(stray, stray.T) <= _STRAY, k=1))


def group_twins(pictures: Mapping[str, npt.NDArray[np.bool_]]) -> list[list[str]]:
    """Joins characters whose pictures nearly coincide, directly or by a third.

    Args:
        pictures: Where the ink is, by character, as `draw_outlines` returns it.

    Returns:
        Every character once, in groups.
    """
    characters = list(pictures)
    parents = list(range(len(characters)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for i, j in find_twins(np.stack(list(pictures.values()))):
        parents[root(int(j))] = root(int(i))
    groups = collections.defaultdict(list)
    for i, character in enumerate(characters):
        groups[root(i)].append(character)
    return list(groups.values())


def _candidates(faces: dict[str, Path]) -> dict[str, set[str]]:
    """Returns the characters worth a class and the faces that have each."""
    from matplotlib.ft2font import FT2Font

    owners: dict[str, set[str]] = collections.defaultdict(set)
    for stem, file in faces.items():
        for code in FT2Font(str(file)).get_charmap():
            owners[chr(code)].add(stem)
    return {
        character: stems
        for character, stems in sorted(owners.items())
        if _REFERENCE_FACE in stems and len(stems) >= MIN_FACES and _is_plain(character)
    }


def _is_plain(character: str) -> bool:
    """Whether it is a letter, number or symbol that is no variant of another."""
    return (
        unicodedata.category(character) in _CATEGORIES
        and unicodedata.normalize("NFKD", character) == character
        and bool(unicodedata.name(character, ""))
        # Beyond lies Old Italic: Latin again, each stroke a little moved.
        and ord(character) < 0x10000
    )


def _drop_ambiguous(usable: dict[str, set[str]], faces: dict[str, Path]) -> None:
    """Takes a face from the classes that it alone draws alike, or not at all."""
    for stem, file in faces.items():
        owned = [character for character, stems in usable.items() if stem in stems]
        pictures = draw_outlines(file, owned)
        drawn = list(pictures)
        twins = find_twins(np.stack(list(pictures.values())))
        for character in {*owned} - {*drawn} | {drawn[i] for i in twins.ravel()}:
            usable[character].discard(stem)


def _scripts(characters: Iterable[str]) -> dict[str, str]:
    scripts = {character: _script(character) for character in characters}
    sizes = collections.Counter(scripts.values())
    return {c: s if sizes[s] >= _MIN_SCRIPT else "OTHER" for c, s in scripts.items()}


def _script(character: str) -> str:
    kind = unicodedata.category(character)[0]
    if kind == "L":
        return unicodedata.name(character).split()[0]
    return "NUMBER" if kind == "N" else "SYMBOL"
