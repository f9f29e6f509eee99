"""Libraries of CSS whose components pages are made of: where npm keeps them, their licences, and their markup.

Ten libraries of four lines of descent. Two are held out whole: Foundation, which has components of its own for everything, and
Milligram, which dresses the plain elements of HTML only. None of the other eight descends from either, while Tabler and CoreUI
are Bootstrap's children: holding one of those out would test nothing. The user installs them with npm; only their style sheets
are read, none of their code runs.

A component is a tuple of variants. In their text `{a}` is where the mark for labels goes, `{s}` values and states of a control,
`{t}` words, `{i}` what stands inside, `{n}` a number, `{x}` a unique name, `{c}` one of the library's colours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from multiscale_transformer.errors import AxlError

Components = Mapping[str, tuple[str, ...]]

_TICK = '<label {a}><input type="%s" {s}> {t}</label>'
_CARD = '<div {a} style="border:1px solid #8886;padding:12px;border-radius:%dpx">{i}</div>'
_BAR = '<div {a} style="padding:10px;%s">{i}</div>'
PLAIN: Components = {  # HTML as it is: what a library does not dress in classes of its own
    "heading": ("<h1 {a}>{t}</h1>", "<h2 {a}>{t}</h2>", "<h3 {a}>{t}</h3>", "<h4 {a}>{t}</h4>"),
    "text": ("<p {a}>{t}</p>",),
    "label": ('<label {a} style="display:inline-block">{t}</label>',),
    "link": ('<a href="#" {a}>{t}</a>',),
    "bar link": ('<a href="#" {a}>{t}</a>',),
    "button": ('<button type="button" {a} {s}>{t}</button>',),
    "field": ('<input type="text" {a} {s}>',),
    "area": ('<textarea rows="{n}" {a} {s}>{t}</textarea>',),
    "select": ("<select {a} {s}><option>{t}</option></select>",),
    "checkbox": (_TICK % "checkbox",),
    "radio": (_TICK % "radio",),
    "slider": ('<input type="range" {a} {s}>',),
    "progress": ('<progress {a} max="100" value="{n}"></progress>',),
    "image": ("<img alt='' {a} {s}>",),
    "table": ("<table {a}>{i}</table>",),
    "list": ("<ul {a}>{i}</ul>", "<ol {a}>{i}</ol>"),
    "code": ("<pre {a}><code>{t}</code></pre>",),
    "alert": (),  # none: pages of such a library have no alerts
    "box": (_CARD % 0, _CARD % 6, '<div {a} style="background:#8882;padding:12px">{i}</div>'),
    "bar": (_BAR % "background:#8883", _BAR % "border-bottom:1px solid #8888"),
    "page": ("<div>{i}</div>",),
}

_BOOTSTRAP_COLOURS = ("primary", "secondary", "success", "danger", "warning", "info")
_CHECK = (
    '<div class="form-check%s" {a}><input class="form-check-input" type="%s" id="{x}" {s}>'
    '<label class="form-check-label" for="{x}">{t}</label></div>'
)
_PROGRESS = '<div class="progress" {a}%s><div class="progress-bar bg-{c}" style="width:{n}%%"></div></div>'
BOOTSTRAP: Components = {
    "button": (
        '<button type="button" class="btn btn-{c}" {a} {s}>{t}</button>',
        '<button type="button" class="btn btn-primary" {a} {s}>{t}</button>',
        '<button type="button" class="btn btn-outline-{c}" {a} {s}>{t}</button>',
        '<button type="button" class="btn btn-sm btn-{c}" {a} {s}>{t}</button>',
        '<a href="#" role="button" class="btn btn-lg btn-{c}" {a}>{t}</a>',
    ),
    "label": ('<label class="form-label" {a}>{t}</label>',),
    "bar link": ('<a href="#" style="color:inherit;text-decoration:none" {a}>{t}</a>',),
    "field": (
        '<input type="text" class="form-control" {a} {s}>',
        '<input type="text" class="form-control form-control-sm" {a} {s}>',
    ),
    "area": ('<textarea class="form-control" rows="{n}" {a} {s}>{t}</textarea>',),
    "select": ('<select class="form-select" {a} {s}><option>{t}</option></select>',),
    "checkbox": (_CHECK % ("", "checkbox"), _CHECK % (" form-switch", "checkbox")),
    "radio": (_CHECK % ("", "radio"),),
    "slider": ('<input type="range" class="form-range" {a} {s}>',),
    "progress": (_PROGRESS % "", _PROGRESS % ' style="height:6px"'),
    "table": (
        '<table class="table" {a}>{i}</table>',
        '<table class="table table-striped" {a}>{i}</table>',
        '<table class="table table-sm table-bordered" {a}>{i}</table>',
    ),
    "list": ("<ul {a}>{i}</ul>", "<ol {a}>{i}</ol>"),
    "code": ('<pre class="bg-body-tertiary p-2" {a}><code>{t}</code></pre>', "<pre {a}><code>{t}</code></pre>"),
    "alert": ('<div class="alert alert-{c}" {a}>{t}</div>',),
    "box": (
        '<div class="card"><div class="card-body" {a}>{i}</div></div>',
        '<div class="border rounded p-3" {a}>{i}</div>',
        '<div class="bg-body-tertiary p-3 rounded-3" {a}>{i}</div>',
    ),
    "bar": (
        '<div class="bg-body-tertiary border-bottom p-2" {a}>{i}</div>',
        '<div class="bg-primary text-white p-2" {a}>{i}</div>',
        '<div class="bg-dark text-white p-2" {a}>{i}</div>',
    ),
}
BULMA: Components = {
    "heading": (
        *(f'<h{n} class="title is-{n + 2}" {{a}}>{{t}}</h{n}>' for n in (1, 2, 3)),
        '<h4 class="subtitle" {a}>{t}</h4>',
    ),
    "label": ('<label class="label" {a}>{t}</label>',),
    "bar link": ('<a href="#" class="has-text-current" {a}>{t}</a>',),
    "button": (
        '<button type="button" class="button is-{c}" {a} {s}>{t}</button>',
        '<button type="button" class="button" {a} {s}>{t}</button>',
        '<button type="button" class="button is-{c} is-outlined" {a} {s}>{t}</button>',
        '<button type="button" class="button is-{c} is-light is-small" {a} {s}>{t}</button>',
        '<button type="button" class="button is-{c} is-rounded" {a} {s}>{t}</button>',
    ),
    "field": ('<input type="text" class="input" {a} {s}>', '<input type="text" class="input is-rounded" {a} {s}>'),
    "area": ('<textarea class="textarea" rows="{n}" {a} {s}>{t}</textarea>',),
    "select": ('<div class="select"><select {a} {s}><option>{t}</option></select></div>',),
    "checkbox": ('<label class="checkbox" {a}><input type="checkbox" {s}> {t}</label>',),
    "radio": ('<label class="radio" {a}><input type="radio" {s}> {t}</label>',),
    "progress": ('<progress class="progress is-{c}" {a} max="100" value="{n}"></progress>',),
    "table": (
        '<table class="table is-fullwidth" {a}>{i}</table>',
        '<table class="table is-striped is-bordered" {a}>{i}</table>',
    ),
    "list": ('<div class="content"><ul {a}>{i}</ul></div>', '<div class="content"><ol {a}>{i}</ol></div>'),
    "alert": (
        '<div class="notification is-{c}" {a}>{t}</div>',
        '<div class="notification is-{c} is-light" {a}>{t}</div>',
        '<article class="message is-{c}" {a}><div class="message-body">{t}</div></article>',
    ),
    "box": ('<div class="box" {a}>{i}</div>', '<div class="card"><div class="card-content" {a}>{i}</div></div>'),
    "bar": (
        '<div class="has-background-link has-text-white p-3" {a}>{i}</div>',
        '<div class="has-background-light p-3" {a}>{i}</div>',
        '<div class="has-background-dark has-text-white p-3" {a}>{i}</div>',
    ),
}
PICO: Components = {
    "button": (
        '<button type="button" {a} {s}>{t}</button>',
        '<button type="button" class="secondary" {a} {s}>{t}</button>',
        '<button type="button" class="outline" {a} {s}>{t}</button>',
        '<button type="button" class="contrast" {a} {s}>{t}</button>',
    ),
    "checkbox": (_TICK % "checkbox", '<label {a}><input type="checkbox" role="switch" {s}> {t}</label>'),
    "table": ("<table {a}>{i}</table>", '<table class="striped" {a}>{i}</table>'),
    "box": ("<article {a}>{i}</article>",),
}
MILLIGRAM: Components = {
    "button": (
        '<button type="button" class="button" {a} {s}>{t}</button>',
        '<button type="button" class="button button-outline" {a} {s}>{t}</button>',
    ),
}
PURE: Components = {
    "button": (
        '<button type="button" class="pure-button pure-button-primary" {a} {s}>{t}</button>',
        '<button type="button" class="pure-button" {a} {s}>{t}</button>',
        '<button type="button" class="pure-button" {a} {s} style="background:#1cb841;color:#fff">{t}</button>',
        '<button type="button" class="pure-button" {a} {s} style="background:#ca3c3c;color:#fff;font-size:85%">{t}</button>',
    ),
    "table": tuple(
        f'<table class="pure-table{more}" {{a}}>{{i}}</table>' for more in ("", " pure-table-bordered", " pure-table-striped")
    ),
    "page": ('<div class="pure-form">{i}</div>',),
}
_FOUNDATION_TICK = '<div {a}><input id="{x}" type="%s" {s}><label for="{x}">{t}</label></div>'
FOUNDATION: Components = {
    "button": (
        '<button type="button" class="button {c}" {a} {s}>{t}</button>',
        '<button type="button" class="button" {a} {s}>{t}</button>',
        '<button type="button" class="button hollow {c}" {a} {s}>{t}</button>',
        '<button type="button" class="button small {c}" {a} {s}>{t}</button>',
    ),
    "checkbox": (
        _FOUNDATION_TICK % "checkbox",
        '<div {a} style="display:flex;gap:8px"><div class="switch" style="margin:0"><input class="switch-input" id="{x}" '
        'type="checkbox" {s}><label class="switch-paddle" for="{x}" data-part></label></div><span>{t}</span></div>',
    ),
    "radio": (_FOUNDATION_TICK % "radio",),
    "progress": ('<div class="progress {c}" {a}><div class="progress-meter" style="width:{n}%"></div></div>',),
    "alert": ('<div class="callout {c}" {a}>{t}</div>',),
    "box": (
        '<div class="card"><div class="card-section" {a}>{i}</div></div>',
        '<div class="callout" {a}>{i}</div>',
    ),
    "bar": ('<div class="top-bar" style="display:block" {a}>{i}</div>',),
}
_FOMANTIC_TICK = '<div class="ui %scheckbox" {a}><input type="%s" id="{x}" {s}><label for="{x}" data-part>{t}</label></div>'
FOMANTIC: Components = {
    "heading": tuple(
        f'<h{n} class="ui {size} header" {{a}}>{{t}}</h{n}>' for n, size in enumerate(("huge", "large", "medium", "small"), 1)
    ),
    "button": (
        '<button type="button" class="ui {c} button" {a} {s}>{t}</button>',
        '<button type="button" class="ui button" {a} {s}>{t}</button>',
        '<button type="button" class="ui primary button" {a} {s}>{t}</button>',
        '<button type="button" class="ui basic {c} button" {a} {s}>{t}</button>',
        '<button type="button" class="ui mini {c} button" {a} {s}>{t}</button>',
    ),
    "field": ('<div class="ui fluid input"><input type="text" {a} {s}></div>',),
    "area": ('<div class="ui form"><textarea rows="{n}" {a} {s}>{t}</textarea></div>',),
    "select": ('<div class="ui form"><select class="ui dropdown" {a} {s}><option>{t}</option></select></div>',),
    "checkbox": (_FOMANTIC_TICK % ("", "checkbox"), _FOMANTIC_TICK % ("toggle ", "checkbox")),
    "radio": (_FOMANTIC_TICK % ("radio ", "radio"),),
    "progress": ('<div class="ui {c} progress" {a}><div class="bar" style="width:{n}%"></div></div>',),
    "table": tuple(
        f'<table class="ui {more}unstackable table" {{a}}>{{i}}</table>' for more in ("", "striped ", "celled ", "very basic ")
    ),
    "list": ('<ul class="ui list" {a}>{i}</ul>', '<ol class="ui list" {a}>{i}</ol>'),
    "code": ('<pre class="ui secondary segment" {a}><code>{t}</code></pre>', "<pre {a}><code>{t}</code></pre>"),
    "alert": ('<div class="ui {c} message" {a}>{t}</div>', '<div class="ui message" {a}>{t}</div>'),
    "box": ('<div class="ui segment" {a}>{i}</div>', '<div class="ui raised segment" {a}>{i}</div>'),
    "bar": ('<div class="ui segment" {a}>{i}</div>', '<div class="ui inverted segment" {a}>{i}</div>'),
}


@dataclass(frozen=True)
class Library:
    """A library: its npm package, style sheets and licence (SPDX), the markup of its components, and how it is made dark."""

    name: str
    package: str
    css: str
    licence: str
    components: Components
    colours: tuple[str, ...] = ("",)
    dark_attribute: str = ""  # of <html>
    dark_css: str = ""  # instead of `css`
    split: Literal["train", "libraries"] = "train"

    def variants(self, component: str) -> tuple[str, ...]:
        """The markup of a component; empty where the library has none."""
        return self.components.get(component, PLAIN[component])

    @property
    def has_alert(self) -> bool:
        """Whether it has a component for alerts."""
        return bool(self.variants("alert"))


_BOOTSTRAP_DARK = 'data-bs-theme="dark"'
_BULMA_COLOURS = ("primary", "link", "info", "success", "warning", "danger")
_FOMANTIC_COLOURS = ("red", "orange", "olive", "green", "teal", "blue", "violet", "purple", "brown", "grey", "black")
LIBRARIES = {
    library.name: library
    for library in (
        Library("bootstrap", "bootstrap", "dist/css/bootstrap.min.css", "MIT", BOOTSTRAP, _BOOTSTRAP_COLOURS, _BOOTSTRAP_DARK),
        Library("bulma", "bulma", "css/bulma.min.css", "MIT", BULMA, _BULMA_COLOURS, 'data-theme="dark"'),
        Library("pico", "@picocss/pico", "css/pico.min.css", "MIT", PICO, dark_attribute='data-theme="dark"'),
        Library("pure", "purecss", "build/pure-min.css", "BSD-3-Clause", PURE),
        Library("water", "water.css", "out/light.min.css", "MIT", {}, dark_css="out/dark.min.css"),
        Library("tabler", "@tabler/core", "dist/css/tabler.min.css", "MIT", BOOTSTRAP, _BOOTSTRAP_COLOURS, _BOOTSTRAP_DARK),
        Library("fomantic", "fomantic-ui-css", "semantic.min.css", "MIT", FOMANTIC, _FOMANTIC_COLOURS),
        Library(
            "coreui",
            "@coreui/coreui",
            "dist/css/coreui.min.css",
            "MIT",
            BOOTSTRAP,
            _BOOTSTRAP_COLOURS,
            'data-coreui-theme="dark"',
        ),
        Library("milligram", "milligram", "dist/milligram.min.css", "MIT", MILLIGRAM, split="libraries"),
        Library(
            "foundation",
            "foundation-sites",
            "dist/css/foundation.min.css",
            "MIT",
            FOUNDATION,
            ("primary", "secondary", "success", "warning", "alert"),
            split="libraries",
        ),
    )
}


@dataclass(frozen=True)
class Installed:
    """A library as npm installed it: its version and its style sheets, light and dark."""

    library: Library
    version: str
    light: str
    dark: str


def installed(node_modules: Path, names: Iterable[str] = LIBRARIES) -> dict[str, Installed]:
    """The libraries in a `node_modules` folder. Raises AxlError, with what to run, where one is missing or another licence."""
    if (node_modules / "node_modules").is_dir():
        node_modules = node_modules / "node_modules"
    return {name: _installed(node_modules, LIBRARIES[name]) for name in names}


def _installed(node_modules: Path, library: Library) -> Installed:
    folder = node_modules / library.package
    try:
        about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        light = (folder / library.css).read_text(encoding="utf-8")
        dark = (folder / library.dark_css).read_text(encoding="utf-8") if library.dark_css else light
    except (OSError, ValueError) as error:
        packages = " ".join(one.package for one in LIBRARIES.values())
        raise AxlError(
            f"no {library.package} in {node_modules}; run: npm install --ignore-scripts --prefix FOLDER {packages}"
        ) from error
    if about.get("license") != library.licence:
        raise AxlError(f"{library.package} in {node_modules} is not under {library.licence}; install the published package")
    return Installed(library, str(about.get("version", "")), light, dark)
