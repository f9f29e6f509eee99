"""Labels read from the document that a browser has laid out: class, box and states of each element, and the tree of the layout.

Of pages that `markup.py` wrote, elements and groups carry marks (`MARKED`). Blocks that do not fit the picture, or whose
elements would lie on one another, are taken out first, so what is labelled is what is seen, whole. Of other pages (`FOUND`)
tags and roles say what an element is; what the window cuts to less than half, or something else covers, is left out.

A box is what is drawn: the border box of what has a background or a border on two sides, else the box of the words in it.
"""

from __future__ import annotations

from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.elements import CLASSES, SIDE, STATES, Box, Element
from multiscale_transformer.vision.layout import Group, Leaf, Node, normal


class NothingFitsError(AxlError):
    """No block of a page fits the picture."""


_BOXES = """
const join = rects => {
  rects = rects.filter(r => r.width > 0 && r.height > 0);
  if (!rects.length) return null;
  return [Math.min(...rects.map(r => r.left)), Math.min(...rects.map(r => r.top)),
          Math.max(...rects.map(r => r.right)), Math.max(...rects.map(r => r.bottom))];
};
const rectOf = b => ({left: b[0], top: b[1], right: b[2], bottom: b[3], width: b[2] - b[0], height: b[3] - b[1]});
const words = e => {
  const rects = [], walker = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.data.trim()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    rects.push(...range.getClientRects());
  }
  return join(rects);
};
const clear = c => c === 'transparent' || /,\\s*0\\)$/.test(c);
const drawn = e => {
  const s = getComputedStyle(e);
  const sides = ['Top', 'Right', 'Bottom', 'Left'];
  return !clear(s.backgroundColor) || s.backgroundImage !== 'none' || s.boxShadow !== 'none' ||
    2 <= sides.filter(side => parseFloat(s['border' + side + 'Width']) > 0 && s['border' + side + 'Style'] !== 'none'
                              && !clear(s['border' + side + 'Color'])).length;
};
const shown = e => {
  const s = getComputedStyle(e);
  if (s.visibility !== 'visible' || s.display === 'none' || parseFloat(s.opacity) < 0.1) return false;
  return true;
};
const controls = ['button', 'field', 'area', 'select', 'slider', 'progress', 'image', 'table', 'alert'];
const boxOf = (e, kind) => {
  if (controls.includes(kind)) return join([e.getBoundingClientRect()]);
  if (kind === 'checkbox' || kind === 'radio') {
    const inputs = [...e.querySelectorAll('input')].filter(shown).map(i => i.getBoundingClientRect());
    const parts = [...e.querySelectorAll('[data-part]')].map(i => i.getBoundingClientRect());
    const text = words(e);
    return join([...inputs, ...parts, ...(text ? [rectOf(text)] : [])]);
  }
  if (drawn(e)) return join([e.getBoundingClientRect()]);
  const inner = kind === 'code' && e.querySelector('code');
  if (inner && drawn(inner) && getComputedStyle(inner).display === 'block') return join([inner.getBoundingClientRect()]);
  const text = words(e);
  const item = kind === 'list' && e.querySelector('li');
  const marked = item && (getComputedStyle(item).listStyleType !== 'none' ||
    getComputedStyle(item, '::before').content !== 'none');
  if (text && marked) {
    const size = parseFloat(getComputedStyle(e).fontSize);
    text[0] = Math.max(text[0] - 1.2 * size, e.getBoundingClientRect().left - size);
  }
  if (text && kind === 'code') text[2] = Math.min(text[2], e.getBoundingClientRect().right);
  return text;
};
"""

MARKED = (
    "() => {"
    + _BOXES
    + """
const wide = document.documentElement.clientWidth, high = window.innerHeight;
const labels = block => [...block.querySelectorAll('[data-e]')].map(e => boxOf(e, e.dataset.e));
const meet = (a, b) => Math.min(a[2], b[2]) - Math.max(a[0], b[0]) > 2 && Math.min(a[3], b[3]) - Math.max(a[1], b[1]) > 2;
let misses = 0;
const kept = [];
for (const block of [...document.querySelectorAll('[data-block]')]) {
  const boxes = labels(block);
  const fits = b => b && b[0] >= 0 && b[1] >= 0 && b[2] <= wide + 1 && b[3] <= high && b[2] - b[0] > 4 && b[3] - b[1] > 2;
  const bad = !boxes.every(fits);
  const inside = bad || boxes.some((a, i) => boxes.slice(i + 1).some(b => meet(a, b)) || kept.some(b => meet(a, b)));
  const frame = bad ? null : block.getBoundingClientRect();
  const over = frame && (frame.bottom > high + 40 || block.scrollWidth > block.clientWidth + 1);
  if (bad || inside || over || misses >= 6) {
    misses += 1;
    // What has its place given keeps it, so that the others stay in theirs.
    if (parseFloat(getComputedStyle(block).minHeight)) block.replaceChildren(); else block.remove();
  } else kept.push(...boxes);
}
const tree = e => {
  if (e.dataset && e.dataset.e) {
    const found = boxOf(e, e.dataset.e);
    return {kind: e.dataset.e, states: e.dataset.s ? e.dataset.s.split(' ') : [], box: found};
  }
  const below = [...e.children].map(tree).flat();
  return e.dataset && e.dataset.l ? {way: e.dataset.l, children: below} : below;
};
return {way: 'column', children: [tree(document.body)].flat()};
}"""
)

