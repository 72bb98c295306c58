"""Ship this checkpoint, or optimize further - and where?

An evaluation harness for teams that fine-tune language models. See ARCHITECTURE.md for where everything lives.
"""

__version__ = "0.1.0"
