#!/usr/bin/env python3
"""make_tokenizer.py: trains tokenizer.json of the small models from corpus.txt, both beside this file.

Byte-level BPE in the layout of Qwen's files (NFC, Qwen2's regular expression, Qwen3's added tokens in their order), so
that it reads any text. Run by hand, with the `tokenizers` package; the same package gives the same file.
"""
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ENTRIES = 704  # with the added tokens: a multiple of 64, so the embedding needs no padding
REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
           "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
           "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
         "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]


def corpus(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# The") or line.startswith("# Digits"):
            continue
        times, text = line.split("| ", 1)
        for added in PLAIN:  # they are cut out before the merges see the text
            text = text.replace(added, "\n")
        for _ in range(int(times)):
            yield text


def main():
    here = pathlib.Path(__file__).resolve().parent
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(REGEX), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.train_from_iterator(corpus(here / "corpus.txt"), trainers.BpeTrainer(
        vocab_size=ENTRIES - len(SPECIAL) - len(PLAIN), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in PLAIN])
    tokenizer.save(str(here / "tokenizer.json"))
    print(tokenizer.get_vocab_size(), "entries")


if __name__ == "__main__":
    main()
