"""How long a context a card holds beside a model. Pure."""

from services.inference.engines.vllm.checkpoint import Shape

GIB = 2**30
# activations, CUDA graphs and what PyTorch keeps, as seen with 8B models
_BESIDES = 1.5 * GIB


def room_tokens(shape: Shape, card_bytes: int, fraction: float, *, eight_bit_kv: bool) -> int:
    """Tokens that fit into the KV cache; negative where not even the weights fit."""
    left = card_bytes * fraction - shape.weights_bytes - _BESIDES
    return int(left / (shape.kv_bytes_per_token / (2 if eight_bit_kv else 1)))


def advice(
    shape: Shape,
    card_bytes: int,
    *,
    cards: int,
    fraction: float,
    context_tokens: int,
    eight_bit_kv: bool,
    quantized: bool,
) -> str:
    """What to change before loading is tried; empty where all fits. `context_tokens` 0 = the
    model's own."""
    wanted = context_tokens or shape.context_tokens
    whole = card_bytes * cards
    room = room_tokens(shape, whole, fraction, eight_bit_kv=eight_bit_kv)
    if quantized or (room > 0 and room >= wanted):
        # of weights that are quantized while they load, the file's size says little
        return ""
    card = f"{cards} × {card_bytes / GIB:.0f} GiB"
    weights = f"{shape.weights_bytes / GIB:.1f} GiB of weights"
    if room <= 0:
        return (
            f"{weights} do not fit into {card}: set VLLM_QUANTIZATION=fp8 (or bitsandbytes), "
            "or VLLM_TENSOR_PARALLEL for more cards"
        )
    remedies = [f"CONTEXT_TOKENS={_rounded(room)}"]
    if not eight_bit_kv:
        remedies.append("VLLM_KV_CACHE_DTYPE=fp8, which halves what a token takes")
    remedies.append("VLLM_QUANTIZATION=fp8, which halves the weights")
    return (
        f"beside {weights}, {card} hold about {room} tokens of one conversation, and {wanted} "
        f"are asked for: set {', or '.join(remedies)}"
    )


def _rounded(tokens: int) -> int:
    """Down to a whole number of thousands (of 1,024), as context lengths are told."""
    return tokens // 1024 * 1024 if tokens >= 1024 else tokens
