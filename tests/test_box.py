"""What a box keeps in and out, beyond the programs of tests/hostile: the barriers one by one, and what it leaves."""

from pathlib import Path

import pytest

from r1kit.sandbox import isolation as isolations
from r1kit.sandbox import start
from r1kit.sandbox.judge import judge_program

ISOLATIONS = ("bubblewrap", "landlock")


def stdio(program, expected_output, stdin="", **settings):
    """Judge `program` by what it prints."""
    return judge_program(program, [{"kind": "stdio", "input": stdin, "output": expected_output}], **settings)


@pytest.fixture(params=ISOLATIONS)
def isolation(request):
    """Return an isolation that works on this machine."""
    reason = isolations.self_test(request.param)
    if reason is not None:
        pytest.skip(f"{request.param} does not work here: {reason}")
    return request.param


@pytest.fixture
def change_box_code(monkeypatch):
    """Return a function that takes texts out of a module that runs in the boxes started from here on."""

    def change(module_name, **texts):
        source = Path(start.__file__).with_name(f"{module_name}.py").read_text()
        for old, new in texts.values():
            assert old in source
            source = source.replace(old, new)
        full_name = f"r1kit.sandbox.{module_name}"
        modules = [
            (name, compile(source, name, "exec") if name == full_name else code)
            for name, code in start._compile_modules()
        ]
        monkeypatch.setattr(start, "_compile_modules", lambda: tuple(modules))

    return change


# The pipes between the judge and the box


OPEN_PARENT = {
    "domain": ('    if setup["own_domain"] is not None:\n        enter_domain(setup["own_domain"])\n', ""),
    "inspection": ("    forbid_inspection()\n", ""),
}
FORGE = r"""
import os
reply = b"D1,0,0,0;A0,0,4,0;720\n"
print(os.write(os.open(f"/proc/{os.getppid()}/fd/1", os.O_WRONLY), reply) == len(reply))
"""


def test_a_self_test_refuses_a_box_whose_parent_a_program_can_open(change_box_code):
    if isolations.self_test("landlock"):
        pytest.skip("landlock does not work here")
    change_box_code("boot", **OPEN_PARENT)
    reason = isolations.self_test("landlock")
    assert "write a verdict" in reason
    assert "read other tests" in reason


@pytest.mark.parametrize("barrier", OPEN_PARENT)
def test_each_barrier_alone_closes_the_parent(change_box_code, barrier):
    if isolations.self_test("landlock"):
        pytest.skip("landlock does not work here")
    change_box_code("boot", **{barrier: OPEN_PARENT[barrier]})
    assert isolations.self_test("landlock") is None


def test_a_forged_reply_is_refused_even_where_a_program_can_write_it(change_box_code):
    if isolations.self_test("landlock"):
        pytest.skip("landlock does not work here")
    change_box_code("boot", **OPEN_PARENT)
    box = start.start_box("landlock")
    try:
        box.load_program(FORGE)
        with pytest.raises(isolations.BoxDied, match="has not written"):
            box.run_test({"kind": "stdio", "stdin": b""}, 5.0)
        assert not box.is_alive
    finally:
        box.end()


def test_no_process_of_a_test_has_a_nonce_in_its_memory(isolation):
    """A program that walks up its frames finds the page of the nonce, which the kernel has emptied."""
    box = start.start_box(isolation)
    program = """
import sys
frame, nonces = sys._getframe(), []
while frame:
    nonces += [value["nonce"] for value in frame.f_locals.values() if type(value) is dict and "nonce" in value]
    frame = frame.f_back
print(set(map(bytes, nonces)) == {bytes(16)})
"""
    try:
        box.load_program(program)
        reply = box.run_test({"kind": "stdio", "stdin": b""}, 5.0)
    finally:
        box.end()
    assert reply.printed == b"True\n"
