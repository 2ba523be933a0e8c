"""The gateway: sensor messages in, forecasts out, nothing lost."""
