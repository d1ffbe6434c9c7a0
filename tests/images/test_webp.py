import io

import pytest
from PIL import Image

from dce_tf.images.webp import announce_alpha


def webp(mode: str, frames: int) -> bytes:
    """Noise whose frames differ in every pixel, as one that stays is saved as clear."""
    noise = [Image.effect_noise((9, 7), 90) for _ in range(frames)]
    first, *others = (
        image.point(lambda value, k=k: value // 4 + 64 * k).convert(mode)
        for k, image in enumerate(noise)
    )
    buffer = io.BytesIO()
    first.save(buffer, "WEBP", save_all=frames > 1, append_images=others, lossless=True)
    return buffer.getvalue()


def test_only_the_flag_of_an_animation_without_alpha_changes() -> None:
    data = webp("RGB", 2)
    safe = announce_alpha(data)
    assert data[20] & 0x12 == 0x02
    assert safe[20] == data[20] | 0x10
    assert safe[:20] + safe[21:] == data[:20] + data[21:]
    assert announce_alpha(safe) is safe


@pytest.mark.parametrize(
    "data",
    [
        webp("RGB", 1),
        webp("RGBA", 1),
        b"",
        b"RIFF",
        webp("RGB", 2)[:20],
        b"RIFX" + webp("RGB", 2)[4:],
        b"an ordinary text of more than twenty bytes",
    ],
)
def test_other_files_stay_as_they_are(data: bytes) -> None:
    assert announce_alpha(data) is data
