"""Who is in the mesh: leases by a clock that only the registry has, and a file from which it begins again."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import ValidationError

from multiscale_transformer.errors import AxlError
from multiscale_transformer.mesh.members import LEASE_SECONDS, Announcement, Member, ModelOffer, checked_url
from multiscale_transformer.mesh.registry import MAX_MEMBERS, Registry
from multiscale_transformer.mesh.runner import Charge
from multiscale_transformer.mesh.store import CHARGE_SECONDS, Store
from multiscale_transformer.server.errors import ApiError

NAMES = ("coder", "debugger", "vision")


def said(name: str, **fields: object) -> Announcement:
    given = {"url": f"http://10.0.0.{len(name)}:8901", "models": (ModelOffer(id=f"{name}-model", skills=("code",)),)}
    return Announcement(name=name, **{**given, **fields})  # type: ignore[arg-type]


class Registries(RuleBasedStateMachine):
    """Heartbeats, silence, goodbyes, drains and restarts in any order, beside what should have come of them."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1000.0
        self.until: dict[str, float] = {}
        self.drained: set[str] = set()
        self.well: dict[str, bool] = {}
        self.open()

    def open(self) -> None:
        self.store = Store(Path(self.folder.name) / "mesh.sqlite")
        self.registry = Registry(self.store, clock=lambda: self.now)

    @rule(name=st.sampled_from(NAMES), healthy=st.booleans(), running=st.integers(0, 9))
    def beat(self, name: str, healthy: bool, running: int) -> None:
        assert self.registry.announce(said(name, healthy=healthy, running=running)) == (name in self.drained)
        self.until[name], self.well[name] = self.now + LEASE_SECONDS, healthy

    @rule(seconds=st.floats(0.0, 2 * LEASE_SECONDS))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from(NAMES), drained=st.booleans())
    def drain(self, name: str, drained: bool) -> None:
        if name not in self.until:
            with pytest.raises(ApiError):
                self.registry.drain(name, drained=drained)
            return
        self.registry.drain(name, drained=drained)
        (self.drained.add if drained else self.drained.discard)(name)

    @rule(name=st.sampled_from(NAMES))
    def leave(self, name: str) -> None:
        if name in self.until:
            self.registry.leave(name)
            self.until[name] = self.now

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open()
        self.until = dict.fromkeys(self.until, self.now + LEASE_SECONDS)

    @invariant()
    def is_as_it_should_be(self) -> None:
        if not hasattr(self, "registry"):
            return
        expected = {}
        for name, until in self.until.items():
            alive = "ill" if not self.well[name] else "draining" if name in self.drained else "up"
            expected[name] = alive if self.now < until else "gone"
        assert {member.said.name: member.status for member in self.registry.members()} == expected

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestRegistries = Registries.TestCase


def test_a_clock_that_is_set_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(Store(tmp_path / "s"))
    assert registry._clock is time.monotonic
    registry.announce(said("coder"))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    registry.announce(said("coder"))
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert [member.status for member in registry.members()] == ["up"]


def test_a_name_belongs_to_who_is_alive(tmp_path: Path) -> None:
    now = [0.0]
    registry = Registry(Store(tmp_path / "s"), clock=lambda: now[0])
    registry.announce(said("coder", url="http://a:1"))
    with pytest.raises(ApiError, match="http://a:1"):
        registry.announce(said("coder", url="http://b:1"))
    now[0] += LEASE_SECONDS
    registry.announce(said("coder", url="http://b:1"))
    assert [member.said.url for member in registry.members()] == ["http://b:1"]


def test_there_are_only_so_many_and_the_dead_make_room(tmp_path: Path) -> None:
    now = [0.0]
    registry = Registry(Store(tmp_path / "s"), clock=lambda: now[0])
    for number in range(MAX_MEMBERS):
        registry.announce(said(f"m{number}", url=f"http://h:{number + 1}"))
    with pytest.raises(ApiError, match="the most"):
        registry.announce(said("more"))
    now[0] += LEASE_SECONDS
    registry.announce(said("more"))
    assert len(registry.members()) == MAX_MEMBERS


