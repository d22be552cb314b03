#!/usr/bin/env python3
"""video.py: small videos of the containers and codecs that are read, and what others make of them.

    python tests/peers/video.py files      tests/vision/data/video/ (by ffmpeg 5.1, Debian 12), and tests/vision/data/videos.json: frames, rate, size and the
                                           checksum of each frame's RGB, by torchcodec (of AVI by ffmpeg)
    python tests/peers/video.py damaged    tests/vision/data/damaged/: some of these files with four bytes inverted
    python tests/peers/video.py indices    tests/vision/data/frames.json: which frames transformers' processors, qwen-vl-utils and the evaluation harnesses look at
    python tests/peers/video.py prompts    tests/language/data/prompt/videos.json: tokens, positions and pixels of rows with these videos, by transformers' processors
    python tests/peers/video.py score MODEL ROWS SCORES    `fovea score`'s log-probs of rows with one video each, beside transformers' from the same folder

Run by hand, with torch, transformers 5.23, torchcodec 0.17 (over the same FFmpeg) and qwen-vl-utils 0.0.14. Checksums of pixels hold for one FFmpeg: another
one may decode or convert differently in the last bit.
"""
import json
import pathlib
import subprocess
import sys
import zlib

TESTS = pathlib.Path(__file__).resolve().parents[1]
OUT = TESTS / "vision" / "data" / "video"
DAMAGED = OUT.parent / "damaged"
SCENE = "testsrc2=size=64x48:rate=8:duration=1.5"
X264 = "-c:v libx264 -preset veryfast -crf 34 -g 5 -bf 2 -x264-params threads=1 -pix_fmt yuv420p"

X265 = "-c:v libx265 -preset ultrafast -crf 34 -x265-params log-level=none:pools=none:frame-threads=1:keyint=5:bframes=2 -tag:v hvc1 -pix_fmt yuv420p"
AV1 = "-c:v libaom-av1 -b:v 0 -crf 50 -g 5 -cpu-used 8 -pix_fmt yuv420p"


def ffmpeg(name, scene, *arguments):
    source = ["-f", "lavfi", "-i", scene] if scene else []
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, *" ".join(arguments).split(), "-bitexact", "-threads", "1", OUT / name], check=True)


def make_files():
    tone = "-f lavfi -i sine=frequency=440:duration=1.5:sample_rate=8000 -c:a aac -b:a 8k"
    ffmpeg("h264.mp4", SCENE, tone, X264, "-movflags +faststart")
    ffmpeg("h264-late-index.mov", SCENE, X264)
    ffmpeg("h264-fragments.mp4", SCENE, X264, "-movflags +frag_keyframe+empty_moov")
    ffmpeg("h264-709-full.mkv", SCENE, X264, "-vf scale=out_color_matrix=bt709:out_range=full -colorspace bt709 -color_range pc")
    ffmpeg("h264-variable.mp4", SCENE + ",setpts='if(lt(N,6),N,6+3*(N-6))/(8*TB)'", X264, "-fps_mode vfr")
    ffmpeg("h264-edited.mp4", None, f"-ss 0.9 -i {OUT / 'h264-late-index.mov'} -c copy")
    ffmpeg("h264-turned.mov", None, f"-i {OUT / 'h264-late-index.mov'} -c copy -metadata:s:v rotate=90")
    ffmpeg("h264-turned-over.mov", None, f"-i {OUT / 'h264-late-index.mov'} -c copy -metadata:s:v rotate=180")
    ffmpeg("h264-turned-left.mov", None, f"-i {OUT / 'h264-late-index.mov'} -c copy -metadata:s:v rotate=270")
    ffmpeg("h264-444-odd.mkv", SCENE + ",scale=63:47", X264.replace("yuv420p", "yuv444p"))
    ffmpeg("h264.avi", SCENE, X264)
    ffmpeg("hevc-10bit.mp4", SCENE, X265.replace("yuv420p", "yuv420p10le"))
    ffmpeg("av1.mp4", SCENE, AV1)
    ffmpeg("hevc.mp4", SCENE, X265)
    ffmpeg("vp9-odd.webm", SCENE + ",scale=63:47", "-c:v libvpx-vp9 -b:v 0 -crf 50 -g 5 -cpu-used 8 -pix_fmt yuv420p")
    ffmpeg("vp9-odd-height.webm", SCENE + ",scale=64:47", "-c:v libvpx-vp9 -b:v 0 -crf 50 -g 5 -cpu-used 8 -pix_fmt yuv420p")
    ffmpeg("av1.mkv", SCENE, AV1)
    ffmpeg("mpeg4.avi", SCENE, "-c:v mpeg4 -q:v 12 -g 5 -bf 2 -pix_fmt yuv420p")
    ffmpeg("mpeg4-odd.mp4", SCENE + ",scale=37:29", "-c:v mpeg4 -q:v 12 -g 5 -pix_fmt yuv420p")
    ffmpeg("scene.gif", SCENE.replace("64x48", "40x30"), "-filter_complex split[a][b];[a]palettegen=16[p];[b][p]paletteuse=dither=none")
    # Twelve key frames at 30000/1001, for seeking and for rates that are no decimal number.
    ffmpeg("h264-keys.mkv", "testsrc2=size=64x48:rate=30000/1001:duration=3", X264.replace("-g 5", "-g 8"))


