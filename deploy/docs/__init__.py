"""Documents made from the code: schemas/*.json, docs/TOPICS.md, docs/CONFIG.md. `python -m deploy.docs` writes them,
`python -m deploy.docs --check` fails when they differ from what the code says."""
