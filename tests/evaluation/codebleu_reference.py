"""The package codebleu 0.7.0 as a filter, run by an interpreter that has it: see `codebleu_crosscheck.py`.

Each line of standard input is a JSON list [language, reference, hypothesis]; each line of output the four parts of that
pair, and how often an error kept the package from finding a data flow, which it passes over in silence. With `--in-order`
the sets in which the package collects names keep the order of the text: otherwise the data flow match depends on how Python
happens to hash them, from run to run. With `--bare` it takes texts as they are, without looking for comments.
"""

import json
import logging
import sys
import warnings

from codebleu import calc_codebleu, dataflow_match, syntax_match
from codebleu.parser import DFG

PARTS = ("ngram_match_score", "weighted_ngram_match_score", "syntax_match_score", "dataflow_match_score")


class InOrder(dict):
    """As much of a set as the package uses, in order of insertion."""

    def __init__(self, items=()):
        super().__init__(dict.fromkeys(items))

    def add(self, item):
        self[item] = None


def counting_errors(function, errors):
    """A function that notes when it fails."""

    def call(*arguments):
        try:
            return function(*arguments)
        except Exception as error:
            errors.append(error)
            raise

    return call


def main():
    errors = []
    for language, graph in dataflow_match.dfg_function.items():
        dataflow_match.dfg_function[language] = counting_errors(graph, errors)
    dataflow_match.tree_to_token_index = counting_errors(dataflow_match.tree_to_token_index, errors)
    logging.disable()
    warnings.simplefilter("ignore")
    if "--in-order" in sys.argv:
        dataflow_match.set = DFG.set = InOrder
    if "--bare" in sys.argv:
        for module in (dataflow_match, syntax_match):
            module.remove_comments_and_docstrings = lambda text, language: text
    for line in sys.stdin:
        language, reference, hypothesis = json.loads(line)
        errors.clear()
        scores = calc_codebleu([reference], [hypothesis], language)
        print(json.dumps([*(scores[part] for part in PARTS), len(errors)]), flush=True)


if __name__ == "__main__":
    main()
