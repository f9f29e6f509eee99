"""Pictures for pages, drawn from chance: photograph-like textures, landscapes, charts, portraits and placeholders.

They are SVG in data URIs, so a page needs no file and no network for them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from random import Random


def drawing(rng: Random, width: int, height: int) -> str:
    """A data URI of a picture of so many CSS pixels."""
    inside = rng.choice((_texture, _landscape, _bars, _curve, _portrait, _placeholder, _shapes))(rng, width, height)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{inside}</svg>'
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()


Draw = Callable[[Random, int, int], str]


def _colour(rng: Random, low: int = 0, high: int = 255) -> str:
    return "#" + "".join(f"{rng.randint(low, high):02x}" for _ in range(3))


def _back(colour: str) -> str:
    return f'<rect width="100%" height="100%" fill="{colour}"/>'


def _texture(rng: Random, width: int, height: int) -> str:
    rate = rng.choice((0.006, 0.012, 0.03))
    return (
        f'<filter id="f" x="0" y="0" width="100%" height="100%"><feTurbulence type="fractalNoise" baseFrequency="{rate}" '
        f'numOctaves="4" seed="{rng.randint(0, 999)}"/><feColorMatrix values="1.6 0 0 0 -.2 0 1.6 0 0 -.2 0 0 1.6 0 -.2 '
        f'0 0 0 0 1"/></filter><rect width="100%" height="100%" filter="url(#f)"/>'
    )


def _landscape(rng: Random, width: int, height: int) -> str:
    parts = [_back(_colour(rng, 150))]
    if rng.random() < 0.6:
        x, y, size = rng.random() * width, rng.random() * height / 2, height / rng.randint(5, 9)
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{size:.0f}" fill="{_colour(rng, 180)}"/>')
    for level in range(rng.randint(2, 4)):
        base = height * (0.4 + 0.18 * level)
        points = " ".join(f"{width * n / 6:.0f},{base + rng.uniform(-0.2, 0.2) * height:.0f}" for n in range(7))
        parts.append(f'<polygon points="0,{height} {points} {width},{height}" fill="{_colour(rng, 20, 180)}"/>')
    return "".join(parts)


def _bars(rng: Random, width: int, height: int) -> str:
    count, colour = rng.randint(4, 12), _colour(rng, 40, 200)
    step = width / count
    parts = [_back(rng.choice(("#ffffff", "#f4f6f8", "#e8eef4")))]
    for number in range(count):
        high = height * rng.uniform(0.1, 0.9)
        parts.append(
            f'<rect x="{number * step + step * 0.15:.1f}" y="{height - high:.1f}" width="{step * 0.7:.1f}" height="{high:.1f}" '
            f'fill="{colour}"/>'
        )
    return "".join(parts)


def _curve(rng: Random, width: int, height: int) -> str:
    parts = [_back(rng.choice(("#ffffff", "#f4f6f8", "#20262c")))]
    parts += [f'<path d="M0 {height * n / 5:.0f}H{width}" stroke="#9996"/>' for n in range(1, 5)]
    for _ in range(rng.randint(1, 3)):
        points = " ".join(f"{width * n / 14:.0f},{height * rng.uniform(0.15, 0.85):.0f}" for n in range(15))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{_colour(rng, 40, 220)}" stroke-width="2"/>')
    return "".join(parts)


def _portrait(rng: Random, width: int, height: int) -> str:
    x, size = width / 2, min(width, height)
    skin = _colour(rng, 90, 220)
    return (
        f'{_back(_colour(rng, 120))}<circle cx="{x}" cy="{height * 0.4:.0f}" r="{size * 0.22:.0f}" fill="{skin}"/>'
        f'<ellipse cx="{x}" cy="{height}" rx="{size * 0.4:.0f}" ry="{size * 0.32:.0f}" fill="{_colour(rng, 30, 200)}"/>'
    )


def _placeholder(rng: Random, width: int, height: int) -> str:
    grey = rng.choice(("#868e96", "#adb5bd", "#ced4da", "#55595c", "#dddddd"))
    inside = rng.choice(
        (
            f'<path d="M0 0L{width} {height}M{width} 0L0 {height}" stroke="#fff8"/>',
            f'<text x="50%" y="50%" fill="#fff" text-anchor="middle" font-size="14">{width} x {height}</text>',
            f'<path d="M{width * 0.3:.0f} {height * 0.7:.0f}l{width * 0.15:.0f} -{height * 0.3:.0f} {width * 0.12:.0f} '
            f'{height * 0.2:.0f} {width * 0.08:.0f} -{height * 0.1:.0f} {width * 0.1:.0f} {height * 0.2:.0f}z" fill="#fff"/>',
        )
    )
    return _back(grey) + inside


def _shapes(rng: Random, width: int, height: int) -> str:
    parts = [_back(_colour(rng))]
    for _ in range(rng.randint(3, 9)):
        x, y, size = rng.random() * width, rng.random() * height, rng.uniform(0.1, 0.4) * min(width, height)
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{size:.0f}" fill="{_colour(rng)}" fill-opacity=".7"/>')
    return "".join(parts)
