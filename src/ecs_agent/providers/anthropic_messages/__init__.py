"""The codec of Anthropic's Messages protocol."""
