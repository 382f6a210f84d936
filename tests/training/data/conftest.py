from tests.gateway.conftest import platform

__all__ = ["platform"]
