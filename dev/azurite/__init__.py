"""A real Azurite (Microsoft's emulator of Azure Storage) for development and tests."""

from dev.azurite.server import Azurite, AzuriteFailed, azurite

__all__ = ["Azurite", "AzuriteFailed", "azurite"]
