"""The search for better settings by the validation part."""
