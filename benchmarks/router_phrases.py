"""Requests to the tools of the lab in the words that people use, to learn from and to measure on.

What stands in braces is filled with real names (`benchmarks.router_requests`). The hash of a phrase decides whether it is learnt
from, chosen by, or one of the test, so nobody chose which are easy.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]

ARGUMENTS: dict[str, dict[str, str]] = {  # which argument what stands in braces is, by tool
    "read_file": {"file": "path", "line": "first_line", "last": "last_line"},
    "search_index": {"name": "query", "phrase": "query"},
    "list_dir": {"folder": "path"},
    "edit_lines": {"file": "path", "line": "first_line", "last": "last_line", "text": "text"},
    "run_tests": {"tests": "path", "test": "name"},
    "run_python": {"code": "code"},
    "explain_error": {"error": "message"},
    "refactor": {"file": "path", "name": "function"},
    "translate": {"file": "path", "name": "function"},
    "document": {"file": "path", "name": "function"},
    "complete": {"file": "path", "line": "line"},
    "none": {},
}
FIXED: dict[str, dict[str, str]] = {"translate": {"language": "javascript"}}  # arguments that every request of a tool has

PHRASES: dict[str, tuple[str, ...]] = {
    "read_file": (
        "Show me {file}.", "Open {file}", "What is in {file}?", "Print the contents of {file} please", "cat {file}",
        "Let me see {file}", "I want to look at {file}.", "Display lines {line} to {last} of {file}.",
        "Could you read {file} to me?", "Show {file} from line {line} to line {last}", "What does {file} contain?",
        "View the source of {file}", "Please fetch the text of {file}", "Give me the file {file}.",
        "I need to see what's written in {file}", "Read lines {line}-{last} in {file}", "Pull up {file}",
        "Let's have a look at {file}, lines {line} through {last}", "Dump {file} to the screen",
        "How does {file} look right now?", "Take me to {file}", "Can I see the code in {file}?",
        "Show what's at line {line} to {last} of {file}", "Get me the content of `{file}`",
        "Bring {file} up on the screen", "Print {file} starting at line {line}", "Read through {file}",
    ),
    "search_index": (
        "Where is {name} used?", "Find {name} in the code", "Search for {name}", "grep {name}", "Who calls {name}?",
        "Look for uses of {name}.", "Which files mention {name}?", "Find all places that use {name}",
        "Search the project for \"{phrase}\"", "Is there anything about '{phrase}' in the code base?",
        "Where do we define {name}?", "Locate the definition of {name}", "Show me examples of {name}",
        "Look up {name} in the index", "Where does {name} come from?", "I'm looking for the code that calls {name}",
        "Are there other usages of {name}?", "Find occurrences of '{phrase}'", "Which modules import {name}?",
        "Can you find out where {name} is called from?", "Has anyone written \"{phrase}\" before?",
        "Search all indexed files for {name}", "What else refers to {name}?", "Hunt down every mention of {name}",
        "Any callers of {name}?", "Query the index for \"{phrase}\"", "Point me to where {name} lives",
    ),
    "list_dir": (
        "What files are in {folder}?", "List {folder}", "ls {folder}", "Show the contents of the directory {folder}",
        "What's in the folder {folder}?", "Which modules are under {folder}?", "List all files of this project",
        "Show me the files in {folder}", "Give me a listing of {folder}", "What does the directory {folder} hold?",
        "Which subfolders does {folder} have?", "Enumerate the files below {folder}", "dir {folder}",
        "Let me see what is inside the {folder} folder", "How is {folder} laid out?", "Tree of {folder} please",
        "Can you show me the directory structure of {folder}?", "What lies in {folder}?", "Browse {folder}",
        "Which files belong to {folder}?", "I'd like an overview of the files in {folder}", "List the directory",
        "Tell me the names of the files under {folder}", "Which Python files does the folder {folder} contain?",
        "What do we have in {folder}?", "Look into the directory {folder}",
    ),
    "edit_lines": (
        "Replace line {line} of {file} with `{text}`", "Change line {line} in {file} to `{text}`",
        "In {file}, line {line} should be `{text}`", "Set lines {line} to {last} of {file} to `{text}`",
        "Edit {file}: line {line} becomes `{text}`", "Overwrite lines {line}-{last} in {file} with `{text}`",
        "Put `{text}` on line {line} of {file}", "Please modify line {line} of {file} so that it reads `{text}`",
        "Swap lines {line} through {last} of {file} for `{text}`", "Write `{text}` at line {line} in {file}",
        "Line {line} of {file} is wrong, make it `{text}`", "Update {file} line {line}: `{text}`",
        "Substitute `{text}` for line {line} of {file}", "Rewrite line {line} in {file} as `{text}`",
        "Could you turn line {line} of {file} into `{text}`?", "Correct line {line} of {file} to `{text}`",
        "I want `{text}` instead of lines {line} to {last} in {file}", "{file}:{line} should say `{text}`",
        "Replace lines {line} to {last} in {file} by `{text}`", "Let line {line} in {file} be `{text}`",
        "Exchange what is on line {line} of {file} for `{text}`", "Fix {file} by setting line {line} to `{text}`",
        "Make lines {line} through {last} of {file} read `{text}`", "Patch line {line} of {file} with `{text}`",
        "On line {line} of {file} write `{text}`",
    ),
    "run_tests": (
        "Run the tests", "Run the tests in {tests}", "pytest {tests}", "Do the tests pass?", "Execute {tests}",
        "Check whether {tests} passes", "Run {test} in {tests}", "Please run the whole test suite",
        "Are all tests green?", "Test everything", "Run only {test} from {tests}", "Launch the tests of {tests}",
        "Does {tests} still pass?", "Start the test suite", "Let's see if the tests in {tests} succeed",
        "Can you execute the test {test} of {tests}?", "Run the unit tests under {tests}", "Which tests fail?",
        "Try {tests} again", "Make sure that {tests} is green", "Rerun {tests}", "Verify that the tests in {tests} work",
        "Kick off the tests", "Is {test} in {tests} passing?", "How many tests fail in {tests}?",
        "Go through all the tests once", "Give the test suite in {tests} a spin",
    ),
    "run_python": (
        "Run `{code}`", "Execute `{code}`", "What does `{code}` print?", "Evaluate `{code}`",
        "Run this Python code: ```{code}```", "What is the output of `{code}`?", "Please execute this snippet: `{code}`",
        "Try `{code}` in Python", "What happens when I run `{code}`?", "Calculate `{code}`",
        "Run the following in the sandbox: `{code}`", "python -c \"{code}\"", "Can you run ```{code}``` for me?",
        "What do I get from `{code}`?", "Evaluate the expression `{code}`", "Give me the value of `{code}`",
        "Let Python compute `{code}`", "Execute this: {code}", "Try out the snippet `{code}`",
        "Start a Python process with `{code}`", "What's the result of `{code}`?", "Does `{code}` work?",
        "Type `{code}` into the interpreter", "Print the result of `{code}`", "Run {code}",
        "Show me what `{code}` evaluates to",
    ),
    "explain_error": (
        "What does `{error}` mean?", "Explain this error: {error}", "Why do I get `{error}`?", "I get {error}",
        "What causes `{error}`?", "Help, my program crashes with `{error}`", "Explain the exception `{error}`",
        "My code fails with {error}", "How does `{error}` come about?", "Tell me what went wrong: {error}",
        "I don't understand this traceback: {error}", "What is the meaning of the error \"{error}\"?",
        "Python says `{error}`, why?", "It raises `{error}` and I have no idea why", "What's behind `{error}`?",
        "Can you make sense of `{error}`?", "Diagnose `{error}`", "Reason for `{error}`?",
        "The script dies with `{error}`", "Interpret this message for me: {error}", "Got `{error}` again, what's up?",
        "When is `{error}` raised?", "Why is this thrown: `{error}`", "Clarify the error message `{error}`",
        "Where does an error like `{error}` come from?", "I keep running into `{error}`",
    ),
    "refactor": (
        "Refactor {file}", "Clean up {name} in {file}", "Simplify {file}", "Tidy up {file} please",
        "Make {name} in {file} simpler", "Refactor the function {name} of {file}", "Restructure {name} in {file}",
        "The code in {file} is ugly, improve it", "Can you refactor {name} in {file}?", "Modernise {file}",
        "Make {file} more readable", "Reduce the complexity of {name} in {file}", "Rewrite {name} from {file} more cleanly",
        "{name} in {file} is too convoluted, straighten it out", "Streamline {file}", "Get rid of the clutter in {file}",
        "Please improve the style of {file}", "Could {name} in {file} be written more simply?", "Polish {file}",
        "Clean {file}", "I'd like {name} in {file} to be cleaner", "Remove redundant code from {file}",
        "Make the function {name} in {file} nicer without changing what it does", "Rework {name} of {file}",
        "Shorten {name} in {file}", "Beautify the code of {file}",
    ),
    "translate": (
        "Translate {file} to JavaScript", "Convert {name} in {file} to JavaScript", "Port {file} to JavaScript",
        "Rewrite {name} from {file} in JavaScript", "I need {file} as JavaScript", "Turn {file} into JavaScript",
        "Make a JavaScript version of {name} in {file}", "How would {name} from {file} look in JavaScript?",
        "Transpile {file} to JS", "Give me {name} of {file} in JavaScript", "Can you port {name} in {file} to JS?",
        "Translate the function {name} of {file} into JavaScript", "JavaScript equivalent of {file}, please",
        "Express {name} from {file} in JavaScript", "We need {file} in JavaScript for the browser",
        "Move {name} in {file} over to JavaScript", "Write {file} in JS instead of Python",
        "Produce JavaScript from {file}", "Migrate {file} to JavaScript", "Generate JavaScript code for {name} in {file}",
        "Would you translate {file} for node, into JavaScript?", "Re-implement {name} of {file} in JavaScript",
        "What is {file} in JavaScript?", "From Python to JavaScript: {file}", "Recast {file} as JavaScript",
    ),
    "document": (
        "Document {file}", "Add docstrings to {file}", "Write a docstring for {name} in {file}",
        "{name} in {file} has no docstring, write one", "Please document the function {name} of {file}",
        "Generate documentation for {file}", "The functions in {file} lack docstrings", "Docstrings for {file} please",
        "Describe {name} in {file} with a docstring", "Can you write the documentation of {name} in {file}?",
        "Fill in the missing docstrings in {file}", "Add documentation to {name} in {file}", "Put a docstring on {name} in {file}",
        "I need docs for {file}", "Give every function in {file} a docstring", "Create docstrings for {file}",
        "Make {file} well documented", "{file} is undocumented, please fix that", "Write up what {name} in {file} does as a docstring",
        "Supply {name} in {file} with a docstring", "Let's document {name} from {file}", "Annotate {file} with docstrings",
        "Compose a doc comment for {name} in {file}", "Nobody documented {file} yet, do it",
        "Could {name} in {file} get some documentation?",
    ),
    "complete": (
        "Complete {file}", "Finish the code in {file}", "Continue {file} at line {line}", "Complete the code at line {line} of {file}",
        "What comes next in {file} after line {line}?", "Go on writing {file}", "Autocomplete line {line} in {file}",
        "Fill in the rest of {file}", "Finish what I started in {file}", "Please complete line {line} in {file}",
        "Continue the function at line {line} of {file}", "Write on from line {line} of {file}", "Suggest how {file} goes on",
        "How should {file} continue at line {line}?", "Propose a completion at line {line} of {file}", "Fill the gap at line {line} in {file}",
        "Keep writing at the end of {file}", "Extend {file} from line {line}", "{file} ends abruptly, complete it",
        "I stopped at line {line} of {file}, carry on", "Give me a completion for {file}", "Code completion for {file}, line {line}",
        "Finish line {line} in {file}", "Pick up at line {line} of {file} and keep going", "Carry on with {file}",
    ),
    "none": (
        "Hello", "Thanks a lot!", "What's the weather in Paris?", "How are you today?", "Tell me a joke", "Who won the match yesterday?",
        "Order a pizza for me", "Good morning", "Play some music", "What is the capital of France?", "Book a flight to London on Friday",
        "Remind me to call my mother at 5 pm", "You are great", "Never mind", "Who are you?", "Send an email to Anna",
        "What time is it in Tokyo?", "How much is 30 euros in dollars?", "Write me a poem about the sea", "ok", "Set an alarm for 7 am",
        "Recommend a good restaurant nearby", "Draw a picture of a cat", "How tall is Mount Everest?", "That's all for now, bye",
        "Turn off the lights in the kitchen", "When was Napoleon born?", "I am bored", "Translate 'good night' to French",
        "What do you think about politics?", "Buy two tickets for the concert", "Where can I park my car?", "Stop", "Please wait",
        "Find me a hotel in Rome", "What's the stock price of the company?", "How do I cook rice?", "My dog is ill", "Nice work",
        "Search for cheap shoes", "Deploy the app to production", "Push this branch to GitHub", "Restart my computer",
        "Create a new database user", "Upgrade the operating system", "Install the printer driver", "Delete the virtual machine",
        "Open the door", "Read me a bedtime story", "Run a marathon", "Complete my tax return", "Explain the French Revolution",
    ),
}  # fmt: skip


def split_of_phrase(phrase: str) -> Split:
    """Which split a phrase belongs to: half of them train, a quarter are the test."""
    at = hashlib.sha256(phrase.encode()).digest()[0] % 8
    return "test" if at < 2 else "validation" if at < 4 else "train"
