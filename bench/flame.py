#!/usr/bin/env python3
"""Draws a profile of Go's processor time as a flame graph, a small SVG.

usage: flame.py PROGRAM PROFILE SVG [-title TEXT] [-from REGEXP] [-least SHARE]
PROFILE is what `detect measure -profile` and `go test -cpuprofile` write, PROGRAM what wrote it. Calls of libtorch are one box, below the
operation of package tensor that made them; its helper threads have no stack and are left out. -from begins at the first function of that name.
Boxes of less than SHARE (0.004) of the whole are left out. needs: go
"""
import argparse, collections, html, os, re, subprocess

ap = argparse.ArgumentParser()
ap.add_argument("program")
ap.add_argument("profile")
ap.add_argument("svg")
ap.add_argument("-title", default="")
ap.add_argument("-from", dest="first", default="")
ap.add_argument("-least", type=float, default=0.004)
A = ap.parse_args()
raw = subprocess.run(["go", "tool", "pprof", "-raw", A.program, A.profile], check=True, capture_output=True, text=True).stdout
samples, places, section, at = [], collections.defaultdict(list), "", 0
for line in raw.splitlines():
    if line.startswith(("Samples:", "Locations", "Mappings")):
        section = line[0]
    elif section == "S" and (m := re.match(r"\s*(\d+)\s+(\d+):((?: \d+)+)", line)):
        samples.append((int(m[2]), m[3].split()))
    elif section == "L":
        if m := re.match(r"\s*(\d+): 0x\S+(?: M=\d+)? ?(.*)", line):
            at, line = m[1], m[2]
        if name := re.match(r"\s*(\S.*?) \S+:\d+(?::\d+)? s=", line):
            places[at].append(name[1])
shorten = lambda f: re.sub(r"\[go\.shape[^]]*\]|\[\.\.\.\]", "", f.split("/")[-1]).replace("gotab/", "")
skip = re.compile(r"^(runtime\.(goexit|main|cgocall|asmcgocall|systemstack|mcall)|iter\.Pull|main\.|native\.(shimOut|made)|"
                  r"tensor\.(\(\*Scope\)\.(Sub|SubN|subN|op|opOf|effect)|\(\*worker\)\.|runOn|Run)$|tensor\.\(\*worker\))")
tree = lambda: {"n": 0, "to": collections.OrderedDict()}
root = tree()
for n, locations in samples:
    stack = [shorten(f) for l in reversed(locations) for f in reversed(places[l])]
    if A.first:
        start = next((i for i, f in enumerate(stack) if re.search(A.first, f)), None)
        if start is None:
            continue
        stack = stack[start:]
    # Wrappers are of no interest.
    stack = [f for f in stack if not skip.match(f) and ".func" not in f and "native._Cfunc" not in f]
    node = root
    node["n"] += n
    for f in stack:
        node = node["to"].setdefault(f, tree())
        node["n"] += n
W, ROW = 1000, 17
boxes, depth = [], 0


def draw(node, name, x, level):
    global depth
    depth = max(depth, level)
    w = W * node["n"] / root["n"]
    share = 100 * node["n"] / root["n"]
    fit = int(w / 6.2)
    label = name if len(name) <= fit else name[:max(fit - 1, 0)] + "…" if fit > 4 else ""
    hue = sum(map(ord, name.split(".")[0])) * 37 % 70
    boxes.append((x, level, w, f"hsl({hue},65%,72%)", html.escape(label), html.escape(f"{name}, {share:.1f} %")))
    for f, k in sorted(node["to"].items(), key=lambda e: -e[1]["n"]):
        if k["n"] >= A.least * root["n"]:
            draw(k, f, x, level + 1)
            x += W * k["n"] / root["n"]


if not root["n"]:
    raise SystemExit("no sample matches")
draw(root, "all", 0, 0)
H = (depth + 1) * ROW + 30
out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif" font-size="11"><rect width="{W}" height="{H}" fill="#fff"/>',
       f'<text x="4" y="16" font-size="13">{html.escape(A.title)}</text>']
for x, level, w, colour, label, whole in boxes:
    y = 26 + level * ROW
    out.append(f'<g><title>{whole}</title><rect x="{x:.1f}" y="{y}" width="{max(w - 0.5, 0.5):.1f}" height="{ROW - 1}" fill="{colour}"/>'
               + (f'<text x="{x + 3:.1f}" y="{y + 12}">{label}</text>' if label else "") + "</g>")
with open(A.svg + ".tmp", "w") as f:
    f.write("\n".join(out) + "\n</svg>\n")
os.replace(A.svg + ".tmp", A.svg)
