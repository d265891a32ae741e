"""Writes text_tower.json: outputs of a small CLIP text tower, the same from OpenCLIP and from Hugging Face.

All weights come from one formula of their OpenAI name and flat index that the Go test repeats, so the fixture holds
only outputs. OpenCLIP's TextTransformer gets them under their own names, transformers' CLIPTextModelWithProjection under
its names (split q, k, v; projection transposed); both must agree before anything is written.

Run:  python text_tower.py        (reads ../merges.txt, which tokens.py writes)
Versions used: Python 3.11.7, torch 2.1.2 (CPU), open_clip 2.24.0, transformers 4.36.2.
"""

import gzip
import json
import pathlib
import sys
import tempfile
from importlib import metadata

import ftfy
import numpy as np
import torch
from open_clip.transformer import QuickGELU, TextTransformer
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

sys.dont_write_bytecode = True
import tokens  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
WIDTH, HEADS, LAYERS, EMBED, CONTEXT = 64, 4, 3, 48, 77
STEP = 6  # every 6th of the 48 outputs of a text is kept
TEXTS = [
    "a photo of a flawless metal nut.",
    "a photo of the damaged metal nut.",
    "an industrial image of a transistor with flaw for visual inspection",
    "",
    "normal wood.",
    "Caf\u00e9 \u6f22\u5b57 \U0001f600 42!",
    "hmmmm <|endoftext|> the rest is not read",
    "a close-up photo of an unblemished wooden board without defect, " * 8,
]
MASK = (1 << 64) - 1


def values(name, count):
    """FNV-1a of the name, then splitmix64 of the flat index: multiples of 2^-15 in [-1, 1), exact in float32."""
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(h) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(48)).astype(np.int64) - 32768).astype(np.float32) / np.float32(32768)


def weight(name, shape):
    v = torch.from_numpy(values(name, int(np.prod(shape)))).reshape(shape)
    if ".ln_" in name or name.startswith("ln_"):
        return v / 4 + (1 if name.endswith("weight") else 0)
    if name == "token_embedding.weight":
        return v
    if name == "positional_embedding":
        return v / 2
    if name.endswith("mlp.c_proj.weight"):
        return v / 8
    return v / 4


def rename(w):
    """OpenAI names to Hugging Face names."""
    out = {
        "text_model.embeddings.token_embedding.weight": w["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": w["positional_embedding"],
        "text_model.final_layer_norm.weight": w["ln_final.weight"],
        "text_model.final_layer_norm.bias": w["ln_final.bias"],
        "text_projection.weight": w["text_projection"].T.contiguous(),
    }
    for i in range(LAYERS):
        a, b = f"transformer.resblocks.{i}.", f"text_model.encoder.layers.{i}."
        for kind in ("weight", "bias"):
            for n, part in zip("qkv", w[a + "attn.in_proj_" + kind].chunk(3)):
                out[f"{b}self_attn.{n}_proj.{kind}"] = part.contiguous()
            out[b + "self_attn.out_proj." + kind] = w[a + "attn.out_proj." + kind]
            out[b + "layer_norm1." + kind] = w[a + "ln_1." + kind]
            out[b + "layer_norm2." + kind] = w[a + "ln_2." + kind]
            out[b + "mlp.fc1." + kind] = w[a + "mlp.c_fc." + kind]
            out[b + "mlp.fc2." + kind] = w[a + "mlp.c_proj." + kind]
    return out


def towers(vocab, quick):
    ours = TextTransformer(
        context_length=CONTEXT, vocab_size=vocab, width=WIDTH, heads=HEADS, layers=LAYERS, output_dim=EMBED,
        act_layer=QuickGELU if quick else torch.nn.GELU,
    ).eval()
    w = {k: weight(k, tuple(v.shape)) for k, v in ours.state_dict().items()}
    ours.load_state_dict(w, strict=True)

    def hf(eos):
        m = CLIPTextModelWithProjection(CLIPTextConfig(
            vocab_size=vocab, hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=EMBED, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, max_position_embeddings=CONTEXT, hidden_act="quick_gelu" if quick else "gelu",
            layer_norm_eps=1e-5, bos_token_id=vocab - 2, eos_token_id=eos, pad_token_id=vocab - 1,
        )).eval()
        m.load_state_dict(rename(w), strict=True)
        return m

    return w, ours, hf(vocab - 1), hf(2)


@torch.no_grad()
def run(tok, quick):
    vocab = tok.vocab_size
    ids = tok(TEXTS)
    w, openclip, hf, hf_argmax = towers(vocab, quick)
    want = openclip(ids)
    # Hugging Face fills up with the end token; the first end token, or the arg-max, finds the same position.
    padded = ids.clone()
    for row in padded:
        row[int((row == vocab - 1).int().argmax()) + 1 :][row[int((row == vocab - 1).int().argmax()) + 1 :] == 0] = vocab - 1
    scale = want.abs().max()
    for got in (hf(ids).text_embeds, hf(padded).text_embeds, hf_argmax(ids).text_embeds):
        assert (got - want).abs().max() < 2e-6 * scale, (got - want).abs().max() / scale
    some = want[:, ::STEP]
    assert some.std(dim=0).min() > 0.1 and some.std() > 0.1, "outputs hardly differ"
    rows = [[float(f"{v:.8g}") for v in row] for row in some.tolist()]
    return {"max": float(scale), "outputs": rows}, w, ids


if __name__ == "__main__":
    torch.set_num_threads(1)
    ftfy.fix_text = lambda s: s
    with tempfile.TemporaryDirectory() as d:
        small = pathlib.Path(d) / "small.gz"
        small.write_bytes(gzip.compress((HERE.parent / "merges.txt").read_bytes().rstrip(b"\n")))
        tok = tokens.load(small)
    quick, w, ids = run(tok, True)
    plain, _, _ = run(tok, False)
    first = {k: [float(x) for x in v.flatten()[:3]] for k, v in w.items() if "resblocks.1" in k or "resblocks" not in k}
    out = {
        "torch": torch.__version__, "open_clip": metadata.version("open_clip_torch"), "transformers": metadata.version("transformers"),
        "width": WIDTH, "heads": HEADS, "layers": LAYERS, "embed": EMBED, "context": CONTEXT, "vocab": tok.vocab_size, "step": STEP,
        "texts": TEXTS, "ends": [int((r == tok.vocab_size - 1).int().argmax()) for r in ids],
        "first_weights": first, "quick_gelu": quick, "gelu": plain,
    }
    (HERE / "text_tower.json").write_text(json.dumps(out, indent=1) + "\n")
    print("difference of the two activations, relative:", max(abs(a - b) for x, y in zip(quick["outputs"], plain["outputs"]) for a, b in zip(x, y)) / quick["max"])
