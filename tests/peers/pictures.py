"""Makes the fixtures of tests/vision: small PNG and JPEG files, and what the reference makes of them.

    python tests/peers/pictures.py        (torch, torchvision, torchcodec, transformers, pillow, numpy)

Written with transformers 5.23.0, torch 2.15.0, torchvision 0.29.2, torchcodec 0.17.0, Pillow 13.0.0. The files go to tests/vision/data, the
expected values to expected.json beside them: CRC-32 of the exact bytes. Judges: torchcodec for files without transparency
(what transformers decodes a path with), PIL pasted over white for those with (what qwen-vl-utils does), PIL for CMYK;
torchvision for the resize, transformers' processors for patches.
"""
import io
import json
import pathlib
import struct
import zlib

import numpy as np
import PIL.Image
import torch
from torchcodec.decoders import ImageReadMode, decode_image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvf
from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as smart_resize_clip

DATA = pathlib.Path(__file__).resolve().parent.parent / "vision" / "data"
W, H = 37, 29


def noise(seed, *shape):
    """Bytes that the C tests make in the same way (tests/vision/check.h)."""
    i = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed * 7919)
    v = i * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    v ^= v >> np.uint64(15)
    return (((v * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)) >> np.uint64(24)).astype(np.uint8).reshape(shape)


def picture():
    """A gradient with edges and some noise: smooth enough for JPEG, rough enough to show a wrong pixel."""
    y, x = np.mgrid[0:H, 0:W]
    rgb = np.stack([x * 255 // W, y * 255 // H, (x * 7 + y * 13) % 256], -1)
    rgb[8:16, 5:20] = [250, 20, 60]
    return np.clip(rgb + (noise(1, H, W, 3).astype(int) - 128) // 16, 0, 255).astype(np.uint8)


# ---- PNG: pillow cannot write most of the kinds that it can read ----

def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pack_row(row, depth):
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = np.unpackbits(row.reshape(-1, 1).astype(np.uint8), axis=1)[:, 8 - depth:]
    return np.packbits(bits.reshape(-1)).tobytes()


def png(samples, depth, colour, extra=b"", interlaced=False):
    """samples [h, w] or [h, w, channels]; filter types 0..4 take turns so that each is read."""
    s = samples if samples.ndim == 3 else samples[:, :, None]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]
    out = b""
    bpp = max(1, s.shape[2] * depth // 8)
    for x0, y0, dx, dy in passes:
        part = s[y0::dy, x0::dx]
        if part.size == 0:
            continue
        before = None
        for y, row in enumerate(part):
            raw = np.frombuffer(pack_row(row, depth), np.uint8).astype(int)
            up = np.zeros_like(raw) if before is None else before
            left = np.concatenate([np.zeros(bpp, int), raw[:-bpp]]) if len(raw) > bpp else np.zeros_like(raw)
            corner = np.concatenate([np.zeros(bpp, int), up[:-bpp]]) if len(raw) > bpp else np.zeros_like(raw)
            p = left + up - corner
            pa, pb, pc = abs(p - left), abs(p - up), abs(p - corner)
            paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, up, corner))
            kind = y % 5
            predicted = [0, left, up, (left + up) // 2, paeth][kind]
            out += bytes([kind]) + ((raw - predicted) % 256).astype(np.uint8).tobytes()
            before = raw
    header = struct.pack(">IIBBBBB", s.shape[1], s.shape[0], depth, colour, 0, 0, int(interlaced))
    data = zlib.compress(out, 9)
    half = len(data) // 2
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:]) + chunk(b"IEND", b""))


