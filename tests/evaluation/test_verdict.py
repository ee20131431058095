"""What is said about a model, sentence by sentence."""

import dataclasses

from rondeau.evaluation.perplexity import Evaluation
from rondeau.evaluation.verdict import verdict

CHARACTERS = 1000


def costs(split, bits_per_character, model="model", **more):
    """An evaluation of a thousand characters at so many bits each."""
    bits = bits_per_character * CHARACTERS
    return Evaluation(
        split=split,
        targets=CHARACTERS,
        characters=CHARACTERS,
        utf8_bytes=CHARACTERS,
        bits=bits,
        unknown=0,
        known_bits=bits,
        model=model,
        **more,
    )


def others(split, *, xz=5.0):
    """Baselines whose best n-gram is of order 3, at 3.9 bits a character."""
    bits = {"uniform": 8.0, "1-gram": 6.0, "2-gram": 4.5, "3-gram": 3.9, "4-gram": 4.0, "xz": xz}
    return [costs(split, b, model) for model, b in bits.items()]


def said(held_out, *, train=None, **more):
    """The verdict on a model with these bits a character."""
    evaluations = {} if train is None else {"train": costs("train", train)}
    evaluations |= {"validation": costs("validation", held_out)}
    return verdict(evaluations, {"validation": others("validation", **more)})


def test_a_good_model_is_told_by_how_much():
    assert said(2.88, train=2.5) == [
        "The model needs 2.88 bits a character on the validation split: 1.02 fewer than the best "
        "n-gram (the 3-gram)."
    ]


def test_a_model_that_equals_counting_is_told_so():
    assert said(3.902, train=3.5) == [
        "The model is only as good as the 3-gram, which counts: 3.90 bits a character on the "
        "validation split."
    ]


def test_a_model_that_is_worse_than_counting_and_has_learned_little():
    assert said(4.2, train=4.1) == [
        "The model is worse than the 3-gram, which only counts (4.20 against 3.90 bits a character "
        "on the validation split): it hasn't learned enough; train longer or with a larger "
        "--hidden."
    ]


def test_without_the_training_split_no_reason_is_made_up():
    assert said(4.2) == [
        "The model is worse than the 3-gram, which only counts (4.20 against 3.90 bits a character "
        "on the validation split): its figure on the training split would tell why."
    ]


def test_a_model_that_is_worse_than_counting_and_has_learned_too_much():
    assert said(4.2, train=3.0) == [
        "The model is worse than the 3-gram, which only counts (4.20 against 3.90 bits a character "
        "on the validation split): it knows its training text, not the language; try more text or "
        "a higher --dropout."
    ]


def test_a_model_that_is_worse_than_guessing():
    assert said(9.0, train=8.5) == [
        "The model is worse than the 3-gram, which only counts (9.00 against 3.90 bits a character "
        "on the validation split): guessing among all characters alike would cost less; try a "
        "smaller --lr."
    ]


def test_a_model_that_memorised_is_told_so_in_one_sentence():
    assert said(12.0, train=0.02) == [
        "The model memorised its text: its perplexity is 1.01 on the training text and 4,096 on "
        "the validation split, where counting (the 3-gram) reaches 15."
    ]


def test_a_low_training_perplexity_is_no_fault_where_held_out_text_is_predicted_too():
    assert said(2.88, train=0.9) == said(2.88)


def test_a_split_that_xz_finds_in_the_training_text_is_told():
    assert said(2.88, xz=1.2)[1:] == [
        "A compressor (xz) needs only 1.20 bits a character on the validation split: long passages "
        "repeat the training text, or one another, word for word."
    ]
    assert len(said(5.0, xz=4.0)) == 1


def test_a_compressor_that_is_cheaper_by_unknown_characters_alone_is_not_told():
    dear = dataclasses.replace(costs("test", 25.0), unknown=500, known_bits=3000.0)
    ngrams = [dataclasses.replace(e, known_bits=3000.0) for e in others("test", xz=3.5)[:-1]]
    assert len(verdict({"test": dear}, {"test": [*ngrams, costs("test", 3.5, "xz")]})) == 1


def test_the_test_split_judges_where_there_is_one():
    splits = ("train", "validation", "test")
    evaluations = {split: costs(split, 2.0 + i) for i, split in enumerate(splits)}
    (sentence,) = verdict(evaluations, {split: others(split) for split in splits})
    assert "(4.00 against 3.90 bits a character on the test split)" in sentence


def test_without_held_out_text_nothing_is_claimed():
    (sentence,) = verdict({"train": costs("train", 0.1)}, {"train": others("train")})
    assert sentence.startswith("These are figures on the training text")


def test_a_leaking_model_is_not_compared():
    leaking = dataclasses.replace(costs("test", 0.1), leak=1.0)
    assert verdict({"test": leaking}, {"test": others("test")}) == [
        "The model reads its own answer: its loss can't be compared with any baseline."
    ]
