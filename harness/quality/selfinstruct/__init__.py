"""Self-Instruct (Wang et al., ACL 2023): from a few tasks written by people to many written by a model.

Four steps: new instructions from sampled ones; is each a classification; instances, the output first for classifications and the
input first otherwise; filters. seeds.py reads the seed tasks, prompts.py asks, reading.py reads what came back and says what is
wrong with it, journal.py remembers every answer, engine.py is the loop, results.py writes rows, rejected rows and the report.

The wording of the prompts is ours. Three things differ from the published program, on purpose: an instruction keeps its letter
case (there, all but the first letter was lowered, in names and acronyms too); a list is read even where a chat model greets first
or leaves blank lines, instead of being cut at the first of them; every rejected text is kept with its reason.
"""
