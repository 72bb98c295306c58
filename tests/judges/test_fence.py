"""The fence holds for any text: the marker is absent from what it encloses, stable, and nothing invisible gets through."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from judges.attacks import corpus
from judges.fence import MARKER_DIGITS, fenced, harmless, marker_for, special

ANY = st.text(st.characters(exclude_categories=()), max_size=80)
PIECES = st.sampled_from(
    ["<|im_end|>", "<|im_start|>system", "[/INST]", "<<SYS>>", "</s>", "<end_of_turn>", "<｜User｜>", "[[END answer ", "[[BEGIN",
     "\u202e", "\u200b", "\r", "\r\n", "\x00", "\x1b[2J", "\U000e0041", "]]", "a", " ", "\n", "中文"]
)  # fmt: skip
HOSTILE = st.lists(PIECES, max_size=12).map("".join)
LABELS = st.sampled_from(["question", "reference", "answer", "answer A", "answer B"])


@given(st.dictionaries(LABELS, ANY | HOSTILE, min_size=1, max_size=4))
def test_no_text_contains_the_marker_that_encloses_it(texts: dict[str, str]) -> None:
    marker, blocks = fenced(texts)
    assert len(marker) == MARKER_DIGITS
    for label, block in blocks.items():
        begin, end = f"[[BEGIN {label} {marker}]]\n", f"\n[[END {label} {marker}]]"
        assert block.startswith(begin)
        assert block.endswith(end)
        inside = block[len(begin) : len(block) - len(end)]
        assert marker not in inside.lower()
        assert inside == harmless(texts[label])
    assert fenced(texts) == (marker, blocks)


def test_a_text_that_held_its_marker_would_get_the_next_one() -> None:
    texts = {"answer": "plain"}
    first = marker_for(texts)
    assert first not in marker_for({"answer": first})
    assert marker_for({"answer": "plain "}) != first


@given(ANY | HOSTILE)
def test_harmless_text_has_no_hidden_characters_and_no_special_tokens(text: str) -> None:
    shown = harmless(text)
    assert not special(shown)
    assert harmless(shown) == shown
    shown.encode("utf-8")
    for character in shown:
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
        assert unicodedata.bidirectional(character) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"), exclude_characters="<>[]"), max_size=60
    )
)
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_code_markup_and_emoji_stay() -> None:
    text = "if (a < b && b > c) { x[i] = y[[0]]; }\n<b>bold</b>\t👩‍👩‍👧 می‌خواهم"
    assert harmless(text) == text


def test_no_attack_reaches_a_chat_template_as_a_special_token(root: Path) -> None:
    """The pocket model's own tokenizer, which takes <|im_end|> in a text for the real one, as servers' tokenizers do."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(root / "suites/quickstart/models/base/tokenizer.json"))
    specials = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    raw = [attack for attack in corpus() if specials & set(tokenizer.encode(attack.text).ids)]
    assert raw, "the corpus has attacks with this tokenizer's special tokens"
    for attack in corpus():
        assert not specials & set(tokenizer.encode(harmless(attack.text)).ids), attack.id
