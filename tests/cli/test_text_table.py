"""Tables fit 80 columns, whatever is in them, and lose nothing but what would steer a terminal."""

import re
from pathlib import Path

import pytest
from command_line import Cli
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.cli.tables import evaluation_table, training_table
from toolkit.cli.text_table import WIDTH, table, wrapped
from toolkit.contract.class_reports import ClassEvaluationReport, ClassScores
from toolkit.contract.reports import Errors, EvaluationReport, Scores, TrainingReport

WORDS = st.text("abc._ -/", max_size=60)
FIGURES = st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,4})?", fullmatch=True)


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_what_fits_is_one_line_a_row() -> None:
    assert table(["name", "MSE"], [["a", "1.5"], ["bb", "10"]]).splitlines() == [
        "name  MSE",
        "----  ---",
        "a     1.5",
        "bb     10",
    ]


def test_headings_of_figures_are_wrapped_before_words_are() -> None:
    name = "n" * 60
    lines = table(["name", "CPU s/1000", "first answer ms"], [[name, "1.0", "2.0"]]).splitlines()
    assert widest("\n".join(lines)) <= WIDTH
    assert lines[-1].startswith(name)


def test_a_heading_without_a_place_to_break_is_broken_anyway() -> None:
    text = table(["name", "h" * 200, "more"], [["a", "1.0", "2.0"]])
    assert widest(text) <= WIDTH
    assert text.count("h") == 200


def test_long_names_go_on_in_the_next_line_after_a_mark() -> None:
    name = "compressor_3.discharge_pressure.first_stage.after_the_intercooler.mean_of_the_interval"
    lines = table(["target", "MSE", "MAE"], [[name, "1.5", "2.5"]]).splitlines()
    assert widest("\n".join(lines)) <= WIDTH
    assert lines[2].split()[-2:] == ["1.5", "2.5"]
    assert lines[2].split()[0].endswith((".", "_"))
    assert squeezed("".join(lines[2:])).replace("1.52.5", "") == name


def test_figures_that_do_not_fit_come_in_parts_with_their_names() -> None:
    header = ["class", *(f"told {number}" for number in range(30))]
    parts = table(header, [["sound", *(str(1000 + number) for number in range(30))]]).split("\n\n")
    assert len(parts) > 1
    assert widest("\n".join(parts)) <= WIDTH
    assert all(part.splitlines()[-1].startswith("sound") for part in parts)
    assert [word for part in parts for word in part.splitlines()[-1].split()[1:]] == [str(1000 + n) for n in range(30)]


def test_a_row_with_fewer_cells_is_a_heading() -> None:
    lines = table(["contender", "ms"], [["single 1 x 60"], ["  torch", "1.5"]]).splitlines()
    assert lines[2:] == ["single 1 x 60", "  torch    1.5"]


def test_a_wrapped_cell_keeps_its_indent() -> None:
    lines = table(["who", "figure"], [["  " + "word " * 30, "1" * 40]]).splitlines()
    assert all(line.startswith("  word") for line in lines[2:])


def test_marks_that_steer_a_terminal_are_shown_as_question_marks() -> None:
    assert "\x1b" not in table(["name"], [["a\x1b[2Jb\nc"]])
    assert "a?[2Jb?c" in table(["name"], [["a\x1b[2Jb\nc"]])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(WORDS, WORDS, FIGURES, FIGURES), min_size=1, max_size=5), st.integers(1, 2))
def test_any_table_fits_and_keeps_every_mark(rows: list[tuple[str, str, str, str]], left: int) -> None:
    header = ["what it is", "of whom", "figure of merit", "another"]
    if left == 1:
        rows = [(name, str(len(other)), one, two) for name, other, one, two in rows]
    text = table(header, rows, left=left)
    assert widest(text) <= WIDTH
    kept = sorted(squeezed("".join(header) + "".join(map("".join, rows))).replace("-", ""))
    assert sorted(squeezed(text).replace("-", "")) == kept


@settings(deadline=None, max_examples=50)
@given(st.text("ab ", max_size=400))
def test_sentences_fit_too(text: str) -> None:
    longest = max(map(len, text.split()), default=0)
    assert widest(wrapped(text) or " ") <= max(WIDTH, longest + 2)


LONG = "compressor_number_three.discharge_pressure_after_the_second_stage.mean"
ERRORS = Errors(1234567.891, 0.000123)


@pytest.mark.parametrize("targets", [1, 12])
def test_reports_on_sensors_with_long_names_fit(targets: int) -> None:
    named = {f"{LONG}.{number}": ERRORS for number in range(targets)}
    baselines = {"seasonal": Scores(ERRORS, ERRORS, named)}
    verdict = "beats persistence by 1234.5 % in mean squared error, " * 3
    training = TrainingReport(
        ERRORS, ERRORS, named, baselines, 1234567, 1, 1, 1.0, 1, {}, verdict, {}, notes=("held a reading " * 9,)
    )
    evaluation = EvaluationReport(
        "run", "file", 123456789, True, baselines["seasonal"], (ERRORS,), named, baselines, 1234567, verdict, {}
    )
    for text in (training_table(training), evaluation_table(evaluation)):
        assert widest(text) <= WIDTH


def test_a_classifier_of_many_classes_fits() -> None:
    names = tuple(f"bearing_wear_of_the_outer_race_{number}" for number in range(18))
    scores = ClassScores(0.5, 0.5, 0.5, dict.fromkeys(names, 0.25), ((123456,) * 18,) * 18)
    report = ClassEvaluationReport(
        "run", "file", 18 * 123456, names, names[0], scores, {"commonest": scores}, "x", {}, {LONG: scores, "b": scores}
    )
    text = evaluation_table(report)
    assert widest(text) <= WIDTH
    assert text.count("123456") >= 18 * 18


def test_what_init_guessed_of_long_names_fits(cli: Cli, tmp_path: Path) -> None:
    rows = "".join(f"2026-01-01 00:{minute:02}:00,{minute}.5,{minute % 7}.25\n" for minute in range(60))
    (tmp_path / "plant.csv").write_text(f"the_time_at_which_it_was_measured,{LONG}.a,{LONG}.b\n{rows}")
    result = cli("init", tmp_path / "plant.csv", "--target", f"{LONG}.a", "--out", tmp_path / "own.toml")
    assert result.status == 0, result.err
    assert widest(result.out.partition("Config: ")[0]) <= WIDTH
