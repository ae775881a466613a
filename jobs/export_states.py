#!/usr/bin/env python3
"""Writes hidden-state files (format version 1) from any causal language model of Hugging Face transformers.

    # the paper's study with Llama-3-8B on one GPU: 1024 tokens a prompt, as written and shuffled at levels 1..5
    export_states.py --model meta-llama/Meta-Llama-3-8B --prompts pile.jsonl --out states/llama.h5 --levels all

    # OPT-6.7B as a SLURM array of 16 tasks (sbatch --array=0-15): each writes its own part of the prompts
    export_states.py --model facebook/opt-6.7b --prompts pile.jsonl --out 'states/opt-{index}.h5' --levels 0,5

    # then measure:  source: {kind: hdf5, files: [states/opt-*.h5]}

Needs torch, transformers, h5py and numpy; with --gguf-file also accelerate and gguf.

Prompts come from JSON lines (files named *.jsonl, *.jsonlines, *.ndjson, *.json), {"id": 3218, "text": "..."} or {"id": 3218,
"token_ids": [...]}, where no record has an id each has its place from 0, or from text files, whose ids are their places in the bytewise
sorted list, from 0. A record's "group", or The Pile's "meta", is the prompt's label. Texts are stripped, tokenized (nothing is put before
them; a special token that a text spells out is that token) and cut to their first --tokens tokens. Files may be compressed: .gz, .bz2,
.xz, and .zst where the package zstandard is there.

FILE.part grows until the last prompt is in it and becomes FILE then. All of its HDF5 objects are made, with their room,
before the first prompt, and only numbers are written after that, so it stays readable whenever the script is killed.
FILE.progress holds the settings and, line by line, how many prompts are done; the same command goes on from there.

Exit status: 0 done; 64 usage; 65 bad data; 66 input missing; 69 a Python package is missing; 74 input/output, or FILE
exists; 75 stopped by SIGTERM or SIGUSR1 after the prompt in hand, start again to go on; 78 settings that cannot be."""
import argparse
import bz2
import collections
import contextlib
import gzip
import hashlib
import importlib
import json
import lzma
import math
import os
import pathlib
import re
import signal
import sys
import time

USAGE, BAD_DATA, NO_INPUT, NO_PACKAGE, IO, STOPPED, CONFIG = 64, 65, 66, 69, 74, 75, 78

MAX_GROUP = 500  # bytes of a prompt's label

# tokens: list of ids or None until tokenized; where: file:line, for messages; group: its label
Prompt = collections.namedtuple("Prompt", "id text tokens where group", defaults=(None,))


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def say(text, end="\n"):
    print(f"export_states.py: {text}", file=sys.stderr, end=end, flush=True)


# ---- command line -------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Failure(USAGE, f"{message} (--help lists the options)")


def integer(low, high=math.inf):
    def parse(text):
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not {f'at least {low}' if high == math.inf else f'in {low}..{high}'}")
        return value
    parse.__name__ = "integer"
    return parse


def level_list(text):
    return "all" if text == "all" else [integer(0)(part) for part in text.split(",")]


def array_part(text):
    index, count = (int(part) for part in text.split("/"))
    if not 0 <= index < count:
        raise argparse.ArgumentTypeError(f"{text} is not INDEX/COUNT with INDEX in 0..COUNT-1")
    return index, count


