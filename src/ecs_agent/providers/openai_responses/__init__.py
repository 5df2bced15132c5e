"""The codec of the OpenAI Responses protocol."""
