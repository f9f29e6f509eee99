"""A memory of sentences: what names become, learnt from several packages, with how near it comes; nothing of one alone."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.tasks.sentence_memory import PLACE, SentencePair, learn, load_memory, save_memory, words_of_name

THINGS = ("open file", "empty list", "known user", "valid key", "last line", "free lock")


def pairs(packages: int = 3) -> list[SentencePair]:
    found = []
    for number, thing in enumerate(THINGS):
        package = f"p{number % packages}"
        name = f"is_{thing.replace(' ', '_')}"
        found.append(SentencePair(name, f"def {name}(x): return x", f"Return True if it is the {thing} of all.", package))
        found.append(SentencePair(f"run{number}", f"def run{number}(): pass", f"Something else {number}.", package))
    return found


def test_what_names_become_goes_on_to_other_names(tmp_path: Path) -> None:
    memory = learn(pairs())
    sentence, expected = memory.sentence("isBlueSky")
    assert sentence == "Return True if it is the blue sky of all."
    assert expected > memory.sentence("walk_away")[1]
    assert memory.sentence("walk_away")[0] == "Walk away."
    assert memory.sentence("")[0] == memory.sentence("_")[0] == memory.sentence("walk")[0] == ""
    save_memory(memory, tmp_path / "memory.json")
    assert load_memory(tmp_path / "memory.json").sentence("isBlueSky") == (sentence, expected)


def test_what_only_one_package_says_is_not_learnt() -> None:
    assert learn(pairs(packages=1)).sentence("is_blue_sky")[0] == "Is blue sky."


def test_articles_fit_the_word_behind_them() -> None:
    said = [f"Open a {thing}." for thing in ("file", "door", "box", "lid")] + [
        f"Open an {thing}." for thing in ("egg", "ear", "oven", "inn")
    ]
    names = [f"open_{sentence.split()[-1][:-1]}" for sentence in said]
    memory = learn([SentencePair(name, name, one, f"p{n % 4}") for n, (name, one) in enumerate(zip(names, said, strict=True))])
    assert memory.sentence("open_archive")[0] == "Open an archive."
    assert memory.sentence("open_window")[0] == "Open a window."


def test_a_more_alike_function_is_never_expected_to_be_worse() -> None:
    for memory in (load_memory(PLACE), learn(pairs())):
        values = [memory.expected(step / 10) for step in range(11)]
        assert values == sorted(values)


@given(st.text(st.sampled_from(list("abXY_9é")), max_size=30))
def test_every_name_with_words_becomes_a_sentence_of_them(name: str) -> None:
    sentence, expected = load_memory(PLACE).sentence(name)
    words = words_of_name(name)
    assert bool(sentence) >= (len(words) > 1)
    if sentence:
        assert sentence.endswith(".")
        assert words[-1] in sentence.lower()
        assert 0 < expected <= 100
