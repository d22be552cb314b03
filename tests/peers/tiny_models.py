"""Makes tests/language/data/*.safetensors: tiny random Qwen models, what transformers computes with them, and the gradients.

Run by hand with torch and transformers 5.23 (CPU, f32, eager attention):  python tests/peers/tiny_models.py

A file holds: `config` (config.json's bytes), `weight.<name>` and `grad.<name>` (of the mean negative log-prob of tokens 1..n-1) under the names of
the checkpoint, `input_ids`, `position_ids` [3, n], `pixel_values`, `grid_thw` [pictures, 3] (images, then videos), `embeds` (of all pictures, in
the order of grid_thw), `deepstack.<k>`, `hidden_states` (after the final norm), `logits`. Shapes are odd on purpose: windows that don't divide
the grid, heads * head_dim that is not the width, one key head for three.
"""

import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[1] / "language" / "data"
IDS = dict(image_token_id=90, video_token_id=91, vision_start_token_id=92, vision_end_token_id=93)
ENDS = dict(bos_token_id=None, eos_token_id=1)


def qwen2_vl():
    text = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, intermediate_size=40, vocab_size=97,
                rope_parameters=dict(rope_type="default", rope_theta=1e4, mrope_section=[1, 1, 2]), rms_norm_eps=1e-6, **ENDS)
    vision = dict(embed_dim=16, hidden_size=24, depth=2, num_heads=2, mlp_ratio=2, patch_size=2, hidden_act="quick_gelu")
    config = transformers.Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **IDS)
    return transformers.Qwen2VLForConditionalGeneration, config, [(1, 4, 6), (1, 4, 4)], (2, 4, 4)


def qwen2_5_vl():
    text = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, intermediate_size=56, vocab_size=101,
                rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[2, 3, 3]), rms_norm_eps=1e-6, **ENDS)
    vision = dict(hidden_size=24, out_hidden_size=48, depth=3, num_heads=2, intermediate_size=36, patch_size=4, window_size=24,
                  fullatt_block_indexes=[1], tokens_per_second=2)
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **IDS)
    return transformers.Qwen2_5_VLForConditionalGeneration, config, [(1, 8, 14), (1, 4, 6)], (2, 4, 4)


def qwen3_vl():
    text = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=12, intermediate_size=44, vocab_size=101,
                rope_parameters=dict(rope_type="default", rope_theta=5e5, mrope_section=[2, 2, 2], mrope_interleaved=True), rms_norm_eps=1e-6, **ENDS)
    vision = dict(hidden_size=16, out_hidden_size=32, depth=3, num_heads=2, intermediate_size=28, patch_size=2, num_position_embeddings=25,
                  deepstack_visual_indexes=[0, 2])
    config = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **IDS)
    return transformers.Qwen3VLForConditionalGeneration, config, [(1, 6, 10), (1, 4, 6)], (2, 4, 4)


def qwen2():
    """No pictures, one-dimensional positions; biases, and an output projection that is the embeddings."""
    config = transformers.Qwen2Config(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, intermediate_size=40,
                                      vocab_size=53, rope_parameters=dict(rope_type="default", rope_theta=1e4), tie_word_embeddings=True, **ENDS)
    return transformers.Qwen2ForCausalLM, config, [], None


def qwen3():
    """No pictures, one-dimensional positions, its own head_dim, an output projection of its own."""
    config = transformers.Qwen3Config(hidden_size=20, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=12,
                                      intermediate_size=24, vocab_size=53, rope_parameters=dict(rope_type="default", rope_theta=1e4),
                                      tie_word_embeddings=False, **ENDS)
    return transformers.Qwen3ForCausalLM, config, [], None


def save(name, model, config, out, stored):
    for weight, w in model.named_parameters():
        out["weight." + stored(weight)] = w.detach()
        out["grad." + stored(weight)] = w.grad if w.grad is not None else torch.zeros_like(w)
    text = json.dumps(json.loads(config.to_json_string(use_diff=False)))
    out["config"] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in out.items()}, OUT / f"{name}.safetensors")
    print(name, sum(w.numel() for w in model.parameters()), "weights", (OUT / f"{name}.safetensors").stat().st_size, "bytes")


def randomize(model, generator):
    """Every weight matters: norms are not 1, biases not 0."""
    for name, w in model.named_parameters():
        scale = w[0].numel() ** -0.5 if w.dim() > 1 else 0.2
        values = torch.randn(w.shape, generator=generator) * scale
        w.data = 1 + values if "norm" in name and name.endswith("weight") or name.endswith("ln_q.weight") else values
        if "embed_tokens" in name:
            w.data *= 3


