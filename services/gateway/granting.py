"""What a run may do with sources: grants of its own, minted when it begins, and again when another
gateway goes on with it."""

from collections.abc import Sequence

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.analysis import Analysis
from services.gateway.checkpoint import Checkpoint
from services.gateway.chosen import Chosen
from services.gateway.clients import Services
from services.gateway.data import Grants
from services.gateway.errors import SourceNotFound
from services.gateway.plan import Selection
from services.gateway.registry import Registry
from services.gateway.source import Source
from services.gateway.writeback import Writeback

# beyond the longest that a run may take
MARGIN_S = 10 * 60


class Granting:
    """`approval_s`: the longest that a run may wait for approvals, beside its own time."""

    def __init__(
        self, services: Services, registry: Registry, writeback: Writeback, approval_s: float
    ) -> None:
        self._grants = Grants(services)
        self._registry = registry
        self._writeback = writeback
        self._approval_s = approval_s

    async def grant(self, analysis: Analysis, sources: Sequence[Source]) -> None:
        """A grant for each source, however many of the plan's selections it has; and what code may
        write: where the run's files go at its end, and nothing else."""
        lifetime = analysis.plan.bounds.seconds + self._approval_s + MARGIN_S
        grants = {
            source.id: await self._grants.mint(
                analysis.caller,
                source,
                ("list", "read"),
                run_id=analysis.run_id,
                thread_id=analysis.thread_id,
                lifetime_s=lifetime,
            )
            for source in {each.id: each for each in sources}.values()
        }
        pairs = zip(analysis.plan.selections, sources, strict=True)
        analysis.chosen = [Chosen(wanted, source, grants[source.id]) for wanted, source in pairs]
        if wanted := analysis.plan.artifacts_to:
            analysis.target = await self._writeback.granted(
                analysis.caller,
                wanted,
                run_id=analysis.run_id,
                thread_id=analysis.thread_id,
                lifetime_s=lifetime,
            )

    async def revoke(self, run_id: str) -> None:
        """All grants of a run that is over."""
        await self._grants.revoke_run(run_id)

    # Of a run that another gateway left

    async def sources(self, at: Checkpoint) -> list[Source]:
        """Of one that has not begun. Raises `SourceNotFound`."""
        return [await self._registry.get(at.caller, each.id) for each in at.sources]

    async def still_there(
        self, analysis: Analysis, at: Checkpoint
    ) -> list[tuple[Selection, Source]]:
        """Its sources, as they are now; who may no longer see one goes on without it. What is not
        as it was is told."""
        found: list[tuple[Selection, Source]] = []
        changes: dict[str, None] = {}
        for selection, pinned in zip(at.plan.selections, at.sources, strict=True):
            try:
                source = await self._registry.get(at.caller, pinned.id)
            except SourceNotFound:
                changes[f"the source {selection.source} is no longer there for this run"] = None
                continue
            found.append((selection, source))
            if source.version != pinned.version:
                told = f"the source {source.name} was changed while this run was going"
                changes[told] = None
        for text in changes:
            analysis.live.emit(notice=analyst.Notice(text=text))
        return found
