"""The codec of the OpenAI chat protocol."""
