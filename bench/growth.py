#!/usr/bin/env python3
"""How time and memory grow with the number of images: runs bench/growth for each, and draws it.

usage: growth.py GROWTH [-images 10,100,1000] [-do padim-fit,...] [-side N] [-most KIND=N,...] [-of WORD] [-json FILE] [-svg FILE] [-draw FILE]
GROWTH is the built program. -most bounds the images of a kind of work (patchcore-fit=1000). -of says what is counted (images). -draw takes the figures of an earlier -json in place of
measuring. Prints a Markdown table; the exponent is that of the last step, 1 where time grows as images do.
"""
import argparse, json, math, os, subprocess, sys

ap = argparse.ArgumentParser()
ap.add_argument("growth")
ap.add_argument("-images", default="10,100,1000")
ap.add_argument("-do", default="padim-fit,padim-score,patchcore-fit,rd4ad-train,pretrain,figures")
ap.add_argument("-side", type=int, default=128)
ap.add_argument("-most", default="patchcore-fit=1000")
ap.add_argument("-of", default="images")
ap.add_argument("-json")
ap.add_argument("-svg")
ap.add_argument("-draw")
A = ap.parse_args()
MOST = dict(p.split("=") for p in A.most.split(",") if p)
rows = []
if A.draw:
    rows = json.load(open(A.draw))
else:
    for do in A.do.split(","):
        for n in map(int, A.images.split(",")):
            if n <= int(MOST.get(do, n)):
                p = subprocess.run([A.growth, "-do", do, "-images", str(n), "-side", str(A.side)], capture_output=True, text=True)
                if p.returncode != 0:
                    sys.exit(f"{do}, {n} {A.of}: {p.stderr.strip()}")
                rows.append(json.loads(p.stdout))
                print(rows[-1], file=sys.stderr, flush=True)
if A.json:
    with open(A.json + ".tmp", "w") as f:
        json.dump(rows, f, indent=1)
    os.replace(A.json + ".tmp", A.json)
kinds = list(dict.fromkeys(r["do"] for r in rows))
counts = sorted({r["images"] for r in rows})
print(f"| {A.of} | " + " | ".join(f"{k}, s | MB" for k in kinds) + " |\n| --- |" + " --- | --- |" * len(kinds))
at = {(r["do"], r["images"]): r for r in rows}
for n in counts:
    print(f"| {n} | " + " | ".join(f"{at[k, n]['seconds']:.2f} | {at[k, n]['mb_peak']:.0f}" if (k, n) in at else " | " for k in kinds) + " |")
for k in kinds:
    ns = [n for n in counts if (k, n) in at]
    if len(ns) > 1:
        a, b = at[k, ns[-2]], at[k, ns[-1]]
        print(f"{k}: exponent {math.log(b['seconds'] / a['seconds']) / math.log(ns[-1] / ns[-2]):.2f} from {ns[-2]} to {ns[-1]} {A.of}", file=sys.stderr)


def panel(x0, title, value, unit):
    """A panel of both logarithms."""
    w, h, top = 360, 300, 40
    values = [value(r) for r in rows]
    lo, hi = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(counts[0]), math.log10(counts[-1])
    px = lambda n: x0 + 50 + (math.log10(n) - first) / max(last - first, 1e-9) * (w - 60)
    py = lambda v: top + h - (math.log10(v) - lo) / max(hi - lo, 1) * h
    out = [f'<text x="{x0 + 50}" y="22" font-size="14">{title}, {unit}</text>']
    for e in range(lo, hi + 1):
        label = f"{10 ** e:g}"
        out.append(f'<path d="M{x0 + 50} {py(10 ** e):.1f}H{x0 + w - 10}" stroke="#ddd"/><text x="{x0 + 45}" y="{py(10 ** e) + 4:.1f}" text-anchor="end">{label}</text>')
    for n in counts:
        out.append(f'<text x="{px(n):.1f}" y="{top + h + 18}" text-anchor="middle">{n}</text>')
    out.append(f'<text x="{x0 + w / 2 + 20:.0f}" y="{top + h + 36}" text-anchor="middle">{A.of}</text>')
    for i, k in enumerate(kinds):
        points = [(px(n), py(value(at[k, n]))) for n in counts if (k, n) in at]
        colour = ("#1b6ca8", "#c4501b", "#2a8a4a", "#8a3fa0", "#7a7a20", "#555555")[i % 6]
        out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        if x0 > 300:
            out.append(f'<text x="{x0 + w}" y="{top + 20 + 20 * i}" fill="{colour}">{k}</text>')
    return out


if A.svg:
    body = panel(0, "Time", lambda r: r["seconds"], "seconds") + panel(370, "Memory of the process", lambda r: r["mb_peak"], "MB")
    with open(A.svg + ".tmp", "w") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 390" font-family="sans-serif" font-size="12">'
                '<rect width="840" height="390" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n")
    os.replace(A.svg + ".tmp", A.svg)
