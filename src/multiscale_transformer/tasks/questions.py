"""Questions about facts in the words that people use: those a model learns from, and others that it is measured on.

The answers are never made up: they are facts that inspection tells (`tasks.facts`). Only the questions are phrased here. The
hash of a phrase decides whether it is one of the training's or of the test's, so nobody chose which are easy.
"""

from __future__ import annotations

import hashlib

from multiscale_transformer.tasks.facts import Fact, Kind

PHRASES: dict[Kind, tuple[str, ...]] = {
    "purpose": (
        "What does {s} do?", "Explain {s}.", "What is {s} for?", "Describe what {s} does.", "Tell me about {s}.",
        "What happens in {s}?", "What is the point of {s}?", "Summarise {s} for me.", "What is the purpose of {s}?",
        "Why is there a {s}?", "What is {s} good for?", "Give me a summary of {s}.",
    ),
    "parameters": (
        "Which parameters does {s} take?", "What arguments does {s} have?", "List the parameters of {s}.",
        "How is {s} called?", "What do I pass to {s}?", "Signature of {s}?", "What inputs does {s} expect?",
        "Which arguments can I give {s}?", "Name the parameters that {s} accepts.", "What are the inputs of {s}?",
        "What does {s} need to be called with?", "Which options does {s} take?",
    ),
    "default": (
        "What is the default of {a} in {s}?", "Which value does {a} of {s} have if I leave it out?",
        "What does {a} default to in {s}?", "Default value of {a} for {s}?", "If I don't give {a} to {s}, what is used?",
        "What value is {a} by default when calling {s}?", "What is {a} of {s} when it is not given?",
        "Which default has the parameter {a} of {s}?",
    ),
    "raises": (
        "Which exceptions does {s} raise?", "What can {s} raise?", "What errors may {s} throw?", "How does {s} fail?",
        "Which exception do I have to catch around {s}?", "Which errors should I expect from {s}?",
        "What exceptions come out of {s}?", "What goes wrong in {s}?", "Which errors are raised by {s}?",
    ),
    "returns": (
        "What type does {s} return?", "What does {s} return?", "Return type of {s}?", "What do I get back from {s}?",
        "What kind of object is returned by {s}?", "What is the result type of {s}?", "What is the result of {s}?",
        "Which type has the value that {s} returns?", "What comes back when I call {s}?",
    ),
    "calls": (
        "Which functions does {s} call?", "What does {s} call?", "Which functions are used by {s}?",
        "What does {s} depend on?", "Which other functions are called inside {s}?",
        "What functions does the body of {s} use?", "What is called by {s}?", "Which helpers does {s} use?",
    ),
    "bases": (
        "What does {s} inherit from?", "Which classes does {s} extend?", "Base classes of {s}?",
        "What is the parent of {s}?", "Which class is {s} derived from?", "What are the superclasses of {s}?",
        "What is {s} a subclass of?", "Which base class has {s}?",
    ),
    "methods": (
        "Which methods does {s} have?", "List the methods of {s}.", "What can I call on {s}?", "Methods of {s}?",
        "What methods are there on {s}?", "Which operations does {s} offer?", "What can {s} do?",
        "Name the methods of class {s}.",
    ),
    "value": (
        "What is the value of {s}?", "What is {s} set to?", "Which value has {s}?", "How large is {s}?",
        "What does the constant {s} hold?", "What is {s} equal to?", "Value of {s}?", "To what is {s} assigned?",
    ),
    "place": (
        "Where is {s} defined?", "In which file is {s}?", "Where do I find {s}?", "Which file holds {s}?",
        "Which file contains {s}?", "Where can I look up the code of {s}?", "Where does {s} live?", "Show me where {s} is.",
    ),
}  # fmt: skip


def of_test(phrase: str) -> bool:
    """Whether a phrase is one of the test's: about one in three."""
    return hashlib.sha256(phrase.encode()).digest()[0] % 3 == 0


def phrased(fact: Fact, number: int, *, measured: bool) -> str:
    """One of the questions that a fact answers, of the test's phrases or of the others; `number` chooses."""
    phrases = [phrase for phrase in PHRASES[fact.kind] if of_test(phrase) == measured]
    return phrases[number % len(phrases)].format(s=fact.subject, a=fact.argument)
