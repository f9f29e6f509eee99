"""Pictures from strangers: every kind that a screenshot may be comes out as RGB, and nothing else comes out at all."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.picture import MAX_BYTES, open_picture, read_picture

Image = pytest.importorskip("PIL.Image", reason="no Pillow: pip install 'axl[vision]'")
ImageOps = pytest.importorskip("PIL.ImageOps")
COLOURS = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def saved(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_size(width: int, height: int, colour: int = 2) -> bytes:
    """A PNG that says it has so many pixels, all black, in a few bytes a megapixel."""
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    row = b"\0" * (1 + width * 3)
    packer = zlib.compressobj(9)
    rows = b"".join(
        [packer.compress(row * 64) for _ in range(height // 64 if width * height < 1 << 26 else 1)] + [packer.flush()]
    )
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_plain_pictures_come_out_as_they_are(kind: str) -> None:
    content = saved(Image.fromarray(COLOURS), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.array_equal(open_picture(content), COLOURS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_turned_back(orientation: int) -> None:
    image = Image.fromarray(COLOURS)
    notes = image.getexif()
    notes[0x0112] = orientation
    content = saved(image, exif=notes)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert np.array_equal(open_picture(content), expected)


def test_transparent_parts_lie_on_white() -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4, 3] = 255
    seen = open_picture(saved(Image.fromarray(pixels, "RGBA")))
    assert (seen[:, :4] == 0).all()
    assert (seen[:, 4:] == 255).all()


def test_sixteen_bits_become_eight() -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    seen = open_picture(saved(Image.fromarray(ramp)))
    assert np.abs(seen[..., 0].astype(int) - (ramp // 257).astype(int)).max() <= 1


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "LA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    seen = open_picture(saved(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert seen.shape == (40, 60, 3)
    assert seen.dtype == np.uint8
    assert seen.std() > 20


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.fromarray(np.full((10, 10, 3), value, np.uint8)) for value in (10, 200, 90)]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert abs(int(open_picture(content).mean()) - 10) < 3


@pytest.mark.parametrize("size", [(900, 700), (3000, 2000), (40, 5000)])
def test_large_pictures_come_out_smaller_but_not_small(size: tuple[int, int]) -> None:
    seen = open_picture(saved(Image.new("RGB", size, (9, 8, 7))), longest=512)
    longer = max(seen.shape[:2])
    assert longer == max(size) or 512 <= longer <= 2 * 512
    assert (seen == (9, 8, 7)).all()


@pytest.mark.parametrize("size", [(60_000, 60_000), (16_000, 16_000), (4_000_000_000, 2), (20_000, 10)])
def test_a_bomb_is_refused_before_it_is_unpacked(size: tuple[int, int]) -> None:
    content = png_of_size(size[0] if size[0] < 1 << 31 else 2_000_000_000, size[1]) if size[0] < 100_000 else bomb(size)
    tracemalloc.start()
    try:
        with pytest.raises(AxlError, match="pixels") as caught:
            open_picture(content)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def bomb(size: tuple[int, int]) -> bytes:
    head = struct.pack(">IIBBBBB", min(size[0], 2**31 - 1), size[1], 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def test_text_in_a_png_that_unpacks_to_gigabytes_is_refused_or_left_alone() -> None:
    whole = saved(Image.fromarray(COLOURS))
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(b"a" * (200 << 20), 9))
    tracemalloc.start()
    try:
        with pytest.raises(AxlError, match="broken"):
            open_picture(whole[:33] + text + whole[33:])
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


@given(st.integers(0, 3000), st.binary(max_size=8))
def test_damage_gives_a_picture_or_one_line(place: int, change: bytes) -> None:
    whole = bytearray(JPEG)
    place %= len(whole)
    whole[place : place + len(change)] = change
    for content in (bytes(whole), bytes(whole[:place])):
        try:
            seen = open_picture(content)
        except AxlError as error:
            lines = str(error).splitlines()
            seen = COLOURS
        else:
            lines = ["seen"]
        assert len(lines) == 1
        assert seen.ndim == 3


JPEG = saved(Image.fromarray(COLOURS), "JPEG")


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.4", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 100])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(AxlError, match="no picture"):
        open_picture(content)


def test_formats_that_run_other_programs_are_not_opened() -> None:
    stream = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    with pytest.raises(AxlError, match="no picture"):
        open_picture(stream)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES * 4)
    with pytest.raises(AxlError, match=r"huge\.png is larger"):
        read_picture(path)
    with pytest.raises(AxlError, match="cannot read"):
        read_picture(tmp_path / "missing.png")
