"""Tiny language models with random weights, as GGUF files and as a plain float64 forward pass in NumPy.

The pass follows the papers of the architectures (LLaMA: RMSNorm, SwiGLU, rotary positions on adjacent pairs, grouped
queries; GPT-NeoX: LayerNorm, parallel residual, rotary positions on halves of a part of each head, GELU; Granite: LLaMA
with scaled embeddings, residuals, attention and logits). It shares the weights with the program under test, no more."""
import numpy as np

import gguf_file

WIDTH, BLOCKS, HEADS, KEY_HEADS, FEED_FORWARD, CONTEXT, BASE, EPS = 64, 3, 4, 2, 96, 64, 10000.0, 1e-5


# ---- pieces of a pass ---------------------------------------------------------------------------------------------


def rms_norm(x, weight):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPS) * weight


def layer_norm(x, weight, bias):
    centered = x - x.mean(axis=-1, keepdims=True)
    return centered / np.sqrt((centered * centered).mean(axis=-1, keepdims=True) + EPS) * weight + bias


def rotate(x, n_rot, adjacent):
    """Rotary positions on the first n_rot coordinates of every head; x: (token, head, coordinate)."""
    half = n_rot // 2
    first = np.arange(0, n_rot, 2) if adjacent else np.arange(half)
    second = first + (1 if adjacent else half)
    angle = np.arange(x.shape[0])[:, None] * BASE ** (-2.0 * np.arange(half) / n_rot)[None]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    out = x.copy()
    out[..., first] = x[..., first] * cos - x[..., second] * sin
    out[..., second] = x[..., first] * sin + x[..., second] * cos
    return out


def attention(q, k, v, scale):
    """Causal attention; q: (token, head, coordinate), k and v have as many heads or fewer."""
    n, heads = q.shape[:2]
    mask = np.triu(np.full((n, n), -np.inf), 1)
    out = np.empty_like(q)
    for h in range(heads):
        of = h * k.shape[1] // heads
        scores = q[:, h] @ k[:, of].T * scale + mask
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, h] = weights / weights.sum(axis=1, keepdims=True) @ v[:, of]
    return out.reshape(n, -1)


def silu(x):
    return x / (1.0 + np.exp(-x))


