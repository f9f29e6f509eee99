"""Calls that the transpiler translates by a template: methods of strings, functions of math, constants of modules.

A row is a name, the type of the result, and what the call becomes: `{0}` is the receiver or first argument in front of a dot,
`{=0}` the same between commas, and a template that begins with `@` calls a helper. Behind a slash stands how many arguments a
method takes.
"""

from __future__ import annotations

from multiscale_transformer.tasks.transpile.types import BOOL, FLOAT, INT, NATURAL, STR, Type, list_of

_TYPES = {"str": STR, "bool": BOOL, "int": INT, "float": FLOAT, "natural": NATURAL, "strings": list_of(STR)}


def _table(text: str) -> dict[str, tuple[str, Type]]:
    rows = (line.split(None, 2) for line in text.strip().split("\n"))
    return {name: (template, _TYPES[kind]) for name, kind, template in rows}


TEXT_METHODS = _table(r"""
upper/0                  str      {0}.toUpperCase()
lower/0                  str      {0}.toLowerCase()
strip/0                  str      {0}.trim()
lstrip/0                 str      {0}.trimStart()
rstrip/0                 str      {0}.trimEnd()
casefold/0               str      {0}.toLowerCase()
strip/1                  str      @stripChars({=0}, {=1}, true, true)
lstrip/1                 str      @stripChars({=0}, {=1}, true, false)
rstrip/1                 str      @stripChars({=0}, {=1}, false, true)
split/0                  strings  {0}.split(/\s+/).filter((word) => word)
split/1                  strings  {0}.split({=1})
startswith/1             bool     {0}.startsWith({=1})
endswith/1               bool     {0}.endsWith({=1})
find/1                   int      {0}.indexOf({=1})
index/1                  natural  {0}.indexOf({=1})
rfind/1                  int      {0}.lastIndexOf({=1})
find/2                   int      {0}.indexOf({=1}, {=2})
title/0                  str      @titleCase({=0})
swapcase/0               str      @swapCase({=0})
zfill/1                  str      @zeroFill({=0}, {=1})
ljust/1                  str      {0}.padEnd({=1})
rjust/1                  str      {0}.padStart({=1})
ljust/2                  str      {0}.padEnd({=1}, {=2})
rjust/2                  str      {0}.padStart({=1}, {=2})
isdigit/0                bool     /^\d+$/.test({=0})
isnumeric/0              bool     /^\d+$/.test({=0})
isdecimal/0              bool     /^\d+$/.test({=0})
isalpha/0                bool     /^\p{L}+$/u.test({=0})
isalnum/0                bool     /^[\p{L}\p{N}]+$/u.test({=0})
isspace/0                bool     /^\s+$/.test({=0})
isupper/0                bool     /^[^\p{Ll}]*\p{Lu}[^\p{Ll}]*$/u.test({=0})
islower/0                bool     /^[^\p{Lu}]*\p{Ll}[^\p{Lu}]*$/u.test({=0})
removeprefix/1           str      {0}.startsWith({=1}) ? {0}.slice({1}.length) : {0}
removesuffix/1           str      {0}.endsWith({=1}) ? {0}.slice(0, {0}.length - {1}.length) : {0}
""")

MATH = _table(r"""
sqrt                     float    Math.sqrt({=0})
floor                    int      Math.floor({=0})
ceil                     int      Math.ceil({=0})
trunc                    int      Math.trunc({=0})
pow                      float    Math.pow({=0}, {=1})
exp                      float    Math.exp({=0})
sin                      float    Math.sin({=0})
cos                      float    Math.cos({=0})
tan                      float    Math.tan({=0})
asin                     float    Math.asin({=0})
acos                     float    Math.acos({=0})
atan                     float    Math.atan({=0})
atan2                    float    Math.atan2({=0}, {=1})
log2                     float    Math.log2({=0})
log10                    float    Math.log10({=0})
fabs                     float    Math.abs({=0})
hypot                    float    Math.hypot({=0}, {=1})
gcd                      natural  @gcd({=0}, {=1})
factorial                natural  @factorial({=0})
isqrt                    natural  Math.floor(Math.sqrt({=0}))
tanh                     float    Math.tanh({=0})
radians                  float    {0} * Math.PI / 180
degrees                  float    {0} * 180 / Math.PI
isnan                    bool     Number.isNaN({=0})
""")

CONSTANTS = _table(r"""
math.pi                  float    Math.PI
math.e                   float    Math.E
math.inf                 float    Infinity
sys.maxsize              natural  Number.MAX_SAFE_INTEGER
string.ascii_lowercase   str      "abcdefghijklmnopqrstuvwxyz"
string.digits            str      "0123456789"
string.ascii_uppercase   str      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
""")
