"""The model without the analyst: messages in, its text out, no data and no programs. Chat clients
ask for it for titles and small talk (Open WebUI, LibreChat)."""

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.inference.v1 import inference_pb2 as inference
from services.gateway import render
from services.gateway.analysis import Analysis
from services.gateway.clients import stream
from services.gateway.conversation import Finish, Generate

# behind a model's id: that model without the analyst
PLAIN = ":plain"


async def talk(analysis: Analysis) -> Finish:
    """One turn, told as text outside of any block."""
    analysis.live.emit(started=analyst.RunStarted(model=analysis.plan.model))
    bounds = analysis.plan.bounds
    asked = Generate(analysis.plan.messages, bounds.tokens)
    request = render.generate_request(analysis.model, analysis.caller.owner, analysis.plan, asked)
    request.stop_after_code = False
    text: list[str] = []
    ended = inference.Completion()
    generated = analysis.services.inference.Generate(request, timeout=bounds.seconds)
    async with stream("inference", generated) as events:
        async for event in events:
            if event.HasField("completion"):
                ended = event.completion
            elif event.delta.text:
                text.append(event.delta.text)
                analysis.live.emit(block_text=analyst.BlockText(text=event.delta.text))
    analysis.count(ended.usage)
    cut = ended.finish_reason == inference.FINISH_REASON_LENGTH
    return Finish("".join(text), "tokens" if cut else "answer")
