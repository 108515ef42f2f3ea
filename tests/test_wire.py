"""The conversation as bytes: whole, in pieces, cut anywhere, and from a node that lies."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterctl.model import Answer, Kind, Question
from clusterctl.transport import TransportError
from clusterctl.transport.wire import NEEDS_PYTHON, NOISE_BYTES, Conversation

CAP = 700
LONG = "row of a long table\n" * 30
QUESTIONS = (
    Question("plain", ("echo", "hello"), cap_bytes=CAP),
    Question("long", ("cat", "table"), cap_bytes=CAP),
    Question("late", ("sleep", "9"), cap_bytes=CAP),
)
ANSWERS = [
    Answer("late", None, "half", "", 9.0),
    Answer("plain", 0, "hello\n", "warn\n", 0.012),
    Answer("long", -9, LONG, "", 1.5, truncated=True),
]


def talk(questions: Iterable[Question] = QUESTIONS) -> Conversation:
    return Conversation(tuple(questions), node_s=30)


def framed(nonce: str) -> bytes:
    """What a node with Python says, hello included."""
    small = zlib.compress(LONG.encode())
    return b"".join(
        [
            f"Welcome to n017\n{nonce} python 3.9.2\n".encode(),
            f"{nonce} answer 2 - 9000 0 r4 r0\nhalf".encode(),
            f"{nonce} answer 0 0 12 0 r6 r5\nhello\nwarn\n".encode(),
            f"{nonce} answer 1 -9 1500 1 z{len(small)} r0\n".encode() + small,
            f"{nonce} end 3\n".encode(),
        ]
    )


def lined(nonce: str) -> bytes:
    """What a node without Python says."""
    table = "".join(f"o{line}\n" for line in (LONG + "x" * CAP).split("\n"))
    return (
        f"Welcome to n017\n{nonce} sh\n"
        f"ohalf\n\n={nonce} answer 2 - 9000\n"
        f"ohello\no\n\newarn\n={nonce} answer 0 0 12\n"
        f"{table}\n={nonce} answer 1 -9 1500\n"
        f"={nonce} end 3\n"
    ).encode()


STREAMS = pytest.mark.parametrize("stream", [framed, lined])


def same(answers: list[Answer]) -> bool:
    """The sh side cuts the long one at its cap and not where the tool ended."""
    cut = Answer("long", -9, (LONG + "x" * CAP)[:CAP], "", 1.5, truncated=True)
    return answers in (ANSWERS, [*ANSWERS[:2], cut])


@STREAMS
def test_every_answer_comes_out_as_the_node_gave_it(stream: Callable[[str], bytes]):
    node = talk()
    assert same(list(node.feed(stream(node.nonce))))
    assert node.done


@STREAMS
def test_byte_by_byte_says_the_same(stream):
    node = talk()
    answers = [answer for byte in stream(node.nonce) for answer in node.feed(bytes([byte]))]
    assert same(answers)
    assert node.done


@STREAMS
def test_cut_at_any_byte_gives_whole_answers_only_and_is_called_cut(stream):
    node = talk()
    whole = list(node.feed(stream(node.nonce)))
    for cut in range(len(stream(node.nonce))):
        node = talk()
        answers = list(node.feed(stream(node.nonce)[:cut]))
        assert answers == whole[: len(answers)]
        assert not node.done
        assert node.closed(None, b"").kind is Kind.CUT
    assert answers == whole  # only the last byte of the end mark was missing


def test_the_program_goes_out_once_and_only_after_hello():
    node = talk()
    list(node.feed(b"last login: never\n"))
    assert node.to_send() == b""
    list(node.feed(f"{node.nonce} python 3.6.8\n".encode()))
    assert zlib.decompress(node.to_send()).rstrip().endswith(b")")
    assert node.to_send() == b""


def test_same_questions_give_the_same_program_for_every_node():
    one, two = talk(), talk()
    assert one.nonce != two.nonce
    assert one.program is two.program


def test_hello_is_found_behind_noise_without_a_newline():
    node = talk()
    list(node.feed(f"\x1b[2J\0prompt> {node.nonce} python 3.11.2\n".encode()))
    assert node.language == "python"


def test_endless_noise_is_given_up():
    node = talk()
    with pytest.raises(TransportError, match="login script") as error:
        list(node.feed(b"buy now! " * (NOISE_BYTES // 8)))
    assert error.value.kind is Kind.UNREADABLE


def test_answers_before_a_broken_frame_stand():
    node = talk()
    stream = framed(node.nonce)
    answers = node.feed(stream.replace(f"{node.nonce} answer 0".encode(), b"x answer 0"))
    assert next(answers) == ANSWERS[0]
    with pytest.raises(TransportError):
        next(answers)


BOMB = zlib.compress(b"\0" * 50_000_000)
HOSTILE = [
    pytest.param("{wrong} answer 0 0 1 0 r2 r0\nok", id="wrong nonce"),
    pytest.param("{nonce} answer 0 0 1 0 r9999999999 r0\n", id="giant length"),
    pytest.param("{nonce} answer 0 0 1 0 r2 r9999999999\nok", id="giant length of stderr"),
    pytest.param("{nonce} answer 0 0 1 0 z2 r0\nok", id="not compressed"),
    pytest.param("{nonce} answer 0 0 1 0 z{half} r0\n{truncated}", id="half a compressed stream"),
    pytest.param("{nonce} answer 0 0 1 0 z{size} r0\n{bomb}", id="zip bomb"),
    pytest.param("{nonce} answer 0 0 1 0 r0 z{size}\n{bomb}", id="zip bomb on stderr"),
    pytest.param("{nonce} answer 3 0 1 0 r2 r0\nok", id="unknown question"),
    pytest.param("{nonce} answer -1 0 1 0 r2 r0\nok", id="negative question"),
    pytest.param(
        "{nonce} answer 0 0 1 0 r0 r0\n{nonce} answer 0 0 1 0 r0 r0\n", id="answered twice"
    ),
    pytest.param("{nonce} answer 0 0 nan 0 r2 r0\nok", id="no number of seconds"),
    pytest.param("{nonce} answer 0 0 1 0 r2\nok", id="a field short"),
    pytest.param("{nonce} end 3\n", id="end without answers"),
    pytest.param("{nonce} answer 0 0 1 0 r0 r0\n{nonce} end 1\n", id="end too early"),
    pytest.param("rubbish " * 40, id="no line at all"),
    pytest.param("{nonce} python 3.9.2\n", id="hello twice"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_stream_that_is_not_ours_is_refused(text: str):
    node = Conversation([Question(name, cap_bytes=100_000) for name in "abc"], node_s=30)
    list(node.feed(f"{node.nonce} python 3.9.2\n".encode()))
    half = zlib.compress(LONG.encode())[:20]
    filled = text.format(
        nonce=node.nonce,
        wrong="f" * 16,
        size=len(BOMB),
        bomb=BOMB.decode("latin-1"),
        half=20,
        truncated=half.decode("latin-1"),
    )
    with pytest.raises(TransportError) as error:
        list(node.feed(filled.encode("latin-1")))
    assert error.value.kind in (Kind.UNREADABLE, Kind.CUT)
    assert not node.done


HOSTILE_SH = [
    pytest.param("={wrong} answer 0 0 1\n", id="wrong nonce"),
    pytest.param("={nonce} answer 3 0 1\n", id="unknown question"),
    pytest.param("={nonce} answer 0 0 1\n={nonce} answer 0 0 1\n", id="answered twice"),
    pytest.param("={nonce} answer 0 0\n", id="a field short"),
    pytest.param("={nonce} end 3\n", id="end without answers"),
    pytest.param("={nonce} answer 0 0 1\n={nonce} end 1\n", id="end too early"),
    pytest.param("hello\n", id="a line without its mark"),
    pytest.param("o" + "x" * 300_000, id="a line without end"),
    pytest.param("oxxxxxxxxx\n" * 40_000, id="lines without end"),
    pytest.param("exxxxxxxxx\n" * 40_000, id="stderr without end"),
]


@pytest.mark.parametrize("text", HOSTILE_SH)
def test_lines_that_are_not_ours_are_refused(text: str):
    node = Conversation([Question(n, ("true",), cap_bytes=9999) for n in "abc"], node_s=30)
    list(node.feed(f"{node.nonce} sh\n".encode()))
    with pytest.raises(TransportError) as error:
        list(node.feed(text.format(nonce=node.nonce, wrong="f" * 16).encode()))
    assert error.value.kind in (Kind.UNREADABLE, Kind.CUT)


def test_a_tool_cannot_forge_a_line_of_ours():
    node = talk(QUESTIONS[:1])
    forged = f"={node.nonce} answer 0 0 1"
    stream = f"{node.nonce} sh\no{forged}\no\n={node.nonce} answer 0 3 1\n={node.nonce} end 1\n"
    assert list(node.feed(stream.encode())) == [Answer("plain", 3, forged + "\n", "", 0.001)]


@given(data=st.data(), lines=st.booleans())
@settings(max_examples=300, deadline=None)
def test_damage_ends_in_a_transport_error_or_in_bounded_answers(data, lines):
    node = talk()
    stream = bytearray((lined if lines else framed)(node.nonce))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(stream) - 1))
        stream[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    answers = []
    try:
        answers.extend(node.feed(bytes(stream)))
    except TransportError:
        assert not node.done
    assert len({answer.name for answer in answers}) == len(answers)
    assert all(len(answer.stdout) <= CAP for answer in answers)


def test_bytes_that_are_not_text_become_replacement_characters():
    node = talk(QUESTIONS[:1])
    list(node.feed(f"{node.nonce} python 3.9.2\n{node.nonce} answer 0 0 1 0 r5 r0\n".encode()))
    (answer,) = node.feed(b"\xff\0\x1b[m")
    assert answer.stdout == "\ufffd\0\x1b[m"


def test_without_python_what_needs_it_is_answered_at_once_with_127():
    asked = (
        Question("script", script="read_files"),
        Question("either", script="read_files", without_python=("cat", "/x")),
        Question("command", ("uname",)),
    )
    node = talk(asked)
    answers = list(node.feed(f"{node.nonce} sh\n".encode()))
    assert answers == [Answer("script", 127, "", NEEDS_PYTHON, 0.0)]
    program = node.to_send().decode()
    assert "cat /x" in program
    assert "read_files" not in program


def test_arguments_cannot_leave_their_quotes_in_the_sh_program():
    node = talk([Question("a", ("echo", "'; rm -rf $HOME; `id` \n\\"))])
    list(node.feed(f"{node.nonce} sh\n".encode()))
    assert "echo ''\"'\"'; rm -rf $HOME; `id` \n\\'" in node.to_send().decode()


def test_a_module_we_do_not_have_is_our_mistake():
    with pytest.raises(ModuleNotFoundError):
        talk([Question("a", script="read_files", modules=("no_such_module",))])


@pytest.mark.parametrize(
    ("code", "stderr", "kind", "words"),
    [
        (1, "sudo: a password is required\n", Kind.DENIED, "NOPASSWD"),
        (1, "sudo: sorry, you must have a tty to run sudo\n", Kind.DENIED, "requiretty"),
        (1, "joe is not in the sudoers file.\n", Kind.DENIED, "sudoers"),
        (127, "env: 'sudo': No such file or directory\n", Kind.DENIED, "install sudo"),
        (1, "This account is currently not available.\n", Kind.DENIED, "login shell"),
        (1, "Password change required but no TTY available.\n", Kind.DENIED, "password"),
        (None, "", Kind.CUT, "before the node said hello"),
        (1, "\x1b[31mkernel fault", Kind.CUT, "\\x1b[31mkernel fault"),
    ],
)
def test_an_end_before_hello_says_why(code, stderr, kind, words):
    error = talk().closed(code, stderr.encode())
    assert error.kind is kind
    assert words in str(error)


def test_a_refusal_on_stdout_is_understood_too():
    node = talk()
    list(node.feed(b"This account is currently not available.\n"))
    assert node.closed(1, b"").kind is Kind.DENIED


@pytest.mark.parametrize(
    ("code", "kind"),
    [(None, Kind.CUT), (0, Kind.CUT), (137, Kind.CUT), (124, Kind.TIMEOUT), (70, Kind.BUG)],
)
def test_an_end_after_hello_says_how_far_it_came(code, kind):
    node = talk()
    list(node.feed(framed(node.nonce)[:-10]))
    error = node.closed(code, b"Traceback\nMemoryError\n")
    assert error.kind is kind
    assert "after 3 of 3 answers" in str(error)
    assert "MemoryError" in str(error)


def test_a_tool_that_names_sudo_after_hello_is_not_a_refusal():
    node = talk()
    list(node.feed(f"{node.nonce} python 3.9.2\n".encode()))
    assert node.closed(1, b"sudo: a password is required\n").kind is Kind.CUT


def test_nothing_asked_ends_well():
    node = talk(())
    assert list(node.feed(f"{node.nonce} python 3.9.2\n{node.nonce} end 0\n".encode())) == []
    assert node.done


def test_what_follows_the_end_mark_changes_nothing():
    node = talk()
    list(node.feed(framed(node.nonce) + b"logout\n"))
    assert list(node.feed(b"\xff" * 1000)) == []
    assert node.done


@pytest.mark.parametrize("char", ["!", "\\", "\n", "''"])
def test_the_command_holds_nothing_that_a_login_shell_would_change(char: str):
    assert char not in Conversation(QUESTIONS, node_s=30, become=True).command