def gelu(x):
    """The approximation by tanh, which the engine uses."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def loss_and_entropy(logits, tokens):
    """-ln p of each next token, (n - 1), and the entropy of each position, (n), in nats."""
    logp = log_softmax(logits)
    return -logp[np.arange(len(tokens) - 1), tokens[1:]], -(np.exp(logp) * logp).sum(axis=-1)


# ---- models -------------------------------------------------------------------------------------------------------


class Model:
    """name, keys and tensors of the file; forward(tokens) gives clouds (L + 1, token, width) and logits."""

    def __init__(self, architecture, vocabulary, seed, **keys):
        self.architecture, self.vocabulary = architecture, vocabulary
        self.random = np.random.default_rng(seed)
        self.keys = {"general.architecture": architecture, "general.name": f"tiny {architecture}",
                     "tokenizer.ggml.model": "no_vocab"}
        sizes = {"vocab_size": vocabulary, "block_count": BLOCKS, "context_length": CONTEXT, "embedding_length": WIDTH,
                 "feed_forward_length": FEED_FORWARD, "attention.head_count": HEADS, "rope.freq_base": BASE, **keys}
        self.keys.update({f"{architecture}.{key}": value for key, value in sizes.items()})
        self.tensors = {}

    def weight(self, name, *shape, size=None, kind="f4"):
        """Random numbers; matrices keep the size of what they are applied to."""
        size = size if size is not None else 1.0 / np.sqrt(shape[-1])
        self.tensors[name] = (self.random.normal(size=shape) * size).astype(kind)

    def gain(self, name, n):
        self.tensors[name] = (1.0 + 0.2 * self.random.normal(size=n)).astype("f4")

    def __getitem__(self, name):
        return self.tensors[name].astype(np.float64)

    @property
    def unembedding(self):
        return self["output.weight" if "output.weight" in self.tensors else "token_embd.weight"]

    def write(self, path, **keys):
        return gguf_file.write(path, {**self.keys, **keys}, self.tensors)

    def write_split(self, prefix, parts):
        return gguf_file.write_split(prefix, self.keys, self.tensors, parts)


class Llama(Model):
    """scales: residual, embedding, attention, logit of Granite; a missing one is left out of the file too.
    adjacent, activation, embedding_scale: what Gemma does otherwise."""

    adjacent, activation, embedding_scale = True, staticmethod(silu), 1.0

    def __init__(self, architecture="llama", vocabulary=200, tied=False, seed=1, scales=None, kind="f4"):
        self.scales = scales or {}
        self.embedding_scale = self.scales.get("embedding", 1.0)
        super().__init__(architecture, vocabulary, seed, **{
            "attention.head_count_kv": KEY_HEADS, "attention.layer_norm_rms_epsilon": EPS,
            "rope.dimension_count": WIDTH // HEADS}, **self.scale_keys())
        head = WIDTH // HEADS
        self.weight("token_embd.weight", vocabulary, WIDTH, size=0.5, kind=kind)
        self.gain("output_norm.weight", WIDTH)
        if not tied:
            self.weight("output.weight", vocabulary, WIDTH, size=0.3, kind=kind)
        for l in range(BLOCKS):
            self.gain(f"blk.{l}.attn_norm.weight", WIDTH)
            self.weight(f"blk.{l}.attn_q.weight", WIDTH, WIDTH, kind=kind)
            self.weight(f"blk.{l}.attn_k.weight", KEY_HEADS * head, WIDTH, kind=kind)
            self.weight(f"blk.{l}.attn_v.weight", KEY_HEADS * head, WIDTH, kind=kind)
            self.weight(f"blk.{l}.attn_output.weight", WIDTH, WIDTH, kind=kind)
            self.gain(f"blk.{l}.ffn_norm.weight", WIDTH)
            self.weight(f"blk.{l}.ffn_gate.weight", FEED_FORWARD, WIDTH, kind=kind)
            self.weight(f"blk.{l}.ffn_up.weight", FEED_FORWARD, WIDTH, kind=kind)
            self.weight(f"blk.{l}.ffn_down.weight", WIDTH, FEED_FORWARD, kind=kind)

    def scale_keys(self):
        names = {"residual": "residual_scale", "embedding": "embedding_scale", "attention": "attention.scale",
                 "logit": "logit_scale"}
        return {names[name]: value for name, value in self.scales.items()}

    def forward(self, tokens):
        n, head = len(tokens), WIDTH // HEADS
        residual, scale = self.scales.get("residual", 1.0), self.scales.get("attention", 1.0 / np.sqrt(head))
        x = self["token_embd.weight"][tokens] * self.embedding_scale
        clouds = [x]
        for l in range(BLOCKS):
            def w(name):
                return self[f"blk.{l}.{name}.weight"]
            y = rms_norm(x, w("attn_norm"))
            q, k, v = (rows.reshape(n, -1, head) for rows in (y @ w("attn_q").T, y @ w("attn_k").T, y @ w("attn_v").T))
            q, k = rotate(q, head, self.adjacent), rotate(k, head, self.adjacent)
            x = x + residual * (attention(q, k, v, scale) @ w("attn_output").T)
            y = rms_norm(x, w("ffn_norm"))
            x = x + residual * ((self.activation(y @ w("ffn_gate").T) * (y @ w("ffn_up").T)) @ w("ffn_down").T)
            clouds.append(x)
        self.before_norm = clouds[-1]
        clouds[-1] = rms_norm(x, self["output_norm.weight"])
        return np.array(clouds), clouds[-1] @ self.unembedding.T / self.scales.get("logit", 1.0)


class NeoX(Model):
    ROTATED = 8  # of the 16 coordinates of a head

    def __init__(self, vocabulary=200, seed=2):
        super().__init__("gptneox", vocabulary, seed, **{
            "attention.layer_norm_epsilon": EPS, "use_parallel_residual": True, "rope.dimension_count": self.ROTATED})
        self.weight("token_embd.weight", vocabulary, WIDTH, size=0.5)
        self.norm("output_norm")
        self.weight("output.weight", vocabulary, WIDTH, size=0.3)
        for l in range(BLOCKS):
            self.norm(f"blk.{l}.attn_norm")
            self.norm(f"blk.{l}.ffn_norm")
            for name, rows, columns in (("attn_qkv", 3 * WIDTH, WIDTH), ("attn_output", WIDTH, WIDTH),
                                        ("ffn_up", FEED_FORWARD, WIDTH), ("ffn_down", WIDTH, FEED_FORWARD)):
                self.weight(f"blk.{l}.{name}.weight", rows, columns)
                self.weight(f"blk.{l}.{name}.bias", rows, size=0.1)

    def norm(self, name):
        self.gain(f"{name}.weight", WIDTH)
        self.weight(f"{name}.bias", WIDTH, size=0.1)

    def forward(self, tokens):
        n, head = len(tokens), WIDTH // HEADS
        x = self["token_embd.weight"][tokens]
        clouds = [x]
        for l in range(BLOCKS):
            def linear(name, y):
                return y @ self[f"blk.{l}.{name}.weight"].T + self[f"blk.{l}.{name}.bias"]

            def normed(name):
                return layer_norm(x, self[f"blk.{l}.{name}.weight"], self[f"blk.{l}.{name}.bias"])
            parts = np.split(linear("attn_qkv", normed("attn_norm")), 3, axis=1)
            q, k, v = (rows.reshape(n, HEADS, head) for rows in parts)
            mixed = attention(rotate(q, self.ROTATED, False), rotate(k, self.ROTATED, False), v, 1.0 / np.sqrt(head))
            x = x + linear("attn_output", mixed) + linear("ffn_down", gelu(linear("ffn_up", normed("ffn_norm"))))
            clouds.append(x)
        self.before_norm = clouds[-1]
        clouds[-1] = layer_norm(x, self["output_norm.weight"], self["output_norm.bias"])
        return np.array(clouds), clouds[-1] @ self.unembedding.T


def gemma():
    """Its embedding is scaled by sqrt(width) in the graph; rotary positions on halves, GELU."""
    model = Llama("gemma", tied=True, seed=7)
    model.adjacent, model.activation, model.embedding_scale = False, gelu, np.sqrt(WIDTH)
    return model


def granite(logit=4.0, **keys):
    """Its logits are W h / logit."""
    scales = {"residual": 0.5, "embedding": 3.0, "attention": 0.1, "logit": logit}
    return Llama("granite", scales=scales, seed=3, **keys)


def shuffled(tokens, seed, prompt_id, level):
    """The specification's definition, which is in terms of NumPy: 4^level blocks, sorted by Philox's words."""
    tokens = np.asarray(tokens)
    if level == 0:
        return tokens
    philox = np.random.Philox(key=np.array([seed, int(prompt_id) % 2**64], np.uint64),
                              counter=np.array([0, 0, 0, level], np.uint64))
    order = np.argsort(philox.random_raw(4**level), kind="stable")
    return tokens.reshape(4**level, -1)[order].ravel()
