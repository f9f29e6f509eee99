"""Style rules by which the blocks of a page that is drawn again stand where those of the original do, in letters as large.

A block is as high as the way from its top to that of the next one, so each begins where the original's did. What has no
width of its own (a field, a table) is as wide as its block was. Letters have the size of the original's lines, and a
library's lengths go with it. Rows and cards keep the library's ways inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from statistics import median

from multiscale_transformer.vision.elements import Element
from multiscale_transformer.vision.layout import Group, leaves
from multiscale_transformer.vision.markup import STRETCHED

FRAME = 12  # CSS pixels between the frame of a card or bar and what stands in it
SIZED = frozenset(STRETCHED) - {"text", "list"}  # whose width is that of their block; words break where they must
LINES = ("text", "link", "checkbox", "radio")  # whose boxes are lines of running text
HIGHEST_LINE = 30  # pixels; what is higher has several
LINE_HEIGHT = 1.17  # of the letters' size
SMALLEST, LARGEST = 10.0, 20.0  # letters, in CSS pixels


def placed(tree: Group, elements: Sequence[Element], padding: int) -> str:
    """Rules for a page with this tree and these elements in its order; `padding` is the page's to the left.

    There are none for a tree of another number of elements.
    """
    if not elements or len(elements) != len(list(leaves(tree))):
        return ""
    boxes = iter(element.box for element in elements)
    blocks = []
    for child in tree.children:
        kinds = [leaf.kind for leaf in leaves(child)]
        inside = list(islice(boxes, len(kinds)))
        frame = FRAME if isinstance(child, Group) and child.way == "box" else 0
        left, top, right = (pick(box[side] for box in inside) for pick, side in ((min, 0), (min, 1), (max, 2)))
        blocks.append((left - frame, max(0, top - frame), right + frame, any(kind in SIZED for kind in kinds)))
    rules = [f"body{{padding-top:{blocks[0][1]}px!important}}", letters(elements)]
    heights = [max(0, below[1] - above[1]) for above, below in pairwise(blocks)]
    for number, (left, _, right, sized) in enumerate(blocks):
        rule = f"margin-left:{max(0, left - padding)}px"
        if number < len(heights):
            rule += f";margin-bottom:0!important;min-height:{heights[number]}px"
        rule += f";max-width:{right - left}px" if sized else ""
        rules.append(f"[data-block]:nth-of-type({number + 1}){{{rule}}}")
    return "".join(rules)


def letters(elements: Sequence[Element]) -> str:
    """A rule for the size of letters, where there are lines to tell it from."""
    heights = [one.box[3] - one.box[1] for one in elements if one.kind in LINES]
    lines = [height for height in heights if height <= HIGHEST_LINE]
    if not lines:
        return ""
    size = min(LARGEST, max(SMALLEST, median(lines) / LINE_HEIGHT))
    return f"html{{font-size:{size:.1f}px!important}}"
