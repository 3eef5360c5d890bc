"""Does what docs/boards.md shows mean something to a Pico? Its example is this board's config.json."""

import json
import sys

import machine_pio
from bench import drain

sys.modules["rp2"] = machine_pio

import board_rp2  # noqa: E402

board = board_rp2.Board()
print(
    json.dumps(
        {
            "faults": [fault for fault in drain(board) if fault[0].startswith("config")],
            "streams": [stream["name"] for stream in json.loads(board.streams_text)],
            "outputs": json.loads(board.outputs_text),
        }
    )
)
