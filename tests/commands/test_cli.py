"""The verbs: what the program prints of itself."""

from __future__ import annotations

import pytest
import yaml

from avcap.cli import COMMANDS, GROUPS, LIGHTNING, call, main
from tests.end_to_end.program import REPOSITORY


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


def test_an_unknown_verb_is_refused_with_the_list(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fti", "--config", "x.yaml"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "there is no verb 'fti'" in error
    assert "  fit " in error


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
