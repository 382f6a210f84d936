from dev.abridged import CODE_LINES, LINE_CHARACTERS, OUTPUT_LINES, Abridged, first_lines
from isobath.analyst.v1 import analyst_pb2 as messages


def printed(*pieces: str) -> str:
    """What is shown of a program that printed these pieces."""
    shown: list[messages.Event] = []
    abridged = Abridged(shown.append)
    abridged.show(messages.Event(program_started=messages.ProgramStarted(code="pass")))
    for piece in pieces:
        abridged.show(messages.Event(program_output=messages.ProgramOutput(text=piece)))
    abridged.show(messages.Event(program_finished=messages.ProgramFinished(outcome="ok")))
    return "".join(each.program_output.text for each in shown)


def test_short_program_is_shown_whole() -> None:
    assert first_lines("a = 1\nb = 2\n") == "a = 1\nb = 2\n"


def test_long_program_tells_how_much_is_left_out() -> None:
    code = "\n".join(f"x{n} = {n}" for n in range(CODE_LINES + 5))
    lines = first_lines(code).splitlines()
    assert len(lines) == CODE_LINES + 1 and "5 more lines" in lines[-1]


def test_output_in_pieces_is_cut_by_whole_lines() -> None:
    assert printed("ab", "c\nd", "ef\n") == "abc\ndef\n"
    assert printed("y" * 150, "y" * 150, "\n") == "y" * LINE_CHARACTERS + " …\n"


def test_long_output_tells_how_much_is_left_out() -> None:
    shown = printed("line\n" * (OUTPUT_LINES + 3))
    assert shown.splitlines() == ["line"] * OUTPUT_LINES + ["… 3 more lines"]


def test_last_line_without_its_end_is_shown() -> None:
    assert printed("a\nb") == "a\nb\n"
