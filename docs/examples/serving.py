"""Serve a saved model behind one HTTP endpoint: ``uvicorn serving:app``.

Two environment variables name the folder that `sktransfer.save` wrote and the digest
that it returned. The body of a request is the bytes of one image file.
"""

import os

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from sktransfer import load
from sktransfer.exceptions import InvalidRowError

MAX_BYTES = 10 * 2**20

model = load(os.environ["MODEL_FOLDER"], sha256=os.environ["MODEL_SHA256"])
app = FastAPI(title="sktransfer")


async def body_of(request):
    """Return the body, or refuse it as soon as it is too long."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_BYTES:
            raise HTTPException(413, f"more than {MAX_BYTES} bytes")
    return bytes(content)  # bytes are never taken for a path or a URL


@app.post("/predict")
async def predict(request: Request):
    """Return the probability of each class."""
    cell = await body_of(request)
    try:
        [row] = await run_in_threadpool(model.predict_proba, [cell])
    except InvalidRowError as err:
        raise HTTPException(422, err.reason) from err
    return dict(zip(map(str, model.classes_), map(float, row), strict=True))
