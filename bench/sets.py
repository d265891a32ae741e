"""Makes three sets in MVTec AD's layout of what their publishers hand out, for docs/results.md: other products than those that
the recipe and its rule were formed on.

    python bench/sets.py screw FOLDER_OF_SCREW OUT           the class screw of MVTec AD (CC BY-NC-SA 4.0), as it is or with its test images in 0 and 1
    python bench/sets.py ballscrew CHECKOUT_OF_BSDATA OUT    BSData, pitting on ball screw drives (arXiv 2103.13003)
    python bench/sets.py board CHECKOUT_OF_DEEPPCB GROUP OUT one design of DeepPCB (MIT), for example 13000

Needs Pillow and NumPy. What goes where is decided by names, places and the publishers' labels alone, so it is the same each time.
A set that is in OUT already is left alone, with an error.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
from PIL import Image, ImageDraw


def folder(out, *parts):
    p = pathlib.Path(out).joinpath(*parts)
    p.mkdir(parents=True, exist_ok=True)
    return p


def screw(src, out):
    """Good and damaged images alone, without masks: copies are about that number the damaged images of all kinds in one folder, and
    which mask belongs to which of them cannot be told there."""
    src = pathlib.Path(src)
    flat = (src / "test" / "1").exists()
    for f in sorted((src / "train" / "good").glob("*.png")):
        shutil.copy(f, folder(out, "screw", "train", "good"))
    for kind in sorted(k for k in (src / "test").iterdir() if k.is_dir()):
        good = kind.name == ("0" if flat else "good")
        for f in sorted(kind.glob("*.png")):
            shutil.copy(f, folder(out, "screw", "test", "good" if good else "defect") / (f.name if good or flat else kind.name + "_" + f.name))


def ballscrew(src, out):
    """The 57 rounds of the second half (crop 2) of fifteen places on a spindle, in squares of the image's height. Places are sorted by name:
    the first, third and so on train, the others test, so that no place is on both sides. Squares of images without a label are good, those
    that a labelled pit covers by 50 pixels or more are defective. Left out are squares of labelled images with less of a pit, and labelled
    images of places that train. Squares overlap, so a pit may be in two. 400 good ones train and 150 test, evenly over places, rounds
    and left, middle and right."""
    src = pathlib.Path(src)
    places = {}
    for f in sorted((src / "data").glob("01_*_crop_2.jpg")):
        s = f.stem.split("_")
        places.setdefault(s[2] + "_" + s[3], []).append(f)
    good = {"train": [], "test": []}
    bad = []
    for i, (_, files) in enumerate(sorted(places.items())):
        side = "test" if i % 2 else "train"
        for f in files:
            label = src / "label" / (f.stem + ".json")
            w, h = Image.open(f).size
            mask = Image.new("L", (w, h))
            if label.exists():
                for shape in json.loads(label.read_text())["shapes"]:
                    ImageDraw.Draw(mask).polygon([tuple(p) for p in shape["points"]], fill=255)
            for k, x in enumerate((0, (w - h) // 2, w - h)):
                box, name = (x, 0, x + h, h), f"{f.stem}_{k}.png"
                if not label.exists():
                    good[side].append((f, box, name))
                elif side == "test" and np.count_nonzero(mask.crop(box)) >= 50:
                    bad.append((f, mask, box, name))
    for side, n in (("train", 400), ("test", 150)):
        for f, box, name in (good[side][i * len(good[side]) // n] for i in range(n)):
            Image.open(f).convert("RGB").crop(box).save(folder(out, "ballscrew", side, "good") / name)
    for f, mask, box, name in bad:
        Image.open(f).convert("RGB").crop(box).save(folder(out, "ballscrew", "test", "pitting") / name)
        mask.crop(box).save(folder(out, "ballscrew", "ground_truth", "pitting") / name.replace(".png", "_mask.png"))


def board(src, group, out):
    """The first half of the design's pairs by name: their good templates train. Of the second half templates and damaged images test;
    the mask is where both differ, inside the published boxes."""
    src = pathlib.Path(src) / "PCBData" / ("group" + group)
    pairs = sorted(p.stem[: -len("_temp")] for p in (src / group).glob("*_temp.jpg"))
    name = "board_" + group
    for i, p in enumerate(pairs):
        good = Image.open(src / group / (p + "_temp.jpg")).convert("L")
        if i < len(pairs) // 2:
            good.save(folder(out, name, "train", "good") / (p + ".png"))
            continue
        good.save(folder(out, name, "test", "good") / (p + ".png"))
        bad = Image.open(src / group / (p + "_test.jpg")).convert("L")
        differs = np.abs(np.asarray(bad, np.int16) - np.asarray(good, np.int16)) > 127
        mask = np.zeros(differs.shape, np.uint8)
        for line in (src / (group + "_not") / (p + ".txt")).read_text().split("\n"):
            if not line.strip():
                continue
            x0, y0, x1, y1 = (int(v) for v in line.replace(",", " ").split()[:4])
            mask[y0:y1, x0:x1] |= (255 * differs[y0:y1, x0:x1]).astype(np.uint8)
        if not mask.any():
            continue
        bad.save(folder(out, name, "test", "defect") / (p + ".png"))
        Image.fromarray(mask).save(folder(out, name, "ground_truth", "defect") / (p + "_mask.png"))


if __name__ == "__main__":
    made = {"screw": (screw, 2), "ballscrew": (ballscrew, 2), "board": (board, 3)}
    if len(sys.argv) < 2 or sys.argv[1] not in made or len(sys.argv) != 2 + made[sys.argv[1]][1]:
        sys.exit(__doc__)
    name = sys.argv[1] + ("_" + sys.argv[3] if sys.argv[1] == "board" else "")
    if (pathlib.Path(sys.argv[-1]) / name).exists():
        sys.exit(f"{sys.argv[-1]}/{name} is there already")
    made[sys.argv[1]][0](*sys.argv[2:])
