"""The copy meter, beside a search for every piece of a text in every training document."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondeau.config import TextConfig
from rondeau.errors import CorpusError, RunError
from rondeau.evaluation.copies import KEPT, CopyIndex, index_of, pieces
from rondeau.run.folder import RunFolder
from rondeau.text.corpus import split_corpus
from rondeau.text.documents import documents_of
from rondeau.text.tokenizer import CharTokenizer

VERSES = [
    "静夜思\n床前明月光，疑是地上霜。\n举头望明月，低头思故乡。",
    "\n春晓\n春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少。",
    "登鹳雀楼\n白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。",
    "江雪\n千山鸟飞绝，万径人踪灭。\n孤舟蓑笠翁，独钓寒江雪。",
    "相思\n红豆生南国，春来发几枝。\n愿君多采撷，此物最相思。",
]


def corpus_of(documents):
    return split_corpus(documents, TextConfig())


def index_of_verses():
    """The index of the verses in training, and which of all verses these are."""
    corpus = corpus_of(VERSES)
    numbers = np.array([VERSES.index(verse) for verse in corpus.train])
    return CopyIndex.build(corpus.train), numbers.tolist()


texts = st.text("甲乙\nx", min_size=1, max_size=25)
corpora = st.lists(texts, min_size=3, max_size=6).filter(lambda d: sum(map(len, d)) >= 20)


@given(documents=corpora, prefix=st.text("甲乙\nx?", max_size=6), data=st.data())
@settings(max_examples=200)
def test_figures_and_spans_are_those_of_a_search_by_brute_force(documents, prefix, data):
    corpus = corpus_of(documents)
    train = list(corpus.train)
    text = data.draw(st.text("甲乙\nx?", max_size=40) | st.sampled_from(train))
    least = data.draw(st.integers(1, 9))
    index = CopyIndex.build(corpus.train)
    report = index.report(text, prefix=prefix, least=least)

    def stands(piece):
        return any(piece in document for document in train)

    whole, skipped = prefix + text, len(prefix)
    runs = [
        (i, j)
        for i in range(len(whole))
        for j in range(max(i, skipped) + 1, len(whole) + 1)
        if stands(whole[i:j])
        and not (i and stands(whole[i - 1 : j]))
        and not (j < len(whole) and stands(whole[i : j + 1]))
    ]
    parts = [(max(i, skipped), j) for i, j in runs if j - i >= least]
    long = [(i, j) for i, j in parts if (i, j) == max(part for part in parts if part[0] == i)]
    assert [(s.start + skipped, s.stop + skipped) for s in report.spans] == long
    for span in report.spans:
        copied, document = text[span.start : span.stop], documents[span.document - 1]
        lines = document.split("\n")[span.line - 1 :]
        assert copied in document
        assert "\n".join(lines).find(copied.removeprefix("\n")) in range(len(lines[0]) + 1)
    covered = {at for start, stop in long for at in range(start, stop)}
    assert report.copied_share == pytest.approx(len(covered) / max(1, len(text)))
    for n in (4, 8, 12):
        grams = [whole[e - n : e] for e in range(max(n, skipped + 1), len(whole) + 1)]
        new = [not stands(gram) for gram in grams]
        assert report.novel_share.get(n) == (pytest.approx(sum(new) / len(new)) if new else None)
    longest = max((j - max(i, skipped) for i, j in runs), default=0)
    assert (report.longest.length if report.longest else 0) == longest
    assert "".join(piece for piece, _ in pieces(text, report)) == text
    for piece, span in pieces(text, report):
        assert piece
        assert span is None or piece in text[span.start : span.stop]


def test_a_planted_copy_is_found_with_its_document_line_and_title():
    index, numbers = index_of_verses()
    number = numbers[-1]
    verse = VERSES[number].strip()
    title, planted = verse.split("\n")[0], verse.split("\n")[2]
    report = index.report(f"起首几个字{planted}龙龙", least=8)
    (span,) = report.spans
    line = VERSES[number].split("\n").index(planted) + 1
    assert (span.start, span.length) == (5, len(planted))
    assert (span.document, span.line, span.title) == (number + 1, line, title)
    assert report.longest == span
    assert report.copied_share == pytest.approx(len(planted) / (len(planted) + 7))
    assert [p for p, s in pieces(f"起首几个字{planted}龙龙", report) if s] == [planted]


def test_nothing_is_copied_across_the_border_of_two_documents():
    index, numbers = index_of_verses()
    first, second = (VERSES[number] for number in numbers[:2])
    joined = first[-6:] + second[:6]
    assert [span.length for span in index.report(joined, least=5).spans] == [6, 6]


def test_a_run_that_begins_in_the_prefix_counts_from_the_text_on():
    index, numbers = index_of_verses()
    line = VERSES[numbers[0]].strip().split("\n")[1]
    report = index.report(line[7:], prefix=line[:7], least=len(line))
    (span,) = report.spans
    assert (span.start, span.length) == (0, len(line) - 7)
    assert not index.report(line[7:], least=len(line)).spans


@pytest.mark.parametrize("text", ["", "龙虎龙虎龙虎"])
def test_texts_with_nothing_known_in_them_have_nothing_copied(text):
    report = index_of_verses()[0].report(text, prefix="静夜思")
    assert (report.spans, report.copied_share, report.longest) == ((), 0.0, None)
    assert set(report.novel_share.values()) <= {1.0}


def test_a_long_title_is_shortened():
    long = "很长的题目" * 20 + "\n正文" * 10
    corpus = corpus_of([long, long, long])
    index = CopyIndex.build(corpus.train)
    (span,) = index.report("正文\n正文", least=3).spans
    assert span.title == ("很长的题目" * 5)[:23] + "…"


def test_runs_must_be_longer_where_characters_say_less():
    binary = "".join(f"{i:07b}" for i in range(100))
    various = "".join(chr(0x4E00 + i) for i in range(700))
    few, many = (
        CopyIndex.build(documents_of([text], CharTokenizer.train([text]))).least
        for text in (binary, various)
    )
    assert many == 5  # 4 · log 701 / log 700, rounded up
    assert few == 38  # 4 · log2 701, rounded up, at very nearly one bit a character


def test_a_text_too_large_for_places_of_32_bits_is_refused():
    class Endless:
        def __len__(self):
            return 2**31

    documents = corpus_of(VERSES).train
    object.__setattr__(documents, "ring", Endless())
    with pytest.raises(CorpusError, match="2,147,483,648 characters, the copy meter takes"):
        CopyIndex.build(documents)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.change({"config.json": b"{}"})
    return folder


def gone():
    raise CorpusError("poems.txt: no such file or folder")


def test_an_index_is_made_once_and_then_kept(folder):
    made = index_of(folder, lambda: corpus_of(VERSES))
    kept = index_of(folder, gone)
    text = VERSES[0] + VERSES[2]
    assert made.report(text) == kept.report(text)
    for name in ("text", "suffixes", "starts", "numbers", "codes"):
        assert np.array_equal(getattr(made, name), getattr(kept, name))


def test_a_damaged_index_is_made_anew(folder):
    index_of(folder, lambda: corpus_of(VERSES))
    path = folder.path / KEPT
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    index_of(folder, lambda: corpus_of(VERSES))
    assert path.read_bytes() == good


def test_a_folder_that_cannot_be_written_does_without(folder, monkeypatch):
    def read_only(path, data):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("rondeau.run.folder.write_atomic", read_only)
    index = index_of(folder, lambda: corpus_of(VERSES))
    assert index.report(VERSES[0]).characters == len(VERSES[0])
    assert not (folder.path / KEPT).exists()


def test_without_index_and_text_the_error_says_what_is_needed(folder):
    with pytest.raises(RunError, match=r"needs the training text.*poems.txt: no such file"):
        index_of(folder, gone)


def test_parts_that_would_lead_out_of_the_text_are_refused():
    index, _ = index_of_verses()
    for name, value in [
        ("suffixes", index.suffixes + 1),
        ("suffixes", index.suffixes[1:]),
        ("codes", index.codes[:-1]),
        ("starts", index.starts + 1),
        ("numbers", index.numbers[1:]),
    ]:
        parts = vars(index) | {name: value}
        bad = CopyIndex(**{n: parts[n] for n in ("text", "suffixes", "starts", "numbers", "codes")})
        with pytest.raises(RunError, match="copies: is not an index"):
            CopyIndex.from_bytes(bad.to_bytes(), "copies")
    with pytest.raises(RunError, match="copies: is not a file of tensors"):
        CopyIndex.from_bytes(b"no index", "copies")


def test_a_report_is_plain_data():
    index, numbers = index_of_verses()
    report = json.loads(json.dumps(index.report(VERSES[numbers[0]]).as_dict()))
    assert report["spans"] == [report["longest"]]
    assert report["copied_share"] == 1
    assert report["novel_share"] == {"4": 0, "8": 0, "12": 0}