def pngs():
    rgb = picture()
    grey = rgb[:, :, 0]
    deep = rgb.astype(np.uint16) * 256 + noise(2, H, W, 3)
    alpha = noise(3, H, W)
    alpha[:4], alpha[4:8] = 0, 255
    deep_alpha = alpha.astype(np.uint16) * 256 + noise(4, H, W)
    palette = chunk(b"PLTE", noise(5, 3 * 256).tobytes())
    few = chunk(b"PLTE", noise(6, 3 * 16).tobytes())
    rgba = np.dstack([rgb, alpha])
    yield "grey1", png(grey >> 7, 1, 0)
    yield "grey2", png(grey >> 6, 2, 0)
    yield "grey4", png(grey >> 4, 4, 0)
    yield "grey8", png(grey, 8, 0)
    yield "grey16", png(deep[:, :, 0], 16, 0)
    yield "grey8-key", png(grey & 0xF0, 8, 0, chunk(b"tRNS", struct.pack(">H", 0x40)))
    yield "grey-alpha8", png(np.dstack([grey, alpha]), 8, 4)
    yield "palette2", png(grey >> 6, 2, 3, few)
    yield "palette4", png(grey >> 4, 4, 3, few)
    yield "palette8", png(grey, 8, 3, palette)
    yield "palette8-alpha", png(grey, 8, 3, palette + chunk(b"tRNS", noise(7, 200).tobytes()))
    yield "rgb8", png(rgb, 8, 2)
    yield "rgb8-key", png(rgb & 0xC0, 8, 2, chunk(b"tRNS", struct.pack(">HHH", 0, 0x40, 0x80)))
    yield "rgb8-gamma", png(rgb, 8, 2, chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tEXt", b"Comment\0nothing"))
    yield "rgb16", png(deep, 16, 2)
    yield "rgba8", png(rgba, 8, 6)
    yield "rgba8-adam7", png(rgba, 8, 6, interlaced=True)
    yield "rgb8-adam7", png(rgb, 8, 2, interlaced=True)
    yield "grey1-adam7", png(grey >> 7, 1, 0, interlaced=True)
    yield "grey-alpha16", png(np.dstack([deep[:, :, 0], deep_alpha]), 16, 4)
    yield "rgba16", png(np.dstack([deep, deep_alpha]), 16, 6)


# ---- JPEG ----

def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85, **options)
    return out.getvalue()


def with_exif(data, order, value, kind=3):
    e = "<" if order == b"II" else ">"
    cell = struct.pack(e + "HH", value, 0) if kind == 3 else struct.pack(e + "I", value)
    tiff = order + struct.pack(e + "HIH", 42, 8, 2) + struct.pack(e + "HHI", 0x0100, 3, 1) + b"\1\0\0\0" + struct.pack(e + "HHI", 0x0112, kind, 1) + cell + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def drop_segment(data, marker):
    at = data.index(marker)
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]


def jpegs():
    rgb = PIL.Image.fromarray(picture())
    small = rgb.resize((13, 9))
    cmyk = jpeg(rgb.convert("CMYK"))
    adobe = cmyk.index(b"Adobe")
    yield "grey", jpeg(rgb.convert("L"))
    yield "444", jpeg(rgb, subsampling="4:4:4")
    yield "422", jpeg(rgb, subsampling="4:2:2")
    yield "420", jpeg(rgb, subsampling="4:2:0")
    yield "rgb", jpeg(rgb, keep_rgb=True)
    yield "progressive", jpeg(rgb, progressive=True)
    yield "restarts", jpeg(rgb, restart_marker_blocks=2)
    yield "cmyk", cmyk
    yield "cmyk-plain", drop_segment(cmyk, b"\xff\xee")
    yield "ycck", cmyk[:adobe + 11] + b"\2" + cmyk[adobe + 12:]
    for o in range(1, 9):
        yield f"exif{o}", with_exif(jpeg(small), b"II" if o % 2 else b"MM", o)
    yield "exif-bad", with_exif(jpeg(small), b"MM", 9)


def with_pil(data):
    """CMYK converted by PIL; transparency over white by Image.paste, which alpha_composite agrees with."""
    im = PIL.Image.open(io.BytesIO(data))
    if "A" in im.getbands() or im.info.get("transparency") is not None:
        im = im.convert("RGBA")
        white = PIL.Image.new("RGB", im.size, (255, 255, 255))
        white.paste(im, mask=im.split()[3])
        other = PIL.Image.alpha_composite(PIL.Image.new("RGBA", im.size, (255, 255, 255, 255)), im).convert("RGB")
        assert np.array_equal(np.array(white), np.array(other))
        im = white
    return np.array(im.convert("RGB"))


