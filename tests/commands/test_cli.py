"""The verbs: what the program prints of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from avcap.cli import COMMANDS, GROUPS, LIGHTNING, call, main
from tests.end_to_end.program import ENVIRONMENT, REPOSITORY


def test_without_a_verb_or_with_help_all_verbs_are_listed(capsys):
    for words in ([], ["--help"]):
        main(words)
        out = capsys.readouterr().out
        assert all(f"  {verb} " in out for verb in (*LIGHTNING, *COMMANDS))
        assert [line[:-1] for line in out.splitlines()[1:] if line[:1].strip()] == ["train", *GROUPS]


def test_a_group_of_verbs_is_listed_alone(capsys):
    main(["weights"])
    out = capsys.readouterr().out
    assert "\nweights:\n  weights import" in out
    assert "data demo" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fti --config x.yaml", "there is no verb 'fti'; did you mean fit?"),
        ("train", "there is no verb 'train'; did you mean fit?"),
        ("capton x.mp4", "there is no verb 'capton'; did you mean caption?"),
        ("data prep x", "there is no verb 'data prep'; did you mean data prepare?"),
        ("data zzz", "there is no verb 'data zzz'; there are data demo, data prepare"),
        ("weights --foo", "there is no verb 'weights --foo'"),
        ("--foo caption", "--foo stands before the verb"),
        ("zzz", "there is no verb 'zzz'."),
    ],
)
def test_an_unknown_verb_is_refused_with_the_nearest(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    printed = capsys.readouterr()
    error, tip = printed.err.splitlines()
    assert said in error
    assert "--help` lists the verbs" in tip
    assert not printed.out


QUICK = """
import contextlib, io, sys
from avcap.cli import run
for verb in sys.argv[1:]:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        run([*verb.split(), "--help"])
    assert "torch._C" not in sys.modules, verb
"""


def test_help_does_not_import_torch():
    quick = ["robustness", "data prepare", "data merge", "data verify", "data derive", "drill prepare"]
    quick += [f"dali {name}" for name in ("captioner", "instructions", "calibrate", "probe", "stills")]
    subprocess.run([sys.executable, "-c", QUICK, *quick], check=True)


def test_version(capsys):
    from avcap import __version__

    main(["--version"])
    assert capsys.readouterr().out == f"avcap {__version__}\n"


@pytest.mark.parametrize("verb", [*LIGHTNING, *COMMANDS])
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*verb.split(), "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "usage:" in out
    assert "--help" in out


@pytest.mark.parametrize("given", ["null", "None"])
def test_null_is_none_also_for_a_text_of_a_class_inside_a_class(given, capsys):
    part = "model.init_args.audio_encoder.init_args"
    words = ["--config", str(REPOSITORY / "configs" / "lavcap.yaml"), f"--{part}.pretrained", given]
    with pytest.raises(SystemExit) as stop:
        main(["test", *words, "--print_config"])
    assert stop.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["init_args"]["audio_encoder"]["init_args"]["pretrained"] is None


def test_a_switch_needs_no_value():
    given = {}

    def verb(name: str, *, json: bool = False, count: int = 1) -> None:
        """Say."""
        given.update(name=name, json=json, count=count)

    call(verb, ["a", "--json", "--count", "3"], "avcap verb")
    assert given == {"name": "a", "json": True, "count": 3}
    call(verb, ["a", "--json", "false"], "avcap verb")
    assert given["json"] is False


def test_a_hyphen_in_an_option_is_an_underscore_and_a_name_is_kept():
    given = {}

    def verb(files: list[Path], *, shard_index: int = 0, num_shards: int = 1) -> None:
        """Say."""
        given.update(files=files, numbers=(shard_index, num_shards))

    call(verb, ["--shard-index", "2", "--num-shards=3", "--", "--a-b.mp4"], "avcap verb")
    assert given == {"files": [Path("--a-b.mp4")], "numbers": (2, 3)}


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    def broken() -> None:
        """Break."""
        raise KeyError("inside")

    monkeypatch.setattr("avcap.commands.doctor.doctor", broken)
    with pytest.raises(KeyError):
        main(["doctor"])


def test_bad_input_is_one_line_and_status_1(monkeypatch, capsys):
    def bad() -> None:
        """Refuse."""
        raise ValueError("the file\n  is bad")

    monkeypatch.setattr("avcap.commands.doctor.doctor", bad)
    with pytest.raises(SystemExit) as stop:
        main(["doctor"])
    assert stop.value.code == 1
    assert capsys.readouterr().err == "avcap: error: the file is bad\n"
    monkeypatch.setenv("AVCAP_DEBUG", "1")
    with pytest.raises(ValueError, match="is bad"):
        main(["doctor"])


MODULE = """
from avcap.fusion import TimeConcat
class {name}(TimeConcat):
    'A fusion of somebody else.'
"""


def test_a_file_or_a_module_that_is_named_is_imported_and_its_classes_are_known(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "own_file.py").write_text(MODULE.format(name="OwnFileFusion"))
    (tmp_path / "own_module.py").write_text(MODULE.format(name="OwnModuleFusion"))
    main(["list", "fusion"])
    assert "OwnFileFusion" not in capsys.readouterr().out
    main(["list", "--import", "own_file.py", "fusion", "--import=own_module"])
    out = capsys.readouterr().out
    assert "OwnFileFusion" in out
    assert "OwnModuleFusion" in out


@pytest.mark.parametrize("given", ["nowhere.py", "no_such_module", "broken.py", "json.py", ""])
def test_a_module_that_cannot_be_imported_is_told(given, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "json.py").write_text("")
    with pytest.raises(SystemExit) as stop:
        main(["doctor", f"--import={given}"])
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--import" in line
    assert given.removesuffix(".py") in line


def test_files_of_the_current_folder_do_not_stand_for_libraries(tmp_path: Path):
    for name in ("yaml", "numpy", "jsonargparse", "lazy_loader"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    words = [sys.executable, "-m", "avcap", "summary", "--help"]
    done = subprocess.run(words, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_doctor_runs(capsys):
    main(["doctor"])
    out = capsys.readouterr().out
    assert "torch" in out
    assert "cider_d" in out


@pytest.mark.parametrize(("given", "expected"), [("1", int), ("1.0", float), ("3", int), ("0.5", float)])
def test_one_batch_is_not_all_batches(given, expected, capsys):
    words = ["--config", str(REPOSITORY / "configs" / "lavcap.yaml"), "--trainer.limit_val_batches", given]
    with pytest.raises(SystemExit) as stop:
        main(["fit", *words, "--print_config"])
    assert stop.value.code == 0
    limit = yaml.safe_load(capsys.readouterr().out)["trainer"]["limit_val_batches"]
    assert type(limit) is expected
    assert limit == float(given)
