"""The few JavaScript functions that a translation may need, for what Python has and JavaScript has not.

They are emitted above the function that uses them, those that are used only.
"""

from __future__ import annotations

import re

HELPERS = {
    "modulo": """const modulo = (a, b) => {
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
};""",
    "isEqual": """const isEqual = (a, b) => {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => isEqual(item, b[i]));
  }
  if (a instanceof Set) return b instanceof Set && a.size === b.size && [...a].every((item) => b.has(item));
  const [left, right] = [a, b].map((one) => (one instanceof Map ? one : new Map(Object.entries(one))));
  return left.size === right.size && [...left].every(([key, value]) => right.has(key) && isEqual(value, right.get(key)));
};""",
    "compare": """const compare = (a, b) => {
  if (!Array.isArray(a)) return a < b ? -1 : Number(a > b);
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compare(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
};""",
    "range": """const range = (start, stop, step = 1) =>
  Array.from({ length: Math.max(0, Math.ceil((stop - start) / step)) }, (_, i) => start + i * step);""",
    "zip": """const zip = (...lists) =>
  Array.from({ length: Math.min(...lists.map((list) => list.length)) }, (_, i) => lists.map((list) => list[i]));""",
    "zipLongest": """const zipLongest = (fill, ...lists) =>
  Array.from({ length: Math.max(...lists.map((list) => list.length)) }, (_, i) =>
    lists.map((list) => (i < list.length ? list[i] : fill)),
  );""",
    "slice": """const slice = (items, start, stop, step) => {
  const size = items.length;
  const clip = (at, low, high) => Math.min(Math.max(at < 0 ? at + size : at, low), high);
  const first = step > 0 ? clip(start ?? 0, 0, size) : clip(start ?? size, -1, size - 1);
  const last = step > 0 ? clip(stop ?? size, 0, size) : stop === null ? -1 : clip(stop, -1, size - 1);
  const found = [];
  for (let i = first; step > 0 ? i < last : i > last; i += step) found.push(items[i]);
  return typeof items === "string" ? found.join("") : found;
};""",
    "repeat": """const repeat = (items, times) => Array.from({ length: times }, () => items).flat();""",
    "union": """const union = (...sets) => new Set(sets.flatMap((set) => [...set]));""",
    "intersection": """const intersection = (a, b) => new Set([...a].filter((item) => b.has(item)));""",
    "difference": """const difference = (a, b) => new Set([...a].filter((item) => !b.has(item)));""",
    "isSubset": """const isSubset = (a, b) => [...a].every((item) => b.has(item));""",
    "intern": """const tuples = new Map();
const intern = (items) => {
  const text = JSON.stringify(items);
  if (!tuples.has(text)) tuples.set(text, items);
  return tuples.get(text);
};""",
    "countItems": """const countItems = (items) => {
  const counts = new Map();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
};""",
    "setDefault": """const setDefault = (map, key, value) => {
  if (!map.has(key)) map.set(key, value);
  return map.get(key);
};""",
    "floatText": """const floatText = (x) => (Number.isInteger(x) ? x.toFixed(1) : String(x));""",
    "roundEven": """const roundEven = (x, digits = 0) => {
  if (digits < 0) return roundEven(x * 10 ** digits) * 10 ** -digits;
  const text = Math.abs(x).toFixed(digits);
  const [exact, tie] = [Math.abs(x).toFixed(digits + 30), "5".padEnd(30, "0")];
  const odd = Number(text.at(-1)) % 2 === 1;
  const size = exact.endsWith(tie) && odd ? Number(text) - 10 ** -digits : Number(text);
  return Math.sign(x) * Number(size.toFixed(digits));
};""",
    "toBase": """const toBase = (n, base, prefix) => (n < 0 ? "-" : "") + prefix + Math.abs(n).toString(base);""",
    "gcd": """const gcd = (a, b) => (b === 0 ? Math.abs(a) : gcd(b, a % b));""",
    "factorial": """const factorial = (n) => (n <= 1 ? 1 : n * factorial(n - 1));""",
    "powerMod": """const powerMod = (base, exponent, modulus) => {
  let [result, square] = [1n, BigInt(base)];
  for (let rest = BigInt(exponent); rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % BigInt(modulus);
    square = (square * square) % BigInt(modulus);
  }
  return Number(((result % BigInt(modulus)) + BigInt(modulus)) % BigInt(modulus));
};""",
    "combinations": """const combinations = (items, size) =>
  size === 0 ? [[]] : items.flatMap((item, i) => combinations(items.slice(i + 1), size - 1).map((rest) => [item, ...rest]));""",
    "permutations": """const permutations = (items, size = items.length) =>
  size === 0
    ? [[]]
    : items.flatMap((item, i) => permutations(items.toSpliced(i, 1), size - 1).map((rest) => [item, ...rest]));""",
    "product": """const product = (...lists) =>
  lists.reduce((rows, list) => rows.flatMap((row) => list.map((item) => [...row, item])), [[]]);""",
    "groupRuns": """const groupRuns = (items, key) => {
  const runs = [];
  for (const item of items) {
    const name = key(item);
    if (runs.length > 0 && runs.at(-1)[0] === name) runs.at(-1)[1].push(item);
    else runs.push([name, [item]]);
  }
  return runs;
};""",
    "bisect": """const bisect = (items, x, isLeft) => {
  const found = items.findIndex((item) => (isLeft ? item >= x : item > x));
  return found < 0 ? items.length : found;
};""",
    "stripChars": """const stripChars = (text, chars, left, right) => {
  let [start, end] = [0, text.length];
  while (left && start < end && chars.includes(text[start])) start++;
  while (right && end > start && chars.includes(text[end - 1])) end--;
  return text.slice(start, end);
};""",
    "zeroFill": """const zeroFill = (text, width) => {
  const sign = /^[+-]/.test(text) ? text[0] : "";
  return sign + text.slice(sign.length).padStart(width - sign.length, "0");
};""",
    "titleCase": """const titleCase = (text) =>
  text.replace(/\\p{L}+/gu, (word) => word[0].toUpperCase() + word.slice(1).toLowerCase());""",
    "swapCase": """const swapCase = (text) =>
  text.replace(/./gsu, (c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase()));""",
}


def with_helpers(code: str, used: set[str]) -> str:
    """The code behind the helpers that it uses, and those that these use."""
    while True:
        more = {name for name in HELPERS if any(re.search(rf"\b{name}\(", HELPERS[one]) for one in used)} | used
        if more == used:
            break
        used = more
    return "\n\n".join([*(text for name, text in HELPERS.items() if name in used), code])