def make_damaged():
    """Where FFmpeg notices and goes on: inside of a frame, of WebM in a block's length, of HEVC with a checksum of each frame, which x265 writes where it is asked to."""
    DAMAGED.mkdir(exist_ok=True)
    ffmpeg(DAMAGED / "hevc-hash.mp4", SCENE, X265.replace("bframes=2", "bframes=2:hash=1"))
    places = {OUT / "h264.mp4": 4000, OUT / "mpeg4-odd.mp4": 600, OUT / "vp9-odd.webm": 2225, OUT / "av1.mp4": 1200, OUT / "scene.gif": 1100, DAMAGED / "hevc-hash.mp4": 2700}
    for path, at in places.items():
        whole = path.read_bytes()
        (DAMAGED / path.name).write_bytes(whole[:at] + bytes(255 - b for b in whole[at : at + 4]) + whole[at + 4 :])


def by_ffmpeg(path, width, height):
    """All frames one after another. AVI has no presentation times, so that torchcodec misses frames of files with B frames."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], check=True, capture_output=True).stdout
    return [raw[at : at + width * height * 3] for at in range(0, len(raw), width * height * 3)]


def read_files():
    import torch
    from torchcodec.decoders import VideoDecoder

    torch.set_num_threads(1)
    files = {}
    for path in sorted(OUT.iterdir()):
        decoder = VideoDecoder(str(path), seek_mode="exact", dimension_order="NHWC", num_ffmpeg_threads=1)
        about = decoder.metadata
        if path.suffix == ".avi":
            frames = by_ffmpeg(path, about.width, about.height)
        else:
            frames = [decoder.get_frame_at(i).data.numpy().tobytes() for i in range(about.num_frames)]
        assert len(frames) == about.num_frames and len(frames[0]) == about.width * about.height * 3
        files[path.name] = {"frames": about.num_frames, "fps": about.average_fps, "width": about.width, "height": about.height, "crc": [zlib.crc32(f) for f in frames]}
        print(path.name, path.stat().st_size, "bytes", about.num_frames, "frames", about.average_fps)
    (OUT.parent / "videos.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in files.items()) + "\n}\n")


def family_cases():
    """(processor's class, keyword arguments of sample_frames) by the wish of a part."""
    from transformers import Qwen2VLVideoProcessor, Qwen3VLVideoProcessor
    from transformers.video_utils import VideoMetadata

    two, three = Qwen2VLVideoProcessor(), Qwen3VLVideoProcessor()
    shapes = [(12, 8.0), (9, 3.0), (23, 25.0), (40, 29.97), (300, 30000 / 1001), (1801, 60.0), (54321, 23.976), (5, 1.0), (2, 2.0)]
    wishes = [{}, {"fps": 2}, {"fps": 1}, {"fps": 5}, {"fps": 0.5}, {"nframes": 4}, {"nframes": 6}, {"nframes": 7}, {"nframes": 16}, {"nframes": 502},
              {"fps": 4, "max_frames": 10}, {"fps": 0.1, "min_frames": 6}]
    for total, fps in shapes:
        for wish in wishes:
            names = {"nframes": "num_frames"}
            how = {names.get(k, k): v for k, v in wish.items()}
            for family, processor in (("qwen2", two), ("qwen3", three)):
                if not wish and family == "qwen2" and total > 4096:
                    continue
                metadata = VideoMetadata(total_num_frames=total, fps=fps)
                for name in ("min_frames", "max_frames"):  # Qwen3-VL's takes these from the processor alone
                    setattr(processor, name, how.get(name, 4 if name == "min_frames" else 768))
                processor.fps = None if "num_frames" in how or family == "qwen2" else 2
                try:
                    index = list(range(total)) if not wish and family == "qwen2" else [int(i) for i in processor.sample_frames(metadata, **how)]
                    index = [i for i in index if i < total]  # arange's value too many
                    metadata.frames_indices = index
                    yield {"family": family, "total": total, "fps": fps, "wish": wish, "index": index, "sampled": metadata.sampled_fps}
                except (ValueError, ZeroDivisionError):
                    yield {"family": family, "total": total, "fps": fps, "wish": wish, "index": None}


def range_cases():
    import torch
    from qwen_vl_utils import vision_process as utils

    for total, fps in [(120, 24.0), (300, 30000 / 1001), (54321, 23.976), (30, 10.0)]:
        for wish in [{"video_start": 1.0}, {"video_end": 2.5}, {"video_start": 0.55, "video_end": 2.05, "fps": 3}, {"video_start": 1.01, "video_end": 2.5, "nframes": 7},
                     {"video_start": -4, "video_end": 1e9, "nframes": 12}, {"video_start": 2, "video_end": 2}, {"video_start": 0.5, "fps": 8, "min_frames": 5, "max_frames": 9}]:
            try:
                first, last, size = utils.calculate_video_frame_range(wish, total, fps)
                n = utils.smart_nframes(wish, total_frames=size, video_fps=fps)
                index = torch.linspace(first, last, n).round().long().tolist()
                yield {"total": total, "fps": fps, "wish": wish, "index": index, "sampled": n / max(size, 1e-6) * fps}
            except ValueError:
                yield {"total": total, "fps": fps, "wish": wish, "index": None}


def policy_cases():
    """The harnesses' formulas, as they stand in their code (lmms-eval 75571cfe, VLMEvalKit e8e78f05)."""
    import numpy as np
    import torch

    def uniform(total, fps, n, start, end):
        return np.linspace(0, total - 1, n, dtype=int).tolist()

    def centers(total, fps, n, start, end):
        first, last = max(0, round(start * fps)), min(round(end * fps), total - 1)
        segment = float(last - first) / n
        return [int(first + (segment / 2) + np.round(segment * i)) for i in range(n)]

    def inner(total, fps, n, start, end):
        step = total / (n + 1)
        return [int(i * step) for i in range(1, n + 1)]

    def linspace(total, fps, n, start, end):
        return torch.linspace(0, total - 1, n).round().long().tolist()

    def rate(total, fps, n, wanted):
        required, step = int(total / fps * wanted), fps / wanted
        return inner(total, fps, n, 0, 0) if n and required > n else [int(i * step) for i in range(required)]

    for total, fps in [(12, 8.0), (37, 25.0), (300, 30000 / 1001), (5000, 23.976)]:
        for n in (1, 2, 3, 8, 16, 64):
            for name, rule in (("uniform", uniform), ("centers", centers), ("inner", inner), ("linspace", linspace)):
                index = rule(total, fps, n, -100000, 100000)
                yield {"total": total, "fps": fps, "wish": {"frames": {"policy": name, "n": n}}, "index": index}
                if name == "uniform" and index[-1] != total - 1:
                    yield {"total": total, "fps": fps, "wish": {"frames": {"policy": name, "n": n, "tail": True}}, "index": index + [total - 1]}
            for wanted in (0.5, 1, 3):
                wish = {"policy": "fps", "fps": wanted}
                if rate(total, fps, 0, wanted):
                    yield {"total": total, "fps": fps, "wish": {"frames": dict(wish, n=n)}, "index": rate(total, fps, n, wanted)}
    for start, end in ((0.4, 1.1), (0, 1.3)):
        for n in (4, 8):
            yield {"total": 37, "fps": 25.0, "wish": {"video_start": start, "video_end": end, "frames": {"policy": "centers", "n": n}}, "index": centers(37, 25.0, n, start, end)}


def cap_cases():
    """The size that frames get with cap_pixels_per_frame; only shapes are computed."""
    from unittest import mock

    import torch
    from transformers import Qwen2VLVideoProcessor, Qwen3VLVideoProcessor
    from transformers.image_utils import SizeDict
    from transformers.video_processing_utils import BaseVideoProcessor

    with mock.patch.object(BaseVideoProcessor, "resize", lambda self, image, size, resample: size):
        for family, processor, factor, limits in (("qwen2", Qwen2VLVideoProcessor(), 28, (3136, 12845056)), ("qwen3", Qwen3VLVideoProcessor(), 32, (4096, 25165824))):
            for n, height, width in [(4, 480, 640), (16, 1080, 1920), (64, 720, 1280), (257, 1080, 1920), (768, 1080, 1920), (768, 120, 90)]:
                for tokens in (processor.max_video_tokens, 1000):
                    processor.max_video_tokens, usual = tokens, processor.max_video_tokens
                    size = processor.resize(torch.empty(1, n, 3, height, width, device="meta"), SizeDict(shortest_edge=limits[0], longest_edge=limits[1]), 3, factor, 2,
                                            cap_pixels_per_frame=True)
                    processor.max_video_tokens = usual
                    yield {"family": family, "patch": factor // 2, "limits": limits, "tokens": tokens, "frames": n, "from": [height, width], "to": [size.height, size.width]}


def write_indices():
    cases = {"family": list(family_cases()), "range": list(range_cases()), "policy": list(policy_cases()), "cap": list(cap_cases())}
    for case in [c for group in cases.values() for c in group]:
        if case.get("index") and len(case["index"]) > 80:  # the long ones as a checksum
            text = ",".join(str(i) for i in case["index"])
            case.update(index=len(case["index"]), crc=zlib.crc32(text.encode()))
    (OUT.parent / "frames.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: [\n" + ",\n".join(json.dumps(c) for c in v) + "\n]" for k, v in cases.items()) + "\n}\n")
    print({k: len(v) for k, v in cases.items()})


def prompt_cases():
    for name, wish in [("h264.mp4", {}), ("h264.mp4", {"fps": 4}), ("h264-variable.mp4", {"fps": 2}), ("h264-turned.mov", {"nframes": 6}), ("vp9-odd.webm", {"nframes": 5}),
                       ("h264-keys.mkv", {"fps": 3}), ("scene.gif", {"fps": 3})]:
        yield name, wish, {"fps": wish.get("fps"), "num_frames": wish.get("nframes"), "do_sample_frames": True} if wish else {}


def after_the_largest(want, video_token):
    """What follows a video begins after the largest position so far, as in transformers 4, Qwen's own code and vLLM; 5.23 leaves time out of account (HF facts 8)."""
    last = max(i for i, token in enumerate(want["ids"]) if token == video_token)
    shift = max(max(axis[: last + 1]) for axis in want["positions"]) + 1 - want["positions"][0][last + 1]
    want["positions"] = [axis[: last + 1] + [p + shift for p in axis[last + 1 :]] for axis in want["positions"]]
    want["next"] += shift
    return want


def write_prompts():
    import prompt
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(prompt.ROOT / "models/tiny-vl/tokenizer.json"), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    cases = []
    for family, processor, model in prompt.families(tokenizer):
        for name, wish, how in prompt_cases():
            messages = [{"role": "user", "content": [{"type": "video", "video": name, **wish}, {"type": "text", "text": "What moves?"}]}]
            text = processor.apply_chat_template(messages, tokenize=False)
            if family == "qwen3_vl":  # as transformers 4.57 and vLLM, see prompt.py
                text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>")
            out = processor(text=[text], videos=[str(OUT / name)], return_tensors="pt", **how)
            want = after_the_largest(prompt.seen(family, model, out), tokenizer.convert_tokens_to_ids("<|video_pad|>"))
            cases.append({"family": family, "messages": messages, "want": want, "pixels": zlib.crc32(out["pixel_values_videos"].numpy().tobytes())})
            print(family, name, wish, len(cases[-1]["want"]["ids"]), out["video_grid_thw"].tolist())
    (TESTS / "language" / "data" / "prompt" / "videos.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


def compare_scores(folder, rows, scores):
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    scored = {s["id"]: s for s in map(json.loads, open(scores))}
    for row in map(json.loads, open(rows)):
        text = processor.apply_chat_template(row["messages"], tokenize=False)
        if model.config.model_type == "qwen3_vl":
            text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>")
        part = next(p for p in row["messages"][0]["content"] if p["type"] == "video")
        how = {"fps": part.get("fps"), "num_frames": part.get("nframes"), "do_sample_frames": True}
        inputs = processor(text=[text], videos=[str(pathlib.Path(rows).parent / part["video"])], return_tensors="pt", **how)
        inputs["second_per_grid_ts"] = torch.as_tensor(inputs["second_per_grid_ts"]) if "second_per_grid_ts" in inputs else None
        if model.config.model_type in ("qwen2_vl", "qwen2_5_vl"):
            import prompt
            want = after_the_largest(prompt.seen(model.config.model_type, model.model, inputs), model.config.video_token_id)
            inputs["position_ids"] = torch.tensor(want["positions"])[:, None]
        ours = scored[row["id"]]
        assert inputs["input_ids"][0].tolist() == ours["input_ids"], row["id"]
        with torch.no_grad():
            logits = model(**{k: v for k, v in inputs.items() if v is not None}).logits[0]
        want = torch.log_softmax(logits[:-1].double(), -1).gather(1, inputs["input_ids"][0, 1:, None])[:, 0]
        apart = (want - torch.tensor(ours["logprobs"][1:], dtype=torch.float64)).abs()
        print(row["id"], len(want), "log-probs of", f"{want.min():.2f} to {want.max():.2f}", "apart by at most", f"{apart.max():.1e}")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["files"]:
        make_files()
        read_files()
    elif sys.argv[1:] == ["damaged"]:
        make_damaged()
    elif sys.argv[1:] == ["indices"]:
        write_indices()
    elif sys.argv[1:] == ["prompts"]:
        write_prompts()
    elif len(sys.argv) == 5 and sys.argv[1] == "score":
        compare_scores(*sys.argv[2:])
    else:
        sys.exit(__doc__)
