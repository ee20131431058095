"""The page of a run: whole, harmless, and with the numbers of results.json, whatever the run."""

import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import rondeau
from rondeau.cli import main
from rondeau.errors import OptionError
from rondeau.evaluation.copies import Novelty, Span
from rondeau.evaluation.overlap import Overlap
from rondeau.evaluation.scoring import ScoredCharacter
from rondeau.report.data import Sample, gather
from rondeau.report.page import page, write_report

VOID = {"meta", "link", "br", "hr", "img", "input"}
CLOSED = {"line", "rect", "circle", "polyline"}
HOSTILE = "<script>alert(1)</script>\"'&\0\x1b\ud800\u202e שלום </style></blockquote>"


class Page(HTMLParser):
    """A page taken apart; a tag that isn't closed, or closed twice, is an error."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.values, self.text = [], [], [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag == "data":
            self.values.append(float(dict(attributes)["value"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        assert tag in CLOSED
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


def novelty(share, shares, span):
    return Novelty(12, 4, (span,), share, shares, span)


@pytest.fixture(scope="module")
def data(run):
    """A report of the run alone."""
    gathered = gather(rondeau.load(run))
    samples = [Sample([("".join(t for t, _ in s.pieces), None)]) for s in gathered.samples]
    return replace(gathered, baselines={}, overlap={}, samples=samples)


@pytest.fixture(scope="module")
def full(data):
    """A report with all that others measure, invented."""

    def costs(bits):
        row = {"bits_per_character": bits, "bits_per_byte": bits / 3, "unknown_share": 0.0}
        ngrams = [{"model": f"{n}-gram", "perplexity": 2**bits / n} | row for n in range(1, 7)]
        return [{"model": "uniform", "perplexity": 99.0} | row, *ngrams, {"model": "xz"} | row]

    sample = "月亮来了" * 3
    span = Span(start=4, length=4, document=3, line=2, title="月亮")
    pieces = [(sample[:4], None), (sample[4:8], span), (sample[8:], None)]
    return replace(
        data,
        verdict=["it counts well", "It sings."],
        baselines={split: costs(4.25) for split in ("train", "validation", "test")},
        overlap={"validation": Overlap(grams=0.125, lines=None, characters=100)},
        notes=["measured on a part"],
        samples=[Sample(pieces, novelty(1 / 3, {4: 0.5, 8: 1.0}, span))],
        scored=[
            ScoredCharacter("月", 3.5, (("日", 0.25), ("\n", 0.125))),
            ScoredCharacter("", math.inf, ()),
        ],
    )


@pytest.fixture
def results(run):
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def test_every_tag_is_closed_and_every_part_is_there(full):
    taken = Page(page(full))
    headings = re.findall(r"<h2>(.*?)</h2>", page(full))
    assert headings == [
        "What it was trained on", "How it learned", "Report card", "What it writes",
        "What surprises it", "Settings", "Versions", "Once more",
    ]  # fmt: skip
    assert "It counts well. It sings." in taken.text
    assert "rondeau train rhymes.txt --config train_config.toml" in taken.text


def test_nothing_comes_from_elsewhere_and_nothing_runs(full):
    html = page(full)
    assert "default-src 'none'" in html
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(Page(html).tags)
    names = {name for name, _ in Page(html).attributes}
    assert not {"src", "href", "xlink:href", "srcset", "action", "style"} & names
    assert not [name for name in names if name.startswith("on")]
    assert "@import" not in html
    assert "url(" not in html
    assert "://" not in html


def test_the_numbers_are_those_of_the_run(data, results):
    values = Page(page(data)).values
    wanted = [
        row[name]
        for row in results["held_out"]
        for name in ("perplexity", "bits_per_character", "bits_per_byte", "unknown_share")
    ]
    assert set(wanted) <= set(values)
    known = {row["known_perplexity"] for row in results["held_out"]}
    assert set(values) <= set(wanted) | known


def test_models_stand_in_the_order_of_their_bits(full):
    rows = [{"model": m, "bits_per_character": b, "bits_per_byte": b} for m, b in
            (("uniform", 1e9), ("1-gram", 1e-9), ("xz", 1e8))]  # fmt: skip
    ordered = page(replace(full, baselines={"test": rows[:1] + rows[2:] + rows[1:2]}))
    names = re.findall(r'<th scope="row">(this model|uniform|1-gram|xz)</th>', ordered)
    assert names[:4] == ["1-gram", "this model", "xz", "uniform"]


def test_a_compressor_has_bits_but_no_perplexity(full):
    (row,) = set(re.findall(r'<th scope="row">xz</th>(.*?)</tr>', page(full)))
    assert re.findall(r"<td>(.*?)</td>", row)[0] == "–"


def test_a_copied_part_is_marked_and_says_where_it_is_from(full):
    html = page(full)
    assert "<mark>月亮来了</mark><sup>1</sup>月亮来了</blockquote>" in html
    assert "4 characters, line 2 of 月亮 (document 3)" in Page(html).text


def test_each_character_of_the_heat_map_tells_its_bits_and_what_was_preferred(full):
    assert 'title="月  3.500 bits; preferred: 日 25\u202f%, ↵ 12.5\u202f%"' in page(full)
    assert 'title="(end)  ∞ bits"' in page(full)


def test_the_scored_document_is_one_of_the_validation_split(run, data):
    model = rondeau.load(run)
    text = "".join(s.character for s in data.scored)
    assert text in list(model.corpus().validation)
    assert sum(s.bits for s in data.scored) == pytest.approx(model.score(text).bits)


def test_overlap_left_between_the_splits_is_told(full):
    assert '<data value="0.125">12.5' in page(full)
    assert "20\u2011grams also in training" in Page(page(full)).text


def test_the_same_data_give_the_same_bytes(run, full):
    assert page(full) == page(full)
    assert page(gather(rondeau.load(run))) == page(gather(rondeau.load(run)))


def test_hostile_text_is_shown_and_does_nothing(full):
    span = Span(start=0, length=9, document=1, line=1, title=HOSTILE)
    hostile = replace(
        full,
        name=HOSTILE,
        verdict=[HOSTILE],
        notes=[HOSTILE],
        samples=[Sample([(HOSTILE, None), (HOSTILE, span)], novelty(1.0, {4: 0.0}, span))],
        scored=[ScoredCharacter(c, 1.0, ((c, 0.5),)) for c in HOSTILE],
        results=full.results
        | {"data": full.results["data"] | {"sources": [HOSTILE]}}
        | {"settings": full.results["settings"] | {"encoding": HOSTILE}},
        environment=full.environment | {"machine": HOSTILE},
    )
    html = page(hostile)
    taken = Page(html)
    assert "script" not in taken.tags
    assert taken.text.count("<script>alert(1)</script>") >= 8
    assert "שלום" in taken.text
    assert not set("\0\x1b\ud800\u202e") & set(html)
    assert html.encode()


def test_samples_without_a_copy_meter_are_as_harmless(data):
    taken = Page(page(replace(data, samples=[Sample([(HOSTILE, None)])])))
    assert "<script>alert(1)</script>" in taken.text
    assert "script" not in taken.tags


def test_a_page_stays_small_whatever_is_put_on_it(full):
    line = "长" * 100_000
    span = Span(start=0, length=100_000, document=1, line=1, title=line)
    long = replace(
        full,
        name=line,
        verdict=[line],
        notes=[line],
        samples=[Sample([(line, span)] * 50, novelty(1.0, {}, span))],
        results=full.results
        | {"data": full.results["data"] | {"sources": [line] * 1000}}
        | {"settings": full.results["settings"] | {"encoding": line}},
    )
    assert len(page(long)) < len(page(full)) + 30_000
    alone = replace(long, samples=[Sample([(line, None)])])
    assert len(page(alone)) < len(page(full)) + 30_000
    assert "and 980 more" in Page(page(long)).text


def test_a_run_that_reads_its_own_answer_gets_no_perplexity_anywhere(backwards_run):
    leaking = replace(
        gather(rondeau.load(backwards_run)),
        baselines={"validation": [{"model": "3-gram", "perplexity": 9.0, "bits_per_character": 3}]},
    )
    html = page(leaking)
    taken = Page(html)
    assert "perplexity" not in html.lower()
    losses = [row["leaked_loss"] for row in leaking.results["held_out"]]
    assert set(losses) <= set(taken.values)
    assert "reads the character that it is asked for" in taken.text
    assert not {math.exp(loss) for loss in losses} & set(taken.values)


def test_an_unfinished_run_has_a_page_without_final_numbers(data, backwards_run):
    html = page(replace(data, results=data.results | {"held_out": []}))
    assert "hasn't come to its end" in Page(html).text
    leaking = gather(rondeau.load(backwards_run))
    html = page(replace(leaking, results=leaking.results | {"held_out": []}))
    assert "perplexity" not in html.lower()


def test_a_cloze_run_shows_what_it_restores(cloze_run):
    restored = gather(rondeau.load(cloze_run))
    taken = Page(page(restored))
    for row in restored.results["held_out"]:
        assert {row["accuracy"], row["pseudo_perplexity"]} <= set(taken.values)
    assert re.search(r"(?<!pseudo-)perplexity", taken.text.split("stands beside")[0]) is None
    assert "rondeau infill" in taken.text


def test_a_run_without_held_out_text_has_a_page(tmp_path, rhymes):
    small = {"hidden": 8, "batch": 4, "seq_len": 16, "threads": 1, "steps": 5}
    out = tmp_path / "none"
    rondeau.train(rhymes, rondeau.TrainConfig(**small, split="none"), out=out).finish()
    taken = Page(page(gather(rondeau.load(out))))
    assert "nothing was held out" in taken.text
    assert "What surprises it" not in taken.text


@pytest.fixture
def own_run(run, tmp_path):
    """A copy of the run that may be harmed."""
    return shutil.copytree(run, tmp_path / "own")


def test_a_torn_line_of_the_metrics_is_passed_over(own_run):
    path = own_run / "metrics.jsonl"
    whole = gather(rondeau.load(own_run)).events
    path.write_bytes(path.read_bytes() + b'{"step": 70, "lo\xe5')
    assert gather(rondeau.load(own_run)).events == whole
    path.unlink()
    assert "How it learned" not in page(gather(rondeau.load(own_run)))


def test_a_run_whose_text_is_gone_has_a_page_that_says_so(tmp_path, rhymes, run):
    text = tmp_path / "gone.txt"
    shutil.copy(rhymes, text)
    small = {"hidden": 8, "batch": 4, "seq_len": 16, "threads": 1, "steps": 5}
    config = rondeau.TrainConfig(**small, documents="blank-line")
    rondeau.train(text, config, out=tmp_path / "run").finish()
    text.unlink()
    html = page(gather(rondeau.load(tmp_path / "run")))
    assert "isn't where it was" in html.replace("&#39;", "'")
    assert "1-gram" in html  # kept in the run
    assert str(tmp_path) not in html


def test_a_page_names_no_folder_of_its_writer(run, full):
    assert str(run.parent) not in page(full)


def test_the_report_lies_in_the_run_and_leaves_it_whole(own_run):
    path = write_report(rondeau.load(own_run))
    assert path == own_run / "report.html"
    assert Page(path.read_text(encoding="utf-8")).tags
    rondeau.load(own_run)


def test_a_folder_cannot_be_the_report(own_run, tmp_path):
    with pytest.raises(
        OptionError, match=r"--out .*: cannot be written: Is a directory; name another file"
    ):
        write_report(rondeau.load(own_run), out=tmp_path)


def test_the_command_writes_a_page_and_says_where(own_run, tmp_path, capsys):
    for arguments, path in (
        ([], own_run / "report.html"),
        (["--out", str(tmp_path / "new" / "page.html")], tmp_path / "new" / "page.html"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["report", str(own_run), *arguments])
        assert exit_.value.code == 0
        assert capsys.readouterr().out == f"{path}\n"
        assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
