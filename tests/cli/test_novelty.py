"""`rondeau generate --novelty`: what is marked, what is told, and what it needs."""

import json
import shutil

import pytest
from rich.console import Console

from rondeau.cli import novelty
from rondeau.evaluation.copies import KEPT, Novelty, Span
from rondeau.language_model import LanguageModel
from rondeau.run.folder import RunFolder, to_json
from rondeau.run.origin import ORIGIN

SPAN = Span(start=2, length=3, document=7, line=2, title="猫白大")
REPORT = Novelty(
    characters=6, least=3, spans=(SPAN,), copied_share=0.5, novel_share={4: 1.0}, longest=SPAN
)


@pytest.fixture
def own_run(run, tmp_path):
    """A run that a test may write to."""
    return shutil.copytree(run, tmp_path / "own")


def test_copied_spans_are_in_brackets_with_their_source_below(capsys):
    novelty.print_novelty("一二", "三四五六七八", REPORT)
    text, empty, figures, source = capsys.readouterr().out.splitlines()
    assert (text, empty) == ("一二三四⟦五六七⟧八", "")
    assert figures == (
        "copied: 50.0% (in runs of at least 3 characters)  longest run: 3  new 4-grams: 100.0%"
    )
    assert source == "  3 characters from document 7 “猫白大”, line 2: 五六七"


def test_a_terminal_underlines_and_NO_COLOR_goes_back_to_brackets(capsys, monkeypatch):  # noqa: N802
    def on_a_terminal(**options):
        return Console(force_terminal=True, color_system="standard", **options)

    monkeypatch.setattr(novelty, "Console", on_a_terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    novelty.print_novelty("一二", "三四五六七八", REPORT)
    assert "三四\x1b[4;33m五六七\x1b[0m八" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    novelty.print_novelty("一二", "三四五六七八", REPORT)
    assert "三四⟦五六七⟧八" in capsys.readouterr().out


def test_generate_tells_what_it_has_copied_and_keeps_the_index(rondeau, own_run):
    arguments = ["generate", own_run, "--length", 30, "--seed", 1]
    plain = rondeau(*arguments)[1]
    code, stdout, _ = rondeau(*arguments, "--novelty")
    shown, _, figures = stdout.partition("\n\ncopied: ")
    assert code == 0
    assert shown.replace("⟦", "").replace("⟧", "") + "\n" == plain
    assert "new 4-grams" in figures
    assert (own_run / "private" / "copies.safetensors").is_file()


def test_json_gives_the_novelty_of_each_sample(rondeau, own_run):
    arguments = ["generate", own_run, "--prefix", "猫", "--num-samples", 2, "--seed", 1, "--json"]
    samples = json.loads(rondeau(*arguments, "--novelty")[1])["samples"]
    model = LanguageModel.load(own_run)
    for sample in samples:
        report = model.novelty(sample["text"], "猫")
        assert sample["novelty"]["characters"] == len(sample["text"])
        assert sample["novelty"]["copied_share"] == report.copied_share
        assert [s["title"] for s in sample["novelty"]["spans"]] == [s.title for s in report.spans]
    assert all("novelty" not in s for s in json.loads(rondeau(*arguments)[1])["samples"])


def test_a_training_document_is_all_copied(own_run):
    model = LanguageModel.load(own_run)
    document = model.corpus().train[3]
    report = model.novelty(document)
    assert report.copied_share == 1
    assert report.longest.title == document.split("\n")[0]


def test_a_run_without_its_text_says_what_it_needs(rondeau, own_run, tmp_path):
    origin = {"sources": [str(tmp_path / "gone.txt")], "fingerprint": ""}
    RunFolder.open(own_run).change({ORIGIN: to_json(origin)}, remove=[KEPT])
    code, _, stderr = rondeau("generate", own_run, "--novelty")
    assert code == 2
    assert "needs the training text" in stderr
    assert "gone.txt: no such file" in stderr
