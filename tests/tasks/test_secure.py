"""The skill secure: each fault that a rule makes it can mend, look-alikes are told apart, and what is shown was verified."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.cli.main import main
from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.edit_format import applied, read_hunks
from multiscale_transformer.tasks.examples import split_examples, split_of, write_examples
from multiscale_transformer.tasks.fix_order import Gains, Order, save_order
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.secure import order as secure_order
from multiscale_transformer.tasks.secure.check import bandit_findings, ruff_findings, same_code, verified
from multiscale_transformer.tasks.secure.code import Code
from multiscale_transformer.tasks.secure.file import repaired, repairs_of
from multiscale_transformer.tasks.secure.learn import learn_weights
from multiscale_transformer.tasks.secure.order import SecureWeights, Weights, features_of, judge, load_weights
from multiscale_transformer.tasks.secure.rules import RULES, injections, repairs, rule_of
from multiscale_transformer.tasks.secure.secure import CLEAN, best_verified, flush, make_examples, measure
from multiscale_transformer.tasks.skill import Measurement, load_skill
from multiscale_transformer.tasks.source_text import SourceText, parses, qualified_functions
from tiny import SHAPES, checkpoint

SAFE = {
    "hash": ["h = hashlib.sha256(x).hexdigest()", "h = sha256(x)", "h = hmac.new(k, x, hashlib.sha512)"],
    "random": ["t = secrets.token_hex(16)", "t = secrets.choice(x)", "t = uuid.uuid4()", "t = os.urandom(8)"],
    "yaml": ["d = yaml.safe_load(x)", "d = yaml.load(x, Loader=yaml.SafeLoader)"],
    "tls": ["c = ssl.create_default_context(cafile=x)", "c.verify_mode = ssl.CERT_REQUIRED"],
    "eval": ["v = ast.literal_eval(x)", "v = json.loads(x)"],
    "pickle": ["v = json.load(x)"],
    "temp": ["d = tempfile.mkdtemp(prefix=x)", "p = tempfile.mkstemp()[1]"],
    "pattern": ["re.compile('^' + re.escape(x))", "'|'.join(re.escape(y) for y in x)  # regex"],
    "markup": ["return '<b>%s</b>' % html.escape(x)", "s = f'<i>{escape(x.y)}</i>'", "html.append(quoteattr(x))"],
    "shell quote": ["os.system('ls ' + shlex.quote(x))"],
    "url quote": ["url = base + urllib.parse.quote(x)", "return f'{url}/{quote(x)}'"],
    "path": ["p = os.path.join(root, os.path.basename(x))", "p = upload / secure_filename(x)\n    q = str(secure_filename(p))"],
    "compare": ["return hmac.compare_digest(a, x)", "if not compare_digest(a, x.y):\n        return 1"],
    "mode": ["os.chmod(x, 0o600)"],
    "flag": ["e = Environment(autoescape=True)", "c.check_hostname = True", "np.load(x, allow_pickle=False)"],
    "bind": ["s.bind(('127.0.0.1', x))", 'serve(host="localhost")'],
    "https": ["u = 'https://' + x", 'u = "https://a.b/c"'],
    "timeout": ["r = requests.get(x, timeout=10)", "subprocess.run(x, timeout=60)", "urlopen(timeout=5, url=x)"],
    "tar": ["t.extractall(x, filter='data')"],
    "verify": ["r = session.post(x, json=a)"],
    "shell": [
        'subprocess.run(["git", "log", x, f"--n={a}"], check=True)',
        "check_output(['ls', '-l'])",
        "subprocess.call(x)",
    ],
    "sql": ["c.execute('SELECT a FROM b WHERE c = ?', (x,))", 'c.execute("SELECT %s, %s", [x, a])'],
}
TEXTS = [f"def f(self, a, x):\n    {line}\n    return a\n" for lines in SAFE.values() for line in lines]
LOGIN = """\
'''Accounts.'''
import os


class Accounts:
    def verify(self, token, signature):
        digest = self.hmac(self.secret, token).hexdigest()
        if signature == digest:
            return True
        return False

    def log(self):
        return len(self.names)