def sequence(images, video, generator):
    """Ids and their kinds (0 text, 1 image, 2 video); a clip of Qwen3-VL would have time stamps between its frames, so text stands there."""
    ids, kinds = [], []

    def text(n):
        ids.extend(torch.randint(0, 90, (n,), generator=generator).tolist())
        kinds.extend([0] * n)

    def picture(pad, kind, n):
        ids.extend([92] + [pad] * n + [93])
        kinds.extend([0] + [kind] * n + [0])

    text(5)
    for grid in images:
        picture(90, 1, grid[0] * grid[1] * grid[2] // 4)
        text(3)
    return ids, kinds, text, picture


def model_and_inputs(builder):
    """The model, its config, what it is asked, and every picture's pixels and grid. lora_peft.py adapts the same."""
    kind, config, images, video = builder()
    generator = torch.Generator().manual_seed(7 if images else 11)
    config._attn_implementation = "eager"
    model = kind(config).eval()
    randomize(model, generator)
    if not images:
        return model, config, dict(input_ids=torch.randint(0, config.vocab_size, (1, 37), generator=generator)), [], []
    ids, kinds, text, picture = sequence(images, video, generator)
    if video:
        frames = video[0] if config.model_type == "qwen3_vl" else 1
        for _ in range(frames):
            picture(91, 2, video[0] * video[1] * video[2] // 4 // frames)
            text(2)
    text(9)
    vision = config.vision_config
    columns = 3 * vision.temporal_patch_size * vision.patch_size**2
    grids = images + ([video] if video else [])
    pixels = [torch.randn(t * h * w, columns, generator=generator) for t, h, w in grids]
    inputs = dict(input_ids=torch.tensor([ids]), mm_token_type_ids=torch.tensor([kinds]), pixel_values=torch.cat(pixels[: len(images)]),
                  image_grid_thw=torch.tensor(images))
    if video:
        inputs.update(pixel_values_videos=pixels[-1], video_grid_thw=torch.tensor([video]))
        if config.model_type == "qwen2_5_vl":
            inputs.update(second_per_grid_ts=torch.tensor([1.5]))
    return model, config, inputs, pixels, grids


def make_text(name, builder):
    model, config, inputs, _, _ = model_and_inputs(builder)
    ids = inputs["input_ids"]
    result = model(ids, output_hidden_states=True)
    torch.nn.functional.cross_entropy(result.logits[0, :-1], ids[0, 1:]).backward()
    out = dict(input_ids=ids[0].to(torch.int32), position_ids=torch.arange(ids.shape[1], dtype=torch.int32).expand(3, -1),
               hidden_states=result.hidden_states[-1][0].detach(), logits=result.logits[0].detach())
    save(name, model, config, out, lambda weight: weight)


def make(name, builder, old_names):
    model, config, inputs, pixels, grids = model_and_inputs(builder)
    out = dict(input_ids=inputs["input_ids"][0].to(torch.int32), pixel_values=torch.cat(pixels), grid_thw=torch.tensor(grids, dtype=torch.int32))
    embeds, deepstack = [], []

    def see_tower(module, args, result):
        embeds.append(result.pooler_output.detach())
        deepstack.append([x.detach() for x in getattr(result, "deepstack_features", None) or []])

    def see_text(module, args, kwargs, result):
        out["position_ids"] = kwargs["position_ids"][-3:, 0].to(torch.int32).contiguous()
        out["hidden_states"] = result.last_hidden_state[0].detach()

    model.model.visual.register_forward_hook(see_tower)
    model.model.language_model.register_forward_hook(see_text, with_kwargs=True)
    logits = model(**inputs).logits[0]
    torch.nn.functional.cross_entropy(logits[:-1], inputs["input_ids"][0, 1:]).backward()
    out["logits"] = logits.detach()
    out["embeds"] = torch.cat(embeds)
    for level in range(len(deepstack[0])):
        out[f"deepstack.{level}"] = torch.cat([d[level] for d in deepstack])

    def stored(weight):
        return weight.replace("model.visual", "visual").replace("model.language_model", "model") if old_names else weight

    save(name, model, config, out, stored)


if __name__ == "__main__":
    make("tiny_qwen2_vl", qwen2_vl, old_names=True)
    make("tiny_qwen2_5_vl", qwen2_5_vl, old_names=True)
    make("tiny_qwen3_vl", qwen3_vl, old_names=False)
    make_text("tiny_qwen2", qwen2)
    make_text("tiny_qwen3", qwen3)
