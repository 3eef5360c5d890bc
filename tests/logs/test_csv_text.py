"""The text of a CSV log: how it may be laid out, and what is said of a file that cannot be read."""

from __future__ import annotations

import pytest

from agent.errors import ConfigError, LogFileError, UsageError
from agent.sources import csv_table
from agent.sources.log_file import open_log
from tests.logs.reading import ACCEL_MAP, Csv, assert_same

PLAIN = [f"{i * 10},{i},{-i},980" for i in range(50)]
RATE = ACCEL_MAP.replace('column = "t"\nformat = "ms"', "rate_hz = 100.0")


HEAD = "t,x,y,z\n"
BODY = "\n".join(PLAIN) + "\n"
LAYOUTS = {
    "byte order mark": ("\ufeff" + HEAD + BODY, ""),
    "CRLF": ((HEAD + BODY).replace("\n", "\r\n"), ""),
    "CR": ((HEAD + BODY).replace("\n", "\r"), ""),
    "empty lines": ((HEAD + BODY).replace("\n", "\n\n"), ""),
    "a comma too many everywhere": ((HEAD + BODY).replace("\n", ",\n"), ""),
    "a comma too many in rows": (HEAD + BODY.replace("\n", ",\n"), ""),
    "quotes": ("".join(f'"{r}"\n'.replace(",", '","') for r in (HEAD + BODY).split()), ""),
    "semicolons": ((HEAD + BODY).replace(",", ";"), 'delimiter = ";"'),
    "decimal commas": (
        HEAD.replace(",", ";") + BODY.replace(",", ",0;").replace("\n", ",0\n"),
        'delimiter = ";"\ndecimal = ","',
    ),
    "tabs": ((HEAD + BODY).replace(",", "\t"), 'delimiter = "\\t"'),
    "runs of spaces": ((HEAD + BODY).replace(",", "   "), 'delimiter = " "'),
    "skipped rows": ("made by\nsomeone\n" + HEAD + BODY, "skip_rows = 2"),
    "comments": ("# hello\n" + HEAD + "# there\n" + BODY, 'comment = "#"'),
    "other order, and letters": (
        "q,z,y,x,t\n" + "".join("é," + ",".join(row.split(",")[::-1]) + "\n" for row in PLAIN),
        "",
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(csv: Csv, name: str) -> None:
    content, form = LAYOUTS[name]
    wanted = csv.rows(PLAIN).lanes
    assert_same(csv.read(content, f"{ACCEL_MAP}[csv]\n{form}\n").lanes, wanted)


def test_columns_by_number_where_there_is_no_header(csv: Csv) -> None:
    wanted = csv.rows(PLAIN).lanes
    text = ACCEL_MAP.replace('"t"', "0").replace('["x", "y", "z"]', "[1, 2, 3]")
    assert_same(csv.read(PLAIN, text + "[csv]\nheader = false\n").lanes, wanted)


def test_a_file_longer_than_a_piece_is_one_log(csv: Csv, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = csv.rows(PLAIN)
    for size in (7, 16, 64, 333):
        monkeypatch.setattr("agent.sources.csv_text.PIECE_BYTES", size)
        got = csv.rows(PLAIN)
        assert_same(got.lanes, wanted.lanes)
        assert got.source.identity == wanted.source.identity


@pytest.mark.parametrize("size", [16, 64, 1 << 20])
def test_bad_rows_are_found_in_whatever_piece_they_are(
    csv: Csv, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.sources.csv_text.PIECE_BYTES", size)
    rows = list(PLAIN)
    rows[20], rows[30] = "oops", "300,a,1,1"
    got = csv.rows(rows)
    assert got.lanes["accel"].gaps == [(20, 1, "log"), (30, 1, "log")]
    assert "line 22: 1 columns, expected 4; line 32: x is 'a'" in got.notes


@pytest.mark.parametrize("size", [16, 64, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_without_end_is_one_bad_row_and_is_not_kept(
    csv: Csv, size: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.sources.csv_text.PIECE_BYTES", size)
    monkeypatch.setattr("agent.sources.csv_text.LONGEST_LINE", 100)
    longest = 0

    def cells(reader: csv_table._Reader, line: str) -> list[str]:
        nonlocal longest
        taken = real(reader, line)
        longest = max(longest, len(taken))
        return taken

    real = csv_table._Reader._cells
    monkeypatch.setattr(csv_table._Reader, "_cells", cells)
    rows = list(PLAIN)
    rows[20] = "1," * 5000
    got = csv.read(end.join(["t,x,y,z", *rows, ""]))
    assert got.lanes["accel"].gaps == [(20, 1, "log")]
    assert "line 22: 1 columns, expected 4" in got.notes
    assert longest <= 4
    for text in ("1," * 5000, f"{'x,' * 5000}{end}1,2,3,4{end}"):
        with pytest.raises(LogFileError, match="a first line of over 100 characters"):
            csv.read(text)


def test_a_last_line_without_an_end_is_not_trusted(csv: Csv) -> None:
    """-980 cut to -98 would pass for a value."""
    whole = "\n".join(["t,x,y,z", *PLAIN]) + "\n"
    got = csv.read(whole[:-2])
    assert len(got.lanes["accel"].index) == 49
    assert "line 51: the last line has no end" in got.notes


def test_a_last_line_without_an_end_is_used_where_only_an_unused_cell_can_be_cut(csv: Csv) -> None:
    got = csv.read("\n".join(["t,x,y,z,note", *(row + ",ok" for row in PLAIN)]))
    assert len(got.lanes["accel"].index) == 50


def test_a_cut_anywhere_gives_whole_rows_or_a_clear_error(csv: Csv) -> None:
    data = ("t,x,y,z\n" + "\n".join(PLAIN) + "\n").encode()
    whole = csv.read(data).lanes["accel"]
    for end in range(0, len(data), 7):
        try:
            got = csv.read(data[:end])
        except (LogFileError, ConfigError):
            assert end < 20
            continue
        lane = got.lanes["accel"]
        n = len(lane.index)
        assert lane.index == whole.index[:n]
        assert lane.array.tobytes() == whole.array[:n].tobytes(), f"a wrong value after a cut at {end}"


@pytest.mark.parametrize(
    ("content", "got", "remedy"),
    [
        (b"", "an empty file", "copied whole"),
        (b"t,x,y,z\n", "a header and no rows", "copied whole"),
        (b"t,x,y,z\na,b,c,d\n", "no row that can be read (line 2: a time 'a')", "delimiter"),
        (b"t,x,y,z\n1,a,b,c\n", "no row with a number in every column of a stream", "map names"),
        (bytes(range(256)) * 20, "binary data that begins with 00 01 02", "which file this is"),
        (b"\x89MCAP0\r\n" + bytes(100), "binary data that begins with 89 4d 43", ".mcap"),
        ("t,x,y,z\n1,2,3,4\n".encode("utf-16"), "UTF-16 text", "UTF-8"),
    ],
)
def test_files_that_cannot_be_read(csv: Csv, content: bytes, got: str, remedy: str) -> None:
    with pytest.raises(LogFileError) as caught:
        csv.read(content)
    assert str(csv.path) in caught.value.doing
    assert got in caught.value.got
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "text", "got", "remedy"),
    [
        (["t;x;y;z", "1;2;3;4"], ACCEL_MAP, "a column 'x'", "separated by ';'"),
        (["t,accX,y,z", "1,2,3,4"], ACCEL_MAP.replace('"x"', '"acX"'), "(did you mean 'accX'?)", "Correct"),
        (["1.5,2,3,4", "1,2,3,4"], ACCEL_MAP, "a column 'x'", "looks like data"),
        (["made by", "t,x,y,z", "1,2,3,4"], ACCEL_MAP, "a column 'x'", "Correct"),
        (["x,y,z", "1,2,3"], ACCEL_MAP, "a column 't'", "Correct"),
        (["x,y,z", "1,2,3"], RATE.replace('"z"', "7"), "a column 7", "Correct"),
    ],
)
def test_maps_that_do_not_fit(csv: Csv, content: list[str], text: str, got: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        csv.read(content, text)
    assert f"fitting the map to {csv.path}" in caught.value.doing
    assert got in caught.value.got
    assert "columns in line 1: " in caught.value.expected
    assert remedy in caught.value.remedy


def test_what_is_opened_must_be_a_log(csv: Csv) -> None:
    csv.rows(PLAIN)
    for path, map_path, got in (
        (csv.path, None, "no map"),
        (csv.path.with_name("lok.csv"), csv.map_path, "no such file (did you mean 'log.csv'?)"),
        (csv.path.parent, csv.map_path, "a file that ends in ''"),
        (csv.path.with_suffix(".mcp"), None, "ends in '.mcp' (did you mean '.mcap'?)"),
    ):
        with pytest.raises(UsageError) as caught:
            open_log(path, map_path=map_path)
        assert got in caught.value.got
    with pytest.raises(UsageError, match="blocks of 0 samples"):
        open_log(csv.path, map_path=csv.map_path, block_samples=0)
