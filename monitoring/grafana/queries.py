"""The pieces of PromQL that the panels share."""

from __future__ import annotations

from typing import Final

OUTCOMES: Final = ("success", "observed", "partial", "failed", "blocked", "stopped")
"""Of a sweep, in the order of the numbers that stand for them in ``last_outcome``, from 1."""


def of(metric: str, **labels: str) -> str:
    """The metric of the instances that are looked at; a label with ``|`` in it matches any of them."""
    matchers = ['instance=~"$instance"']
    for name, value in labels.items():
        operator = "=~" if "|" in value or "$" in value else "="
        matchers.append(f'{name}{operator}"{value}"')
    return f"{metric}{{{', '.join(matchers)}}}"


def of_policy(metric: str, **labels: str) -> str:
    """The metric of the instances and policies that are looked at."""
    return of(metric, policy="$policy", **labels)


def rate(metric: str, by: str, **labels: str) -> str:
    """Per second, summed up."""
    return f"sum by ({by}) (rate({of(metric, **labels)}[$__rate_interval]))"


def increase(metric: str, by: str) -> str:
    """How many more, summed up."""
    return f"sum by ({by}) (increase({of(metric)}[$__rate_interval]))"


def increase_of_policies(metric: str, by: str) -> str:
    """The same, of the policies that are looked at."""
    return f"sum by ({by}) (increase({of_policy(metric)}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "instance") -> str:
    """Of a histogram."""
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({of(metric + '_bucket')}[$__rate_interval])))"


def last_outcome() -> str:
    """How each policy's last sweep ended, as a number: OUTCOMES from 1 on."""
    parts = [
        f"{number} * max by (instance, policy) ({of_policy('sweepd_policy_last_outcome', outcome=word)})"
        for number, word in enumerate(OUTCOMES, start=1)
    ]
    return " + ".join(parts)
