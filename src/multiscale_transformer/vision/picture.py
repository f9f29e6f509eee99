"""Pictures from strangers, opened in bounded memory: what a screenshot may be, and one clear line for everything else.

The size of the file and that of the picture are judged before a pixel is decoded, so a small file that would unpack to
gigabytes costs nothing. Of an animation the first frame is taken, transparent parts lie on white, sixteen bits a channel become
eight, CMYK becomes RGB, and a photograph is turned as its camera noted. Large pictures come out smaller by a whole factor.
"""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.elements import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_BYTES = 32 << 20  # of a file
MAX_PIXELS = 16_800_000  # 4096 x 4096, or a screen of 5120 x 2880: 67 MB decoded
MAX_SIDE = 16_384
LONGEST_SIDE = 1536  # pixels of the longer side of what comes out, at most about twice this
_STRIP = 256  # rows that are converted at once
_ORIENTATION = 0x0112  # the tag of EXIF
_TURNS = {1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def read_picture(path: Path, longest: int = LONGEST_SIDE) -> Picture:
    """The picture in a file. Raises AxlError, with its name, where it cannot be read or is none."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise AxlError(f"cannot read {path}: {error.strerror or error}") from error
    return open_picture(content, longest, str(path))


def open_picture(content: bytes, longest: int = LONGEST_SIDE, name: str = "the picture") -> Picture:
    """A picture from the bytes of its file, as red, green and blue (H, W, 3).

    Where its longer side is at least twice `longest` pixels it is made smaller by a whole factor, so that less than twice
    `longest` remains. Raises AxlError, which calls it `name`, for what is broken, too large, or none of FORMATS.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise AxlError("opening pictures needs Pillow; run: pip install 'axl[vision]'") from error
    if len(content) > MAX_BYTES:
        raise AxlError(f"{name} is larger than {MAX_BYTES >> 20} MB; send a smaller screenshot")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is far lower
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        with image:
            width, height = image.size
            if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                raise AxlError(f"{name} has {width} x {height} pixels; at most {MAX_PIXELS / 1e6:.1f} million are opened")
            image.draft("RGB", (longest, longest))  # a JPEG is decoded smaller at once
            image.load()
            return np.ascontiguousarray(_turned(_pixels(image, longest), _orientation(image)))
    except AxlError:
        raise
    except UnidentifiedImageError as error:
        raise AxlError(f"{name} is no picture that can be opened; send {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from error
    except Image.DecompressionBombError as error:
        raise AxlError(f"{name} has too many pixels; at most {MAX_PIXELS / 1e6:.1f} million are opened") from error
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, struct.error, MemoryError) as error:
        raise AxlError(f"{name} is broken: {' '.join(str(error).split())[:120] or type(error).__name__}") from error


def _pixels(image: Image, longest: int) -> Picture:
    """All pixels as RGB, strip by strip, so that no second copy of a large picture is ever whole."""
    factor = max(1, max(image.size) // longest)
    width, height = image.size
    rows = []
    for top in range(0, height, _STRIP * factor):
        strip = _on_white(image.crop((0, top, width, min(top + _STRIP * factor, height))))
        rows.append(np.asarray(strip.reduce(factor) if factor > 1 else strip))
    return np.concatenate(rows)


def _on_white(strip: Image) -> Image:
    """A part of a picture as RGB, whatever its mode was."""
    from PIL import Image as Images

    if strip.mode.startswith("I") or strip.mode == "F":  # sixteen bits, and what is wider
        values = np.asarray(strip).astype(np.float64)
        most = 255.0 if values.max(initial=0) <= 255 and strip.mode != "I;16" else 65535.0
        return Images.fromarray((np.clip(values / most, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    if "A" in strip.getbands() or "a" in strip.getbands() or "transparency" in strip.info:
        over = strip.convert("RGBA")
        below = Images.new("RGBA", over.size, (255, 255, 255, 255))
        below.alpha_composite(over)
        return below.convert("RGB")
    return strip.convert("RGB")


def _orientation(image: Image) -> int:
    """How the camera was held, as EXIF has it; 1 where it says nothing that can be read."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow raises many kinds for broken notes, none of which makes the pixels worse
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _turned(picture_HWC: Picture, orientation: int) -> Picture:
    quarters, mirrored = _TURNS[orientation]
    turned = np.rot90(picture_HWC, quarters)
    return turned[:, ::-1] if mirrored else turned