FOUND = (
    "() => {"
    + _BOXES
    + """
const notices = new Set(['admonition', 'alert', 'notice', 'warning', 'note', 'callout', 'message', 'notification']);
const kindOf = e => {
  const tag = e.tagName, role = e.getAttribute('role') || '', type = (e.getAttribute('type') || 'text').toLowerCase();
  const name = String(e.className && e.className.baseVal === undefined ? e.className : '');
  if (/^H[1-6]$/.test(tag)) return 'heading';
  if (tag === 'INPUT') return {checkbox: 'checkbox', radio: 'radio', range: 'slider', submit: 'button', button: 'button',
    reset: 'button', image: 'button', hidden: ''}[type] ?? 'field';
  if (tag === 'BUTTON' || role === 'button') return 'button';
  if (role === 'alert' || name.split(/\\s+/).some(one => notices.has(one))) return 'alert';
  const plain = {TEXTAREA: 'area', SELECT: 'select', PROGRESS: 'progress', METER: 'progress', IMG: 'image', svg: 'image',
    CANVAS: 'image', VIDEO: 'image', PRE: 'code', TABLE: 'table', UL: 'list', OL: 'list'}[tag];
  if (plain === 'list' && !e.innerText.trim()) return '';
  if (plain === 'table' && (e.querySelectorAll('td, th').length < 4 || e.querySelector('pre, input, table'))) return '';
  if (plain === 'list' && (e.querySelector('input, pre, img, h1, h2, h3') || getComputedStyle(e).display === 'flex' ||
      [...e.children].some(li => /inline|flex/.test(getComputedStyle(li).display)) )) return '';
  if (plain) return plain;
  if (tag === 'A' && e.innerText.trim()) return 'link';
  const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const block = /^(P|LABEL|DT|DD|DIV|SPAN|BLOCKQUOTE|LI|TD|TH|FIGCAPTION|LEGEND|EM|STRONG|CODE|SMALL|B|I)$/.test(tag);
  return own && block ? 'text' : '';
};
const covered = (e, box) => {  // a bar that stays at the top while the page is scrolled lies on what is below it
  const hit = document.elementFromPoint((box[0] + box[2]) / 2, Math.max(box[1], 0) + 2);
  return hit && !e.contains(hit) && !hit.contains(e);
};
const out = [];
const walk = e => {
  if (['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'HEAD'].includes(e.tagName) || !shown(e)) return;
  const kind = kindOf(e);
  if (kind) {
    const ticked = kind === 'checkbox' || kind === 'radio';
    const box = boxOf(ticked && e.closest('label') || e, kind) || (ticked ? join([e.getBoundingClientRect()]) : null);
    if (box && !covered(e, box)) {
      const states = [];
      if (e.checked && ticked) states.push('checked');
      if (e.disabled) states.push('disabled');
      out.push({kind, states, box});
    }
    return;
  }
  for (const child of e.children) walk(child);
};
if (document.body) walk(document.body);
return out;
}"""
)


def read_marked(answer: Any, zoom: float) -> tuple[Group, tuple[Element, ...]]:
    """The layout in normal form and the elements in its order, from what MARKED returned. Raises AxlError for an empty page."""
    elements: list[Element] = []

    def node(found: Any) -> Node:
        if "way" in found:
            return Group(found["way"], tuple(map(node, found["children"])))
        element = element_of(found, zoom)
        elements.append(element)
        return Leaf(element.kind, element.states)

    tree = normal(node(answer))
    if tree is None:
        raise NothingFitsError("nothing is left of the page: no block fits the picture")
    return (tree if isinstance(tree, Group) and tree.way == "column" else Group("column", (tree,))), tuple(elements)


def read_found(answer: Any, zoom: float, *, least: int = 4) -> tuple[Element, ...]:
    """The elements that FOUND returned, cut to the picture; without those of which half is outside, or under `least` pixels."""
    elements = []
    for found in answer:
        x0, y0, x1, y1 = (number * zoom for number in found["box"])
        whole = (x1 - x0) * (y1 - y0)
        seen = max(0.0, min(x1, SIDE) - max(x0, 0)) * max(0.0, min(y1, SIDE) - max(y0, 0))
        if whole > 0 and seen >= whole / 2:
            element = element_of(found, zoom)
            if min(element.box[2] - element.box[0], element.box[3] - element.box[1]) >= least:
                elements.append(element)
    return tuple(elements)


def element_of(found: Any, zoom: float) -> Element:
    """An element from the browser's CSS pixels; zoom is picture pixels a CSS pixel."""
    x0, y0, x1, y1 = (number * zoom for number in found["box"])
    box: Box = (_within(x0), _within(y0), _within(x1, up=True), _within(y1, up=True))
    if found["kind"] not in CLASSES:
        raise AxlError(f"the page has an element of unknown class {found['kind']!r}")
    return Element(found["kind"], box, tuple(state for state in STATES if state in found["states"]))


def _within(number: float, *, up: bool = False) -> int:
    """A whole pixel of the picture: the one that holds the edge."""
    whole = int(-(-(number - 0.05) // 1)) if up else int((number + 0.05) // 1)
    return min(max(whole, 0), SIDE)