"""


def function_of(line: str) -> str:
    return f"def f(self, a, x):\n    {line}\n    return a\n"


def test_there_is_a_line_for_each_rule() -> None:
    assert set(SAFE) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_what_a_rule_breaks_it_can_mend_to_the_letter(rule: str) -> None:
    for line in SAFE[rule]:
        text = function_of(line)
        faults = [fault for fault in injections(Code(text)) if rule_of(fault) == rule]
        assert faults, line
        for fault in faults:
            unsafe = fault.apply(text)
            assert unsafe != text
            assert parses(unsafe)
            mended = {repair.apply(unsafe) for repair in repairs(Code(unsafe)) if rule_of(repair) == rule}
            moved = "timeout=5, url" in line  # a keyword comes back behind the others
            assert any(same_code(one, text) for one in mended) if moved else text in mended, unsafe


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([line for lines in SAFE.values() for line in lines]), min_size=1, max_size=5))
def test_faults_among_other_lines_are_mended_too(lines: list[str]) -> None:
    text = function_of("\n    ".join(lines))
    for fault in random.Random(text).sample(faults := injections(Code(text)), min(3, len(faults))):
        unsafe = fault.apply(text)
        mended = [repair for repair in repairs(Code(unsafe)) if same_code(repair.apply(unsafe), text)]
        assert mended, unsafe
        assert verified(unsafe, mended[0]), unsafe


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.sampled_from(TEXTS), st.integers(0, 80))
def test_any_text_that_parses_can_be_read(piece: str, text: str, at: int) -> None:
    text = text[:at] + piece + text[at:]
    if parses(text):
        code = Code(text)
        for edit in [*injections(code), *(found := repairs(code))]:
            edit.apply(text)
        assert len(features_of(code, found)) == len(found)


@pytest.mark.parametrize(
    "line",
    [
        "a(x)[1:]",
        "x == a",
        "f'{a!r:>{x}}'",
        "x.execute('%d' % a)",
        "run(*x, shell=True)",
        "g(i for i in x)",
        "get(x  # c\n    )",
    ],
)
def test_odd_code_does_no_harm(line: str) -> None:
    for repair in repairs(Code(text := function_of(line))):
        assert repair.apply(text) != text


def test_a_repair_that_changes_more_is_not_verified() -> None:
    text = function_of("return x == a")
    good = repairs(Code(text))[0]
    assert verified(text, good)
    for wrong in ("return x", "return (x", "return eval(x)", "return x == a"):
        bad = good.__class__(good.start - 7, good.end, wrong, good.operator, good.line)
        assert verified(text, bad) == (wrong == "return x"), wrong  # the place is gone, in a function of the same arguments
    head = good.__class__(4, 5, "g", good.operator, 1)
    assert not verified(text, head)


def test_linters_are_asked_about_a_function_alone() -> None:
    functions = ["def f(x):\n    return subprocess.run(x, shell=True)\n", "def f(x):\n    assert x\n    return x\n"]
    assert [bool(found) for found in ruff_findings(functions)] == [True, False]
    found = bandit_findings(functions)
    assert found is not None
    assert [bool(one) for one in found] == [True, False]


def test_examples_are_mended_by_their_answers_and_half_of_them_are_clean() -> None:
    texts = [PackageText(f"p{n}", "MIT", "a.py", text.replace("x", f"x{n}")) for n, text in enumerate(TEXTS * 3)]
    examples = make_examples(texts)
    unsafe = [example for example in examples if example.rule != CLEAN]
    assert {example.rule for example in unsafe} > {"hash", "compare", "shell"}
    for example in unsafe:
        original = applied(example.prompt, read_hunks(example.answer) or [])
        assert original in {text.text for text in texts} | {text.text.rstrip() for text in texts}
        assert original != example.prompt
    clean = [example for example in examples if example.rule == CLEAN]
    assert 0 < len(clean) <= len(unsafe) + 3
    assert {example.answer for example in clean} == {"=\n"}
    assert any(repairs(Code(example.prompt)) for example in clean)


def test_look_alikes_are_told_apart_by_what_was_learnt() -> None:
    texts = []
    for n in range(60):
        safe = f"def check{n}(token, key{n}):\n    a = {n}\n    return hmac.compare_digest(token, key{n})\n"
        harmless = f"def find{n}(name, other{n}):\n    # compare_digest(\n    b = {n}\n    return name == other{n}\n"
        texts += [PackageText(f"p{n}", "MIT", "a.py", safe), PackageText(f"q{n}", "MIT", "a.py", harmless)]
    examples = make_examples(texts)
    train = [example for example in examples if split_of(example.package) == "train"]
    weights = learn_weights(train, train, Nothing(), most=50)
    assert judge("def check(token, key):\n    return token == key\n", weights).unsafe
    assert not judge("def find(name, other):\n    return name == other\n", weights).unsafe
    assert not judge("def f():\n    pass\n", weights).unsafe


class Nothing(Gains):
    """A model without an opinion."""

    def __init__(self) -> None:
        pass

    def of(self, text: str, edits: object) -> list[dict[str, float]]:
        return [{"between": 0.0, "after": 0.0} for _ in edits]  # type: ignore[attr-defined]


def test_the_shipped_weights_know_a_signature_from_a_name() -> None:
    weights = load_weights()
    function = flush("    def verify" + LOGIN.split("def verify")[1].split("    def log", maxsplit=1)[0].rstrip())
    assert function is not None
    found = judge(function, weights)
    assert found.unsafe
    edit = best_verified(function, found)
    assert edit is not None
    assert rule_of(edit) == "compare"
    assert not judge("def same(self, other):\n    return self.name == other.name\n", weights).unsafe


def test_repairs_stand_in_the_file_and_bring_their_imports() -> None:
    weights = SecureWeights(
        **dict.fromkeys(("alone", "with_model"), Weights(order=Order(weights={"compare": 3.0}), threshold=0.1))
    )
    source = SourceText(LOGIN)
    found = [one for name, node in qualified_functions(source.tree) for one in repairs_of(source, name, node, weights, None)]
    after, kept = repaired(source, found)
    assert [(one.function, one.rule, one.edit.line) for one in kept] == [("Accounts.verify", "compare", 8)]
    assert after == LOGIN.replace("import os\n", "import hmac\nimport os\n").replace(
        "signature == digest", "hmac.compare_digest(signature, digest)"
    )
    assert repaired(source, []) == (LOGIN, [])


def test_weights_are_kept_in_a_file(tmp_path: Path) -> None:
    weights = load_weights()
    save_order(weights, tmp_path / "weights.json")
    assert load_weights(tmp_path / "weights.json") == weights
    (tmp_path / "weights.json").write_text("[]")
    with pytest.raises(AxlError, match="holds no weights"):
        load_weights(tmp_path / "weights.json")


def test_a_model_is_asked_about_the_best_and_measured_beside_rivals(tmp_path: Path) -> None:
    checkpoint(SHAPES["memory"].model_copy(update={"max_seq_len": 1024}), tmp_path / "model")
    gains = Gains(load_engine(tmp_path / "model"))
    found = judge(function_of("return x == a"), load_weights(), gains)
    assert 0 < len(found.edits) <= secure_order.BEST
    assert 0 <= found.probability <= 1
    texts = [PackageText("networkx", "BSD", "a.py", text.replace("x", f"x{n}")) for n, text in enumerate(TEXTS[:12])]
    write_examples(tmp_path / "data", split_examples(make_examples(texts)), {})
    figures = measure(Measurement(open_scheduler(tmp_path / "model", threads=1), None, tmp_path / "data", most=4))
    assert figures.examples == 4
    assert {"precision", "recall", "F1", "fixed", "false alarms per 1,000 clean"} == set(figures.figures)
    assert {"without the model", "every place that a rule names", "ruff S"} <= set(figures.rivals)
    assert load_skill("secure").name == "secure"


def test_the_command_shows_writes_and_says_where_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 1024}), tmp_path / "model")
    file = tmp_path / "accounts.py"
    file.write_text(LOGIN)
    words = ["secure", str(file)]
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert shown["repairs"][0]["rule"] == "compare"
    assert not shown["applied"]
    assert file.read_text() == LOGIN
    assert main([*words, "--apply"]) == 0
    assert "+import hmac" in capsys.readouterr().out
    assert "compare_digest(signature, digest)" in file.read_text()
    assert parses(file.read_text())
    assert main([*words[:1], f"{file}:Accounts.log", *words[2:]]) == 1
    assert "nothing unsafe" in capsys.readouterr().out
