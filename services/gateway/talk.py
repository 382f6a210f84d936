"""The model without the analyst: messages in, its text out, no data and no programs. Chat clients
ask for it for titles and small talk (Open WebUI, LibreChat)."""

from contextlib import aclosing

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.inference.v1 import inference_pb2 as inference
from services.gateway.analysis import Analysis
from services.gateway.conversation import Finish, Generate, Message


async def talk(analysis: Analysis) -> Finish:
    """One turn, told as text outside of any block."""
    question = analysis.plan.messages[-1].content
    analysis.live.emit(started=analyst.RunStarted(model=analysis.plan.model, question=question))
    bounds, said = analysis.plan.bounds, analysis.conversation.messages
    said.extend(analysis.plan.messages)
    asked = Generate(tuple(said), bounds.tokens)
    text: list[str] = []
    ended = inference.Completion()
    turn = analysis.asking.turn(asked, seconds=bounds.seconds, stop_after_code=False)
    async with aclosing(turn) as events:
        async for event in events:
            if event.HasField("completion"):
                ended = event.completion
            elif event.delta.text:
                text.append(event.delta.text)
                analysis.live.text(analyst.BLOCK_KIND_UNSPECIFIED, event.delta.text)
    analysis.count(ended.usage)
    said.append(Message("assistant", "".join(text)))
    cut = ended.finish_reason == inference.FINISH_REASON_LENGTH
    return Finish("".join(text), "tokens" if cut else "answer")
