"""Candidates as things to ask: who they are (identity), whether they fit (adapters), vLLM's life as a process (vllm)."""