def deep_over_white(data):
    """PIL reads only the high byte of 16-bit samples: round them first, as the decoder does, and let PIL composite."""
    at, idat = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        idat += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
        at += 12 + n
    channels = {4: 2, 6: 4}[data[25]]
    rows = np.frombuffer(zlib.decompress(idat), np.uint8).reshape(H, -1)
    out, before, bpp = [], np.zeros(W * channels * 2, int), channels * 2
    for row in rows:
        line = row[1:].astype(int)
        for i in range(len(line)):
            a, b, c = (line[i - bpp] if i >= bpp else 0), before[i], (before[i - bpp] if i >= bpp else 0)
            p = a + b - c
            pick = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[i] = (line[i] + [0, a, b, (a + b) // 2, pick][row[0]]) % 256
        out.append(line)
        before = line
    wide = np.array(out, np.uint8).reshape(H, W, channels, 2).astype(np.uint32)
    eight = ((wide[..., 0] * 256 + wide[..., 1]) * 255 + 32895 >> 16).astype(np.uint8)
    return with_pil(png(eight, 8, data[25]))


def decoded():
    cases = []
    for kind, files in (("png", pngs()), ("jpg", jpegs())):
        for name, data in files:
            path = DATA / f"{name}.{kind}"
            path.write_bytes(data)
            if name in ("grey-alpha16", "rgba16"):
                judge, want = "pil", deep_over_white(data)
            elif "alpha" in name or "key" in name or "rgba" in name or "cmyk" in name or "ycck" in name:
                judge, want = "pil", with_pil(data)
            else:
                judge, want = "torchcodec", decode_image(str(path), mode=ImageReadMode.RGB).permute(1, 2, 0).numpy()
                if "16" not in name and "exif" not in name:
                    assert np.array_equal(want, with_pil(data)), name
            cases.append({"file": path.name, "judge": judge, "width": want.shape[1], "height": want.shape[0], "crc": zlib.crc32(want.tobytes())})
    return cases


def resized():
    cases = []
    shapes = [(448, 448, 112, 112), (60, 44, 112, 84), (1, 1, 28, 28), (3, 200, 28, 392), (640, 24, 644, 28), (100, 50, 100, 84), (90, 70, 56, 70),
              (1000, 3, 28, 28), (333, 257, 224, 196), (31, 20, 84, 56), (2, 2, 3, 3), (130, 97, 129, 98)]
    for k, (w, h, new_w, new_h) in enumerate(shapes):
        source = noise(100 + k, h, w, 3)
        if k % 3 == 0:
            source = (source > 127).astype(np.uint8) * 255  # over- and undershoots
        t = torch.from_numpy(source).permute(2, 0, 1)
        got = tvf.resize(t, [new_h, new_w], interpolation=InterpolationMode.BICUBIC, antialias=True).permute(1, 2, 0).numpy()
        cases.append({"seed": 100 + k, "hard": k % 3 == 0, "from": [w, h], "to": [new_w, new_h], "crc": zlib.crc32(got.tobytes())})
    return cases


def patched():
    cases = []
    half = dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])

    def add(kind, processor, frames, w, h, seed, **extra):
        clip = torch.from_numpy(noise(seed, frames, h, w, 3)).permute(0, 3, 1, 2)
        if kind == "image":
            out = processor([clip[0]], return_tensors="pt")
            values, grid = out["pixel_values"], out["image_grid_thw"]
        else:
            out = processor([clip], return_tensors="pt", do_sample_frames=False)
            values, grid = out["pixel_values_videos"], out["video_grid_thw"]
        assert values.dtype == torch.float32
        cases.append({"kind": kind, "patch": processor.patch_size, "limits": [processor.size["shortest_edge"], processor.size["longest_edge"]],
                      "mean": list(processor.image_mean), "std": list(processor.image_std), "frames": frames, "width": w, "height": h, "seed": seed,
                      "grid": grid[0].tolist(), "crc": zlib.crc32(values.contiguous().numpy().tobytes()),
                      "first": values[0, :3].tolist(), **extra})

    hub = {"shortest_edge": 3136, "longest_edge": 12845056}
    for k, (w, h) in enumerate([(56, 56), (224, 224), (31, 20), (12, 28), (640, 24), (97, 130), (333, 257)]):
        add("image", Qwen2VLImageProcessor(size=hub), 1, w, h, 200 + k)
    add("image", Qwen2VLImageProcessor(size={"shortest_edge": 3136, "longest_edge": 20000}), 1, 300, 200, 210)
    for k, (w, h) in enumerate([(64, 64), (31, 20), (300, 222)]):
        add("image", Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 65536, "longest_edge": 16777216}, **half), 1, w, h, 220 + k)
    add("image", Qwen2VLImageProcessor(size=hub, do_normalize=False), 1, 60, 60, 230, normalize=False)
    add("image", Qwen2VLImageProcessor(size=hub, do_rescale=False), 1, 60, 60, 231, rescale=False)
    add("image", Qwen2VLImageProcessor(size=hub, do_resize=False), 1, 84, 56, 232, resize=False)
    add("image", Qwen2VLImageProcessor(size=hub, rescale_factor=1 / 127.5), 1, 84, 56, 233, rescale_factor=1 / 127.5)
    for k, frames in enumerate((1, 2, 3, 4)):
        add("video", Qwen2VLVideoProcessor(size=hub, cap_pixels_per_frame=False), frames, 70, 90, 240 + k)
    for k, frames in enumerate((2, 3, 5)):
        add("clip", Qwen3VLVideoProcessor(size={"shortest_edge": 4096, "longest_edge": 30000}, cap_pixels_per_frame=False), frames, 120, 90, 250 + k)
    add("clip", Qwen3VLVideoProcessor(size={"shortest_edge": 40960, "longest_edge": 300000}, cap_pixels_per_frame=False), 4, 20, 30, 260)
    return cases


