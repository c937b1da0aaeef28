"""What a domain has on a Prefect server: planned from infra/, compared, created, corrected."""

from flows.deployment.change import Change, Outcome
from flows.deployment.deploy import check, deploy

__all__ = ["Change", "Outcome", "check", "deploy"]
