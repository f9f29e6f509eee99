"""Who answers: what holds for any members, loads and sessions, and the words by which skills are found."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from multiscale_transformer.mesh.breaker import FAILURES, LONGEST_PAUSE, Breaker
from multiscale_transformer.mesh.members import Announcement, Member, ModelOffer
from multiscale_transformer.mesh.routing import SLACK, Wanted, choose_target, load_of, session_of, wanted_of
from multiscale_transformer.mesh.skills import skill_of
from multiscale_transformer.server.errors import ApiError


def member(name: str, *models: str, status: Any = "up", skills: tuple[str, ...] = (), **fields: Any) -> Member:
    offers = tuple(ModelOffer(id=model, skills=skills) for model in models or ("m",))
    return Member(Announcement(name=name, url="http://h:1", models=offers, **fields), status, 0.0)


MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["up", "draining", "ill", "gone"]), st.integers(0, 9), st.sets(st.sampled_from("abc"), min_size=1)
    ),
    min_size=1,
    max_size=6,
).map(lambda rows: [member(f"n{k}", *sorted(models), status=s, running=r) for k, (s, r, models) in enumerate(rows)])
SESSIONS = st.binary(max_size=8)


@given(MEMBERS, st.sampled_from("abc"), SESSIONS, st.dictionaries(st.sampled_from(["n0", "n1", "n2"]), st.integers(0, 20)))
def test_who_is_chosen_is_up_has_the_model_and_is_among_the_least_busy(
    members: list[Member], model: str, session: bytes, in_flight: dict[str, int]
) -> None:
    wanted = Wanted(model, None, session)
    able = [one for one in members if one.status == "up" and one.said.offer(model)]
    target = choose_target(wanted, members, in_flight)
    assert (target is None) == (not able)
    if target is not None:
        assert target.member in able
        assert target.model == model
        assert load_of(target.member, in_flight) <= min(load_of(one, in_flight) for one in able) + SLACK


@given(st.integers(2, 8), st.lists(SESSIONS, min_size=1, max_size=50, unique=True), st.data())
def test_only_the_sessions_of_a_member_that_goes_move(count: int, sessions: list[bytes], data: st.DataObject) -> None:
    members = [member(f"n{number}") for number in range(count)]
    gone = data.draw(st.sampled_from(members))
    for session in sessions:
        wanted = Wanted("m", None, session)
        before, after = choose_target(wanted, members, {}), choose_target(wanted, [m for m in members if m != gone], {})
        assert before is not None
        assert after is not None
        assert before.member in (gone, after.member)


@given(MEMBERS, SESSIONS)
def test_the_order_of_the_members_is_of_no_account(members: list[Member], session: bytes) -> None:
    wanted = Wanted("a", None, session)
    assert choose_target(wanted, members, {}) == choose_target(wanted, members[::-1], {})


def test_sessions_spread() -> None:
    members = [member(f"n{number}") for number in range(4)]
    counts = Counter(choose_target(Wanted("m", None, str(n).encode()), members, {}).member.said.name for n in range(1000))  # type: ignore[union-attr]
    assert min(counts.values()) > 150


@given(st.text(min_size=1), st.text(max_size=2000), st.text(max_size=20))
def test_a_session_is_its_name_or_how_its_text_begins(name: str, prompt: str, more: str) -> None:
    assert session_of({"prompt": "x"}, name) == session_of({"prompt": "y"}, name)
    assert session_of({"user": name}, None) == session_of({"user": name, "prompt": prompt}, None)
    long = (prompt + "x" * 600)[:600]
    assert session_of({"prompt": long}, None) == session_of({"prompt": long + more}, None)
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": prompt}]
    later = [*messages, {"role": "assistant", "content": more}, {"role": "user", "content": "and?"}]
    assert session_of({"messages": messages}, None) == session_of({"messages": later}, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
)


@given(st.dictionaries(st.sampled_from(["model", "prompt", "messages", "input", "user", "system", "images"]), JSON))
def test_any_body_is_understood_or_refused(body: dict[str, Any]) -> None:
    members = [member("a", "m", skills=("code", "vision")), member("b", "n", skills=("debug",))]
    refused = None
    try:
        wanted_of(body, None, members)
    except ApiError as error:
        refused = error.status
    assert refused in (None, 400, 404)


@pytest.mark.parametrize(
    ("text", "skill"),
    [
        ("fix the failing test in parser.py", "debug"),
        ("find the bug: the loop never ends", "debug"),
        ("write a function that reverses a list", "code"),
        ("complete this function", "code"),
        ("translate this Python function to JavaScript", "translate"),
        ("write a docstring for parse_args", "document"),
        ("add unit tests for Circle", "test"),
        ("refactor this function", "refactor"),
    ],
)
def test_skills_are_found_by_words(text: str, skill: str) -> None:
    offered = {"code", "debug", "translate", "document", "test", "refactor", "vision"}
    assert skill_of({"messages": [{"role": "user", "content": text}]}, offered) == skill


def test_an_image_is_for_who_can_see() -> None:
    seen = {"messages": [{"role": "user", "content": [{"type": "text", "text": "fix the bug"}, {"type": "image_url"}]}]}
    assert skill_of(seen, {"code", "vision"}) == "vision"
    assert skill_of(seen, {"code"}) == "code"
    assert skill_of({}, set()) is None


def test_a_skill_can_be_asked_for_by_name() -> None:
    members = [member("a", "small", skills=("code",)), member("b", "big", skills=("debug",))]
    target = choose_target(wanted_of({"model": "skill:debug"}, None, members), members, {})
    assert target is not None
    assert (target.member.said.name, target.model) == ("b", "big")
    with pytest.raises(ApiError, match="code, debug"):
        wanted_of({"model": "skill:cook"}, None, members)


@given(st.lists(st.tuples(st.sampled_from(["fail", "succeed", "refuse"]), st.floats(0, 20)), max_size=30))
def test_a_breaker_lets_one_through_after_its_pause_and_all_after_a_success(steps: list[tuple[str, float]]) -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    failures = 0
    for what, seconds in steps:
        now[0] += seconds
        if not breaker.permits():
            assert breaker.state == "open"
            continue
        trial = breaker.state == "half-open"
        breaker.begin()
        assert not trial or not breaker.permits(), "one trial at a time"
        if what == "succeed":
            breaker.succeeded()
            failures = 0
            assert breaker.state == "closed"
        else:
            failures += 1
            breaker.failed(at_once=what == "refuse")
            assert (breaker.state == "open") == (what == "refuse" or trial or failures >= FAILURES or breaker._pause > 0)
            failures = failures if breaker.state == "closed" else FAILURES
    now[0] += LONGEST_PAUSE
    assume(breaker.state != "closed")
    assert breaker.permits(), "nobody is shut out for ever"