def parse_arguments(arguments):
    head, _, rest = __doc__.partition("\n\n")
    parser = Parser(description=head, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, metavar="NAME_OR_DIR", help="a model's name on the hub, or its directory")
    add("--gguf-file", metavar="FILE", help="a GGUF in that directory, dequantized. Its tokenizer may split texts otherwise than the "
        "model's own does; token_ids are safe")
    add("--prompts", required=True, nargs="+", metavar="FILE", help="JSON lines, or text files")
    add("--out", required=True, metavar="FILE.h5", help="{index} stands for the number of the array's part, zero-padded")
    add("--tokens", type=integer(2, 2**20), default=1024, metavar="N", help="tokens a prompt (%(default)s)")
    add("--levels", type=level_list, default=[0], metavar="S,S,...|all", help="shuffle levels; all: 0..floor(log4 N) (0)")
    add("--shuffle-seed", type=integer(0, 2**64 - 1), default=20250117, metavar="SEED", help="(%(default)s)")
    add("--short-prompts", choices=("leave_out", "keep"), default="leave_out", help="prompts of fewer than N tokens: leave them out, or "
        "keep as many tokens as 4^(highest level) divides (%(default)s)")
    add("--split-special-tokens", action="store_true", help="special tokens that a text spells out, as <|endoftext|>, are split like other "
        "words; else each is one token")
    add("--dtype", choices=("bfloat16", "float16", "float32"), help="the model computes in it (bfloat16 on a GPU, float32 on a CPU)")
    add("--store", choices=("bfloat16", "float32"), default="bfloat16", help="type of hidden_states in the file (%(default)s)")
    add("--device", choices=("cpu", "cuda", "auto"), default="auto", help="(%(default)s)")
    add("--batch", type=integer(1), default=1, metavar="B", help="shuffle levels of one prompt that run at once (%(default)s)")
    add("--name", metavar="MODEL_NAME", help="[A-Za-z0-9._-]+, the model's name in results (last part of --model)")
    add("--array", type=array_part, metavar="INDEX/COUNT", help="write this part of the prompts: COUNT contiguous parts, in order "
        "(from SLURM_ARRAY_TASK_* when --out holds {index})")
    add("--force", action="store_true", help="replace FILE when the new one is complete")
    options = parser.parse_args(arguments)
    if options.name is not None and not re.fullmatch(r"[A-Za-z0-9._-]+", options.name):
        parser.error(f"argument --name: '{options.name}' holds other characters than A-Z a-z 0-9 . _ -")
    return options


