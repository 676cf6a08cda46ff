"""What becomes of `${{...}}` and `$[[...]]` in a command."""

from pathlib import PurePosixPath

import pytest

from amlocal.specs.expressions import Reference, references, render, whole, words


def rendered(command, **inputs):
    return render(command, lambda reference: inputs[reference.parts[-1]])


def test_literals_go_in_as_they_are_as_on_azure():
    assert rendered("echo ${{inputs.a}} ${{ inputs.b }}", a="1e-05", b="$(date)") == "echo 1e-05 $(date)"


def test_an_optional_section_goes_when_its_input_is_absent():
    command = "run $[[--data ${{inputs.data}}]] --x ${{inputs.x}}"
    assert rendered(command, data=None, x="1") == "run  --x 1"
    assert rendered(command, data="d", x="1") == "run --data d --x 1"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cat ${{inputs.p}}/x", "cat '/my work'/x"),
        ('cat "${{inputs.p}}/x"', 'cat "/my work/x"'),
        ("cat '${{inputs.p}}/x'", "cat '/my work/x'"),
        (r"echo it\'s ${{inputs.p}}", r"echo it\'s '/my work'"),
        ("# don't worry\ncat ${{inputs.p}}", "# don't worry\ncat '/my work'"),
        ("echo a#'b ${{inputs.p}}'", "echo a#'b /my work'"),
    ],
)
def test_a_path_with_a_space_stays_one_word(command, expected):
    assert rendered(command, p=PurePosixPath("/my work")) == expected


def test_references_are_found_whole_and_within():
    assert whole("${{parent.jobs.a.outputs.b}}") == Reference(("parent", "jobs", "a", "outputs", "b"))
    assert whole("x ${{parent.inputs.a}}") is None
    assert [str(item) for item in references("${{inputs.a}} and ${{ outputs.b }}")] == [
        "${{inputs.a}}",
        "${{outputs.b}}",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--a ${{ inputs.a }} --b=x${{inputs.a}}", ["--a", "two words", "--b=xtwo words"]),
        ("$[[--gone ${{inputs.gone}}]] --a '${{inputs.a}}!'", ["--a", "two words!"]),
        ("", []),
    ],
)
def test_the_words_of_a_command_line_without_a_shell(text, expected):
    given = {"a": "two words", "gone": None}
    assert words(text, lambda reference: given[reference.parts[-1]]) == expected
