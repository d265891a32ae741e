"""Writes ../merges.txt, tokens_small.json and tokens_full.json: token ids of CLIP's published tokeniser.

The strings come from one formula (splitmix64 over fragments and code point ranges) that the Go test repeats. A fixture
holds a SHA-256 over the ids of every block of 100 strings, and every 80th string with its ids in full.

The tokeniser is open_clip's SimpleTokenizer, which is OpenAI's, with three things set:
- ftfy.fix_text is the identity: the Go tokeniser does not repair wrongly decoded text;
- the special tokens are spelt as OpenAI spells them (open_clip 2.24 writes <start_of_text>);
- tokens_small uses the merges in ../merges.txt, which this script trains on the sentences below.

Run:  python tokens.py PATH/bpe_simple_vocab_16e6.txt.gz
Versions used: Python 3.11.7, open_clip 2.24.0, regex 2026.11.15, Unicode 14.0.0.
"""

import gzip
import hashlib
import json
import pathlib
import struct
import sys
import tempfile
import unicodedata
from collections import Counter
from importlib import metadata

import ftfy
import regex
from open_clip import tokenizer as reference

HERE = pathlib.Path(__file__).resolve().parent
SEED, COUNT, BLOCK, SHOWN = 20231215, 4000, 100, 80
SMALL_MERGES = 150
MASK = (1 << 64) - 1

FRAGMENTS = [
    "a photo of a ", "a close-up photo of the ", "unblemished ", "blemished ", " with flaw", " without defect", "metal_nut", "an industrial ",
    "transistor", "PCB", "Screw", "TOOTHBRUSH", "it's", "don't ", "we'll ", "they've ", "I'm ", "he'd ", "you're ", "'S", "'\u017f",
    "0", "7", "42", "1234567890", "3.14159", "1st", "x2y", ".", ",", "...", "!!!!!!!!!", "-------", "?!", "(", ")", "[]", "{}", "\"", "'", "''", "\u2019",
    " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2003", "\u200b", "\x1c", "\x1f", "\x85", "\x00", "\x7f",
    "aaaa", "aaaaab", "hmmmm", "zzzzzzzz", "lalalala", "abcabcabc",
    "caf\u00e9", "na\u00efve", "Stra\u00dfe", "\u0130stanbul", "DI\u0307YARBAKIR", "\u1e9e", "\u039f\u0394\u039f\u03a3", "\u03a3\u0391\u03a3 ", "\u03a3", "\u0391\u03a3.", "\u01c5", "\u2126\u212a\u212b",
    "\u6f22\u5b57", "\u3053\u3093\u306b\u3061\u306f", "\ud55c\uad6d\uc5b4", "\u0420\u0443\u0441\u0441\u043a\u0438\u0439", "\u0639\u0631\u0628\u064a", "\u05e2\u05d1\u05e8\u05d9\u05ea", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e44\u0e17\u0e22",
    "\U0001f600", "\U0001f469\u200d\U0001f52c", "\U0001f1e9\U0001f1ea", "\u2713", "\u00bd", "\u00b2", "\u2167", "\u2460", "\u0663", "\U0001d7d8", "\ufb01", "\uff21\uff22",
    "&amp;", "&amp;lt;", "&lt;b&gt;", "&amp;amp;amp;", "&nbsp;", "&copy", "&notit;", "&notin;", "&hellip;", "&unknown;", "&", "&;", "&#", "&#;", "&#x;", "&#65;", "&#x41", "&#x1F600;",
    "&#0;", "&#128;", "&#x81;", "&#13;", "&#11;", "&#x7f;", "&#xFFFE;", "&#xFDD0;", "&#xD800;", "&#x110000;", "&#99999999999999;", "&#x26;amp;", "&ampamp;", "&CounterClockwiseContourIntegral;",
    "<|startoftext|>", "<|endoftext|>", "<|EndOfText|>", "<|\u017ftartoftext|>", "<start_of_text>", "</w>", "w</w>", "<|", "|>",
]
RANGES = [
    (0x00, 0x20), (0x21, 0x7F), (0x61, 0x7B), (0x41, 0x5B), (0x7F, 0x180), (0x180, 0x250), (0x300, 0x370), (0x370, 0x400), (0x400, 0x530),
    (0x5D0, 0x5EB), (0x621, 0x66A), (0x900, 0x980), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2150, 0x2189), (0x2460, 0x2500), (0x3000, 0x3100),
    (0x4E00, 0x5000), (0xAC00, 0xAD00), (0xFF00, 0xFFF0), (0x1D400, 0x1D800), (0x1F300, 0x1F650),
]
CORPUS = """a photo of a flawless metal nut. a photo of the damaged metal nut. an industrial photo of the blemished screw.
a close-up photo of an unblemished wooden board without defect. a close-up photo of the wooden board with defect.
this is a perfect capsule in the scene. there is the broken capsule in the scene. a manufacturing photo of a good cable.
a cropped photo of the good transistor. a dark image of the transistor with flaw for visual inspection.
a bright image of a carpet without flaw for anomaly detection. the leather is normal, the leather is abnormal.
a blurry photo of the rotated toothbrush; a jpeg corrupted photo of a zipper, that's 100% normal! isn't it? hmmmm aaaa"""


