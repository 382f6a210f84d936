"""The model, as one run asks it: what its context does not hold is cut."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from isobath.inference.v1 import inference_pb2 as pb
from servicekit import logs
from servicekit.status import RemoteFault
from services.gateway import render
from services.gateway.budget import Budget, Learned, size
from services.gateway.conversation import Generate, Message, Sampling
from services.gateway.models import Models

_log = logs.get(__name__)
_CUT = (
    "The conversation is longer than the model's context of {limit} tokens: old outputs are "
    "shortened, and earlier programs summarised. Files and variables are untouched."
)
# with 2 characters to a token, which is few, it would not fit: ask how many there are
_WORTH_COUNTING = 2.0


@dataclass
class Asking:
    """`model`: empty for the default. `key`: what keeps to one replica. `tell` is told once, in
    words for the user, when something had to be cut."""

    models: Models
    model: str
    owner: str
    key: str
    sampling: Sampling
    tell: Callable[[str], object]
    # by the gateway that the run went with before
    learned: Learned = field(default_factory=Learned)
    _budget: Budget | None = None
    _told: bool = field(default=False)

    async def turn(
        self, action: Generate, *, seconds: float, stop_after_code: bool = True
    ) -> AsyncGenerator[pb.NumberedEvent, None]:
        """Deltas, then one completion. Raises as `Models.generate` does."""
        budget = await self._opened()
        fitted = await self._fitted(budget, action)
        while True:
            request = render.generate_request(
                self.model, self.owner, self.sampling, fitted, stop_after_code=stop_after_code
            )
            begun = False
            try:
                answer = self.models.generate(request, key=self.key, seconds=seconds)
                async with aclosing(answer) as events:
                    async for event in events:
                        begun = True
                        if event.HasField("completion"):
                            _learn(budget, fitted.messages, event.completion.usage)
                        yield event
                return
            except RemoteFault as fault:
                if begun or fault.reason != "CONTEXT_TOO_LONG":
                    raise
                _log.info("context_too_long", **fault.fields)
                _tighten(budget, fitted.messages, fault)
                again = await self._fitted(budget, action)
                if size(again.messages) >= size(fitted.messages):
                    raise
                fitted = again

    async def room_chars(self, share: float) -> int:
        """About how many characters such a share of the model's context is, as far as is known."""
        return (await self._opened()).chars(share)

    def so_far(self) -> Learned:
        """What is known of the model's context."""
        if self._budget is None:
            return self.learned
        return Learned(self._budget.context_tokens, self._budget.chars_per_token, self._told)

    async def _opened(self) -> Budget:
        if self._budget is None:
            listed = await self.models.list_models()
            named = [each for each in listed if each.id == self.model] or listed
            context = self.learned.context_tokens or (named[0].context_tokens if named else 0)
            self._budget = Budget(context, self.learned.chars_per_token)
            self._told |= self.learned.told
        return self._budget

    async def _fitted(self, budget: Budget, action: Generate) -> Generate:
        if not budget.chars_per_token and budget.context_tokens:
            await self._count(budget, action.messages)
        messages, tokens = budget.fit(action.messages, action.max_tokens)
        if budget.was_cut and not self._told:
            self._told = True
            self.tell(_CUT.format(limit=budget.context_tokens))
        return replace(action, messages=tuple(messages), max_tokens=tokens)

    async def _count(self, budget: Budget, messages: Sequence[Message]) -> None:
        if size(messages) / _WORTH_COUNTING < budget.context_tokens:
            return
        counted = await self.models.count_tokens(
            pb.CountTokensRequest(model=self.model, messages=render.conversation(messages))
        )
        if not counted.estimated:
            budget.learn(messages, counted.tokens)


def _learn(budget: Budget, messages: Sequence[Message], usage: pb.Usage) -> None:
    if not usage.estimated:
        budget.learn(messages, usage.prompt_tokens)


def _tighten(budget: Budget, messages: Sequence[Message], fault: RemoteFault) -> None:
    told = {name: int(fault.fields.get(name) or 0) for name in ("tokens", "limit")}
    budget.tighten(messages, **told)
