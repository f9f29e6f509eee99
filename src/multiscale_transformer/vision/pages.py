"""Pages made by chance from a grammar of components: what stands on them, what they say, and what they look like.

A page draws a handful of kinds of block (a form, cards, prose, a table, a bar of links ...) and then blocks of those until the
picture is full, so that pages differ as pages do. Everything is a function of the seed and the page's number.

Pages of libraries to train on may wear a skin: other corners, borders, weights and capitals than their library has. Held-out
libraries are as their authors made them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from multiscale_transformer.vision.drawings import drawing
from multiscale_transformer.vision.elements import CHECKED, DISABLED
from multiscale_transformer.vision.layout import Group, Node
from multiscale_transformer.vision.libraries import Library
from multiscale_transformer.vision.markup import Dressed, Filled, Look
from multiscale_transformer.vision.texts import Texts, texts

ZOOMS = (0.6, 0.75, 0.8, 1.0, 1.2)  # of which SIDE is a whole multiple in CSS pixels
FONTS = ("DejaVu Sans", "DejaVu Serif", "Liberation Sans", "Liberation Serif", "Liberation Mono", "DejaVu Sans Mono")
MOST_BLOCKS = 14
VARIANTS = 60  # a multiple of how many variants and colours components have, nearly enough
_OFF = 0.1  # share of controls that are disabled


@dataclass(frozen=True)
class Draft:
    """A page before a browser has laid it out."""

    tree: Group
    look: Look


def draft(seed: int, number: int, library: Library, *, held_out: bool) -> Draft:
    """The page of a number. `held_out` pages quote texts that no page to train on quotes."""
    rng = Random(f"{seed} {number} {library.name}")
    look = _look(rng, library)
    composer = _Composer(rng, library, texts(held_out=held_out), round(384 / look.zoom) - 2 * look.padding)
    return Draft(composer.page(), look)


def _look(rng: Random, library: Library) -> Look:
    zoom, dark = rng.choice(ZOOMS), rng.random() < 0.25
    skin = _skin(rng) if library.split == "train" and rng.random() < 0.5 else ""
    return Look(
        dark=dark,
        font=f"'{rng.choice(FONTS)}'" if rng.random() < 0.6 else "",
        zoom=zoom,
        hue=rng.choice((0, 0, 0, rng.randint(20, 340))),
        skin=skin + (_ground(rng) if not dark and rng.random() < 0.2 else ""),
        padding=rng.choice((8, 16, 24)),
        gap=rng.choice((6, 10, 14, 18)),
    )


def _ground(rng: Random) -> str:
    """A page in a pale colour."""
    return f"body{{background-color:#{rng.choice(('f8f9fa', 'fdf6e3', 'eef3f8', 'f3eef8', 'f0f5ee', 'e9ecef'))}}}"


def _skin(rng: Random) -> str:
    """A style sheet that changes what sites change: corners, borders, weights, capitals."""
    buttons = "button,.btn,.button,.pure-button"
    fields = "input[type=text],textarea,select"
    rules = ["h1,h2,p{text-align:center}"] if rng.random() < 0.1 else []
    if rng.random() < 0.5:
        rules.append(f"{buttons},{fields}{{border-radius:{rng.choice((0, 3, 8, 14, 30))}px!important}}")
    if rng.random() < 0.35:
        spaced = f"letter-spacing:{rng.choice((0, 0.5, 1, 1.5))}px"
        rules.append(f"{buttons}{{text-transform:uppercase;{spaced};font-weight:{rng.choice((400, 600, 700))}!important}}")
    if rng.random() < 0.3:
        wide, high = rng.choice(((28, 0), (16, 4), (8, 2), (36, 10)))
        rules.append(f"{buttons}{{padding:{high}px {wide}px!important;min-height:{rng.choice((26, 34, 40, 48))}px}}")
    if rng.random() < 0.35:
        border = rng.choice(("1px solid #bbb", "2px solid #889", "1px solid #333"))
        rules.append(f"{fields}{{border:{border}!important;min-height:{rng.choice((28, 36, 44))}px}}")
    elif rng.random() < 0.2:
        rules.append(f"{fields}{{border:0!important;border-bottom:2px solid #999!important;border-radius:0!important}}")
    if rng.random() < 0.3:
        rules.append(f"h1,h2,h3,h4{{font-weight:{rng.choice((300, 400, 500, 800))}!important}}")
        rules.append(f"h1{{font-size:{rng.choice((26, 32, 40, 48))}px!important}}")
    if rng.random() < 0.25:
        rules.append(
            f"p,li,td{{font-size:{rng.choice((13, 14, 17, 19))}px!important;line-height:{rng.choice((1.3, 1.5, 1.8))}}}"
        )
    if rng.random() < 0.2:
        rules.append(f"p,li{{font-weight:300;letter-spacing:{rng.choice((0, 0.2, 0.4))}px}}")
    if rng.random() < 0.25:
        rules.append(f"input,progress{{accent-color:#{rng.randint(0, 0xFFFFFF):06x}}}")
    if rng.random() < 0.2:
        rules.append(f"a{{color:#{rng.choice(('b3261e', '00695c', '6a1b9a', 'e65100', '1565c0'))}}}a{{text-decoration:none}}")
    if rng.random() < 0.25:
        rules.append(
            "table{width:100%}th,td{border:0!important;border-bottom:1px solid #9998!important;padding:10px 12px!important}"
        )
    return "".join(rules)


class _Composer:
    """Draws the blocks of one page; `width` is what a line has in CSS pixels."""

    def __init__(self, rng: Random, library: Library, words: Texts, width: int) -> None:
        self.rng, self.library, self.words, self.width = rng, library, words, width
        self.variant = {kind: rng.randrange(VARIANTS) for kind in ("field", "select", "table", "list", "box", "bar", "code")}

    def page(self) -> Group:
        """The blocks of a page, of the few kinds that it has."""
        kinds: list[Callable[[], Node]] = self.rng.sample(self._kinds(), k=self.rng.randint(4, 8))
        blocks: list[Node] = []
        if self.rng.random() < 0.25:
            blocks.append(self.bar())
        if self.rng.random() < 0.5:
            blocks.append(self.heading(self.rng.choice((0, 0, 1))))
        turns = self.rng.sample(kinds, k=len(kinds)) * MOST_BLOCKS  # each kind in turn, which is how classes stay balanced
        for made in (kind() for kind in turns):
            if len(blocks) >= MOST_BLOCKS:
                break
            blocks += made.children if isinstance(made, Group) and made.way == "column" else [made]
        return Group("column", tuple(blocks))

    def _kinds(self) -> list[Callable[[], Node]]:
        kinds: list[Callable[[], Node]] = [
            *(self.prose, self.items, self.items, self.listing, self.listing, self.table, self.table, self.figure),
            *(self.buttons, self.links, self.search, self.stacked_field, self.field_row, self.choice_stack, self.choice_row),
            *(self.settings, self.settings, self.advance, self.card, self.cards, self.split, self.media, self.form),
        ]
        return [*kinds, *[self.notice] * 4] if self.library.has_alert else kinds

    # elements

    def leaf(self, kind: str, text: str = "", states: tuple[str, ...] = (), **more: object) -> Filled:
        """An element in the variant that the page has chosen for its class, or in any."""
        variant = self.variant.get(kind, self.rng.randrange(VARIANTS))
        fields = {"variant": variant, "colour": self.rng.randrange(VARIANTS), **more}
        return Filled(kind, states, text, **fields)  # type: ignore[arg-type]

    def off(self, *states: str) -> tuple[str, ...]:
        """The states, and now and then the disabled one."""
        return (*states, DISABLED) if self.rng.random() < _OFF else states

    def heading(self, level: int | None = None) -> Filled:
        return self.leaf(
            "heading", self.words.heading(self.rng), variant=self.rng.choice((1, 2, 2, 3)) if level is None else level
        )

    def text(self, least: int = 30, most: int = 220) -> Filled:
        text = self.words.paragraph(self.rng, self.rng.randint(least, most))
        return self.leaf("text", text, inline=self.inline(len(text.split())) if self.rng.random() < 0.4 else ())

    def inline(self, words: int) -> tuple[tuple[int, int, str], ...]:
        """One to three runs among so many words that are a link, code or emphasised."""
        starts = self.rng.sample(range(words), k=min(words, self.rng.randint(1, 3)))
        return tuple((at, at + self.rng.randint(0, 2), self.rng.choice(("a", "code", "strong", "em"))) for at in starts)

    def label(self) -> Filled:
        return self.leaf("text", self.words.name(self.rng, 2), component="label")

    def link(self, *, in_bar: bool = False) -> Filled:
        return self.leaf("link", self.words.name(self.rng, self.rng.randint(1, 2)), component="bar link" if in_bar else "")

    def button(self) -> Filled:
        return self.leaf("button", self.words.name(self.rng, self.rng.randint(1, 2)), self.off())

    def field(self) -> Filled:
        text = self.words.name(self.rng, 3) if self.rng.random() < 0.8 else ""
        return self.leaf("field", text, self.off(), ghost=self.rng.random() < 0.5)

    def area(self) -> Filled:
        text = self.words.sentence(self.rng, 90) if self.rng.random() < 0.6 else ""
        return self.leaf("area", text, self.off(), number=self.rng.randint(2, 5))

    def select(self) -> Filled:
        return self.leaf("select", self.words.name(self.rng, 2), self.off())

    def choice(self, kind: str, variant: int, *, checked: bool) -> Filled:
        states = self.off(CHECKED) if checked else self.off()
        return self.leaf(kind, self.words.name(self.rng, self.rng.randint(1, 3)), states, variant=variant)

    def slider(self) -> Filled:
        return self.leaf("slider", states=self.off(), number=self.rng.randint(0, 100))

    def progress(self) -> Filled:
        return self.leaf("progress", number=self.rng.randint(4, 100))

    def image(self, width: int, height: int) -> Filled:
        style = self.rng.choice(("", "", "border-radius:8px;", f"border-radius:{'50%' if width == height else '4px'};"))
        return self.leaf("image", size=(width, height), source=drawing(self.rng, width, height), style=style)

    # blocks

    def prose(self) -> Node:
        parts: list[Node] = [self.heading()] if self.rng.random() < 0.6 else []
        return Group("column", (*parts, *(self.text() for _ in range(self.rng.randint(1, 2)))))

    def items(self) -> Node:
        rows = tuple((self.words.sentence(self.rng, self.rng.randint(12, 50)),) for _ in range(self.rng.randint(2, 5)))
        return self.leaf("list", rows=rows, inline=((0, 50, "a"),) if self.rng.random() < 0.25 else ())

    def listing(self) -> Node:
        return self.leaf("code", self.words.lines(self.rng, self.rng.randint(2, 6)), painted=self.rng.random() < 0.5)

    def table(self) -> Node:
        columns, count = self.rng.randint(2, 3 if self.width < 400 else 4), self.rng.randint(2, 6)
        numbers = [self.rng.random() < 0.4 for _ in range(columns)]
        head = tuple(self.words.name(self.rng, 1) for _ in range(columns))
        body = (
            tuple(str(self.rng.randint(0, 999)) if number else self.words.name(self.rng, 1) for number in numbers)
            for _ in range(count)
        )
        return self.leaf("table", rows=(head, *body))

    def notice(self) -> Node:
        return self.leaf("alert", self.words.sentence(self.rng, self.rng.randint(25, 120)))

    def figure(self) -> Node:
        return self.image(self.rng.randint(self.width // 4, self.width), self.rng.randint(40, 150))

    def buttons(self) -> Node:
        return self.row([self.button() for _ in range(self.rng.randint(1, 4 if self.width > 400 else 3))])

    def links(self) -> Node:
        return self.row([self.link() for _ in range(self.rng.randint(1, 3))])

    def search(self) -> Node:
        return self.row([self.field(), self.button()])

    def stacked_field(self) -> Node:
        control = self.rng.choice((self.field, self.area, self.area, self.select, self.slider))()
        return Group("column", (self.label(), control))

    def field_row(self) -> Node:
        controls = (self.field, self.select, self.field, self.slider, self.progress)
        return self.row([self.label(), *(self.rng.choice(controls)() for _ in range(self.rng.randint(1, 2)))])

    def choice_stack(self) -> Node:
        return Group("column", self._choices(self.rng.randint(2, 4)))

    def choice_row(self) -> Node:
        return self.row(list(self._choices(self.rng.randint(2, 3))))

    def _choices(self, count: int) -> tuple[Filled, ...]:
        variant = self.rng.randrange(VARIANTS)
        if self.rng.random() < 0.5:
            return tuple(self.choice("checkbox", variant, checked=self.rng.random() < 0.45) for _ in range(count))
        one = self.rng.randint(0, count)
        return tuple(self.choice("radio", variant, checked=number == one) for number in range(count))

    def settings(self) -> Node:
        parts = (self.select, self.slider, self.area, self.progress, lambda: self._choices(1)[0], self.field)
        return Group("column", (self.label(), *(part() for part in self.rng.sample(parts, 2))))

    def advance(self) -> Node:
        return Group("column", (self.label(), self.progress())) if self.rng.random() < 0.5 else self.progress()

    def card(self) -> Node:
        return self.box([self.heading(), *(self._small() for _ in range(self.rng.randint(1, 3)))])

    def cards(self) -> Node:
        count = 2 if self.width < 450 else self.rng.randint(2, 3)
        makers = [self.rng.choice(self._parts()) for _ in range(self.rng.randint(1, 3))]
        same = self.rng.random() < 0.7
        rows = [
            [maker(count) for maker in (makers if same else self.rng.sample(self._parts(), len(makers)))] for _ in range(count)
        ]
        framed = self.rng.random() < 0.7
        return self.row([self.box(parts) if framed else Group("column", tuple(parts)) for parts in rows], "align-items:stretch")

    def split(self) -> Node:
        left = Group("column", (self.heading(), self.text(20, 80)))
        right = Group("column", tuple(self._small() for _ in range(2)))
        return self.row([left, right] if self.rng.random() < 0.5 else [right, left], "align-items:flex-start")

    def media(self) -> Node:
        side = self.rng.randint(40, max(60, self.width // 3))
        words = Group("column", (self.heading(), self.text(20, 110)))
        return self.row([self.image(side, side if self.rng.random() < 0.5 else side * 2 // 3), words], "align-items:flex-start")

    def form(self) -> Node:
        parts: list[Node] = [self.heading()] if self.rng.random() < 0.6 else []
        for _ in range(self.rng.randint(1, 2)):
            parts += [self.label(), self.rng.choice((self.field, self.select, self.area))()]
        parts += self._choices(1) if self.rng.random() < 0.5 else ()
        parts.append(self.row([self.button() for _ in range(self.rng.randint(1, 2))]))
        return self.box(parts)

    def bar(self) -> Node:
        first = (
            self.leaf("heading", self.words.name(self.rng, 1), variant=3) if self.rng.random() < 0.3 else self.link(in_bar=True)
        )
        links = [self.link(in_bar=True) for _ in range(self.rng.randint(1, 4 if self.width > 450 else 3))]
        last = [self.button()] if self.rng.random() < 0.3 else []
        return self.box([self.row([first, *links, *last])], "bar")

    def _parts(self) -> list[Callable[[int], Node]]:
        """What may stand in one of so many columns."""
        return [
            lambda _: self.heading(self.rng.choice((2, 3))),
            lambda _: self.text(10, 60),
            lambda _: self.button(),
            lambda _: self.link(),
            lambda count: self.image(max(40, self.width // count - 50), self.rng.randint(40, 90)),
            lambda _: self.progress(),
            lambda _: self.field(),
            lambda _: self.select(),
            lambda _: self.slider(),
            lambda _: self._choices(1)[0],
        ]

    def _small(self) -> Node:
        """What may stand in a card."""
        if self.rng.random() >= 0.7:
            return self.text(20, 120)
        makers: list[Callable[[], Node]] = [
            self.text,
            self.link,
            self.button,
            self.progress,
            self.field,
            self.items,
            self.select,
        ]
        makers += [self.area, self.table, lambda: self._choices(1)[0], self.slider, self.listing, self.buttons]
        return self.rng.choice(makers)()

    def row(self, parts: list[Node], style: str = "") -> Node:
        """The parts side by side; leaves alone stand at the left, the right, in the middle or spread."""
        if len(parts) == 1:
            return parts[0]
        spread = self.rng.choice(
            ("", "", "justify-content:space-between", "justify-content:flex-end", "justify-content:center")
        )
        return Dressed("row", tuple(parts), style=style or spread)

    def box(self, parts: list[Node], component: str = "box") -> Node:
        """The parts below one another in a frame of the library."""
        return Dressed("box", tuple(parts), component=component, variant=self.variant[component])
