"""The other side of servers.py: a FastAPI server of a PaDiM that `inspectd pack -onnx` wrote, on ONNX Runtime, as one would write it by hand.

    MODEL=part.onnx ORT_THREADS=0 python -m uvicorn --app-dir bench/inspect onnx_server:app

POST /inspect takes a picture as its body and answers with score, threshold and decision. What becomes of a picture and the threshold are
read from the model's metadata. ORT_THREADS are the threads of one run; 0 leaves it to ONNX Runtime. Endpoints that are no coroutines
run in FastAPI's pool of threads, so requests are decoded and scored side by side.
"""
import io
import json
import os

import numpy as np
import onnxruntime as ort
from fastapi import Body, FastAPI, HTTPException
from PIL import Image

options = ort.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("ORT_THREADS", "0"))
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
meta = session.get_modelmeta().custom_metadata_map
transform = json.loads(meta["transform"])
mean, std = (np.array(json.loads(meta[k]), np.float32) for k in ("mean", "std"))
threshold = float(meta["threshold"])
if not any(transform["exact"]) or any(transform["crop"]) or transform["filter"] != "lanczos":
    raise SystemExit(f"the model's transform is {transform}; this server knows WxH by lanczos alone (inspectd pack -transform WxH)")
app = FastAPI()


@app.post("/inspect")
def inspect(body: bytes = Body(media_type="image/png")):
    try:
        img = Image.open(io.BytesIO(body)).convert("RGB")
    except Exception as e:
        raise HTTPException(422, f"no picture: {e}")
    if img.size != tuple(transform["exact"]):
        img = img.resize(tuple(transform["exact"]), Image.Resampling.LANCZOS)
    x = (np.asarray(img, np.float32) / 255 - mean) / std
    score = float(session.run(["score"], {"images": x.transpose(2, 0, 1)[None]})[0][0])
    return {"score": score, "threshold": threshold, "decision": "reject" if score >= threshold else "pass"}


@app.get("/readyz")
def ready():
    return {"status": "ok"}
