"""Failed scenes as logs: MCAP of ours, the settings and the truth beside it, for whoever looks into them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from agent.log_info import LogInfo
from agent.recorder.mcap_writer import McapRecorder
from scripts.examination.judge import mark, pieces
from scripts.examination.paper import Question, scene_for
from scripts.examination.scene import Scene


def keep(questions: Iterable[Question], folder: Path) -> list[Path]:
    """Write the scenes of `questions` into `folder`, three files each; return the logs. Raises OSError.

    The folder is made for the first of them: none, and there is none.
    """
    kept = []
    for question in questions:
        folder.mkdir(parents=True, exist_ok=True)
        kept.append(_write(question, scene_for(question), folder))
    return kept


def _write(question: Question, scene: Scene, folder: Path) -> Path:
    name = f"{question.seed}-{question.half}-{question.number:04}-{question.kind}"
    path = folder / f"{name}.mcap"
    specs = [one.spec for one in scene.series]
    recorder = McapRecorder(
        path,
        LogInfo(box="exam", boot="0" * 16, software="exam", streams=tuple(specs), mount_up=scene.mount_up),
        overwrite=True,
    )
    recorder.write(mark())
    for block in pieces(scene):
        recorder.write(block)
    recorder.close()
    path.with_suffix(".toml").write_text(scene.settings)
    truth = {**asdict(scene.truth), "background": scene.background, "drawn": dict(scene.drawn)}
    path.with_suffix(".json").write_text(json.dumps(truth, indent=2) + "\n")
    return path
