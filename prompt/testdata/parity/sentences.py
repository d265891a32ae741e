"""Writes sentences.json: for every preset the number of sentences of one class and the SHA-256 of the whole list.

The lists are written down here a second time, as compact patterns instead of whole templates, so that a slip in the
Go lists shows. Standard library only; run with any Python 3:  python3 sentences.py
"""

import hashlib
import json
import pathlib
import platform

CLASS = "metal_nut"

PAIR_N = [a + " {}" for a in "good normal perfect unblemished".split()] + ["{} without " + b for b in "flaw defect damaged".split()]
PAIR_A = [a + " {}" for a in ["not good", "abnormal", "imperfect", "blemished"]] + ["{} with " + b for b in "flaw defect damage".split()]
OFF_N = [a + " {}" for a in "flawless perfect unblemished".split()] + ["{} without " + b for b in "flaw defect damaged".split()]
OFF_A = ["damaged {}", "broken {}"] + ["{} with " + b for b in ["flaw", "defect", "distortion", "broken parts"]]
WIN_N = ["{}"] + [a + " {}" for a in "flawless perfect unblemished".split()] + ["{} without " + b for b in "flaw defect damage".split()]
WIN_A = ["damaged {}"] + ["{} with " + b for b in "flaw defect damage".split()]

# "a photo|a the|" stands for "a photo of a {}." and "a photo of the {}."; the third part goes before {}, a fourth after.
OFFICIAL = """a photo|a the
a photo|a the|rotated
a rotated photo|a the
a flipped photo|a the
a cropped photo|a the
a close-up photo|a the
a bad photo|a
a low resolution photo|the
a bad photo|the
a bright photo|a
a dark photo|the
a photo|my
a black and white photo|the
a bright photo|the
a jpeg corrupted photo|a
a blurry photo|the
a photo|the
a good photo|the
a photo|one
a black and white photo|a
a dark photo|a
a photo|a the|cool
a photo|a the|small
a photo|a the|big"""
SCENE = ["there is a", "there is the", "this is a", "this is the", "this is one"]
INDUSTRIAL_PHOTO = """a photo|a the
a photo|a the|rotated
a cropped photo|a the"""
INDUSTRIAL_IMAGE = """a close-up industrial image|a the
a bright industrial image|a the
a dark industrial image|the a
a jpeg corrupted industrial image|a the
a blurry industrial image|the a
an industrial image|a the
an industrial image|a the|small
an industrial image|a the|large
an industrial image|the a||for visual inspection
an industrial image|the a||for anomaly detection"""
WINCLIP = """a cropped photo|the
a close-up photo|a the
a bright photo|a the
a dark photo|the a
a jpeg corrupted photo|the the
a blurry photo|the a
a photo|a the
a photo|a the|small
a photo|a the|large
a photo|the a||for visual inspection
a photo|the a||for anomaly detection"""
POSITIONS = ["{} which defect is on the %s of it" % p for p in "left right top bottom center corner".split()]


def frames(text, stop):
    out = []
    for line in text.splitlines():
        head, articles, before, after = (line.split("|") + ["", ""])[:4]
        for article in articles.split():
            out.append(" ".join(w for w in [head, "of", article, before, "{}", after] if w) + stop)
    return out


def product(states, templates, name, positions=("{}",)):
    return [t.format(p.format(s.format(name))) for s in states for t in templates for p in positions]


official = frames(OFFICIAL, ".") + [s + " {} in the scene." for s in SCENE]
# The domain words stand together: both words with "a", then both with "the".
domain = [f"{w} photo of {a} {{}}." for a in ("a", "the") for w in ("a manufacturing", "an industrial")]
industrial = frames(INDUSTRIAL_PHOTO, ".") + domain + frames("a close-up photo|a the", ".") + frames(INDUSTRIAL_IMAGE, "")
clean = CLASS.replace("_", " ")

presets = {
    "one-class": (["normal " + clean + "."], ["normal " + clean + "."]),
    "two-class": (["normal " + clean + "."], ["anomalous " + clean + "."]),
    "two-class-defect": (["normal " + clean + "."], ["defect " + clean + "."]),
    "state-ensemble": (product(PAIR_N, ["{}."], clean), product(PAIR_A, ["{}."], clean)),
    "clip-template": (product(PAIR_N, official, clean), product(PAIR_A, official, clean)),
    "industrial": (product(PAIR_N, industrial, clean), product(PAIR_A, industrial, clean)),
    "industrial-positions": (product(PAIR_N, industrial, clean), product(PAIR_A, industrial, clean, POSITIONS)),
    "official": (product(OFF_N, official, CLASS), product(OFF_A, official, CLASS)),
    "winclip": (product(WIN_N, frames(WINCLIP, "."), clean), product(WIN_A, frames(WINCLIP, "."), clean)),
}


def digest(sentences):
    return hashlib.sha256("\n".join(sentences).encode()).hexdigest()


def fingerprint(*lists):
    """What IDPA.Hash computes: SHA-256 over each list's count and each string after its length, 8 bytes little-endian."""
    h = hashlib.sha256()
    for strings in lists:
        h.update(len(strings).to_bytes(8, "little"))
        for s in strings:
            h.update(len(s.encode()).to_bytes(8, "little") + s.encode())
    return h.hexdigest()


if __name__ == "__main__":
    macaroni = ["macaroni1", "macaroni", "macaroni2", "macaroni"]
    out = {
        "python": platform.python_version(),
        "class": CLASS,
        "presets": [
            {"name": k, "normal": len(n), "abnormal": len(a), "normal_sha256": digest(n), "abnormal_sha256": digest(a)}
            for k, (n, a) in presets.items()
        ],
        "hashes": {
            "industrial": fingerprint(product(PAIR_N, industrial, "{}"), product(PAIR_A, industrial, "{}"), ["cleaned"], []),
            "official": fingerprint(product(OFF_N, official, "{}"), product(OFF_A, official, "{}"), ["verbatim"], macaroni),
        },
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(out, indent=1) + "\n")
