"""Measuring latency: clock, statistics, scenarios. Contenders are passed in."""
