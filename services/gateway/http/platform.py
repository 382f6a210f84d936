"""/v1/models, health, readiness and metrics: the service's own pages."""

from datetime import UTC, datetime
from typing import Any

import prometheus_client
from fastapi import APIRouter, Request
from starlette.responses import Response

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.metrics import REGISTRY
from services.gateway.errors import NotFound
from services.gateway.gateway import Gateway
from services.gateway.http.asking import authenticated
from services.gateway.http.edge import Json
from services.gateway.http.sources import listing
from services.gateway.readiness import Verdict


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["platform"])

    @router.get("/v1/models")
    async def models(request: Request) -> Json:
        """The models that chat takes."""
        await authenticated(gateway, request)
        return Json(listing([model_json(each) for each in await gateway.runs.models()]))

    @router.get("/v1/models/{id:path}")
    async def model(request: Request, id: str) -> Json:
        """One model."""
        await authenticated(gateway, request)
        for each in await gateway.runs.models():
            if each.id == id:
                return Json(model_json(each))
        raise NotFound("model", id, field="model")

    @router.get("/health")
    async def health() -> Json:
        """Each service's own word; 503 unless all serve."""
        states = await gateway.health()
        well = all(state == "SERVING" for state in states.values())
        return Json(
            {"status": "ok" if well else "degraded", "services": states}, 200 if well else 503
        )

    @router.get("/livez")
    @router.get("/healthz")
    async def live() -> Json:
        """The process answers, and nothing more is asked of it: what restarts it looks here."""
        return Json({"status": "alive"})

    @router.get("/readyz")
    async def ready() -> Json:
        """Whether requests should come here, and if not, why: 503 while the gateway goes away, or
        lacks what no request can do without.

        Each dependency has its state, and since when. What is `essential` has to serve: the
        database with its schema up to date, the credential service, the sandbox, and one replica of
        the inference service. Without a connector the gateway is `degraded`, and answers for the
        sources of the others. The state is that of the last look, 5 seconds ago at most: a probe
        costs nothing. The gateway's gRPC health says the same."""
        told = gateway.readiness.verdict()
        return Json(verdict_json(told), 200 if told.ready else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        """Prometheus metrics of the gateway."""
        return Response(
            prometheus_client.generate_latest(REGISTRY),
            media_type=prometheus_client.CONTENT_TYPE_LATEST,
        )

    return router


def model_json(model: analyst.ChatModel) -> dict[str, Any]:
    """OpenAI's model object."""
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": "isobath",
        "agent": model.is_agent,
        "description": model.description,
    }


def verdict_json(told: Verdict) -> dict[str, Any]:
    """Readiness as HTTP shows it."""
    return {
        "status": told.status,
        "reason": told.reason,
        "dependencies": [
            {
                "name": each.name,
                "state": each.state,
                "essential": each.essential,
                "since": datetime.fromtimestamp(each.since, UTC).isoformat(timespec="seconds"),
            }
            for each in told.dependencies
        ],
    }