def slurm_array(environment):
    """This task's (index, count), None outside an array."""
    try:
        task = int(environment["SLURM_ARRAY_TASK_ID"])
        first, last = (int(environment.get(f"SLURM_ARRAY_TASK_{end}", task)) for end in ("MIN", "MAX"))
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", 1))
        count = int(environment.get("SLURM_ARRAY_TASK_COUNT", (last - first) // step + 1))
    except (KeyError, ValueError):
        return None
    if (last - first) // step + 1 != count:
        raise Failure(CONFIG, f"the SLURM array {first}-{last} has {count} tasks, not one for each number; give --array INDEX/COUNT")
    return (task - first) // step, count


def resolve(options, environment):
    """Fills in what depends on more than one option; finds contradictions before anything slow starts."""
    numbered = "{index}" in options.out
    options.array = options.array or (slurm_array(environment) if numbered else None)
    if numbered and not options.array:
        raise Failure(CONFIG, f"--out {options.out} holds {{index}}, but there is no --array and no SLURM array")
    if numbered:
        index, count = options.array
        options.out = options.out.replace("{index}", str(index).zfill(len(str(count - 1))))
    options.out = pathlib.Path(options.out)
    if options.levels == "all":
        options.levels = list(range(int(math.log2(options.tokens)) // 2 + 1))
    if len(set(options.levels)) < len(options.levels):
        raise Failure(CONFIG, f"--levels {','.join(map(str, options.levels))}: a level is there twice")
    for level in options.levels:
        if options.tokens % 4**level != 0:
            raise Failure(CONFIG, f"--levels: 4^{level} blocks do not divide {options.tokens} tokens")
    name = pathlib.Path(options.gguf_file).stem if options.gguf_file else pathlib.Path(options.model).name
    options.name = options.name or re.sub(r"[^A-Za-z0-9._-]+", "-", name) or "model"
    if not options.out.parent.is_dir():
        raise Failure(IO, f"{options.out.parent}: no such directory, --out needs it")
    if options.out.exists() and not options.force:
        raise Failure(IO, f"{options.out} exists; --force replaces it")


def import_libraries(options):
    """Late, because torch takes seconds: --help and wrong options answer at once."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    names = {"np": "numpy", "h5py": "h5py", "torch": "torch", "transformers": "transformers"}
    missing = []
    for short, package in [*names.items(), *(((p, p) for p in ("accelerate", "gguf")) if options.gguf_file else ())]:
        try:
            globals()[short] = importlib.import_module(package)
        except ImportError as error:
            missing.append(package)
            say(f"{package} cannot be imported: {error}")
    if missing:
        raise Failure(NO_PACKAGE, f"missing: pip install {' '.join(missing)}")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    options.device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    if options.device == "cuda" and not torch.cuda.is_available():
        raise Failure(CONFIG, "--device cuda: torch finds no GPU")
    options.dtype = options.dtype or ("bfloat16" if options.device == "cuda" else "float32")


# ---- prompts ------------------------------------------------------------------------------------------------------


PACKED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def open_packed(path):
    ending = pathlib.Path(path).suffix.lower()
    if ending != ".zst":
        return PACKED.get(ending, open)(path, "rb")
    try:
        return importlib.import_module("zstandard").open(path, "rb")
    except ImportError:
        raise Failure(NO_PACKAGE, f"{path}: is compressed by zstd: pip install zstandard") from None


def read_bytes(path):
    """A file's bytes, unpacked, without a byte order mark."""
    try:
        with open_packed(path) as file:
            return file.read().removeprefix(b"\xef\xbb\xbf")
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise Failure(NO_INPUT, f"{path}: {getattr(error, 'strerror', None) or error}") from None


def is_json_lines(path):
    name = path.lower()
    for ending in (*PACKED, ".zst"):
        name = name.removesuffix(ending)
    return name.endswith((".jsonl", ".jsonlines", ".ndjson", ".json"))


def read_text(path, place):
    """A file that is one prompt; what is JSON lines by its first line is not."""
    text = decode(read_bytes(path), path)
    with contextlib.suppress(ValueError, RecursionError):
        first = json.loads(text.split("\n", 1)[0])
        if isinstance(first, dict) and ("text" in first or "token_ids" in first):
            raise Failure(BAD_DATA, f"{path}: is JSON lines by its first line and a text by its name; call it .jsonl")
    return Prompt(place, text, None, path)


def decode(data, path, line=1):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failure(BAD_DATA, f"{path}:{line + data[:error.start].count(10)}: not UTF-8") from None


def is_id(value, low, high):
    return type(value) is int and low <= value < high


def group_of(entry, where):
    """The label of a record: group; else meta, of The Pile's records its pile_set_name, of others' as JSON."""
    group, meta = entry.get("group"), entry.get("meta")
    if group is not None and not isinstance(group, str):
        raise Failure(BAD_DATA, f"{where}: 'group' is no string")
    if group is None and isinstance(meta, dict) and isinstance(meta.get("pile_set_name"), str):
        group = meta["pile_set_name"]
    if group is None and meta is not None:
        group = meta if isinstance(meta, str) else json.dumps(meta, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return group and group.encode(errors="replace")[:MAX_GROUP].decode(errors="ignore")


def parse_line(text, where, vocabulary, place):
    """One prompt of a JSON lines file; its id is `place` where no record has one (None: all have)."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Failure(BAD_DATA, f"{where}: not JSON: {error}") from None
    if isinstance(entry, dict) and place is not None:
        if "id" in entry:
            raise Failure(BAD_DATA, f'{where}: an "id", and none in the records before')
        entry["id"] = place
    if not isinstance(entry, dict) or not is_id(entry.get("id"), -2**63, 2**63):
        raise Failure(BAD_DATA, f'{where}: expected an object with "id", a 64-bit integer')
    if ("text" in entry) == ("token_ids" in entry):
        raise Failure(BAD_DATA, f'{where}: expected either "text" or "token_ids"')
    if "text" in entry:
        if not isinstance(entry["text"], str):
            raise Failure(BAD_DATA, f'{where}: "text" is not a string')
        try:
            entry["text"].encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
            raise Failure(BAD_DATA, f'{where}: "text" is not Unicode text') from None
        return Prompt(entry["id"], entry["text"], None, where, group_of(entry, where))
    tokens = entry["token_ids"]
    if not isinstance(tokens, list):
        raise Failure(BAD_DATA, f'{where}: "token_ids" is not a list')
    for place, token in enumerate(tokens):
        if not is_id(token, 0, vocabulary):
            raise Failure(BAD_DATA, f"{where}: token_ids[{place}] is {json.dumps(token)}, expected an integer in 0..{vocabulary - 1}")
    return Prompt(entry["id"], None, tokens, where, group_of(entry, where))


def lacks_id(line):
    """Whether the first record has no id: then each has its place, over all files."""
    with contextlib.suppress(ValueError, RecursionError):
        entry = json.loads(line)
        return isinstance(entry, dict) and "id" not in entry
    return False


def read_prompts(paths, vocabulary):
    """All prompts, in the files' order; text files sorted bytewise."""
    is_json = list(map(is_json_lines, paths))
    if any(is_json) != all(is_json):
        raise Failure(CONFIG, "--prompts: JSON lines and text files together; a text file's id is its place in the list")
    if not any(is_json):
        return [read_text(path, place) for place, path in enumerate(sorted(paths, key=os.fsencode))]
    prompts, seen, without_ids = [], {}, None
    for path in paths:
        for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
            if line.strip():
                line = decode(line, path, number)
                if without_ids is None:
                    without_ids = lacks_id(line)
                prompt = parse_line(line, f"{path}:{number}", vocabulary, len(prompts) if without_ids else None)
                if prompt.id in seen:
                    raise Failure(BAD_DATA, f"{prompt.where}: id {prompt.id} stands in {seen[prompt.id]} already")
                seen[prompt.id] = prompt.where
                prompts.append(prompt)
    return prompts


def tokenize(prompts, options):
    """Gives every prompt its tokens: texts stripped, without special tokens."""
    if all(prompt.tokens is not None for prompt in prompts):
        return prompts
    if options.gguf_file:
        say("warning: a tokenizer made from a GGUF may split texts otherwise than the model's own; token_ids are safe")
    tokenizer = from_pretrained(transformers.AutoTokenizer, options)
    def tokens_of(prompt):
        if prompt.text is None:
            return prompt.tokens
        return tokenizer(prompt.text.strip(), add_special_tokens=False, split_special_tokens=options.split_special_tokens)["input_ids"]
    return [prompt._replace(text=None, tokens=tokens_of(prompt)[:options.tokens]) for prompt in prompts]


def select_prompts(prompts, options):
    """Cuts prompts to length, drops short ones, and takes this array task's part."""
    unit = 4**max(options.levels) if options.short_prompts == "keep" else options.tokens
    cut = [prompt._replace(tokens=prompt.tokens[:min(len(prompt.tokens), options.tokens) // unit * unit]) for prompt in prompts]
    kept = [prompt for prompt in cut if len(prompt.tokens) >= 2]
    if len(kept) < len(cut):
        say(f"{len(cut) - len(kept)} of {len(cut)} prompts left out: fewer than {max(2, unit)} tokens")
    if not kept:
        raise Failure(BAD_DATA, "no prompt is left")
    index, count = options.array or (0, 1)
    first, end = (len(kept) // count * part + min(part, len(kept) % count) for part in (index, index + 1))
    return kept[first:end]


# ---- shuffle ------------------------------------------------------------------------------------------------------


def block_order(seed, prompt_id, level):
    """Place b of the shuffled text holds block order[b]: 4^S random words, sorted. The same in every program and on every machine."""
    key = np.array([seed, int(prompt_id) % 2**64], np.uint64)  # a negative id in two's complement
    words = np.random.Philox(key=key, counter=np.array([0, 0, 0, level], np.uint64)).random_raw(4**level)
    return np.argsort(words, kind="stable")


def shuffled(tokens, seed, prompt_id, level):
    tokens = np.asarray(tokens, np.int32)
    return tokens if level == 0 else tokens.reshape(4**level, -1)[block_order(seed, prompt_id, level)].ravel()


# ---- model --------------------------------------------------------------------------------------------------------


def from_pretrained(kind, options, **more):
    """kind.from_pretrained, its many ways to fail told in one line."""
    if options.gguf_file:
        more["gguf_file"] = options.gguf_file
    try:
        return kind.from_pretrained(options.model, **more)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        code = NO_INPUT if isinstance(error, OSError) else NO_PACKAGE if isinstance(error, ImportError) else BAD_DATA
        raise Failure(code, f"{options.model}: {lines[0]}") from None


class Model:
    """A causal model in evaluation mode, and what a short trial run tells about its states.

    normalized     1: the last hidden state is the output of a norm outside the layers
    linear_head    the logits are the output embedding of the last hidden state, so they can be had in float32
    no_metric      why W^T W would not give distances of logits, None where it does"""

    def __init__(self, options):
        name = "dtype" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 56) else "torch_dtype"
        model = from_pretrained(transformers.AutoModelForCausalLM, options, **{name: getattr(torch, options.dtype)})
        self.model = model.to(options.device).eval()
        self.device = options.device
        self.head = model.get_output_embeddings()
        self.narrowed = {}  # OPT-350m: the last hidden state before it is projected to the embedding's width
        for path, module in model.named_modules():
            if path.split(".")[-1] == "project_out":
                module.register_forward_pre_hook(lambda _, inputs: self.narrowed.update(state=inputs[0]))
        with torch.inference_mode():
            self.try_out()

    def try_out(self):
        ids, outputs, hooks = torch.arange(4, device=self.device)[None], [], []
        for path, module in self.model.base_model.named_modules():
            if "norm" in type(module).__name__.lower() and not re.search(r"\.\d+\.", path):
                hooks.append(module.register_forward_hook(lambda _, inputs, output: outputs.append(output)))
        states, last = self.run(ids)
        for hook in hooks:
            hook.remove()
        self.n_layers, self.width = len(states), states[0].shape[-1]
        self.normalized = int(any(torch.equal(output, states[-1]) for output in outputs))
        self.linear_head = isinstance(self.head, torch.nn.Linear)
        if self.linear_head:
            logits = self.model(ids, use_cache=False).logits
            self.linear_head = torch.allclose(self.head(last).to(logits.dtype), logits, rtol=1e-3, atol=1e-3)
            self.head32 = self.head.weight.float(), None if self.head.bias is None else self.head.bias.float()
        self.no_metric = ("its logits are not the output embedding of its last hidden state" if not self.linear_head else
                          f"its embedding has width {last.shape[-1]}, its hidden states {self.width}" if last.shape[-1] != self.width else
                          None if torch.equal(last, states[-1]) else "its output embedding reads another state than the last one")

    def run(self, ids):
        """ids [batch, token] -> L + 1 states [batch, token, width], and what the output embedding reads (or the logits)."""
        linear = getattr(self, "linear_head", True)
        out = (self.model.base_model if linear else self.model)(ids, output_hidden_states=True, use_cache=False)
        states = list(out.hidden_states)
        if states[-1].shape[-1] != states[0].shape[-1]:
            states[-1] = self.narrowed.get("state", states[-1])
        if any(state.shape != states[0].shape for state in states):
            raise Failure(CONFIG, f"hidden states of different widths: {sorted({state.shape[-1] for state in states})}")
        return states, out.last_hidden_state if linear else out.logits

    def scores(self, last, ids):
        """Loss of each next token [token - 1] and entropy of each position [token], nats, of one text; some positions at a time."""
        vocabulary = self.head32[0].shape[0] if self.linear_head else last.shape[-1]
        step, loss, entropy = max(1, 2**24 // vocabulary), [], []
        for first in range(0, len(ids), step):
            part = last[first:first + step].float()
            logits = torch.nn.functional.linear(part, *self.head32) if self.linear_head else part
            logp = torch.log_softmax(logits.double(), dim=-1)  # in float32 a mean over tokens is off by 1e-5
            targets = ids[first + 1:first + step + 1]
            loss.append(-logp[:len(targets)].gather(1, targets[:, None])[:, 0])
            entropy.append(torch.special.entr(logp.exp()).sum(-1))
        return torch.cat(loss).float().cpu().numpy(), torch.cat(entropy).float().cpu().numpy()


def logit_metric(weight, block=2048):
    """W^T W in float64, from sums of integers, so that every machine gives the same bits: the files of an array must agree.

    W = scale (high 2^-21 + low 2^-42), integers of at most 2^21: 2048 products add up exactly in float64, 2^20 in int64.
    What is left out is below 2^-43 of the largest weight."""
    scale = 2.0 ** math.frexp(float(weight.abs().max()))[1]
    width = weight.shape[1]
    high_high, high_low, low_low = (torch.zeros(width, width, dtype=torch.int64, device=weight.device) for _ in range(3))
    for first in range(0, weight.shape[0], block):
        rows = weight[first:first + block].double() * (2.0**21 / scale)
        high = rows.round()
        low = ((rows - high) * 2.0**21).round()
        high_high += (high.T @ high).long()
        high_low += (high.T @ low).long()
        low_low += (low.T @ low).long()
    high_high, high_low, low_low = (part.cpu().numpy() for part in (high_high, high_low, low_low))
    return (high_high * 2.0**-42 + (high_low + high_low.T) * 2.0**-63 + low_low * 2.0**-84) * scale**2


# ---- file ---------------------------------------------------------------------------------------------------------


def stored_type(store):
    """The HDF5 type of hidden_states. bfloat16: 16 bits, sign 15, exponent at 7 of 8 bits, bias 127, mantissa 7 bits."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    if store == "bfloat16":
        kind.set_fields(15, 7, 8, 0, 7)
        kind.set_size(2)
        kind.set_ebias(127)
    return kind


def stored_bits(state, store):
    """A state as a NumPy array that has the stored type's bits."""
    if store == "bfloat16":
        return state.to(torch.bfloat16).view(torch.int16).cpu().contiguous().numpy()
    return state.float().cpu().contiguous().numpy()


def create_dataset(file, name, shape, kind):
    """Contiguous, with all its room from the start: writing numbers later changes nothing else in the file."""
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    how.set_obj_track_times(False)  # so that a run that was stopped gives the same bytes
    kind = kind if isinstance(kind, h5py.h5t.TypeID) else h5py.h5t.py_create(np.dtype(kind))
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), how))


def create_file(path, options, settings, prompts, model):
    """Every dataset, filled with what is known before the model runs."""
    shape = (len(prompts), len(options.levels), model.n_layers, options.tokens, model.width)
    pairs = shape[:2]
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs.update({"format": "tokengeom-hidden-states", "format_version": 1, "model": options.name, "exporter": "export_states.py",
                           "exporter_settings": json.dumps(settings)})
        states = create_dataset(file, "hidden_states", shape, stored_type(options.store))
        states.attrs["last_layer_normalized"] = model.normalized
        create_dataset(file, "prompt_ids", shape[:1], "i8")[...] = [prompt.id for prompt in prompts]
        create_dataset(file, "shuffle_levels", shape[1:2], "i4")[...] = options.levels
        create_dataset(file, "loss", pairs, "f8")
        create_dataset(file, "token_loss", pairs + (options.tokens - 1,), "f4")
        create_dataset(file, "entropy", pairs + (options.tokens,), "f4")
        create_dataset(file, "token_ids", pairs + (options.tokens,), "i4")
        if any(prompt.group for prompt in prompts):
            groups = [(prompt.group or "").encode() for prompt in prompts]
            file.create_dataset("prompt_group", data=groups, dtype=h5py.string_dtype("utf-8", max(map(len, groups))))
        if options.short_prompts == "keep":
            create_dataset(file, "n_tokens", shape[:1], "i4")[...] = [len(prompt.tokens) for prompt in prompts]
        if model.no_metric:
            say(f"no logit_metric: {model.no_metric}")
        else:
            create_dataset(file, "logit_metric", (model.width,) * 2, "f8")[...] = logit_metric(model.head.weight.detach())
    bytes_ = path.stat().st_size
    say(f"{' x '.join(map(str, shape))} (prompts, levels, layers, tokens, width): {bytes_ / 1e9:.2f} GB")


def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def write_row(dataset, place, values):
    """One text's values; what a short prompt does not fill is NaN, or -1."""
    row = np.full(dataset.shape[2], -1 if dataset.dtype.kind == "i" else np.nan, dataset.dtype)
    row[:len(values)] = values
    dataset[place] = row


def write_prompt(file, model, options, place, prompt):
    """Runs one prompt at every level, --batch of them at a time, and writes what comes out layer by layer."""
    n, states_id = len(prompt.tokens), file["hidden_states"].id
    kind, space, finite = states_id.get_type(), states_id.get_space(), True
    for first in range(0, len(options.levels), options.batch):
        levels = options.levels[first:first + options.batch]
        texts = np.stack([shuffled(prompt.tokens, options.shuffle_seed, prompt.id, level) for level in levels])
        ids = torch.from_numpy(texts.astype(np.int64)).to(model.device)
        states, last = model.run(ids)
        for layer, state in enumerate(states):
            finite = finite and bool(torch.isfinite(state).all())
            block = (1, len(levels), 1, n, model.width)
            space.select_hyperslab((place, first, layer, 0, 0), block)
            states_id.write(h5py.h5s.create_simple(block), space, stored_bits(state, options.store).reshape(block), mtype=kind)
        for b in range(len(levels)):
            loss, entropy = model.scores(last[b], ids[b])
            file["loss"][place, first + b] = loss.mean(dtype=np.float64)
            for name, values in (("token_loss", loss), ("entropy", entropy), ("token_ids", texts[b])):
                write_row(file[name], (place, first + b), values)
    if not finite:
        say(f"warning: prompt {prompt.id}: some hidden states are not finite")


# ---- going on where a run ended -----------------------------------------------------------------------------------


def settings_of(options, prompts, config):
    """All that decides the file's contents."""
    digest = hashlib.sha256(json.dumps([(prompt.id, prompt.tokens) for prompt in prompts]).encode())
    return {"model": options.model, "revision": getattr(config, "_commit_hash", None), "gguf_file": options.gguf_file, "name": options.name,
            "prompts": f"{len(prompts)}, SHA-256 of ids and tokens {digest.hexdigest()}", "tokens": options.tokens, "levels": options.levels,
            "shuffle_seed": options.shuffle_seed, "short_prompts": options.short_prompts, "dtype": options.dtype, "store": options.store,
            "device": options.device, "batch": options.batch, "array": list(options.array) if options.array else None,
            "torch": torch.__version__, "transformers": transformers.__version__}


class Progress:
    """FILE.part and FILE.progress: a line of settings, then a line for each prompt that is safely in FILE.part."""

    def __init__(self, out):
        self.out = out
        self.part, self.new, self.log = (out.with_name(out.name + end) for end in (".part", ".part.new", ".progress"))

    def done(self, settings):
        """Number of prompts in FILE.part, None without one. Refuses one of other settings."""
        if not self.part.exists():
            return None
        if not self.log.exists():
            raise Failure(IO, f"{self.part} is there, but {self.log.name} is not: remove it to start anew")
        lines = self.log.read_text().split("\n")[:-1]  # a line counts when it has its end; what was cut short becomes part of the next
        try:
            made_with = json.loads(lines[0])
        except (IndexError, ValueError):
            raise Failure(IO, f"{self.log} is damaged: remove it and {self.part.name} to start anew") from None
        for name in settings:
            if made_with.get(name) != settings[name]:
                raise Failure(CONFIG, f"{self.part} was begun with {name} {made_with.get(name)}, now it is {settings[name]}: "
                              "use the same settings, or remove it to start anew")
        return len(lines) - 1

    def begin(self, settings, create):
        """FILE.part appears whole or not at all."""
        create(self.new)
        sync(self.new)
        self.log.write_text(json.dumps(settings) + "\n")
        sync(self.log)
        self.new.replace(self.part)

    def add(self, log, file):
        """The numbers are on disk before the line that says so."""
        file.flush()
        sync(self.part)
        log.write("done\n")
        log.flush()
        os.fsync(log.fileno())

    def end(self):
        self.part.replace(self.out)
        self.log.unlink()


class Clock:
    """Tells how far the run is: after every prompt on a terminal, else every 10 s."""

    def __init__(self, done, total):
        self.first, self.total, self.start, self.last = done, total, time.monotonic(), -math.inf
        self.terminal = sys.stderr.isatty()

    def tell(self, done):
        now = time.monotonic()
        if not self.terminal and now - self.last < 10 and done < self.total:
            return
        self.last = now
        seconds = (now - self.start) / (done - self.first)
        left = time.strftime("%H:%M:%S", time.gmtime((self.total - done) * seconds % 86400))
        days = int((self.total - done) * seconds // 86400)
        left = f"{days}-{left}" if days else left
        say(f"{done} of {self.total} prompts, {seconds:.2f} s a prompt, {left} left" + ("\x1b[K" if self.terminal else ""),
            end="\r" if self.terminal and done < self.total else "\n")


def catch_signals():
    """A list that a first SIGTERM or SIGUSR1 fills; a second one ends the script."""
    caught = []
    def note(number, _):
        caught.append(signal.Signals(number).name)
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, note)
    return caught


def write_prompts(options, progress, model, prompts, done, caught):
    clock = Clock(done, len(prompts))
    with h5py.File(progress.part, "r+", libver="earliest") as file, open(progress.log, "a") as log, torch.inference_mode():
        for place in range(done, len(prompts)):
            if caught:
                raise Failure(STOPPED, f"stopped by {caught[0]} with {place} of {len(prompts)} prompts done; the same command goes on")
            write_prompt(file, model, options, place, prompts[place])
            progress.add(log, file)
            clock.tell(place + 1)


def export(options, caught):
    resolve(options, os.environ)
    for path in options.prompts:
        if not os.path.isfile(path):
            raise Failure(NO_INPUT, f"{path}: {'is a directory' if os.path.isdir(path) else 'no such file'}")
    import_libraries(options)
    config = from_pretrained(transformers.AutoConfig, options)
    text_config = config.get_text_config()
    most = getattr(text_config, "max_position_embeddings", None)
    if most and options.tokens > most:
        raise Failure(CONFIG, f"--tokens {options.tokens}: {options.model} reads at most {most}")
    prompts = select_prompts(tokenize(read_prompts(options.prompts, text_config.vocab_size), options), options)
    if not prompts:
        say(f"fewer prompts than parts: nothing to write for part {options.array[0]} of {options.array[1]}")
        return
    settings, progress = settings_of(options, prompts, config), Progress(options.out)
    done = progress.done(settings)
    if done is None or done < len(prompts):
        model = Model(options)
        if done is None:
            progress.begin(settings, lambda path: create_file(path, options, settings, prompts, model))
        elif done > 0:
            say(f"{progress.part} holds {done} of {len(prompts)} prompts, going on")
        write_prompts(options, progress, model, prompts, done or 0, caught)
    progress.end()
    say(f"{options.out} is complete")


def main():
    try:
        caught = catch_signals()
        export(parse_arguments(sys.argv[1:]), caught)
    except Failure as failure:
        say(failure)
        return failure.code
    except OSError as error:  # h5py's and the system's
        say(f"input/output: {error}")
        return IO
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
