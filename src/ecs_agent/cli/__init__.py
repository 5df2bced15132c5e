"""The command `ecs-agent`: chat with a model, use one in a pipe, install the embedded one. Needs `pip install 'ecs-agent[cli]'`."""
