"""Transport and lifecycle, shared by every service; no noun of any service's own domain."""
