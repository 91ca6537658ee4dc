"""Folders of answers: whole or not at all, and never mixed up."""

import json

import pytest

from fastpunet.prediction.folders import alone, differences, find_answer, is_written, whole_folder


def _answer(folder, text="{}"):
    with whole_folder(folder) as temporary:
        (temporary / "hypotheses.txt").write_text("1")
        (temporary / "answer.json").write_text(text)


def _interrupted(folder, error):
    with whole_folder(folder) as temporary:
        (temporary / "answer.json").write_text('{"version": "new"}')
        raise error


def test_a_folder_is_whole_and_nothing_else_is_left(tmp_path):
    _answer(tmp_path / "new" / "case")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["case"]
    assert sorted(path.name for path in (tmp_path / "new" / "case").iterdir()) == ["answer.json", "hypotheses.txt"]
    assert find_answer(tmp_path / "new" / "case") == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_what_was_there(error, tmp_path):
    _answer(tmp_path / "case", '{"version": "old"}')
    for name in ("case", "other"):
        with pytest.raises(error):
            _interrupted(tmp_path / name, error)
    assert find_answer(tmp_path / "case") == {"version": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["case"]
    assert find_answer(tmp_path / "other") is None


def test_an_answer_is_replaced_with_all_its_files(tmp_path):
    with whole_folder(tmp_path / "case") as temporary:
        (temporary / "more.txt").write_text("1")
    _answer(tmp_path / "case")
    assert sorted(path.name for path in (tmp_path / "case").iterdir()) == ["answer.json", "hypotheses.txt"]


def test_what_a_killed_process_left_does_not_disturb(tmp_path):
    for name in (".case.partial", ".case.replaced"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half.png").write_text("1")
    _answer(tmp_path / "case")
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "thesis.txt").write_text("mine")
    for text in (None, "", "[1]", "{"):
        if text is not None:
            (tmp_path / "case" / "answer.json").write_text(text)
        with pytest.raises(ValueError, match="^output: .*case exists, but was not written by fastpunet sample; name"):
            find_answer(tmp_path / "case")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="^output: .*file exists"):
        find_answer(tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(ValueError, match="^output: .*link exists"):
        find_answer(tmp_path / "link")


def test_what_was_asked_otherwise_is_named():
    asked = {"model": {"sha256": "a"}, "request": {"n": 16, "seed": 0, "modes": None}, "sha256": "c"}
    assert differences(json.loads(json.dumps(asked)), asked) == []
    assert differences({**asked, "request": {"n": 8, "seed": 0}}, asked) == ["n was 8"]
    assert differences({**asked, "model": {"sha256": "b"}}, asked) == ["the model was a different one"]
    assert differences({**asked, "sha256": "d"}, asked) == ["the image was a different one"]
    assert differences({}, asked) == [
        "n was None",
        "seed was None",
        "the model was a different one",
        "the image was a different one",
    ]


def test_two_processes_do_not_write_to_one_folder(tmp_path):
    message = "^output: another process is writing to .*; wait for it, or name another folder$"
    with alone(tmp_path), pytest.raises(ValueError, match=message), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_files_of_answers_are_recognised(tmp_path):
    _answer(tmp_path / "case", '{"written": ["mean.nii.gz"]}')
    assert is_written(tmp_path / "case" / "mean.nii.gz")
    assert not is_written(tmp_path / "case" / "scan.nii.gz")
    assert not is_written(tmp_path / "mean.nii.gz")
    (tmp_path / "other").mkdir()
    for text in ("[1]", "{", '{"written": 3}'):
        (tmp_path / "other" / "answer.json").write_text(text)
        assert not is_written(tmp_path / "other" / "mean.nii.gz")
