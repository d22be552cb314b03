"""LoRA adapters against PEFT 0.21 (torch, transformers 5.23; CPU, f32). Run by hand.

  python tests/peers/lora_peft.py [CASE ..] makes tests/language/data/lora/CASE/: adapter_config.json and adapter_model.safetensors as PEFT saves them,
                                           for the models of tests/language/data/tiny_*.safetensors (tiny_models.py), with random values, and
                                           expected.safetensors: `logits` and `grad.TENSOR` (of the mean negative log-prob of tokens 1..n-1) for each tensor
  python tests/peers/lora_peft.py check MODEL ADAPTER MERGED SCORES
                                           opens MODEL with an ADAPTER that Fovea wrote: every tensor must be taken, and be the same when PEFT saves it;
                                           log-probs must be those of SCORES (`fovea score --model ADAPTER`, rows of text), and MERGED
                                           (`fovea model merge MODEL ADAPTER MERGED`) must hold the weights of PEFT's own merge"""

import json
import pathlib
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny_models

DATA = tiny_models.OUT
CASES = {
    # lists, patterns of ranks and scales, a module that is trained whole
    "plain": ("tiny_qwen2_5_vl", tiny_models.qwen2_5_vl,
              dict(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], exclude_modules=["0.mlp.down_proj"], modules_to_save=["lm_head"],
                   rank_pattern={"layers.1.self_attn.q_proj": 5}, alpha_pattern={r"layers\.\d\.self_attn\.v_proj": 4}, task_type="CAUSAL_LM")),
    # a regular expression, a convolution among what it takes
    "rslora": ("tiny_qwen2_5_vl", tiny_models.qwen2_5_vl,
               dict(r=4, lora_alpha=5, use_rslora=True, lora_dropout=0.25,
                    target_modules=r"(.*\.)?(attn\.qkv|patch_embed\.proj|merger\.mlp\.[02])|model\.language_model\.layers\.\d+\.mlp\.(gate|up)_proj")),
    # every linear layer of both halves, weight-decomposed, and a module of several weights
    "dora": ("tiny_qwen3_vl", tiny_models.qwen3_vl,
             dict(r=2, lora_alpha=3, use_dora=True, target_modules="all-linear", exclude_modules=r".*\.blocks\.1\..*", modules_to_save=["visual.merger"])),
    # a text model, whose layers have shorter names
    "text": ("tiny_qwen3", tiny_models.qwen3, dict(r=3, lora_alpha=4, target_modules="all-linear", modules_to_save=["lm_head"], task_type="CAUSAL_LM")),
    # the oldest tower's layers beside the decoder's
    "qwen2_vl": ("tiny_qwen2_vl", tiny_models.qwen2_vl, dict(r=2, lora_alpha=3, target_modules=["qkv", "fc1", "fc2", "k_proj", "o_proj", "up_proj"])),
}


def saved_name(parameter):
    """What a parameter of the wrapped model is called in the file."""
    return parameter.replace(".modules_to_save.default", "").replace(".default.weight", ".weight").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def randomize(model, generator):
    for name, w in model.named_parameters():
        if not w.requires_grad:
            continue
        noise = torch.randn(w.shape, generator=generator)
        if "lora_A" in name or "lora_B" in name:  # as large as the model's weights: larger ones would only amplify roundings
            w.data = noise * w[0].numel() ** -0.5 * (0.5 if "lora_B" in name else 1)
        elif "lora_magnitude" in name:
            w.data = w.data * (1 + 0.3 * noise)
        else:
            w.data = w.data + 0.1 * noise


def make(case):
    fixture, builder, options = CASES[case]
    base, config, inputs, _, _ = tiny_models.model_and_inputs(builder)
    stored = load_file(DATA / f"{fixture}.safetensors")
    for name, w in base.named_parameters():
        old = name.replace("model.visual", "visual").replace("model.language_model", "model")
        known = stored.get("weight." + name, stored.get("weight." + old))
        assert known is not None and torch.equal(known, w), f"{fixture}: {name} is not what the fixture has"
    model = peft.get_peft_model(base, peft.LoraConfig(base_model_name_or_path=fixture, **options)).eval()
    randomize(model, torch.Generator().manual_seed(13))
    logits = model(**inputs).logits[0]
    torch.nn.functional.cross_entropy(logits[:-1], inputs["input_ids"][0, 1:]).backward()
    folder = DATA / "lora" / case
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    trained = {saved_name(n): w for n, w in model.named_parameters() if w.requires_grad}
    written = load_file(folder / "adapter_model.safetensors")
    assert trained.keys() == written.keys(), sorted(trained.keys() ^ written.keys())
    out = {"grad." + n: w.grad.contiguous() for n, w in trained.items()}
    out["logits"] = logits.detach().contiguous()
    save_file(out, folder / "expected.safetensors")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{case}: {len(trained)} tensors, {sum(w.numel() for w in trained.values())} numbers, {size} bytes")


def check(model_folder, adapter, merged, scores):
    sees = hasattr(transformers.AutoConfig.from_pretrained(model_folder), "vision_config")
    kind = transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM
    base = kind.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="eager")
    model = peft.PeftModel.from_pretrained(base, adapter).eval()
    ours, theirs = load_file(pathlib.Path(adapter) / "adapter_model.safetensors"), peft.get_peft_model_state_dict(model)
    assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)
    print(f"{len(ours)} tensors are the same in PEFT")
    worst = 0
    for line in open(scores):
        row = json.loads(line)
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logp = torch.log_softmax(model(input_ids=ids).logits[0].double(), -1)
        want = logp[:-1].gather(1, ids[0, 1:, None])[:, 0]
        worst = max(worst, (want - torch.tensor(row["logprobs"][1:], dtype=torch.float64)).abs().max().item())
    print(f"log-probs differ by at most {worst:.1e}")
    whole, got = model.merge_and_unload(), load_file(pathlib.Path(merged) / "model.safetensors")
    state, difference = whole.state_dict(), 0
    for name, w in got.items():
        new = name if name in state else ("model." + name if name.startswith("visual") else name.replace("model.", "model.language_model.", 1))
        difference = max(difference, ((w.float() - state[new]).abs().max() / state[new].abs().max()).item())
    print(f"{len(got)} merged weights differ by at most {difference:.1e} of the largest")
    assert worst < 2e-4 and difference < 1e-6


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "check":
        check(*sys.argv[2:6])
    else:
        for each in sys.argv[1:] or CASES:
            make(each)
