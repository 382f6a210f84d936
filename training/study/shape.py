"""The size of a model, chosen for a number of parameters. Pure."""

from dataclasses import dataclass
from typing import Any

# of an attention head: what vLLM's attention on CPU takes
HEAD = 64
_MLP = 3  # the middle of the feed-forward part is so many times as wide
_LAYERS = range(2, 25)
_WIDTHS = range(2 * HEAD, 24 * HEAD, HEAD)
# of a model that is neither flat nor thin: width 512 has 8 layers
_WIDTH_PER_LAYER = 64


@dataclass(frozen=True)
class Shape:
    """Of a Qwen3 whose embeddings are its output weights too."""

    width: int
    layers: int
    vocabulary: int

    @property
    def heads(self) -> int:
        return self.width // HEAD

    @property
    def key_heads(self) -> int:
        """Two or more heads share their keys where they can be shared evenly."""
        return self.heads // 2 if self.heads % 2 == 0 else self.heads

    @property
    def parameters(self) -> int:
        """All of them, each counted once."""
        kept = HEAD * self.key_heads
        attention = 2 * self.width * self.width + 2 * self.width * kept + 2 * HEAD
        feed_forward = 3 * _MLP * self.width * self.width
        layer = attention + feed_forward + 2 * self.width
        return self.vocabulary * self.width + self.layers * layer + self.width

    def config(self, context: int) -> dict[str, Any]:
        """Of transformers' Qwen3Config, without the ids of tokens."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": _MLP * self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "head_dim": HEAD,
            "max_position_embeddings": context,
            "tie_word_embeddings": True,
        }


def shape(parameters: int, vocabulary: int) -> Shape:
    """The nearest to so many parameters, and of those within a tenth the best proportioned."""
    every = [Shape(width, layers, vocabulary) for width in _WIDTHS for layers in _LAYERS]

    def off(each: Shape) -> float:
        return abs(each.parameters / parameters - 1)

    near = [each for each in every if off(each) <= 0.1] or [min(every, key=off)]
    return min(near, key=lambda each: (abs(each.layers - each.width / _WIDTH_PER_LAYER), off(each)))


def counted(text: str) -> int:
    """ "30M" → 30,000,000. Raises ValueError."""
    units = {"k": 1e3, "m": 1e6, "b": 1e9}
    unit = units.get(text[-1:].lower(), 0.0)
    count = int(float(text[:-1]) * unit) if unit else int(text)
    if count <= 0:
        raise ValueError(f"{text} is no number of parameters, such as 30M")
    return count
