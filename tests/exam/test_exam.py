"""The examination: a paper hangs on its seed alone, the deaf and the jumpy fail it, the agent passes one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from agent.config import load_config
from agent.detection.finding import EventType
from agent.replay.runner import ReplayOptions, replay_log
from scripts.examination import command, intervals, keep, paper
from scripts.examination.judge import Said, Verdict, heard, judged
from scripts.examination.paper import HARMFUL, HARMLESS, Question
from scripts.examination.report import Result
from scripts.examination.scene import GRAVITY_MPS2, Scene

SEED = 20
SCENES = 30


@pytest.fixture(scope="module")
def short_paper() -> list[Question]:
    return paper.set_paper(SEED, SCENES, recorded=False)


@pytest.fixture(scope="module")
def tiny_paper() -> list[Question]:
    kinds = ("parking_slope", "spikes", "knocks", "toppled", "fell_off", "half_sine", "rope_got_wet")
    whole = [q for kind in kinds for q in paper.set_paper(SEED, 1, only=kind, recorded=False)]
    assert len(whole) == len(kinds)
    return whole


def question_of(kind: str) -> Question:
    return paper.set_paper(SEED, 1, only=kind, recorded=False)[0]


def same(one: Scene, other: Scene) -> bool:
    pairs = zip(one.series, other.series, strict=True)
    return one.truth == other.truth and all(np.array_equal(a.counts, b.counts) for a, b in pairs)


def test_a_seed_gives_the_same_paper_and_another_another(short_paper: list[Question]) -> None:
    assert short_paper == paper.set_paper(SEED, SCENES, recorded=False)
    other = paper.set_paper(SEED + 1, SCENES, recorded=False)
    question, again = (next(q for q in one if q.kind == "fell_off") for one in (short_paper, other))
    assert same(paper.scene_for(question), paper.scene_for(question))
    assert not np.array_equal(
        paper.scene_for(question).series[0].counts[:100], paper.scene_for(again).series[0].counts[:100]
    )


def test_a_scene_is_the_same_whatever_else_is_asked(short_paper: list[Question]) -> None:
    longer = paper.set_paper(SEED, SCENES + 3, recorded=False)
    assert [q for q in longer if q.number < SCENES] == short_paper


def test_every_event_type_but_the_sensors_own_is_examined() -> None:
    assert {*paper.types()} == {t.value for t in EventType} - {"sensor_fault"}
    kinds = [*paper.kinds_of(HARMFUL), *paper.kinds_of(HARMLESS)]
    assert len({kind.name for kind in kinds}) == len(kinds)
    assert all(kind.why.endswith(".") for kind in kinds), [k.name for k in kinds if not k.why.endswith(".")]


def test_the_deaf_fail_and_raise_no_false_alarm(tiny_paper: list[Question]) -> None:
    result = Result(SEED, paper.sit(tiny_paper, listen=lambda scene: []))
    assert not result.passed
    assert result.recall.hits == 0, result.recall.words()
    assert result.false_alarms.hits == 0, result.false_alarms.words()


def test_those_who_cry_wolf_fail(tiny_paper: list[Question]) -> None:
    def wolf(scene: Scene) -> list[Said]:
        return [Said(event, "start", 3, 1.0, 1.0, alarm=True) for event in paper.types()]

    result = Result(SEED, paper.sit(tiny_paper, listen=wolf))
    assert result.false_alarms.hits == result.false_alarms.trials, result.false_alarms.words()
    assert result.recall.hits == 0, (
        f"crying before anything happened is no recognition: {result.recall.words()}"
    )


def said_at(scene: Scene, decided_s: float, severity: int, event: str | None = None) -> Verdict:
    one = Said(event or str(scene.truth.event), "start", severity, decided_s, decided_s, alarm=severity >= 3)
    return judged(scene, lambda _: [one])


def test_recognised_is_the_right_type_in_time_and_bad_enough() -> None:
    scene = paper.scene_for(question_of("half_sine"))
    truth = scene.truth
    right = said_at(scene, truth.complete_s + 0.01, truth.severity)
    assert right.passed
    assert right.delay_s == pytest.approx(0.01)
    assert not said_at(scene, truth.until_s + 0.1, truth.severity).passed
    assert not said_at(scene, truth.begins_s - 1.0, truth.severity).passed
    assert not said_at(scene, truth.complete_s, truth.severity - 1).passed
    wrong = said_at(scene, truth.complete_s, 3, "drop")
    assert not wrong.passed
    assert wrong.side == ("drop",)


@pytest.mark.parametrize("half", [HARMFUL, HARMLESS])
def test_the_agent_passes_a_short_paper(short_paper: list[Question], half: str) -> None:
    """Some of each kind, on roads made by the standard; the whole paper is scripts/exam."""
    verdicts = paper.sit([q for q in short_paper if q.half == half])
    failed = [f"{v.kind} {v.number} on {v.background}: {v.why}" for v in verdicts if not v.passed]
    assert len(failed) <= 1, "\n".join(failed)


def test_a_box_at_rest_weighs_one_g_and_a_falling_one_nothing() -> None:
    scene = paper.scene_for(question_of("fell_off"))
    accel = scene.series[0]
    force = np.linalg.norm(accel.counts * accel.spec.scale, axis=1)
    rate = accel.spec.rate_hz
    rest_g = float(np.median(force[: int(3 * rate)])) / GRAVITY_MPS2
    begin = int((scene.truth.begins_s + 0.03) * rate)
    fall_g = float(np.median(force[begin : begin + int(0.1 * rate)])) / GRAVITY_MPS2
    assert 0.85 < rest_g < 1.15, f"{rest_g} g at rest"
    assert fall_g < 0.35, f"{fall_g} g in free fall"


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 400, 0.0, 0.00918), (395, 400, 0.97107, 0.99593), (5, 10, 0.18709, 0.81291), (30, 30, 0.88430, 1.0)],
)
def test_intervals_are_those_of_clopper_and_pearson(hits: int, trials: int, low: float, high: float) -> None:
    """Against scipy.stats.beta.ppf, five figures."""
    assert intervals.interval(hits, trials) == pytest.approx((low, high), abs=2e-5)


def test_a_kept_scene_replays_as_it_was_heard(tmp_path: Path) -> None:
    question = question_of("let_go_low")
    (log,) = keep.keep([question], tmp_path)
    summary = replay_log(log, tmp_path / "out", load_config(log.with_suffix(".toml")), ReplayOptions())
    heard_here = Counter(one.event for one in heard(paper.scene_for(question)) if one.phase == "start")
    assert summary["events"] == heard_here
    assert heard_here["drop"] == 1
    assert json.loads(log.with_suffix(".json").read_text())["event"] == "drop"


def test_the_command_says_what_it_came_to(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--synthetic", "--only", "drop", "--scenes", "3", "--workers", "1", "--json"]
    status = command.main(arguments)
    said = json.loads(capsys.readouterr().out)
    assert said["recall"]["trials"] == 3
    assert status == (0 if said["passed"] else 1)
    assert set(said["recall_by_type"]) == {"drop"}


def test_what_cannot_be_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(["--only", "earthquake"])
    assert refused.value.code == 2
    assert "--list" in capsys.readouterr().err


def test_no_failed_scene_is_no_folder(tmp_path: Path) -> None:
    assert keep.keep([], tmp_path / "failed") == [] and not (tmp_path / "failed").exists()


def test_events_of_severity_2_stand_beside_the_verdict() -> None:
    verdicts = [
        Verdict("rest", at, "bench", None, passed=True, general=("bump", "bump") if at == 0 else ())
        for at in range(10)
    ]
    result = Result(1, verdicts)
    assert (result.general.hits, result.general.trials) == (1, 10), "scenes, not events"
    low, high = intervals.interval(1, 10)
    assert result.as_dict()["severity_2_in_harmless"] == {
        "hits": 1, "trials": 10, "share": 0.1, "low": low, "high": high,
    }  # fmt: skip
    assert result.passed and result.lines()[-2].startswith("severity 2    "), result.lines()[-3:]