def sizes():
    """CRC-32 over the (height, width) pairs of a grid of sizes, and a list of borderline ones for people to read."""
    def sweep(rule):
        pairs = []
        for h in range(1, 700, 9):
            for w in range(1, 900, 13):
                if max(h, w) / min(h, w) <= 200:
                    pairs += rule(h, w)
        return zlib.crc32(np.array(pairs, "<i4").tobytes())

    return {
        "sweep": [{"factor": f, "min": lo, "max": hi, "frames": 0, "crc": sweep(lambda h, w: smart_resize(h, w, f, lo, hi))}
                  for f, lo, hi in ((28, 3136, 12845056), (32, 65536, 16777216), (28, 3136, 50176), (28, 100352, 602112))]
        + [{"factor": 32, "min": lo, "max": hi, "frames": t, "crc": sweep(lambda h, w: smart_resize_clip(t, h, w, 2, 32, lo, hi))}
           for t, lo, hi in ((2, 4096, 25165824), (3, 4096, 300000), (5, 131072, 786432), (9, 131072, 786432))],
        "cases": [[h, w, f, lo, hi, *smart_resize(h, w, f, lo, hi)] for h, w, f, lo, hi in (
            (20, 31, 28, 3136, 12845056), (12, 900, 28, 3136, 12845056), (640, 24, 28, 3136, 12845056), (14, 28, 28, 3136, 12845056),
            (20, 31, 32, 65536, 16777216), (12, 900, 32, 65536, 16777216), (42, 70, 28, 1, 12845056), (112, 112, 32, 1, 16777216), (5600, 28, 28, 1, 12845056))],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    DATA.mkdir(parents=True, exist_ok=True)
    expected = {"decoded": decoded(), "resized": resized(), "patched": patched(), "sizes": sizes()}
    lines = []
    for key, value in expected.items():
        if isinstance(value, list):
            lines.append(f' "{key}": [\n' + ",\n".join("  " + json.dumps(v) for v in value) + "\n ]")
        else:
            lines.append(f' "{key}": {{\n' + ",\n".join(f'  "{k}": ' + json.dumps(v) for k, v in value.items()) + "\n }")
    (DATA / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
