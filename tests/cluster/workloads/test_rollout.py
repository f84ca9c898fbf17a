"""The maths of a rollout: tables of single steps, then whole rollouts on a simulated cluster that lags and stumbles."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mizzen.apis.apps import Deployment, ReplicaSet
from mizzen.cluster.workloads import rollout
from mizzen.cluster.workloads.revisions import DESIRED_ANNOTATION, MAX_ANNOTATION
from workload_objects import ago, deployment, replica_set, template


def _rolling(surge: int | str = "25%", unavailable: int | str = "25%") -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


@pytest.mark.parametrize(
    ("replicas", "strategy", "bounds"),
    [
        (4, {}, (1, 1)),
        (3, _rolling(), (1, 0)),
        (10, _rolling(), (3, 2)),
        (1, _rolling(), (1, 0)),
        (10, _rolling("30%", "15%"), (3, 1)),
        (10, _rolling(2, 3), (2, 3)),
        # Nothing could move if both were zero.
        (10, _rolling(0, 0), (0, 1)),
        (3, _rolling(0, "10%"), (0, 1)),
        # No more can be missing than there are.
        (2, _rolling(0, 5), (0, 2)),
        (0, _rolling(), (0, 0)),
        (5, _rolling("100%", "100%"), (5, 5)),
        (5, {"type": "Recreate"}, (0, 0)),
    ],
)
def test_surge_is_rounded_up_and_unavailability_down(
    replicas: int, strategy: dict[str, Any], bounds: tuple[int, int]
) -> None:
    assert rollout.bounds(deployment(replicas=replicas, strategy=strategy)) == bounds


def _noted(replicas: int, surge: int = 1) -> dict[str, str]:
    return {DESIRED_ANNOTATION: str(replicas), MAX_ANNOTATION: str(replicas + surge)}


def _sizes(steps: list[rollout.Step]) -> dict[str, int]:
    """What the steps make of the sizes: of a new replica set under "new"."""
    found = {}
    for step in steps:
        match step:
            case rollout.Create(body):
                found["new"] = body["spec"]["replicas"]
            case rollout.Scale(target, replicas, _):
                found[target.name] = replicas
            case _:
                raise AssertionError(step)
    return found


OLD, NEW = "a:1", "a:2"


@pytest.mark.parametrize(
    ("replicas", "bounds", "new", "old", "sizes"),
    [
        # (size, available) of the new set and of the old ones, oldest first.
        pytest.param(4, (1, 1), None, [], {"new": 4}, id="the first replica set gets all"),
        pytest.param(4, (1, 1), None, [(4, 4)], {"new": 1}, id="a new one gets the surge"),
        pytest.param(4, (0, 1), None, [(4, 4)], {"new": 0}, id="no surge, nothing at first"),
        pytest.param(4, (0, 1), (0, 0), [(4, 4)], {"old0": 3}, id="no surge: one old goes first"),
        pytest.param(4, (0, 1), (0, 0), [(3, 3)], {"new": 1}, id="and makes room"),
        pytest.param(4, (1, 0), (1, 0), [(4, 4)], {}, id="wait until the new one is available"),
        pytest.param(4, (1, 0), (1, 1), [(4, 4)], {"old0": 3}, id="then one old can go"),
        pytest.param(4, (1, 0), (1, 1), [(3, 3)], {"new": 2}, id="growing comes first"),
        pytest.param(4, (1, 0), (4, 4), [(1, 1)], {"old0": 0}, id="the last old one"),
        pytest.param(4, (1, 1), (1, 0), [(4, 2)], {"old0": 3}, id="the unhealthy go without harm"),
        pytest.param(4, (4, 0), (4, 3), [(4, 1)], {"old0": 1}, id="all unhealthy ones at once, if they may be spared"),
        pytest.param(4, (1, 0), (2, 2), [(2, 2), (1, 1)], {"old0": 1}, id="the oldest goes first"),
        pytest.param(4, (1, 1), (6, 6), [], {"new": 4}, id="too large"),
        pytest.param(4, (1, 1), (4, 4), [], {}, id="done"),
    ],
)
def test_one_step_of_a_rolling_update(
    replicas: int,
    bounds: tuple[int, int],
    new: tuple[int, int] | None,
    old: list[tuple[int, int]],
    sizes: dict[str, int],
) -> None:
    web = deployment(replicas=replicas, image=NEW, strategy=_rolling(*bounds))
    noted = _noted(replicas, bounds[0])
    sets = [
        replica_set(f"old{i}", replicas=size, available=available, image=OLD + str(i), age=900 - i, annotations=noted)
        for i, (size, available) in enumerate(old)
    ]
    if new is not None:
        present = replica_set(
            "new", replicas=new[0], available=new[1], image=NEW, revision=2, age=10, annotations=noted
        )
        sets.append(present)
    assert _sizes(rollout.plan(web, sets)) == sizes


@pytest.mark.parametrize(("new_status", "old_status"), [(2, 3), (2, 4), (3, 3), (4, 4)])
def test_a_status_that_lags_behind_a_scale_down_does_not_count_the_pods_that_go(
    new_status: int, old_status: int
) -> None:
    web = deployment(replicas=4, image=NEW, strategy=_rolling(1, 0))
    new = replica_set("new", replicas=2, actual=new_status, image=NEW, revision=2, annotations=_noted(4))
    old = replica_set("old", replicas=3, actual=old_status, image=OLD, age=900, annotations=_noted(4))
    assert _sizes(rollout.plan(web, [new, old])) == {"old": 2}


@pytest.mark.parametrize(
    ("replicas", "before", "sets", "sizes"),
    [
        # Sizes and availability by name; "new" has the present template.
        pytest.param(5, 3, {"new": (3, 3)}, {"new": 5}, id="one set takes it all"),
        pytest.param(1, 3, {"new": (3, 3)}, {"new": 1}, id="down as well"),
        pytest.param(0, 3, {"new": (3, 3)}, {"new": 0}, id="to nothing"),
        pytest.param(15, 10, {"old": (8, 8), "new": (5, 3)}, {"old": 11, "new": 7}, id="a rollout shares growth"),
        pytest.param(5, 10, {"old": (8, 8), "new": (5, 3)}, {"old": 5, "new": 3}, id="and shrinking"),
        pytest.param(0, 10, {"old": (8, 8), "new": (5, 3)}, {"old": 0, "new": 0}, id="a rollout to nothing"),
        pytest.param(5, 3, {"old": (1, 1), "new": (5, 5)}, {"old": 0, "new": 5}, id="a saturated new set needs no old"),
    ],
)
def test_a_change_of_size_is_shared_in_proportion(
    replicas: int, before: int, sets: dict[str, tuple[int, int]], sizes: dict[str, int]
) -> None:
    # The surge of the example in the Kubernetes documentation: 10 replicas, maxSurge 3.
    surge = 3
    web = deployment(replicas=replicas, image=NEW, strategy=_rolling(surge, 2), status={"replicas": 13})
    found = [
        replica_set(
            name,
            replicas=size,
            available=available,
            image=NEW if name == "new" else OLD,
            revision=2 if name == "new" else 1,
            age=10 if name == "new" else 900,
            annotations=_noted(before, surge),
        )
        for name, (size, available) in sets.items()
    ]
    steps = rollout.plan(web, found)
    assert _sizes(steps) == sizes
    assert all(
        step.patch["metadata"]["annotations"][DESIRED_ANNOTATION] == str(replicas)
        for step in steps
        if isinstance(step, rollout.Scale)
    )


@pytest.mark.parametrize(
    ("new", "old", "busy", "sizes"),
    [
        (None, [(3, 3)], {"old0-uid"}, {"old0": 0}),
        pytest.param(None, [(0, 2)], {"old0-uid"}, {}, id="its status still shows pods"),
        pytest.param(None, [(0, 0)], {"old0-uid"}, {}, id="the last pod is still ending"),
        pytest.param(None, [(0, 0)], set(), {"new": 3}, id="all gone"),
        pytest.param((0, 0), [(0, 0)], {"new-uid"}, {"new": 3}, id="back to an old template"),
        pytest.param((3, 1), [(0, 0)], {"new-uid"}, {}, id="done"),
    ],
)
def test_recreate_waits_until_the_old_pods_are_gone(
    new: tuple[int, int] | None, old: list[tuple[int, int]], busy: set[str], sizes: dict[str, int]
) -> None:
    web = deployment(replicas=3, image=NEW, strategy={"type": "Recreate"})
    noted = _noted(3, 0)
    sets = [
        replica_set(f"old{i}", replicas=size, actual=actual, image=OLD, age=900, annotations=noted)
        for i, (size, actual) in enumerate(old)
    ]
    if new is not None:
        sets.append(replica_set("new", replicas=new[0], actual=new[1], image=NEW, revision=2, annotations=noted))
    assert _sizes(rollout.plan(web, sets, busy)) == sizes


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    web = deployment(replicas=5, image=NEW, paused=True)
    old = replica_set("old", replicas=3, image=OLD, annotations=_noted(3))
    assert _sizes(rollout.plan(web, [old])) == {"old": 5}
    settled = replica_set("old", replicas=5, image=OLD, annotations=_noted(5, 2))
    assert rollout.plan(web, [settled]) == []


def test_going_back_to_an_old_template_makes_its_replica_set_the_newest_revision() -> None:
    web = deployment(replicas=3, image=OLD)
    first = replica_set("first", replicas=0, image=OLD, revision=1, age=900, annotations=_noted(3))
    second = replica_set("second", replicas=3, image=NEW, revision=2, age=100, annotations=_noted(3))
    [step] = rollout.plan(web, [first, second])
    assert isinstance(step, rollout.Amend)
    assert step.target is first
    annotations = step.patch["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"


@pytest.mark.parametrize(
    ("limit", "removed"),
    [(10, []), (2, ["r1"]), (1, ["r1", "r2"]), (0, ["r1", "r2"]), (2**31 - 1, [])],
)
def test_the_history_is_kept_to_its_limit_and_never_takes_pods_with_it(limit: int, removed: list[str]) -> None:
    web = deployment(replicas=3, image="a:9", revisionHistoryLimit=limit)
    sets = [replica_set(f"r{i}", replicas=0, image=f"a:{i}", revision=i, annotations=_noted(3)) for i in (1, 2)]
    # Still has a pod by its status: not to be removed, although the limit would have it.
    sets.append(replica_set("r3", replicas=0, actual=0, image="a:3", revision=3, annotations=_noted(3)))
    sets[-1].metadata.generation, sets[-1].status.observed_generation = 2, 1
    sets.append(replica_set("new", replicas=3, image="a:9", revision=4, annotations=_noted(3)))
    steps = rollout.plan(web, sets)
    assert [step.target.name for step in steps if isinstance(step, rollout.Remove)] == removed
    assert len(steps) == len(removed)


def test_history_is_not_touched_in_the_middle_of_a_rollout() -> None:
    web = deployment(replicas=3, image="a:9", revisionHistoryLimit=0)
    sets = [
        replica_set("r1", replicas=0, image="a:1", revision=1, annotations=_noted(3)),
        replica_set("new", replicas=3, available=2, image="a:9", revision=2, annotations=_noted(3)),
    ]
    assert rollout.plan(web, sets) == []


def test_a_deployment_that_is_being_deleted_does_nothing() -> None:
    web = deployment(replicas=3, metadata={"deletionTimestamp": ago(1)})
    assert rollout.plan(web, []) == []


class Cluster:
    """Replica sets whose pods come, turn ready and go in whatever order the test draws.

    ``real`` are available pods by uid of their set; a set's status follows only when :meth:`observe` is drawn.
    """

    def __init__(self, web: Deployment, count: int) -> None:
        self.web = web
        self.sets: dict[str, ReplicaSet] = {}
        self.pods: dict[str, int] = {}
        self.ready: dict[str, int] = {}
        self._born = 0
        self.control()
        for _ in range(200):
            for uid in self.sets:
                self.sync(uid)
                self.turn_ready(uid, count + 50)
                self.observe(uid)
            self.control()

    def control(self) -> None:
        """The deployment controller runs until it has nothing to do; the sum of what it wants must stay in bounds."""
        for _ in range(50):
            steps = rollout.plan(self.web, list(self.sets.values()))
            if not steps:
                return
            for step in steps:
                self._carry_out(step)
        raise AssertionError("the plan does not come to an end")

    def _carry_out(self, step: rollout.Step) -> None:
        if isinstance(step, rollout.Create):
            self._born += 1
            metadata = {"uid": f"uid{self._born}", "resourceVersion": "1", "creationTimestamp": ago(1000 - self._born)}
            body = step.body | {"metadata": step.body["metadata"] | metadata}
            one = msgspec.convert(body, ReplicaSet)
            self.sets[one.uid], self.pods[one.uid], self.ready[one.uid] = one, 0, 0
        elif isinstance(step, rollout.Remove):
            assert not self.pods[step.target.uid], "a set with pods was removed"
            del self.sets[step.target.uid]
        else:
            one = self.sets[step.target.uid]
            one.spec.replicas = step.patch.get("spec", {}).get("replicas", one.spec.replicas)
            annotations = step.patch.get("metadata", {}).get("annotations", {})
            one.metadata.annotations = (one.metadata.annotations or {}) | annotations

    def sync(self, uid: str) -> None:
        """The replica set controller creates, or deletes those that are not ready first."""
        wanted = rollout.size(self.sets[uid])
        self.pods[uid] = wanted
        self.ready[uid] = min(self.ready[uid], wanted)

    def turn_ready(self, uid: str, count: int) -> None:
        self.ready[uid] = min(self.pods[uid], self.ready[uid] + count)

    def observe(self, uid: str) -> None:
        status = self.sets[uid].status
        status.replicas, status.available_replicas = self.pods[uid], self.ready[uid]

    @property
    def wanted(self) -> int:
        return sum(map(rollout.size, self.sets.values()))

    @property
    def available(self) -> int:
        return sum(self.ready.values())


_bound = st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda share: f"{share}%"))
_event = st.tuples(st.sampled_from(["sync", "ready", "observe", "control", "retemplate"]), st.integers(0, 30))


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 12), _bound, _bound, st.lists(_event, max_size=60))
def test_a_rolling_update_stays_in_its_bounds_and_comes_to_its_end(
    replicas: int, surge: int | str, unavailable: int | str, events: list[tuple[str, int]]
) -> None:
    web = deployment(replicas=replicas, image="a:0", strategy=_rolling(surge, unavailable), revisionHistoryLimit=2)
    cluster = Cluster(web, replicas)
    assert cluster.available == replicas
    allowed_surge, allowed_missing = rollout.bounds(web)
    web.spec.template = template("a:1")

    def check() -> None:
        assert cluster.wanted <= replicas + allowed_surge
        assert cluster.available >= replicas - allowed_missing

    for what, number in events:
        uids = sorted(cluster.sets)
        uid = uids[number % len(uids)]
        match what:
            case "sync":
                cluster.sync(uid)
            case "ready":
                cluster.turn_ready(uid, 1 + number % 4)
            case "observe":
                cluster.observe(uid)
            case "control":
                cluster.control()
            case "retemplate":
                web.spec.template = template(f"a:{number % 5}")
        check()
    for _ in range(40):
        for uid in list(cluster.sets):
            cluster.sync(uid)
            check()
            cluster.turn_ready(uid, 100)
            cluster.observe(uid)
        cluster.control()
        check()
    new, old = rollout.revisions.new_and_old(web, cluster.sets.values())
    assert new is not None
    assert rollout.size(new) == replicas
    assert sum(map(rollout.size, old)) == 0
    assert len(old) <= 2


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 12),
    _bound,
    _bound,
    st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=8),
)
def test_scaling_in_the_middle_of_a_rollout_ends_at_the_wanted_size(
    replicas: int, surge: int | str, unavailable: int | str, changes: list[tuple[bool, int]]
) -> None:
    web = deployment(replicas=replicas, image="a:0", strategy=_rolling(surge, unavailable))
    cluster = Cluster(web, replicas)
    for is_scale, number in changes:
        if is_scale:
            web.spec.replicas = number
        else:
            web.spec.template = template(f"a:{number}")
        cluster.control()
        for uid in sorted(cluster.sets)[: 1 + number % 3]:
            cluster.sync(uid)
            cluster.turn_ready(uid, 1)
            cluster.observe(uid)
        cluster.control()
    for _ in range(60):
        for uid in list(cluster.sets):
            cluster.sync(uid)
            cluster.turn_ready(uid, 100)
            cluster.observe(uid)
        cluster.control()
    assert cluster.wanted == web.spec.replicas
    assert cluster.available == web.spec.replicas
