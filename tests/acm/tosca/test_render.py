"""Findings as a compiler prints them."""

from mizzen.acm.tosca import Problem, Report, check, read

TEXT = 'node_types:\n  a.B:\n    version: 1.0\n\tü: "日本語" x\n'


def rendered(*problems: Problem, text: str = TEXT, color: bool = False) -> str:
    return Report(problems, (), "", 400).render("f.yaml", text, color)


def test_the_line_is_shown_with_a_mark_below_the_place() -> None:
    problem = Problem("node_types.version", 3, 14, '"1.0" is no version', 'write "1.0.0"')
    assert rendered(problem) == (
        'error: "1.0" is no version\n'
        " --> f.yaml:3:14\n"
        "  |\n"
        "3 |     version: 1.0\n"
        "  |              ^^^\n"
        "  = at: node_types.version\n"
        '  = help: write "1.0.0"\n'
        "\n"
        "f.yaml: 1 error\n"
    )


def test_wide_characters_and_tabs_keep_the_mark_in_place() -> None:
    shown = rendered(Problem("", 4, 11, "m")).splitlines()
    assert shown[3] == '4 |  ü: "日本語" x'
    assert shown[4] == "  |              ^"


def test_a_line_of_megabytes_is_shown_by_its_piece() -> None:
    text = '{"a": ' + "x" * 3_000_000 + ', "b": 1}'
    shown = rendered(Problem("b", 1, 3_000_009, "m"), text=text).splitlines()
    assert len(shown[3]) < 130
    line, mark = shown[3], shown[4]
    assert line[mark.index("^") : mark.rindex("^") + 1] == '"b"'


def test_a_file_cannot_write_to_the_terminal() -> None:
    text = 'a: "\x1b[31mred\x07"\n'
    shown = rendered(Problem("a", 1, 4, "bad \x1b[2J"), text=text, color=True)
    assert "\x1b[31mred" not in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown


def test_colours_are_only_for_who_asks() -> None:
    problem = Problem("a", 3, 5, "m", "h")
    assert "\x1b[" in rendered(problem, color=True)
    assert "\x1b[" not in rendered(problem)


def test_a_problem_without_a_place_names_the_file() -> None:
    assert rendered(Problem("", None, None, "too large")) == "error: too large\n--> f.yaml\n\nf.yaml: 1 error\n"


def test_a_place_behind_the_end_does_no_harm() -> None:
    assert "f.yaml:5:1" in rendered(Problem("", 5, 1, "m"))
    assert "--> f.yaml\n" in rendered(Problem("", 99, 1, "m"))


def test_nothing_wrong_prints_nothing() -> None:
    assert Report().render("f", TEXT) == ""


def test_errors_and_warnings_are_counted() -> None:
    text = '{"node_types": {"a.A": {"properties": {"p": {"type": "x", "constraints": [{"foo": 1}]}}}}}'
    shown = check(read(text)).render("f.json", text.encode())
    assert shown.endswith("f.json: 2 errors, 1 warning\n")
    assert "warning: the constraint foo is not known" in shown
