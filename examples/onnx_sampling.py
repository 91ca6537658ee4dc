"""Draws hypotheses from exported files with NumPy and onnxruntime alone: no PyTorch, no fastpunet.

    fastpunet convert lesions lesions.onnx       # writes lesions.encode.onnx and lesions.decode.onnx
    python examples/onnx_sampling.py lesions image.npy 1000 masks.npy

image.npy holds a float32 array (channels, height, width), scaled as in training: the files say how. Hypothesis k of
image 0 under seed 0 has the same latent as in fastpunet: the normals are Philox4x32-10 with the same counters.
"""

import json
import sys

import numpy as np
import onnxruntime


def normals(seed, image_id, first, n, dim):
    """Standard normals float32 (n, dim) of hypotheses first .. first + n - 1 (Salmon et al. 2011; Box and Muller)."""
    low = np.uint64(0xFFFFFFFF)
    blocks = -(-dim // 4)
    c = [np.zeros((n, blocks), np.uint64) for _ in range(4)]
    c[0] += np.arange(first, first + n, dtype=np.uint64)[:, None]
    c[1] += np.arange(blocks, dtype=np.uint64)
    c[2] += np.uint64(image_id) & low
    c[3] += np.uint64(image_id) >> np.uint64(32)
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        high = [p >> np.uint64(32) for p in (a, b)]
        c = [high[1] ^ c[1] ^ np.uint64(key[0]), b & low, high[0] ^ c[3] ^ np.uint64(key[1]), a & low]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    u = [word.astype(np.float32) * np.float32(2**-32) + np.float32(2**-33) for word in c]
    radius, angle = [np.sqrt(-2 * np.log(u[i])) for i in (0, 2)], [np.float32(2 * np.pi) * u[i] for i in (1, 3)]
    four = [f(angle[i]) * radius[i] for i in (0, 1) for f in (np.cos, np.sin)]
    return np.stack(four, -1).reshape(n, -1)[:, :dim]


def sample(name, images, n, seed=0, at_once=16):
    """Labels uint8 (B, n, *size) of images float32 (B, channels, *size), from NAME.encode.onnx and NAME.decode.onnx."""
    encode, decode = (onnxruntime.InferenceSession(f"{name}.{part}.onnx") for part in ("encode", "decode"))
    facts = json.loads(encode.get_modelmeta().custom_metadata_map["fastpunet"])
    if facts["prior"] != "AxisAligned":
        raise ValueError(f"{name}: its prior is {facts['prior']}, and this example draws from N(mu, diag(sigma^2))")
    features, mu, sigma = encode.run(["features", "mu", "sigma"], {"images": images})
    noise = np.stack([normals(seed, image_id, 0, n, mu.shape[1]) for image_id in range(len(images))])
    z = mu[:, None] + sigma[:, None] * noise
    parts = []
    for first in range(0, n, at_once):
        (logits,) = decode.run(None, {"features": features, "z": z[:, first : first + at_once]})
        labels = logits[:, :, 0] > 0 if facts["num_classes"] == 1 else logits.argmax(2)
        parts.append(labels.astype(np.uint8))
    return np.concatenate(parts, axis=1)


if __name__ == "__main__":
    model, image, count, output = sys.argv[1:]
    np.save(output, sample(model, np.load(image)[None], int(count))[0])
