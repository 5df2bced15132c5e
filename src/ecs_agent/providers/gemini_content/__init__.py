"""The codec of the Gemini protocol."""