class Stream:
    """splitmix64 (Steele, Lea, Flood 2014), one stream a string."""

    def __init__(self, index):
        self.state = (SEED * 0x9E3779B97F4A7C15 + index * 0xD1342543DE82EF95) & MASK

    def next(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % n


def text(index):
    s = Stream(index)
    out = []
    for _ in range(1 + s.next(12)):
        if s.next(4) > 0:
            out.append(FRAGMENTS[s.next(len(FRAGMENTS))])
        else:
            low, high = RANGES[s.next(len(RANGES))]
            for _ in range(1 + s.next(6)):
                out.append(chr(low + s.next(high - low)))
    return "".join(out)


def train(count):
    """Byte-pair merges of CORPUS: the most frequent pair first, ties in string order."""
    alphabet = reference.bytes_to_unicode()
    words = Counter()
    for w in regex.findall(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", CORPUS.lower()):
        symbols = [alphabet[b] for b in w.encode()]
        words[tuple(symbols[:-1]) + (symbols[-1] + "</w>",)] += 1
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for w, n in words.items():
            for p in zip(w, w[1:]):
                pairs[p] += n
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        joined = Counter()
        for w, n in words.items():
            out, i = [], 0
            while i < len(w):
                if w[i : i + 2] == best:
                    out.append(w[i] + w[i + 1])
                    i += 2
                else:
                    out.append(w[i])
                    i += 1
            joined[tuple(out)] += n
        words = joined
    return merges


def load(gz):
    t = reference.SimpleTokenizer(str(gz))
    start, end = t.all_special_ids
    t.cache = {s: s for s in ("<|startoftext|>", "<|endoftext|>")}
    t.encoder.update({"<|startoftext|>": start, "<|endoftext|>": end})
    t.pat = regex.compile(
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
    )
    return t


def fixture(t, source):
    blocks, shown, digest, cut = [], [], hashlib.sha256(), 0
    for i in range(COUNT):
        s = text(i)
        ids = t([s])[0].tolist()
        pieces = t.encode(s)
        cut += len(pieces) > 75
        digest.update(struct.pack("<I", len(pieces)) + struct.pack(f"<{len(pieces)}I", *pieces) + struct.pack("<77I", *ids))
        if i % SHOWN == 0:
            shown.append({"index": i, "text": s, "pieces": pieces})
        if i % BLOCK == BLOCK - 1:
            blocks.append(digest.hexdigest()[:32])
            digest = hashlib.sha256()
    return {
        "source": source, "open_clip": metadata.version("open_clip_torch"), "regex": regex.__version__, "unicode": unicodedata.unidata_version,
        "seed": SEED, "count": COUNT, "block": BLOCK, "vocab": t.vocab_size, "cut": cut, "blocks": blocks, "shown": shown,
    }


def write(name, data):
    rows = data.pop("shown")
    head = json.dumps(data)[:-1]
    body = ",\n".join(json.dumps(r) for r in rows)
    (HERE / name).write_text(head + ', "shown": [\n' + body + "\n]}\n")
    json.loads((HERE / name).read_text())


if __name__ == "__main__":
    ftfy.fix_text = lambda s: s
    merges = train(SMALL_MERGES)
    lines = ["#version: 0.2"] + [" ".join(m) for m in merges]
    (HERE.parent / "merges.txt").write_text("\n".join(lines) + "\n")
    with tempfile.TemporaryDirectory() as d:
        small = pathlib.Path(d) / "small.gz"
        small.write_bytes(gzip.compress("\n".join(lines).encode()))
        write("tokens_small.json", fixture(load(small), "merges.txt"))
    full = pathlib.Path(sys.argv[1])
    write("tokens_full.json", fixture(load(full), full.name + " sha256 " + hashlib.sha256(full.read_bytes()).hexdigest()))
