from __future__ import annotations

from avcap.machine import compare_versions, cpu_flags, examine, pins


def test_pins_of_a_constraints_file():
    text = "# why\ntorch==2.11.0  # pinned\nPOT == 0.9.7\nnumpy>=1.26\n\nlightning==2.6.6 ; python_version > '3.10'\n"
    assert pins(text) == {"torch": "2.11.0", "POT": "0.9.7", "lightning": "2.6.6"}


def test_versions_that_differ_are_remarked():
    found = {
        f.name: f for f in compare_versions({"torch": "2.11.0+cu130", "lightning": "0.1", "no-such-package": "1.0"})
    }
    assert found["torch"].problem == ""
    assert "constraints.txt has 0.1" in found["lightning"].problem
    assert found["no-such-package"].problem == "pip install 'no-such-package==1.0'"


def test_cpu_flags():
    assert cpu_flags("processor : 0\nflags\t\t: fpu avx2 amx_bf16 avx512f\nbugs: x\n") == [
        "amx_bf16",
        "avx512f",
        "avx2",
    ]
    assert cpu_flags("") == []


def test_every_section_is_examined(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCAP_CACHE", str(tmp_path / "cache"))
    findings = {(f.section, f.name): f for f in examine()}
    assert {section for section, _ in findings} == {"python", "packages", "devices", "codecs", "metrics", "disk"}
    for name in ("h264", "aac", "libx264", "aac (encoder)"):
        assert findings["codecs", name].problem == ""
    assert findings["metrics", "java"].value.startswith("11.")
    assert findings["metrics", "cider_d"].value == "available"
    assert "avcap metrics download" in findings["metrics", "spice"].problem