def test_who_is_gone_can_be_forgotten_and_who_is_alive_cannot(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    registry = Registry(store)
    registry.announce(said("coder"))
    with pytest.raises(ApiError, match="alive"):
        registry.forget("coder")
    registry.leave("coder")
    registry.drain("coder", drained=True)
    registry.forget("coder")
    assert registry.members() == [] == store.members()
    assert store.drained() == set()


def test_what_happened_is_noted(tmp_path: Path) -> None:
    registry = Registry(Store(tmp_path / "s"))
    registry.announce(said("coder"))
    registry.announce(said("coder", running=5))
    registry.drain("coder", drained=True)
    registry.leave("coder")
    assert [what for _, _, what in registry.events.latest] == ["up", "draining", "gone"]


def test_the_file_is_for_its_owner_alone_and_a_damaged_row_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = Store(path)
    store.keep(said("coder", key="secret"), 1.0)
    store.close()
    assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(path) as sql:
        sql.execute("INSERT INTO members VALUES ('x', '{', 1), ('y', '{}', 2)")
    assert [(one.name, one.key) for one, _ in Store(path).members()] == [("coder", "secret")]


def test_a_file_of_another_kind_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"no database at all" * 100)
    with pytest.raises(AxlError, match="--state"):
        Store(tmp_path / "s")
    with pytest.raises(AxlError, match="--state"):
        Store(tmp_path)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.floats(0, 2 * CHARGE_SECONDS)), max_size=20))
def test_one_at_a_time_is_in_charge(steps: list[tuple[str, float]]) -> None:
    """Whoever asks gets the charge exactly when the other has not renewed it for so long."""
    with tempfile.TemporaryDirectory() as folder:
        store, now, holder, until = Store(Path(folder) / "s"), 100.0, "", 0.0
        for who, seconds in steps:
            now += seconds
            expected = holder in ("", who) or now >= until
            assert store.take_charge(who, now) == expected
            if expected:
                holder, until = who, now + CHARGE_SECONDS
        store.close()


def test_a_charge_from_before_the_machine_started_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    assert store.take_charge("old", 1e6)
    assert store.take_charge("new", 50.0), "the clock began anew"
    assert not store.take_charge("old", 50.5)
    store.give_up_charge("new")
    assert store.take_charge("old", 50.6)


def test_a_registry_waits_for_the_charge_of_one_that_was_killed_and_is_refused_that_of_one_that_lives(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    assert store.take_charge("killed", time.monotonic() - CHARGE_SECONDS + 0.3)
    Charge(store).take(standby=False, say=pytest.fail)
    living = Charge(Store(tmp_path / "other"))
    living.take(standby=False, say=pytest.fail)
    living.keep(lambda: pytest.fail("nobody else may take it"))
    with pytest.raises(AxlError, match="another registry is in charge"):
        Charge(Store(tmp_path / "other")).take(standby=False, say=pytest.fail)
    living.give_up()


@pytest.mark.parametrize("url", ["http://h:1", "https://h", "http://[::1]:8901", "http://h:1/prefix", "http://h:1/v1/"])
def test_addresses(url: str) -> None:
    assert checked_url(url) == url.removesuffix("/v1/")


@pytest.mark.parametrize(
    "url",
    ["h:1", "ftp://h", "http://", "http://u:p@h", "http://h?x", "http://h#x", "http://h:x", "http://h:0", "http://h:99999",
     "http://h\r\nX: y", "http://h h", "http://é", "file:///etc/passwd", "http://h:1/\x00"],
)  # fmt: skip
def test_no_addresses(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        checked_url(url)


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.integers() | st.floats(), st.lists, max_leaves=3)))
def test_what_strangers_send_is_an_announcement_or_is_refused(fields: dict[str, object]) -> None:
    try:
        one = Announcement.model_validate({"name": "n", "url": "http://h:1", **fields})
    except ValidationError:
        return
    assert Member.from_json(Member(one, "up", 0.0).as_json(secret=True)) is not None


def test_members_come_back_from_json_whole_and_their_keys_only_where_wished() -> None:
    member = Member(said("coder", key="secret", running=3), "up", 5.0, 0.25)
    assert Member.from_json(member.as_json(secret=True)) == member
    assert "key" not in member.as_json(secret=False)
    assert "secret" not in repr(member)
    for damaged in ({}, [], None, {"name": "n"}, {**member.as_json(secret=True), "joined": "x"}):
        assert Member.from_json(damaged) is None
