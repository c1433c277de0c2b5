from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avcap.cli import main
from avcap.ids import id_hash
from avcap.shards.reader import Shards
from avcap.study.report.collect import choose_baselines, find_runs, group_runs
from avcap.study.report.compose import compose_report, write_report
from avcap.study.report.page.build import script_json
from avcap.study.report.page.clips import browser_data, choose_clips
from avcap.study.report.page.pictures import WIDTH, light_picture, sprite
from benchmarks.report import make_matrix, make_thumbnails

EVIL = "</script><script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">&amp;"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def make_run(folder: Path, captions: dict[str, str], *, cider: float, config: str = "") -> Path:
    (folder / "maps").mkdir(parents=True)
    results = {"name": EVIL, "scores": {"cider_d": cider}, "clips": len(captions), "id_hash": id_hash(captions)}
    (folder / "results.json").write_text(json.dumps(results))
    rows = [
        {"id": i, "caption": c, "references": ["a dog", EVIL], "scores": {"cider_d": cider * (n % 3)}}
        for n, (i, c) in enumerate(captions.items())
    ]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.yaml").write_text(config)
    Image.new("RGB", (1200, 300), "green").save(folder / "maps" / "a.png")
    return folder


class Page(HTMLParser):
    """Tags, and the text inside those that matter here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = dict(attrs).get("id") or tag

    def handle_data(self, data):
        self.inside[self._open] = self.inside.get(self._open, "") + data


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    captions = {f"clip{n}": f"{EVIL} {n}" for n in range(30)}
    make_run(tmp_path / "runs" / "one", captions, cider=1.0, config="model: {lr: 0.1}\n")
    make_run(tmp_path / "runs" / "two", captions, cider=0.5, config=f"model: {{lr: {json.dumps(EVIL)}}}\n")
    main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--title", EVIL])
    return tmp_path / "out" / "report.html"


def test_the_page_is_one_file_and_text_stays_text(evil):
    text = evil.read_text(encoding="utf-8")
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 3  # the script and two blocks of data; none from a caption
    assert not any("onerror" in attributes for _, attributes in page.tags)
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 2  # a map of each run
    assert all(source.startswith("data:image/webp;base64,") for source in pictures)
    assert not any(
        tag in ("link", "iframe") or "http" in str(attributes.get("href", "")) for tag, attributes in page.tags
    )
    assert not re.search(r"url\(|@import", page.inside["style"])
    (data,) = json.loads(page.inside["browser-data"])
    assert data["texts"][data["clips"][0]["captions"][0]] == f"{EVIL} 0"
    assert data["texts"].count(EVIL) == 1  # 60 times a reference, stored once
    anchors = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert anchors <= {f"#{attributes.get('id')}" for _, attributes in page.tags}


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which few machines have")
def test_a_browser_shows_the_captions_and_runs_none_of_them(evil):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    profile = f"--user-data-dir={evil.parent / 'profile'}"
    command = [CHROMIUM, *flags, profile, "--timeout=10000", "--dump-dom", evil.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    page = Page(dom)
    assert sum(tag == "article" for tag, _ in page.tags) == 20  # a page of clips
    assert sum(tag == "button" for tag, _ in page.tags) > 4  # sorting and turning pages
    assert page.inside["title"].strip() == EVIL  # not "run"
    assert "1–20 of 30" in dom


def test_json_cannot_end_its_element():
    text = script_json({"a": EVIL})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": EVIL}


def test_twenty_cells_and_a_thousand_clips_stay_small(tmp_path):
    ids = make_matrix(tmp_path / "matrix", variants=5, seeds=1, clips=1000, extras=False)
    few = make_thumbnails(ids[:40])
    thumbnails = {clip: few[ids[n % 40]] for n, clip in enumerate(ids)}  # drawing all would take most of the time
    groups = group_runs(find_runs([tmp_path / "matrix"]))
    folders = [run.folder for cell in groups[0].cells for run in cell.runs]
    content = compose_report(
        groups,
        baselines=choose_baselines(groups, None),
        curves={folder: {} for folder in folders},
        kinds={groups[0].id_hash: {}},
        clips=1000,
    )
    files = write_report(tmp_path / "out", content, title="x", thumbnails=thumbnails)
    assert [file.name for file in files] == ["report.html", "report.md", "report.tex", "report.csv"]
    assert len(content.browsers[0]["systems"]) == 20
    assert len(content.browsers[0]["clips"]) == 1000
    # 30 MB is the promise; curves of 60 runs take 1 MB and three maps a cell 3 MB (benchmarks/report.py)
    assert 5e6 < files[0].stat().st_size < 26e6


def test_the_clips_shown_are_half_those_of_most_disagreement(tmp_path):
    ids = make_matrix(tmp_path, variants=2, seeds=1, clips=60, extras=False)
    (group,) = group_runs(find_runs([tmp_path]))
    assert choose_clips(group, 60) == sorted(ids)
    scores = np.stack([cell.clip_scores("cider_d", group.ids) for cell in group.cells])
    most = {group.ids[n] for n in np.argsort(-scores.std(0))[:10]}
    shown = choose_clips(group, 20)
    assert len(set(shown)) == 20
    assert most <= set(shown)
    assert browser_data(group, clips=0, kinds={}) is None
    data = browser_data(group, clips=20, kinds={shown[0]: "sound_alike"})
    assert data["clips"][0]["kind"] == "sound-alike"
    rows = group.cells[3].runs[0].rows[shown[0]]
    assert data["texts"][data["clips"][0]["captions"][3]] == rows["caption"]
    assert data["clips"][0]["scores"][3][0] == round(1000 * rows["scores"]["cider_d"])


@pytest.mark.parametrize(("shape", "height"), [((8, 3, 64, 64), 63), ((20, 3, 90, 160), 37), ((1, 3, 64, 64), 163)])
def test_sprites_are_small_whatever_the_frames(tmp_path, shape, height):
    frames = np.full(shape, 128, np.uint8)
    fbank = np.random.default_rng(0).normal(size=(500, 64))
    with Image.open(_saved(tmp_path, sprite(fbank, frames))) as whole:
        assert whole.size == (WIDTH, 72 + height)
    assert len(sprite(fbank, frames)) < 25_000  # noise is the worst case
    assert sprite(None, None) is None
    assert sprite(None, frames) is not None
    assert sprite(np.zeros((10, 64)), None) is not None  # silence has no range


def _saved(folder: Path, uri: str) -> Path:
    file = folder / "sprite.webp"
    file.write_bytes(base64.b64decode(uri.split(",")[1]))
    return file


def test_pictures_are_made_light(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (20, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((1920, 640)).save(tmp_path / "map.png")
    with Image.open(_saved(tmp_path, light_picture(tmp_path / "map.png"))) as picture:
        assert picture.size == (960, 320)
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"broken\.png cannot be read as an image"):
        light_picture(tmp_path / "broken.png")


def test_thumbnails_and_scenes_come_from_the_shards_of_the_config(tmp_path, demo_root, capsys):
    shards = Shards(demo_root / "shards" / "test")
    config = f"data: {{init_args: {{shards: {demo_root / 'shards'}}}}}\n"
    one = make_run(tmp_path / "one", dict.fromkeys(shards.ids, "a bell rings"), cider=1.0, config=config)
    two = make_run(tmp_path / "two", {"x": "a bell"}, cider=1.0, config="data: {init_args: {shards: gone}}\n")
    main(["report", str(one), str(two), "--out", str(tmp_path / "out"), "--clips", "5"])
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    thumbnails = json.loads(page.inside["thumbnail-data"])
    first, second = json.loads(page.inside["browser-data"])
    assert sorted(thumbnails) == [clip["id"] for clip in first["clips"]]
    assert len(thumbnails) == 5
    assert all(clip["kind"] for clip in first["clips"])
    assert [clip["id"] for clip in second["clips"]] == ["x"]
    assert "2 different lists of clips" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "report.html" in capsys.readouterr().out


def test_bad_input_is_one_sentence(tmp_path, capsys):
    for arguments, message in [
        ([str(tmp_path)], "There is no results.json in or below"),
        ([str(tmp_path), "--clips", "-1"], "--clips is -1"),
    ]:
        with pytest.raises(SystemExit, match="1"):
            main(["report", *arguments])
        assert message in capsys.readouterr().err
